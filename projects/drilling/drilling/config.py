"""Training parameters, from params.yaml or given."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from drilling.errors import InvalidConfig


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """What a training run depends on besides its data; params.yaml explains each value."""

    epochs: int = 40
    learning_rate: float = 3e-3
    batch: int = 16
    seed: int = 7
    held_out_share: float = 0.2
    d_model: int = 16
    layers: int = 4
    head_channels: int = 32
    holes: int = 160

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type is int
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number"
                raise InvalidConfig("training", f"{field.name} = {value!r} is not {kind}")
            if value <= 0 and field.name != "seed":
                raise InvalidConfig("training", f"{field.name} = {value!r} is not above 0")
        if self.held_out_share >= 1:
            raise InvalidConfig("training", f"held_out_share = {self.held_out_share!r} is not below 1")


def read_config(path: Path) -> TrainingConfig:
    """The `training` table of a params.yaml. Raises InvalidConfig for an unusable file, key or value."""
    try:
        content: Any = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidConfig(str(path), error.strerror or "cannot be opened") from error
    except yaml.YAMLError as error:
        raise InvalidConfig(str(path), f"not YAML: {error}") from error
    table = content.get("training") if isinstance(content, dict) else None
    if not isinstance(table, dict):
        raise InvalidConfig(str(path), "no table `training`")
    unknown = sorted(set(map(str, table)) - {field.name for field in fields(TrainingConfig)})
    if unknown:
        raise InvalidConfig(str(path), f"unknown keys in `training`: {', '.join(unknown)}")
    return TrainingConfig(**table)
