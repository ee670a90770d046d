"""The names of the services, in the order they are shown."""

SERVICES = ("postgres", "mlflow", "ray", "worker", "gateway")

EVIDENTLY = "evidently"
"""Evidently's UI, which runs while somebody wants it."""

LOGS = (*SERVICES, EVIDENTLY, "replicas", "supervisor")
"""Whose logs there are: the services', the one that all replicas share, and the supervisor's."""
