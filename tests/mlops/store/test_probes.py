"""What was seen of services, in the database: totals that two may write, and what follows from them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from mlops.entities import Availability, Observation, Restart, RestartCause
from mlops.store.probes import LAST, Probes
from mlops.store.store import Store

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HERE = "installation-a"


@pytest.fixture
def probes(store: Store, engine: Engine) -> Probes:
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE probes, restarts"))
    return store.probes


def seen(began: datetime, up: float, down: float, life: str = "a", *restarts: Restart) -> Observation:
    return Observation(life, began, {"ray": (up, down)}, restarts)


def restart(at: datetime, detail: str = "exited with -9") -> Restart:
    return Restart("ray", at, RestartCause.KILLED, detail)


def ago(**what: float) -> datetime:
    return NOW - timedelta(**what)


def test_availability_of_day_week_and_month(probes: Probes) -> None:
    probes.put(HERE, [seen(ago(hours=1), 270, 30), seen(ago(days=3), 300, 0), seen(ago(days=20), 0, 300)])
    probes.put(HERE, [seen(ago(days=35), 0, 300)])
    record = probes.records(HERE, NOW)["ray"]
    assert record.day == Availability(0.9, 30.0, 300 / 86_400)
    assert record.week == Availability(0.95, 30.0, 600 / 604_800)
    assert record.month == Availability(570 / 900, 330.0, 900 / 2_592_000)
    assert (record.restarts, record.restarts_day, record.as_of) == ((), 0, NOW)


def test_what_nobody_saw_is_neither_up_nor_down(probes: Probes) -> None:
    probes.put(HERE, [seen(ago(days=3), 300, 0)])
    assert probes.records(HERE, NOW)["ray"].day == Availability(None, 0.0, 0.0)
    assert probes.records("another", NOW) == {}


def test_a_span_that_grows_or_is_written_twice_counts_once(probes: Probes) -> None:
    probes.put(HERE, [seen(ago(hours=1), 100, 0)])
    probes.put(HERE, [seen(ago(hours=1), 250, 20)])
    probes.put(HERE, [seen(ago(hours=1), 100, 0)])  # an older reading, by a worker that was slower
    assert probes.records(HERE, NOW)["ray"].day.down_s == 20
    probes.put(HERE, [seen(ago(hours=1), 20, 5, "b")])  # the supervisor was replaced within the span
    day = probes.records(HERE, NOW)["ray"].day
    assert (day.share, day.down_s) == (270 / 295, 25)


def test_of_many_that_write_at_once_each_thing_counts_once(probes: Probes) -> None:
    found = [
        seen(ago(minutes=5 * place), 290, 10, "a", restart(ago(minutes=5 * place))) for place in range(20)
    ]
    threads = [threading.Thread(target=probes.put, args=(HERE, found)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = probes.records(HERE, NOW)["ray"]
    assert (record.day.down_s, record.restarts_day) == (200, 20)


def test_the_last_restarts_are_named_and_those_of_a_window_counted(probes: Probes) -> None:
    times = [ago(minutes=minutes) for minutes in (1, 5, 9, 700, 2000, 3000, 9000)]
    probes.put(HERE, [seen(ago(hours=1), 1, 0, "a", *map(restart, times))])
    probes.put("another", [seen(ago(hours=1), 1, 0, "a", restart(ago(minutes=2)))])
    record = probes.records(HERE, NOW)["ray"]
    assert [each.at for each in record.restarts] == times[:LAST]
    assert record.restarts[0] == restart(times[0])
    assert record.restarts_day == 4
    assert probes.restarts_since(HERE, ago(minutes=10)) == {"ray": 3}
    assert probes.restarts_since(HERE, NOW) == {}


def test_a_service_that_was_only_restarted_has_a_record(probes: Probes) -> None:
    probes.put(HERE, [Observation("a", ago(minutes=2), {}, (restart(ago(minutes=1)),))])
    record = probes.records(HERE, NOW)["ray"]
    assert (record.restarts_day, record.day) == (1, Availability(None, 0.0, 0.0))


def test_what_is_old_goes(store: Store, probes: Probes, engine: Engine) -> None:
    today = datetime.now(UTC)
    old = today - timedelta(days=41)
    probes.put(HERE, [seen(old, 1, 0, "a", restart(old)), seen(today, 1, 0, "a", restart(today))])
    probes.forget_old()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM probes")) == 1
        assert connection.scalar(text("SELECT count(*) FROM restarts")) == 1


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.integers(0, 2000), st.tuples(st.floats(0, 300), st.floats(0, 300)), min_size=1, max_size=12
    )
)
def test_shares_are_those_of_the_sums(
    probes: Probes, engine: Engine, spans: dict[int, tuple[float, float]]
) -> None:
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE probes"))
    probes.put(HERE, [seen(ago(minutes=5 * place), *lengths) for place, lengths in spans.items()])
    record = probes.records(HERE, NOW)["ray"]
    for window, minutes in ((record.day, 1440), (record.week, 10_080), (record.month, 43_200)):
        within = [lengths for place, lengths in spans.items() if 5 * place <= minutes]
        up, down = sum(up for up, _ in within), sum(down for _, down in within)
        assert window.down_s == pytest.approx(down)
        assert 0 <= window.observed <= 1
        if up + down > 0:
            assert window.share == pytest.approx(up / (up + down))
            assert 0 <= window.share <= 1
        else:
            assert window.share is None
