"""Progress on the error stream, so that what a command prints can be piped."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, track

Item = TypeVar("Item")


def tracked(items: Iterable[Item], description: str, total: int, *, shown: bool = True) -> Iterator[Item]:
    """The items, with a bar that counts them while they are taken."""
    return iter(track(items, description, total, console=Console(stderr=True), disable=not shown))


@contextmanager
def staged(description: str, *, shown: bool = True) -> Iterator[Callable[[str], None]]:
    """A bar for a step of unknown length; calling what is given names the stage that it is in."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[stage]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), disable=not shown) as bars:
        bar = bars.add_task(description, total=None, stage="")
        yield lambda stage: bars.update(bar, stage=stage)
        bars.update(bar, total=1, completed=1)


def say(sentence: str) -> None:
    """A line on the error stream."""
    Console(stderr=True).print(sentence, soft_wrap=True, markup=False, highlight=False)
