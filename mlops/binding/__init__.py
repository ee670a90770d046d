"""Which MLflow workspace and account the calls of this context use; shared by tracking and registry."""
