"""Checks over a batch: duplicates, and counters that do not go with the dates or with each other."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from drilling.validation.finding import Finding, Severity
from drilling.validation.origin import UNSET_YEAR
from drilling.validation.summary import HoleSummary

Placed = tuple[int, Finding]
"""The place of a hole in the batch, and a finding about it."""


def same_signals(holes: Sequence[HoleSummary]) -> Iterator[Placed]:
    """Holes whose position, torque and thrust are those of an earlier one, sample by sample."""
    first: dict[bytes, int] = {}
    for place, hole in enumerate(holes):
        earlier = first.setdefault(hole.digest, place)
        if earlier != place:
            yield (
                place,
                Finding(
                    "same_signals",
                    Severity.WARNING,
                    f"The signals are those of {Path(holes[earlier].source).name}, sample by sample.",
                    "Keep one of the two: a copy in training and in validation makes the errors look small.",
                ),
            )


def same_counter(holes: Sequence[HoleSummary]) -> Iterator[Placed]:
    """Two holes of one head with the same global counter."""
    for places in _by_unit(holes).values():
        first: dict[int, int] = {}
        for place in places:
            counter = holes[place].identity.global_counter or 0
            earlier = first.setdefault(counter, place)
            if earlier == place:
                continue
            again = any(len(holes[one].identity.file_counters) == 3 for one in (place, earlier))
            yield (
                place,
                Finding(
                    "same_counter",
                    Severity.INFO if again else Severity.WARNING,
                    f"{Path(holes[earlier].source).name} has the same head and global counter {counter}"
                    + (": drilled in air first, then again." if again else "."),
                    "Keep the drilling through the panel." if again else "Keep the log that is the hole's.",
                    None,
                    float(counter),
                    None,
                ),
            )


def counter_backwards(holes: Sequence[HoleSummary]) -> Iterator[Placed]:
    """A head's global counter that falls while the date goes on."""
    for places in _by_unit(holes).values():
        dated = [(date, place) for place in places if (date := holes[place].recorded_at) is not None]
        in_time = [place for date, place in sorted(dated) if date.year > UNSET_YEAR]
        for before, after in pairwise(in_time):
            was, now = (holes[place].identity.global_counter or 0 for place in (before, after))
            if now < was and holes[before].recorded_at != holes[after].recorded_at:
                yield (
                    after,
                    Finding(
                        "counter_backwards",
                        Severity.WARNING,
                        f"The head's global counter is {now} after {was} in the older "
                        f"{Path(holes[before].source).name}.",
                        "Check the units' clocks, and whether the head's tag was rewritten.",
                        None,
                        float(now),
                        float(was),
                    ),
                )


def local_counter(holes: Sequence[HoleSummary]) -> Iterator[Placed]:
    """A tool's counter that grows faster than the head's, or restarts at more than was drilled since."""
    for places in _by_unit(holes).values():
        known = [place for place in places if holes[place].identity.local_counter is not None]
        known.sort(key=lambda place: holes[place].identity.global_counter or 0)
        for before, after in pairwise(known):
            drilled = _change(holes, before, after, "global_counter")
            counted = _change(holes, before, after, "local_counter")
            now = holes[after].identity.local_counter or 0
            if drilled and (counted > drilled or (counted < 0 and now > drilled)):
                yield (
                    after,
                    Finding(
                        "local_counter",
                        Severity.INFO,
                        f"The local counter goes from {now - counted} to {now} while the head drilled "
                        f"{drilled} holes.",
                        "Check whether the tool's age is right: wear is judged by it.",
                        None,
                        float(counted),
                        float(drilled),
                    ),
                )


def _change(holes: Sequence[HoleSummary], before: int, after: int, counter: str) -> int:
    was, now = (getattr(holes[place].identity, counter) or 0 for place in (before, after))
    return int(now - was)


def _by_unit(holes: Iterable[HoleSummary]) -> dict[tuple[str, str], list[int]]:
    """The places of each head's holes that have a global counter (0 is one that does not count)."""
    units: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, hole in enumerate(holes):
        if hole.identity.unit is not None and hole.identity.global_counter:
            units[hole.identity.unit].append(place)
    return units


CHECKS = (same_signals, same_counter, counter_backwards, local_counter)
