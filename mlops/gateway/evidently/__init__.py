"""Evidently's own UI, shown by the gateway at an origin of its own."""
