"""The demo's report, for a person."""

from rich.console import Console
from rich.table import Table

from drilling.demo import DemoReport
from drilling.evaluation import DepthError


def print_report(report: DemoReport, console: Console) -> None:
    """Holes, errors in mm and addresses; addresses and the curl line stay unbroken."""
    source = "synthetic logs (generated, not measured)" if report.synthetic else "your logs"
    console.print(f"\n[bold]Holes[/] {report.holes} from {source} in {report.data_path}")
    console.print(f"  {report.trained_on} trained on, {report.held_out} held out")
    if report.files_left_out:
        console.print(f"  {report.files_left_out} files hold no usable signal and were left out")
    if report.holes_unlabelled:
        console.print(f"  {report.holes_unlabelled} more holes have no label and were left out")
    if not report.grouped_split:
        console.print("  [yellow]every hole shares a tool or head: the held-out ones are not independent[/]")
    console.print(_table(report))
    if report.labels == "automatic":
        console.print(
            "  These logs have no ground truth: the figures are the agreement with the automatic labels."
        )
    depths = ", ".join(
        f"{name.removesuffix('_mm')} {_depth(depth, report.answer_plus_minus_mm[name])}"
        for name, depth in report.answer_mm.items()
    )
    console.print(f"\n[bold]The endpoint's answer[/] for {report.asked_hole}: {depths} mm", highlight=False)
    for title, address in (
        (f"MLflow run of {report.model} version {report.model_version}", report.run_url),
        ("Endpoint", report.endpoint_url),
        ("Ask it yourself", report.curl),
        ("Dashboard (logged in by `efficientai-toolkit mlops:dashboard`)", report.dashboard_url),
    ):
        console.print(f"\n[bold]{title}[/]")
        console.print(address, soft_wrap=True, markup=False, highlight=False)
        if address == report.run_url:
            console.print(report.mlflow_login, style="dim", soft_wrap=True, markup=False, highlight=False)
    console.print(
        "The run's Figures there show the holes that were predicted worst. Once the demo has run again,"
        " there are two runs to compare, and two versions to promote and to roll back.",
        style="dim",
    )


def _depth(depth: float | None, plus_minus: float | None) -> str:
    return "none" if depth is None or plus_minus is None else f"{depth:.2f} ± {plus_minus:.2f}"


def _table(report: DemoReport) -> Table:
    measure = "Error in mm" if report.labels == "truth" else "Agreement with the automatic labels in mm"
    table = Table(title=f"{measure}, on holes not trained on", title_justify="left", title_style="bold")
    table.add_column("key point")
    for column in ("mean", "median", "95 %", "holes"):
        table.add_column(column, justify="right")
    for name, error in report.errors.items():
        table.add_row(name, *_cells(error))
    for name, error in report.automatic_errors.items():
        table.add_row(f"{name}, automatic method", *_cells(error), style="dim")
    return table


def _cells(error: DepthError) -> tuple[str, ...]:
    figures = (error.mae_mm, error.median_mm, error.p95_mm)
    return (*(f"{figure:.3f}" for figure in figures), str(error.holes))
