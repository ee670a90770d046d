"""mlops:alerts: list, ack, silence; rules, add, remove; test, secret."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any
from urllib.parse import quote

import typer

from mlops.cli.context import admin_gateway, installation, project_name
from mlops.cli.output import Json, ProjectOption, emit, emit_table, say
from mlops.entities import Alert, AlertState, Severity
from mlops.errors import InvalidInput
from mlops.project import find_project

OfPlatform = Annotated[bool, typer.Option("--platform", help="Of the platform itself, instead of a project.")]
Name = Annotated[str, typer.Argument(help="The rule's name.")]

app = typer.Typer(
    help="What is wrong, who looks after it, and the rules that find it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_alerts(
    project: Annotated[str | None, typer.Option("--project", "-p", help="One project only.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Also those that are over.")] = False,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="How many.")] = 100,
    as_json: Json = False,
) -> None:
    """List what is wrong now, over all projects and the platform, newest first.

    Example: efficientai-toolkit mlops:alerts list

    Example: efficientai-toolkit mlops:alerts list --history --project drilling --json
    """
    found = admin_gateway().alerts(project, history=history, count=count)
    if as_json:
        emit(found, True, "")
        return
    rows = [
        {
            "NUMBER": alert.id,
            "SEVERITY": alert.severity.value,
            "STATE": alert.state.value,
            "LOOKED AFTER BY": alert.acknowledged_by,
            "PROJECT": alert.project,
            "RULE": alert.rule,
            "SINCE": alert.began_at,
            "WHAT": alert.message,
        }
        for alert in found
    ]
    emit_table(rows, False, "Nothing is wrong." if not history else "Nothing was wrong yet.")


@app.command()
def ack(
    number: Annotated[int, typer.Argument(min=1, help="Of the alert, as `list` has it.")],
    as_json: Json = False,
) -> None:
    """Say that you look after an alert: only its end is told any more.

    Example: efficientai-toolkit mlops:alerts ack 12
    """
    alert = admin_gateway().acknowledge(number)
    emit(alert, as_json, f"{alert.rule}: {alert.message}: acknowledged by {alert.acknowledged_by}.")


@app.command()
def silence(
    rule: Annotated[str, typer.Argument(help="The rule's name; each if not given.")] = "",
    subject: Annotated[str, typer.Option(help="The one model, service or run.")] = "",
    minutes: Annotated[float, typer.Option(help="For how long.")] = 60.0,
    project: ProjectOption = None,
    platform: OfPlatform = False,
    as_json: Json = False,
) -> None:
    """Tell nothing of it for a while, as in a planned maintenance. What is still wrong then is told.

    Example: efficientai-toolkit mlops:alerts silence error-rate --subject keypoints --minutes 30

    Example: efficientai-toolkit mlops:alerts silence --platform --minutes 120
    """
    made = admin_gateway().request(
        "POST", f"{_path(project, platform)}/silences", {"rule": rule, "subject": subject, "minutes": minutes}
    )
    emit(made, as_json, f"Nothing of {rule or 'any rule'} is told until {made['until']}.")


@app.command()
def rules(project: ProjectOption = None, platform: OfPlatform = False, as_json: Json = False) -> None:
    """List the rules that hold: the usual ones, those of project.toml, and those that were added.

    Example: efficientai-toolkit mlops:alerts rules --platform
    """
    found = admin_gateway().request("GET", f"{_path(project, platform)}/rules")
    if as_json:
        emit(found, True, "")
        return
    rows = [
        {
            "RULE": rule["name"],
            "KIND": rule["kind"],
            "SUBJECT": rule["subject"] or "each",
            "THRESHOLD": rule["threshold"],
            "WINDOW S": f"{rule['window_s']:g}",
            "FOR S": f"{rule['for_s']:g}",
            "SEVERITY": rule["severity"],
            "CHANNELS": ", ".join(rule["channels"]),
        }
        for rule in found
    ]
    emit_table(rows, False, "No rule holds.")


@app.command()
def add(
    name: Name,
    kind: Annotated[str, typer.Option(help="What it looks at, as error_rate or latency_p95.")],
    threshold: Annotated[float | None, typer.Option(help="From where on it is wrong.")] = None,
    subject: Annotated[str, typer.Option(help="The one model, service or run; each if not given.")] = "",
    severity: Annotated[str, typer.Option(help="info, warning or critical.")] = "warning",
    metric: Annotated[str, typer.Option(help="Of the kind performance: accuracy, f1, mae, rmse, …")] = "",
    window: Annotated[
        float | None,
        typer.Option(
            help="How many of the last seconds are judged; 300, of performance 7 days.", show_default=False
        ),
    ] = None,
    lasting: Annotated[
        float, typer.Option("--for", help="Seconds it must be wrong before it is told.")
    ] = 0.0,
    cooldown: Annotated[
        float, typer.Option(help="Seconds without a further alert after one is over.")
    ] = 600.0,
    channel: Annotated[list[str] | None, typer.Option(help="Where it is told; may be repeated.")] = None,
    project: ProjectOption = None,
    platform: OfPlatform = False,
    as_json: Json = False,
) -> None:
    """Judge by a further rule from now on.

    Example: efficientai-toolkit mlops:alerts add slow --kind latency_p95 --threshold 0.2 --subject keypoints

    Example: efficientai-toolkit mlops:alerts add grade --kind performance --metric accuracy --threshold 0.95

    Example: efficientai-toolkit mlops:alerts add disk --kind disk_low --threshold 0.2 --platform
    """
    stated: dict[str, Any] = {
        "kind": kind, "threshold": threshold, "subject": subject, "severity": severity, "for_s": lasting,
        "cooldown_s": cooldown, "channels": channel or ["log"],
    } | ({"metric": metric} if metric else {}) | ({} if window is None else {"window_s": window})  # fmt: skip
    path = f"{_path(project, platform)}/rules/{quote(name, safe='')}"
    made = admin_gateway().request("PUT", path, stated)
    emit(made, as_json, f"Rule {name} holds.")


@app.command()
def remove(
    name: Name, project: ProjectOption = None, platform: OfPlatform = False, as_json: Json = False
) -> None:
    """Judge no more by a rule that was added; its alerts end.

    Example: efficientai-toolkit mlops:alerts remove slow
    """
    admin_gateway().request("DELETE", f"{_path(project, platform)}/rules/{quote(name, safe='')}")
    emit({"removed": name}, as_json, f"Rule {name} holds no more.")


@app.command("test")
def try_channel(
    channel: Annotated[
        str, typer.Argument(help="Of this folder's project.toml, or of MLOPS_ALERT_CHANNELS.")
    ],
    platform: OfPlatform = False,
    as_json: Json = False,
) -> None:
    """Send a notice by a channel now, to see that it arrives. Needs no services.

    Example: efficientai-toolkit mlops:alerts test team
    """
    from mlops.monitoring.channels.base import Notice, NoticeEvent
    from mlops.monitoring.channels.book import ChannelBook

    project = None if platform else find_project(Path.cwd())
    name = project.name if project else ""
    tables = {} if project is None else project.alerts.channels
    now = datetime.now(UTC)
    alert = Alert(
        id=0, rule="test", kind="test", project=name, subject="", severity=Severity.INFO,
        state=AlertState.FIRING, message="nothing is wrong: somebody tries this channel", began_at=now,
    )  # fmt: skip
    notice = Notice(f"test-{token_hex(8)}", NoticeEvent.TEST, now, alert)
    ChannelBook(installation(), lambda _: tables).open(name, channel).send(notice)
    emit({"channel": channel, "notice": notice.id}, as_json, f"{channel} took the notice {notice.id}.")


@app.command()
def secret(
    name: Annotated[str, typer.Argument(help="As a channel's `secret` or `url_secret` names it.")],
    project: ProjectOption = None,
    platform: OfPlatform = False,
) -> None:
    """Keep a secret that a channel names, such as a password: typed, or read from a pipe.

    Example: efficientai-toolkit mlops:alerts secret mail-password --project drilling

    Example: pass show slack | efficientai-toolkit mlops:alerts secret slack --platform
    """
    from mlops.installation import write_private
    from mlops.monitoring.channels.settings import check_channel_name

    check_channel_name(name)
    owner = "" if platform else project_name(project)
    value = typer.prompt("Secret", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not value.strip():
        raise InvalidInput("secret", name, "is empty", remedy="Type it, or pipe it in.")
    here = installation()
    write_private(here.secret_file(here.channel_secret_name(owner, name)), value.strip())
    say(f"The secret {name} is kept.")


def _path(project: str | None, platform: bool) -> str:
    if platform:
        return "/api/alerts"
    return f"/api/projects/{quote(project_name(project), safe='')}/alerts"


COMMANDS = {"mlops:alerts": app}
