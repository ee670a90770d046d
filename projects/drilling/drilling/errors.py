"""Errors of the drilling project.

DrillingError
├── LogUnreadable      a file holds no signal
├── NoLogs             a folder holds no log that could be read
├── FolderNotOurs      the generator would write among files that are not its own
├── TooFewHoles        nothing is left to train on, or to hold out
├── InvalidConfig      a parameter is missing, unknown or unusable
├── InvalidSignals     an array that is not a model's input
└── ParityError        the ONNX model does not answer like the torch model
"""

from pathlib import Path

from mlops import MLOpsError


class DrillingError(MLOpsError):
    """Anything the drilling project refuses to do."""


class LogUnreadable(DrillingError):
    """A file that holds no signal; `source` is its path, or a word for bytes in memory."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(
            f"{source} holds no drilling signal: {reason}",
            remedy="Check that it is a Setitec log: tab-separated text with a `*** Datas ***` section.",
            source=source,
            reason=reason,
        )


class NoLogs(DrillingError):
    """A folder without one readable log."""

    def __init__(self, folder: Path, failures: int = 0) -> None:
        unreadable = f" ({failures} .xls files hold no signal)" if failures else ""
        if not folder.exists():
            problem = "does not exist"
        elif not folder.is_dir():
            problem = "is not a folder"
        else:
            problem = f"holds no readable drilling log{unreadable}"
        super().__init__(
            f"{folder} {problem}",
            remedy="Give a folder with Setitec .xls files; drilling:generate writes synthetic ones.",
            folder=folder,
            failures=failures,
        )


class FolderNotOurs(DrillingError):
    """A folder with files that the generator did not write."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} holds files that the generator did not write",
            remedy="Choose an empty folder, so that synthetic logs never mix with genuine ones.",
            folder=folder,
        )


class TooFewHoles(DrillingError):
    """Not enough labelled holes for a training set and a held-out set."""

    def __init__(self, holes: int, needed: int) -> None:
        super().__init__(
            f"{holes} labelled holes are too few to train on some and hold out others",
            remedy=f"Give at least {needed}.",
            holes=holes,
            needed=needed,
        )


class InvalidConfig(DrillingError):
    """A parameter that cannot be used; `source` is the file or the object it stands in."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(
            f"{source}: {problem}",
            remedy="params.yaml of projects/drilling lists every key with its meaning.",
            source=source,
            problem=problem,
        )


class InvalidSignals(DrillingError):
    """An array that is not a model's input."""

    def __init__(self, name: str, shape: tuple[int, ...], expected: str) -> None:
        super().__init__(
            f"{name} has shape {shape}, not {expected}",
            remedy="drilling.depth_window.window_of makes the input of one log.",
            name=name,
            shape=shape,
            expected=expected,
        )


class ParityError(DrillingError):
    """The exported model differs from the trained one by more than it may."""

    def __init__(self, difference_mm: float, tolerance_mm: float) -> None:
        super().__init__(
            f"ONNX and torch differ by {difference_mm:.6f} mm; {tolerance_mm:g} mm is allowed",
            remedy="The export is not used: check the versions of torch and onnxscript.",
            difference_mm=difference_mm,
            tolerance_mm=tolerance_mm,
        )
