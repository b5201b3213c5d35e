"""Hook: features of what G sees of each domain; and the one way in which hooks call G."""

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

# keys of hooks that begin like those of inputs
WRITTEN = ("features", "input", "augmented", "is_augmented", "affine")


class BackboneHook(BaseHook):
    """Computes features of the images as an `AugmentHook` before it has left them, else of the images themselves.

    It belongs in `pre=[...]` of any method: the hooks after it find the features and compute none of their own, so
    there is no further forward pass. Features that are in the context already are left as they are. Where G takes more
    than images and the batch brings it, `src_imgs_landmarks` for an argument `landmarks` of G, it is given that too,
    which upstream's own hooks do not do.

    Modules: `G`. Reads: `src_imgs_input` or `src_imgs`, and those of the target; other inputs of G, such as
    `src_imgs_landmarks`, where present. Writes: `src_imgs_features`, `target_imgs_features`. No losses.

    Args:
        domains: domains to compute.
        where_needed: compute only the domains whose features upstream's hooks would compute otherwise: those with
            augmented images, and those with other inputs of G.
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
        # of the last batch: upstream asks for the keys once more after a call, and wants each of them to be there
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
    """Returns what G gives for a domain's images as an `AugmentHook` before has left them, else for the images.

    Args:
        hook: named in errors.
        inputs: reads `G`; `src_imgs_input` or `src_imgs`, or those of the target; other inputs of G where present.
        domain: `src` or `target`.
        **kwargs: given to G.

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
    """Returns what G gives for some of a domain's images, not augmented.

    Args:
        hook: named in errors.
        inputs: reads `G` and `src_imgs`, or that of the target; other inputs of G where present.
        domain: `src` or `target`.
        rows: int64, which images.

    Raises:
        KeyError: G or the images are missing.
    """
    backbone: nn.Module = read(hook, inputs, keys.G)
    images: Tensor = read(hook, inputs, keys.imgs(domain))
    others = {name: values[rows] for name, values in other_inputs(backbone, inputs, domain).items()}
    return backbone(images[rows], **others)


def other_inputs(backbone: nn.Module, inputs: Mapping[str, Any], domain: str) -> dict[str, Any]:
    """Returns what a batch brings for G beside images, by the name of G's argument: `src_imgs_landmarks` for
    `landmarks`, and `src_imgs_mask` for an argument `mask` of a network of the user's.

    Raises `TypeError` or `ValueError` for landmarks of the wrong type or shape.
    """
    prefix = f"{keys.imgs(domain)}_"
    others = {name: inputs[prefix + name] for name in arguments_of(backbone) if prefix + name in inputs}
    if "landmarks" in others:
        check_landmarks(others["landmarks"], len(inputs[keys.imgs(domain)]), name=keys.landmarks(domain))
    return others


def arguments_of(backbone: nn.Module) -> tuple[str, ...]:
    """Returns the names of the arguments that a network, wrapped or not, takes beside its first one."""
    while isinstance(inner := getattr(backbone, "module", getattr(backbone, "_orig_mod", None)), nn.Module):
        backbone = inner
    return arguments_of_function(type(backbone).forward)


@lru_cache
def arguments_of_function(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Returns the names of the arguments of a module's `forward` beside `self` and the first one."""
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    arguments = [one.name for one in inspect.signature(forward).parameters.values() if one.kind in named]
    return tuple(name for name in arguments[2:] if name not in WRITTEN)
