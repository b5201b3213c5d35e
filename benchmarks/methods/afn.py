"""AFN: gradual enlargement of feature norms in both domains (Xu et al., ICCV 2019, arXiv 1811.07456)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.hooks import AFNHook
from pytorch_adapt.layers import AdaptiveFeatureNorm
from pytorch_adapt.weighters import SumWeighter

from .method import Method, Setup, Space, Trainable
from .source_only import classifier


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's hook after the classification loss."""
    hook = AFNHook(loss_fn=AdaptiveFeatureNorm(step_size=settings["step_size"]))
    return classifier(setup, settings, [hook], SumWeighter(weights={"afn_loss": settings["weight"]}))


SPACE: Space = {"weight": (0.005, 0.5), "step_size": (0.3, 3.0)}
METHODS = (Method("afn", build, {"weight": 0.05, "step_size": 1.0}, space=SPACE),)
