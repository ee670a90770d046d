"""The run trackers, for the suites of this folder that take `two` or `tracker`."""

from __future__ import annotations

from tests.trackers import tracker, two

__all__ = ["tracker", "two"]
