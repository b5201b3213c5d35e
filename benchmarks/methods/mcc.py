"""MCC: minimum class confusion (Jin et al., ECCV 2020, arXiv 1912.03699)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.hooks import MCCHook
from pytorch_adapt.layers import MCCLoss
from pytorch_adapt.weighters import SumWeighter

from .method import Method, Setup, Space, Trainable, with_variants
from .source_only import classifier


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's hook after the classification loss."""
    hook = MCCHook(loss_fn=MCCLoss(T=settings["temperature"]))
    return classifier(setup, settings, [hook], SumWeighter(weights={"mcc_loss": settings["weight"]}))


SPACE: Space = {"weight": (0.1, 3.0), "temperature": (1.5, 4.0)}
METHODS = with_variants(Method("mcc", build, {"weight": 0.5, "temperature": 2.5}, space=SPACE))
