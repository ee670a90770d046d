"""Which head, tool and recipe drilled a hole, and the counters that the header and the file name give."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from drilling.setitec import SetitecLog
from drilling.validation.program import ProgramStep

_FILE_COUNTERS = re.compile(r"_ST_(\d+)_(\d+)(?:_(\d+))?\.xls$", re.IGNORECASE)
_AIR = re.compile(r"\bair\b|\bà vide\b|\bdry run\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who drilled; texts are empty and counters None where the log does not say.

    `file_counters` has three parts where the hole was drilled in air first (`..._ST_2_1_1.xls`).
    `counters_named` is false where the header calls them only `Counter 1` and `Counter 2`.
    """

    head: str
    tag: str
    recipe: str
    global_counter: int | None
    local_counter: int | None
    counters_named: bool
    file_counters: tuple[int, ...]
    said_air: bool

    @property
    def air_expected(self) -> bool:
        """Whether the file name or the customer says that the hole was drilled in air."""
        return len(self.file_counters) == 3 or self.said_air

    @property
    def unit(self) -> tuple[str, str] | None:
        """What one global counter belongs to: a head's name with its tag; None where both are empty."""
        return (self.head, self.tag) if self.head or self.tag else None


def identity_of(log: SetitecLog, program: tuple[ProgramStep, ...]) -> Identity:
    """Read the head section, the recipe's number and speeds, and the file's name."""
    head = log.header.get("Head Datas", {})
    counters = _counters(head)
    return Identity(
        head=head.get("Head Name", "").strip(),
        tag=head.get("Head TAG UID", "").strip(),
        recipe=_recipe(log, program),
        global_counter=counters.get("global"),
        local_counter=counters.get("local"),
        counters_named=any("Global" in name for name in head),
        file_counters=file_counters(log.source),
        said_air=any(map(_AIR.search, _customer_texts(log))),
    )


def file_counters(source: str) -> tuple[int, ...]:
    """The counters at the end of a file's name: none, two, or three where air was drilled first."""
    match = _FILE_COUNTERS.search(source)
    return tuple(int(part) for part in match.groups() if part is not None) if match else ()


def _counters(head: Mapping[str, str]) -> dict[str, int]:
    """The head's counters. Some versions number them: the first is the global one, as in file names."""
    counters: dict[str, int] = {}
    for name, text in head.items():
        count = _whole(text) if "Counter" in name else None
        if count is None:
            continue
        if name.endswith(("1", "2")):
            counters.setdefault("global" if name.endswith("1") else "local", count)
        elif "Global" in name or "Local" in name:
            counters.setdefault("global" if "Global" in name else "local", count)
    return counters


def _whole(text: str) -> int | None:
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def _recipe(log: SetitecLog, program: tuple[ProgramStep, ...]) -> str:
    pset = log.header.get("Pset", {})
    name = next((text for key, text in pset.items() if key.startswith(("Pset n", "Pset Nb"))), "")
    speeds = (f"{step.number}:{step.rpm}/{step.feed_mm_s}" for step in program if step.on)
    return f"{name.strip()} {' '.join(speeds)}".strip()


def _customer_texts(log: SetitecLog) -> list[str]:
    return [
        text
        for section in log.header.values()
        for name, text in section.items()
        if "Customer" in name or name == "Comment"
    ]
