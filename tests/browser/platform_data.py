"""What the pages of data, hardware, performance and pipelines show: as a few days of work would leave it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops.entities import DataCheck, DataVersion, RunStatus
from mlops.hardware.names import ENERGY
from mlops.store.indexed_runs import IndexedRun, MetricSummary
from mlops.store.store import Store

HASHES = [hashlib.md5(str(number).encode()).hexdigest() for number in range(6)]
MACHINES = (
    ("mac-studio", "Apple M4 Max", "macOS 26.1", "64"),
    ("build-2", "AMD EPYC 9354", "Debian GNU/Linux 12", "256"),
)


def versions() -> list[DataVersion]:
    rows = DataCheck("every log can be read", True, "412 of 412")
    gaps = DataCheck("no hole lacks its entry", False, "3 of 4 812 holes: 2041, 2042, 3307")
    code, remote = "9f3c1ab04d", "s3://drilling/data"
    return [
        DataVersion(
            "drilling", "data/raw", f"{HASHES[0]}.dir", 4_812_000_000, 412, code, False, remote, (rows,)
        ),
        DataVersion(
            "drilling", "data/raw", f"{HASHES[1]}.dir", 5_100_000_000, 438, code, False, remote, (rows, gaps)
        ),
        DataVersion(
            "drilling", "data/annotations", f"{HASHES[2]}.dir", 48_200, 31, code, False, remote, declared=True
        ),
        DataVersion("digits", "data/digits.npz", HASHES[3], 11_490_434, 1, None, False, "/remotes/digits"),
    ]


def add_runs(store: Store) -> None:
    """Measured runs on two machines, with the data they used."""
    known, now = versions(), datetime.now(UTC)
    for number in range(18):
        began = now - timedelta(hours=1.3 * number + 0.4)
        host, chip, system, memory = MACHINES[number % 3 == 2]
        is_mac = host == MACHINES[0][0]
        ended = None if number == 0 else began + timedelta(minutes=14 + 17 * (number % 5))
        status = (
            RunStatus.RUNNING if ended is None else RunStatus.FAILED if number == 7 else RunStatus.FINISHED
        )
        at = int((ended or now).timestamp() * 1000)
        last = {
            "system/cpu_utilization_percentage": (31 + number, 96),
            "system/system_memory_usage_percentage": (44 + number, 71 + number),
            "system/gpu_0_utilization_percentage": (88 - number, 99),
            **(
                {
                    "system/package_power_watts": (38.2, 61.4),
                    ENERGY: (41_000 + 9_000 * number,) * 2,
                    "system/memory_pressure_level": (1, 1 + (number == 4)),
                    "system/thermal_state": (0, number % 3),
                }
                if is_mac
                else {"system/gpu_0_power_usage_watts": (212, 348), ENERGY: (910_000,) * 2}
            ),
        }
        metrics = {
            key: MetricSummary(float(value), 0.0, float(most), time_ms=at)
            for key, (value, most) in last.items()
        }
        tags = {
            "hardware.host": host,
            "hardware.chip": chip,
            "hardware.os": system,
            "hardware.memory_gb": memory,
            **({} if is_mac else {"hardware.gpu": "NVIDIA L40S"}),
        }
        used = known[:1] if number > 9 else known[1:3]
        store.run_index.put(
            [
                IndexedRun(
                    f"{number:032x}",
                    "drilling",
                    f"patchtsmixer-{30 - number}",
                    "drilling",
                    status,
                    began,
                    ended,
                    tags=tags,
                    metrics=metrics,
                    data=tuple(used),
                )
            ]
        )
    store.data.put(known[3], now - timedelta(days=2))


def add_truths(store: Store) -> None:
    """Answers of the champion and a canary of drilling/depth over a day, with what turned out to be right."""
    now, rows, truths = datetime.now(UTC), [], []
    for number in range(400):
        hours = number * 24 / 400
        for version, side in ((3, "champion"), (4, "canary")):
            if side == "canary" and (hours > 9 or number % 3):
                continue
            request = f"{side}-{number}"
            right = (number * 7) % 10 > (3 if hours < 6 and side == "champion" else 0)
            off = 0.02 * ((number * 13) % 11) * (0.7 if side == "canary" else 1 + (hours < 6))
            told = {"rows": 1, "outputs": {"material": ["steel"], "depth": [12.0 + off]}}
            rows.append(
                {
                    "at": now - timedelta(hours=hours),
                    "project": "drilling",
                    "model": "depth",
                    "version": version,
                    "side": side,
                    "request_id": request,
                    "status": 200,
                    "latency_s": 0.004,
                    "features": json.dumps(told),
                }
            )
            truths += [
                {
                    "request_id": request,
                    "model": "",
                    "output": "material",
                    "truths": ["steel" if right else "alloy"],
                },
                {"request_id": request, "model": "", "output": "depth", "truths": [12.0]},
            ]
    store.inferences.add(rows)
    store.ground_truths.put("drilling", truths, "inspection")


STAGES = {
    "parsing": (["data/raw"], ["data/parsed"]),
    "labeling": (["data/parsed", "data/annotations"], ["data/labels"]),
    "splitting": (["data/parsed", "data/labels"], ["data/folds.json"]),
    "training": (["data/labels", "data/folds.json"], ["data/model"]),
    "evaluation": (["data/model"], ["reports/evaluation.json"]),
}


def add_pipeline(root: Path) -> None:
    """A dvc.yaml and a dvc.lock, of which one stage ran before its input was made anew and one never ran."""
    paths = {path for parts in STAGES.values() for each in parts for path in each}
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)

    def entry(path: str) -> dict[str, object]:
        content = (root / path).read_bytes()
        return {"path": path, "hash": "md5", "md5": hashlib.md5(content).hexdigest(), "size": len(content)}

    stages = {
        name: {"cmd": f"efficientai-toolkit drilling:{name}", "deps": deps, "outs": outs}
        for name, (deps, outs) in STAGES.items()
    }
    locked = {
        name: {"deps": [entry(path) for path in deps], "outs": [entry(path) for path in outs]}
        for name, (deps, outs) in STAGES.items()
        if name != "evaluation"
    }
    (root / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": locked}))
    (root / "data/folds.json").write_text("edited by hand")
