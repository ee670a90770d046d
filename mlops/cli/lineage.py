"""mlops:lineage: where things come from, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli.context import client
from mlops.cli.output import Json, ProjectOption, age, count, emit, say, size

if TYPE_CHECKING:
    from mlops.lineage import LineageNode


def lineage(
    reference: Annotated[
        str,
        typer.Argument(
            help="A run's id, a model version (name:3, name@champion), or a data version (data/raw,"
            " data/raw@v1.0, a hash)."
        ),
    ],
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Show where a run or model comes from, or what came of a data version: data, code, models, deployments.

    `run:`, `model:` or `data:` before the name says what is meant, where it could be two things.

    Example: efficientai-toolkit mlops:lineage keypoints@champion --project drilling

    Example: efficientai-toolkit mlops:lineage data/raw@v1.0 --json
    """
    found = client(project).lineage(reference)
    emit(found, as_json, "\n".join(_lines(found.root)))
    for remark in found.remarks:
        say(remark)


def _lines(node: LineageNode, before: str = "", branch: str = "", more: str = "") -> Iterator[str]:
    """The tree. Written here because rich's breaks lines at the width of a pipe, 80."""
    yield f"{before}{branch}{_told(node)}"
    for child in node.children:
        is_last = child is node.children[-1]
        yield from _lines(child, before + more, "└── " if is_last else "├── ", "    " if is_last else "│   ")


def _told(node: LineageNode) -> str:
    relation = f"{node.relation} " if node.relation else ""
    name = node.name if node.id == node.name else f"{node.name}  {node.id}"
    told = (_fact(key, value) for key, value in node.facts.items() if key in _SHOWN and value)
    facts = "  ".join(each for each in told if each)
    return f"{relation}{node.kind.value} {name}  {facts}".rstrip()


_SHOWN = {
    *("status", "started_at", "flavor", "aliases", "created_at", "state", "url", "since"),
    *("files", "size_bytes", "git_revision", "git_dirty", "checks"),
}
"""The other facts are for programs."""


def _fact(key: str, value: Any) -> str:
    if isinstance(value, datetime):
        return f"{age(value)} ago"
    if key == "size_bytes":
        return size(value)
    if key == "files":
        return count(value, "file")
    if key == "git_revision":
        return f"git {value[:8]}"
    if key == "git_dirty":
        return "(dirty)"
    if key == "checks":
        return f"{sum(value.values())} of {count(len(value), 'check')} passed"
    if key == "aliases":
        return ", ".join(value)
    return str(value)


COMMANDS = {"mlops:lineage": lineage}
