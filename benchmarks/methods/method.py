"""Methods of the comparison, with the same networks, optimizers and schedule for all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.containers import LRSchedulers, Misc, Models, Optimizers
from pytorch_adapt.hooks.base import BaseHook
from torch import nn

from dmsrl_adapt import DEFAULT, BackboneHook, Recipe, attach_dmsrl, dmsrl_components, keys
from dmsrl_adapt.parts import Sizes
from dmsrl_adapt.trainer.cosine_schedule import CosineSchedule

from ..networks import FeatureExtractor, feature_extractor

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 5e-4
CRITIC_WIDTH = 256
AUGMENTATION = Recipe(*(part for part in DEFAULT if part.kind == "augmentation"))


@dataclass(frozen=True)
class Setup:
    """Sizes of a task, length of a run and name of the network.

    shape: of one input, (C, H, W) or (D,).
    network: name for `feature_extractor`.
    map_shapes: shapes of the feature maps in an input, for `feature_extractor`.
    """

    shape: tuple[int, ...]
    num_classes: int
    num_target: int
    steps: int
    network: str = "small"
    map_shapes: tuple[tuple[int, int, int], ...] = ()

    def feature_extractor(self, settings: Mapping[str, Any]) -> FeatureExtractor:
        """Returns a new G, with local features by the setting `local`."""
        return feature_extractor(self.shape, self.network, settings.get("local"), self.map_shapes)

    def classifier(self, G: FeatureExtractor) -> nn.Module:
        """Returns a new C for G."""
        return nn.Linear(G.feature_dim, self.num_classes)

    def pre_hooks(self, settings: Mapping[str, Any]) -> list[BaseHook]:
        """Returns the hooks of source augmentation, if the settings have it; any method can have them."""
        part = augmentation_of(settings).get("augmentation")
        return [] if part is None else [*part.hooks_before(), BackboneHook([keys.SRC]), *part.hooks()]

    def containers(
        self, models: Mapping[str, nn.Module], misc: Mapping[str, Any] | None = None, own: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Returns the containers of an adapter.

        All models get Adam and a cosine schedule, except those in `own`, which keep the optimizers of the method.
        """
        shared = [key for key in models if key not in own]
        adam = (torch.optim.Adam, {"lr": LEARNING_RATE, "weight_decay": WEIGHT_DECAY})
        cosine = (torch.optim.lr_scheduler.LambdaLR, {"lr_lambda": CosineSchedule(self.steps)})
        return {
            "models": Models(dict(models)),
            "misc": Misc(dict(misc or {})),
            "optimizers": Optimizers(dict.fromkeys(shared, adam)),
            "lr_schedulers": LRSchedulers(dict.fromkeys(shared, cosine)),
        }


def nothing(progress: float) -> None:
    """Does nothing between steps."""


@dataclass(frozen=True)
class Trainable:
    """A method ready to train.

    adapter: adapter of pytorch-adapt.
    on_progress: called before every step with the training progress, 0..1.
    """

    adapter: BaseAdapter
    on_progress: Callable[[float], None] = nothing


Build = Callable[[Setup, Mapping[str, Any]], Trainable]
Space = Mapping[str, tuple[float, float] | list[Any]]
Change = Callable[[Mapping[str, Any], str, Any], Mapping[str, Any]]


def with_setting(settings: Mapping[str, Any], key: str, value: Any) -> Mapping[str, Any]:
    """Returns the settings with one of them changed."""
    return {**settings, key: value}


@dataclass(frozen=True)
class Method:
    """A method of the comparison.

    settings: all hyper-parameters, as in the result file.
    is_supervised: train on labelled target samples instead of the source: an upper bound.
    space: search space of `tune`, by setting: a tuple is a range on a logarithmic scale, a list holds choices. Empty if
        there is nothing to tune.
    change: returns the settings with one of them changed.
    """

    name: str
    build: Build
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_supervised: bool = False
    space: Space = field(default_factory=dict)
    change: Change = with_setting


def augmentation_of(settings: Mapping[str, Any]) -> Recipe:
    """Returns the source augmentation of a method's settings, as a recipe of one part or none."""
    return Recipe.from_settings({key: value for key, value in settings.items() if key.startswith("augmentation")})


def with_variants(*methods: Method) -> tuple[Method, ...]:
    """Returns each method and its variants with ingredients of our recipe.

    `_augmented` has source augmentation, `+local` corner windows, `_dmsrl` all parts that the method can have
    (`attach_dmsrl`).
    """
    augmentation = AUGMENTATION.settings
    made = list(methods)
    for one in methods:
        settings = {**one.settings, **augmentation}
        made += [
            replace(one, name=f"{one.name}_augmented", settings=settings, build=with_source_accuracy(one.build)),
            replace(one, name=f"{one.name}+local", settings={**one.settings, "local": "corners"}),
            replace(one, name=f"{one.name}_dmsrl", build=attached(one.build)),
        ]
    return tuple(made)


def with_source_accuracy(build: Build) -> Build:
    """Returns a function that builds the same method with the modules of source augmentation."""

    def build_both(setup: Setup, settings: Mapping[str, Any]) -> Trainable:
        trainable = build(setup, settings)
        sizes = Sizes(trainable.adapter.models[keys.G].feature_dim, setup.num_classes, setup.num_target)
        trainable.adapter.misc.update(augmentation_of(settings).misc(sizes))
        return trainable

    return build_both


def attached(build: Build) -> Build:
    """Returns a function that builds the same method with parts of DMSRL, whose modules have the same optimizers."""

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
