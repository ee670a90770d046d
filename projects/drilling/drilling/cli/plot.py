"""drilling:plot."""

from pathlib import Path
from typing import Annotated

import typer

from drilling.cli import answer


def plot(
    source: Annotated[Path, typer.Argument(help="A Setitec log, or a folder of them.")],
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("figures"),
    worst: Annotated[int, typer.Option(help="How many of a folder's least sure holes to draw.", min=0)] = 6,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Log the pictures in a run as well.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Draw one hole, or a batch: overlay, wear, problems, the least sure holes, errors where known.

    \b
    Examples:
        drilling:plot hole.xls
        drilling:plot data/raw --out figures --worst 10
    """
    from drilling import plots
    from drilling.gallery import batch_pictures, hole_picture

    one = source.is_file()
    pictures = dict([hole_picture(source)] if one else batch_pictures(source, worst=worst, progress=not json))
    written = [str(plots.save_figure(figure, out / name)) for name, figure in pictures.items()]
    if mlflow:
        from mlops import MLOpsClient

        client = MLOpsClient.from_project("drilling")
        with client.start_run(run_name=f"pictures of {source.name}"):
            plots.log_figures(client, pictures)
    if json:
        answer.as_json({"pictures": written})
        return
    typer.echo("\n".join(written))
