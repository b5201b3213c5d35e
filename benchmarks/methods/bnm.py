"""BNM: batch nuclear-norm maximisation (Cui et al., CVPR 2020, arXiv 2003.12237)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.hooks import BNMHook

from .method import Method, Setup, Trainable
from .source_only import classifier


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Gives upstream's hook after the classifier's loss."""
    return classifier(setup, [BNMHook()], {"bnm_loss": settings["weight"]})


METHODS = (Method("bnm", build, {"weight": 1.0}),)
