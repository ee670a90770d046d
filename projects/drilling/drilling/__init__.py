"""Drilling."""
