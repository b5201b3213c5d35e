"""Hook: features of the augmented images; and the functions by which hooks call G."""

import inspect
from collections.abc import Mapping, Sequence
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
    others = {name: rows_of(value, rows, len(images)) for name, value in other_inputs(backbone, inputs, domain).items()}
    return backbone(images[rows], **others)


def rows_of(value: Any, rows: Tensor, size: int) -> Any:
    """Returns the rows of a tensor with one row for each image; the value itself if it is something else."""
    has_rows = isinstance(value, Tensor) and value.ndim > 0 and len(value) == size
    return value[rows] if has_rows else value


def other_inputs(backbone: nn.Module, inputs: Mapping[str, Any], domain: str) -> dict[str, Any]:
    """Returns what a batch brings for G beside images, by the name of G's argument.

    `src_imgs_landmarks` is for an argument `landmarks`, `src_imgs_mask` for an argument `mask` of a network of the
    user's. Tensors have one row for each image; other values are passed on unchanged.

    Raises:
        TypeError: landmarks for a network that takes none, or of the wrong type.
        ValueError: landmarks of the wrong shape.
    """
    prefix, arguments = f"{keys.imgs(domain)}_", arguments_of(backbone)
    others = {name: inputs[prefix + name] for name in arguments if prefix + name in inputs}
    if keys.landmarks(domain) in inputs and "landmarks" not in others:
        came = type(backbone).__name__
        raise TypeError(f"{keys.landmarks(domain)} needs a G whose forward takes landmarks, got {came}")
    if "landmarks" in others:
        check_landmarks(others["landmarks"], len(inputs[keys.imgs(domain)]), name=keys.landmarks(domain))
    return others


def arguments_of(backbone: nn.Module) -> tuple[str, ...]:
    """Returns the names of the arguments that a network takes beside its first one.

    A wrapper that passes on any keyword, such as `DistributedDataParallel`, takes those of the one network in it.
    """
    forward: Any = backbone.forward
    if hasattr(forward, "schema"):  # of a network that was traced or scripted
        return tuple(one.name for one in forward.schema.arguments[2:] if one.name not in WRITTEN)
    parameters = list(inspect.signature(forward).parameters.values())
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    names = [one.name for one in parameters if one.kind in named]
    is_first_named = bool(parameters) and parameters[0].kind in named
    names = names[1:] if is_first_named else names
    inner = list(backbone.children())
    if len(inner) == 1 and any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        names += arguments_of(inner[0])
    return tuple(name for name in dict.fromkeys(names) if name not in WRITTEN)
