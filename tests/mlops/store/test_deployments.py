"""Wishes about deployments, over a real Postgres."""

from __future__ import annotations

import threading
from collections.abc import Callable

from mlops.errors import InvalidInput
from mlops.store.store import Store


def test_wishes_at_once_stay_within_the_quota(store: Store, add_project: Callable[..., str]) -> None:
    add_project("alpha")
    meet = threading.Barrier(8, timeout=60)
    refused: list[InvalidInput] = []

    def wish(number: int) -> None:
        meet.wait()
        try:
            store.deployments.want("alpha", f"model-{number}", 1, 2, quota=5)
        except InvalidInput as error:
            refused.append(error)

    threads = [threading.Thread(target=wish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.deployments.all("alpha")) == 2
    assert len(refused) == 6
    assert "has 1 of its 5 left" in refused[0].message
