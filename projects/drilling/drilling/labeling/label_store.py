"""The labels of a folder of logs, kept as lines that are only ever added: a folder for DVC to version."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from drilling.labeling import durable, label_exchange
from drilling.labeling.keypoints import KEY_POINTS
from drilling.labeling.label import Entry, Label, Retraction
from drilling.labeling.label_checks import check_file
from drilling.labeling.label_errors import InvalidLabel, LabelsUnreadable, LabelsUnwritable, NothingToRetract
from drilling.labeling.label_lines import (
    SUFFIX,
    LabelProblem,
    entries_of,
    in_force,
    line_of,
    newest_human,
    newest_other,
)

_SAME_DEPTH_MM = 1e-6
_Form = Callable[[Iterable[Label]], bytes]
_Read = tuple[tuple[Entry, ...], tuple[LabelProblem, ...]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many automatic labels were added, how many were there already, and how many of both a
    person's label stands before."""

    added: int
    unchanged: int
    behind_human: int


@dataclass(frozen=True, slots=True)
class Imported:
    """How many labels were added, and how many were there already."""

    added: int
    skipped: int


class LabelStore:
    """Labels under a folder: those of log `a/b.xls` in `a/b.xls.jsonl`, a line for each ever given.

    Threads and processes of one machine may share it. A label returns once it is on the disk. Lines
    that cannot be read are left out of every answer and listed by `problems`. The order of labels is
    that of their `at`. Every method raises LabelsUnreadable or LabelsUnwritable where the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, label: Label) -> bool:
        """Add a label; False where this very label, of the same moment, is there already."""
        with self._writing():
            if label in self._read(label.file)[0]:
                return False
            self._append([label])
        return True

    def record_automatic(self, labels: Iterable[Label]) -> Recorded:
        """Add labels of a method or a model, of which none takes the place of a person's.

        One that says again what the newest of its source and method says (tool version, digest of
        the log, depths, reason) is not added, so that running twice changes no file. A new confidence
        alone is no new label: it comes with a new tool version. Raises InvalidLabel for a person's label.
        """
        given = tuple(labels)
        for label in given:
            if label.source == "human":
                raise InvalidLabel(label.file, "source", "is human: `record` takes the labels of people")
        with self._writing():
            entries = {label.file: list(self._read(label.file)[0]) for label in given}
            added: list[Label] = []
            for label in given:
                if not _says_the_same(newest_other(entries[label.file], label), label):
                    entries[label.file].append(label)
                    added.append(label)
            self._append(added)
        behind = sum(newest_human(entries[label.file]) is not None for label in given)
        return Recorded(len(added), len(given) - len(added), behind)

    def retract(self, file: str, by: str, at: datetime, reason: str) -> Retraction:
        """Take back every label that people gave to a log until then; the newest automatic one holds.

        Raises NothingToRetract, and InvalidLabel for a retraction without who, when (in UTC) and why.
        """
        retraction = Retraction(file, by, at, reason)
        with self._writing():
            human = newest_human(self._read(file)[0])
            if human is None or human.at > at:
                raise NothingToRetract(file, at)
            self._append([retraction])
        return retraction

    def current(self, file: str) -> Label | None:
        """The label that holds: a person's newest, else the newest automatic one; None without any."""
        return in_force(self.history(file))

    def history(self, file: str) -> tuple[Entry, ...]:
        """Every label and retraction of a log, oldest first."""
        check_file(file)
        with self._reading() as there:
            return self._read(file)[0] if there else ()

    def all_current(self) -> dict[str, Label]:
        """The label that holds for each log, by its path and in the order of paths."""
        found = {file: in_force(entries) for file, (entries, _) in self._read_all().items()}
        return {file: label for file, label in found.items() if label is not None}

    def stale(self, digests: Mapping[str, str]) -> dict[str, Label]:
        """The current labels of people that were made on other bytes than their log now has.

        `digests` has the `digest_of` each log by its path. A stale label is kept and still holds.
        """
        current = self.all_current()
        return {
            file: label
            for file, label in current.items()
            if label.source == "human" and file in digests and label.is_stale(digests[file])
        }

    def problems(self) -> tuple[LabelProblem, ...]:
        """Every line of the folder that is no label."""
        return tuple(problem for _, problems in self._read_all().values() for problem in problems)

    def export_json(self, path: Path) -> int:
        """Write every current label to one JSON file, in one step; returns how many."""
        return self._export(path, label_exchange.to_json)

    def export_csv(self, path: Path) -> int:
        """Write every current label to one CSV file, in one step; returns how many."""
        return self._export(path, label_exchange.to_csv)

    def import_json(self, path: Path) -> Imported:
        """Add the labels of an exported JSON file, all or none. Raises ImportRefused."""
        return self._import(label_exchange.from_json(path))

    def import_csv(self, path: Path) -> Imported:
        """Add the labels of an exported CSV file, all or none. Raises ImportRefused."""
        return self._import(label_exchange.from_csv(path))

    def _export(self, path: Path, form: _Form) -> int:
        labels = self.all_current().values()
        with _written(path):
            durable.replace(path, form(labels))
        return len(labels)

    def _import(self, labels: tuple[Label, ...]) -> Imported:
        with self._writing():
            known = {label.file: set(self._read(label.file)[0]) for label in labels}
            new = [label for label in dict.fromkeys(labels) if label not in known[label.file]]
            self._append(new)
        return Imported(len(new), len(labels) - len(new))

    def _append(self, entries: Iterable[Entry]) -> None:
        pieces: dict[Path, bytes] = {}
        for entry in entries:
            path = self._path(entry.file)
            pieces[path] = pieces.get(path, b"") + line_of(entry)
        durable.append_all(pieces)

    def _read(self, file: str) -> _Read:
        path = self._path(file)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise LabelsUnreadable(path, error.strerror or "it cannot be opened") from error
        return entries_of(file, path, content)

    def _read_all(self) -> dict[str, _Read]:
        with self._reading() as there:
            return {file: self._read(file) for file in sorted(self._files())} if there else {}

    def _files(self) -> Iterator[str]:
        for folder, _, names in os.walk(self.folder, onerror=_raise):
            for name in names:
                if name.endswith(SUFFIX):
                    path = Path(folder, name.removesuffix(SUFFIX))
                    yield path.relative_to(self.folder).as_posix()

    def _path(self, file: str) -> Path:
        return self.folder / f"{file}{SUFFIX}"

    @contextmanager
    def _reading(self) -> Iterator[bool]:
        """Holds the folder while writers wait; False where there is none yet."""
        if not self.folder.exists():
            yield False
            return
        try:
            with durable.locked(self.folder, exclusive=False):
                yield True
        except OSError as error:
            raise LabelsUnreadable(self.folder, error.strerror or str(error)) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Holds the folder alone."""
        with _written(self.folder):
            durable.make_folder(self.folder)
            with durable.locked(self.folder, exclusive=True):
                yield


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LabelsUnwritable(Path(error.filename or path), error.strerror or str(error)) from error


def _raise(error: OSError) -> None:
    raise error


def _says_the_same(known: Label | None, label: Label) -> bool:
    if known is None:
        return False
    same = ("tool_version", "log_digest", "reason")
    return all(getattr(known, name) == getattr(label, name) for name in same) and all(
        _same_depth(getattr(known, name), getattr(label, name)) for name in KEY_POINTS
    )


def _same_depth(known: float | None, depth: float | None) -> bool:
    if known is None or depth is None:
        return known is depth
    return math.isclose(known, depth, rel_tol=0, abs_tol=_SAME_DEPTH_MM)
