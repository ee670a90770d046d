"""Pipelines: the stages of a project's dvc.yaml on this machine, how they hang together and stand."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from mlops.dashboard.frame import Page, Region, Scope
from mlops.pipelines.dag import Pipeline, Stage, has_pipeline, read_pipeline
from mlops.platform import Platform

WIDE, HIGH, GAP, ROW, BEND = 176, 48, 56, 12, 64
"""Of a stage in the drawing, what is between two of them, and of lines past a stage, in px."""


@dataclass(frozen=True, slots=True)
class Box:
    """A stage in the drawing, by its upper left corner."""

    stage: Stage
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """The stages in columns, and the lines between them."""

    pipeline: Pipeline
    root: str
    """The project's folder."""
    boxes: tuple[Box, ...]
    lines: tuple[tuple[int, int, int, int, int], ...]
    """From the right side of one to the left side of another: x, y, x, y; and by how much it is bent down, so
    that it is seen below the stages between them."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Pipelines:
    """One project's, or which projects have any."""

    drawing: Drawing | None = None
    projects: tuple[str, ...] = ()


def pipelines_page(platform: Platform) -> Page:
    """`/pipelines`."""

    def pipelines(scope: Scope) -> Pipelines:
        if scope.project is None:
            projects = (each.project_name for each in platform.projects() if has_pipeline(each.root))
            return Pipelines(projects=tuple(projects))
        root = platform.project(scope.project).root
        found = read_pipeline(root)
        return Pipelines(draw(found, str(root)) if found and found.stages else None)

    return Page(
        path="/pipelines",
        title="Pipelines",
        template="pipelines.html",
        icon="pipelines",
        regions={"pipelines": Region(pipelines, every_s=10)},
    )


def draw(pipeline: Pipeline, root: str) -> Drawing:
    """A column for each layer; in it the stages below each other, nearest to those they come after."""
    columns: dict[int, list[Stage]] = defaultdict(list)
    rows: dict[str, int] = {}
    for stage in pipeline.stages:
        columns[stage.layer].append(stage)
    for layer in sorted(columns):
        columns[layer].sort(
            key=lambda each: min((rows[name] for name in each.after if name in rows), default=0)
        )
        rows |= {stage.name: row for row, stage in enumerate(columns[layer])}
    boxes = {
        stage.name: Box(stage, layer * (WIDE + GAP), row * (HIGH + ROW))
        for layer, stages in columns.items()
        for row, stage in enumerate(stages)
    }
    lines = [
        (
            boxes[name].x + WIDE,
            boxes[name].y + HIGH // 2,
            box.x,
            box.y + HIGH // 2,
            BEND if box.stage.layer - boxes[name].stage.layer > 1 else 0,
        )
        for box in boxes.values()
        for name in box.stage.after
        if name in boxes
    ]
    width = max(box.x for box in boxes.values()) + WIDE
    # The curve goes down by three quarters of its bend.
    bent = max((max(y1, y2) + 3 * bend // 4 for _, y1, _, y2, bend in lines), default=0)
    height = max(bent, *(box.y + HIGH for box in boxes.values()))
    return Drawing(pipeline, root, tuple(boxes.values()), tuple(lines), width, height)
