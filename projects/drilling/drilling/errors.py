"""Errors of the drilling project.

DrillingError
├── LogUnreadable      a file holds no signal
├── NoLogs             a folder holds no log that could be read
├── FolderNotOurs      the generator would write among files that are not its own
├── TooFewHoles        nothing is left to train on, or to hold out
├── InvalidConfig      a parameter is missing, unknown or unusable
├── TrainingPaused     a training that stopped on purpose and can go on
├── PromotionRefused   a challenger that is not known to be as good as the champion
├── InvalidSignals     an array that is not a model's input
└── ParityError        an exported model does not answer like the torch model
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


class FoldTooSmall(DrillingError):
    """A fold whose holes to learn from all belong to the gate."""

    def __init__(self, fold: int, use: str) -> None:
        super().__init__(
            f"fold {fold} has no hole to {use} on: the gate keeps those that it would have",
            remedy="Give holes of more campaigns, or another number of folds (`folds` in params.yaml).",
            fold=fold,
            use=use,
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


class TrainingPaused(DrillingError):
    """A training that stopped, with a checkpoint; the same command goes on."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the training has paused: {reason}",
            remedy="Run the same command again: it goes on from the last epoch of each fold.",
            reason=reason,
        )


class PromotionRefused(DrillingError):
    """A version that stays a challenger; `reason` says why, with figures."""

    def __init__(self, name: str, version: int | None, reason: str) -> None:
        super().__init__(
            f"version {version} of {name!r} is not promoted: {reason}",
            remedy="Train on more data, or promote it all the same with --force, which is recorded.",
            name=name,
            version=version,
            reason=reason,
        )


class InvalidSignals(DrillingError):
    """An array that is not a model's input."""

    def __init__(self, name: str, shape: tuple[int, ...], expected: str) -> None:
        super().__init__(
            f"{name} has shape {shape}, not {expected}",
            remedy="drilling.depth_grid.hole_windows makes the input of holes.",
            name=name,
            shape=shape,
            expected=expected,
        )


class ParityError(DrillingError):
    """The exported model differs from the trained one by more than it may."""

    def __init__(self, difference_mm: float, tolerance_mm: float, name: str = "ONNX") -> None:
        super().__init__(
            f"{name} and torch differ by {difference_mm:.6f} mm; {tolerance_mm:g} mm is allowed",
            remedy="The export is not used: check the versions of torch and of what writes the format.",
            difference_mm=difference_mm,
            tolerance_mm=tolerance_mm,
            name=name,
        )
