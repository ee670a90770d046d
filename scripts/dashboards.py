"""Write docker/grafana/dashboards/*.json from dashboards.yml beside them: `python scripts/dashboards.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[1] / "docker" / "grafana"

_SCHEMA = 41  # of Grafana 12
_COLUMNS, _HEIGHT, _LOW = 24, 8, 4
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_UP = {
    "type": "value",
    "options": {"0": {"text": "down", "color": "red"}, "1": {"text": "up", "color": "green"}},
}


def files() -> dict[Path, str]:
    """Each file's path and what is to be in it."""
    stated = yaml.safe_load((FOLDER / "dashboards.yml").read_text())
    return {
        FOLDER / "dashboards" / f"{each['file']}.json": json.dumps(_dashboard(each), indent=1) + "\n"
        for each in stated
    }


def _dashboard(stated: Mapping[str, Any]) -> dict[str, Any]:
    variables = stated.get("variables", {})
    return {
        "uid": f"mlops-{stated['file']}",
        "title": stated["title"],
        "description": stated["text"],
        "tags": ["mlops"],
        "schemaVersion": _SCHEMA,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "graphTooltip": 1,
        "links": [
            {"title": "MLOps", "type": "dashboards", "tags": ["mlops"], "asDropdown": True, "keepTime": True}
        ],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                *(_variable(name, query) for name, query in variables.items()),
            ]
        },
        "panels": list(_panels(stated["rows"])),
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # whenever the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panels(rows: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in rows:
        low = all(panel.get("kind") in ("stat", "gauge") for panel in row)
        width, height = _COLUMNS // len(row), _LOW if low else _HEIGHT
        for place, panel in enumerate(row):
            number += 1
            at = {"x": place * width, "y": top, "w": width, "h": height}
            yield {"id": number, "gridPos": at, **_panel(panel)}
        top += height


def _panel(stated: Mapping[str, Any]) -> dict[str, Any]:
    kind = stated.get("kind", "timeseries")
    return {
        "type": kind,
        "title": stated["title"],
        "description": stated.get("text", ""),
        "datasource": _SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "instant": kind != "timeseries",
                "range": kind == "timeseries",
            }
            for place, (legend, expression) in enumerate(stated["queries"].items())
        ],
        "fieldConfig": {"defaults": _look(stated, kind), "overrides": []},
        "options": _options(kind),
    }


def _look(stated: Mapping[str, Any], kind: str) -> dict[str, Any]:
    colors = stated.get("colors", {})
    is_up = stated.get("up", False)
    steps = [{"value": None, "color": "green"}, *({"value": at, "color": of} for at, of in colors.items())]
    found: dict[str, Any] = {
        "unit": "bool_on_off" if is_up else stated["unit"],
        "min": 0,
        "color": {"mode": "palette-classic" if kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [_UP] if is_up else [],
    }
    if "most" in stated:
        found["max"] = stated["most"]
    if kind == "timeseries":
        stacked = stated.get("stacked", False)
        found["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "showPoints": "never",
            "fillOpacity": 30 if stacked else 10,
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if colors else "off"},
        }
    return found


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        return {
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    shown = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    if kind == "stat":
        return {**shown, "textMode": "value_and_name", "colorMode": "value", "graphMode": "none"}
    return {**shown, "orientation": "horizontal"} if kind == "bargauge" else shown


def main() -> None:
    """Write every file."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
