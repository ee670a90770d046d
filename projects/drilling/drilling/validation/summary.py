"""What the checks over a batch keep of each hole: no signals."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

import numpy as np

from drilling.validation.identity import Identity
from drilling.validation.recording import Recording


@dataclass(frozen=True, slots=True)
class HoleSummary:
    """One hole of a batch; `level_a` is the net torque of its hardest layer, None in air."""

    source: str
    identity: Identity
    recorded_at: datetime | None
    digest: bytes
    level_a: float | None


def summary_of(recording: Recording) -> HoleSummary:
    """Keep who drilled, when, a digest of the signals and the torque's level."""
    return HoleSummary(
        source=recording.log.source,
        identity=recording.identity,
        recorded_at=recording.log.recorded_at,
        digest=_digest(recording),
        level_a=_steady_level(recording),
    )


def _digest(recording: Recording) -> bytes:
    digest = blake2b(digest_size=16)
    for values in (recording.position_mm, recording.torque.net_a, recording.thrust.net_a):
        digest.update(np.ascontiguousarray(values).data)
    return digest.digest()


def _steady_level(recording: Recording) -> float | None:
    """The median torque where it is that of the hardest layer."""
    if recording.level_a is None:
        return None
    smooth = recording.torque.smooth_a[recording.body]
    return float(np.median(smooth[smooth >= 0.8 * recording.level_a]))
