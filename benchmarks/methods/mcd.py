"""MCD: maximum classifier discrepancy (Saito et al., CVPR 2018, arXiv 1712.02560)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.adapters import MCD
from pytorch_adapt.layers import MultipleModels
from pytorch_adapt.weighters import SumWeighter

from .method import Method, Setup, Trainable


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Gives upstream's adapter with two classifiers."""
    G = setup.feature_extractor()
    C = MultipleModels(setup.classifier(G), setup.classifier(G))
    weighters = {f"{phase}_weighter": SumWeighter() for phase in "xyz"}
    return Trainable(MCD(**setup.containers({"G": G, "C": C}), hook_kwargs={**weighters, "repeat": settings["repeat"]}))


METHODS = (Method("mcd", build, {"repeat": 4}),)
