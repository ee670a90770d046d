"""What the supervisor sees of services, added up with a clock of ours, and kept in files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.entities import RestartCause, ServiceState, ServiceStatus
from mlops.services.observing import MOST_FILES, SPAN_S, Observer, answers, is_complete, observations

BEGAN = 1_800_000_000 // SPAN_S * SPAN_S


class Clock:
    """Monotonic and wall time, both ours."""

    def __init__(self) -> None:
        self.now, self.wall = 100.0, float(BEGAN)

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def observer(tmp_path: Path, clock: Clock) -> Observer:
    return Observer(tmp_path / "probes", lambda: clock.now, lambda: clock.wall)


def live(observer: Observer, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        clock.pass_(1.0)
        observer.look()


def totals(folder: Path) -> tuple[float, float]:
    """Of ray, over all files."""
    found = [each.seconds.get("ray", (0.0, 0.0)) for _, each in observations(folder / "probes")]
    return sum(up for up, _ in found), sum(down for _, down in found)


@pytest.mark.parametrize(
    ("state", "restarts", "expected"),
    [
        (ServiceState.HEALTHY, 0, True),
        (ServiceState.EXTERNAL, 0, True),
        (ServiceState.UNHEALTHY, 0, False),
        (ServiceState.STARTING, 0, None),
        (ServiceState.STARTING, 1, False),
        (ServiceState.STOPPED, 3, None),
    ],
)
def test_what_counts_as_an_answer(state: ServiceState, restarts: int, expected: bool | None) -> None:
    assert answers(ServiceStatus("ray", state, restarts=restarts)) is expected


def test_time_is_counted_by_what_was_seen_last(observer: Observer, clock: Clock, tmp_path: Path) -> None:
    live(observer, clock, 5)  # nothing was seen yet
    observer.see("ray", True)
    live(observer, clock, 20)
    observer.restarted("ray", RestartCause.KILLED, "exited with -9\0")
    live(observer, clock, 4)
    observer.see("ray", True)
    live(observer, clock, 10)
    observer.see("ray", None)
    live(observer, clock, 50)
    observer.close()
    assert totals(tmp_path) == (30.0, 4.0)
    ((path, found),) = observations(tmp_path / "probes")
    assert found.began == datetime.fromtimestamp(BEGAN, UTC)
    (restart,) = found.restarts
    assert (restart.service, restart.cause, restart.detail) == ("ray", RestartCause.KILLED, "exited with -9 ")
    assert restart.at == datetime.fromtimestamp(BEGAN + 25, UTC)
    assert path.stat().st_mode & 0o077 == 0


def test_what_happens_is_in_the_file_within_a_look(observer: Observer, clock: Clock, tmp_path: Path) -> None:
    observer.see("ray", True)
    live(observer, clock, 3)
    observer.see("ray", False)
    live(observer, clock, 1)
    assert totals(tmp_path) == (3.0, 1.0), "as a killed supervisor leaves it"


def test_each_span_has_a_file_of_its_own(observer: Observer, clock: Clock, tmp_path: Path) -> None:
    observer.see("ray", True)
    live(observer, clock, 2 * SPAN_S + 10)
    observer.close()
    found = [each for _, each in observations(tmp_path / "probes")]
    assert [each.began.timestamp() - BEGAN for each in found] == [0, SPAN_S, 2 * SPAN_S]
    assert totals(tmp_path) == (2 * SPAN_S + 10, 0.0)
    end = datetime.fromtimestamp(BEGAN + SPAN_S, UTC)
    assert not is_complete(found[0], end + timedelta(seconds=30))
    assert is_complete(found[0], end + timedelta(seconds=61))


def test_while_the_machine_slept_nobody_looked(observer: Observer, clock: Clock, tmp_path: Path) -> None:
    observer.see("ray", True)
    live(observer, clock, 5)
    clock.pass_(3600)
    observer.look()
    live(observer, clock, 5)
    observer.close()
    assert totals(tmp_path) == (10.0, 0.0)


def test_setting_the_clock_adds_no_time(observer: Observer, clock: Clock, tmp_path: Path) -> None:
    observer.see("ray", True)
    live(observer, clock, 5)
    clock.wall += 86_400
    live(observer, clock, 5)
    clock.wall -= 2 * 86_400
    live(observer, clock, 5)
    observer.close()
    assert totals(tmp_path) == (15.0, 0.0)


def test_after_its_end_nothing_counts(observer: Observer, clock: Clock, tmp_path: Path) -> None:
    observer.see("ray", True)
    live(observer, clock, 5)
    observer.close()
    observer.see("ray", False)
    live(observer, clock, 30)
    observer.close()
    assert totals(tmp_path) == (5.0, 0.0)


def test_files_that_nobody_fetches_are_bounded(observer: Observer, clock: Clock, tmp_path: Path) -> None:
    folder = tmp_path / "probes"
    folder.mkdir()
    for number in range(MOST_FILES + 20):
        (folder / f"{number:012d}.old.json").write_text("{}")
    observer.see("ray", True)
    live(observer, clock, SPAN_S + 1)
    assert len(list(folder.glob("*.json"))) <= MOST_FILES + 1
    assert not (folder / f"{0:012d}.old.json").exists(), "the oldest go"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"life": "a", "began": 1, "seconds": {"ray": [1]}, "restarts": []}',
        '{"life": "a", "began": 1, "seconds": {"ray": [1, -5]}, "restarts": []}',
        '{"life": "a", "began": 1, "seconds": {"ray": [1, NaN]}, "restarts": []}',
        '{"life": "a", "began": 1e99, "seconds": {}, "restarts": []}',
        '{"life": "a", "began": 1, "seconds": {}, "restarts": [{"service": "ray"}]}',
        '{"life": "a", "began": 1, "seconds": {}, "restarts": [1]}',
    ],
)
def test_a_damaged_file_goes_and_harms_no_other(tmp_path: Path, content: str) -> None:
    good = {"life": "b", "began": BEGAN, "seconds": {"ray": [7, 1]}, "restarts": []}
    (tmp_path / "1.json").write_text(content)
    (tmp_path / "2.json").write_text(json.dumps(good))
    ((path, found),) = observations(tmp_path)
    assert (path.name, found.seconds) == ("2.json", {"ray": (7.0, 1.0)})
    assert not (tmp_path / "1.json").exists()


def test_a_folder_that_cannot_be_written_stops_nobody(clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    observer = Observer(tmp_path / "file" / "probes", lambda: clock.now, lambda: clock.wall)
    observer.see("ray", True)
    live(observer, clock, 30)
    observer.close()
    assert list(observations(tmp_path / "file" / "probes")) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.integers(1, 200)), max_size=12))
def test_no_time_is_lost_or_counted_twice(
    tmp_path_factory: pytest.TempPathFactory, lived: list[tuple[bool | None, int]]
) -> None:
    clock, folder = Clock(), tmp_path_factory.mktemp("observing")
    observer = Observer(folder / "probes", lambda: clock.now, lambda: clock.wall)
    for answering, seconds in lived:
        observer.see("ray", answering)
        live(observer, clock, seconds)
    observer.close()
    expected = [sum(seconds for state, seconds in lived if state is wanted) for wanted in (True, False)]
    assert totals(folder) == pytest.approx(tuple(expected))
