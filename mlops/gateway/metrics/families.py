"""How families are made: one line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Rows = Iterable[tuple[Sequence[str], float]]
"""Values of a family's labels, and the sample's value."""


def gauge(name: str, text: str, labels: Sequence[str], rows: Rows) -> GaugeMetricFamily:
    """What goes up and down."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def counter(name: str, text: str, labels: Sequence[str], rows: Rows) -> CounterMetricFamily:
    """What only grows; its samples are called `<name>_total`."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def one_of(labels: Sequence[str], states: type[Enum], state: Enum) -> Rows:
    """Of one thing a row for each state that it may be in, by a last label: 1 for the one it is in, else
    0."""
    return [((*labels, each.name.lower()), float(each is state)) for each in states]
