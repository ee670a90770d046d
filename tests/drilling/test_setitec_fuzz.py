"""Damaged files: nothing but LogUnreadable is raised, and no untouched row gets a silent wrong number.

20,000 mutations of logs of every version. Each data row carries its own position, so that a row which
the mutation left alone is found again by what it says.
"""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drilling.errors import LogUnreadable
from drilling.setitec import SetitecLog, names, read_log
from drilling.setitec.writer import LogContent, encode_log
from drilling.synthetic import make_hole

CASES, CHUNKS = 20_000, 40
ROWS = 60
COMMON = names.COMMON_SIGNALS
_TITLE = b"*** Datas ***"


@cache
def originals() -> tuple[bytes, ...]:
    """A short log of each version; every row's position occurs once."""
    return tuple(_short(version) for version in (4, 7, 8, 9, 11))


def _short(version: int) -> bytes:
    captured: list[LogContent] = []
    import drilling.synthetic as synthetic

    encode = synthetic.encode_log
    try:
        synthetic.encode_log = lambda content: captured.append(content) or encode(content)  # type: ignore[assignment]
        make_hole(0, holes=40, seed=7)
    finally:
        synthetic.encode_log = encode
    content = captured[0]
    half = content.signals.height // 2
    signals = content.signals[half - ROWS // 2 : half + ROWS // 2]
    steps = [1] * (ROWS // 2) + [2] * (ROWS // 2)
    signals = signals.with_columns(
        position_mm=pl.Series(1 + np.arange(ROWS) * 0.017),
        torque_a=pl.Series(0.1 + np.arange(ROWS) * 0.031),
        step=pl.Series(steps),
        gap_length_mm=pl.lit(0.5),
    )
    recent = version >= 8
    program = [_renamed(row, recent) for row in content.program]
    return encode_log(dataclasses.replace(content, version=version, signals=signals, program=program))


def _renamed(row: object, recent: bool) -> dict[str, object]:
    new = {"DEP (mm)": "Stroke (mm)", "AV (mm/s)": "Feed (mm/s)", "AV (mm/tr)": "Feed (mm/tr)"}
    return {new.get(name, name) if recent else name: value for name, value in row.items()}  # type: ignore[attr-defined]


Mutation = Callable[[random.Random, bytes], bytes]


def _flip(rng: random.Random, raw: bytes) -> bytes:
    damaged = bytearray(raw)
    for _ in range(rng.randint(1, 8)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return bytes(damaged)


def _flip_bits(rng: random.Random, raw: bytes) -> bytes:
    damaged = bytearray(raw)
    for _ in range(rng.randint(1, 5)):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _insert(rng: random.Random, raw: bytes) -> bytes:
    place = rng.randrange(len(raw))
    return raw[:place] + bytes(rng.randrange(256) for _ in range(rng.randint(1, 4))) + raw[place:]


def _delete(rng: random.Random, raw: bytes) -> bytes:
    place = rng.randrange(len(raw))
    return raw[:place] + raw[place + rng.randint(1, 30) :]


def _truncate(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw))]


def _drop_rows(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    begin = rng.randrange(len(lines))
    return b"\n".join(lines[:begin] + lines[begin + rng.randint(1, 6) :])


def _cut_row(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    row = rng.randrange(len(lines))
    cut = rng.randint(0, len(lines[row]))
    lines[row] = lines[row][:cut] if rng.random() < 0.5 else lines[row][cut:]
    return b"\n".join(lines)


def _repeat_row(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    row = rng.randrange(len(lines))
    return b"\n".join([*lines[:row], lines[row], *lines[row:]])


def _separators_of_a_row(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    row = rng.randrange(len(lines))
    lines[row] = lines[row].replace(b"\t", rng.choice([b";", b" ", b",", b"|", b"\t\t", b""]))
    return b"\n".join(lines)


def _separators_of_the_file(rng: random.Random, raw: bytes) -> bytes:
    return raw.replace(b"\t", rng.choice([b";", b" ", b",", b"|", b"    "]))


def _decimal_marks(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    for row in range(len(lines)):
        if rng.random() < 0.3:
            lines[row] = lines[row].replace(b",", b".")
    return b"\n".join(lines)


def _cell(rng: random.Random, raw: bytes) -> bytes:
    lines = raw.split(b"\n")
    row = rng.randrange(len(lines))
    cells = lines[row].split(b"\t")
    texts = [b"", b"Inf", b"NaN", b"1e3", b"-", b"abc", b"1,2,3", b"1.234,5", b"9" * 40, b"0x10", b" 1,000 "]
    cells[rng.randrange(len(cells))] = rng.choice(texts)
    lines[row] = b"\t".join(cells)
    return b"\n".join(lines)


def _shuffle_sections(rng: random.Random, raw: bytes) -> bytes:
    sections = _sections(raw)
    rng.shuffle(sections)
    return b"".join(sections)


def _drop_section(rng: random.Random, raw: bytes) -> bytes:
    sections = _sections(raw)
    sections.pop(rng.randrange(len(sections)))
    return b"".join(sections)


def _repeat_section(rng: random.Random, raw: bytes) -> bytes:
    sections = _sections(raw)
    sections.insert(rng.randrange(len(sections)), rng.choice(sections))
    return b"".join(sections)


def _sections(raw: bytes) -> list[bytes]:
    sections: list[list[bytes]] = [[]]
    for line in raw.splitlines(keepends=True):
        if line.startswith(b"***"):
            sections.append([])
        sections[-1].append(line)
    return [b"".join(section) for section in sections if section]


def _line_ends(rng: random.Random, raw: bytes) -> bytes:
    return b"".join(line + rng.choice([b"\n", b"\r\n", b"\r"]) for line in raw.split(b"\n"))


def _nuls(rng: random.Random, raw: bytes) -> bytes:
    place = rng.randrange(len(raw))
    return raw[:place] + rng.choice([b"\0", b"\\u0000", b"\xef\xbf\xbd", b"\xff"]) + raw[place:]


def _title(rng: random.Random, raw: bytes) -> bytes:
    titles = [line for line in raw.split(b"\n") if line.startswith(b"***")]
    old = rng.choice(titles)
    return raw.replace(old, _cut_row(rng, _flip_bits(rng, old)) if rng.random() < 0.5 else b"")


def _names(rng: random.Random, raw: bytes) -> bytes:
    old = [*raw.split(_TITLE)[1].split(b"\n"), b""][1]
    return raw.replace(old, _flip_bits(rng, old) if old and rng.random() < 0.7 else b"")


def _twice(rng: random.Random, raw: bytes) -> bytes:
    return raw + rng.choice(originals())


MUTATIONS: tuple[Mutation, ...] = (
    _flip, _flip_bits, _insert, _delete, _truncate, _drop_rows, _cut_row, _repeat_row, _separators_of_a_row,
    _separators_of_the_file, _decimal_marks, _cell, _shuffle_sections, _drop_section, _repeat_section,
    _line_ends, _nuls, _title, _names, _twice,
)  # fmt: skip
BLIND: tuple[Mutation, ...] = (
    _flip,
    _flip_bits,
    _insert,
    _delete,
    _cut_row,
    _cell,
    _line_ends,
    _nuls,
    _twice,
)
"""Mutations that need no sections in the file."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_mutations(chunk: int) -> None:
    for case in range(chunk * CASES // CHUNKS, (chunk + 1) * CASES // CHUNKS):
        rng = random.Random(case)
        original = rng.choice(originals())
        damaged, done = original, []
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            mutation = rng.choice(
                MUTATIONS if damaged.count(_TITLE) == 1 and damaged.count(b"\n") > 9 else BLIND
            )
            done.append(mutation.__name__)
            damaged = mutation(rng, damaged) or b"\n"
        try:
            log = read_log(damaged)
        except LogUnreadable:
            kept = _untouched(original, damaged) if done == ["_names"] or done == ["_title"] else []
            assert not kept, f"case {case} {done}: unreadable, though {len(kept)} rows are whole"
            continue
        _check(original, damaged, log, f"case {case} {done}")


def _untouched(original: bytes, damaged: bytes) -> list[bytes]:
    """The data rows of the original that are rows of the damaged file, too."""
    rows = set(damaged.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
    return [row for row in _rows(original) if row in rows]


def _rows(raw: bytes) -> list[bytes]:
    return raw.split(_TITLE)[1].split(b"\n")[2:-1]


def _check(original: bytes, damaged: bytes, log: SetitecLog, where: str) -> None:
    """Every untouched row of the original is read as it was, or its difference is a named problem."""
    true = read_log(original)
    kept = set(_untouched(original, damaged))
    known = {problem.kind for problem in log.problems} - {problem.kind for problem in true.problems}
    read = defaultdict(list)
    for row in log.signals.iter_rows(named=True):
        if row["position_mm"] is not None:
            read[round(row["position_mm"], 3)].append(row)
    rows_begin = len(original) - len(b"\n".join(_rows(original))) - 1
    # A second file in the same bytes has the same rows, which are not read.
    strict = damaged.startswith(original[:rows_begin]) and damaged.count(_TITLE) == 1
    for line, row in zip(_rows(original), true.signals.iter_rows(named=True), strict=True):
        if line not in kept:
            continue
        found = read[round(row["position_mm"], 3)]
        if any(all(other[name] == row[name] for name in COMMON) for other in found):
            continue
        assert known, f"{where}: no row is {row}, and no problem says so; at its depth: {found}"
        assert not strict, f"{where}: no row is {row}, though header and row are whole; at its depth: {found}"
    if log.sample_rate_hz != true.sample_rate_hz:
        assert known, f"{where}: a sample rate of {log.sample_rate_hz} Hz, and no problem says so"


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=4000))
def test_any_bytes_are_read_or_unreadable(raw: bytes) -> None:
    _reads_or_refuses(raw)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.lists(
            st.sampled_from(
                ["1,000", "-0,5", "Inf", "", "Position (mm)", "I Torque (A)", "*** Datas ***", "a\tb", "é"]
            ),
            max_size=12,
        ),
        max_size=30,
    ),
    st.sampled_from(["\t", ";", ","]),
)
def test_any_table_is_read_or_unreadable(rows: list[list[str]], delimiter: str) -> None:
    _reads_or_refuses("\n".join(delimiter.join(row) for row in rows).encode())


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 4), st.integers(0, 20_000), st.binary(min_size=1, max_size=60))
def test_any_bytes_in_a_log_are_read_or_unreadable(version: int, place: int, middle: bytes) -> None:
    raw = originals()[version]
    _reads_or_refuses(raw[: place % len(raw)] + middle + raw[place % len(raw) :])


def _reads_or_refuses(raw: bytes) -> None:
    try:
        log = read_log(raw)
    except LogUnreadable:
        return
    assert log.signals.height > 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("fill", [b"\t", b"*", b"***\n", b"1,000\t", b"\n", b";", b"*** a ***\n", b"a\n"])
def test_a_megabyte_of_one_thing_does_not_hang(fill: bytes) -> None:
    _reads_or_refuses((fill * (1_000_000 // len(fill)))[:1_000_000])
