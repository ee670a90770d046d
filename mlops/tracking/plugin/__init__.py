"""MLflow's plug-ins: what MLflow is told about an open run goes into its journal."""

# MLflow imports these modules while it is imported: whoever imports one first waits for that here.
import mlflow  # noqa: F401
