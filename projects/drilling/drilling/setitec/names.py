"""The names that Setitec logs use, and the ones this package gives their columns."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache

GENERAL, BOX, MOTOR, HEAD = "General Infos", "Control Box Datas", "Motor Datas", "Head Datas"
PSET, CYCLE, PROGRAM = "Pset", "Cycle Parameters", "Program"
EXTERNAL, RESULTS, STEP_RESULTS, DATAS = "External Infos", "Results", "Step Results", "Datas"

SIGNALS = {
    "Position (mm)": "position_mm",
    "I Torque (A)": "torque_a",
    "I Thrust (A)": "thrust_a",
    "I Torque Empty (A)": "torque_empty_a",
    "I Thrust Empty (A)": "thrust_empty_a",
    "Step (nb)": "step",
    "Stop code": "stop_code",
    "Mem Torque min (A)": "mem_torque_min_a",
    "Mem Thrust min (A)": "mem_thrust_min_a",
    "Rotation Speed (rpm)": "rotation_speed_rpm",
    "Feed Speed (mm/s)": "feed_speed_mm_s",
    "Torque Power (W)": "torque_power_w",
    "Power (W)": "power_w",
    "Gap Length (mm)": "gap_length_mm",
}
COMMON_SIGNALS = tuple(SIGNALS.values())[:7]

BOX_NAMES = (
    "BOX Name", "BOX Type", "BOX SN", "BOX STSE", "BOX Customer Info", "BOX Release",
    "BOX Firmware Version", "BOX Production Date", "BOX Maintenance Date", "BOX Operation Time",
    "BOX Power Supply Limit", "BOX Lub Pump Coef.", "Pset Default Selection", "Module Disable",
)  # fmt: skip
MOTOR_NAMES = (
    "Motor Name", "Motor Type", "Motor STSE", "Motor SN", "Motor Operation Time", "Motor M2 Ratio",
    "Motor M1 CW Ratio", "Motor M1 CCW Ratio", "Motor Winch Limit", "Motor Production Date",
    "Motor Maintenance Date",
)  # fmt: skip
HEAD_NAMES = (
    "Head Name", "Head Type", "Head TAG UID", "Head Global Counter", "Head Local Counter",
    "Head Counter 1", "Head Counter 2", "Head Global Counter 1", "Head Global Counter 2",
    "Head M1 Ratio", "Head M2 Ratio", "Customer Info", "Micropeck Osc.", "Micropeck Amplitude",
)  # fmt: skip
PSET_NAMES = ("Pset n°", "Pset Nb.", "Pset Name", "Drilling Cycle ID")
CYCLE_NAMES = (
    "Max cycles", "Max cycles Limit 1", "Max cycles Limit 2", "CC Pressure", "Max Stroke (mm)",
    "Vacuum Delay (ms)", "Vacuum Flow min (m/s)", "Retract Rotation Speed (rpm)", "Retract Feed (m/s)",
    "Disable Abort", "Cutting tool breakage On/Off", "DEP (mm)", "Thrust (A)", "Torque (A)",
    "Lub Preload Time (s)", "Lub Air", "Lub Flow", "Timeout (s)", "Comment",
)  # fmt: skip
PROGRAM_NAMES = (
    "Step Nb", "Step On/Off", "Stroke (mm)", "DEP (mm)", "RPM", "Feed (mm/s)", "Feed (mm/tr)",
    "AV (mm/s)", "AV (mm/tr)", "Thrust Max (A)", "Torque Max (A)", "Thrust Min (A)", "Torque Min (A)",
    "Thrust Safety (A)", "Torque Safety (A)", "Gap (mm)", "Peck (nb)", "Delay (ms)", "Stroke Limit (A)",
    "Thrust Limit (A)", "Torque Limit (A)", "LUB AIR", "LUB FLOW", "Vacuum", "Material",
)  # fmt: skip
RESULT_NAMES = ("Cycle Time (s)", "Distance (mm)", "Cycle OK", "Consumption Wh")
STEP_RESULT_NAMES = (
    "Step Number", "Stop Code", "Duration (s)", "Distance M1", "Distance M2", "M1 Max Amp",
    "M2 Max Amp", "M1 No Load Amp", "M2 No Load Amp", "Gap Max (mm)",
)  # fmt: skip
GENERAL_NAMES = ("Version", "Date", "Sample Rate (Hz)", "Decimal Separator separator", "Decimal Separator")

KNOWN_NAMES: dict[str, tuple[str, ...]] = {
    GENERAL: GENERAL_NAMES,
    BOX: BOX_NAMES,
    MOTOR: MOTOR_NAMES,
    HEAD: HEAD_NAMES,
    PSET: PSET_NAMES,
    CYCLE: CYCLE_NAMES,
    PROGRAM: PROGRAM_NAMES,
    RESULTS: RESULT_NAMES,
    STEP_RESULTS: STEP_RESULT_NAMES,
    DATAS: tuple(SIGNALS),
}

TITLES = frozenset(KNOWN_NAMES)
OPTIONAL_SIGNALS = {
    4: (
        "Mem Torque min (A)", "Mem Thrust min (A)", "Rotation Speed (rpm)", "Feed Speed (mm/s)",
        "Torque Power (W)",
    ),
    7: ("Mem Torque min (A)", "Mem Thrust min (A)", "Torque Power (W)", "Gap Length (mm)"),
    8: ("Mem Torque min (A)", "Mem Thrust min (A)", "Torque Power (W)", "Gap Length (mm)"),
    9: ("Torque Power (W)", "Gap Length (mm)"),
    11: ("Power (W)", "Gap Length (mm)"),
}  # fmt: skip
VERSIONS = frozenset(OPTIONAL_SIGNALS)
# Version 4 writes stroke and feed in French.
_COLUMN_ALIASES = {"dep_mm": "stroke_mm", "av_mm_s": "feed_mm_s", "av_mm_tr": "feed_mm_rev"}
_DAMAGED_PSET = re.compile(r"^Pset n(ï¿½|Â°|\ufffd|\?)+$")
_CLOSE = 0.8
_OWNERS = {
    name: title
    for title, known in KNOWN_NAMES.items()
    for name in known
    if sum(name in others for others in KNOWN_NAMES.values()) == 1
}
_SETS = {title: frozenset(known) for title, known in KNOWN_NAMES.items()}


@cache
def column_name(name: str) -> str:
    """A table column for a name of the format: `AV (mm/tr)` -> `feed_mm_rev`."""
    column = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    column = _COLUMN_ALIASES.get(column, column)
    return column.replace("_mm_tr", "_mm_rev") or "unnamed"


def known_in(title: str) -> frozenset[str]:
    """The names that a section of that title is known to have; none for an unknown title."""
    return _SETS.get(title, frozenset())


def owner_of(cells: Sequence[str]) -> str | None:
    """The section whose own names make up at least half of a row, if there is one."""
    owners = [_OWNERS[cell] for cell in cells if cell in _OWNERS]
    if not owners or 2 * len(owners) < sum(map(bool, cells)):
        return None
    return max(owners, key=owners.count)


def section_title(name: str) -> str:
    """The title of the format that a row says, also where it is damaged; else what the row says."""
    return name if name in TITLES else closest(name, TITLES) or name


def closest(name: str, known: Iterable[str]) -> str | None:
    """The one known name that differs from `name` by a character or two, if there is one."""
    near = get_close_matches(name, known, n=2, cutoff=_CLOSE)
    return near[0] if near else None


def names_samples(line: bytes, delimiter: str) -> bool:
    """Whether a row names the columns of the samples: at least three of the usual seven."""
    cells = line.decode("latin-1").split(delimiter)
    return sum(cell.strip(' "') in _SETS[DATAS] for cell in cells) >= 3


def repaired_name(name: str) -> str:
    """`Pset n°` where encoding it twice has damaged the degree sign; any other name as it is."""
    return "Pset n°" if _DAMAGED_PSET.match(name) else name


def split_glued(name: str, known: Iterable[str]) -> tuple[str, str] | None:
    """The two known names that a missing or damaged tab has glued into one, if it is so."""
    for first in known:
        rest = name[len(first) :].strip()
        if rest and name.startswith(first):
            second = next((given for given in (rest, rest[1:]) if given in known), None)
            if second:
                return first, second
    return None


def layout(version: int | None) -> tuple[str, ...]:
    """The columns of the samples of a version, in order; the common seven where it is not known."""
    optional = OPTIONAL_SIGNALS.get(version, ()) if version is not None else ()
    return (*COMMON_SIGNALS, *(SIGNALS[name] for name in optional))
