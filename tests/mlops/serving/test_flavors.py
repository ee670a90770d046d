"""Each flavor of model as a Bento: packaged or refused, opened, served, and ready for a container."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlops.serving.bento import folder
from tests.mlops.serving.fixtures import bento, bentos_home, onnx_model  # noqa: F401
from tests.mlops.serving.models import (
    opened,
    package,
    save_coreml,
    save_mlx,
    save_mlx_callable,
    save_pyfunc,
    save_registered,
    tag_of,
)
from tests.mlops.serving.test_bento import served

UNNAMED = {"inputs": [[1, 2, 3], [0, 0, 0.5]]}
NAMED = {"x": [[1, 2, 3], [0, 0, 0.5]]}
NEEDS_LEAVE = {
    "pytorch": (lambda folder: save_registered("torch", folder), UNNAMED),
    "sklearn": (lambda folder: save_registered("sklearn", folder), UNNAMED),
    "python_function": (save_pyfunc, NAMED),
}


@pytest.fixture(scope="module")
def mlx_bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("mlx")
    return folder(home, tag_of(package(save_mlx(home / "model"), home, name="line")))


@pytest.mark.parametrize("flavor", NEEDS_LEAVE)
def test_what_may_run_code_needs_leave_by_name_and_then_answers(flavor: str, tmp_path: Path) -> None:
    save, rows = NEEDS_LEAVE[flavor]
    model, home = save(tmp_path / "model"), tmp_path / "home"
    refused = package(model, home, allow_pickle=["lightgbm"])
    assert refused.returncode != 0
    assert flavor in refused.stderr
    assert "loading it runs code" in refused.stderr
    assert "`allow_pickle` below" in refused.stderr
    made = folder(home, tag_of(package(model, home, allow_pickle=[flavor])))
    (outputs,) = json.loads(opened(made, home, program(rows))).values()
    np.testing.assert_allclose(outputs, [[321.0], [50.0]], rtol=1e-5)


def program(rows: object) -> str:
    return f"import json\nprint(json.dumps(model.predict({rows!r})))"


def test_torch_computes_with_as_many_threads_as_it_is_given(tmp_path: Path) -> None:
    model, home = save_registered("torch", tmp_path / "model"), tmp_path / "home"
    made = folder(home, tag_of(package(model, home, allow_pickle=["pytorch"])))
    assert opened(made, home, "import torch; print(torch.get_num_threads())") == "1"
    requirements = (made / "env" / "python" / "requirements.txt").read_text()
    assert "torch==" in requirements
    assert "+" not in requirements  # a local version is on no index


def test_an_mlx_graph_is_served_by_bentoml(mlx_bento: Path, tmp_path: Path) -> None:
    with served(mlx_bento, tmp_path):
        pass  # it has answered


def test_an_mlx_graph_answers_many_threads_at_once(mlx_bento: Path, tmp_path: Path) -> None:
    found = opened(
        mlx_bento,
        tmp_path,
        "from concurrent.futures import ThreadPoolExecutor\n"
        "ask = lambda n: model.predict({'x': [[1, 2, n]] * (n + 1)}) == {'y': [[21.0 + 100 * n]] * (n + 1)}\n"
        "with ThreadPoolExecutor(8) as threads:\n"
        "    print(all(threads.map(ask, list(range(50)) * 4)))",
    )
    assert found == "True"


def test_two_mlx_graphs_are_open_in_one_process(mlx_bento: Path, tmp_path: Path) -> None:
    model = save_mlx_callable(lambda x: 2 * x, np.eye(3, dtype=np.float32), tmp_path / "model")
    other = folder(tmp_path, tag_of(package(model, tmp_path, name="twice")))
    found = opened(
        mlx_bento,
        tmp_path,
        f"other = open_service(Path({str(other)!r}), 1)\n"
        "print(model.predict({'x': [[1, 2, 3]]}), other.predict({'inputs': [[1, 2, 3]]}))",
    )
    assert found == "{'y': [[321.0]]} {'outputs': [[2.0, 4.0, 6.0]]}"


def test_a_model_of_single_rows_answers_any_number_of_them(tmp_path: Path) -> None:
    """A split has no open shape in MLX: a graph for each of some numbers of rows does it."""
    import mlx.core as mx

    def halves(x, scale):  # type: ignore[no-untyped-def]
        left, right = mx.split(x, 2, axis=-1)
        return {"sum": left * scale + right, "left": left}

    example = {"x": np.random.rand(2, 4).astype(np.float32), "scale": np.ones((2, 1), dtype=np.float32)}
    model = save_mlx_callable(halves, example, tmp_path / "model")
    home = tmp_path / "home"
    made = folder(home, tag_of(package(model, home)))
    found = opened(
        made,
        home,
        "import json\n"
        "ask = lambda n, m: model.predict({'x': [[1, 2, 3, i] for i in range(n)], 'scale': [[2]] * m})\n"
        "try:\n    ask(2, 3)\n    problem = ''\n"
        "except Exception as error:\n    problem = str(error)\n"
        "print(json.dumps([problem, ask(45, 45)]))",
    )
    problem, answer = json.loads(found)
    assert "as many rows" in problem
    assert answer["sum"] == [[5.0, 4.0 + row] for row in range(45)]
    assert answer["left"] == [[1.0, 2.0]] * 45


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"no graph", "string size"), (b"... CustomKernel ...", "kernel of its own")],
)
def test_a_file_that_is_no_graph_of_numbers_is_not_opened(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    model = save_mlx(tmp_path / "model")
    (model / "model.mlxfn").write_bytes(content)
    assert problem in _failure(model)


def test_mlx_used_by_another_thread_first_is_told(tmp_path: Path) -> None:
    model = save_mlx(tmp_path / "model")
    told = _failure(model, "import mlx.core as mx; mx.eval(mx.ones(3))")
    assert "a process of its own" in told


def _failure(model: Path, first: str = "") -> str:
    """What a process that loads the model in that folder dies of."""
    code = f"{first}\nimport sys; from pathlib import Path; from mlops.serving.runtimes import load\n"
    result = subprocess.run(
        [sys.executable, "-c", code + "load(Path(sys.argv[1]), 1)", str(model)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    return result.stderr


def test_a_core_ml_model_is_packaged_anywhere_and_answers_on_a_mac(tmp_path: Path) -> None:
    model, home = save_coreml(tmp_path / "model"), tmp_path / "home"
    made = folder(home, tag_of(package(model, home)))
    assert "coremltools==" in (made / "env" / "python" / "requirements.txt").read_text()
    if platform.system() == "Darwin":
        assert json.loads(opened(made, home, program(NAMED))) == {"y": [[321.0], [50.0]]}
    else:
        assert "NeedsMac: a Core ML model answers on macOS alone" in _failure(model)


@pytest.mark.parametrize("save", [save_mlx, save_coreml])
def test_our_own_flavors_need_their_signature(save: Callable[[Path], Path], tmp_path: Path) -> None:
    model = save(tmp_path / "model")
    described = yaml.safe_load((model / "MLmodel").read_text())
    del described["signature"]
    (model / "MLmodel").write_text(yaml.safe_dump(described))
    assert "says nothing of its inputs" in _failure(model)


def test_labels_say_where_it_comes_from_and_what_it_takes(mlx_bento: Path, tmp_path: Path) -> None:
    model = mlx_bento / "src" / "model"
    order = {"run_id": "ab12", "data": {"data/raw": "0f.dir"}}
    made = folder(tmp_path, tag_of(package(model, tmp_path, **order)))
    labels = yaml.safe_load((made / "bento.yaml").read_text())["labels"]
    assert all(isinstance(value, str) for value in labels.values())
    assert (labels["project"], labels["version"], labels["run"]) == ("drilling", "3", "ab12")
    assert json.loads(labels["data"]) == {"data/raw": "0f.dir"}
    assert json.loads(labels["signature"]) == {
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 3], "required": True}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [-1, 1], "required": True}],
    }


_CONTAINERFILE = """
import sys
from bentoml._internal.bento import Bento
from bentoml._internal.container import construct_containerfile
from pathlib import Path
with construct_containerfile(Bento.from_path(sys.argv[1])) as (context, file):
    assert Path(context, "env/python/requirements.txt").is_file()
    print(Path(file).read_text())
"""


@pytest.mark.parametrize("which", ["bento", "mlx_bento"])
def test_a_container_would_hold_all_it_needs(which: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(which)
    result = subprocess.run(
        [sys.executable, "-c", _CONTAINERFILE, str(made)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "FROM python:" in result.stdout
    assert "env/python/requirements.txt" in result.stdout or "env/python/install.sh" in result.stdout
    stated = (made / "env" / "python" / "requirements.txt").read_text().splitlines()
    assert all("==" in line for line in stated if line and not line.startswith(("#", "-"))), stated
    imported = {"bento": "onnxruntime", "mlx_bento": "mlx"}[which]
    assert any(line.startswith(imported) for line in stated)


def test_the_container_is_built_and_answers(bento: Path, tmp_path: Path) -> None:  # noqa: F811
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker daemon answers here")
    built = subprocess.run(
        [sys.executable, "-m", "bentoml", "containerize", str(bento), "-t", "mlops-test:1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
