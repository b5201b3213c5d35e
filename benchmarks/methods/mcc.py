"""MCC: minimum class confusion (Jin et al., ECCV 2020, arXiv 1912.03699)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.hooks import MCCHook
from pytorch_adapt.layers import MCCLoss

from .method import Method, Setup, Trainable
from .source_only import classifier


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Gives upstream's hook after the classifier's loss."""
    hook = MCCHook(loss_fn=MCCLoss(T=settings["temperature"]))
    return classifier(setup, [hook], {"mcc_loss": settings["weight"]})


METHODS = (Method("mcc", build, {"weight": 0.5, "temperature": 2.5}),)
