"""mlops:evidently."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops.cli.browsing import open_page
from mlops.cli.context import admin_gateway, installation
from mlops.cli.output import Json, emit
from mlops.cli.stack import progress


def evidently(
    stop: Annotated[bool, typer.Option("--stop", help="End it; its reports stay.")] = False,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
    as_json: Json = False,
) -> None:
    """Start Evidently's own UI, which shows drift reports over time, and open it behind the gateway's login.

    It runs until `--stop`, or until the stack stops. The link logs in once, within a minute.

    Example: efficientai-toolkit mlops:evidently --no-open

    Example: efficientai-toolkit mlops:evidently --stop
    """
    from mlops.services import control

    here = installation()
    if stop:
        ran = control.stop_evidently(here)
        emit({"stopped": ran}, as_json, "Stopped." if ran else "It was not running.")
        return
    control.start_evidently(here, progress())
    url = f"{admin_gateway().ticket()}&next=/evidently/"
    emit({"url": url}, as_json, url)
    if open_browser and not as_json:
        open_page(url, here.run_dir / "evidently.html", "Evidently")


COMMANDS = {"mlops:evidently": evidently}
