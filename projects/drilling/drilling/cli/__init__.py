"""The project's commands. Heavy imports stand inside them, so that listing them costs nothing."""

from drilling.cli.demo import demo
from drilling.cli.generate import generate
from drilling.cli.labels import label, split
from drilling.cli.logs import parse, validate
from drilling.cli.model import export, predict
from drilling.cli.plot import plot
from drilling.cli.training import evaluate, promote, train
from drilling.cli.tune import tune

__all__ = [
    "demo",
    "evaluate",
    "export",
    "generate",
    "label",
    "parse",
    "plot",
    "predict",
    "promote",
    "split",
    "train",
    "tune",
    "validate",
]
