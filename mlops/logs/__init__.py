"""Structured logs: how our processes write them, how every service's file is bounded, and how all are read.

A line of ours is one JSON object. What other programs write as text becomes the same records when it is read.
"""
