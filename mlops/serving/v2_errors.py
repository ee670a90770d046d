"""Errors of the Open Inference Protocol, for processes that handle no tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def error_body(error: Mapping[str, Any]) -> dict[str, str]:
    """An error (`message`, and perhaps `remedy`) as the protocol has it: one text."""
    text = f"{error['message']} → {error['remedy']}" if error.get("remedy") else error["message"]
    return {"error": text}
