"""How every command answers: JSON for programs, a table for people."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer


def as_json(values: Mapping[str, Any]) -> None:
    """One JSON object on the output, and nothing else."""
    import json

    typer.echo(json.dumps(values, default=str))


def as_table(title: str, values: Mapping[str, Any]) -> None:
    """Names and values under a title; what is empty is left out."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column("name")
    table.add_column("value", overflow="fold")
    for name, value in _flat(values):
        table.add_row(name, _shown(value))
    Console().print(table)


def _shown(value: Any) -> str:
    if type(value) is int:
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}: {inner}", shown) for inner, shown in value.items()]
        elif value not in (None, "", (), []):
            rows.append((name, ", ".join(map(str, value)) if isinstance(value, tuple | list) else value))
    return rows


def as_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows under the names of their columns; an unknown value is a dash."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("–" if value is None else str(value) for value in row.values()))
    Console().print(table)
