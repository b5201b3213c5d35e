"""Optimizers and schedules of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_adapt.containers import LRSchedulers, Optimizers
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from torch import nn

from ..recipe import Recipe
from .cosine_schedule import CosineSchedule

OF_BACKBONE = 0.1  # learning rate of a pretrained network, as a fraction of that of new layers
WARM_UP = 0.05  # of the steps, where a pretrained network is trained


@dataclass(frozen=True)
class OptimizerSettings:
    """Optimizer of a run.

    name: of timm's factory, such as "adamw", "sgd" or "lamb"; None for AdamW where a pretrained network is trained,
        else Adam.
    lr: learning rate of new layers; None for 0.01 with SGD, else 0.001.
    weight_decay: None for 0.05 with AdamW, else 0.0005. Biases and scales of a pretrained network have none.
    """

    name: str | None = None
    lr: float | None = None
    weight_decay: float | None = None

    def complete(self, is_pretrained: bool) -> "OptimizerSettings":
        """Returns the settings without None."""
        name = self.name or ("adamw" if is_pretrained else "adam")
        lr = (0.01 if "sgd" in name else 0.001) if self.lr is None else self.lr
        decay = (0.05 if name == "adamw" else 5e-4) if self.weight_decay is None else self.weight_decay
        if not (lr > 0 and decay >= 0):
            raise ValueError(f"lr must be above 0 and weight_decay at least 0, got {lr} and {decay}")
        return OptimizerSettings(name, lr, decay)


def make_optimizers(
    models: Mapping[str, nn.Module], pretrained: nn.Module | None, recipe: Recipe, settings: OptimizerSettings
) -> Optimizers:
    """Returns one optimizer for each model; modules whose part of the recipe defines another one get that.

    Args:
        models: by context key.
        pretrained: part of a model that has a tenth of the learning rate, or None.
        recipe: of the run.
        settings: complete ones.
    """
    own = {key: choice for part in recipe for key, choice in part.optimizers(recipe.usual_optimizer).items()}
    made: dict[str, Any] = {}
    for key, model in models.items():
        if any(parameter.requires_grad for parameter in model.parameters()):
            made[key] = own[key] if key in own else of_timm(model, pretrained, settings)
    return Optimizers(made)


def of_timm(model: nn.Module, pretrained: nn.Module | None, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Returns timm's optimizer of a model."""
    held = set() if pretrained is None else set(pretrained.parameters())
    trained = [one for one in model.parameters() if one.requires_grad]
    lr, decay = settings.lr or 0.0, settings.weight_decay or 0.0
    groups: list[dict[str, Any]] = [
        {"params": [one for one in trained if one not in held]},
        {"params": [one for one in trained if one in held and one.ndim > 1], "lr": OF_BACKBONE * lr},
        {"params": [one for one in trained if one in held and one.ndim < 2], "lr": OF_BACKBONE * lr, "weight_decay": 0},
    ]
    filled = [group for group in groups if group["params"]]
    return create_optimizer_v2(filled, opt=settings.name or "adam", lr=lr, weight_decay=decay)


def make_schedules(optimizers: Optimizers, steps: int, is_pretrained: bool) -> LRSchedulers:
    """Returns a schedule for each optimizer: half a cosine, after a warm-up where a pretrained network is trained."""
    schedule = CosineSchedule(steps, round(WARM_UP * steps) if is_pretrained else 0)
    return LRSchedulers({key: (torch.optim.lr_scheduler.LambdaLR, {"lr_lambda": schedule}) for key in optimizers})
