"""The platform's database as one object."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg.errors import LockNotAvailable, UndefinedColumn, UndefinedTable
from sqlalchemy import ExceptionContext, event, text
from sqlalchemy.exc import OperationalError

from mlops.errors import SchemaMismatch, ServiceUnavailable
from mlops.store.alert_rules import AlertRules
from mlops.store.alerts import Alerts
from mlops.store.aliases import FollowedAliases
from mlops.store.audit import Audit
from mlops.store.changes import Marks, read_marks
from mlops.store.data_versions import DataVersions
from mlops.store.database import connect, upgrade
from mlops.store.deployments import Deployments
from mlops.store.drift import Drift
from mlops.store.figures import Figures, read_figures
from mlops.store.freshness import IndexFreshness
from mlops.store.ground_truths import GroundTruths
from mlops.store.inferences import Inferences
from mlops.store.labelled import Labelled
from mlops.store.last_runs import LastRuns, energy_j, last_runs
from mlops.store.measured_runs import MeasuredRun, measured_runs
from mlops.store.model_versions import ModelVersions
from mlops.store.probes import Probes
from mlops.store.projects import Projects
from mlops.store.retention import Retention
from mlops.store.run_index import RunIndexTables
from mlops.store.run_views import RunViews
from mlops.store.runs import Runs
from mlops.store.search import Search
from mlops.store.tokens import Tokens
from mlops.store.traffic import TrafficLog
from mlops.store.uncounted import UncountedMetrics


class Store:
    """The tables of one installation. Every verb raises `ServiceUnavailable("postgres")` when
    Postgres does not answer, and its kind `SchemaMismatch` before `upgrade` made the tables as they are
    known here."""

    def __init__(self, url: str) -> None:
        self._engine = connect(url)
        event.listen(self._engine, "handle_error", _name_the_reason)
        self.projects = Projects(self._engine)
        self.tokens = Tokens(self._engine)
        self.deployments = Deployments(self._engine)
        self.aliases = FollowedAliases(self._engine)
        self.runs = Runs(self._engine)
        self.run_index = RunIndexTables(self._engine)
        self.freshness = IndexFreshness(self._engine)
        self.uncounted = UncountedMetrics(self._engine)
        self.data = DataVersions(self._engine)
        self.run_views = RunViews(self._engine)
        self.search = Search(self._engine)
        self.model_versions = ModelVersions(self._engine)
        self.audit = Audit(self._engine)
        self.traffic = TrafficLog(self._engine)
        self.inferences = Inferences(self._engine)
        self.ground_truths = GroundTruths(self._engine)
        self.labelled = Labelled(self._engine)
        self.alerts = Alerts(self._engine)
        self.drift = Drift(self._engine)
        self.alert_rules = AlertRules(self._engine)
        self.probes = Probes(self._engine)
        self.retention = Retention(self._engine)

    def upgrade(self) -> None:
        """Bring the tables to the newest migration; safe from several processes at once."""
        upgrade(self._engine)

    def check(self) -> None:
        """Ask Postgres for an answer."""
        with self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def figures(self) -> Figures:
        """Counts over all tables at one moment."""
        return read_figures(self._engine)

    def last_runs(self, since: datetime) -> dict[str, LastRuns]:
        """What each project ran last; failures count since then."""
        return last_runs(self._engine, since)

    def energy_j(self, metric: str, since: datetime | None = None) -> dict[str, float]:
        """By project, what that metric of its runs adds up to, or of those that logged it since then."""
        return energy_j(self._engine, metric, since)

    def measured_runs(
        self, since: datetime, project: str | None, metrics: Sequence[str], most: int
    ) -> list[MeasuredRun]:
        """Runs that measured their machine since then, or still go on."""
        return measured_runs(self._engine, since, project, metrics, most)

    def marks(self) -> Marks:
        """What tells a change of what people look at."""
        return read_marks(self._engine)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _name_the_reason(context: ExceptionContext) -> None:
    told = context.original_exception
    # Who sets a limit to his waiting for a lock sees to what comes of it.
    if isinstance(context.sqlalchemy_exception, OperationalError) and not isinstance(told, LockNotAvailable):
        raise ServiceUnavailable("postgres", str(told).strip()) from None
    if isinstance(told, UndefinedTable | UndefinedColumn):
        raise SchemaMismatch(told.diag.message_primary or "") from None
