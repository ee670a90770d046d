"""One contract over every model server; and what only Ray's can show."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from mlops.cluster import serve_environment
from mlops.errors import ServiceUnavailable
from mlops.services.processes import MARK
from mlops.serving.base import ModelServer, Phase, ReplicaLimits, Served
from mlops.serving.bento import folder
from mlops.serving.local import LocalModelServer
from mlops.serving.ray import RayModelServer
from tests.mlops.serving.fixtures import (
    RayHead,
    bento,  # noqa: F401
    bentos_home,  # noqa: F401
    broken_bento,  # noqa: F401
    broken_model,  # noqa: F401
    onnx_model,  # noqa: F401
    ray_head,  # noqa: F401
)
from tests.mlops.serving.models import HEADERS, SECRET, a_deployment, package, tag_of

# bentoml's, which it shows when a Bento is opened.
pytestmark = pytest.mark.filterwarnings(r"ignore:::(_bentoml_.*|pathspec)(\..*)?")

ROWS = {"inputs": {"x": [[1, 2, 3], [0, 0, 0.5]]}}
ANSWER = {"outputs": {"y": [[321.0], [50.0]]}}


@pytest.fixture(scope="module")
def ray_server(ray_head: RayHead) -> Iterator[RayModelServer]:  # noqa: F811
    made = RayModelServer(ray_head.address, token=ray_head.token, secret=SECRET, installation="ours")
    yield made
    made.close()


@pytest.fixture(scope="module")
def local_server() -> Iterator[LocalModelServer]:
    made = LocalModelServer(secret=SECRET)
    yield made
    made.close()


@pytest.fixture(
    scope="module", params=["local", pytest.param("ray", marks=pytest.mark.xdist_group("ray_head"))]
)
def server(request: pytest.FixtureRequest) -> ModelServer:
    made: ModelServer = request.getfixturevalue(f"{request.param}_server")
    return made


def wait(server: ModelServer, number: int, phase: Phase | None, seconds: float = 40) -> Served | None:
    deadline = time.monotonic() + seconds
    while True:
        found = server.served().get(number)
        if (found.phase if found else None) is phase:
            return found
        assert phase is not Phase.RUNNING or not found or not found.error, found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def wait_until(condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_deploys_answers_and_removes(server: ModelServer, bento: Path) -> None:  # noqa: F811
    server.deploy(a_deployment(1), bento, ReplicaLimits(0.2, max_ongoing=16))
    served = wait(server, 1, Phase.RUNNING)
    assert served is not None
    assert len(served.urls) == 1
    assert served.urls[0].startswith("http://127.0.0.1:")
    answer = httpx.post(f"{served.urls[0]}/predict", json=ROWS, headers=HEADERS)
    assert (answer.status_code, answer.json()) == (200, ANSWER)
    assert httpx.get(f"{served.urls[0]}/healthz", headers=HEADERS).status_code == 200
    assert httpx.post(f"{served.urls[0]}/predict", json=ROWS).status_code == 401
    server.remove(1)
    wait(server, 1, None)

    def nobody_answers() -> bool:  # the process may take an instant longer than its entry
        try:
            httpx.post(f"{served.urls[0]}/predict", json=ROWS, headers=HEADERS)
        except httpx.TransportError:
            return True
        return False

    wait_until(nobody_answers)


def test_replicas_are_added_while_the_first_answers(server: ModelServer, bento: Path) -> None:  # noqa: F811
    server.deploy(a_deployment(2), bento, ReplicaLimits(0.2, max_ongoing=16))
    wait(server, 2, Phase.RUNNING)
    server.deploy(replace(a_deployment(2), replicas=2), bento, ReplicaLimits(0.2, max_ongoing=16))

    def two_answer() -> bool:
        urls = server.served()[2].urls
        assert urls
        codes = {httpx.post(f"{url}/predict", json=ROWS, headers=HEADERS).status_code for url in urls}
        return codes == {200} and len(urls) == 2

    wait_until(two_answer)
    server.remove(2)
    wait(server, 2, None)


def test_replicas_grow_with_the_load_and_never_beyond(
    ray_server: RayModelServer,
    bento: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlops.serving.ray._GROW_AFTER", 0.5)
    monkeypatch.setattr("mlops.serving.ray._SHRINK_AFTER", 1.0)
    monkeypatch.setattr("mlops.serving.ray._TARGET_ONGOING", 1)
    ray_server.deploy(replace(a_deployment(9), most_replicas=2), bento, ReplicaLimits(0.2, max_ongoing=64))
    found = wait(ray_server, 9, Phase.RUNNING)
    assert found is not None
    assert len(found.urls) == 1
    stop, codes = threading.Event(), set[int]()
    asked = [threading.Thread(target=ask, args=(found.urls[0], stop, codes)) for _ in range(8)]
    for thread in asked:
        thread.start()
    try:
        wait_until(lambda: len(ray_server.served()[9].urls) == 2, 90)
    finally:
        stop.set()
        for thread in asked:
            thread.join()
    assert codes == {200}
    wait_until(lambda: len(ray_server.served()[9].urls) == 1, 90)
    ray_server.remove(9)
    wait(ray_server, 9, None)


def ask(url: str, stop: threading.Event, codes: set[int]) -> None:
    with httpx.Client(headers=HEADERS, timeout=30) as http:
        while not stop.is_set():
            codes.add(http.post(f"{url}/predict", json=ROWS).status_code)


def test_a_model_that_does_not_open_fails_with_its_traceback(
    server: ModelServer,
    bento: Path,  # noqa: F811
    broken_bento: Path,  # noqa: F811
) -> None:
    server.deploy(a_deployment(3), bento, ReplicaLimits(0.2, max_ongoing=16))
    server.deploy(a_deployment(4), broken_bento, ReplicaLimits(0.2, max_ongoing=16))
    failed = wait(server, 4, Phase.FAILED)
    assert failed is not None
    assert "Traceback" in failed.error
    assert "model.onnx" in failed.error
    assert failed.urls == ()
    served = wait(server, 3, Phase.RUNNING)
    assert served is not None
    assert httpx.post(f"{served.urls[0]}/predict", json=ROWS, headers=HEADERS).status_code == 200
    for number in (3, 4):
        server.remove(number)
        wait(server, number, None)


def test_removing_what_is_not_there_is_fine(server: ModelServer) -> None:
    server.remove(999)
    assert 999 not in server.served()


def test_nothing_of_ray_listens_beyond_loopback(
    ray_head: RayHead,  # noqa: F811
    ray_server: RayModelServer,
    bento: Path,  # noqa: F811
) -> None:
    ray_server.deploy(a_deployment(5), bento, ReplicaLimits(0.2, max_ongoing=16))
    wait(ray_server, 5, Phase.RUNNING)
    head = psutil.Process(ray_head.group)
    found = [
        (process.name(), connection.laddr.ip, connection.laddr.port)
        for process in [head, *head.children(recursive=True), psutil.Process()]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(found) > 10, found
    assert {address for _, address, _ in found} <= {"127.0.0.1", "::ffff:127.0.0.1"}, found
    ray_server.remove(5)


def test_rays_processes_keep_their_environment_and_with_it_our_mark(
    ray_head: RayHead,  # noqa: F811
    ray_server: RayModelServer,
    bento: Path,  # noqa: F811
) -> None:
    ray_server.deploy(a_deployment(6), bento, ReplicaLimits(0.2, max_ongoing=16))
    wait(ray_server, 6, Phase.RUNNING)
    group = [
        process
        for process in psutil.Process(ray_head.group).children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE
    ]
    titles = {" ".join(process.cmdline())[:40]: process.environ().get(MARK, "") for process in group}
    assert any("Replica" in title for title in titles), titles
    assert set(titles.values()) == {ray_head.mark[MARK]}, titles
    ray_server.remove(6)


def test_a_client_without_the_token_is_refused(ray_head: RayHead, tmp_path: Path) -> None:  # noqa: F811
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    # What `ray.init` does first; that one tries again for half a minute before it gives up.
    program = (
        f"from ray._raylet import GcsClient; client = GcsClient(address={ray_head.address!r});"
        "client.internal_kv_keys(b'', None, timeout=10)"
    )
    own = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment = {**own, **serve_environment(loopback=True), "HOME": str(tmp_path)}
    for auth in ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(wrong)}, {}):
        result = subprocess.run(
            [sys.executable, "-c", program],
            env={**environment, **auth},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode != 0
        assert "auth" in result.stderr.lower(), result.stderr


def test_applications_of_others_are_neither_seen_nor_touched(
    ray_server: RayModelServer,
    bento: Path,  # noqa: F811
) -> None:
    from ray import serve

    ray_server.deploy(a_deployment(7), bento, ReplicaLimits(0.2, max_ongoing=16))
    wait(ray_server, 7, Phase.RUNNING)

    @serve.deployment(ray_actor_options={"num_cpus": 0.1})
    class Other:
        async def __call__(self) -> str:
            return "mine"

    others = ("mlops-7", "mlops-ours-seven", "mlops-theirs-7", "mlops-ours-7-8")
    for name in others:
        serve._run(Other.bind(), name=name, route_prefix=f"/{name}", _blocking=False)
    assert set(ray_server.served()) == {7}
    ray_server.remove(7)
    wait(ray_server, 7, None)
    assert set(others) <= set(serve.status().applications)
    for name in others:
        serve.delete(name, _blocking=False)


_UNRULY = """
import os
kept = []
def answer(body, infer):
    if body == b"crash":
        os.kill(os.getpid(), 9)
    if body == b"leak":
        kept.append(os.urandom(1024) * (1024 * 300))
    return {"pid": os.getpid()}
"""


def test_a_model_that_leaks_or_crashes_is_replaced_and_takes_down_no_other(
    ray_server: RayModelServer,
    bento: Path,  # noqa: F811
    bentos_home: Path,  # noqa: F811
    onnx_model: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    (tmp_path / "unruly").mkdir()
    (tmp_path / "unruly" / "__init__.py").write_text(_UNRULY)
    made = package(
        onnx_model, bentos_home, build="unruly", functions={"answer": "unruly:answer"}, code=str(tmp_path)
    )
    ray_server.deploy(a_deployment(11), bento, ReplicaLimits(0.2))
    ray_server.deploy(a_deployment(12), folder(bentos_home, tag_of(made)), ReplicaLimits(0.2, memory_mb=600))
    peaceful, unruly = wait(ray_server, 11, Phase.RUNNING), wait(ray_server, 12, Phase.RUNNING)
    assert peaceful is not None
    assert unruly is not None
    first = pid_of_replica(ray_server)
    for what in ("leak", "leak", "crash"):
        assert pid_of_replica(ray_server) == first
        with contextlib.suppress(httpx.TransportError):  # of the crash, and of the second leak perhaps
            httpx.post(f"{ray_server.served()[12].urls[0]}/predict", content=what.encode(), headers=_FILE)
        if what == "leak" and psutil.Process(first).memory_info().rss < 600e6:
            continue
        wait_until(lambda last=first: pid_of_replica(ray_server) not in (None, last), 60)  # type: ignore[misc]
        first = pid_of_replica(ray_server)
        assert httpx.post(f"{peaceful.urls[0]}/predict", json=ROWS, headers=HEADERS).json() == ANSWER
    for number in (11, 12):
        ray_server.remove(number)
        wait(ray_server, number, None)


_FILE = HEADERS | {"Content-Type": "application/octet-stream"}


def pid_of_replica(server: RayModelServer) -> int | None:
    try:
        answer = httpx.post(
            f"{server.served()[12].urls[0]}/predict", content=b"pid", headers=_FILE, timeout=5
        )
        return int(answer.json()["outputs"]["pid"])
    except (httpx.TransportError, IndexError, KeyError):
        return None


def test_a_replica_that_takes_more_than_it_may_does_not_start_and_says_why(
    ray_server: RayModelServer,
    bento: Path,  # noqa: F811
) -> None:
    ray_server.deploy(a_deployment(13), bento, ReplicaLimits(0.2, memory_mb=50))
    failed = wait(ray_server, 13, Phase.FAILED)
    assert failed is not None
    assert "and may take 50: raise `quotas.replica_memory_mb`" in failed.error
    ray_server.remove(13)
    wait(ray_server, 13, None)


def test_an_ipv6_address_is_understood() -> None:
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    address = f"[::1]:{listener.getsockname()[1]}"
    server = RayModelServer(address, token="t" * 64, secret=SECRET, installation="ours")
    with listener:
        server._probe()
    assert server._is_local
    with pytest.raises(ServiceUnavailable, match="ray does not answer"):
        server._probe()


def test_a_ray_that_is_not_there_is_named_at_once() -> None:
    server = RayModelServer("127.0.0.1:1", token="t" * 64, secret=SECRET, installation="ours")
    started = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="ray does not answer"):
        server.served()
    assert time.monotonic() - started < 60  # not Ray's own minutes
    assert not server.lost
