"""Whose work this is: the project and the request that a line belongs to, without handing them around."""

from __future__ import annotations

from contextvars import ContextVar

PROJECT: ContextVar[str] = ContextVar("project", default="")
"""The project that this task or thread works for; "" where it is the platform itself."""
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is answered; "" outside one."""
