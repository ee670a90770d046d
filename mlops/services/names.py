"""The names of the services, in the order they are shown."""

SERVICES = ("postgres", "mlflow", "ray", "worker", "gateway")

LOGS = (*SERVICES, "replicas", "supervisor")
"""Whose logs there are: the services', the one that all replicas share, and the supervisor's."""
