"""Versions of a project's data, and its remote."""
