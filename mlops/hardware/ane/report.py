"""How much of a model can run on the Neural Engine, by operation type and weighted by multiply-adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops.hardware.ane.plan import ENGINE, DeviceUse
from mlops.hardware.ane.program import Operation, Program
from mlops.hardware.ane.rules import Objection, objection
from mlops.hardware.ane.sizes import Sizes, weight_sizes
from mlops.hardware.ane.wording import percent

HEURISTIC, COMPUTE_PLAN = "heuristic", "compute plan"
_NEIGHBOURS = "look at what it computes and in which type; Core ML gives no reason"


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
    planned: int | None
    """How many Core ML prefers to run on the engine; None without a compute plan."""
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
class Assumption:
    """What was taken for given."""

    text: str
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
    """The heaviest first, then those of unknown weight, then those of none."""
    breaks: tuple[Break, ...]
    parameters: int
    sizes: Sizes
    assumptions: tuple[Assumption, ...]


@dataclass(frozen=True, slots=True)
class _Verdict:
    operation: Operation
    objection: Objection | None
    basis: str
    cost: float | None = None
    planned: bool = False
    """Whether Core ML prefers the engine for it."""


def make_report(model: str, program: Program, uses: Mapping[str, DeviceUse] | None = None) -> AneReport:
    """Judge each operation by its use in the compute plan where it has one, else by the table of rules."""
    verdicts = [_judged(operation, (uses or {}).get(operation.name)) for operation in program.operations]
    total = _weight(verdicts)
    by_type: dict[str, list[_Verdict]] = {}
    for verdict in verdicts:
        by_type.setdefault(verdict.operation.type, []).append(verdict)
    rows = [_row(kind, found, total) for kind, found in by_type.items()]
    basis = COMPUTE_PLAN if uses else HEURISTIC
    return AneReport(
        model=model,
        format=program.format,
        basis=basis,
        multiply_adds=total,
        uncounted=_unknown(verdicts),
        placeable_share=sum(row.placeable_multiply_adds for row in rows) / total if total else None,
        rows=tuple(sorted(rows, key=lambda row: (-row.multiply_adds, -row.uncounted, -row.count, row.type))),
        breaks=tuple(_break(verdict, verdict.objection) for verdict in verdicts if verdict.objection),
        parameters=sum(weight.elements for weight in program.weights),
        sizes=weight_sizes(program.weights),
        assumptions=tuple(Assumption(text, basis) for text in program.assumptions),
    )


def _judged(operation: Operation, use: DeviceUse | None) -> _Verdict:
    expected = objection(operation)
    if use is None:
        return _Verdict(operation, expected, HEURISTIC)
    planned = use.preferred == ENGINE
    if planned or ENGINE in use.supported:
        return _Verdict(operation, None, COMPUTE_PLAN, use.cost, planned)
    found = expected or Objection("Core ML does not support it there", _NEIGHBOURS)
    reason = f"planned for the {use.preferred}, the engine cannot run it ({found.reason})"
    return _Verdict(operation, Objection(reason, found.remedy), COMPUTE_PLAN, use.cost)


def _row(kind: str, verdicts: Sequence[_Verdict], total: int) -> TypeRow:
    placed = [verdict for verdict in verdicts if verdict.objection is None]
    reasons = dict.fromkeys(verdict.objection.reason for verdict in verdicts if verdict.objection is not None)
    costs = [verdict.cost for verdict in verdicts if verdict.cost is not None]
    plans = [verdict.planned for verdict in verdicts if verdict.basis == COMPUTE_PLAN]
    weight = _weight(verdicts)
    return TypeRow(
        type=kind,
        count=len(verdicts),
        multiply_adds=weight,
        uncounted=_unknown(verdicts),
        share=weight / total if total else None,
        placeable=len(placed),
        placeable_multiply_adds=_weight(placed),
        planned=sum(plans) if plans else None,
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


def told_share(report: AneReport) -> str:
    """The share of the multiply-adds in words, with what is in no share."""
    noun = "operation" if report.uncounted == 1 else "operations"
    unknown = f"; unknown those of {report.uncounted} {noun}" if report.uncounted else ""
    if report.placeable_share is None:
        return f"no multiply-adds counted{unknown}"
    counted = " counted" if report.uncounted else ""
    return f"{percent(report.placeable_share)}% of {report.multiply_adds:,} multiply-adds{counted}{unknown}"
