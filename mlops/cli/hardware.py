"""mlops:hardware: this machine, what it does now, and what could not be read."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mlops.cli.output import Json, emit, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.hardware.overview import Overview

_WINDOW_S = 0.3
"""Activity is told over a time: this long, where one reading is wanted."""
_GIB, _MB = 1 << 30, 1e6


def hardware(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.1, help="Seconds between readings.")] = 5.0,
    powermetrics: Annotated[
        bool,
        typer.Option("--powermetrics", help="Ask powermetrics too, by `sudo -n` (macOS; 5 s a reading)."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show this machine: chip, memory, GPU, Neural Engine, power, heat; and what could not be read, and why.

    Power and energy are told over five seconds or more: see them with --watch. With --json --watch, one
    object a line.

    Example: efficientai-toolkit mlops:hardware --watch --interval 10
    """
    from mlops.hardware.machine import open_readers
    from mlops.hardware.overview import overview

    readers = open_readers(powermetrics=powermetrics, import_torch=True)
    if not watch:
        readers.read()
        time.sleep(_WINDOW_S)
        seen = overview(readers)
        emit(seen, as_json, "" if as_json else show(seen))
        return

    def readings() -> Iterator[Overview]:
        while True:
            yield overview(readers)
            time.sleep(interval)

    if as_json:
        for seen in readings():
            print(json.dumps(asdict(seen)), flush=True)
    _watch(readings())


def _watch(readings: Iterator[Overview]) -> None:
    if not sys.stdout.isatty():
        for seen in readings:
            print(show(seen) + "\n", flush=True)
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        for seen in readings:
            live.update(Text(show(seen)), refresh=True)


def show(seen: Overview) -> str:
    """The table of figures and their sources, then what is remarked and what is missing."""
    rows = [(label, value, source) for label, value, source in _rows(seen) if value]
    text = table([("FIGURE", "VALUE", "SOURCE"), *rows])
    remarks = [f"  {remark}" for remark in seen.sample.quality if remark.partition(":")[0] not in seen.unread]
    missing = [f"  {', '.join(figures)}: {why}" for why, figures in _by_reason(seen.unread).items()]
    for title, lines in (("Remarks", remarks), ("Not read", missing)):
        if lines:
            text += "\n\n" + "\n".join((title, *lines))
    return text


def _by_reason(unread: dict[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for figure, why in unread.items():
        reasons.setdefault(why, []).append(figure)
    return reasons


def _rows(seen: Overview) -> list[tuple[str, str, str]]:
    sample, sources = seen.sample, seen.sample.sources

    def row(
        label: str, figure: str, unit: str = "", scale: float = 1.0, digits: int = 1
    ) -> tuple[str, str, str]:
        value = getattr(sample, figure)
        if isinstance(value, bool):
            text = "yes" if value else "no"
        elif isinstance(value, float) or (value is not None and scale != 1.0):
            text = f"{value / scale:.{digits}f}{unit}"
        else:
            text = "" if value is None else f"{value}{unit}"
        return label, text, sources.get(figure, "")

    return [
        ("system", seen.operating_system, ""),
        row("chip", "chip_type"),
        row("model", "model"),
        row("memory", "memory_gb", " GB", digits=0),
        *_levels(seen),
        row("gpu", "gpu_name"),
        row("gpu cores", "gpu_cores"),
        *_chip(seen),
        row("mps", "mps_available"),
        row("ane", "ane_available"),
        row("ane cores", "ane_cores"),
        row("ane architecture", "ane_architecture"),
        row("rosetta", "rosetta"),
        row("virtual machine", "virtual_machine"),
        row("thermal state", "thermal_state"),
        row("power mode", "power_mode"),
        row("power source", "power_source"),
        row("cpu active", "cpu_utilization_percent", " %"),
        row("gpu active", "gpu_utilization_percent", " %"),
        row("gpu frequency", "gpu_frequency_mhz", " MHz", digits=0),
        row("gpu memory in use", "gpu_memory_bytes", " MB", _MB, 0),
        row("gpu memory", "gpu_memory_total_bytes", " MB", _MB, 0),
        row("cpu power", "cpu_power_w", " W", digits=2),
        row("gpu power", "gpu_power_w", " W", digits=2),
        row("ane power", "ane_power_w", " W", digits=2),
        row("package power", "package_power_w", " W", digits=2),
        row("energy", "energy_j", " J"),
        row("memory in use", "memory_used_bytes", " GB", _GIB),
        row("memory available", "memory_available_bytes", " GB", _GIB),
        (
            "memory pressure",
            "" if (level := sample.memory_pressure_level) is None else level.name.lower(),
            sources.get("memory_pressure_level", ""),
        ),
        row("swap in use", "swap_used_bytes", " GB", _GIB),
    ]


def _levels(seen: Overview) -> list[tuple[str, str, str]]:
    rows = []
    for level in seen.sample.cpu_levels or ():
        parts = [f"{level.cores} cores"]
        if level.active_ratio is not None:
            parts.append(f"{100 * level.active_ratio:.1f} % active")
        if level.frequency_mhz is not None:
            parts.append(f"{level.frequency_mhz:.0f} MHz")
        label = level.name if level.name == "cpu" else f"cpu {level.name}"
        rows.append((label, ", ".join(parts), seen.sample.sources.get("cpu_levels", "")))
    return rows


def _chip(seen: Overview) -> list[tuple[str, str, str]]:
    if seen.chip is None:
        return []
    figures = (
        ("memory bandwidth", "bandwidth_gb_s", " GB/s"),
        ("gpu compute", "fp32_tflops", " TFLOPS (FP32)"),
        ("ane compute", "ane_tops", " TOPS"),
    )
    return [
        (label, "not in the chip table", "")
        if (value := getattr(seen.chip, name)) is None
        else (label, f"{value:g}{unit}", seen.chip.sources.get(name, ""))
        for label, name, unit in figures
    ]


COMMANDS = {"mlops:hardware": hardware}
