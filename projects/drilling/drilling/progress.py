"""A progress bar on the error stream, so that what a command prints can be piped."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def tracked(items: Iterable[Item], description: str, total: int, *, shown: bool = True) -> Iterator[Item]:
    """The items, with a bar that counts them while they are taken."""
    return iter(track(items, description, total, console=Console(stderr=True), disable=not shown))
