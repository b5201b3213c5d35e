"""Training on the source alone (the floor), and on the labelled target (the ceiling)."""

from collections.abc import Mapping
from typing import Any

from pytorch_adapt.adapters import Classifier
from pytorch_adapt.hooks.base import BaseHook
from pytorch_adapt.weighters import SumWeighter

from .method import Method, Setup, Trainable


def classifier(setup: Setup, post: list[BaseHook], weights: Mapping[str, float]) -> Trainable:
    """Gives upstream's `Classifier` with hooks after the source's cross entropy."""
    G = setup.feature_extractor()
    containers = setup.containers({"G": G, "C": setup.classifier(G)})
    return Trainable(
        Classifier(**containers, hook_kwargs={"post": post, "weighter": SumWeighter(weights=dict(weights))})
    )


def build(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
    """Gives cross entropy and nothing else."""
    return classifier(setup, [], {})


METHODS = (Method("source_only", build), Method("target_supervised", build, is_supervised=True))
