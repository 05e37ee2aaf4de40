"""Learning rates and averaging as functions of the step, so that resuming needs no state of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyface3d.train.config import RunConfig

_LAST = 0.01  # of the highest learning rate, at the end


def rate_factor(step: int, config: RunConfig) -> float:
    """Share of the highest learning rate: a linear rise, then a cosine down to a hundredth at the last step, or steps.

    With ``config.decay_at``, the rate is multiplied by ``config.decay`` at each of these shares of the schedule.
    """
    rise = min((step + 1) / max(config.warm_up, 1), 1.0)
    if config.decay_at:
        return rise * config.decay ** sum(step >= share * config.steps for share in config.decay_at)
    done = min(max(step - config.warm_up, 0) / max(config.steps - config.warm_up, 1), 1.0)
    return rise * (_LAST + (1 - _LAST) * 0.5 * (1 + math.cos(math.pi * done)))


def make_optimizer(network: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    """The optimiser, with four groups: the trunk and the rest, each with and without weight decay (vectors: none)."""
    groups = []
    for trunk in (True, False):
        for decays in (True, False):
            chosen = [
                parameter
                for name, parameter in network.named_parameters()
                if parameter.requires_grad and name.startswith("trunk.") == trunk and (parameter.ndim > 1) == decays
            ]
            rate = config.trunk_learning_rate if trunk else config.learning_rate
            decay = config.weight_decay if decays else 0.0
            groups.append({"params": chosen, "lr": rate, "highest": rate, "weight_decay": decay})
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum)
    return torch.optim.AdamW(groups)


def set_rates(optimizer: torch.optim.Optimizer, step: int, config: RunConfig) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["highest"] * rate_factor(step, config)


def averaged_network(network: nn.Module, decay: float) -> torch.optim.swa_utils.AveragedModel:
    """A running mean of the weights and batch statistics; it remembers less in the first steps."""

    def average(means: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        kept = min(decay, (1 + float(count)) / (10 + float(count)))
        for mean, value in zip(means, values):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - kept)
            else:
                mean.copy_(value)

    return torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def set_training(network: nn.Module, config: RunConfig) -> None:
    """Training mode, except for what the configuration freezes of the network's ``trunk``, if it has one."""
    network.train()
    trunk = getattr(network, "trunk", None)
    if trunk is None:
        return
    for stage in list(trunk.stages[: config.frozen_stages]):
        stage.requires_grad_(False).eval()
    if config.trunk_norms == "frozen":
        for module in trunk.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
