"""What Apple's M-series chips can do: the figures that no chip tells of itself.

A figure stands here only where its source can be named; Apple's own were read where the press quotes them.
For the M3 and later no FP32 throughput stands: Apple tells none, and what others compute from assumed clocks
differs by a fifth (M4: 3.8 or 4.6). Nor does the M6's bandwidth, which depends on the memory (153 GB/s with
16 GB, 170 with more).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip's figures; None is what is not known for sure. Bandwidth is the memory's."""

    name: str
    """As the system names it: `Apple M4 Max`."""
    gpu_cores: int | None = None
    bandwidth_gb_s: float | None = None
    """10^9 bytes a second, as Apple states it."""
    fp32_tflops: float | None = None
    """Peak of the GPU, in 10^12 operations a second."""
    ane_cores: int | None = None
    ane_tops: float | None = None
    """Peak of the Neural Engine, in 10^12 operations a second; Apple does not say of which kind."""
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Figure -> where it was told, and of which GPU where it differs between bins."""


def chip(name: str, gpu_cores: int | None = None) -> Chip | None:
    """The chip of that name (macOS' `machdep.cpu.brand_string`); None when Apple did not make it.

    Without `gpu_cores` the figures are those of the bin with the most of them, and its sources say so. With
    `gpu_cores` they are those of that bin: throughput only of the largest, bandwidth where it is known of
    that bin; nothing is scaled. An Apple chip that is not in the table has its name and no figure.

    Raises `InvalidInput` for fewer GPU cores than one.
    """
    if gpu_cores is not None and gpu_cores < 1:
        raise InvalidInput("gpu_cores", gpu_cores, "is less than one", remedy="Leave it out when unknown.")
    name = name.strip()
    if not re.match(r"Apple\b", name):
        return None
    row = _TABLE.get(name.removeprefix("Apple "))
    if row is None:
        told = {} if gpu_cores is None else {"gpu_cores": _MACHINE}
        return Chip(name, gpu_cores=gpu_cores, sources=told)
    top = max(row.bandwidth)
    figures = {
        "gpu_cores": gpu_cores or top,
        "bandwidth_gb_s": row.bandwidth.get(gpu_cores or top),
        "fp32_tflops": row.fp32_tflops if gpu_cores in (None, top) else None,
        "ane_cores": row.ane_cores,
        "ane_tops": row.ane_tops,
    }
    told = {figure: row.source(figure) for figure, value in figures.items() if value is not None}
    if gpu_cores is not None:
        told["gpu_cores"] = _MACHINE
    else:
        differing = ["fp32_tflops", *(["bandwidth_gb_s"] if len(set(row.bandwidth.values())) > 1 else [])]
        told |= {figure: f"{told[figure]} ({top}-core GPU)" for figure in differing if figure in told}
    return Chip(name, **figures, sources=told)  # type: ignore[arg-type]  # each of its own type


@dataclass(frozen=True, slots=True)
class _Row:
    """One chip, with its bandwidth for each number of GPU cores it is sold with."""

    told: str
    """Where all was told that is not in `otherwise`."""
    bandwidth: Mapping[int, float | None]
    fp32_tflops: float | None = None
    ane_cores: int | None = None
    ane_tops: float | None = None
    otherwise: Mapping[str, str] = field(default_factory=dict)

    def source(self, figure: str) -> str:
        return self.otherwise.get(figure, self.told)


_MACHINE = "the machine itself"
_M1 = "Apple newsroom, 2020-11-10"
_M1_PRO = "Apple newsroom, 2021-10-18"
_M1_ULTRA = "Apple newsroom, 2022-03-08"
_M2 = "Apple newsroom, 2022-06-06"
_M2_PRO = "Apple newsroom, 2023-01-17"
_M2_ULTRA = "Apple newsroom, 2023-06-05"
_M3 = "Apple newsroom, 2023-10-30"
_M3_ULTRA = "Apple newsroom, 2025-03-05"
_M4 = "Apple newsroom, 2024-05-07"
_M4_PRO = "Apple newsroom, 2024-10-30"
_M5 = "Apple newsroom, 2025-10-15"
_M5_PRO = "Apple newsroom, 2026-03-03"
_M6 = "Apple newsroom, 2026-08-25"
_EVENT_2021 = {"fp32_tflops": "Apple event, 2021-10-18"}
_HUGGING_FACE = {"fp32_tflops": "Hugging Face, list of hardware"}
_MACBOOK_PRO_2023 = {"bandwidth_gb_s": "Apple, MacBook Pro 2023 tech specs (MacRumors, 2023-10-31)"}
_STUDIO_2025 = {"bandwidth_gb_s": "Apple, Mac Studio 2025 tech specs"}
_STUDIO_2026 = {"bandwidth_gb_s": "Apple, Mac Studio 2026 tech specs"}

_TABLE: Mapping[str, _Row] = {
    "M1": _Row(
        *(_M1, {7: 68, 8: 68}, 2.6, 16, 11),
        # Not in Apple's announcement: LPDDR4X-4266 over 128 bits is 68.25.
        otherwise={"bandwidth_gb_s": "Android Authority, M1 and M2 compared (68.25)"},
    ),
    "M1 Pro": _Row(_M1_PRO, {14: 200, 16: 200}, 5.2, 16, otherwise=_EVENT_2021),
    "M1 Max": _Row(_M1_PRO, {24: 400, 32: 400}, 10.4, 16, otherwise=_EVENT_2021),
    "M1 Ultra": _Row(_M1_ULTRA, {48: 800, 64: 800}, None, 32, 22),
    "M2": _Row(
        *(_M2, {8: 100, 10: 100}, 3.55, 16, 15.8),
        otherwise={"fp32_tflops": "MacRumors, list of Apple silicon Mac chips"},
    ),
    "M2 Pro": _Row(_M2_PRO, {16: 200, 19: 200}, 6.8, 16, 15.8, _HUGGING_FACE),
    "M2 Max": _Row(_M2_PRO, {30: 400, 38: 400}, 13.5, 16, 15.8, _HUGGING_FACE),
    "M2 Ultra": _Row(
        *(_M2_ULTRA, {60: 800, 76: 800}, 27.2, 32, 31.6),
        otherwise={"fp32_tflops": "Apple, Mac Pro 2023 product page"},
    ),
    "M3": _Row(
        *(_M3, {8: 100, 10: 100}, None, 16, 18),
        otherwise={"ane_tops": "Apple (MacRumors, 2023-10-31)"} | _MACBOOK_PRO_2023,
    ),
    "M3 Pro": _Row(_M3, {14: 150, 18: 150}, None, 16, otherwise=_MACBOOK_PRO_2023),
    "M3 Max": _Row(_M3, {30: 300, 40: 400}, None, 16, otherwise=_MACBOOK_PRO_2023),
    "M3 Ultra": _Row(_M3_ULTRA, {60: 819, 80: 819}, None, 32, otherwise=_STUDIO_2025),
    "M4": _Row(_M4, {8: 120, 10: 120}, None, 16, 38),
    "M4 Pro": _Row(_M4_PRO, {16: 273, 20: 273}, None, 16),
    "M4 Max": _Row(_M4_PRO, {32: 410, 40: 546}, None, 16, otherwise=_STUDIO_2025),
    "M5": _Row(_M5, {8: 153, 10: 153}, None, 16),
    "M5 Pro": _Row(_M5_PRO, {16: 307, 20: 307}, None, 16),
    "M5 Max": _Row(_M5_PRO, {32: 460, 40: 614}, None, 16, otherwise=_STUDIO_2026),
    "M5 Ultra": _Row(_M6, {64: 1200, 80: 1200}, otherwise=_STUDIO_2026),
    "M6": _Row(_M6, {12: None}),
}
