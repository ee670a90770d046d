"""Checks of the motor currents: saturation, dead sensors, air, noise, the no-load currents."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from drilling.validation.finding import Finding, Severity
from drilling.validation.recording import Current, Floats, Recording, longest_run

CURRENT_LIMIT_A = 70.0
# The lowest currents at which a flat top can only be a ceiling: in titanium the torque's noise
# is at least 0.13 A, so that ten equal values in a row do not happen.
_FLAT_TOP_FROM_A = {"torque": 7.0, "thrust": 0.4}
_FLAT_TOP_ROWS = {"torque": 15, "thrust": 30}
_FROZEN_ROWS = 200
_LEAST_ROWS = 50
_WINDOW_ROWS = 25
_MOST_AIR_NOISE_A = 0.2
_MOST_CUTTING_NOISE_A, _MOST_CUTTING_NOISE_SHARE = 1.5, 0.2
_LEAST_HARD_NOISE_A, _HARD_FROM_A = 0.03, 7.0
_NO_LOAD_ROWS = 2


def saturation(recording: Recording) -> Iterator[Finding]:
    """A flat top: the current stays at its highest value, where a drilled layer always varies."""
    for current in recording.currents:
        top, flat = _flat_top(current)
        rows, least = flat[1] - flat[0], _FLAT_TOP_ROWS[current.name]
        if rows >= least:
            yield Finding(
                "saturation",
                Severity.WARNING,
                f"The {current.name} stays at its ceiling of {top:.2f} A for {rows} samples.",
                "Do not measure levels in these rows; check the current range and the tool's sharpness.",
                recording.rows(*flat),
                top,
                None,
            )


def over_limit(recording: Recording) -> Iterator[Finding]:
    """A total current above the 70 A at which the unit stops."""
    for current in recording.currents:
        over = np.flatnonzero(current.total_a > CURRENT_LIMIT_A)
        if over.size:
            peak = float(np.nanmax(current.total_a))
            yield Finding(
                "over_limit",
                Severity.ERROR,
                f"The {current.name} reaches {peak:.1f} A, over the unit's limit of {CURRENT_LIMIT_A:g} A.",
                "Check the tool and the motor for a jam or a short circuit before the next hole.",
                recording.rows(int(over[0]), int(over[-1]) + 1),
                peak,
                CURRENT_LIMIT_A,
            )


def dead_sensor(recording: Recording) -> Iterator[Finding]:
    """A current that is constant over the hole, or flat while the other one cuts."""
    torque, thrust = recording.currents
    for current, other in ((torque, thrust), (thrust, torque)):
        known = current.net_a[np.isfinite(current.net_a)]
        if known.size < _LEAST_ROWS:
            continue
        swing = float(np.ptp(known))
        other_cuts = other.cuts(recording.body)
        if swing > current.resolution_a / 2 and not (other_cuts and _is_flat(known, current)):
            continue
        while_cutting = f" while the {other.name} shows cutting" if other_cuts else ""
        yield Finding(
            "dead_sensor",
            Severity.ERROR,
            f"The {current.name} varies by {swing:.3f} A around {np.median(known):.2f} A{while_cutting}.",
            f"Check the {current.name} sensor and its cable; leave the hole out until it is known.",
            recording.rows(0, current.net_a.size),
            swing,
            current.resolution_a,
        )


def frozen_current(recording: Recording) -> Iterator[Finding]:
    """A current that repeats one value for two seconds within a hole where it varies otherwise.

    One that rests at zero is that of a tool in air, unless the other one shows cutting meanwhile.
    """
    torque, thrust = recording.currents
    for current, other in ((torque, thrust), (thrust, torque)):
        known = np.isfinite(current.net_a)
        if known.sum() <= _FROZEN_ROWS or np.ptp(current.net_a[known]) <= current.resolution_a / 2:
            continue
        start, stop = longest_run(np.abs(np.diff(current.net_a)) < current.resolution_a / 2)
        rows = stop - start + 1
        if rows < _FROZEN_ROWS or _is_flat(current.net_a[known], current):
            continue
        at_rest = abs(current.net_a[start]) <= 2 * current.resolution_a
        if not at_rest or other.cuts(slice(start, stop + 1)):
            yield Finding(
                "frozen_current",
                Severity.WARNING,
                f"The {current.name} repeats {current.net_a[start]:.2f} A for {rows} samples.",
                f"Check the {current.name} measurement's connection; label no key point in these rows.",
                recording.rows(start, stop + 1),
                float(rows),
                float(_FROZEN_ROWS),
            )


def air_drilling(recording: Recording) -> Iterator[Finding]:
    """The torque never leaves that of a tool in air."""
    torque = recording.torque
    # A torque without any variation is a dead sensor's.
    if recording.level_a is not None or not torque.recorded or not np.nanstd(torque.net_a):
        return
    highest = float(torque.smooth_a[recording.body].max(initial=0.0))
    expected = recording.identity.air_expected
    yield Finding(
        "air_drilling",
        Severity.INFO if expected else Severity.WARNING,
        f"{'Drilled in air, as announced' if expected else 'Nothing was cut'}: "
        f"the net torque reaches {highest:.2f} A, {torque.cutting_a:g} A is the least that cuts.",
        "Leave the hole out of labelling: it has no key points."
        if expected
        else "Check for a missing panel or tool, or an early stop; leave the hole out of labelling.",
        recording.rows(0, torque.net_a.size),
        highest,
        torque.cutting_a,
    )


def noise(recording: Recording) -> Iterator[Finding]:
    """The torque's noise in air and in the hardest layer, against what genuine holes show."""
    torque = recording.torque.net_a[recording.body]
    windows = sliding_window_view(torque, _WINDOW_ROWS)[::_WINDOW_ROWS] if torque.size >= _WINDOW_ROWS else ()
    if not len(windows):
        return
    means, spreads = _means_and_spreads(np.asarray(windows))
    level = recording.level_a
    yield from _air_noise(spreads[means < (0.3 if level is None else max(0.3, 0.05 * level))])
    if level is not None:
        yield from _cutting_noise(spreads[means >= 0.8 * level], level)


def no_load_current(recording: Recording) -> Iterator[Finding]:
    """A no-load current that changes within a step, where it is measured once a step."""
    for current in recording.currents:
        for run in (run for run in recording.runs if run.number >= 0):
            empty = current.empty_a[run.start : run.stop]
            off = np.abs(empty - empty[empty.size // 2]) > current.resolution_a / 2
            if np.count_nonzero(off) > _NO_LOAD_ROWS:
                swing = float(np.nanmax(empty) - np.nanmin(empty))
                yield Finding(
                    "no_load_current",
                    Severity.WARNING,
                    f"The no-load {current.name} changes by {swing:.2f} A within {run.label}.",
                    "Use the total current (net plus no-load) of this hole; check the unit's firmware.",
                    recording.rows(run.start, run.stop),
                    swing,
                    current.resolution_a,
                )


def _flat_top(current: Current) -> tuple[float, tuple[int, int]]:
    """The highest total current, and the longest stretch at it; none where it is no hard layer's."""
    if not current.recorded:
        return 0.0, (0, 0)
    peak = int(np.nanargmax(current.total_a))
    top = float(current.total_a[peak])
    if current.net_a[peak] < _FLAT_TOP_FROM_A[current.name]:
        return top, (0, 0)
    return top, longest_run(current.total_a > top - current.resolution_a / 2)


def _is_flat(known: Floats, current: Current) -> bool:
    ordered, cut = np.sort(known), known.size // 100
    return bool(ordered[-1 - cut] - ordered[cut] <= 1.5 * current.resolution_a)


def _means_and_spreads(windows: Floats) -> tuple[Floats, Floats]:
    """Each window's mean, and its standard deviation about a straight line."""
    means = windows.mean(axis=1)
    centred = windows - means[:, None]
    time = np.arange(_WINDOW_ROWS) - (_WINDOW_ROWS - 1) / 2
    slope = centred @ time / (time @ time)
    residual = centred - slope[:, None] * time
    return means, np.sqrt((residual**2).sum(axis=1) / (_WINDOW_ROWS - 2))


def _air_noise(spreads: Floats) -> Iterator[Finding]:
    if spreads.size and (quietest := float(spreads.min())) > _MOST_AIR_NOISE_A:
        yield Finding(
            "noise",
            Severity.WARNING,
            f"The torque's noise in air is {quietest:.2f} A; genuine holes have 0.01 to 0.07 A.",
            "Check the motor's cable and grounding, and the spindle's bearings.",
            None,
            quietest,
            _MOST_AIR_NOISE_A,
        )


def _cutting_noise(spreads: Floats, level: float) -> Iterator[Finding]:
    if spreads.size < 3:
        return
    usual, limit = float(np.median(spreads)), max(_MOST_CUTTING_NOISE_A, _MOST_CUTTING_NOISE_SHARE * level)
    if usual > limit:
        yield Finding(
            "noise",
            Severity.WARNING,
            f"The torque's noise in the hardest layer is {usual:.2f} A at {level:.1f} A: chatter.",
            "Check the tool's wear and clamping, and the panel's support.",
            None,
            usual,
            limit,
        )
    elif level >= _HARD_FROM_A and usual < _LEAST_HARD_NOISE_A:
        yield Finding(
            "noise",
            Severity.WARNING,
            f"The torque's noise in the hardest layer is only {usual:.3f} A at {level:.1f} A.",
            "Check that the signal was not smoothed or clipped on its way.",
            None,
            usual,
            _LEAST_HARD_NOISE_A,
        )


CHECKS = (saturation, over_limit, dead_sensor, frozen_current, air_drilling, noise, no_load_current)
