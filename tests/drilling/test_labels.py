"""Labels and their store: what is refused, which label holds, and what a crash or a rival leaves."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drilling.errors import DrillingError
from drilling.labeling import durable
from drilling.labeling.keypoints import KeyPoints
from drilling.labeling.label import Label, Retraction, digest_of, label_of, to_values
from drilling.labeling.label_errors import (
    ImportRefused,
    InvalidLabel,
    LabelsUnreadable,
    LabelsUnwritable,
    NothingToRetract,
)
from drilling.labeling.label_exchange import COLUMNS
from drilling.labeling.label_store import Imported, LabelStore, Recorded

DIGEST = digest_of(b"a log")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FILE = "panel 1/h1.xls"


def made(file: str = FILE, minute: int = 0, **changes: Any) -> Label:
    """A person's label, some minutes after noon."""
    values: dict[str, Any] = {
        "file": file,
        **{"entry_mm": 1.5, "transition_mm": 7.25, "exit_mm": 13.0},
        **{"entry_index": 100, "transition_index": 500, "exit_index": 900},
        **{"source": "human", "method": "signal viewer", "confidence": None, "by": "Zoé"},
        **{"at": NOON + timedelta(minutes=minute), "tool_version": "1.0", "reason": None},
        "log_digest": DIGEST,
    }
    return Label(**{**values, **changes})


def automatic(file: str = FILE, minute: int = 0, **changes: Any) -> Label:
    return made(
        file,
        minute,
        **{"source": "automatic", "method": "broken line", "by": None, "confidence": 0.7, **changes},
    )


NOWHERE = dict.fromkeys(
    ("entry_mm", "transition_mm", "exit_mm", "entry_index", "transition_index", "exit_index")
)


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels")


def lines(store: LabelStore, file: str = FILE) -> list[str]:
    return (store.folder / f"{file}.jsonl").read_text().splitlines()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("field", "changes", "problem"),
    [
        ("entry_mm, transition_mm, exit_mm", {"transition_mm": 14.0}, "out of order"),
        ("entry_mm, transition_mm, exit_mm", {"transition_mm": 1.5}, "out of order"),
        (
            "entry_mm, transition_mm, exit_mm",
            {"transition_mm": None, "transition_index": None, "exit_mm": 1.0},
            "out of order",
        ),
        ("entry_index, transition_index, exit_index", {"exit_index": 3}, "out of order"),
        ("entry_mm", {"entry_mm": -0.1}, "downward"),
        ("exit_mm", {"exit_mm": float("nan")}, "not finite"),
        ("exit_mm", {"exit_mm": float("inf")}, "not finite"),
        ("exit_mm", {"exit_mm": 10**400}, "too large"),
        ("exit_mm", {"exit_mm": "13"}, "not a number"),
        ("exit_mm", {"exit_mm": True}, "not a number"),
        ("entry_index", {"entry_index": 1.0}, "not a whole number"),
        ("entry_index", {"entry_index": False}, "not a whole number"),
        ("entry_index", {"entry_index": -1}, "from 0"),
        ("entry_index", {"entry_mm": None}, "no depth"),
        ("confidence", {"confidence": 1.1}, "from 0 to 1"),
        ("source", {"source": "oracle"}, "human, automatic, model"),
        ("method", {"method": " "}, "empty"),
        ("method", {"method": None}, "not a text"),
        ("tool_version", {"tool_version": ""}, "empty"),
        ("by", {"by": None}, "whose it is"),
        ("by", {"by": ""}, "empty"),
        ("by", {"by": "\ud800"}, "no text file"),
        ("by", {"by": "a\0b"}, "no text file"),
        ("reason", NOWHERE, "no key point"),
        ("reason", {"reason": "too noisy"}, "all key points"),
        ("at", {"at": datetime(2026, 3, 1)}, "UTC"),
        ("at", {"at": NOON.astimezone(timezone(timedelta(hours=1)))}, "UTC"),
        ("at", {"at": "2026-03-01"}, "UTC"),
        ("log_digest", {"log_digest": DIGEST.upper()}, "sha256"),
        ("log_digest", {"log_digest": "ab"}, "sha256"),
        ("log_digest", {"log_digest": None}, "sha256"),
        ("file", {"file": ""}, "not a path"),
        ("file", {"file": None}, "not a path"),
        ("file", {"file": "/h1.xls"}, "below the folder"),
        ("file", {"file": "../h1.xls"}, "below the folder"),
        ("file", {"file": "a//h1.xls"}, "below the folder"),
        ("file", {"file": "./h1.xls"}, "below the folder"),
        ("file", {"file": "h\udce9.xls"}, "UTF-8"),
    ],
)
def test_what_cannot_be_a_label_is_refused(field: str, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidLabel, match=problem) as refused:
        made(**changes)
    assert refused.value.field == field
    assert refused.value.remedy


def test_a_hole_may_have_some_key_points_or_only_a_reason() -> None:
    assert made(exit_mm=None, exit_index=None).exit_mm is None
    assert made(exit_mm=None, exit_index=None, reason="breaks off").reason == "breaks off"
    assert made(**NOWHERE, reason="drilled in air").entry_mm is None


def test_numbers_of_numpy_become_plain_ones() -> None:
    label = made(entry_mm=np.float32(1.5), entry_index=np.int64(7), confidence=np.float64(1))
    assert (type(label.entry_mm), type(label.entry_index), type(label.confidence)) == (float, int, float)


def found(*depths: float | None, reasons: tuple[str, ...] = ()) -> KeyPoints:
    indexes = [None if depth is None else int(depth * 100) for depth in depths]
    return KeyPoints(*depths, *indexes, "broken line", 0.4, reasons)


def test_automatic_key_points_become_a_label() -> None:
    label = label_of(found(1.0, None, 9.0), FILE, at=NOON, tool_version="2", log_digest=DIGEST)
    assert (label.entry_mm, label.transition_mm, label.exit_mm) == (1.0, None, 9.0)
    assert (label.entry_index, label.exit_index, label.confidence) == (100, 900, 0.4)
    assert (label.source, label.method, label.reason, label.by) == ("automatic", "broken line", None, None)


@pytest.mark.parametrize("depths", [(None, None, None), (3.0, 2.0, 9.0), (1.0, 1.001, 9.0)])
def test_key_points_that_are_none_or_out_of_order_become_a_reason(depths: tuple[float | None, ...]) -> None:
    arguments: dict[str, Any] = {"at": NOON, "tool_version": "2", "log_digest": DIGEST, "source": "model"}
    label = label_of(found(*depths, reasons=("no exit found", "noise")), FILE, **arguments)
    assert (label.entry_mm, label.entry_index, label.reason) == (None, None, "no exit found; noise")
    assert label_of(found(*depths), FILE, **arguments).reason is not None


def test_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "h.xls").write_bytes(b"a log")
    assert digest_of(tmp_path / "h.xls") == DIGEST
    with pytest.raises(LabelsUnreadable, match="No such file"):
        digest_of(tmp_path / "none.xls")


def test_an_empty_store_answers_without_making_its_folder(store: LabelStore) -> None:
    assert store.current(FILE) is None
    assert (store.history(FILE), store.all_current(), store.problems()) == ((), {}, ())
    assert not store.folder.exists()


def test_a_label_is_kept_as_a_line_beside_its_logs_path(store: LabelStore) -> None:
    assert store.record(made())
    assert LabelStore(store.folder).current(FILE) == made()
    (line,) = lines(store)
    assert json.loads(line)["by"] == "Zoé"
    assert "Zoé" in line
    assert [path.name for path in store.folder.rglob("*")] == ["panel 1", "h1.xls.jsonl"]


def test_the_very_same_label_is_not_kept_twice(store: LabelStore) -> None:
    assert [store.record(made()), store.record(made()), store.record(made(minute=1))] == [True, False, True]
    assert len(lines(store)) == 2


def test_the_newest_human_label_wins_whatever_came_later(store: LabelStore) -> None:
    for label in (automatic(minute=0), made(minute=1), made(minute=2, by="Max"), automatic(minute=9)):
        store.record(label)
    store.record(made(minute=0, by="an import of old labels"))
    current = store.current(FILE)
    assert current is not None
    assert (current.source, current.by) == ("human", "Max")
    assert [entry.at.minute for entry in store.history(FILE)] == [0, 0, 1, 2, 9]


def test_without_a_human_label_the_newest_of_methods_and_models_holds(store: LabelStore) -> None:
    store.record(automatic(minute=2, source="model", method="mixer"))
    store.record(automatic(minute=1))
    current = store.current(FILE)
    assert current is not None
    assert current.method == "mixer"


def test_of_labels_of_one_moment_the_later_line_holds(store: LabelStore) -> None:
    for who in ("Ada", "Max"):
        store.record(made(by=who))
    assert store.current(FILE) == made(by="Max")


def test_all_current_has_one_label_a_log_in_order(store: LabelStore) -> None:
    for file in ("b.xls", "a/c.xls", "a.xls"):
        store.record(automatic(file))
        store.record(made(file))
    assert store.all_current() == {file: made(file) for file in ("a.xls", "a/c.xls", "b.xls")}
    assert list(store.all_current()) == ["a.xls", "a/c.xls", "b.xls"]


def test_labels_move_with_a_renamed_file(store: LabelStore) -> None:
    store.record(made())
    (store.folder / f"{FILE}.jsonl").rename(store.folder / "new.xls.jsonl")
    assert store.all_current() == {"new.xls": made("new.xls")}


def test_automatic_labels_said_again_leave_every_byte(store: LabelStore) -> None:
    files = ["a.xls", "b.xls"]
    assert store.record_automatic(automatic(file) for file in files) == Recorded(2, 0, 0)
    before = contents(store.folder)
    again = [automatic(file, minute=5, confidence=0.1, entry_mm=1.5 + 1e-9) for file in files]
    assert store.record_automatic(again) == Recorded(0, 2, 0)
    assert contents(store.folder) == before


def test_two_methods_that_take_turns_leave_every_byte(store: LabelStore) -> None:
    turns = [automatic(), automatic(minute=1, source="model", method="mixer")]
    store.record_automatic(turns)
    before = contents(store.folder)
    for minute in (10, 20):
        later = [dataclasses.replace(label, at=label.at + timedelta(minutes=minute)) for label in turns]
        assert store.record_automatic(later) == Recorded(0, 2, 0)
    assert contents(store.folder) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"tool_version": "1.1"},
        {"log_digest": digest_of(b"another")},
        {"entry_mm": 1.6},
        {"exit_mm": None, "exit_index": None},
        {"method": "gradient"},
        NOWHERE | {"reason": "too short"},
    ],
)
def test_an_automatic_label_that_says_something_new_is_added(
    store: LabelStore, changes: dict[str, Any]
) -> None:
    store.record_automatic([automatic()])
    assert store.record_automatic([automatic(minute=1, **changes)]) == Recorded(1, 0, 0)
    assert store.current(FILE) == automatic(minute=1, **changes)


def test_an_automatic_label_never_takes_the_place_of_a_persons(store: LabelStore) -> None:
    store.record(made())
    assert store.record_automatic([automatic(minute=5), automatic("b.xls")]) == Recorded(2, 0, 1)
    assert store.current(FILE) == made()
    assert store.history(FILE) == (made(), automatic(minute=5))


def test_record_automatic_refuses_a_persons_label_and_keeps_nothing(store: LabelStore) -> None:
    with pytest.raises(InvalidLabel, match="`record` takes"):
        store.record_automatic([automatic(), made()])
    assert not store.folder.exists()


def test_a_retraction_brings_back_the_automatic_label(store: LabelStore) -> None:
    for label in (automatic(), made(minute=1), made(minute=2)):
        store.record(label)
    retraction = store.retract(FILE, "Max", NOON + timedelta(minutes=3), "the wrong panel")
    assert store.current(FILE) == automatic()
    assert store.history(FILE)[-1] == retraction
    store.record(made(minute=4))
    assert store.current(FILE) == made(minute=4)


def test_retractions_that_take_nothing_back_are_refused(store: LabelStore) -> None:
    store.record(automatic())
    with pytest.raises(NothingToRetract) as refused:
        store.retract(FILE, "Max", NOON, "why not")
    assert (refused.value.file, refused.value.at) == (FILE, NOON.isoformat())
    store.record(made(minute=5))
    with pytest.raises(NothingToRetract):
        store.retract(FILE, "Max", NOON, "too early")
    for by, at, reason in (("", NOON, "x"), ("Max", NOON.replace(tzinfo=None), "x"), ("Max", NOON, " ")):
        with pytest.raises(InvalidLabel):
            store.retract(FILE, by, at, reason)


def test_a_label_made_on_other_bytes_is_stale_and_holds(store: LabelStore) -> None:
    other = digest_of(b"changed")
    store.record(made())
    store.record(automatic("b.xls"))
    assert store.stale({FILE: other, "b.xls": other}) == {FILE: made()}
    assert store.stale({FILE: DIGEST}) == {}
    assert store.stale({}) == {}
    assert store.current(FILE) == made()


@pytest.mark.parametrize("cut", [1, 40])
def test_a_torn_last_line_is_named_and_nothing_else_is_lost(store: LabelStore, cut: int) -> None:
    store.record(made())
    store.record(made(minute=1))
    path = store.folder / f"{FILE}.jsonl"
    path.write_bytes(path.read_bytes()[: -1 - cut])
    (problem,) = store.problems()
    assert (problem.kind, problem.path, problem.line) == ("torn_line", path, 2)
    assert store.current(FILE) == made()
    store.record(made(minute=2))
    assert store.history(FILE) == (made(), made(minute=2))
    assert [problem.kind for problem in store.problems()] == ["unreadable_line"]


def test_a_line_that_only_lacks_its_end_counts(store: LabelStore) -> None:
    store.record(made())
    path = store.folder / f"{FILE}.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    store.record(made(minute=1))
    assert len(store.history(FILE)) == 2
    assert store.problems() == ()


@pytest.mark.parametrize(
    "line",
    [
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"event": "wish"}',
        b'{"event": []}',
        b'{"event": "label", "file": "x"}',
        b'{"event": "label", "at": "2026-03-01T12:00:00+00:00"}',
        b'{"event": "retraction", "by": "a", "at": "yesterday", "reason": "b"}',
        b'{"event": "retraction", "by": "a", "at": 3, "reason": "b"}',
        b'{"event": "retraction", "by": "a", "at": "2026-03-01T12:00:00Z", "reason": "b", "c": 1}',
    ],
)
def test_lines_that_are_no_labels_are_named_and_skipped(store: LabelStore, line: bytes) -> None:
    store.record(made())
    path = store.folder / f"{FILE}.jsonl"
    path.write_bytes(line + b"\n\n" + path.read_bytes())
    assert [(problem.kind, problem.line) for problem in store.problems()] == [("unreadable_line", 1)]
    assert store.current(FILE) == made()


def test_a_write_that_fails_is_taken_back(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.record(made("a.xls"))
    before, real, calls = contents(store.folder), os.write, []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data)[: None if len(calls) == 1 else 9])

    monkeypatch.setattr(durable.os, "write", full)
    with pytest.raises(LabelsUnwritable, match="No space left"):
        store.record_automatic([automatic("a.xls"), automatic("b.xls")])
    assert contents(store.folder) == before


def test_short_writes_are_continued(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(durable.os, "write", lambda descriptor, data: real(descriptor, bytes(data)[:10]))
    store.record(made())
    monkeypatch.undo()
    assert store.history(FILE) == (made(),)


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_link_into_a_cache_is_replaced_and_the_cache_left(store: LabelStore, tmp_path: Path, link) -> None:
    store.record(made("a.xls"))
    path, cached = store.folder / "a.xls.jsonl", tmp_path / "cached"
    path.rename(cached)
    cached.chmod(0o444)
    link(cached, path)
    before = cached.read_bytes()
    store.record(made("a.xls", minute=1))
    assert cached.read_bytes() == before
    assert len(store.history("a.xls")) == 2
    assert [file.name for file in store.folder.iterdir()] == ["a.xls.jsonl"]


def test_paths_that_the_disk_refuses_are_named(store: LabelStore) -> None:
    with pytest.raises(LabelsUnreadable, match="name too long"):
        store.record(made("x" * 300))
    store.record(made("a"))
    with pytest.raises(LabelsUnreadable, match="Not a directory"):
        store.record(made("a.jsonl/b"))
    store.folder.joinpath("c.jsonl").mkdir()
    with pytest.raises(LabelsUnreadable, match="Is a directory"):
        store.history("c")
    with pytest.raises(InvalidLabel):
        store.history("../a")
    assert store.all_current() == {"a": made("a")}


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "file" / "labels")
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelsUnwritable, match="Not a directory"):
        store.record(made())
    with pytest.raises(LabelsUnreadable, match="Not a directory"):
        LabelStore(tmp_path / "file").all_current()
    with pytest.raises(LabelsUnwritable):
        LabelStore(tmp_path / "labels").export_json(tmp_path / "file" / "out.json")


@pytest.fixture
def full_store(store: LabelStore) -> LabelStore:
    store.record(made("a.xls", by='Zoé, "the" annotator'))
    store.record(automatic("a.xls", minute=1))
    store.record(automatic("b/c.xls", entry_mm=0.1 + 0.2))
    store.record(made("d.xls", **NOWHERE, reason="two lines:\nair, then a stack"))
    return store


@pytest.mark.parametrize("form", ["json", "csv"])
def test_what_is_exported_is_imported_alike_and_once(
    full_store: LabelStore, tmp_path: Path, form: str
) -> None:
    path, other = tmp_path / "out" / f"labels.{form}", LabelStore(tmp_path / "other")
    assert getattr(full_store, f"export_{form}")(path) == 3
    first = path.read_bytes()
    assert getattr(other, f"import_{form}")(path) == Imported(3, 0)
    assert other.all_current() == full_store.all_current()
    before = contents(other.folder)
    assert getattr(other, f"import_{form}")(path) == Imported(0, 3)
    assert contents(other.folder) == before
    getattr(other, f"export_{form}")(path)
    assert path.read_bytes() == first


def test_csv_has_a_row_a_label_under_names(full_store: LabelStore, tmp_path: Path) -> None:
    full_store.export_csv(tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["file"], row["entry_mm"], row["by"]) for row in rows] == [
        ("a.xls", "1.5", 'Zoé, "the" annotator'),
        ("b/c.xls", "0.30000000000000004", ""),
        ("d.xls", "", "Zoé"),
    ]


def test_an_import_takes_a_label_once_and_older_ones_do_not_win(store: LabelStore, tmp_path: Path) -> None:
    values = [to_values(made(minute=minute)) for minute in (1, 1, 2)]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"format": "drilling labels", "labels": values}))
    store.record(made(minute=9, by="Max"))
    assert store.import_json(path) == Imported(2, 1)
    assert store.current(FILE) == made(minute=9, by="Max")


def test_an_import_with_a_bad_entry_keeps_nothing_and_names_all(store: LabelStore, tmp_path: Path) -> None:
    good = to_values(made())
    bad = [{**good, "entry_mm": 99.0}, 3, {**good, "colour": "red"}, {**good, "at": "noon"}]
    bad += [{key: value for key, value in good.items() if key != "method"}, {**good, "by": None}]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"format": "drilling labels", "labels": [good, *bad]}))
    with pytest.raises(ImportRefused, match="and 1 more") as refused:
        store.import_json(path)
    assert [row for row, _ in refused.value.rows] == [2, 3, 4, 5, 6, 7]
    for word, (_, problem) in zip(
        ("order", "object", "colour", "noon", "method", "whose"), refused.value.rows, strict=True
    ):
        assert word in problem
    assert not store.folder.exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "not JSON"),
        (b"[]", "format"),
        (b"[" * 100_000, "not JSON"),
        (b'{"format": "drilling labels"}', "no list"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_json_that_holds_no_labels_is_named(
    store: LabelStore, tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "labels.json").write_bytes(content)
    with pytest.raises(LabelsUnreadable, match=problem):
        store.import_json(tmp_path / "labels.json")
    with pytest.raises(LabelsUnreadable, match="No such file"):
        store.import_json(tmp_path / "none.json")


def test_a_sheet_of_a_person_may_leave_out_what_may_be_empty(store: LabelStore, tmp_path: Path) -> None:
    row = f"a.xls,1.5,13,human,by eye,Ada,2026-03-01T12:00:00Z,1,{DIGEST}"
    names = "file,entry_mm,exit_mm,source,method,by,at,tool_version,log_digest"
    (tmp_path / "sheet.csv").write_bytes(f"\ufeff{names}\r\n{row}\r\n".encode())
    assert store.import_csv(tmp_path / "sheet.csv") == Imported(1, 0)
    label = store.current("a.xls")
    assert label is not None
    assert (label.entry_mm, label.transition_mm, label.exit_mm, label.at) == (1.5, None, 13.0, NOON)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("1.5", "one"), "decimal point"),
        (("100", "100.5"), "decimal point"),
        (("1.5", "99"), "out of order"),
        ((",human", ""), "more or fewer cells"),
        ((",human", ",human,human"), "more or fewer cells"),
        (("human", "oracle"), "source"),
    ],
)
def test_a_row_that_is_no_label_is_named_by_its_line(
    store: LabelStore, tmp_path: Path, change: tuple[str, str], problem: str
) -> None:
    path, good = tmp_path / "labels.csv", LabelStore(tmp_path / "good")
    for file in ("a.xls", "b.xls"):
        good.record(made(file))
    good.export_csv(path)
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:2], rows[2].replace(*change), ""]))
    with pytest.raises(ImportRefused, match=problem) as refused:
        store.import_csv(path)
    assert [row for row, _ in refused.value.rows] == [3]
    assert not store.folder.exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "no column `file`"),
        ("file;by\na;b\n", "divided by commas"),
        ("file,by,by\na,b,c\n", "twice"),
        ('file,by\n"a"b,c\n', "line 2 is not CSV"),
    ],
)
def test_csv_that_holds_no_labels_is_named(
    store: LabelStore, tmp_path: Path, content: str, problem: str
) -> None:
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(LabelsUnreadable, match=problem):
        store.import_csv(tmp_path / "labels.csv")


_WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from drilling.labeling.label import Label
from drilling.labeling.label_store import LabelStore

who, store = sys.argv[2], LabelStore(Path(sys.argv[1]))
def label(file, source, place):
    by = who if source == "human" else None
    at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=place)
    return Label(file, 1.0, 2.0, 3.0, None, None, None, source, "m", None, by, at, "1", None, "0" * 64)
for place in range(25):
    store.record(label("shared.xls", "human", place))
    store.record_automatic([label(f"{place}.xls", "automatic", int(who))])
    assert not store.problems()
"""


def test_processes_that_write_at_once_lose_and_repeat_nothing(store: LabelStore) -> None:
    command = [sys.executable, "-c", _WRITER, str(store.folder)]
    started = [subprocess.Popen([*command, str(who)], stderr=subprocess.PIPE, text=True) for who in range(4)]
    for process in started:
        _, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint
    given = {(entry.by, entry.at) for entry in store.history("shared.xls")}
    assert len(given) == len(store.history("shared.xls")) == 100
    assert all(len(store.history(f"{place}.xls")) == 1 for place in range(25))
    assert store.problems() == ()


@pytest.mark.parametrize(
    "error",
    [
        InvalidLabel("a.xls", "at", "is late"),
        LabelsUnreadable(Path("labels"), "gone"),
        LabelsUnwritable(Path("labels"), "full"),
        ImportRefused(Path("labels.csv"), ((3, "no depth"),)),
        NothingToRetract("a.xls", NOON),
    ],
    ids=lambda error: type(error).__name__,
)
def test_refusals_say_what_to_do_and_cross_processes(error: DrillingError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.fields) == (type(error), error.message, error.fields)
    assert error.remedy


def test_a_retraction_says_who_and_why() -> None:
    with pytest.raises(InvalidLabel, match="by is empty"):
        Retraction(FILE, "", NOON, "x")
