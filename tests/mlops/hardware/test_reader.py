from __future__ import annotations

import logging

import pytest

from mlops.hardware.base import HardwareSample, sampled
from mlops.hardware.reader import Fallback, Readers, Seldom, Unopened


class Scripted:
    """Gives one answer after the other; an exception is raised, the last answer repeated."""

    def __init__(self, name: str, *answers: HardwareSample | Exception | None) -> None:
        self.name = name
        self.tells = ("power_mode",) if name == "mode" else ("gpu_utilization_percent",)
        self.asked = 0
        self._answers = list(answers)

    def read(self) -> HardwareSample | None:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


BUSY = sampled("gpu", gpu_utilization_percent=40.0)
COOL = sampled("heat", power_mode="automatic")


def test_what_several_know_is_one_sample() -> None:
    sample = Readers([Scripted("gpu", BUSY), Scripted("heat", COOL)]).read()

    assert sample.figures == {"gpu_utilization_percent": 40.0, "power_mode": "automatic"}


@pytest.mark.parametrize("failure", [OSError("gone"), None], ids=["raises", "gives nothing"])
def test_a_reader_that_fails_three_times_is_asked_no_more_and_warned_of_once(
    failure: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = Scripted("broken", failure), Scripted("gpu", BUSY)
    readers = Readers([broken, sound])

    samples = [readers.read() for _ in range(6)]

    assert broken.asked == 3
    assert sound.asked == 6
    assert all(sample.figures == {"gpu_utilization_percent": 40.0} for sample in samples)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "broken failed 3 times" in caplog.text
    assert "broken" in readers.troubles


def test_a_reader_that_recovers_is_not_counted_against(caplog: pytest.LogCaptureFixture) -> None:
    flaky = Scripted("flaky", OSError(), OSError(), BUSY, OSError(), OSError(), BUSY)
    readers = Readers([flaky])

    for _ in range(8):
        readers.read()

    assert flaky.asked == 8
    assert not caplog.records
    assert readers.troubles == {}


def test_the_trouble_of_a_reader_is_told() -> None:
    unopened = Unopened("IOReport", ("energy_j",), "no wheel")
    readers = Readers([Scripted("broken", OSError("no such command"))], [unopened])
    readers.read()

    assert readers.troubles == {"broken": "OSError: no such command", "IOReport": "no wheel"}


@pytest.mark.parametrize("first", [OSError(), None], ids=["raises", "gives nothing"])
def test_the_fallback_is_asked_where_the_first_gives_nothing(first: Exception | None) -> None:
    reader = Fallback(Scripted("a", first), Scripted("b", COOL))

    assert reader.name == "a or b"
    assert reader.read() == COOL


def test_the_fallback_rests_while_the_first_answers() -> None:
    second = Scripted("b", BUSY)

    assert Fallback(Scripted("a", COOL), second).read() == COOL
    assert second.asked == 0


def test_what_the_fallback_raises_is_raised() -> None:
    with pytest.raises(OSError, match="second"):
        Fallback(Scripted("a", None), Scripted("b", OSError("second"))).read()


def test_what_changes_seldom_is_asked_once_a_minute() -> None:
    now = [0.0]
    reader = Scripted("mode", COOL, BUSY)
    seldom = Seldom(reader, 60, lambda: now[0])

    assert [seldom.read(), seldom.read()] == [COOL, COOL]
    now[0] = 60
    assert seldom.read() == BUSY
    assert reader.asked == 2


@pytest.mark.parametrize("failure", [OSError("gone"), None], ids=["raises", "gives nothing"])
def test_what_is_asked_seldom_and_fails_is_asked_again_at_once(failure: Exception | None) -> None:
    reader = Scripted("mode", failure, COOL)
    readers = Readers([Seldom(reader)])

    assert readers.read().figures == {}
    assert readers.read() == COOL


def test_it_is_told_which_reader_can_give_a_figure_also_of_one_that_is_asked_no_more() -> None:
    unopened = Unopened("IOReport", ("energy_j",), "no wheel")
    readers = Readers([Scripted("gpu", OSError()), Seldom(Scripted("mode", COOL))], [unopened])
    for _ in range(4):
        readers.read()

    assert readers.tells == {
        "gpu": ("gpu_utilization_percent",),
        "mode": ("power_mode",),
        "IOReport": ("energy_j",),
    }
    assert Fallback(Scripted("a", BUSY), Scripted("mode", COOL)).tells == (
        "gpu_utilization_percent",
        "power_mode",
    )


def test_readings_are_slow_while_powermetrics_is_asked() -> None:
    readers = Readers([Scripted("gpu", BUSY), Scripted("powermetrics", OSError("a password is required"))])

    assert not Readers([Scripted("gpu", BUSY)]).slow
    slow = []
    for _ in range(4):
        slow.append(readers.slow)
        readers.read()
    assert slow == [True, True, True, False]
