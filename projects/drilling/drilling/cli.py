"""The project's commands. Heavy imports stand inside them, so that listing them costs nothing."""

from pathlib import Path
from typing import Annotated

import typer


def generate(
    folder: Annotated[Path, typer.Argument(help="Where to write; empty, or an earlier set.")],
    holes: Annotated[int, typer.Option(help="How many logs.", min=1)] = 160,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.", min=0)] = 7,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Write synthetic Setitec logs with known key points."""
    from rich.console import Console

    from drilling.synthetic import TRUTH, write_folder

    written = write_folder(folder, holes=holes, seed=seed)
    if json:
        import json as json_format

        answer = {"folder": str(folder), "holes": holes, "seed": seed, "truth": TRUTH, "written": written}
        typer.echo(json_format.dumps(answer))
        return
    state = "written to" if written else "already in"
    Console().print(
        f"{holes} synthetic logs {state} {folder}, their key points in {TRUTH}",
        soft_wrap=True,
        highlight=False,
    )


def demo(
    logs: Annotated[Path | None, typer.Option(help="Your own logs; synthetic ones otherwise.")] = None,
    holes: Annotated[int | None, typer.Option(help="Synthetic holes to make.", min=10)] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training holes.", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train on drilling logs, register and serve the model, and ask it once."""
    from dataclasses import replace

    from rich.console import Console

    from drilling.config import read_config
    from drilling.demo import run_demo
    from drilling.report import print_report
    from mlops import MLOpsClient

    client = MLOpsClient.from_project("drilling")
    config = read_config(Path(client.project.root) / "params.yaml")
    given = {"holes": holes, "epochs": epochs}
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    report = run_demo(client, config, logs=logs)
    if json:
        import json as json_format

        typer.echo(json_format.dumps(report.as_dict()))
    else:
        print_report(report, Console())
