"""What the supervisor saw of its services, kept in small files until the worker has recorded them.

A file for each span of five minutes holds that span's totals so far. It is written anew as they grow, whole
or not at all, so whoever reads it twice reads the same. Nothing is lost when the worker, Postgres or a
service dies; of a supervisor that is killed the last seconds are missing, as time in which nobody looked.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops.entities import Observation, Restart, RestartCause, ServiceState, ServiceStatus
from mlops.installation import Installation, write_private

log = logging.getLogger(__name__)

SPAN_S = 300
"""Length of a span; spans begin at multiples of it."""
EVERY_S = 10.0
"""How often a file is written anew where nothing happens; what happens is written within a second."""
LONGEST_GAP_S = 10.0
"""Between two looks; in a longer one (the machine slept) nobody looked."""
MOST_FILES = 2016
"""That wait for the worker: a week's. After that the oldest are dropped."""
_LONGEST_DETAIL = 500
_LATE_S = 60.0


def observations_dir(installation: Installation) -> Path:
    """Where the files wait."""
    return installation.run_dir / "probes"


def answers(status: ServiceStatus) -> bool | None:
    """Whether the service answers; None where there is nothing to hold against it: it is stopped, or starts
    for the first time."""
    if status.state in (ServiceState.HEALTHY, ServiceState.EXTERNAL):
        return True
    if status.state is ServiceState.UNHEALTHY or (
        status.state is ServiceState.STARTING and status.restarts > 0
    ):
        return False
    return None


class Observer:
    """Adds up for how long each service answered. Belongs to the supervisor's loop; `clock` is the monotonic
    time, `wall` Unix time: durations are the one's, so that setting the other adds none."""

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._wall = wall
        self._life = secrets.token_hex(4)
        self._states: dict[str, bool | None] = {}
        self._looked = self._written = clock()
        self._span = self._current_span()
        self._seconds: dict[str, list[float]] = {}
        self._restarts: list[Restart] = []
        self._news = False
        self._closed = False

    def see(self, service: str, answers: bool | None) -> None:
        """From now on the service answers, does not, or neither (None)."""
        if self._closed or (service in self._states and self._states[service] is answers):
            return
        self._count()
        self._states[service] = answers
        self._news = True

    def restarted(self, service: str, cause: RestartCause, detail: str) -> None:
        """The service's process ended: it does not answer until it is seen to."""
        self.see(service, False)
        clean = detail.replace("\0", " ").encode("utf-8", "replace").decode()[:_LONGEST_DETAIL]
        self._restarts.append(Restart(service, datetime.fromtimestamp(self._wall(), UTC), cause, clean))
        self._news = True

    def look(self) -> None:
        """Count the time until now, and write what is due. To be called every second or so."""
        if self._closed:
            return
        self._count()
        if self._news or self._clock() - self._written >= EVERY_S:
            self._write()

    def close(self) -> None:
        """Count and write the last; what comes after is on purpose, and counts for nothing."""
        if not self._closed:
            self._count()
            self._write()
        self._closed = True

    def _count(self) -> None:
        now = self._clock()
        passed, self._looked = now - self._looked, now
        if passed <= LONGEST_GAP_S:
            for service, answering in self._states.items():
                if answering is not None:
                    # What passed just before a span's end is that span's.
                    self._seconds.setdefault(service, [0.0, 0.0])[0 if answering else 1] += passed
        if self._current_span() != self._span:
            self._turn_over()

    def _turn_over(self) -> None:
        self._write()
        self._span, self._seconds, self._restarts = self._current_span(), {}, []
        with contextlib.suppress(OSError):
            for path in sorted(self._folder.glob("*.json"))[:-MOST_FILES]:
                path.unlink()

    def _write(self) -> None:
        self._written, self._news = self._clock(), False
        if not self._seconds and not self._restarts:
            return
        content = {
            "life": self._life,
            "began": self._span,
            "seconds": self._seconds,
            "restarts": [{**asdict(each), "at": each.at.isoformat()} for each in self._restarts],
        }
        # A full disk must not end what runs; the next writing holds all of the span again.
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_private(
                self._folder / f"{self._span:012d}.{self._life}.json", json.dumps(content), durable=False
            )

    def _current_span(self) -> int:
        return int(self._wall() // SPAN_S) * SPAN_S


def observations(folder: Path) -> Iterator[tuple[Path, Observation]]:
    """What waits, oldest first; a file that cannot be read is removed, with a word in the log."""
    for path in sorted(folder.glob("*.json")):
        try:
            yield path, _parse(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            log.warning("%s is damaged, and dropped: %s", path.name, error)
            with contextlib.suppress(OSError):
                path.unlink()


def is_complete(observation: Observation, now: datetime) -> bool:
    """Whether nothing more will be added to it."""
    return now > observation.began + timedelta(seconds=SPAN_S + _LATE_S)


def _parse(content: dict[str, object]) -> Observation:
    seconds, restarts = content["seconds"], content["restarts"]
    if not isinstance(seconds, dict) or not isinstance(restarts, list):
        raise TypeError("not in the known shape")
    return Observation(
        life=str(content["life"]),
        began=datetime.fromtimestamp(int(str(content["began"])), UTC),
        seconds={str(name): (_length(up), _length(down)) for name, (up, down) in seconds.items()},
        restarts=tuple(
            Restart(
                str(each["service"]),
                datetime.fromisoformat(each["at"]),
                RestartCause(each["cause"]),
                str(each["detail"]),
            )
            for each in restarts
        ),
    )


def _length(value: object) -> float:
    if not isinstance(value, int | float) or not 0.0 <= value <= 10.0 * SPAN_S:
        raise ValueError(f"{value!r} is no length of time")
    return float(value)
