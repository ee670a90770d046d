"""Listening to `sys.stdout` and `sys.stderr`, and giving what is printed to the run that prints it.

The streams' own `write` is overlaid, not the streams replaced: a logging handler or a progress bar that
took hold of one before the run began is heard too, and notebooks and pytest keep their own streams.
Subprocesses and C code write past Python and are not heard, nor is a forked child.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mlops.tracking.output import Output

_of_context: ContextVar[Output | None] = ContextVar("mlops_output", default=None)


class _Listeners:
    """The logs that are being written in this process, and the streams that are listened to."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.outputs: list[Output] = []
        self.of_blocks: list[Output] = []
        """Those that belong to a context, and hear others' prints only when they are alone."""
        self.streams: list[Any] = []

    def listen(self, output: Output) -> None:
        """Begin to give `output` what is printed."""
        with self.lock:
            self.outputs.append(output)
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream is not None and not any(each is stream for each in self.streams):
                    self._overlay(stream, name)

    def leave(self, output: Output) -> None:
        """End what `listen` began; with the last one the streams are as they were."""
        with self.lock:
            if output in self.outputs:
                self.outputs.remove(output)
            if self.outputs:
                return
            streams, self.streams = self.streams, []
            for stream in streams:
                # Somebody who overlaid ours meanwhile keeps it: it passes everything through.
                if isinstance(vars(stream).get("write"), _Overlay):
                    vars(stream)["write"].remove()

    def _overlay(self, stream: Any, name: str) -> None:
        try:
            stream.write = _Overlay(stream, name)
        except (AttributeError, TypeError):  # a stream of C that takes no attributes
            return
        self.streams.append(stream)


class _Overlay:
    """A stream's `write`, which also tells the run."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream, self._name = stream, name
        self._own = vars(stream).get("write")
        self._write = stream.write

    def __call__(self, text: str) -> Any:
        written = self._write(text)
        if (output := _addressee()) is not None:
            output.write(text, self._name)
        return written

    def remove(self) -> None:
        """Give the stream its own `write` back."""
        if self._own is None:
            del self._stream.write
        else:
            self._stream.write = self._own


_listeners = _Listeners()


def _addressee() -> Output | None:
    """The log of the writing context, else the one of the run that is left open, else the only one."""
    output = _of_context.get()
    if output is not None and not output.closed:
        return output
    outputs = [each for each in _listeners.outputs if not each.closed]  # a fork closed its parent's
    left_open = [each for each in outputs if each not in _listeners.of_blocks]
    return next((each[0] for each in (left_open, outputs) if len(each) == 1), None)


def listen(output: Output) -> None:
    """Give `output` what this process prints, where no context has a log of its own."""
    _listeners.listen(output)


def leave(output: Output) -> None:
    """Close `output`, which hears no more."""
    _listeners.leave(output)
    output.close()


@contextmanager
def printing_to(output: Output) -> Iterator[None]:
    """Give `output` what is printed in this context."""
    before = _of_context.get()
    _of_context.set(output)
    _listeners.of_blocks.append(output)
    try:
        yield
    finally:
        _listeners.of_blocks.remove(output)
        if _of_context.get() is output:
            _of_context.set(before)


def _after_fork_in_child() -> None:
    _listeners.lock = threading.RLock()
    for output in _listeners.outputs:
        output.abandon()


os.register_at_fork(after_in_child=_after_fork_in_child)
