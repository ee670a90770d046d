"""A challenger against the champion, on holes that neither knows, before it may take its place."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from drilling.answers import Answers
from drilling.dataset import load_holes
from drilling.depth_grid import hole_windows
from drilling.errors import PromotionRefused
from drilling.evaluation import Comparison, compare, hole_errors
from drilling.export import open_session, run_onnx
from drilling.folds import connected_components
from drilling.registration import CHALLENGER, CHAMPION, unseen
from mlops import MLOpsClient, ModelVersion

LEAST_HOLES = 10


@dataclass(frozen=True, slots=True)
class Promotion:
    """What was decided: the versions, the paired difference of their errors in mm where they were compared,
    why, and whether it was forced."""

    version: int
    champion: int | None
    comparison: Comparison | None
    reason: str
    forced: bool
    run_id: str


def promote(
    client: MLOpsClient,
    name: str,
    data: Path,
    *,
    version: int | None = None,
    labels: Path | None = None,
    force: bool = False,
    progress: bool = True,
) -> Promotion:
    """Make a version (the challenger by default) the champion, if it is not worse than the present one.

    Both answer for the labelled holes of `data` that neither was trained on, nor holes of the same tool,
    head or panel; their errors are compared hole by hole. The decision is a run, with `force` among its tags.
    Raises PromotionRefused with the reason, unless forced; ModelNotFound; NoLogs.
    """
    versions = client.list_models(name)
    challenger = _chosen(versions, name, version)
    champion = next((each for each in versions if CHAMPION in each.aliases), None)
    number = int(challenger.version or 0)
    comparison, refusal, reason = None, None, "there was no champion"
    if champion is not None:
        if champion.version == challenger.version:
            raise PromotionRefused(name, number, "it is the champion already")
        comparison = compare_versions(client, name, challenger, champion, data, labels, progress=progress)
        refusal, reason = _judged(comparison, champion)
    if refusal and not force:
        raise PromotionRefused(name, number, refusal)
    tags = {"promotion": "forced" if refusal else "earned", "reason": refusal or reason}
    with client.start_run(run_name=f"promote-{name}-{number}", tags=tags) as run:
        client.log_params({"model": name, "version": number, "champion": champion and champion.version})
        if comparison is not None:
            difference = comparison.difference_mm
            client.log_metrics(
                {
                    "difference_mm": difference.value,
                    "difference_low_mm": difference.low,
                    "difference_high_mm": difference.high,
                    "holes": float(comparison.holes),
                }
            )
        client.set_alias(name, CHAMPION, number)
        before = None if champion is None else champion.version
        return Promotion(number, before, comparison, refusal or reason, bool(refusal), run.id)


def compare_versions(
    client: MLOpsClient,
    name: str,
    challenger: ModelVersion,
    champion: ModelVersion,
    data: Path,
    labels: Path | None = None,
    *,
    progress: bool = True,
) -> Comparison | None:
    """The paired difference of two versions' errors, challenger less champion; None on fewer than ten holes
    that neither knows."""
    holes = load_holes(data, labels=labels, progress=progress).holes
    with tempfile.TemporaryDirectory() as folder:
        models = [
            load_onnx(client, name, int(each.version or 0), Path(folder, str(each.version)))
            for each in (challenger, champion)
        ]
    fresh = [hole for hole, new in zip(holes, unseen(holes, models), strict=True) if new]
    if len(fresh) < LEAST_HOLES:
        return None
    truth = np.array([hole.label_mm for hole in fresh])
    windows = hole_windows([hole.grid for hole in fresh])
    answers: list[Answers] = [run_onnx(open_session(model), windows) for model in models]
    ours, theirs = (hole_errors(answer.present_mm(), truth) for answer in answers)
    return compare(ours, theirs, connected_components([hole.groups for hole in fresh]))


def load_onnx(client: MLOpsClient, name: str, version: int, folder: Path) -> onnx.ModelProto:
    """A registered version's ONNX model."""
    folder.mkdir(parents=True, exist_ok=True)
    return onnx.load(next(client.download_model(name, version, folder).rglob("*.onnx")))


def _chosen(versions: list[ModelVersion], name: str, version: int | None) -> ModelVersion:
    if version is None:
        found = next((each for each in versions if CHALLENGER in each.aliases), None)
        wanted = "there is no challenger: drilling:train registers one"
    else:
        found = next((each for each in versions if each.version == version), None)
        wanted = "there is no such version"
    if found is None:
        raise PromotionRefused(name, version, wanted)
    return found


def _judged(comparison: Comparison | None, champion: ModelVersion) -> tuple[str | None, str]:
    """Why it is refused, if it is, and else why it is not."""
    if comparison is None:
        return f"fewer than {LEAST_HOLES} labelled holes are unknown to both it and the champion", ""
    found = comparison.difference_mm
    said = (
        f"its mean error per hole is {found.value * 1e3:+.1f} µm from version {champion.version}'s "
        f"(95 % interval {found.low * 1e3:+.1f} to {found.high * 1e3:+.1f} µm, {comparison.holes} holes)"
    )
    return (said, "") if comparison.verdict == "worse" else (None, said)
