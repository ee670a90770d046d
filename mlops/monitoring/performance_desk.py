"""What people do about performance: log what turned out to be right, and see how right a model was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlops.entities import (
    GroundTruth,
    GroundTruthsLogged,
    Performance,
    PerformanceDifference,
    PerformanceReport,
    Side,
)
from mlops.errors import InvalidInput
from mlops.monitoring.labels import read_labels
from mlops.monitoring.performance import Kinds, class_figures, differences, figures, kinds
from mlops.monitoring.performance_columns import PerformanceColumns, in_columns, step_of
from mlops.project import check_model_name, check_project_name
from mlops.store.labelled import MOST_CONFUSIONS, Effort, Span, Sums
from mlops.store.store import Store

MOST_PARTS = 1000
"""Of the window, over time."""
_WINDOW_S = (1.0, 31_536_000.0)
_STEP_S = (60.0, 31_536_000.0)
_CHARTED = Effort(patience_s=5.0)


class PerformanceDesk:
    """Verbs of ground truths and performance; every one raises `ServiceUnavailable` without Postgres."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def log(self, project: str, stated: Sequence[Mapping[str, Any]], who: str) -> GroundTruthsLogged:
        """Keep ground truths, as `read_labels` takes them; all or none. They may come before the inference is
        in the log, or long after, and again. Raises `InvalidInput`, `ProjectNotFound`."""
        check_project_name(project, "project")
        return self._store.ground_truths.put(project, read_labels(stated), who)

    def of_request(self, project: str, request_id: str) -> list[GroundTruth]:
        """What is known of a request; empty where nothing is."""
        return self._store.ground_truths.of_request(project, request_id)

    def report(
        self,
        project: str,
        model: str,
        *,
        window_s: float = 86_400.0,
        every_s: float | None = None,
        version: int | None = None,
    ) -> PerformanceReport:
        """How right the model was in the last `window_s` seconds: each version and side, all in all and (with
        `every_s`) by parts of the time that are so long, and canary and shadow beside the champion.

        Raises `InvalidInput` for times out of range, or too much to compare.
        """
        check_project_name(project, "project")
        check_model_name(model)
        _check("window_s", window_s, _WINDOW_S)
        if every_s is not None:
            _check("every_s", every_s, _STEP_S)
            if window_s / every_s > MOST_PARTS:
                raise InvalidInput(
                    "every_s",
                    every_s,
                    f"cuts the window into over {MOST_PARTS} parts",
                    remedy="Use longer parts.",
                )
        until = datetime.now(UTC)
        span = Span(project, model, until - timedelta(seconds=window_s), until, version)
        sums = self._store.labelled.sums(span)
        kind = kinds(sums)
        rows, problems = self._judge(span, sums, kind)
        over_time: list[Performance] = []
        if every_s is not None:
            parts = self._store.labelled.sums(span, every_s)
            over_time = figures(parts, kind, until, timedelta(seconds=every_s))
        outputs = {each.output for each in sums}
        return PerformanceReport(
            project, model, span.since, until,
            labelled=max((_requests(sums, output) for output in outputs), default=0),
            contradicted=sum(each.contradicted for each in sums),
            unusable=sum(each.unusable for each in sums),
            rows=tuple(rows), over_time=tuple(over_time),
            differences=tuple(self._beside_the_champion(span, sums)), problems=tuple(problems),
        )  # fmt: skip

    def over_time(self, project: str, model: str, window_s: float) -> PerformanceColumns:
        """The accuracy of classes and the mae of numbers by version and side, in some fifty parts of the last
        `window_s` seconds. Raises `InvalidInput` for a time out of range, or too much to compare."""
        check_project_name(project, "project")
        check_model_name(model)
        _check("window_s", window_s, _WINDOW_S)
        until, step_s = datetime.now(UTC), step_of(window_s)
        span = Span(project, model, until - timedelta(seconds=window_s), until)
        sums = self._store.labelled.sums(span, step_s, _CHARTED)
        kind = kinds(sums)
        shown = {name: "accuracy" if each.classes else "mae" for name, each in kind.items()}
        found = figures(sums, kind, until, timedelta(seconds=step_s))
        wanted = (each for each in found if each.metric == shown[each.output])
        return in_columns(wanted, span.since, until, step_s)

    def labelled(self) -> set[str]:
        """Projects that any ground truth was logged of."""
        return self._store.ground_truths.projects()

    def rows(self, project: str, model: str, window_s: float, effort: Effort) -> list[Performance]:
        """The figures of the last `window_s` seconds alone. Raises `InvalidInput` where one of its two
        questions takes more than that effort."""
        until = datetime.now(UTC)
        span = Span(project, model, until - timedelta(seconds=window_s), until)
        sums = self._store.labelled.sums(span, effort=effort)
        return self._judge(span, sums, kinds(sums), effort)[0]

    def _judge(
        self, span: Span, sums: Sequence[Sums], kind: Mapping[str, Kinds], effort: Effort | None = None
    ) -> tuple[list[Performance], list[str]]:
        """Every figure of the span, and what could not be judged."""
        rows = figures(sums, kind, span.until)
        problems = [_NO_KIND.format(output=name) for name, each in kind.items() if not any(each)]
        if any(each.classes for each in kind.values()):
            confusions = self._store.labelled.confusions(span, effort)
            if len(confusions) > MOST_CONFUSIONS:
                problems.append(f"over {MOST_CONFUSIONS} pairs of classes: no f1, precision and recall")
            else:
                rows += class_figures(confusions, sums, kind, span.until)
        return rows, problems

    def _beside_the_champion(self, span: Span, sums: Sequence[Sums]) -> list[PerformanceDifference]:
        """Each canary and shadow beside the newest champion, over the time in which the former was asked."""
        champions = [each for each in sums if each.side is Side.CHAMPION]
        if not champions:
            return []
        newest = max(champions, key=lambda each: each.last).version
        found: list[PerformanceDifference] = []
        for version, side in sorted({(each.version, each.side) for each in sums if each.side in _BESIDE}):
            of_it = [each for each in sums if (each.version, each.side) == (version, side)]
            both = replace(
                span,
                since=min(each.first for each in of_it),
                until=max(each.last for each in of_it) + timedelta(microseconds=1),
                version=None,
            )
            shared = self._store.labelled.sums(both)
            rows = figures(shared, kinds(shared), both.until)
            found += differences(
                [row for row in rows if (row.version, row.side) == (newest, Side.CHAMPION)],
                [row for row in rows if (row.version, row.side) == (version, side)],
            )
        return found


_NO_KIND = "{output}: its truths or predictions are numbers in some rows and texts in others"
_BESIDE = (Side.CANARY, Side.SHADOW)


def _requests(sums: Sequence[Sums], output: str) -> int:
    return sum(each.requests for each in sums if each.output == output)


def _check(field: str, value: float, within: tuple[float, float]) -> None:
    if not within[0] <= value <= within[1]:
        raise InvalidInput(field, value, "is out of range", remedy=f"Use {within[0]:g} s to {within[1]:g} s.")
