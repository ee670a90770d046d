from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from mlops.entities import Run, RunStatus
from mlops.errors import RunEnded, ServiceUnavailable
from mlops.hardware.base import HardwareSample, ThermalState, sampled
from mlops.hardware.reader import Readers
from mlops.hardware.sampler import HardwareSampler


class Record:
    """A run's record, kept in memory."""

    def __init__(self) -> None:
        self.metrics: list[tuple[int, dict[str, float]]] = []
        self.tags: dict[str, str] = {}
        self.writes = threading.Condition()
        self.error: Exception | None = None

    def __call__(self, metrics: Mapping[str, float], tags: Mapping[str, str], step: int) -> None:
        if self.error is not None:
            raise self.error
        with self.writes:
            self.metrics.append((step, dict(metrics)))
            self.tags |= tags
            self.writes.notify_all()

    def wait_for(self, count: int) -> None:
        with self.writes:
            assert self.writes.wait_for(lambda: len(self.metrics) >= count, 20)

    def values(self, name: str) -> list[float]:
        return [metrics[name] for _, metrics in self.metrics if name in metrics]


class Machine:
    """A reader that gives one sample after the other, and repeats the last."""

    name = "imitated"

    def __init__(self, *figures: dict[str, object]) -> None:
        self.figures = list(figures) or [{"cpu_utilization_percent": 50.0, "chip_type": "Apple M4"}]

    def read(self) -> HardwareSample | None:
        figures = self.figures.pop(0) if len(self.figures) > 1 else self.figures[0]
        return sampled(self.name, **figures)

    def open(self) -> Readers:
        return Readers([self])


def sampler(
    record: Record,
    machine: Machine | None = None,
    *,
    interval_s: float = 0.01,
    started_s: float | None = None,
    earlier: Callable[[], Run] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> HardwareSampler:
    return HardwareSampler(
        (machine or Machine()).open,
        record,
        interval_s=interval_s,
        started_s=time.time() if started_s is None else started_s,
        earlier=earlier,
        clock=clock,
    )


def test_samples_come_from_the_start_to_the_stop_and_not_after() -> None:
    record = Record()
    sampling = sampler(record)
    sampling.start()
    record.wait_for(3)
    sampling.stop()
    count = len(record.metrics)
    time.sleep(0.1)

    assert len(record.metrics) == count
    assert record.values("system/cpu_utilization_percentage")[:3] == [50.0] * 3
    assert record.tags["hardware.chip"] == "Apple M4"
    assert record.tags["hardware.sources"] == "imitated"
    assert record.tags["hardware.os"]


def test_a_run_shorter_than_the_interval_says_where_it_ran() -> None:
    record = Record()
    sampling = sampler(record, interval_s=3600)
    sampling.start()
    sampling.stop()

    assert record.tags["hardware.chip"] == "Apple M4"
    assert len(record.values("system/cpu_utilization_percentage")) == 1


def test_the_last_sample_is_taken_at_the_end() -> None:
    record, now = Record(), [100.0]
    machine = Machine({"energy_j": 1.0, "elapsed_s": 1.0}, {"energy_j": 90.0, "elapsed_s": 60.0})
    sampling = sampler(record, machine, interval_s=3600, clock=lambda: now[0])
    sampling.start()
    record.wait_for(1)
    now[0] += 60
    sampling.stop()

    assert record.values("system/energy_joules") == [1.0, 90.0]
    assert record.tags["hardware.energy_joules"] == "90.0"
    assert "hardware.quality" not in record.tags


def test_an_energy_that_was_measured_over_a_part_of_the_run_says_so() -> None:
    record, now = Record(), [0.0]
    machine = Machine({"energy_j": 5.0, "elapsed_s": 20.0})
    sampling = sampler(record, machine, interval_s=3600, clock=lambda: now[0])
    sampling.start()
    record.wait_for(1)
    now[0] += 100
    sampling.stop()

    assert record.tags["hardware.quality"] == "energy_j: measured over 20 of 100 s"


def test_the_worst_thermal_state_is_kept_and_what_is_unknown_is_no_state() -> None:
    states = [ThermalState.NOMINAL, ThermalState.CRITICAL, None, ThermalState.FAIR]
    record = Record()
    sampling = sampler(record, Machine(*({"thermal_state": state} for state in states)), interval_s=0)
    for _ in states:
        sampling.sample()

    assert record.values("system/thermal_state") == [0, 3, 1]
    assert record.tags["hardware.worst_thermal_state"] == "critical"


def test_without_any_state_there_is_no_worst() -> None:
    record = Record()
    sampler(record, interval_s=0).sample()

    assert "hardware.worst_thermal_state" not in record.tags


def test_every_power_mode_of_the_run_is_told() -> None:
    modes = ["automatic", "low", "low", None, "automatic"]
    record = Record()
    sampling = sampler(record, Machine(*({"power_mode": mode} for mode in modes)), interval_s=0)
    for _ in modes:
        sampling.sample()

    assert record.tags["hardware.power_mode"] == "automatic, low"


def test_sampling_that_is_off_samples_when_asked() -> None:
    record = Record()
    sampling = sampler(record, interval_s=0)
    sampling.start()
    sample = sampling.sample()
    sampling.stop()

    assert sample.cpu_utilization_percent == 50.0
    assert len(record.values("system/cpu_utilization_percentage")) == 1


def test_the_step_is_the_seconds_since_the_run_began() -> None:
    record = Record()
    sampler(record, interval_s=0, started_s=time.time() - 90.5).sample()
    sampler(record, interval_s=0, started_s=time.time() + 3600).sample()  # a clock that was set back

    assert [step for step, _ in record.metrics] == [90, 0]


def test_tags_are_written_when_they_change() -> None:
    written: list[dict[str, str]] = []
    sampling = HardwareSampler(
        Machine().open, lambda metrics, tags, step: written.append(dict(tags)), interval_s=0, started_s=0
    )
    sampling.sample()
    sampling.sample()

    assert "hardware.chip" in written[0]
    assert written[1] == {}


def test_a_resumed_run_goes_on_with_its_energy_and_its_worst_state() -> None:
    before = Run(
        *("key", "p", "name", RunStatus.RUNNING, datetime.now(UTC)),
        metrics={"system/energy_joules": 100.0},
        tags={"hardware.worst_thermal_state": "serious", "hardware.power_mode": "low", "other": "x"},
    )
    record = Record()
    machine = Machine({"energy_j": 5.0, "thermal_state": ThermalState.FAIR, "power_mode": "automatic"})
    sampler(record, machine, interval_s=0, earlier=lambda: before).sample()

    assert record.values("system/energy_joules") == [105.0]
    assert record.tags["hardware.power_mode"] == "low, automatic"
    assert "hardware.worst_thermal_state" not in record.tags, "it has not changed"


def test_a_resumed_run_whose_past_cannot_be_read_goes_on_without(caplog: pytest.LogCaptureFixture) -> None:
    def unreachable() -> Run:
        raise ServiceUnavailable("mlflow")

    record = Record()
    sampling = sampler(record, Machine({"energy_j": 5.0}), interval_s=0, earlier=unreachable)
    sampling.sample()
    sampling.sample()

    assert record.values("system/energy_joules") == [5.0, 5.0]
    assert caplog.text.count("from now on") == 1


def test_a_record_that_takes_nothing_more_ends_the_sampling(caplog: pytest.LogCaptureFixture) -> None:
    record = Record()
    sampling = sampler(record)
    record.error = RunEnded("p", "key")
    sampling.start()
    sampling.stop()

    assert record.metrics == []
    assert "not sampled any more" in caplog.text
    with pytest.raises(RunEnded):
        sampling.sample()


def test_a_stop_does_not_wait_for_a_reader_that_hangs() -> None:
    hanging, entered = threading.Event(), threading.Event()

    class Hanging(Machine):
        def read(self) -> HardwareSample | None:
            sample = super().read()
            if len(record.metrics) == 1:
                entered.set()
                hanging.wait(30)
            return sample

    record = Record()
    sampling = sampler(record, Hanging())
    sampling.start()
    assert entered.wait(20)
    sampling.stop()
    hanging.set()
    time.sleep(0.1)

    assert len(record.metrics) == 1, "what is read after the stop is not recorded"


def test_a_forked_child_neither_samples_nor_stops_its_parents_sampling() -> None:
    record = Record()
    sampling = sampler(record)
    sampling.start()
    record.wait_for(1)
    child = os.fork()
    if child == 0:
        before = len(record.metrics)
        sampling.stop()
        time.sleep(0.1)
        sampling.sample()  # asked for, and with readers of its own
        os._exit(0 if len(record.metrics) == before + 1 else 1)
    _, status = os.waitpid(child, 0)
    record.wait_for(len(record.metrics) + 2)
    sampling.stop()

    assert os.waitstatus_to_exitcode(status) == 0


def test_starting_twice_and_stopping_twice_is_once() -> None:
    record = Record()
    sampling = sampler(record, interval_s=3600)
    sampling.start()
    sampling.start()
    sampling.stop()
    sampling.stop()

    assert len(record.values("system/cpu_utilization_percentage")) == 1
