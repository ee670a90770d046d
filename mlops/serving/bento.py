"""Packages a model version as a Bento, and opens one.

Both belong into a process of their own (a packaging child, a replica): bentoml is heavy, and keeps
its settings for the whole process.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.errors import ConfigError, InvalidInput
from mlops.project import allows_pickle

if TYPE_CHECKING:
    from mlops.serving.runtimes.mlmodel import MLModel

FORMAT = "3"
"""Of a Bento's inside, as this release opens it."""

ANSWER, FEATURES = "answer", "features"
"""What a project's own function in a Bento is for: files, and the features that are logged."""

_RUNTIMES = Path(__file__).parent / "runtimes"
_REQUIREMENTS = ("bentoml", "numpy", "pyyaml")
_RUNTIME_REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "onnx": ("onnxruntime",),
    "mlx": ('mlx[cpu]; sys_platform == "linux"', 'mlx; sys_platform == "darwin"'),
    "coreml": ("coremltools",),
    "python_function": ("mlflow", "pandas"),
}


@dataclass(frozen=True, slots=True)
class BentoOrder:
    """What to package."""

    model: Path
    """An MLflow model folder."""
    home: Path
    """BENTOML_HOME: where Bentos are kept."""
    project: str
    name: str
    version: int
    run_id: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    """The data versions of that run, hash by path."""
    build: str = "1"
    """Tells Bentos of the same model version apart; letters and digits."""
    allow_pickle: bool | Sequence[str] = False
    """Whether flavors that run code when loaded may be packaged, or which."""
    functions: Mapping[str, str] = field(default_factory=dict)
    """What for (`ANSWER`, `FEATURES`) -> `package.module:function` of the project (`runtimes.functions`);
    their packages are copied from `code`."""
    code: Path | None = None
    """The project's folder."""
    labels: Mapping[str, str] = field(default_factory=dict)


def environment(home: Path) -> dict[str, str]:
    """What the environment of a process that packages must hold before it imports bentoml."""
    return {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_CONFIG_OPTIONS": "",
    }


def tag(order: BentoOrder) -> str:
    """The Bento's `name:version`."""
    return f"{_slug(order.project)}.{_slug(order.name)}:{order.version}-{order.build}"


def folder(home: Path, bento: str) -> Path:
    """Where the Bento of that tag lies; raises `InvalidInput` on what is not a tag."""
    parts = bento.split(":")
    if len(parts) != 2 or not all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", part) for part in parts):
        raise InvalidInput("bento", bento, "is not a Bento's tag", remedy="Deploy the model anew.")
    return home / "bentos" / parts[0] / parts[1]


def is_usable(bento: Path) -> bool:
    """Whether there is a Bento in that folder that this release opens; an earlier release's is made anew."""
    return _labels(bento).get("format") == FORMAT


def labels_of(bento: Path) -> dict[str, str]:
    """What the Bento in that folder says of itself: project, model, version, run, data (JSON, hash by path),
    signature. Raises `InvalidInput` where there is none that this release opens."""
    labels = _labels(bento)
    if labels.get("format") != FORMAT:
        raise InvalidInput(
            "bento",
            str(bento),
            "holds no Bento that this release opens",
            remedy="Deploy the model anew: `efficientai-toolkit mlops:deploy <model> <version>`.",
        )
    return labels


def _labels(bento: Path) -> dict[str, str]:
    import yaml

    try:
        labels = yaml.safe_load((bento / "bento.yaml").read_text(encoding="utf-8"))["labels"]
        return {str(key): str(value) for key, value in labels.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return {}


def discard(home: Path, bento: str) -> None:
    """Delete the Bento of that tag, if it is there."""
    shutil.rmtree(folder(home, bento), ignore_errors=True)


def build(order: BentoOrder) -> str:
    """Make the Bento, replacing one of the same tag, and return its tag.

    The process needs `environment(order.home)`. Raises `ConfigError` on a flavor that is not
    allowed or a folder that is not an MLflow model, `InvalidInput` on a link in the model's folder.
    """
    from mlops.serving.runtimes.mlmodel import read

    try:
        model = read(order.model)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{order.name} {order.version} is not an MLflow model: {error}") from error
    _check_flavors(order, model)
    _check_files(order.model)
    discard(order.home, tag(order))
    with tempfile.TemporaryDirectory(prefix="bento-") as scratch:
        context = Path(scratch)
        package = _package_name(order)
        shutil.copytree(_RUNTIMES, context / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        shutil.copytree(order.model, context / "model")
        _copy_code(order, context)
        requirements = _requirements(model, _project_requirements(order))
        labels = {
            "project": order.project,
            "model": order.name,
            "version": str(order.version),
            "run": order.run_id,
            "data": json.dumps(dict(order.data), separators=(",", ":")),
            "signature": _signature(model),
            "format": FORMAT,
            **order.labels,
        }
        return _build(order, context, package, requirements, labels)


def _copy_code(order: BentoOrder, context: Path) -> None:
    from mlops.serving.runtimes.functions import CODE, DECLARATION

    if not order.functions:
        return
    packages = {call.partition(":")[0].split(".")[0]: call for call in order.functions.values()}
    for package, call in packages.items():
        source = None if order.code is None else order.code / package
        if source is None or not source.is_dir():
            raise ConfigError(
                f"project.toml of {order.project!r} names {call!r},"
                f" and the project has no folder {package!r}",
                remedy="Name a function of a package in the project's folder, and register it again.",
            )
        _check_files(source)
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(source, context / CODE / package, ignore=ignored)
    (context / DECLARATION).write_text(json.dumps(dict(order.functions)), encoding="utf-8")


def run_id_of(model: Path) -> str:
    """The run that logged the MLflow model in that folder; empty where it does not say."""
    from mlops.serving.runtimes.mlmodel import read

    return read(model).run_id


def _signature(model: MLModel) -> str:
    """As JSON: what `MLmodel` says of the arrays; null where it says nothing."""
    told = {
        side: None if signature is None else [asdict(tensor) for tensor in signature.tensors]
        for side, signature in (("inputs", model.inputs), ("outputs", model.outputs))
    }
    return json.dumps(told, separators=(",", ":"))


def _build(
    order: BentoOrder, context: Path, package: str, requirements: list[str], labels: Mapping[str, str]
) -> str:
    import bentoml

    name, built = tag(order).split(":")
    bento = bentoml.build(
        f"{package}.service:Model",
        name=name,
        version=built,
        labels=dict(labels),
        include=["**"],
        python={"packages": requirements, "lock_packages": False},
        build_ctx=str(context),
    )
    if not Path(bento.path).resolve().is_relative_to(order.home.resolve()):
        raise ConfigError(
            f"the Bento was built in {bento.path}, not below {order.home}",
            remedy="Start the packaging process with `environment(home)`.",
        )
    return str(bento.tag)


def open_service(bento: Path, threads: int, providers: Sequence[str] = ()) -> Any:
    """The inner service object of the Bento in that folder: `predict(inputs)` answers nested lists by
    name, and raises an error with `mlops_problem` on an input that the signature does not take.
    `threads` are used for one answer, of ONNX Runtime's execution `providers` the first that is installed."""
    import bentoml

    inner = bentoml.load(str(bento)).inner
    inner.threads, inner.providers = threads, tuple(providers)
    return inner()


def _check_flavors(order: BentoOrder, model: MLModel) -> None:
    flavors = set(model.flavors)
    if model.runtime != "python_function" or allows_pickle(order.allow_pickle, flavors):
        return
    raise ConfigError(
        f"version {order.version} of {order.name!r} is {', '.join(sorted(flavors))}: loading it runs code",
        remedy="Log it as ONNX; or, if you trust who logs its models, name the flavor in `allow_pickle` below"
        " [serving] in the project's project.toml and register it again.",
        flavors=sorted(flavors),
    )


def _check_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise InvalidInput(
                "model",
                path.relative_to(folder),
                "is a symbolic link",
                remedy="Keep real files there.",
            )


def _requirements(model: MLModel, further: Sequence[str]) -> list[str]:
    """Pinned to what is installed here, where the model was just read; of the model's and the project's own
    lists only plain names with versions are taken, so that no option or address gets into a build file."""
    found = {each: _pinned(each) for each in (*_REQUIREMENTS, *_RUNTIME_REQUIREMENTS[model.runtime])}
    stated = model.folder / "requirements.txt"
    is_listed = model.runtime == "python_function" and stated.is_file()
    lines = stated.read_text(encoding="utf-8").splitlines() if is_listed else []
    for line in (*lines, *further):
        plain = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)((?:[<>=!~]=?[A-Za-z0-9.*+!]+,?)*)", line.strip())
        if plain:
            # A local version (torch's `+cpu`) is of one machine, and no index has it.
            found.setdefault(plain[1].lower(), re.sub(r"\+[A-Za-z0-9.]+", "", plain[0]))
    return list(found.values())


def _project_requirements(order: BentoOrder) -> list[str]:
    """What the project's functions need: the project's own dependencies."""
    stated = None if order.code is None else order.code / "pyproject.toml"
    if not order.functions or stated is None or not stated.is_file():
        return []
    try:
        return list(tomllib.loads(stated.read_text(encoding="utf-8"))["project"].get("dependencies", []))
    except (ValueError, KeyError) as error:
        raise ConfigError(f"pyproject.toml of {order.project!r} cannot be read: {error}") from error


def _pinned(requirement: str) -> str:
    name, semicolon, marker = requirement.partition(";")
    try:
        return f"{name}=={version(name.partition('[')[0]).partition('+')[0]}{semicolon}{marker}"
    except PackageNotFoundError:
        return requirement


def _package_name(order: BentoOrder) -> str:
    # Unique, so that two Bentos can be open in one process.
    return re.sub(r"[^a-z0-9]", "_", f"bento_{tag(order)}".lower())


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]", "-", name.lower()).strip(".-_") or "model"
