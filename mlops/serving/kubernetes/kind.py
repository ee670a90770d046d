"""What takes an export; apart from what writes it, so that the command line's help loads nothing."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What takes the manifest."""

    KUBERAY = "kuberay"
    KSERVE = "kserve"
