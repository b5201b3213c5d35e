"""BNM: batch nuclear-norm maximisation (Cui et al., CVPR 2020, arXiv 2003.12237)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.hooks import BNMHook
from pytorch_adapt.weighters import SumWeighter

from .method import Method, Setup, Trainable, with_variants
from .source_only import classifier


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's hook after the classification loss."""
    return classifier(setup, settings, [BNMHook()], SumWeighter(weights={"bnm_loss": settings["weight"]}))


METHODS = with_variants(Method("bnm", build, {"weight": 1.0}, space={"weight": (0.1, 10.0)}))
