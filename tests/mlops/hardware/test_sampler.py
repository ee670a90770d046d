from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping

import pytest

from mlops.entities import Run
from mlops.errors import RunEnded
from mlops.hardware.base import HardwareSample, sampled
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
    past: Callable[[], Run] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> HardwareSampler:
    return HardwareSampler(
        (machine or Machine()).open,
        record,
        interval_s=interval_s,
        started_s=time.time() if started_s is None else started_s,
        past=past,
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


def test_the_end_of_a_run_has_its_energy_though_a_slow_reader_is_at_work() -> None:
    reading, goes_on = threading.Event(), threading.Event()

    class Slow(Machine):
        def read(self) -> HardwareSample | None:
            if record.metrics:
                reading.set()
                goes_on.wait(30)
            return super().read()

    record = Record()
    sampling = sampler(record, Slow({"energy_j": 7.0, "elapsed_s": 1.0}))
    sampling.start()
    assert reading.wait(20)
    sampling.stop()
    goes_on.set()

    assert record.tags["hardware.energy_joules"] == "7.0"
    assert record.values("system/energy_joules") == [7.0]


@pytest.mark.parametrize("error", [OSError(28, "full"), RunEnded("p", "key"), ValueError("odd")], ids=repr)
def test_the_end_of_a_run_does_not_fail_of_its_hardware(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    record = Record()
    sampling = sampler(record, Machine({"energy_j": 7.0}), interval_s=3600)
    sampling.start()
    record.wait_for(1)
    record.error = error
    sampling.stop()

    assert "the end of the hardware's record is missing" in caplog.text


def test_where_no_thread_can_start_the_run_goes_on_without_samples(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    record = Record()
    sampling = sampler(record)
    sampling.start()
    sampling.stop()

    assert record.metrics == []
    assert "can't start new thread" in caplog.text


def test_a_child_that_was_forked_in_the_middle_of_a_reading_is_not_held_up() -> None:
    reading, goes_on = threading.Event(), threading.Event()

    class Slow(Machine):
        def read(self) -> HardwareSample | None:
            reading.set()
            goes_on.wait(30)
            return super().read()

    record = Record()
    sampling = sampler(record, Slow({"energy_j": 7.0, "gpu_power_w": 1.0}))
    sampling.start()
    assert reading.wait(20)
    child = os.fork()
    if child == 0:
        goes_on.set()
        sampling.record(HardwareSample(gpu_power_w=3.0))
        sampling.sample()
        energies = record.values("system/energy_joules")
        os._exit(0 if not energies and len(record.metrics) == 2 else 1)
    _, status = os.waitpid(child, 0)
    goes_on.set()
    sampling.stop()

    assert os.waitstatus_to_exitcode(status) == 0
