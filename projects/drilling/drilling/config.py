"""Training parameters, from params.yaml or given."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from drilling.errors import InvalidConfig
from drilling.model_size import Encoder, ModelSize, Schedule
from drilling.windows import LENGTH

_MAY_BE_ZERO = {"seed", "folds", "pretraining_epochs", "few_folds"}
_SHARES = {"held_out_share", "validation_share"}


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """What a training run depends on besides its data; params.yaml explains each value."""

    epochs: int = 60
    learning_rate: float = 5e-3
    batch: int = 16
    seed: int = 7
    patience: int = 20
    held_out_share: float = 0.2
    validation_share: float = 0.1
    folds: int = 24
    few_folds: int = 2
    pretraining_epochs: int = 10
    d_model: int = 16
    layers: int = 2
    patch: int = 16
    head_channels: int = 24
    head_layers: int = 6
    kernel: int = 9
    cnn_channels: int = 16
    holes: int = 160

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type is int
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number"
                raise InvalidConfig("training", f"{field.name} = {value!r} is not {kind}")
            if value < 0 or (value == 0 and field.name not in _MAY_BE_ZERO):
                raise InvalidConfig("training", f"{field.name} = {value!r} is not above 0")
            if field.name in _SHARES and value >= 1:
                raise InvalidConfig("training", f"{field.name} = {value!r} is not below 1")
        if LENGTH % self.patch:
            raise InvalidConfig("training", f"patch = {self.patch} does not divide a window of {LENGTH}")
        if self.kernel % 2 == 0:
            raise InvalidConfig("training", f"kernel = {self.kernel} is not odd")
        if self.folds == 1:
            raise InvalidConfig("training", "folds = 1 leaves nothing to train on: 0 or 2 and more")

    def quick(self) -> "TrainingConfig":
        """The same without folds, in fewer epochs: a first look within two minutes."""
        return replace(self, folds=0, epochs=min(self.epochs, 20), pretraining_epochs=0)

    def size(self, encoder: Encoder = "mixer") -> ModelSize:
        """The network, or the small CNN of the comparison for the encoder `none`."""
        channels = self.head_channels if encoder == "mixer" else self.cnn_channels
        return ModelSize(
            encoder, self.d_model, self.layers, self.patch, channels, self.head_layers, self.kernel
        )

    def schedule(self, seed: int | None = None, epochs: int | None = None) -> Schedule:
        """How to train, with another seed or number of epochs on request."""
        return Schedule(
            self.epochs if epochs is None else epochs,
            self.learning_rate,
            self.batch,
            self.seed if seed is None else seed,
            self.patience,
        )


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
