"""drilling:tune."""

from pathlib import Path
from typing import Annotated

import typer

from drilling.cli import answer


def tune(
    trials: Annotated[int, typer.Option(help="Trials to add to the study.", min=1)] = 30,
    timeout: Annotated[float | None, typer.Option(help="No trial begins after this, in s.", min=1)] = None,
    data: Annotated[str, typer.Option(help="The versioned folder of logs.")] = "data/raw",
    workers: Annotated[int | None, typer.Option(help="Trials at once; by cores.", min=1)] = None,
    labels: Annotated[Path | None, typer.Option(help="labels.parquet of drilling:label.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Search for better parameters of model and training, by Optuna.

    The study lives in the platform's Postgres: the same command adds trials to it, also after Ctrl-C or a
    kill. The best parameters are kept with the run as best_params.yaml, ready for params.yaml.

    \b
    Examples:
        drilling:tune --trials 30
        drilling:tune --trials 100 --timeout 1800
        drilling:tune --trials 10 --workers 2 --json
    """
    from dataclasses import asdict

    from drilling.config import read_config
    from drilling.dataset import load_holes
    from drilling.devices import best_device, workers_for
    from drilling.tuning import tune as search
    from mlops import MLOpsClient

    client = MLOpsClient.from_project("drilling")
    root = Path(client.project.root)
    config = read_config(root / "params.yaml")
    version = client.dvc_add(data)
    dataset = load_holes(root / data, labels=labels)
    found = search(
        client, dataset, config, version,
        trials=trials, workers=workers or workers_for(best_device()), timeout_s=timeout,
    )  # fmt: skip
    answer.as_json(asdict(found)) if json else answer.as_table("Search", asdict(found))
