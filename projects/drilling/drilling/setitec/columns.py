"""Which column of the samples is which, also where there are more or fewer names than values."""

import numpy as np

from drilling.setitec import names
from drilling.setitec.problem import Problem
from drilling.setitec.rows import Floats

_LEAST_KNOWN = 3
_EIGHT_COLUMNS = (*names.COMMON_SIGNALS[:4], "step", "stop_code", "mem_torque_min_a", "mem_thrust_min_a")


def named_columns(
    header: list[str], values: tuple[Floats, ...], version: int | None, problems: list[Problem]
) -> dict[str, Floats]:
    """The columns by name. A value that no name is sure to mean is left out, with a Problem."""
    header = [name for glued in header for name in _split(glued, problems)]
    values = _without_padding(header, values)
    labels = _labels(header, len(values), version, problems) if header else _usual_labels(values)
    if not _signal_in(labels) and _usual_places(header, values):
        detail = "names that say no position or no current: columns named by their usual order"
        problems.append(Problem("damaged_names", names.DATAS, None, detail))
        labels = _usual_labels(values)
    return {label: column for label, column in zip(labels, values, strict=True) if label is not None}


def _signal_in(labels: list[str | None]) -> bool:
    return "position_mm" in labels and ("torque_a" in labels or "thrust_a" in labels)


def _usual_places(header: list[str], values: tuple[Floats, ...]) -> bool:
    """Whether damaged names, or too few, still leave no doubt that the columns have their usual order."""
    if len(values) < len(names.COMMON_SIGNALS) or not (_whole(values[5]) and _whole(values[6])):
        return False
    known = [names.SIGNALS[name] for name in header if name in names.SIGNALS]
    usual = [name for name in known if name in names.COMMON_SIGNALS]
    enough = len(usual) >= _LEAST_KNOWN or len(usual) == len(header) > 0
    return enough and usual == sorted(usual, key=names.COMMON_SIGNALS.index)


def _split(name: str, problems: list[Problem]) -> tuple[str, ...]:
    """A name, or the two that a lost tab has glued into it."""
    glued = None if name in names.SIGNALS else names.split_glued(name, names.SIGNALS)
    if glued is None:
        return (name,)
    problems.append(Problem("missing_tab", names.DATAS, None, f"{name!r} read as {glued[0]!r}, {glued[1]!r}"))
    return glued


def _without_padding(header: list[str], values: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """Without the empty columns that pad rows beyond the names."""
    named = len(set(header)) or len(names.COMMON_SIGNALS)
    while len(values) > named and np.isnan(values[-1]).all():
        values = values[:-1]
    return values


def _usual_labels(values: tuple[Floats, ...]) -> list[str | None]:
    """The common seven; in the form of eight columns the step stands fifth, in whole numbers."""
    if len(values) == len(_EIGHT_COLUMNS) and _whole(values[4]) and not _whole(values[5] / 2):
        return list(_EIGHT_COLUMNS)
    usual = names.COMMON_SIGNALS[: len(values)]
    return [*usual, *[None] * (len(values) - len(usual))]


def _labels(header: list[str], width: int, version: int | None, problems: list[Problem]) -> list[str | None]:
    columns = [_signal_name(name, problems) for name in header]
    if len(columns) == width and len(set(columns)) == width:
        return list(columns)
    detail = f"{len(columns)} names for {width} values"
    unique = list(dict.fromkeys(columns))
    if len(unique) == width:
        problems.append(Problem("repeated_name", names.DATAS, None, f"{detail}: repeats left out"))
        return list(unique)
    layout = names.layout(version)
    if len(layout) == width and set(layout) <= set(columns):
        taken = f"{detail}: the {width} of version {version} taken, which are among them"
        problems.append(Problem("names_and_values_differ", names.DATAS, None, taken))
        return list(layout)
    problems.append(
        Problem("names_and_values_differ", names.DATAS, None, f"{detail}: only the usual seven kept")
    )
    sure = [column if column in names.COMMON_SIGNALS else None for column in columns[:width]]
    once = [column if column not in sure[:place] else None for place, column in enumerate(sure)]
    return once + [None] * (width - len(once))


def _signal_name(name: str, problems: list[Problem]) -> str:
    if name in names.SIGNALS:
        return names.SIGNALS[name]
    near = names.closest(name, names.SIGNALS)
    if near is None:
        return names.column_name(name)
    problems.append(Problem("damaged_name", names.DATAS, None, f"{name!r} read as {near!r}"))
    return names.SIGNALS[near]


def _whole(column: Floats) -> bool:
    return bool((column[np.isfinite(column)] % 1 == 0).all())
