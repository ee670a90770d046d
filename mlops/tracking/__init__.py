"""Runs, their params, metrics, tags and artifacts."""
