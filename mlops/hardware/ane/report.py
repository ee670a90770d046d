"""How much of a model can run on the Neural Engine, by operation type and weighted by multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops.hardware.ane.plan import ENGINE, DeviceUse
from mlops.hardware.ane.program import Operation, Program
from mlops.hardware.ane.rules import Objection, objection
from mlops.hardware.ane.sizes import Sizes, weight_sizes

HEURISTIC, COMPUTE_PLAN = "heuristic", "compute plan"


@dataclass(frozen=True, slots=True)
class TypeRow:
    """All operations of one type."""

    type: str
    count: int
    multiply_adds: int
    """Of those that can be counted."""
    uncounted: int
    share: float | None
    """Of the model's multiply-adds; None where it has none."""
    placeable: int
    placeable_multiply_adds: int
    cost: float | None
    """Of the model's work, as Core ML estimates it; None without a compute plan."""
    reasons: tuple[str, ...]
    """Why the others are not placed."""
    basis: str


@dataclass(frozen=True, slots=True)
class Break:
    """An operation that leaves the Neural Engine."""

    operation: str
    type: str
    multiply_adds: int | None
    reason: str
    remedy: str
    basis: str


@dataclass(frozen=True, slots=True)
class AneReport:
    """What Core ML can place on the Neural Engine."""

    model: str
    format: str
    basis: str
    """`compute plan` where Core ML was asked, else `heuristic`: no Mac has seen the model then."""
    multiply_adds: int
    uncounted: int
    """Operations whose multiply-adds are unknown, as a shape or the operation itself is; in no share."""
    placeable_share: float | None
    """Of the multiply-adds; None where there are none to share."""
    rows: tuple[TypeRow, ...]
    """The heaviest first."""
    breaks: tuple[Break, ...]
    parameters: int
    sizes: Sizes
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Verdict:
    operation: Operation
    objection: Objection | None
    basis: str
    cost: float | None = None


def make_report(model: str, program: Program, uses: Mapping[str, DeviceUse] | None = None) -> AneReport:
    """Judge each operation by its use in the compute plan where it has one, else by the table of rules."""
    verdicts = [_judged(operation, (uses or {}).get(operation.name)) for operation in program.operations]
    total = _weight(verdicts)
    by_type: dict[str, list[_Verdict]] = {}
    for verdict in verdicts:
        by_type.setdefault(verdict.operation.type, []).append(verdict)
    rows = [_row(kind, found, total) for kind, found in by_type.items()]
    return AneReport(
        model=model,
        format=program.format,
        basis=COMPUTE_PLAN if uses else HEURISTIC,
        multiply_adds=total,
        uncounted=_unknown(verdicts),
        placeable_share=sum(row.placeable_multiply_adds for row in rows) / total if total else None,
        rows=tuple(sorted(rows, key=lambda row: (-row.multiply_adds, -row.count, row.type))),
        breaks=tuple(_break(verdict, verdict.objection) for verdict in verdicts if verdict.objection),
        parameters=sum(weight.elements for weight in program.weights),
        sizes=weight_sizes(program.weights),
        assumptions=program.assumptions,
    )


def _judged(operation: Operation, use: DeviceUse | None) -> _Verdict:
    expected = objection(operation)
    if use is None:
        return _Verdict(operation, expected, HEURISTIC)
    if use.preferred == ENGINE:
        return _Verdict(operation, None, COMPUTE_PLAN, use.cost)
    can = (
        "which could run it too"
        if ENGINE in use.supported
        else expected.reason
        if expected
        else "which cannot"
    )
    remedy = (
        expected.remedy if expected else "look at its neighbours: Core ML moves what is small along with them"
    )
    reason = f"planned for the {use.preferred}, not the engine ({can})"
    return _Verdict(operation, Objection(reason, remedy), COMPUTE_PLAN, use.cost)


def _row(kind: str, verdicts: Sequence[_Verdict], total: int) -> TypeRow:
    placed = [verdict for verdict in verdicts if verdict.objection is None]
    reasons = dict.fromkeys(verdict.objection.reason for verdict in verdicts if verdict.objection is not None)
    costs = [verdict.cost for verdict in verdicts if verdict.cost is not None]
    weight = _weight(verdicts)
    return TypeRow(
        type=kind,
        count=len(verdicts),
        multiply_adds=weight,
        uncounted=_unknown(verdicts),
        share=weight / total if total else None,
        placeable=len(placed),
        placeable_multiply_adds=_weight(placed),
        cost=sum(costs) if costs else None,
        reasons=tuple(reasons),
        basis=COMPUTE_PLAN if all(verdict.basis == COMPUTE_PLAN for verdict in verdicts) else HEURISTIC,
    )


def _break(verdict: _Verdict, found: Objection) -> Break:
    operation = verdict.operation
    return Break(
        operation.name, operation.type, operation.multiply_adds, found.reason, found.remedy, verdict.basis
    )


def _weight(verdicts: Sequence[_Verdict]) -> int:
    return sum(verdict.operation.multiply_adds or 0 for verdict in verdicts)


def _unknown(verdicts: Sequence[_Verdict]) -> int:
    return sum(verdict.operation.multiply_adds is None for verdict in verdicts)
