"""What commonly goes wrong on a machine, looked for and explained."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from mlops.entities import ServiceState
from mlops.errors import MLOpsError
from mlops.hardware.base import HardwareSample, ThermalState
from mlops.hardware.machine import open_readers
from mlops.hardware.mps import Mps
from mlops.installation import Installation
from mlops.services import postgres
from mlops.services.sockets import listeners
from mlops.services.status import read_status, supervisor_pid

_GB = 1e9
_LEAST_DISK_GB, _LEAST_MEMORY_GB = 5.0, 3.0
_MOST_SWAP_GB = 0.1
"""A little swap is in use on every Mac; more means that memory was short."""


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    subject: str
    detail: str
    remedy: str = ""


def examine(installation: Installation) -> list[Finding]:
    """Look at everything; nothing is changed."""
    return [
        *_machine(installation),
        *_hardware(),
        *_home(installation),
        *_database(installation),
        *_services(installation),
        *_sockets(installation),
    ]


def _machine(installation: Installation) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield _judge(supported, "python", version, "Use Python 3.11, 3.12 or 3.13.")
    for tool, use in (("git", "data versions name the git revision"), ("uv", "Bentos are built with it")):
        detail = "found" if _tool(tool) else f"not found; {use}"
        yield _judge(_tool(tool), tool, detail, f"Install {tool}.", Level.WARNING)
    folder = next(path for path in (installation.root, *installation.root.parents) if path.exists())
    free = shutil.disk_usage(folder).free / _GB
    yield _judge(
        free >= _LEAST_DISK_GB,
        "disk",
        f"{free:.1f} GB free below {installation.root}",
        "Free some space, or set MLOPS_HOME to a larger disk.",
        Level.WARNING if free >= 1.0 else Level.ERROR,
    )
    memory = psutil.virtual_memory().available / _GB
    enough = memory >= _LEAST_MEMORY_GB or supervisor_pid(installation) is not None
    yield _judge(enough, "memory", f"{memory:.1f} GB available", "Close other programs.", Level.WARNING)


def _hardware() -> Iterator[Finding]:
    readers = open_readers(import_torch=True)
    return judge_hardware(readers.read(), readers.troubles)


def judge_hardware(sample: HardwareSample, troubles: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """What of the hardware's state slows the work; what could not be read is not judged. `troubles` are the
    readers' that gave nothing: of them torch's is told, on a Mac."""
    apple = (sample.chip_type or "").startswith("Apple")
    if sample.rosetta is not None:
        yield _judge(
            not sample.rosetta,
            "architecture",
            "this Python is x86 code translated by Rosetta: slower, and without the Apple GPU"
            if sample.rosetta
            else "this Python is native",
            "Install a Python for arm64, then set the project's environment up again with it.",
            Level.WARNING,
        )
    if (apple or sample.rosetta) and sample.mps_available is not None:
        yield _judge(
            sample.mps_available,
            "mps",
            "torch can use the Apple GPU"
            if sample.mps_available
            else "torch cannot use the GPU that this chip has",
            "Use a Python for arm64 first (see above)."
            if sample.rosetta
            else "Install torch's build for arm64 on macOS 12.3 or newer; a virtual machine may have no GPU.",
            Level.WARNING,
        )
    elif (apple or sample.rosetta) and Mps.name in (troubles or {}):
        yield Finding(
            Level.WARNING,
            "mps",
            f"torch could not say whether it can use the Apple GPU: {(troubles or {})[Mps.name]}",
            "Use a Python for arm64 first (see above), with torch in its environment."
            if sample.rosetta
            else "Install torch into this Python's environment, or repair it, if you train with it.",
        )
    if sample.power_mode is not None:
        yield _judge(
            sample.power_mode != "low",
            "power mode",
            sample.power_mode + (": everything runs slower" if sample.power_mode == "low" else ""),
            "Turn Low Power Mode off in System Settings, Battery.",
            Level.WARNING,
        )
    if sample.swap_used_bytes is not None:
        swap = sample.swap_used_bytes / _GB
        yield _judge(
            swap <= _MOST_SWAP_GB,
            "swap",
            f"{swap:.1f} GB in use"
            + (": memory was short, and training slows where it is" * (swap > _MOST_SWAP_GB)),
            "Close other programs, or train with smaller batches; a restart empties it.",
            Level.WARNING,
        )
    if sample.thermal_state is not None:
        hot = sample.thermal_state in (ThermalState.SERIOUS, ThermalState.CRITICAL)
        yield _judge(
            not hot,
            "thermal state",
            sample.thermal_state + (": the chip is throttled" if hot else ""),
            "Let the machine cool down before you measure or train.",
            Level.WARNING,
        )


def _home(installation: Installation) -> Iterator[Finding]:
    if not installation.is_prepared:
        yield Finding(
            Level.WARNING,
            "home",
            f"{installation.root} is not set up",
            "Run `efficientai-toolkit mlops:start`.",
        )
        return
    yield Finding(Level.OK, "home", str(installation.root))
    open_files = [
        path.name for path in installation.secrets_dir.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    yield _judge(
        not open_files,
        "secrets",
        "readable by their owner alone" if not open_files else f"others may read {', '.join(open_files)}",
        f"Run `chmod 600 {installation.secrets_dir}/*`, then change those secrets.",
    )


def _database(installation: Installation) -> Iterator[Finding]:
    if installation.config.database_url is not None or not installation.is_prepared:
        return
    try:
        postgres.examine(installation)
    except MLOpsError as error:
        yield Finding(Level.ERROR, "postgres", error.message, error.remedy)
    else:
        yield Finding(Level.OK, "postgres", "its data directory is whole, and its binaries can run here")


def _services(installation: Installation) -> Iterator[Finding]:
    if supervisor_pid(installation) is None:
        lost = installation.run_dir / "status.json"
        detail = "the supervisor was killed" if lost.exists() else "not running"
        yield Finding(Level.WARNING, "services", detail, "Run `efficientai-toolkit mlops:start`.")
        return
    for status in read_status(installation):
        good = status.state in (ServiceState.HEALTHY, ServiceState.EXTERNAL)
        yield _judge(
            good,
            status.name,
            f"{status.state}" + (f": {status.detail}" if status.detail else ""),
            f"Read `efficientai-toolkit mlops:logs {status.name}`.",
        )


def _sockets(installation: Installation) -> Iterator[Finding]:
    outside = [found for found in listeners(installation) if not found.is_loopback]
    for service in sorted({found.service for found in outside}):
        mine = [found for found in outside if found.service == service]
        names = ", ".join(sorted({f"{found.process}:{found.port}" for found in mine}))
        ports = ",".join(str(port) for port in sorted({found.port for found in mine}))
        if service == "ray":
            yield Finding(
                Level.WARNING,
                "ray's sockets",
                f"Ray binds these on every interface, and asks each caller for its token: {names}",
                f"Fence them with the machine's firewall: block inbound TCP {ports} except from loopback"
                " (docs/security.md has the rules for nftables and pf).",
            )
        else:
            yield Finding(
                Level.ERROR,
                f"{service}'s sockets",
                f"it listens beyond loopback: {names}",
                "Stop it and report this: nothing but Ray may.",
            )
    if not outside:
        yield Finding(Level.OK, "sockets", "nothing listens beyond loopback")


def _tool(name: str) -> bool:
    beside = Path(sys.executable).with_name(name)
    return shutil.which(name) is not None or beside.exists()


def _judge(good: bool, subject: str, detail: str, remedy: str, otherwise: Level = Level.ERROR) -> Finding:
    return Finding(Level.OK, subject, detail) if good else Finding(otherwise, subject, detail, remedy)
