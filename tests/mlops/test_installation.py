"""MLOPS_HOME: folders, secrets, ports and addresses, also when two processes come at once."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops import installation as installation_module
from mlops.config import MLOpsConfig
from mlops.errors import ConfigError, PortTaken
from mlops.installation import LOOPBACK, SECRETS, Installation, write_private


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def installation(home: Path) -> Installation:
    made = Installation(MLOpsConfig(home=home))
    made.prepare()
    return made


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


# -- set-up -------------------------------------------------------------------------------------


def test_making_the_object_touches_nothing(home: Path) -> None:
    assert not Installation(MLOpsConfig(home=home)).is_prepared
    assert not home.exists()


def test_prepare_is_repeatable_and_keeps_secrets(installation: Installation) -> None:
    before = contents(installation.secrets_dir)
    assert set(before) == set(SECRETS)
    assert len(set(before.values())) == len(SECRETS)
    installation.prepare()
    assert contents(installation.secrets_dir) == before
    assert installation.is_prepared


def test_folders_and_files_are_their_owners_alone(home: Path) -> None:
    old = os.umask(0)
    try:
        installation = Installation(MLOpsConfig(home=home))
        installation.prepare()
        installation.choose_ports(["gateway"])
    finally:
        os.umask(old)
    for path in (home, *home.rglob("*")):
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


def test_home_that_others_could_enter_is_closed(home: Path) -> None:
    home.mkdir(mode=0o755)
    Installation(MLOpsConfig(home=home)).prepare()
    assert mode(home) == 0o700


def test_home_has_one_spelling(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    plain = Installation(MLOpsConfig(home=tmp_path / "home")).root
    for spelling in (tmp_path / "other" / ".." / "home", tmp_path / "link" / "home"):
        assert Installation(MLOpsConfig(home=spelling)).root == plain


def test_home_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="not ours") as caught:
        Installation(MLOpsConfig(home=tmp_path)).prepare()
    assert "MLOPS_HOME" in caught.value.remedy
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_missing_secret_of_a_project_says_to_register(installation: Installation) -> None:
    with pytest.raises(ConfigError) as caught:
        installation.secret("project.drilling.token")
    assert "mlops:register" in caught.value.remedy


def test_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigError, match="MLOPS_HOME=") as caught:
        Installation(MLOpsConfig(home=tmp_path / "home")).prepare()
    assert caught.value.setting == "MLOPS_HOME"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ConfigError, match="Permission denied"):
            Installation(MLOpsConfig(home=tmp_path / "home")).prepare()
    finally:
        tmp_path.chmod(0o700)


def test_two_processes_preparing_at_once_agree_on_secrets(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mlops.config import MLOpsConfig;"
        "from mlops.installation import Installation, SECRETS;"
        "here = Installation(MLOpsConfig(home=Path(sys.argv[1])));"
        "print('ready', flush=True); sys.stdin.readline(); here.prepare();"
        "print(*[here.make_secret(n) for n in (*SECRETS, *(f'project.p{i}.token' for i in range(40)))])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    first, second = (process.communicate(timeout=30)[0].split() for process in processes)
    assert len(first) == len(SECRETS) + 40
    assert first == second


def test_threads_making_one_secret_at_once_agree(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(4)
    token = installation_module.secrets.token_urlsafe

    def late(count: int) -> str:  # every thread has seen that there is none
        together.wait(5)
        return token(count)

    monkeypatch.setattr(installation_module.secrets, "token_urlsafe", late)
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(installation.make_secret("project.a.token")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert set(made) == {installation.secret("project.a.token")}


# -- secrets ------------------------------------------------------------------------------------


def test_secret_before_set_up_says_to_set_up(home: Path) -> None:
    with pytest.raises(ConfigError, match="no secret 'admin_token'") as caught:
        Installation(MLOpsConfig(home=home)).secret("admin_token")
    assert "mlops:setup" in caught.value.remedy


def test_empty_secret_is_refused(installation: Installation) -> None:
    installation.secret_file("replica_secret").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        installation.secret("replica_secret")
    with pytest.raises(ConfigError, match="is empty"):
        installation.prepare()


def test_secrets_of_projects_are_apart(installation: Installation) -> None:
    names = {installation.project_secret_name(p, k) for p in ("a", "b") for k in ("token", "mlflow")}
    assert len({installation.make_secret(name) for name in names}) == 4


# -- writing ------------------------------------------------------------------------------------


def test_write_private_replaces_at_once_and_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_write_private_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "new" * 100_000 + "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_private_is_never_seen_half_written(tmp_path: Path) -> None:
    path, texts = tmp_path / "file", ["a" * 100_000, "b" * 100_000]
    write_private(path, texts[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(60):
            write_private(path, texts[turn % 2], durable=False)

    writers = [threading.Thread(target=write) for _ in range(2)]
    watcher = threading.Thread(target=lambda: [w.join() for w in writers] and done.set())
    for thread in (*writers, watcher):
        thread.start()
    seen = set()
    while not done.is_set():
        seen.add(path.read_text())
    watcher.join()
    assert seen <= set(texts)
    assert list(tmp_path.iterdir()) == [path]


def test_write_private_can_keep_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, "first", replace=False)
    write_private(path, "second", replace=False)
    assert (path.read_text(), mode(path)) == ("first", 0o600)
    assert list(tmp_path.iterdir()) == [path]


# -- the short folder ---------------------------------------------------------------------------


def test_short_dir_is_kept_and_is_short_and_private(installation: Installation) -> None:
    made = installation.short_dir()
    try:
        assert installation.short_dir() == made
        assert len(str(made)) < 40
        assert mode(made) == 0o700
    finally:
        made.rmdir()


def test_short_dir_is_made_again_when_lost(installation: Installation) -> None:
    lost = installation.short_dir()
    lost.rmdir()
    made = installation.short_dir()
    try:
        assert made.is_dir()
        assert installation.short_dir() == made
    finally:
        made.rmdir()


@pytest.mark.parametrize("record", ["", ".", "/", "relative/mlops-x"])
def test_damaged_record_of_the_short_dir_names_no_folder_of_others(
    installation: Installation, record: str
) -> None:
    (installation.run_dir / "short_dir").write_text(record)
    made = installation.short_dir()
    try:
        assert made.name.startswith("mlops-")
        assert made.is_absolute()
    finally:
        made.rmdir()


def test_short_dir_that_became_a_link_is_not_followed(installation: Installation, tmp_path: Path) -> None:
    lost = installation.short_dir()
    lost.rmdir()
    lost.symlink_to(tmp_path)
    made = installation.short_dir()
    try:
        assert made != lost
    finally:
        made.rmdir()
        lost.unlink()


# -- ports --------------------------------------------------------------------------------------


def test_ports_are_recorded_and_kept(installation: Installation) -> None:
    chosen = installation.choose_ports(["gateway", "mlflow", "postgres"])
    assert len(set(chosen.values())) == 3
    assert all(20100 <= port < 29900 for port in chosen.values())
    assert installation.ports() == chosen
    assert installation.choose_ports(["gateway", "mlflow", "postgres"]) == chosen
    another = installation.choose_ports(["another"])
    assert installation.ports() == chosen | another
    assert installation.gateway_url == f"http://127.0.0.1:{chosen['gateway']}"


def test_recorded_port_that_was_taken_is_replaced(installation: Installation, taken_port: int) -> None:
    before = installation.choose_ports(["gateway", "mlflow"])
    write_private(installation.root / "ports.json", json.dumps({**before, "gateway": taken_port}))
    after = installation.choose_ports(["gateway", "mlflow"])
    assert after["gateway"] != taken_port
    assert after["mlflow"] == before["mlflow"]


def test_set_port_is_taken_as_it_is(home: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
    installation = Installation(MLOpsConfig(home=home, mlflow_port=port))
    installation.prepare()
    assert installation.choose_ports(["mlflow"]) == {"mlflow": port}


def test_set_port_that_is_taken_is_an_error(home: Path, taken_port: int) -> None:
    installation = Installation(MLOpsConfig(home=home, gateway_port=taken_port))
    installation.prepare()
    with pytest.raises(PortTaken, match="MLOPS_GATEWAY_PORT") as caught:
        installation.choose_ports(["postgres", "gateway"])
    assert (caught.value.service, caught.value.port) == ("gateway", taken_port)
    assert installation.ports() == {}


def test_set_port_goes_before_anothers_recorded_one(installation: Installation, home: Path) -> None:
    port = installation.choose_ports(["postgres", "gateway"])["postgres"]
    chosen = Installation(MLOpsConfig(home=home, gateway_port=port)).choose_ports(["postgres", "gateway"])
    assert chosen["gateway"] == port
    assert chosen["postgres"] != port


def test_two_settings_cannot_demand_one_port(home: Path) -> None:
    installation = Installation(MLOpsConfig(home=home, gateway_port=29950, mlflow_port=29950))
    installation.prepare()
    with pytest.raises(ConfigError, match="MLOPS_MLFLOW_PORT=29950 is also MLOPS_GATEWAY_PORT"):
        installation.choose_ports(["gateway", "mlflow"])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"x"', '{"gateway": null}', '{"gateway": "x"}', '{"gateway": 99999}', "\xff"]
)
def test_damaged_record_of_ports_is_told(installation: Installation, text: str) -> None:
    (installation.root / "ports.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="is damaged") as caught:
        installation.choose_ports(["gateway"])
    assert "Delete it" in caught.value.remedy


def test_addresses_before_the_first_start_say_to_start(installation: Installation) -> None:
    asks = [
        lambda: installation.gateway_url,
        lambda: installation.mlflow_url,
        lambda: installation.ray_address,
        lambda: installation.database_url(),
    ]
    for ask in asks:
        with pytest.raises(ConfigError, match="no port of") as caught:
            ask()
        assert "mlops:start" in caught.value.remedy


# -- addresses ----------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1))
def test_database_url_holds_any_password_whole(installation: Installation, password: str) -> None:
    installation.secret_file("postgres_password").write_text(password, encoding="utf-8", newline="")
    installation.choose_ports(["postgres"])
    kept = installation.secret_file("postgres_password").read_text(encoding="utf-8").strip()
    if not kept:
        return
    parts = urlsplit(installation.database_url("mlflow"))
    assert (parts.hostname, parts.path) == ("127.0.0.1", "/mlflow")
    assert parts.port == installation.ports()["postgres"]
    assert unquote(parts.password or "") == kept


def test_database_elsewhere_keeps_account_host_and_options(home: Path) -> None:
    given_url = "postgres://us%40er:p%2Fw@db.example:5433/mlops?sslmode=require"
    installation = Installation(MLOpsConfig(home=home, database_url=given_url))
    assert (
        installation.database_url("mlflow")
        == "postgresql://us%40er:p%2Fw@db.example:5433/mlflow?sslmode=require"
    )


def test_mlflow_elsewhere_needs_its_administrator(home: Path) -> None:
    config = {"home": home, "mlflow_uri": "http://mlflow.example:5000/"}
    assert Installation(MLOpsConfig(**config)).mlflow_url == "http://mlflow.example:5000"
    with pytest.raises(ConfigError, match="without MLOPS_MLFLOW_PASSWORD"):
        Installation(MLOpsConfig(**config)).mlflow_admin()
    known = Installation(MLOpsConfig(**config, mlflow_username="root", mlflow_password="pw"))
    assert known.mlflow_admin() == ("root", "pw")


def test_embedded_mlflow_and_ray_use_generated_secrets(installation: Installation) -> None:
    assert installation.mlflow_admin() == ("admin", installation.secret("mlflow_admin_password"))
    assert installation.ray_token() == installation.secret("ray_token")


def test_ray_elsewhere_never_gets_our_token(home: Path) -> None:
    config = {"home": home, "ray_address": "ray.example:6379"}
    bare = Installation(MLOpsConfig(**config))
    bare.prepare()
    assert (bare.ray_address, bare.ray_token()) == ("ray.example:6379", "")
    assert Installation(MLOpsConfig(**config, ray_token="theirs")).ray_token() == "theirs"


# -- data ---------------------------------------------------------------------------------------


def test_each_project_has_a_path_of_its_own_below_the_data_remote(tmp_path: Path) -> None:
    here = Installation(MLOpsConfig(home=tmp_path))
    assert here.data_remote("drilling") == str(tmp_path / "remotes" / "drilling")
    there = Installation(MLOpsConfig(home=tmp_path, data_remote="s3://bucket/mlops"))
    assert there.data_remote("drilling") == "s3://bucket/mlops/drilling"
