"""The scaling of features: fitted once, on training holes, and stored with the model.

Each hole counts the same, however many samples it has, so that one slow hole of 11,000 rows does not
outweigh ten fast ones. A hole leaves only its mean and variance behind: 1,300 holes take 0.4 MB.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drilling.errors import DrillingError, InvalidConfig

if TYPE_CHECKING:
    from drilling.windows import FeatureTable

_FORMAT = 1
_LEAST_SCALE = 1e-6


class NothingToFit(DrillingError):
    """A scaler was to be fitted on no hole."""

    def __init__(self) -> None:
        super().__init__(
            "a scaler cannot be fitted on no hole", remedy="Give the feature tables of the training holes."
        )


class OtherFeatures(DrillingError):
    """A table whose features are not those of the scaler, or are scaled already."""

    def __init__(self, expected: tuple[str, ...], found: tuple[str, ...], *, scaled: bool = False) -> None:
        strange = sorted(set(found) ^ set(expected)) or ["their order"]
        problem = "are scaled already" if scaled else f"differ from the scaler's: {', '.join(strange)}"
        super().__init__(
            f"the table's features {problem}",
            remedy="Scale what feature_table gives, once, with the scaler that is stored with the model.",
            expected=expected,
            found=found,
            scaled=scaled,
        )


class ScalerSawHole(DrillingError):
    """A scaler was fitted on holes that it must not know."""

    def __init__(self, holes: list[str]) -> None:
        super().__init__(
            f"the scaler was fitted on {len(holes)} of the held-out holes: {', '.join(holes[:5])}",
            remedy="Fit it on the training part of the fold alone.",
            holes=holes,
        )


@dataclass(frozen=True, slots=True)
class FeatureScaler:
    """(value - mean) / scale for each feature; a value that is NaN (not known) becomes 0, the mean.

    `fitted_on` holds a digest of each hole's id, sorted: file names carry serial numbers that need not
    travel with a model.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    fitted_on: tuple[str, ...]

    @classmethod
    def fit(cls, holes: "Iterable[tuple[str, FeatureTable]]") -> "FeatureScaler":
        """Fit on (hole id, table) of the training holes, one at a time.

        The scale is the square root of the mean variance within holes plus the variance of their means;
        1 for a feature that never changes. Raises NothingToFit, or OtherFeatures where tables differ.
        """
        names: tuple[str, ...] = ()
        figures: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        for hole, table in holes:
            names = names or table.names
            _check(names, table)
            values = table.values.astype(np.float64)
            figures[_digest(hole)] = values.mean(axis=0), values.var(axis=0)
        if not figures:
            raise NothingToFit
        fitted_on = tuple(sorted(figures))
        means = np.array([figures[hole][0] for hole in fitted_on])
        variances = np.array([figures[hole][1] for hole in fitted_on])
        mean, scale = _over_holes(means, variances)
        return cls(names, tuple(mean.tolist()), tuple(scale.tolist()), fitted_on)

    @property
    def digest(self) -> str:
        """One SHA-256 of all the holes that it was fitted on."""
        return _digest("\n".join(self.fitted_on), 64)

    def apply(self, table: "FeatureTable") -> "FeatureTable":
        """The table scaled, float32. Raises OtherFeatures; never fits."""
        _check(self.names, table)
        scaled = (table.values.astype(np.float64) - self.mean) / self.scale
        values = np.nan_to_num(scaled, nan=0.0).astype(np.float32)
        return replace(table, values=values, scaled=True)

    def check_unseen(self, holes: Iterable[str]) -> None:
        """Raise ScalerSawHole where one of the hole ids is among those that it was fitted on."""
        known = frozenset(self.fitted_on)
        seen = [hole for hole in holes if _digest(hole) in known]
        if seen:
            raise ScalerSawHole(seen)

    def to_json(self) -> str:
        """The scaler as JSON, exact to the last bit."""
        content = {name: list(getattr(self, name)) for name in ("names", "mean", "scale", "fitted_on")}
        return json.dumps({"format": _FORMAT, "digest": self.digest, **content})

    @classmethod
    def from_json(cls, text: str) -> "FeatureScaler":
        """What `to_json` wrote. Raises InvalidConfig where it is anything else, or was changed."""
        try:
            content: Any = json.loads(text)
            scaler = cls(
                names=tuple(map(str, content["names"])),
                mean=tuple(map(float, content["mean"])),
                scale=tuple(map(float, content["scale"])),
                fitted_on=tuple(map(str, content["fitted_on"])),
            )
            sound = content["format"] == _FORMAT and content["digest"] == scaler.digest
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidConfig("scaler", f"not a stored scaler: {error}") from error
        lengths = {len(scaler.names), len(scaler.mean), len(scaler.scale)}
        usable = np.isfinite(scaler.mean + scaler.scale).all() and all(scale > 0 for scale in scaler.scale)
        if not (sound and len(lengths) == 1 and usable):
            raise InvalidConfig("scaler", "its numbers, format or digest do not fit together")
        return scaler


def _over_holes(
    means: NDArray[np.float64], variances: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and scale over the holes (h, c) in which a feature is known."""
    known = np.isfinite(means)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, means, 0).sum(axis=0) / count
    within = np.where(known, variances, 0).sum(axis=0) / count
    between = np.where(known, (means - mean) ** 2, 0).sum(axis=0) / count
    scale = np.sqrt(within + between)
    return mean, np.where(scale < _LEAST_SCALE, 1.0, scale)


def _check(names: tuple[str, ...], table: "FeatureTable") -> None:
    if table.scaled or table.names != names or table.values.shape[1] != len(names):
        raise OtherFeatures(names, table.names, scaled=table.scaled)


def _digest(text: str, characters: int = 16) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:characters]
