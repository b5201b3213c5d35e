"""Hook: features of the augmented images; and the functions by which hooks call G."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pytorch_adapt.hooks.base import BaseHook
from torch import Tensor, nn

from .. import keys
from ..augment.random_affine import moved_points
from ..backbones.local_windows import check_landmarks
from .context import read

# suffixes of keys that hooks write, which are no inputs of G
WRITTEN = ("features", "input", "augmented", "is_augmented", "affine")


class BackboneHook(BaseHook):
    """Computes features of the images, or of the augmented images that an `AugmentHook` has written.

    Put it in `pre=[...]` of any method: later hooks find the features, so there is no further forward pass. Features
    that are already in the context are kept. Other arguments of G are passed where the batch has them, such as
    `src_imgs_landmarks` for an argument `landmarks`; upstream's own hooks do not do this.

    Modules: `G`. Reads: `src_imgs_input` or `src_imgs`, and those of the target; other inputs of G, such as
    `src_imgs_landmarks`, where present. Writes: `src_imgs_features`, `target_imgs_features`. No losses.

    Args:
        domains: domains to compute.
        where_needed: compute a domain only if upstream's hooks would compute other features: with augmented images, or
            with other inputs of G.
        **kwargs: prefixes, suffixes and key map of `BaseHook`.

    Raises:
        KeyError: a module or key is missing.

    Examples:
        >>> import torch
        >>> images = {"src_imgs": torch.zeros(2, 3, 4, 4), "src_imgs_input": torch.ones(2, 3, 4, 4)}
        >>> outputs, losses = BackboneHook(["src"])({"G": nn.Flatten(), **images})
        >>> outputs["src_imgs_features"].sum()
        tensor(96.)
    """

    def __init__(self, domains: Sequence[str] = keys.DOMAINS, where_needed: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.domains, self.where_needed = tuple(domains), where_needed
        # of the last batch: upstream reads `out_keys` again after a call and requires all of them
        self.computed: tuple[str, ...] = () if where_needed else self.domains

    def call(self, inputs: dict[str, Any], losses: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if self.where_needed:
            self.computed = tuple(domain for domain in self.domains if self._is_needed(inputs, domain))
        missing = [domain for domain in self.computed if keys.features(domain) not in inputs]
        return {keys.features(domain): run_backbone(self, inputs, domain) for domain in missing}, {}

    def _is_needed(self, inputs: Mapping[str, Any], domain: str) -> bool:
        return keys.network_input(domain) in inputs or bool(other_inputs(read(self, inputs, keys.G), inputs, domain))

    def _loss_keys(self) -> list[str]:
        return []

    def _out_keys(self) -> list[str]:
        return list(map(keys.features, self.computed))


def run_backbone(hook: object, inputs: Mapping[str, Any], domain: str, **kwargs: Any) -> Any:
    """Returns the output of G for a domain's images, augmented where an `AugmentHook` has run.

    Args:
        hook: named in errors.
        inputs: context with `G`; `src_imgs`, `src_imgs_input` where present, or those of the target; other inputs of G
            where present.
        domain: `src` or `target`.
        **kwargs: passed to G.

    Raises:
        KeyError: G or the images are missing.
    """
    backbone: nn.Module = read(hook, inputs, keys.G)
    images: Tensor = read(hook, inputs, keys.imgs(domain))
    others = other_inputs(backbone, inputs, domain)
    if "landmarks" in others and keys.affine(domain) in inputs:
        others["landmarks"] = moved_points(others["landmarks"], inputs[keys.affine(domain)])
    return backbone(inputs.get(keys.network_input(domain), images), **others, **kwargs)


def run_backbone_on_rows(hook: object, inputs: Mapping[str, Any], domain: str, rows: Tensor) -> Any:
    """Returns the output of G for some of a domain's images, without augmentation.

    Args:
        hook: named in errors.
        inputs: context with `G` and `src_imgs`, or that of the target; other inputs of G where present.
        domain: `src` or `target`.
        rows: int64, indices of the images.

    Raises:
        KeyError: G or the images are missing.
    """
    backbone: nn.Module = read(hook, inputs, keys.G)
    images: Tensor = read(hook, inputs, keys.imgs(domain))
    others = {name: values[rows] for name, values in other_inputs(backbone, inputs, domain).items()}
    return backbone(images[rows], **others)


def other_inputs(backbone: nn.Module, inputs: Mapping[str, Any], domain: str) -> dict[str, Any]:
    """Returns the inputs of G other than images that a batch has, by the name of G's argument.

    For example `src_imgs_landmarks` for `landmarks`, or `src_imgs_mask` for an argument `mask` of your own network.
    Raises `TypeError` or `ValueError` for landmarks of the wrong type or shape.
    """
    prefix = f"{keys.imgs(domain)}_"
    others = {name: inputs[prefix + name] for name in arguments_of(backbone) if prefix + name in inputs}
    if "landmarks" in others:
        check_landmarks(others["landmarks"], len(inputs[keys.imgs(domain)]), name=keys.landmarks(domain))
    return others


def arguments_of(backbone: nn.Module) -> tuple[str, ...]:
    """Returns the names of the arguments of a network, wrapped or not, except the first."""
    while isinstance(inner := getattr(backbone, "module", getattr(backbone, "_orig_mod", None)), nn.Module):
        backbone = inner
    return arguments_of_function(type(backbone).forward)


@lru_cache
def arguments_of_function(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Returns the names of the arguments of a module's `forward` after `self` and the first one."""
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    arguments = [one.name for one in inspect.signature(forward).parameters.values() if one.kind in named]
    return tuple(name for name in arguments[2:] if name not in WRITTEN)
