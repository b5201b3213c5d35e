"""The feature extractor of a model, by name or from a module, with the inputs that it takes."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from ..backbones import FEATURE_DIM, Bottleneck, MultiLevelBackbone, signal_network
from ..backbones.multi_level_backbone import evaluating
from ..data import Samples
from .frozen_features import MEAN, NETWORK, STD, network, package_weights
from .preprocessing import Preprocessing

FROZEN, VECTORS, SIGNALS, MODULE = "frozen", "vectors", "signals", "module"
FROZEN_SIZE = 128  # side of the images that the frozen network takes, in pixels
RANDOM = "random"  # in place of weights: none
Size = int | tuple[int, int] | None


@dataclass
class Network:
    """A feature extractor.

    name: "frozen", "vectors", "signals", "module", or of a timm model.
    G: the trained part, with features of size `feature_dim`.
    before: a network that stays as it is, whose output G takes; None if G takes the inputs.
    pretrained: the part of G that was trained on other data, None if nothing was.
    """

    name: str
    G: nn.Module
    feature_dim: int
    inputs: Preprocessing
    before: nn.Module | None = None
    pretrained: nn.Module | None = None


def make_network(
    model: str | nn.Module, samples: Samples, size: Size = None, weights: str | Path | None = None
) -> Network:
    """Returns the feature extractor for some samples.

    Args:
        model: name of a timm model, "frozen", or a module from inputs to features (N, D) or maps.
        samples: of which the kind and the shape count.
        size: side, or height and width, of the images in pixels; None for what timm says of the model.
        weights: a file of weights of a timm model, "random" for none, or None for timm's own, which it downloads.

    Raises:
        ValueError: a model that does not take such samples, an unknown name, or weights that do not fit.
        OSError: weights that cannot be downloaded or read.
    """
    if isinstance(model, nn.Module):
        return of_module(model, inputs_of(samples, size, model))
    shape = tuple(samples[0].shape)
    if samples.kind in ("vector", "signal"):
        return of_rows(shape)
    if samples.kind != "image":
        raise ValueError(f"model must be a module for inputs of shape {shape} of {samples.origin}, got {model!r}")
    return by_name(model, height_and_width(size), weights)


def of_rows(shape: tuple[int, ...]) -> Network:
    """Returns the feature extractor of vectors, shape (D,), or signals, shape (C, T)."""
    if len(shape) == 1:
        return Network(VECTORS, Bottleneck(*shape), FEATURE_DIM, Preprocessing("vector", shape))
    return Network(SIGNALS, signal_network(shape[0]), FEATURE_DIM, Preprocessing("signal", shape))


def by_name(name: str, size: tuple[int, int] | None, weights: Any = None) -> Network:
    """Returns the feature extractor for images of a name; see `make_network`."""
    if name == FROZEN:
        shape = (3, *(size or (FROZEN_SIZE, FROZEN_SIZE)))
        mean, std = (tuple([one / 255] * 3) for one in (MEAN, STD))
        return Network(FROZEN, Bottleneck(1280), FEATURE_DIM, Preprocessing("image", shape, mean, std), network())
    on_hub = ":" in name  # as in hf-hub:timm/resnet18.a1_in1k
    if not (on_hub or timm.is_model(name)):
        raise ValueError(f"model must be a module, {FROZEN!r} or a name of timm.list_models(), got {name!r}")
    config = timm.get_pretrained_cfg(name.rpartition("/")[2].partition("@")[0])
    chosen = {} if size is None else {"input_size": (3, *size)}
    inputs = Preprocessing.of_timm(resolve_data_config(chosen, pretrained_cfg=config.to_dict() if config else {}))
    options = {"img_size": inputs.shape[1:]} if getattr(config, "fixed_input_size", False) else {}
    trunk = timm_model(name, weights, **options)
    with torch.no_grad(), evaluating(trunk):
        width = trunk(torch.zeros(1, *inputs.shape)).shape[1]
    G = nn.Sequential(OrderedDict(trunk=trunk, bottleneck=Bottleneck(width)))
    return Network(name, G, FEATURE_DIM, inputs, pretrained=None if weights == RANDOM else trunk)


def timm_model(name: str, weights: Any, **options: Any) -> nn.Module:
    """Returns a timm model without its classifier; see `make_network` for the weights."""
    if weights is None and name == NETWORK:
        options["pretrained_cfg_overlay"] = {"state_dict": package_weights()}
    elif weights not in (None, RANDOM):
        if not Path(weights).is_file():
            raise ValueError(f"weights must be a file or {RANDOM!r}, got {str(weights)!r}")
        options["pretrained_cfg_overlay"] = {"file": str(weights)}
    try:
        return timm.create_model(name, pretrained=weights != RANDOM, num_classes=0, **options)
    except Exception as error:  # the hub's client and damaged files raise many types
        if weights == RANDOM:
            raise
        came = "be downloaded" if weights is None else f"be read from {weights}"
        hint = f"name a file of them, or {RANDOM!r} to train from scratch"
        raise OSError(f"weights of {name} cannot {came}: {str(error).partition(chr(10))[0]}; {hint}") from error


def inputs_of(samples: Samples, size: Size, module: nn.Module) -> Preprocessing:
    """Returns how a module of the user's takes samples. Raises `ValueError` for images without a size."""
    if samples.kind != "image":
        return Preprocessing(samples.kind, tuple(samples[0].shape))
    config, chosen = getattr(module, "pretrained_cfg", None), height_and_width(size)
    if config:
        return Preprocessing.of_timm(
            resolve_data_config({"input_size": (3, *chosen)} if chosen else {}, pretrained_cfg=dict(config))
        )
    if chosen is None:
        raise ValueError("size, the height and width of the images in pixels, must be given for a module")
    return Preprocessing("image", (3, *chosen))


def of_module(module: nn.Module, inputs: Preprocessing) -> Network:
    """Returns the feature extractor of a module that gives features (N, D), or maps, which are pooled.

    Raises:
        ValueError: a module that takes no such inputs, or gives something else.
    """
    blank = torch.zeros(2, *inputs.shape)
    try:
        with torch.no_grad(), evaluating(module):
            output = module(blank)
    except Exception as error:  # a user's module may raise anything
        raise ValueError(f"model must take inputs of shape (N, *{inputs.shape}): {error}") from error
    if isinstance(output, Tensor) and output.ndim == 2:
        return Network(MODULE, module, output.shape[1], inputs, pretrained=module)
    if len(inputs.shape) != 3:
        came = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"model must return features of shape (N, D), got {came}")
    G = MultiLevelBackbone(module, in_chans=inputs.shape[0], local=None, input_size=inputs.shape[1])
    return Network(MODULE, G, G.feature_dim, inputs, pretrained=module)


def height_and_width(size: Size) -> tuple[int, int] | None:
    """Returns a size as height and width. Raises `ValueError` unless both are at least 1."""
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"size must be pixels or (height, width), at least 1, got {size}")
    return sides[0], sides[1]
