"""The same work on many items, by Ray where several processes pay, else here, one after another.

Ray is started for the call and ended after it, on this machine, with a token of its own; where RAY_ADDRESS
names a cluster, that one is used. What a worker raises is raised here, and the work not begun is dropped;
what runs on a cluster is done to its end there.
"""

import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
_SHORT = "/tmp"  # noqa: S108 - a folder of our own is made in it
_STORE_BYTES = 200 * 2**20
_PULSE_S = 2.0


def each(
    work: Callable[[Item], Outcome],
    items: Sequence[Item],
    *,
    workers: int,
    pulse: Callable[[], None] | None = None,
) -> Iterator[tuple[Item, Outcome]]:
    """Each item with its outcome, as they are done; `work` is a function at the top of a module.

    Every worker computes with one thread, so that an outcome does not depend on how many there are. `pulse`
    is called every two seconds while workers work, and between the items else; what it raises ends the work.
    """
    if workers <= 1 or len(items) <= 1:
        for item in items:
            if pulse is not None:
                pulse()
            yield item, _alone(work, item)
        return
    _protect()
    import ray

    with _ray(min(workers, len(items))):
        remote = ray.remote(max_retries=2)(_alone)
        shared, left = ray.put(work), iter(items)
        # No more at a time than there are workers. What is not begun then need not be cancelled: Ray 2.60
        # aborts this process where a task is done as it is cancelled. What runs ends with the Ray of our own.
        under_way: dict[Any, Item] = {remote.remote(shared, item): item for item in islice(left, workers)}
        while under_way:
            if pulse is not None:
                pulse()
            done, _ = ray.wait(list(under_way), num_returns=1, timeout=_PULSE_S)
            for reference in done:
                try:
                    outcome = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error
                under_way |= {remote.remote(shared, item): item for item in islice(left, 1)}
                yield under_way.pop(reference), outcome


def _alone(work: Callable[[Item], Outcome], item: Item) -> Outcome:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            return work(item)
    finally:
        torch.set_num_threads(before)


@contextmanager
def _ray(workers: int) -> Iterator[None]:
    import ray

    if ray.is_initialized():
        yield
        return
    start = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    # Short paths: Ray's sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="ray-", dir=_SHORT if Path(_SHORT).is_dir() else None) as folder:
        if os.environ.get("RAY_ADDRESS"):
            start()
        else:
            start(num_cpus=workers, _temp_dir=folder, object_store_memory=_STORE_BYTES)
        try:
            yield
        finally:
            ray.shutdown()


def _protect() -> None:
    """Let a Ray that is started here answer us alone: it listens on every interface.

    Ray reads these once, when it is imported; where it was before, it is as its importer wanted it.
    """
    if "ray" in sys.modules or os.environ.get("RAY_ADDRESS"):
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_urlsafe(32))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
