"""MLflow's plug-ins: what MLflow is told about an open run goes into its journal."""
