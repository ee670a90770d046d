"""Output that is cut or garbled: never an exception, and never a figure that was not there."""

from __future__ import annotations

import json
import math
import plistlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.hardware import apple
from mlops.hardware.apple import HardwareSample
from mlops.hardware.base import CpuLevel, MemoryPressure, ThermalState
from tests.mlops.hardware.apple.inputs import OWN, Parser
from tests.mlops.hardware.apple.recorded import PARSERS, recording

EVERY_PARSER = list(dict.fromkeys(parse for parse, _ in OWN.values()))
TERABYTE = 2**40
BOUNDS: dict[str, tuple[float, float]] = {
    "memory_gb": (1, 4096),
    "gpu_cores": (1, 1024),
    "ane_cores": (1, 1024),
    "cpu_utilization_percent": (0, 100),
    "gpu_utilization_percent": (0, 100),
    "gpu_renderer_utilization_percent": (0, 100),
    "gpu_tiler_utilization_percent": (0, 100),
    "gpu_frequency_mhz": (0, 10_000),
    "gpu_memory_bytes": (0, 4 * TERABYTE),
    "gpu_wired_limit_mb": (0, 4 * TERABYTE),
    "cpu_power_w": (0, 1000),
    "gpu_power_w": (0, 1000),
    "ane_power_w": (0, 1000),
    "package_power_w": (0, 1000),
    "energy_j": (0, 1000 * 7 * 86400),
    "elapsed_s": (0, 7 * 86400),
    "memory_free_bytes": (0, 4 * TERABYTE),
    "memory_wired_bytes": (0, 4 * TERABYTE),
    "memory_compressed_bytes": (0, 4 * TERABYTE),
    "memory_free_percent": (0, 100),
    "swap_used_bytes": (0, 4 * TERABYTE),
}
TEXTS = {"chip_type", "model", "os_version", "gpu_name", "ane_architecture"}
CHOICES: dict[str, set[object]] = {
    "ane_available": {True},
    "rosetta": {True, False},
    "virtual_machine": {True, False},
    "memory_pressure_level": set(MemoryPressure),
    "thermal_state": set(ThermalState),
    "thermal_source": {"powermetrics", "notifyutil"},
    "power_mode": {"automatic", "low", "high"},
    "power_source": {"ac", "battery"},
}


def inputs() -> list[object]:
    own = [pytest.param(parse, data, id=name) for name, (parse, data) in OWN.items()]
    return [*own, *(pytest.param(parse, name, id=name) for name, parse in PARSERS.items())]


def documents() -> list[object]:
    plists = (apple.parse_powermetrics, apple.parse_ioreg_accelerator, apple.parse_ioreg_ane)
    kinds = (*plists, apple.parse_system_profiler)
    own = [
        pytest.param(*OWN[name], id=name)
        for name in OWN
        if OWN[name][0] in kinds and b"\0" not in OWN[name][1]
    ]
    return [*own, *(pytest.param(parse, name, id=name) for name, parse in PARSERS.items() if parse in kinds)]


every_document = pytest.mark.parametrize(("parse", "given_data"), documents())
every_input = pytest.mark.parametrize(("parse", "given_data"), inputs())


def bytes_of(given_data: bytes | str) -> bytes:
    return recording(given_data) if isinstance(given_data, str) else given_data


def assert_possible(sample: HardwareSample | None) -> None:
    """Every figure is one that a machine can have, and has its source."""
    if sample is None:
        return
    assert set(sample.sources) == set(sample.figures)
    for name, value in sample.figures.items():
        if name == "cpu_levels":
            assert_possible_levels(value)
        elif name in TEXTS:
            assert value.isprintable()
            assert 0 < len(value) <= 100
        elif name in CHOICES:
            assert value in CHOICES[name]
        else:
            low, high = BOUNDS[name]
            assert math.isfinite(value), name
            assert low <= value <= high, name


def assert_possible_levels(levels: tuple[CpuLevel, ...]) -> None:
    assert levels
    for level in levels:
        assert level.name.isprintable()
        assert 1 <= level.cores <= 1024
        assert level.active_ratio is None or 0 <= level.active_ratio <= 1
        assert level.frequency_mhz is None or 0 <= level.frequency_mhz <= 10_000


@every_input
def test_cut_output_tells_what_the_whole_told_or_nothing(parse: Parser, given_data: bytes | str) -> None:
    data = bytes_of(given_data)
    parts = data.split(b"\0")
    wholes = [parse(data), *(parse(b"\0".join(parts[:count])) for count in range(1, len(parts)))]
    told = [each.figures for each in wholes if each is not None]
    # Every place of a short output; of a long one some, and all near its end.
    step = max(1, len(data) // 400)
    for end in sorted({*range(0, len(data), step), *range(max(0, len(data) - 100), len(data))}):
        sample = parse(data[:end])
        assert_possible(sample)
        if sample is not None:
            assert any(sample.figures.items() <= each.items() for each in told), (end, sample.figures)


@st.composite
def mutations(draw: st.DrawFn, data: bytes) -> bytes:
    """The data after a few of: bytes changed, left out, put in, or repeated."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(["change", "digit", "remove", "insert", "repeat", "copy"]))
        if kind == "change":
            data = data[:start] + draw(st.binary(max_size=4)) + data[start + 4 :]
        elif kind == "digit":
            data = (
                data[:start]
                + draw(st.sampled_from([b"0", b"9", b"-", b".", b"e9", b"99999999"]))
                + data[start + 1 :]
            )
        elif kind == "remove":
            data = data[:start] + data[end:]
        elif kind == "insert":
            data = data[:start] + draw(st.binary(max_size=20)) + data[start:]
        elif kind == "repeat":
            data = data[:end] + data[start:end] + data[end:]
        else:
            to = draw(st.integers(0, len(data)))
            data = data[:to] + data[start:end] + data[to:]
    return data


@every_input
@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(draw=st.data())
def test_garbled_output_raises_nothing_and_tells_nothing_impossible(
    parse: Parser, given_data: bytes | str, draw: st.DataObject
) -> None:
    assert_possible(parse(draw.draw(mutations(bytes_of(given_data)))))


@every_input
@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(draw=st.data())
def test_numbers_replaced_by_others_tell_nothing_impossible(
    parse: Parser, given_data: bytes | str, draw: st.DataObject
) -> None:
    data = bytes_of(given_data)
    digits = [at for at, each in enumerate(data) if chr(each).isdigit()]
    if not digits:
        return
    at = draw.draw(st.sampled_from(digits))
    other = draw.draw(st.integers(-(2**70), 2**70) | st.floats() | st.integers(0, 200))
    assert_possible(parse(data[:at] + str(other).encode() + data[at + 1 :]))


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.sampled_from([0, 0.0, 1, 5e-324, "", "Nominal", "AGXAccelerator", "16 GB", "2"])
    | st.text(st.characters(codec="ascii", categories=("L", "N", "P")), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document."""
    yield path
    if isinstance(document, dict | list):
        for key, each in document.items() if isinstance(document, dict) else enumerate(document):
            yield from places(each, (*path, key))


def with_other(document: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    changed = document.copy()
    changed[path[0]] = with_other(document[path[0]], path[1:], value)
    return changed


def written(document: object, as_json: bool) -> bytes | None:
    """The document as the tool would write it; None where its format has no such value."""
    try:
        return json.dumps(document).encode() if as_json else plistlib.dumps(document)
    except (TypeError, OverflowError):
        return None


@every_document
@settings(derandomize=True, deadline=None, max_examples=60, database=None)
@given(draw=st.data())
def test_values_of_other_types_tell_nothing_impossible(
    parse: Parser, given_data: bytes | str, draw: st.DataObject
) -> None:
    data, as_json = bytes_of(given_data), parse is apple.parse_system_profiler
    document = json.loads(data) if as_json else plistlib.loads(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        path = draw.draw(st.sampled_from(list(places(document))))
        document = with_other(document, path, draw.draw(ODD))
    if (garbled := written(document, as_json)) is not None:
        assert_possible(parse(garbled))


@pytest.mark.parametrize("parse", EVERY_PARSER)
@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@given(
    data=st.binary(max_size=200)
    | st.text(max_size=100).map(lambda each: each.encode("utf-8", "surrogatepass"))
)
def test_bytes_of_no_tool_are_nothing(parse: Parser, data: bytes) -> None:
    assert parse(data) is None


LINES: dict[str, dict[str, str]] = {
    "sysctl": {
        "chip_type": r"machdep\.cpu\..*",
        "model": r"hw\.model.*",
        "memory_gb": r"hw\.memsize.*",
        "cpu_levels": r"hw\.(nperflevels|perflevel).*",
        "rosetta": r"sysctl\..*",
        "virtual_machine": r"kern\.hv_.*",
        "os_version": r"kern\.os.*",
        "memory_pressure_level": r"kern\.memorystatus_vm_.*",
        "memory_free_percent": r"kern\.memorystatus_level.*",
        "swap_used_bytes": r"vm\.swapusage.*",
        "gpu_wired_limit_mb": r"iogpu\..*",
    },
    "vm_stat": {
        "memory_free_bytes": r"Mach .*|Pages free.*",
        "memory_wired_bytes": r"Mach .*|Pages wired.*",
        "memory_compressed_bytes": r"Mach .*|Pages occupied.*",
    },
    "pmset": {"power_mode": r"Currently in use:| powermode.*"},
    "pmset-battery": {"power_source": r"Now drawing.*"},
}
"""Figure of an input of our own -> the lines it comes from."""
MAY_END = {"power_mode": r" .*"}
"""Figure -> the lines that may take it away when garbled: a setting that does not begin with a space any more
may be another heading."""
NOT_A_LINE_END = st.integers(0, 255).filter(lambda byte: byte != ord("\n"))


@st.composite
def one_line_changed(draw: st.DrawFn, data: bytes) -> tuple[str, bytes]:
    """A line of the data, and the data with other bytes in it."""
    told = data.splitlines(keepends=True)
    at = draw(st.integers(0, len(told) - 1))
    line = told[at].removesuffix(b"\n")
    start = draw(st.integers(0, len(line)))
    end = min(len(line), start + draw(st.integers(0, 12)))
    new = draw(
        st.lists(NOT_A_LINE_END, max_size=12).map(bytes)
        | st.sampled_from(
            [b"0", b"9", b"1", b"-", b".", b": ", b"\xc3", b"\xff", b"\0", b"\r", b"\x0b", b"\x85"]
        )
    )
    told[at] = line[:start] + new + line[end:] + b"\n"
    return line.decode(), b"".join(told)


@pytest.mark.parametrize("name", LINES)
@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(draw=st.data())
def test_a_garbled_line_changes_no_figure_of_another(name: str, draw: st.DataObject) -> None:
    parse, data = OWN[name]
    whole = parse(data)
    assert whole is not None
    assert set(whole.figures) == set(LINES[name])
    line, garbled = draw.draw(one_line_changed(data))
    sample = parse(garbled) or HardwareSample()

    for figure, origin in LINES[name].items():
        sound = [whole.figures[figure], *([None] if re.fullmatch(MAY_END.get(figure, ""), line) else [])]
        if not re.fullmatch(origin, line):
            assert sample.figures.get(figure) in sound, (figure, line, garbled)
