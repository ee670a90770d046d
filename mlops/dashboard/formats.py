"""How numbers and times are written."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

_THIN_SPACE = "\u2009"


def number(value: float) -> str:
    """Four significant digits, thin spaces for thousands; very large and small ones by exponent."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "NaN")
    size = abs(value)
    if size and not 1e-4 <= size < 1e7:
        text = f"{value:.3e}"
    elif size >= 1000 or float(value).is_integer():
        text = f"{value:,.0f}".replace(",", _THIN_SPACE)
    else:
        text = f"{value:.4g}"
    return text.replace("-", "−")


def ago(then: datetime, now: datetime) -> str:
    """How long ago, in one unit."""
    seconds = (now - then).total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now" if seconds < 5 else f"{int(seconds)} s ago"


def duration(seconds: float) -> str:
    """As 1 h 03 min, 4 min 10 s or 7 s."""
    whole = max(0, round(seconds))
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def exact(moment: datetime) -> str:
    """To the second, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def commands(text: str) -> Markup:
    """Escaped, with what stands in backticks set as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before
