"""ATDOC with neighbourhood aggregation (Liang et al., CVPR 2021, arXiv 2007.04171)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytorch_adapt.hooks import ATDOCHook
from pytorch_adapt.weighters import SumWeighter

from dmsrl_adapt.backbones import FEATURE_DIM

from .method import Method, Setup, Space, Trainable, with_variants
from .source_only import classifier


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's hook, whose weight rises linearly with the progress, as in the paper."""
    hook = ATDOCHook(setup.num_target, FEATURE_DIM, setup.num_classes, k=settings["neighbours"])
    weighter = SumWeighter(weights={"pseudo_label_loss": 0.0})

    def on_progress(progress: float) -> None:
        weighter.weights["pseudo_label_loss"] = settings["weight"] * progress

    return replace(classifier(setup, settings, [hook], weighter), on_progress=on_progress)


SPACE: Space = {"weight": (0.03, 3.0), "neighbours": [3, 5, 10]}
METHODS = with_variants(Method("atdoc", build, {"weight": 1.0, "neighbours": 5}, space=SPACE))
