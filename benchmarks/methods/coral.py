"""Deep CORAL: alignment of second moments (Sun and Saenko, ECCV 2016 workshops, arXiv 1607.01719)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.hooks import AlignerHook
from pytorch_adapt.layers import CORALLoss
from pytorch_adapt.weighters import SumWeighter

from .method import Method, Setup, Trainable, with_variants
from .source_only import classifier


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's hook on the features, after the classification loss."""
    weighter = SumWeighter(weights={"features_confusion_loss": settings["weight"]})
    return classifier(setup, settings, [AlignerHook(loss_fn=CORALLoss())], weighter)


METHODS = with_variants(Method("coral", build, {"weight": 1.0}, space={"weight": (0.1, 100.0)}))
