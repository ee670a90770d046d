"""mlops:setup, stop and restart where nothing runs; the whole of them is tried on the stack."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mlops.cli import stack
from mlops.entities import ServiceState, ServiceStatus
from mlops.installation import Installation


def test_setup_makes_home_and_is_repeatable(invoke, home: Path) -> None:
    first = invoke("mlops:setup", "--json")
    assert (first.code, first.json) == (0, {"home": str(home)})
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert (home / "postgres" / "PG_VERSION").is_file()
    secret = (home / "secrets" / "admin_token").read_text()
    assert "Next: efficientai-toolkit mlops:start" in invoke("mlops:setup").out
    assert (home / "secrets" / "admin_token").read_text() == secret


def test_setup_in_a_place_that_is_a_file_is_told(invoke, home: Path) -> None:
    home.write_text("")
    result = invoke("mlops:setup")
    assert result.code == 3
    assert "MLOPS_HOME" in result.err


def test_start_over_a_half_made_database_explains_it(invoke, installation: Installation) -> None:
    (installation.postgres_dir / "base").mkdir(parents=True)
    result = invoke("mlops:start", "--json")
    assert result.code == 7
    assert result.json["error"]["type"] == "DataDirectoryBroken"
    assert "mv " in result.json["error"]["remedy"]


@pytest.mark.parametrize("prepared", [True, False])
def test_stop_of_nothing_says_so(invoke, home: Path, prepared: bool, request) -> None:
    if prepared:
        request.getfixturevalue("installation")
    result = invoke("mlops:stop")
    assert (result.code, result.out) == (0, "Nothing was running.\n")
    assert invoke("mlops:stop", "--json").json == {"stopped": False}
    assert home.exists() is prepared


def test_restart_of_an_unknown_service_names_those_there_are(invoke, installation: Installation) -> None:
    result = invoke("mlops:restart", "nope")
    assert result.code == 3
    assert "postgres, mlflow, ray, worker, gateway" in result.err


def test_restart_of_a_service_that_does_not_run_exits_with_7(invoke, installation: Installation) -> None:
    assert invoke("mlops:restart", "mlflow").code == 7


def seen(**states: ServiceState) -> list[ServiceStatus]:
    return [ServiceStatus(name, state) for name, state in states.items()]


def test_progress_off_a_terminal_is_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    show = stack.progress()
    show(seen(ray=ServiceState.STOPPED))
    for _ in range(3):
        show(seen(ray=ServiceState.STARTING))
    show(seen(ray=ServiceState.HEALTHY))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["  ray: starting", "  ray: healthy"]


def test_progress_on_a_terminal_is_a_bar_that_ends_its_line_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    show = stack.progress()
    show(seen(ray=ServiceState.STARTING, mlflow=ServiceState.EXTERNAL))
    show(seen(ray=ServiceState.HEALTHY, mlflow=ServiceState.EXTERNAL))
    show(seen(ray=ServiceState.HEALTHY, mlflow=ServiceState.EXTERNAL))
    out, err = capsys.readouterr()
    assert out == ""
    assert "1/2 services, waiting for ray" in err
    assert "2/2 services" in err
    assert err.count("\n") == 1
