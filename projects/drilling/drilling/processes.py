"""Work on many things, shared with a process for each core."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import TypeVar

from joblib.externals.loky import get_reusable_executor

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
_AHEAD = 2


def cores() -> int:
    """How many processes are worth having."""
    return os.cpu_count() or 1


def in_processes(
    work: Callable[[Item], Outcome], items: Iterable[Item], chunk: int, workers: int
) -> Iterator[list[Outcome]]:
    """The outcomes of a function at the top of a module, in the order of the items, a list for each chunk.

    Each worker has at most two chunks before it, so that a stream of any length fits. The processes start
    at the first call, stay for later ones, and do not run the caller's script again, as those of
    multiprocessing do. The work begins at once, before the first outcome is asked for.
    """
    pool = get_reusable_executor(max_workers=workers, timeout=60)
    todo = (partial(pool.submit, _each, work, part) for part in _chunks(iter(items), chunk))
    waiting = deque(submit() for submit in islice(todo, _AHEAD * workers))
    return _in_turn(waiting, todo)


def _in_turn(
    waiting: deque[Future[list[Outcome]]], todo: Iterator[Callable[[], Future[list[Outcome]]]]
) -> Iterator[list[Outcome]]:
    try:
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(submit() for submit in islice(todo, 1))
            yield done
    finally:
        for future in waiting:
            future.cancel()


def _chunks(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while chunk := list(islice(items, size)):
        yield chunk


def _each(work: Callable[[Item], Outcome], chunk: list[Item]) -> list[Outcome]:
    return [work(item) for item in chunk]
