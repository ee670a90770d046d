"""A project's runs and model versions as MLflow's REST API tells them, in pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mlops.errors import ServiceUnavailable
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.model_versions import IndexedVersion
from mlops.store.uncounted import Counted
from mlops.tracking.datasets import data_versions
from mlops.tracking.rest import Rest
from mlops.worker.mlflow_values import LONGEST, moment, number, status

NAMED = 100
"""Runs that a question may name; MLflow takes no more where it tells their values."""
MOST_VALUES = 25_000
"""In one answer; MLflow gives no more."""
_PAGE = 1000
_VALUES = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_PATIENCE_S = 30.0


class MLflowApi:
    """What the account of `rest` sees, of one project. Every verb raises what `Rest.call` raises."""

    def __init__(self, rest: Rest, project: str) -> None:
        self._rest = rest
        self._project = project

    def experiments(self) -> dict[str, str]:
        """Id -> name of those that are not deleted."""
        pages = self._pages("POST", "/experiments/search", {"max_results": _PAGE}, "experiments")
        return {each["experiment_id"]: each.get("name", "") for page in pages for each in page}

    def runs(
        self, experiments: Mapping[str, str], size: int, condition: str = ""
    ) -> Iterator[list[IndexedRun]]:
        """Pages of so many runs of these experiments that are not deleted, the newest first; those that meet
        MLflow's `condition`. Their metrics have the last values alone, and are not counted."""
        body = {
            "experiment_ids": list(experiments),
            "filter": condition,
            "max_results": size,
            "order_by": ["attributes.start_time DESC"],
        }
        pages = self._pages("POST", "/runs/search", body, "runs") if experiments else iter(())
        return ([_run(self._project, each, experiments) for each in page] for page in pages)

    def named(self, experiments: Mapping[str, str], ids: Sequence[str]) -> list[IndexedRun]:
        """Those of at most `NAMED` runs that there are."""
        names = ", ".join(f"'{id}'" for id in ids if "'" not in id)
        condition = f"attributes.run_id IN ({names})"
        return [run for page in self.runs(experiments, NAMED, condition) for run in page] if names else []

    def versions(self) -> list[IndexedVersion]:
        """All versions of all models that are not deleted; of their files where they came from."""
        query: dict[str, Any] = {"max_results": _PAGE}
        aliases: dict[tuple[str, str], list[str]] = defaultdict(list)
        for page in self._pages("GET", "/registered-models/search", query, "registered_models"):
            for model in page:
                for alias in model.get("aliases", []):
                    aliases[model["name"], str(alias["version"])].append(alias["alias"])
        # In an order that changes little while it is read.
        query["order_by"] = ["name ASC", "version_number ASC"]
        pages = self._pages("GET", "/model-versions/search", query, "model_versions")
        found = (_version(self._project, each, aliases) for page in pages for each in page)
        return list({(each.model, each.version): each for each in found}.values())

    def count(self, key: str, ids: Sequence[str]) -> list[Counted]:
        """All values of a metric of at most `NAMED` runs together. Of runs with more than `MOST_VALUES` of
        them not all are there."""
        found = {id: Counted(id) for id in ids}
        query = {"run_id": list(ids), "metric_key": key, "max_results": MOST_VALUES}
        with self._rest.within(_PATIENCE_S):
            rows = _json(self._rest.stream(_VALUES, query)).get("metrics", [])
        for row in rows:
            found[row["run_id"]] = found[row["run_id"]].with_value(_number(row))
        if len(rows) < MOST_VALUES:
            return list(found.values())
        # They come run by run, and all but the last that came are whole.
        last = rows[-1]["run_id"]
        return [each for id, each in found.items() if each.points and id != last]

    def count_long(self, key: str, id: str) -> Counted:
        """All values of a metric of one run together, however many there are."""
        found = Counted(id)
        query = {"run_id": id, "metric_key": key, "max_results": MOST_VALUES}
        for page in self._pages("GET", "/metrics/get-history", query, "metrics"):
            for row in page:
                found = found.with_value(_number(row))
        return found

    def _pages(self, method: str, path: str, asked: Mapping[str, Any], name: str) -> Iterator[list[Any]]:
        token = ""
        while True:
            wanted = {**asked, "page_token": token} if token else asked
            with self._rest.within(_PATIENCE_S):
                answer = (
                    self._rest.call(method, path, wanted)
                    if method == "POST"
                    else self._rest.call(method, path, query=wanted)
                )
            if found := _storable(answer.get(name)):
                yield found
            token = answer.get("next_page_token", "")
            if not token:
                return


def _json(answer: Any) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        raise ServiceUnavailable("mlflow", "an answer that is no JSON") from None
    return found if isinstance(found, dict) else {}


def _storable(found: Any) -> Any:
    """Without what Postgres does not take in a text, and other databases do."""
    if isinstance(found, dict):
        return {_storable(key): _storable(value) for key, value in found.items()}
    if isinstance(found, list):
        return [_storable(each) for each in found]
    if isinstance(found, str) and ("\0" in found or not found.isascii()):
        return found.encode("utf-8", "replace").replace(b"\0", b"?").decode()
    return found


def _run(project: str, found: Mapping[str, Any], experiments: Mapping[str, str]) -> IndexedRun:
    info, data = found["info"], found.get("data", {})
    tags = _texts(data.get("tags", []))
    ended = int(info.get("end_time") or 0)
    return IndexedRun(
        id=info["run_id"],
        project=project,
        name=info.get("run_name", ""),
        experiment=experiments.get(info.get("experiment_id", ""), ""),
        status=status(info.get("status")),
        started_at=moment(int(info.get("start_time") or 0)),
        ended_at=moment(ended) if ended else None,
        user=info.get("user_id") or tags.get("mlflow.user", ""),
        params=_texts(data.get("params", [])),
        tags=tags,
        metrics={each["key"]: _metric(each) for each in data.get("metrics", [])},
        data=data_versions(project, found),
    )


def _metric(found: Mapping[str, Any]) -> MetricSummary:
    last = _number(found)
    return MetricSummary(last, last, last, int(found.get("step", 0)), int(found.get("timestamp", 0)), 0)


def _version(
    project: str, found: Mapping[str, Any], aliases: Mapping[tuple[str, str], Sequence[str]]
) -> IndexedVersion:
    return IndexedVersion(
        project=project,
        model=found["name"],
        version=int(found["version"]),
        created_at=moment(int(found.get("creation_timestamp") or 0)),
        run_id=found.get("run_id", ""),
        user=found.get("user_id", ""),
        description=found.get("description", ""),
        location=found.get("source", ""),
        tags=_texts(found.get("tags", [])),
        aliases=tuple(sorted(aliases.get((found["name"], str(found["version"])), ()))),
    )


def _texts(found: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {each["key"]: each.get("value", "") for each in found if len(each.get("value", "")) <= LONGEST}


def _number(found: Mapping[str, Any]) -> float:
    """The value of a metric; what is not finite may be a text."""
    return number(float(found.get("value", 0)))
