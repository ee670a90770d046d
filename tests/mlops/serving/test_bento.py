"""Bentos: what is packaged, what is refused, and that `bentoml serve` serves them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from mlops.errors import InvalidInput
from mlops.serving.bento import discard, environment, folder, is_usable
from tests.mlops.serving.fixtures import bento, bentos_home, onnx_model  # noqa: F401
from tests.mlops.serving.models import package, save_sklearn, tag_of

ROWS = {"inputs": {"x": [[1, 2, 3], [0, 0, 0.5]]}}


def test_labels_requirements_and_no_trace_of_us(bento: Path) -> None:  # noqa: F811
    described = yaml.safe_load((bento / "bento.yaml").read_text())
    assert (described["name"], described["version"]) == ("drilling.depth", "3-1")
    labels = described["labels"]
    assert {key: labels[key] for key in ("project", "model", "version")} == {
        "project": "drilling",
        "model": "depth",
        "version": "3",
    }
    requirements = (bento / "env" / "python" / "requirements.txt").read_text()
    assert "onnxruntime==" in requirements
    assert "://" not in requirements
    sources = "\n".join(path.read_text() for path in (bento / "src").rglob("*.py"))
    assert "import mlops" not in sources
    assert "from mlops" not in sources


def test_bentoml_serve_gives_the_same_numbers(bento: Path, tmp_path: Path) -> None:  # noqa: F811
    with served(bento, tmp_path) as url:
        wrong = httpx.post(f"{url}/predict", json={"inputs": {"x": [[1]]}})
        assert wrong.status_code == 422
        assert "shape" in wrong.text
        no_file = httpx.post(f"{url}/predict_file", files={"file": b"1,2,3"})
        assert no_file.status_code == 422
        assert "takes no files" in no_file.text


@pytest.fixture
def lines_project(tmp_path: Path) -> Path:
    """A project whose package reads files of numbers."""
    package = tmp_path / "project" / "lines"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "numbers.py").write_text("def read(body):\n    return [float(x) for x in body.split(b',')]\n")
    (package / "files.py").write_text(
        "from lines.numbers import read\n\n"
        "def answer(body, infer):\n"
        "    return {'sum': float(infer({'x': [read(body)]})['y'][0, 0])}\n"
    )
    (package / "__pycache__").mkdir()
    (package.parent / "pyproject.toml").write_text(
        '[project]\nname = "lines"\ndependencies = ["polars>=1.30", "-r other.txt", "x @ https://example.org"]\n'
    )
    return package.parent


def test_a_file_is_answered_by_the_projects_code_as_it_was_packaged(
    onnx_model: Path,  # noqa: F811
    lines_project: Path,
    tmp_path: Path,
) -> None:
    order = {"functions": {"answer": "lines.files:answer"}, "code": str(lines_project)}
    made = folder(tmp_path / "home", tag_of(package(onnx_model, tmp_path / "home", **order)))
    (lines_project / "lines" / "numbers.py").write_text("raise RuntimeError('this is newer')")
    requirements = (made / "env" / "python" / "requirements.txt").read_text()
    assert "polars>=1.30" in requirements
    assert "example.org" not in requirements
    assert "-r" not in requirements
    with served(made, tmp_path) as url:
        answer = httpx.post(f"{url}/predict_file", files={"file": b"1,2,3"})
        assert answer.json() == {"sum": 321.0}
        wrong = httpx.post(f"{url}/predict_file", files={"file": b"one"})
        assert wrong.status_code == 422
        assert "could not convert" in wrong.text


def test_code_that_is_not_there_or_leads_out_is_refused(
    onnx_model: Path,  # noqa: F811
    lines_project: Path,
    tmp_path: Path,
) -> None:
    order = {"functions": {"answer": "other.files:answer"}, "code": str(lines_project)}
    result = package(onnx_model, tmp_path / "home", **order)
    assert result.returncode != 0
    assert "has no folder 'other'" in result.stderr
    (lines_project / "lines" / "secrets.py").symlink_to("/etc/hostname")
    result = package(onnx_model, tmp_path / "home", **order | {"functions": {"answer": "lines.files:answer"}})
    assert result.returncode != 0
    assert "symbolic link" in result.stderr


def test_the_graph_runs_by_the_best_provider_that_is_installed(onnx_model: Path) -> None:  # noqa: F811
    from mlops.serving.runtimes import load

    given = ("NoSuchExecutionProvider", "CUDAExecutionProvider", "CoreMLExecutionProvider")
    import onnxruntime

    expected = [name for name in given if name in onnxruntime.get_available_providers()]
    for providers in ((), given, (*given, "CPUExecutionProvider")):
        runtime = load(onnx_model, 1, providers)
        wanted = expected if providers else []
        assert runtime.providers == (*wanted, "CPUExecutionProvider")
        assert runtime.answer(ROWS["inputs"]) == {"y": [[321.0], [50.0]]}


def test_a_bento_of_another_release_is_not_usable(bento: Path, tmp_path: Path) -> None:  # noqa: F811
    import shutil

    assert is_usable(bento)
    assert not is_usable(tmp_path / "nowhere")
    older = shutil.copytree(bento, tmp_path / "older")
    described = yaml.safe_load((older / "bento.yaml").read_text())
    del described["labels"]["format"]
    (older / "bento.yaml").write_text(yaml.safe_dump(described))
    assert not is_usable(older)


@contextmanager
def served(bento: Path, tmp_path: Path) -> Iterator[str]:  # noqa: F811
    """The URL at which `bentoml serve` serves it, once it has answered."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bentoml",
                "serve",
                str(bento),
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
            ],
            # Away from this repository: the Bento must not need it.
            cwd=tmp_path,
            env={**os.environ, **environment(tmp_path / "home")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        answer = _first_answer(f"{url}/predict", server, tmp_path / "log")
        assert answer.json() == {"y": [[321.0], [50.0]]}
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def _first_answer(url: str, server: subprocess.Popen[bytes], log: Path) -> httpx.Response:
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = httpx.post(url, json=ROWS)
            if answer.status_code == 200:
                return answer
        except httpx.TransportError:
            pass
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def test_a_pickled_flavor_needs_leave_and_then_answers(tmp_path: Path) -> None:
    model = save_sklearn(tmp_path / "model")
    refused = package(model, tmp_path / "home", name="Line", allow_pickle=["pytorch"])
    assert refused.returncode != 0
    assert "loading it runs code" in refused.stderr
    assert not (tmp_path / "home" / "bentos").exists()

    tag = tag_of(package(model, tmp_path / "home", name="Line", allow_pickle=["sklearn"]))
    assert tag == "drilling.line:3-1"
    program = (
        "import sys; from pathlib import Path; from mlops.serving.bento import open_service;"
        "model = open_service(Path(sys.argv[1]), 1);"
        "print(model.predict({'a': [1, 0], 'b': [2, 0], 'c': [3, 0.5]}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(folder(tmp_path / "home", tag))],
        env={**os.environ, **environment(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    outputs = eval(result.stdout.strip().splitlines()[-1])
    assert [
        round(value, 6) for value in outputs["predictions" if "predictions" in outputs else "outputs"]
    ] == [
        321.0,
        50.0,
    ]


def test_links_and_paths_out_of_the_model_are_refused(onnx_model: Path, tmp_path: Path) -> None:  # noqa: F811
    import shutil

    linked = tmp_path / "linked"
    shutil.copytree(onnx_model, linked)
    (linked / "extra").symlink_to("/etc/hostname")
    result = package(linked, tmp_path / "home")
    assert result.returncode != 0
    assert "symbolic link" in result.stderr

    from mlops.serving.runtimes import load

    outside = tmp_path / "outside"
    shutil.copytree(onnx_model, outside)
    text = (outside / "MLmodel").read_text().replace("data: model.onnx", "data: ../linked/model.onnx")
    (outside / "MLmodel").write_text(text)
    with pytest.raises(ValueError, match="outside"):
        load(outside, 1)


@pytest.mark.parametrize("tag", ["", "a", "a:b:c", "../x:1", "a:..", "/etc:1", "-a:1", "a:-1"])
def test_a_tag_cannot_lead_out_of_the_store(tag: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        folder(tmp_path, tag)
    with pytest.raises(InvalidInput):
        discard(tmp_path, tag)
