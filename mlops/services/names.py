"""The names of the services, in the order they are shown."""

SERVICES = ("postgres", "mlflow", "ray", "worker", "gateway")
