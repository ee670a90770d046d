"""Benchmarks: our figure and the peer's from the same run, as a ratio with its spread."""
