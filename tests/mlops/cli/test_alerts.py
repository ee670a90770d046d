"""mlops:alerts without services: what is refused, secrets and trying a channel."""

from __future__ import annotations

import io
import json
import stat
import sys
from pathlib import Path

import pytest

from mlops.config import MLOpsConfig
from mlops.installation import Installation


@pytest.fixture
def prepared(home: Path) -> Installation:
    made = Installation(MLOpsConfig(home=home))
    made.prepare()
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder we are in: a project with two channels."""
    folder = tmp_path / "alpha"
    folder.mkdir()
    (folder / "project.toml").write_text(
        '[project]\nname = "alpha"\n[alerts.channels.record]\nkind = "log"\n'
        '[alerts.channels.inside]\nkind = "webhook"\nurl = "http://localhost:8080/"\n'
    )
    monkeypatch.chdir(folder)
    return folder


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_without_a_verb_it_explains(invoke) -> None:
    result = invoke("mlops:alerts")
    assert result.code in (0, 2)
    for verb in ("list", "ack", "silence", "rules", "add", "remove", "test", "secret"):
        assert verb in result.out + result.err


@pytest.mark.parametrize("verb", ["list", "ack", "silence", "rules", "add", "remove", "test", "secret"])
def test_each_verb_has_an_example(invoke, verb: str) -> None:
    assert "Example: efficientai-toolkit mlops:alerts" in invoke("mlops:alerts", verb, "--help").out


def test_a_channel_is_tried(invoke, prepared: Installation, project: Path) -> None:
    result = invoke("mlops:alerts", "test", "record", "--json")
    assert (result.code, result.json["channel"]) == (0, "record")
    assert result.json["notice"].startswith("test-")


def test_a_channel_into_the_network_is_refused(invoke, prepared: Installation, project: Path) -> None:
    result = invoke("mlops:alerts", "test", "inside")
    assert result.code != 0
    assert "inside" in result.err


def test_an_unknown_channel_is_named_with_those_there_are(
    invoke, prepared: Installation, project: Path
) -> None:
    result = invoke("mlops:alerts", "test", "team")
    assert result.code == 3
    assert "no alert channel 'team'" in result.err
    assert "inside, log, record" in result.err


def test_a_platforms_channel_is_every_projects(
    invoke, prepared: Installation, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ALERT_CHANNELS", json.dumps({"shared": {"kind": "log"}}))
    assert invoke("mlops:alerts", "test", "shared").code == 0
    assert invoke("mlops:alerts", "test", "shared", "--platform").code == 0
    assert invoke("mlops:alerts", "test", "record", "--platform").code == 3


def test_a_secret_is_kept_for_its_owner_alone(
    invoke, prepared: Installation, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, "sesame\n")
    result = invoke("mlops:alerts", "secret", "mail")
    assert result.code == 0
    assert "sesame" not in result.out + result.err
    kept = prepared.secret_file(prepared.channel_secret_name("alpha", "mail"))
    assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == ("sesame", 0o600)
    pipe(monkeypatch, "another\n")
    assert invoke("mlops:alerts", "secret", "mail", "--platform").code == 0
    assert prepared.secret(prepared.channel_secret_name("", "mail")) == "another"


@pytest.mark.parametrize(("name", "typed"), [("mail", "\n"), ("mail", ""), ("../x", "a\n"), ("", "a\n")])
def test_a_secret_that_is_none_is_refused(
    invoke, prepared: Installation, project: Path, monkeypatch: pytest.MonkeyPatch, name: str, typed: str
) -> None:
    pipe(monkeypatch, typed)
    before = sorted(prepared.secrets_dir.iterdir())
    assert invoke("mlops:alerts", "secret", name).code == 3
    assert sorted(prepared.secrets_dir.iterdir()) == before


def test_a_channel_without_its_secret_says_how_to_set_it(
    invoke, prepared: Installation, project: Path
) -> None:
    with (project / "project.toml").open("a") as file:
        file.write('[alerts.channels.chat]\nkind = "webhook"\nurl_secret = "slack"\n')
    result = invoke("mlops:alerts", "test", "chat")
    assert result.code == 3
    assert "mlops:alerts secret slack --project alpha" in result.err
