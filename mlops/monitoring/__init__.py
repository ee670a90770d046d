"""Drift, quality and alerts of what is served."""
