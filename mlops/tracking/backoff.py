"""How long to wait before a server that failed is tried again."""

from __future__ import annotations

from random import SystemRandom

_FIRST_S, _LAST_S = 0.2, 10.0

# Without a state: a program's seeded numbers stay as they are, and forked children do not wait alike.
_random = SystemRandom()


def pause_s(failures: int) -> float:
    """Seconds to wait after so many failures in a row (1 or more): twice as long each time, up to 10, with
    jitter, so that many processes do not return at once."""
    longest = min(_FIRST_S * 2 ** min(failures, 10), _LAST_S)  # 2**1100, of a long night, is no float
    return _random.uniform(longest / 2, longest)
