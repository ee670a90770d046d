"""The project's commands. Heavy imports stand inside them, so that listing them costs nothing."""

from drilling.cli.demo import demo
from drilling.cli.generate import generate
from drilling.cli.labels import label, split
from drilling.cli.logs import parse, validate
from drilling.cli.plot import plot

__all__ = ["demo", "generate", "label", "parse", "plot", "split", "validate"]
