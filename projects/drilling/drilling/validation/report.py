"""The batch report for a person: the summary first, then the worst files."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from drilling.validation.batch import BatchReport
from drilling.validation.file_report import FileReport
from drilling.validation.finding import Severity

_MOST_FILES, _MOST_SENTENCES = 10, 3
_STYLES: Mapping[Severity, str] = {
    Severity.ERROR: "red",
    Severity.WARNING: "yellow",
    Severity.INFO: "dim",
}


def render(report: BatchReport, console: Console) -> None:
    """Print the share that passed, each check with its count and remedy, and the worst files."""
    total = len(report.files)
    if not total:
        console.print("No log to check.")
        return
    quiet = sum(file.worst in (None, Severity.INFO) for file in report.files)
    console.print(
        f"[bold]{report.passed} of {total} files passed ({100 * report.passed / total:.0f} %)[/], "
        f"{quiet} of them without a warning",
        highlight=False,
    )
    if report.counts:
        console.print(_checks(report))
    _print_worst(report, console)


def _checks(report: BatchReport) -> Table:
    """A row for each check and severity, with the remedy of the first such finding."""
    remedies: dict[tuple[str, Severity], str] = {}
    for file in report.files:
        for finding in file.findings:
            remedies.setdefault((finding.check, finding.severity), finding.remedy)
    table = Table(title="What the checks found", title_justify="left", title_style="bold")
    table.add_column("check", overflow="fold")
    table.add_column("severity")
    table.add_column("files", justify="right")
    table.add_column("what to do")
    ordered = list(report.counts)
    for check, severity in sorted(remedies, key=lambda found: (-found[1].rank, ordered.index(found[0]))):
        count, remedy = report.counts[check][severity.value], remedies[check, severity]
        table.add_row(escape(check), severity.value, str(count), escape(remedy), style=_STYLES[severity])
    return table


def _print_worst(report: BatchReport, console: Console) -> None:
    serious = sorted((file for file in report.files if _gravity(file) > (0, 0)), key=_gravity, reverse=True)
    if not serious:
        return
    shown = serious[:_MOST_FILES]
    console.print(f"\n[bold]Worst files[/] ({len(shown)} of {len(serious)})", highlight=False)
    for file in shown:
        console.print(Path(file.source).name, soft_wrap=True, markup=False, highlight=False)
        for finding in file.findings[:_MOST_SENTENCES]:
            style = _STYLES[finding.severity]
            sentence = f"  [{style}]{finding.severity.value}[/] {escape(finding.sentence)}"
            console.print(sentence, soft_wrap=True, highlight=False)
        if len(file.findings) > _MOST_SENTENCES:
            console.print(f"  and {len(file.findings) - _MOST_SENTENCES} more", style="dim", highlight=False)


def _gravity(file: FileReport) -> tuple[int, int]:
    """How many errors a file has, and how many warnings."""
    severities = [finding.severity for finding in file.findings]
    return severities.count(Severity.ERROR), severities.count(Severity.WARNING)
