"""The same holes in four qualities: as read, cleaned, validated, and with augmented copies.

Nothing is changed silently: each log comes with its `Provenance`, which counts every cell that was
filled or replaced and says how a copy differs from the hole that it comes from.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Literal, Protocol, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drilling.errors import InvalidConfig
from drilling.gaps import fill_gaps, run_numbers, step_of_rows, values_of
from drilling.setitec import SetitecLog

Floats = NDArray[np.float64]
Variant = Literal["raw", "cleaned", "validated", "augmented"]

SHORT_GAP_ROWS = 5
"""Gaps of up to 0.05 s are filled by cleaning."""
CURRENT_STEPS_A = {"torque_a": 0.0488, "thrust_a": 0.0117}
"""The resolution of the two currents that cleaning and augmentation touch."""

_POSITION_STEP_MM = 0.00385
_HAMPEL_REACH, _HAMPEL_SIGMAS, _HAMPEL_LEAST_STEPS = 7, 10.0, 6
_SIGMA_OF_MAD = 1.4826
_MOST_GAIN, _MOST_OFFSET_MM = 0.1, 0.4
_NOISE_ROWS = 51


class Verdict(Protocol):
    """What a validator says of a log."""

    @property
    def passed(self) -> bool:
        """False where a finding is an error."""


Validator = Callable[[SetitecLog], Verdict]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A hole that the validator refused, and its report."""

    origin: str
    report: Verdict


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a log of a variant comes from and what was done to it.

    `origin` is the source of the log it was made from, and the group that keeps copies in their hole's
    fold; `copy` is 0 for the hole itself. `filled` and `spikes` count the cells of each column that
    cleaning filled or replaced. The gains, the median SD of the added noise in A and the depth offset
    are those of a copy.
    """

    origin: str
    variant: Variant
    copy: int = 0
    seed: int | None = None
    filled: dict[str, int] = field(default_factory=dict)
    spikes: dict[str, int] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)
    noise_a: dict[str, float] = field(default_factory=dict)
    depth_offset_mm: float = 0.0

    @property
    def training_only(self) -> bool:
        """True for an augmented copy: it is to be trained on, never to be judged by."""
        return self.copy > 0

    def moved(self, label_mm: Floats) -> Floats:
        """The labels of the origin, in mm, as they are in this log; NaN stays NaN."""
        return label_mm + self.depth_offset_mm


def apply_variant(
    logs: Iterable[SetitecLog],
    variant: Variant,
    seed: int,
    *,
    copies: int = 3,
    validate: Validator | None = None,
    on_dropped: Callable[[Dropped], None] | None = None,
) -> Iterator[tuple[SetitecLog, Provenance]]:
    """The logs in a variant, one at a time and in order; the same for the same logs and seed.

    - raw: as read.
    - cleaned: gaps of up to SHORT_GAP_ROWS filled inside a step, isolated spikes of one sample replaced.
    - validated: cleaned, without those that `validate` does not pass once cleaned; `on_dropped` hears of
      each. It is `drilling.validation.validate_log` by default.
    - augmented: validated, each followed by `copies` copies. Give the training holes alone.

    A copy has its currents scaled by 0.9 to 1.1 each, noise added at the level measured around each
    sample, and all positions moved by up to 0.4 mm; labels move alike, by `Provenance.moved`. The header,
    and what else was recorded (speeds, power), stay as they are. Raises InvalidConfig for an unknown
    variant or a negative number of copies.
    """
    if variant not in get_args(Variant):
        raise InvalidConfig("apply_variant", f"variant {variant!r} is not one of {get_args(Variant)}")
    if copies < 0:
        raise InvalidConfig("apply_variant", f"{copies} copies")
    if variant == "raw":
        return ((log, Provenance(log.source, "raw")) for log in logs)
    clean = (_cleaned(log, variant) for log in logs)
    if variant == "cleaned":
        return clean
    passed = _passed(clean, validate or _default_validator(), on_dropped)
    return passed if variant == "validated" else _with_copies(passed, seed, copies)


def _default_validator() -> Validator:
    from drilling.validation import validate_log

    return validate_log


def _passed(
    logs: Iterable[tuple[SetitecLog, Provenance]],
    validate: Validator,
    on_dropped: Callable[[Dropped], None] | None,
) -> Iterator[tuple[SetitecLog, Provenance]]:
    for log, provenance in logs:
        report = validate(log)
        if report.passed:
            yield log, provenance
        elif on_dropped is not None:
            on_dropped(Dropped(log.source, report))


def _with_copies(
    logs: Iterable[tuple[SetitecLog, Provenance]], seed: int, copies: int
) -> Iterator[tuple[SetitecLog, Provenance]]:
    for log, provenance in logs:
        yield log, provenance
        for number in range(1, copies + 1):
            yield _copy(log, replace(provenance, copy=number, seed=seed))


def _cleaned(log: SetitecLog, variant: Variant) -> tuple[SetitecLog, Provenance]:
    signals, filled = fill_gaps(log.signals, SHORT_GAP_ROWS)
    run = run_numbers(step_of_rows(signals))
    ended = signals["stop_code"].fill_null(0).to_numpy() != 0
    spikes: dict[str, int] = {}
    for name, resolution in CURRENT_STEPS_A.items():
        values = values_of(signals, name)
        places = _spikes(values, run, resolution)
        places = places[~ended[places]]
        if places.size:
            values[places] = (values[places - 1] + values[places + 1]) / 2
            signals = signals.with_columns(pl.Series(name, values, nan_to_null=True))
            spikes[name] = places.size
    provenance = Provenance(log.source, variant, filled=filled, spikes=spikes)
    return replace(log, signals=signals), provenance


def _spikes(values: Floats, run: NDArray[np.int64], resolution: float) -> NDArray[np.int64]:
    """Samples that stand alone out of the 15 around them (Hampel's identifier, with 10 sigmas).

    Both neighbours must lie on the same side, further below or above than the threshold, which spares
    ramps and peaks of more than one sample. The first and last 7 rows of a step are not judged, nor
    are samples with an empty cell among those around them.
    """
    width = 2 * _HAMPEL_REACH + 1
    if values.size < width:
        return np.empty(0, dtype=np.int64)
    around = np.lib.stride_tricks.sliding_window_view(values, width)
    centre = np.median(around, axis=1)
    spread = _SIGMA_OF_MAD * np.median(np.abs(around - centre[:, None]), axis=1)
    threshold = np.maximum(_HAMPEL_SIGMAS * spread, _HAMPEL_LEAST_STEPS * resolution)
    at = np.arange(_HAMPEL_REACH, values.size - _HAMPEL_REACH)
    before, after = values[at] - values[at - 1], values[at] - values[at + 1]
    alone = (before * after > 0) & (np.minimum(np.abs(before), np.abs(after)) > threshold)
    whole = run[at - _HAMPEL_REACH] == run[at + _HAMPEL_REACH]
    return np.asarray(at[alone & whole & (np.abs(values[at] - centre) > threshold)])


def _copy(log: SetitecLog, provenance: Provenance) -> tuple[SetitecLog, Provenance]:
    rng = _generator(log.source, provenance)
    run = run_numbers(step_of_rows(log.signals))
    gains: dict[str, float] = {}
    noise: dict[str, float] = {}
    changed: dict[str, Floats] = {}
    for name, resolution in CURRENT_STEPS_A.items():
        values = values_of(log.signals, name)
        level = _noise_level(values, run)
        gains[name] = float(rng.uniform(1 - _MOST_GAIN, 1 + _MOST_GAIN))
        noise[name] = float(np.median(level))
        moved = gains[name] * values + level * rng.normal(size=values.size)
        changed[name] = np.round(moved / resolution) * resolution
    position = values_of(log.signals, "position_mm")
    offset = _offset(position, rng)
    changed["position_mm"] = position + offset
    signals = log.signals.with_columns(
        pl.Series(name, values, nan_to_null=True) for name, values in changed.items()
    )
    made = replace(provenance, gains=gains, noise_a=noise, depth_offset_mm=offset)
    return replace(log, signals=signals), made


def _generator(source: str, provenance: Provenance) -> np.random.Generator:
    """A generator of the hole's own, whatever its folder and its place among the others."""
    name = hashlib.sha256(PurePath(source).name.encode()).digest()
    return np.random.default_rng([provenance.seed or 0, int.from_bytes(name[:8], "big"), provenance.copy])


def _offset(position: Floats, rng: np.random.Generator) -> float:
    """A whole number of position steps, that leaves no sample above 0."""
    known = position[np.isfinite(position)]
    room = min(_MOST_OFFSET_MM, float(known.min())) if known.size else 0.0
    drawn = rng.uniform(-room, _MOST_OFFSET_MM) / _POSITION_STEP_MM
    return float(np.trunc(drawn)) * _POSITION_STEP_MM


def _noise_level(values: Floats, run: NDArray[np.int64]) -> Floats:
    """The SD of the noise around each sample (n,), from second differences over 51 rows.

    A ramp has none of its own, and micro-pecking's 8 Hz little. For white noise of SD s the mean
    absolute second difference is s sqrt(12 / pi); correlated noise counts for less than its SD.
    """
    bent = np.full(values.size, np.nan)
    if values.size > 2:
        bent[1:-1] = np.abs(values[:-2] - 2 * values[1:-1] + values[2:])
        bent[1:-1][run[:-2] != run[2:]] = np.nan
    known = np.isfinite(bent)
    window = np.ones(min(_NOISE_ROWS, max(1, values.size)))
    total = np.convolve(np.where(known, bent, 0), window, mode="same")
    count = np.convolve(known, window, mode="same")
    return np.asarray(total / np.maximum(count, 1) / np.sqrt(12 / np.pi))
