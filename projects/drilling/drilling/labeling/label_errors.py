"""What the labels and their store refuse.

DrillingError
├── InvalidLabel       a field of a label or of a retraction cannot be so
├── LabelsUnreadable   a file of labels that cannot be opened, or is not one
├── LabelsUnwritable   the disk refused a label; nothing of it is kept
├── ImportRefused      rows of an import that are not labels; nothing was imported
└── NothingToRetract   a hole without a label of a person to take back
"""

from datetime import datetime
from pathlib import Path

from drilling.errors import DrillingError

_ROWS_SHOWN = 5


class InvalidLabel(DrillingError):
    """A label that cannot be; `field` is the name of what is wrong with it."""

    def __init__(self, file: str, field: str, problem: str) -> None:
        super().__init__(
            f"a label of {file!r}: {field} {problem}",
            remedy="drilling.labeling.label.Label lists every field with what it may hold.",
            file=file,
            field=field,
            problem=problem,
        )


class LabelsUnreadable(DrillingError):
    """A file or a folder of labels that cannot be opened, or that holds something else."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be read as labels: {reason}",
            remedy="Check the path and its permissions; `dvc checkout` brings back a folder's last version.",
            path=path,
            reason=reason,
        )


class LabelsUnwritable(DrillingError):
    """A label that could not be kept: what was begun is taken back."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be written: {reason}",
            remedy="Check the disk's room and the folder's permissions, then record the label again.",
            path=path,
            reason=reason,
        )


class ImportRefused(DrillingError):
    """An import with rows that are not labels; `rows` has the place of each, from 1, and what is wrong."""

    def __init__(self, path: Path, rows: tuple[tuple[int, str], ...]) -> None:
        shown = "; ".join(f"{row}: {problem}" for row, problem in rows[:_ROWS_SHOWN])
        more = f"; and {len(rows) - _ROWS_SHOWN} more" if len(rows) > _ROWS_SHOWN else ""
        super().__init__(
            f"{path} was not imported, for {len(rows)} of its rows cannot be labels: {shown}{more}",
            remedy="Correct those rows and import the file again: nothing of it was kept.",
            path=path,
            rows=rows,
        )


class NothingToRetract(DrillingError):
    """A hole that has no label of a person from before the retraction."""

    def __init__(self, file: str, at: datetime) -> None:
        super().__init__(
            f"{file!r} has no label by a person from before {at.isoformat()}",
            remedy="Only a person's label is retracted; an automatic one is replaced by recording the next.",
            file=file,
            at=at.isoformat(),
        )
