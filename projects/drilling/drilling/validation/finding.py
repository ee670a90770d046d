"""What a check says of a hole: how bad it is, a sentence with the figure, and what to do."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much a finding matters; `info < warning < error`."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """0 for info, 1 for a warning, 2 for an error."""
        return _RANKS[self.value]

    def __lt__(self, other: str) -> bool:
        return self.rank < other.rank if isinstance(other, Severity) else NotImplemented

    def __le__(self, other: str) -> bool:
        return self.rank <= other.rank if isinstance(other, Severity) else NotImplemented

    def __gt__(self, other: str) -> bool:
        return self.rank > other.rank if isinstance(other, Severity) else NotImplemented

    def __ge__(self, other: str) -> bool:
        return self.rank >= other.rank if isinstance(other, Severity) else NotImplemented


_RANKS = {"info": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One departure from a good hole.

    `rows` are the first and the last sample (`index` of the signals) that show it; `value` is the
    figure of the sentence, and `limit` the one that it passes.
    """

    check: str
    severity: Severity
    sentence: str
    remedy: str
    rows: tuple[int, int] | None = None
    value: float | None = None
    limit: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields, fit for JSON."""
        return asdict(self) | {
            "severity": self.severity.value,
            "rows": list(self.rows) if self.rows else None,
        }
