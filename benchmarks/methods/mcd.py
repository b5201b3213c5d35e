"""MCD: maximum classifier discrepancy (Saito et al., CVPR 2018, arXiv 1712.02560)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.adapters import MCD
from pytorch_adapt.layers import MultipleModels
from pytorch_adapt.weighters import SumWeighter

from .method import Method, Setup, Trainable, with_variants


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's adapter with two classifiers."""
    G = setup.feature_extractor(settings)
    C = MultipleModels(setup.classifier(G), setup.classifier(G))
    hook_kwargs = {"repeat": settings["repeat"], **{f"{phase}_weighter": SumWeighter() for phase in "xyz"}}
    # only the first two phases use the source
    hook_kwargs |= {f"pre_{phase}": setup.pre_hooks(settings) for phase in "xy"}
    return Trainable(MCD(**setup.containers({"G": G, "C": C}), hook_kwargs=hook_kwargs))


METHODS = with_variants(Method("mcd", build, {"repeat": 4}, space={"repeat": [1, 2, 3, 4, 6]}))
