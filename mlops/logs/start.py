"""How a process of ours begins to log."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mlops.logs.files import LogFileHandler, is_same_file
from mlops.logs.formatter import JsonLines
from mlops.logs.redaction import Redactor

_STDERR = 2
_CHATTY = ("alembic", "httpx", "httpcore", "uvicorn.access")
"""They have a line for each migration looked at, or for each request: from warnings on they are heard."""

log = logging.getLogger("mlops")


def start_logging(service: str, folder: Path, redactor: Redactor) -> None:
    """Let all that this process logs, from INFO on, be JSON lines of `service`: in
    `<folder>/<service>.log` where that is its standard error (as the supervisor starts it), else on its
    standard error. What ends it or one of its threads is logged, too."""
    path = folder / f"{service}.log"
    handler = LogFileHandler(path) if is_same_file(_STDERR, path) else logging.StreamHandler()
    handler.setFormatter(JsonLines(service, redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _ended_by
    threading.excepthook = _thread_ended_by


def start_replica_logging(
    folder: Path, redactor: Redactor, *, project: str, fields: Mapping[str, Any]
) -> None:
    """Let what a model server's replica logs be JSON lines in `<folder>/replicas.log`, which all replicas
    share: from INFO on what is ours, from WARNING on what is the project's. Nothing where the folder is
    not there."""
    root = logging.getLogger()
    if not folder.is_dir() or any(isinstance(handler, LogFileHandler) for handler in root.handlers):
        return
    handler = LogFileHandler(folder / "replicas.log", streams=())
    handler.setFormatter(JsonLines("replicas", redactor, project=project, fields=fields))
    root.addHandler(handler)
    log.setLevel(logging.INFO)


def _ended_by(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical(
        "the process ends: %s", error, exc_info=(kind, error, trace), extra={"event": "process.failed"}
    )


def _thread_ended_by(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is None or issubclass(failed.exc_type, SystemExit):
        return
    log.error(
        "a thread ends: %s", failed.exc_value,
        exc_info=(failed.exc_type, failed.exc_value, failed.exc_traceback), extra={"event": "thread.failed"},
    )  # fmt: skip
