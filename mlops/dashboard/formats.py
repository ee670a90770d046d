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


def rate(per_second: float) -> str:
    """Two significant digits a second, or a minute where it is rare."""
    if not per_second or per_second >= 0.1:
        return f"{number(float(f'{per_second:.2g}'))}/s"
    return f"{number(float(f'{60 * per_second:.2g}'))}/min"


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


def percent(share: float, digits: int = 1) -> str:
    """A share of 0 to 1 in percent, without digits that say nothing: `100`, `99.7`; never 100 for less."""
    text = f"{100 * share:.{digits}f}"
    if share < 1 and float(text) >= 100:
        text = f"{100 - 10**-digits:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def size(count: float) -> str:
    """Bytes as 640 kB, 1.2 GB."""
    for unit, step in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.3g} {unit}" if count < 1000 * step else f"{count / step:.0f} {unit}"
    return f"{count:.0f} B"


def latency(seconds: float) -> str:
    """As 7.5 ms or 1.2 s."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def energy(joules: float) -> str:
    """As 820 J, 41 Wh or 1.2 kWh."""
    hours = joules / 3600
    if hours < 1:
        return f"{joules:.3g} J"
    return f"{hours:.3g} Wh" if hours < 1000 else f"{hours / 1000:.3g} kWh"
