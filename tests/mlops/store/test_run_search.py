"""The index of runs against a plain search in memory, and its plans."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.dialects import postgresql

from mlops.entities import RUN_KEY, RunStatus
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.run_query import MetricRange, RunQuery, RunSort, RunStart
from mlops.store.run_select import select_runs
from mlops.store.store import Store
from mlops.tracking.run_export import run_to_json
from tests.mlops.many import add_runs

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
PROJECTS = ("alpha", "beta", "gamma")
NUMBERS = (0.0, -0.0, 0.5, 1.0, -3.25, 1e300, math.inf, -math.inf, math.nan)
NAMES = ("mixer", "Mixer-small", "lora_rank 8", "é", "")


def made(dice: random.Random, number: int) -> IndexedRun:
    def metric() -> MetricSummary:
        values = [dice.choice(NUMBERS) for _ in range(dice.randint(1, 3))]
        there = [value for value in values if not math.isnan(value)] or [math.nan]
        return MetricSummary(values[-1], min(there), max(there), dice.randrange(9), 7, len(values))

    return IndexedRun(
        id=f"{dice.getrandbits(128):032x}",
        project=dice.choice(PROJECTS),
        name=f"{dice.choice(NAMES)} {number % 10}",
        experiment=dice.choice(("first", "second")),
        status=dice.choice(list(RunStatus)),
        started_at=BEGIN + timedelta(hours=dice.randrange(50)),
        user=dice.choice(("ada", "bob")),
        params={key: str(dice.randrange(3)) for key in ("lr", "depth") if dice.random() < 0.6},
        tags={key: str(dice.randrange(3)) for key in ("stage", "team") if dice.random() < 0.6}
        | {RUN_KEY: f"r-{number}", "mlflow.note": "hidden"},
        metrics={key: metric() for key in ("loss", "acc") if dice.random() < 0.7},
    )


def asked(dice: random.Random) -> dict[str, object]:
    def some(*values: str) -> list[str]:
        return [dice.choice(values)] if dice.random() < 0.25 else []

    number = dice.choice(("0", "0.5", "-4", "inf", "-inf", "1e300"))
    of, operator = dice.choice(("", ".min", ".max")), dice.choice(("<", "<=", ">", ">=", "="))
    given: dict[str, object] = {
        "project": some(*PROJECTS) + some("beta"),
        "state": some(*RunStatus) + some("RUNNING"),
        "tag": some("stage=1", "stage", "team=0", "none"),
        "param": some("lr=2", "depth", "lr"),
        "metric": some(f"loss{of}{operator}{number}") + some(f"acc{operator}{number}"),
        "sort": [
            dice.choice(("", "-")) + key
            for key in dice.sample(
                ("started", "metric:loss", "metric:loss.min", "metric:acc", "metric:acc.max"),
                dice.choice((1, 1, 2, 3)),
            )
        ],
    }
    if dice.random() < 0.2:
        given["text"] = dice.choice(("mix", "MIXER s", "rank", "é", "ada", "r 1", "hidden", "first ada"))
    if dice.random() < 0.2:
        given["since"] = (BEGIN + timedelta(hours=dice.randrange(50))).isoformat()
    if dice.random() < 0.2:
        given["until"] = (BEGIN + timedelta(hours=dice.randrange(50))).isoformat()
    return given


def expected(runs: Iterable[IndexedRun], query: RunQuery) -> list[str]:
    first = query.order[0]

    def value(run: IndexedRun, sort: RunSort) -> float:
        if not sort.metric:
            return run.started_at.timestamp()
        return getattr(run.metrics[sort.metric], sort.of) if sort.metric in run.metrics else math.nan

    found = [run for run in runs if wants(query, run) and not math.isnan(value(run, first))]
    found.sort(key=lambda run: run.id, reverse=first.descending)
    for sort in reversed(query.order):
        there = [run for run in found if not math.isnan(value(run, sort))]
        without = [run for run in found if math.isnan(value(run, sort))]
        # Equal ones stay in their order, also where it is turned round.
        there.sort(key=lambda run, sort=sort: value(run, sort), reverse=sort.descending)
        found = there + without
    return [run.id for run in found]


def wants(query: RunQuery, run: IndexedRun) -> bool:
    def in_range(wanted: MetricRange) -> bool:
        if wanted.key not in run.metrics:
            return False
        value = getattr(run.metrics[wanted.key], wanted.of)
        return {
            "<": value < wanted.value,
            "<=": value <= wanted.value,
            ">": value > wanted.value,
            ">=": value >= wanted.value,
            "=": value == wanted.value,
        }[wanted.operator]

    def has(pairs: Iterable[tuple[str, str | None]], known: dict[str, str]) -> bool:
        return all(key in known and value in (None, known[key]) for key, value in pairs)

    return (
        (query.projects is None or run.project in query.projects)
        and (not query.states or run.status in query.states)
        and (query.since is None or run.started_at >= query.since)
        and (query.until is None or run.started_at < query.until)
        and has(query.tags, dict(run.tags))
        and has(query.params, dict(run.params))
        and all(map(in_range, query.metrics))
        and all(any(word.startswith(begin) for word in run.words()) for begin in query.words)
    )


@pytest.fixture
def projects(add_project: Callable[..., str]) -> None:
    for name in PROJECTS:
        add_project(name)


@pytest.mark.usefixtures("projects")
def test_what_is_found_is_what_a_plain_search_finds(store: Store) -> None:
    dice = random.Random(7)
    runs = [made(dice, number) for number in range(400)]
    for begin in range(0, 400, 150):
        store.run_index.put(runs[begin : begin + 150])
    kinds = set()
    for _ in range(400):
        given = asked(dice)
        query = RunQuery.of(**given, limit=dice.choice((1, 7, 1000)))
        wanted = expected(runs, query)
        found, cursor = [], None
        while True:
            page = RunQuery.of(**given, limit=max(query.limit, 7), cursor=cursor)
            rows, begin = store.runs.search(page)
            found += [run.id for run in rows]
            if begin is None:
                break
            cursor = page.cursor(begin)
        assert found == wanted, given
        assert [run.id for run in store.runs.stream(query)] == wanted
        kinds.add((bool(wanted), len(wanted) > 7))
    assert kinds == {(True, True), (True, False), (False, False)}


@pytest.mark.usefixtures("projects")
def test_runs_come_back_as_they_were_put(store: Store) -> None:
    dice = random.Random(8)
    runs = {run.id: run for run in (made(dice, number) for number in range(50))}
    assert store.run_index.put(list(runs.values())) > 50
    assert store.run_index.put(list(runs.values())) == 0, "what is the same is not written again"
    found = {run.id: run_to_json(run, "") for run in store.runs.stream(RunQuery())}
    assert found == {id: run_to_json(run, "") for id, run in runs.items()}


@pytest.mark.usefixtures("projects")
def test_only_the_metrics_that_are_named_are_read(store: Store) -> None:
    metrics = {key: MetricSummary(value, value, value) for value, key in enumerate(("loss", "acc", "aux"))}
    store.run_index.put([IndexedRun("a", "alpha", "n", "e", RunStatus.RUNNING, BEGIN, metrics=metrics)])
    for named, sort, keys in (
        (None, None, ["acc", "aux", "loss"]), (["acc", "none"], None, ["acc"]),
        ([], ["metric:loss", "metric:aux"], ["aux", "loss"]), ([], None, []),
    ):  # fmt: skip
        (run,), begin = store.runs.search(RunQuery.of(sort=sort or [], limit=1), named)
        assert list(run.metrics) == keys
        assert begin is not None


@pytest.mark.usefixtures("projects")
def test_a_metric_or_a_name_that_is_gone_is_removed(store: Store) -> None:
    run = made(random.Random(1), 1)
    with_both = IndexedRun(
        run.id, "alpha", "n", "e", RunStatus.RUNNING, BEGIN, params={"lr": "1"}, tags={"t": "1"},
        metrics={"loss": MetricSummary(1, 1, 1), "acc": MetricSummary(2, 2, 2)},
    )  # fmt: skip
    store.run_index.put([with_both])
    assert store.runs.names(["alpha"]) == {"metric": ["acc", "loss"], "param": ["lr"], "tag": ["t"]}
    assert store.runs.names(["beta"]) == {}
    less = IndexedRun(
        run.id, "alpha", "n", "e", RunStatus.RUNNING, BEGIN, metrics={"acc": MetricSummary(2, 2, 2)}
    )
    store.run_index.put([less])
    assert [dict(each.metrics) for each in store.runs.stream(RunQuery())] == [dict(less.metrics)]
    assert store.run_index.forget_names() == 3
    assert store.runs.names() == {"metric": ["acc"]}
    assert store.run_index.forget([run.id, "none"]) == 1
    assert list(store.runs.stream(RunQuery())) == []


def test_a_run_of_no_project_is_left_out(store: Store) -> None:
    assert store.run_index.put([made(random.Random(1), 1)]) == 0


MIDDLE = [
    (sort, RunQuery.of(sort=sort).cursor(RunStart((value, None), "7")))
    for sort, value in (
        (["-metric:loss", "metric:none"], 0.5),
        (["started", "metric:none"], datetime(2023, 11, 15, tzinfo=UTC)),
    )
]
ASKED = [
    {},
    {"project": ["p1"]},
    {"project": ["p1", "p2"]},
    {"state": ["RUNNING"]},
    {"state": ["KILLED"]},
    {"state": ["FAILED"], "project": ["p1"]},
    {"sort": ["metric:loss"]},
    {"sort": ["-metric:loss.max"]},
    {"sort": ["metric:loss.min"], "project": ["p1"]},
    {"sort": ["metric:none"]},
    {"sort": ["metric:loss", "-metric:metric1", "started"]},
    {"sort": ["-metric:loss.max", "metric:none"], "project": ["p1"]},
    {"sort": ["-started", "metric:loss"], "state": ["RUNNING"]},
    *({"sort": sort, "cursor": cursor} for sort, cursor in MIDDLE),
    {"tag": ["sweep=3"]},
    {"tag": ["stage=prod"], "sort": ["metric:loss"]},
    {"tag": ["none"]},
    {"param": ["lr=99"]},
    {"metric": ["loss<0.001"]},
    {"metric": ["loss<0.1", "metric1.max>0.9"], "sort": ["-metric:metric1"]},
    {"metric": ["none<1"]},
    {"text": "lora 77"},
    {"text": "nothing"},
    {"since": "2023-11-15", "until": "2023-11-16"},
]


@pytest.fixture
def many(store: Store, database_url: str) -> str:
    """URL of a database with ten thousand runs of ten projects."""
    add_runs(database_url)
    return database_url


def test_no_question_reads_a_whole_table(many: str, store: Store) -> None:
    failed = []
    with psycopg.connect(many) as connection:
        for given in ASKED:
            compiled = select_runs(RunQuery.of(**given)).compile(
                dialect=postgresql.psycopg.dialect(), compile_kwargs={"render_postcompile": True}
            )
            rows = connection.execute(f"EXPLAIN {compiled}", compiled.params).fetchall()
            plan = "\n".join(row[0] for row in rows)
            if "Seq Scan" in plan:
                failed.append((given, plan))
    assert not failed, failed


def test_the_search_field_reads_no_whole_table_of_runs(many: str, store: Store) -> None:
    asked = []

    def note(_: object, __: object, statement: str, values: object, *___: object) -> None:
        asked.append((statement, values))

    event.listen(store._engine, "before_cursor_execute", note)
    for text in ("lora", "lora 77", "nothing", "prod", "l"):
        for within in (None, "p1"):
            store.search.find(text, within)
    with psycopg.connect(many) as connection:
        plans = [
            "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement}", values).fetchall())
            for statement, values in asked
            if statement.startswith("SELECT")
        ]
    assert len(plans) == 50, "each kind by one query"
    assert [plan for plan in plans if "Seq Scan on run" in plan] == []


def test_what_goes_on_or_failed_is_found_by_indexes(many: str, store: Store) -> None:
    found = store.runs.going_on_or_failed(datetime.fromtimestamp(1700000000 + 9990 * 60, UTC))
    assert len([run for run in found if run.status is RunStatus.RUNNING]) == 20
    assert [run.name for run in found if run.status is RunStatus.FAILED] == []
    found = store.runs.going_on_or_failed(datetime.fromtimestamp(1700000000 + 9980 * 60, UTC))
    assert [run.name for run in found if run.status is RunStatus.FAILED] == ["lora 9980"]
