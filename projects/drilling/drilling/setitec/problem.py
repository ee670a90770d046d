"""What a reader noticed, and repaired or left out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One departure from the format.

    `row` is the line of the file, counted from 1; None where the problem is not one row's.
    """

    kind: str
    section: str | None
    row: int | None
    detail: str
