"""drilling:generate."""

from pathlib import Path
from typing import Annotated

import typer

from drilling.cli import answer


def generate(
    folder: Annotated[Path, typer.Argument(help="Where to write; empty, or an earlier set.")],
    holes: Annotated[int, typer.Option(help="How many logs.", min=1)] = 1300,
    labelled: Annotated[
        int | None, typer.Option(help="How many of them a model may learn from; all if not given.", min=0)
    ] = 300,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.", min=0)] = 7,
    breakage: Annotated[
        list[str] | None,
        typer.Option("--break", help="Damage one log in ten so; 'list' names the kinds. Can be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Write synthetic Setitec logs with known key points.

    All versions (4, 7, 8, 9, 11), families, air drillings and aborted cycles, in the shares of genuine
    logs; truth.csv beside them.

    \b
    Examples:
        drilling:generate data/raw
        drilling:generate /tmp/broken --holes 40 --break semicolons --break nul
    """
    from drilling.breakages import BREAKAGES
    from drilling.synthetic import TRUTH, write_folder

    if breakage == ["list"]:
        typer.echo("\n".join(BREAKAGES))
        return
    kept = min(labelled, holes) if labelled is not None else None
    written = write_folder(folder, holes=holes, seed=seed, labelled=kept, breakages=breakage or ())
    if json:
        answer.as_json(
            {
                "folder": str(folder),
                "holes": holes,
                "labelled": kept,
                "seed": seed,
                "truth": TRUTH,
                "written": written,
            }
        )
        return
    state = "written to" if written else "already in"
    typer.echo(f"{holes} synthetic logs {state} {folder}, their key points in {TRUTH}")
