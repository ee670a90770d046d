"""The image that a RayService and an InferenceService run: a Dockerfile, and what that copies."""

from __future__ import annotations

import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlops

_DISTRIBUTION = "efficientai-toolkit"
SERVES = (
    "bentoml", "httptools", "numpy", "orjson", "psutil", "pyyaml", "ray[serve]", "starlette",
    "uvicorn", "uvloop",
)  # fmt: skip
"""What of the distribution's dependencies a replica imports, besides what its Bento names."""
_BENTOS_OWN = "env/python/requirements.txt"

_DOCKERFILE = """\
FROM python:{python}-slim
# KubeRay before 1.6 probes a pod by its wget.
RUN apt-get update && apt-get install --yes --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/model
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY toolkit toolkit
RUN pip install --no-cache-dir --no-deps ./toolkit
COPY bento bento
RUN useradd --uid 1000 --no-create-home --home-dir /tmp model
ENV HOME=/tmp BENTOML_HOME=/tmp/bentoml BENTOML_DO_NOT_TRACK=True PYTHONUNBUFFERED=1
USER 1000
EXPOSE 8080
CMD ["python", "-m", "mlops.serving.standalone", "--bento", "/opt/model/bento", "--host", "0.0.0.0"]
"""

_PYPROJECT = """\
[project]
name = "{name}"
version = "{version}"
requires-python = ">=3.11"

[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["mlops"]
"""


def write_image(bento: Path, folder: Path) -> None:
    """Write below `folder` what `docker build` needs: `Dockerfile`, `requirements.txt`, the `bento`, and the
    `toolkit` as it is installed here, with the dependencies that serving needs pinned to what is here."""
    shutil.copytree(bento, folder / "bento")
    _copy_toolkit(folder / "toolkit")
    (folder / "requirements.txt").write_text("\n".join(requirements(bento)) + "\n", encoding="utf-8")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "Dockerfile").write_text(_DOCKERFILE.format(python=python), encoding="utf-8")


def requirements(bento: Path) -> list[str]:
    """The Bento's own requirements, and of `SERVES` what it does not name."""
    stated = (bento / _BENTOS_OWN).read_text(encoding="utf-8").split("\n")
    found = {_bare(line): line.strip() for line in stated if _bare(line)}
    for name in SERVES:
        found.setdefault(_bare(name), f"{name}=={version(_bare(name))}")
    return list(found.values())


def _bare(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement.strip())
    return "" if name is None else re.sub(r"[._-]+", "-", name[0].lower())


def _copy_toolkit(folder: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(Path(mlops.__file__).parent, folder / "mlops", ignore=ignored)
    try:
        release = version(_DISTRIBUTION)
    except PackageNotFoundError:  # run from its sources
        release = "0"
    pyproject = _PYPROJECT.format(name=_DISTRIBUTION, version=release)
    (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
