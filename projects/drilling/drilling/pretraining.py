"""Pre-training of the encoder: masked patches of unlabelled holes are to be told from the others."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PatchTSMixerForPretraining

from drilling.examples import Examples, random_portion
from drilling.model import encoder_config
from drilling.model_size import ModelSize
from drilling.scaling import FeatureScaler
from drilling.windows import FeatureTable

_BATCH, _LEARNING_RATE = 32, 2e-3


def pretrain(
    grids: Sequence[FeatureTable],
    size: ModelSize,
    epochs: int,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[int, float], None] | None = None,
) -> dict[str, Tensor]:
    """The encoder's weights after `epochs` over the holes' grids, on the CPU; `on_epoch` hears the loss.

    The scaler is fitted on these holes alone, and forgotten: the labelled holes' own one takes its place.
    """
    torch.manual_seed(seed)
    network = PatchTSMixerForPretraining(encoder_config(size)).to(device)
    scaler = FeatureScaler.fit((str(place), grid) for place, grid in enumerate(grids))
    scaled = [scaler.apply(grid) for grid in grids]
    examples = Examples.of(scaled, np.full((len(grids), 3), np.nan), device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE)
    steps = epochs * -(-len(grids) // _BATCH)
    slope = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
    chance = torch.Generator().manual_seed(seed)
    network.train()
    for epoch in range(epochs):
        losses = []
        for rows in torch.split(torch.randperm(len(grids), generator=chance), _BATCH):
            loss = network(past_values=random_portion(examples, rows, chance).signals).loss
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            slope.step()
            losses.append(loss.detach())
        if on_epoch is not None:
            on_epoch(epoch, float(torch.stack(losses).mean()))
    return {name: weight.cpu() for name, weight in network.model.state_dict().items()}
