"""What a method is, and what it is given: the same networks, optimizers and schedule for all."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.containers import LRSchedulers, Misc, Models, Optimizers
from pytorch_adapt.hooks.base import BaseHook
from torch import nn

from dmsrl_adapt import AugmentHook, BackboneHook, SourceAccuracyHook, attach_dmsrl, dmsrl_components, keys
from dmsrl_adapt.recipe import DEFAULT
from dmsrl_adapt.training import SourceAccuracy

from ..networks import FeatureExtractor, feature_extractor

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 5e-4
LAST_LEARNING_RATE = 0.05  # share of the first, reached by half a cosine
CRITIC_WIDTH = 256


@dataclass(frozen=True)
class Setup:
    """One run's problem, as a method sees it.

    shape: of one input, (C, H, W) or (D,).
    network: name for `feature_extractor`.
    map_shapes: of the maps that an input holds in a row, for `feature_extractor`.
    """

    shape: tuple[int, ...]
    num_classes: int
    num_target: int
    steps: int
    network: str = "small"
    map_shapes: tuple[tuple[int, int, int], ...] = ()

    def feature_extractor(self, settings: Mapping[str, Any]) -> FeatureExtractor:
        """Gives a fresh G, with local features where a method's settings say so."""
        return feature_extractor(self.shape, self.network, settings.get("local"), self.map_shapes)

    def classifier(self, G: FeatureExtractor) -> nn.Module:
        """Gives a fresh C for G."""
        return nn.Linear(G.feature_dim, self.num_classes)

    def pre_hooks(self, settings: Mapping[str, Any]) -> list[BaseHook]:
        """Gives what every method can have before its own features: those of the source as our default recipe computes
        them, where its settings say so."""
        if "style_probability" not in settings:
            return []
        share, strength = settings["style_probability"], settings["affine_strength"]
        style = AugmentHook(probability=share, affine_strength=strength, accuracy_gate=settings["style_by_skill"])
        return [style, BackboneHook([keys.SRC]), SourceAccuracyHook()]

    def containers(
        self, models: Mapping[str, nn.Module], misc: Mapping[str, Any] | None = None, own: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Gives the containers of an adapter: Adam and a cosine schedule for every model but those in `own`, which keep
        the optimizer that the method brings."""
        shared = [key for key in models if key not in own]
        adam = (torch.optim.Adam, {"lr": LEARNING_RATE, "weight_decay": WEIGHT_DECAY})
        cosine = (torch.optim.lr_scheduler.LambdaLR, {"lr_lambda": self.learning_rate_share})
        return {
            "models": Models(dict(models)),
            "misc": Misc(dict(misc or {})),
            "optimizers": Optimizers(dict.fromkeys(shared, adam)),
            "lr_schedulers": LRSchedulers(dict.fromkeys(shared, cosine)),
        }

    def learning_rate_share(self, step: int) -> float:
        """Half a cosine from 1 to the last learning rate."""
        cosine = (1 + math.cos(math.pi * min(step / self.steps, 1))) / 2
        return LAST_LEARNING_RATE + (1 - LAST_LEARNING_RATE) * cosine


def nothing(progress: float) -> None:
    """What most methods do between steps."""


@dataclass(frozen=True)
class Trainable:
    """A method made for a problem.

    adapter: upstream's adapter.
    on_progress: called before every step with the training progress, 0..1.
    """

    adapter: BaseAdapter
    on_progress: Callable[[float], None] = nothing


Build = Callable[[Setup, Mapping[str, Any]], Trainable]
Space = Mapping[str, tuple[float, float] | list[Any]]


@dataclass(frozen=True)
class Method:
    """A method of the comparison.

    settings: everything that was chosen, as the result file shows it.
    is_supervised: train on the target's labels instead of the source's: a ceiling.
    space: where `tune` looks for settings, by their name: two numbers are the ends of a range, on a logarithmic scale,
        a list holds choices. Empty where there is nothing to tune.
    """

    name: str
    build: Build
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_supervised: bool = False
    space: Space = field(default_factory=dict)


def with_variants(*methods: Method) -> tuple[Method, ...]:
    """Gives each method as it is and, under its name with an ending, with what our recipe has: `_style`, source images
    in a random style and pose; `+local`, corner windows; `_dmsrl`, all parts that the method takes (`attach_dmsrl`)."""
    style = {key: getattr(DEFAULT, key) for key in ("style_probability", "style_by_skill", "affine_strength")}
    made = list(methods)
    for one in methods:
        made += [
            replace(one, name=f"{one.name}_style", settings={**one.settings, **style}, build=with_skill(one.build)),
            replace(one, name=f"{one.name}+local", settings={**one.settings, "local": "corners"}),
            replace(one, name=f"{one.name}_dmsrl", build=attached(one.build)),
        ]
    return tuple(made)


def with_skill(build: Build) -> Build:
    """Gives what builds the same method with what follows how well the source is learned."""

    def build_both(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
        trainable = build(setup, settings)
        trainable.adapter.misc[keys.SOURCE_ACCURACY] = SourceAccuracy(setup.num_classes)
        return trainable

    return build_both


def attached(build: Build) -> Build:
    """Gives what builds the same method with parts of DMSRL in it, their modules trained as all others are."""

    def build_both(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
        trainable = build(setup, settings)
        adapter, dim = trainable.adapter, trainable.adapter.models[keys.G].feature_dim
        parts = dmsrl_components(dim, setup.num_classes, setup.num_target, total_steps=setup.steps)
        attach_dmsrl(adapter, parts)
        ours = setup.containers({key: adapter.models[key] for key in adapter.hook.recipe.model_keys})
        ours["optimizers"].create_with(ours["models"])
        ours["lr_schedulers"].create_with(ours["optimizers"])
        adapter.optimizers.update(ours["optimizers"])
        adapter.lr_schedulers.update(ours["lr_schedulers"])
        return trainable

    return build_both
