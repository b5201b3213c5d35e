"""Feature maps of several depths of a network, by depth number or layer name."""

from collections.abc import Sequence
from typing import Any

import timm
from timm.models import FeatureHooks
from torch import Tensor, nn

from .foreign_outputs import named_maps, named_parts

Levels = Sequence[int] | Sequence[str]


class NamedLayers(nn.Module):
    """Returns the outputs of named layers of any module, by forward hooks.

    If the module's own output is a dict with all of these names, as that of torchvision's `create_feature_extractor`,
    its parts are returned.

    Args:
        net: any module; it runs as a whole, including layers after the last named one.
        names: names of layers in `net.named_modules()`.

    Raises:
        ValueError: an unknown name.

    Examples:
        >>> import torch
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
        >>> [tuple(maps.shape) for maps in NamedLayers(net, ["0"])(torch.zeros(2, 3, 8, 8))]
        [(2, 4, 6, 6)]
    """

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        if lack := lacking(net, names):
            raise ValueError(lack)
        self.net, self.names = net, tuple(names)
        self.output_fmt = getattr(net, "output_fmt", "NCHW")  # position of the channels, as timm defines it
        self._hook()

    def _hook(self) -> None:
        layers = dict(self.net.named_modules())
        self.hooks = FeatureHooks(self.names, self.net.named_modules())
        self.hooked = [(layers[name],) for name in self.names]  # in tuples: no second registration

    def forward(self, x: Tensor) -> list[Tensor]:
        """Returns one output per name, in order. Raises `ValueError` for a layer that the forward pass does not use."""
        layers = dict(self.net.named_modules())
        now = [layers.get(name, old) for name, (old,) in zip(self.names, self.hooked, strict=True)]
        if any(layer is not old for layer, (old,) in zip(now, self.hooked, strict=True)):
            self._hook()  # a layer was replaced, for example by one with LoRA
        output = self.net(x)
        outputs = self.hooks.get_output(x.device)
        if parts := named_parts(output):
            outputs = parts if all(name in parts for name in self.names) else outputs
        missing = [name for name in self.names if name not in outputs]
        if missing:
            raise ValueError(f"the pass through {type(self.net).__name__} does not reach its layers {missing}")
        return [outputs[name] for name in self.names]


class NamedOutputs(nn.Module):
    """Returns named parts of the output of a module that gives a dict, named tuple or data class of maps.

    Args:
        net: any module.
        names: names of parts of its output.
    """

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(names)
        self.output_fmt = getattr(net, "output_fmt", "NCHW")

    def forward(self, x: Tensor) -> list[Tensor]:
        """Returns one map per name, in order. Raises `ValueError` if the output has no such parts."""
        output = self.net(x)
        try:
            return named_maps(output, self.names)
        except ValueError as error:
            raise ValueError(f"{lacking(self.net, self.names)}; {error}") from error


def lacking(net: nn.Module, names: Sequence[str]) -> str:
    """Returns which names are not of layers of a module, as the text of an error; empty if all are."""
    known = dict(net.named_modules())
    missing = [name for name in names if name not in known]
    there = [name for name in known if name and "." not in name]
    return f"{type(net).__name__} has no layers {missing}, it has {there} and what is inside them" if missing else ""


class Intermediates(nn.Module):
    """Returns maps of some depths of a module with timm's `forward_intermediates`.

    Args:
        net: a timm model, for example a vision transformer with its classifier.
        depths: indices into the maps of the model; negative ones count from the last.
    """

    def __init__(self, net: Any, depths: Sequence[int]) -> None:
        super().__init__()
        self.net, self.depths = net, list(depths)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Returns one map (N, C, H, W) per depth."""
        maps: list[Tensor] = self.net.forward_intermediates(x, indices=self.depths, intermediates_only=True)
        return maps


def make_trunk(
    backbone: str | nn.Module, levels: Levels | None, pretrained: bool, in_chans: int, input_size: int | None
) -> nn.Module:
    """Returns a module from images to a list of maps, one per level; without levels, `backbone` may be returned itself.

    Args:
        backbone: name of a timm model, or a module.
        levels: depth numbers, or names of layers or, for a module, of parts of its output; None for the last map of a
            timm model, or for the output of a module. A module without `forward_intermediates` is returned as it is for
            depth numbers, which then index its output.
        pretrained: load timm's pretrained weights (by download); only with a name.
        in_chans: channels of the images; only with a name.
        input_size: side of the images, for timm models with a fixed size; None for timm's default.

    Raises:
        ValueError: unknown name or layer, or a timm model without such maps.
    """
    if isinstance(backbone, str):
        return load_trunk(backbone, (-1,) if levels is None else levels, pretrained, in_chans, input_size)
    if levels is not None and isinstance(levels[0], str):
        names = [str(name) for name in levels]
        return NamedOutputs(backbone, names) if lacking(backbone, names) else NamedLayers(backbone, names)
    if levels is not None and hasattr(backbone, "forward_intermediates"):
        return Intermediates(backbone, [int(depth) for depth in levels])
    return backbone


def load_trunk(name: str, levels: Levels, pretrained: bool, in_chans: int, input_size: int | None) -> nn.Module:
    """Returns the timm model `name` as a module from images to a list of maps, one per level.

    For depth numbers it is timm's `features_only` model, which is cut off after the last map or, for example for vision
    transformers, calls `forward_intermediates`. For names of layers it is the whole network without its classifier.
    Arguments and errors are those of `make_trunk`.
    """
    on_hub = ":" in name  # as in hf-hub:timm/resnet18.a1_in1k, which ends in a name
    known = name.rpartition("/")[2].partition("@")[0] if on_hub else name
    if not (on_hub or timm.is_model(name)):
        raise ValueError(f"timm has no model named {name!r}; timm.list_models() names those it has")
    options: dict[str, Any] = {"pretrained": pretrained, "in_chans": in_chans}
    if input_size is not None and getattr(timm.get_pretrained_cfg(known), "fixed_input_size", False):
        options["img_size"] = input_size
    if isinstance(levels[0], str):
        return NamedLayers(timm.create_model(name, num_classes=0, **options), [str(layer) for layer in levels])
    try:
        trunk: Any = timm.create_model(name, features_only=True, out_indices=tuple(levels), **options)
    except (RuntimeError, AttributeError, TypeError, AssertionError, IndexError) as error:
        raise ValueError(f"{described(name)} gives no maps {tuple(levels)} by features_only: {error}") from error
    total = len(trunk.feature_info)
    depths = [int(depth) % total for depth in levels]
    if depths != sorted(set(depths)):  # timm returns them in the order of the network
        raise ValueError(f"levels must go deeper one by one, got {tuple(levels)} of {total} of {described(name)}")
    return trunk


def described(backbone: str | nn.Module) -> str:
    """Returns a text for errors: the class of a module, or the name and family of a timm model."""
    if not isinstance(backbone, str):
        return type(backbone).__name__
    family = timm.model_entrypoint(backbone).__module__.rpartition(".")[2] if timm.is_model(backbone) else "unknown"
    return f"timm model {backbone!r} (family {family})"
