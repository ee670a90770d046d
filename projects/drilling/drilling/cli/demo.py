"""drilling:demo."""

from pathlib import Path
from typing import Annotated

import typer


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
    # One training without folds: drilling:train does the rest.
    config = replace(
        read_config(Path(client.project.root) / "params.yaml"), folds=0, pretraining_epochs=0, epochs=40
    )
    given = {"holes": holes, "epochs": epochs}
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    report = run_demo(client, config, logs=logs)
    if json:
        import json as json_format

        typer.echo(json_format.dumps(report.as_dict()))
    else:
        print_report(report, Console())
