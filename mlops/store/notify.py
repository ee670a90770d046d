"""Names of the Postgres channels that announce a change, and how one waits for them."""

from __future__ import annotations

DEPLOYMENTS = "mlops_deployments"
"""A wanted deployment changed: the worker reconciles."""

ROUTES = "mlops_routes"
"""Replicas or states changed: gateways reload their routes."""
