"""Whether a canary is worse than the champion beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlops.store.traffic import Traffic


@dataclass(frozen=True, slots=True)
class CanaryRule:
    """When a canary is withdrawn."""

    min_requests: int
    """Of each side, before anything is judged."""
    more_errors: float
    """What its error rate may be above the champion's."""
    slower: float
    """How many times the champion's 95th percentile of latency its own may be."""


def verdict(canary: Traffic, champion: Traffic, rule: CanaryRule) -> str | None:
    """Why the canary is to be withdrawn, with its figures; None while it is as good as the champion, or too
    few requests were seen.

    Errors count by the lower end of their 95 % Wilson interval, and latency by that of its 95th percentile,
    so that a few unlucky ones are no reason, nor that the buckets of latencies are wide.
    """
    if min(canary.requests, champion.requests) < rule.min_requests:
        return None
    if _wilson_low(canary.errors, canary.requests) > champion.error_rate + rule.more_errors:
        return (
            f"{canary.errors} of its {canary.requests} requests failed, of the champion's"
            f" {champion.errors} of {champion.requests}"
        )
    ours, theirs = _p95_low(canary), champion.quantile(0.95)
    if ours > rule.slower * theirs:
        return (
            f"its 95th percentile of latency is over {1e3 * ours:g} ms, the champion's at most"
            f" {1e3 * theirs:g} ms ({canary.requests} and {champion.requests} requests)"
        )
    return None


def _p95_low(traffic: Traffic, z: float = 1.96) -> float:
    # What so many of the requests exceed is binomial: the interval of a quantile by order statistics
    # (Conover, Practical Nonparametric Statistics, 3.2), and the lower end of the bucket that it falls into.
    return traffic.bucket(0.95 - z * math.sqrt(0.95 * 0.05 / traffic.requests))[0]


def _wilson_low(hits: int, count: int, z: float = 1.96) -> float:
    # Written out, four lines, rather than taking statsmodels for it (Wilson 1927, eq. in any text on it).
    share = hits / count
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - spread) / (1 + z * z / count)
