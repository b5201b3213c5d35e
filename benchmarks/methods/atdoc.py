"""ATDOC with neighbourhood aggregation (Liang et al., CVPR 2021, arXiv 2007.04171)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.adapters import Classifier
from pytorch_adapt.hooks import ATDOCHook
from pytorch_adapt.weighters import SumWeighter

from .method import Method, Setup, Trainable


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Gives upstream's hook, whose weight grows in proportion to the progress, as its authors train it."""
    G = setup.feature_extractor()
    hook = ATDOCHook(setup.num_target, G.feature_dim, setup.num_classes, k=settings["neighbours"])
    weighter = SumWeighter(weights={"pseudo_label_loss": 0.0})
    containers = setup.containers({"G": G, "C": setup.classifier(G)})

    def on_progress(progress: float) -> None:
        weighter.weights["pseudo_label_loss"] = settings["weight"] * progress

    return Trainable(Classifier(**containers, hook_kwargs={"post": [hook], "weighter": weighter}), on_progress)


METHODS = (Method("atdoc", build, {"weight": 0.3, "neighbours": 5}),)
