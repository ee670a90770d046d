"""A real Prometheus, of Debian's package, that scrapes as docker/prometheus says."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SHIPPED = Path(__file__).parents[1] / "docker" / "prometheus"
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "atan2"}
_ASIDE = (
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"\{[^}]*\}"),
    re.compile(r"\[[^\]]*\]"),
    re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"),
    re.compile(r"\b(?:group_left|group_right)\b"),
    re.compile(r"\b[0-9][0-9a-z.]*"),
)


def program(name: str) -> str:
    """Path of `prometheus` or `promtool`; skips the test where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: prometheus)")
    return found


def metrics_of(expression: str) -> set[str]:
    """Names of the metrics that a PromQL expression reads; what stands before a parenthesis is a function or
    an aggregation."""
    for aside in _ASIDE:
        expression = aside.sub(" ", expression)
    return {
        found[0]
        for found in _WORD.finditer(expression)
        if found[0].lower() not in _WORDS and not expression[found.end() :].lstrip().startswith("(")
    }


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of its answer; fails the test with its message where it refuses."""
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=30
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{parameters}: {error.read().decode()}")

    def names(self) -> set[str]:
        """Every metric there is."""
        return set(self.ask("label/__name__/values"))


@contextmanager
def prometheus(folder: Path, gateway: str, token: str) -> Iterator[Prometheus]:
    """One that scrapes the gateway (host:port) every second with the shipped files and that token."""
    binary, port = program("prometheus"), _free_port()
    shutil.copy(SHIPPED / "rules.yml", folder)
    (folder / "gateway.token").write_text(token + "\n")
    config = (SHIPPED / "prometheus.yml").read_text()
    for shipped, ours in {
        "127.0.0.1:8080": gateway,
        "127.0.0.1:9090": f"127.0.0.1:{port}",
        "_interval: 15s": "_interval: 1s",
        "scrape_timeout: 10s": "scrape_timeout: 1s",
    }.items():
        assert shipped in config
        config = config.replace(shipped, ours)
    (folder / "prometheus.yml").write_text(config)
    command = [
        *(binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/-/ready", process, folder / "prometheus.log")
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(log.read_text())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
