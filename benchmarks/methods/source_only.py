"""Training on the source only (lower bound), and on the labelled target (upper bound)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_adapt.adapters import Classifier
from pytorch_adapt.hooks.base import BaseHook
from pytorch_adapt.weighters import SumWeighter

from .method import Method, Setup, Trainable, with_variants


def classifier(
    setup: Setup,
    settings: Mapping[str, Any],
    post: Sequence[BaseHook],
    weighter: SumWeighter,
    pre: Sequence[BaseHook] = (),
) -> Trainable:
    """Returns upstream's `Classifier` with further hooks before and after the classification loss."""
    G = setup.feature_extractor(settings)
    containers = setup.containers({"G": G, "C": setup.classifier(G)})
    hook_kwargs = {"pre": [*setup.pre_hooks(settings), *pre], "post": post, "weighter": weighter}
    return Trainable(Classifier(**containers, hook_kwargs=hook_kwargs))


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Returns upstream's `Classifier`, with cross entropy only."""
    return classifier(setup, settings, [], SumWeighter())


METHODS = (
    *with_variants(Method("source_only", build)),
    Method("target_supervised", build, is_supervised=True),
)
