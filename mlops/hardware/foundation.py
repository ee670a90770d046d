"""The thermal state that macOS tells every program: `NSProcessInfo.thermalState`.

The Objective-C runtime is called through ctypes. `objc_msgSend` is declared with the exact types of each
call: on arm64 a variadic call passes its arguments elsewhere.
"""

from __future__ import annotations

import ctypes
from functools import cache

from mlops.hardware import machine
from mlops.hardware.base import HardwareSample, ThermalState, sampled

_RUNTIME = "/usr/lib/libobjc.A.dylib"
_FOUNDATION = "/System/Library/Frameworks/Foundation.framework/Foundation"


class ProcessInfo:
    """The one source on Apple's own scale of four states."""

    name = "NSProcessInfo"
    tells = ("thermal_state", "thermal_source")

    def read(self) -> HardwareSample | None:
        """The state; raises `OSError` where there is no Foundation, and in a forked process."""
        state = state_of(_thermal_state())
        return sampled(self.name, thermal_state=state, thermal_source=self.name if state else None)


def state_of(level: int) -> ThermalState | None:
    """0 to 3 as the state it stands for; None for a number that Apple has not published."""
    states = list(ThermalState)
    return states[level] if 0 <= level < len(states) else None


def _thermal_state() -> int:
    if machine.is_forked():
        raise OSError(machine.FORKED)
    runtime = _load()
    pointer = ctypes.c_void_p
    send_object = ctypes.CFUNCTYPE(pointer, pointer, pointer)(("objc_msgSend", runtime))
    send_integer = ctypes.CFUNCTYPE(ctypes.c_long, pointer, pointer)(("objc_msgSend", runtime))
    info = send_object(runtime.objc_getClass(b"NSProcessInfo"), runtime.sel_registerName(b"processInfo"))
    if not info:
        raise OSError("Foundation has no NSProcessInfo")
    return int(send_integer(info, runtime.sel_registerName(b"thermalState")))


@cache
def _load() -> ctypes.CDLL:
    ctypes.CDLL(_FOUNDATION)
    runtime = ctypes.CDLL(_RUNTIME)
    for function in (runtime.objc_getClass, runtime.sel_registerName):
        function.argtypes, function.restype = [ctypes.c_char_p], ctypes.c_void_p
    return runtime
