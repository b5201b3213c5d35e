"""Maps of a frozen network, computed once and kept on disk: multi-level features on a machine without a GPU."""

import hashlib
import itertools
import re
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .foreign_outputs import listed_maps
from .kept_rows import ONE_AT_A_TIME, kept_rows
from .multi_level_backbone import evaluating

Shape = tuple[int, int, int]


class FrozenMaps(NamedTuple):
    """What `frozen_maps` gives.

    rows: float16 (N, D), memory-mapped: all maps of an image one after the other, for G to be trained on.
    shapes: (C, H, W) of each map, for `StoredMaps`.
    """

    rows: Tensor
    shapes: list[Shape]


def frozen_maps(
    images: Tensor, network: nn.Module, folder: str | Path, batch_size: int = 64, shows_progress: bool = True
) -> FrozenMaps:
    """Returns the maps of images by a frozen network, from a file in `folder` or computed and kept there.

    The name of the file depends on the images and on the network, its structure as it is printed and its state. What
    neither tells, a number kept as a plain attribute for one, shows in the maps: those of some images are computed at
    every call, and where they differ from the kept ones, by more than rounding, another file is made. An interrupted
    computation goes on with the next batch. One process at a time fills a file, while the others wait for it.

    Args:
        images: shape (N, C, H, W), N at least 1, any type that the network takes.
        network: gives maps (N, C, H, W), as `NamedLayers` does; whatever scales pixels belongs in it. It runs
            in evaluation mode, on the device on which it is. There it must be deterministic, and give an image the same
            maps in every batch.
        folder: made where it is missing.
        batch_size: images a pass.
        shows_progress: print a progress bar to the error stream while something is computed.

    Raises:
        ValueError: no images, what the network gives are no maps, a value that float16 cannot hold, or an image
            whose maps are others a second time.

    Examples:
        >>> import tempfile
        >>> from dmsrl_adapt import MultiLevelBackbone
        >>> from dmsrl_adapt.backbones import NamedLayers, StoredMaps
        >>> net = NamedLayers(nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 8, 3, 2)), ["0", "1"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     maps = frozen_maps(torch.randn(10, 3, 20, 20), net, folder, shows_progress=False)
        ...     G = MultiLevelBackbone(StoredMaps(maps.shapes), levels=(0, -1), local=(2, 2))
        ...     G(maps.rows[:5]).shape
        torch.Size([5, 44])
    """
    if images.ndim != 4 or not len(images):
        raise ValueError(f"images must have shape (N, C, H, W), N at least 1, got {tuple(images.shape)}")
    device = next(itertools.chain(network.parameters(), network.buffers()), torch.empty(0)).device

    def compute(part: Tensor) -> list[Tensor]:
        return [one.half() for one in maps_of(network, part.to(device))]

    # in evaluation mode as long as any thread computes with it
    with ONE_AT_A_TIME, torch.no_grad(), evaluating(network):
        shapes = [(c, h, w) for _, c, h, w in (one.shape for one in maps_of(network, images[:1].to(device)))]
        stem = Path(folder) / f"maps-{fingerprint(images, network)}"
        rows = kept_rows(stem, images, compute, batch_size, desc="frozen maps", disable=not shows_progress)
    return FrozenMaps(rows, shapes)


def fingerprint(images: Tensor, network: nn.Module, what: str = "") -> str:
    """Returns a text that depends on every pixel and every weight.

    what: tells it from something else that is computed of the same images.
    """
    structure = re.sub(r" at 0x[0-9a-f]+", "", str(network))  # where a function lies differs between processes
    digest = hashlib.sha256(f"{structure}|{images.shape}|{images.dtype}{what}".encode())
    for name, value in [*network.state_dict().items(), ("images", images)]:
        if not isinstance(value, Tensor):
            digest.update(f"{name}|{value}".encode())
            continue
        digest.update(f"{name}|{value.shape}|{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:24]


def maps_of(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Returns the network's maps. Raises `ValueError` where it gives something else."""
    maps = listed_maps(network(images))
    if any(one.ndim != 4 for one in maps):
        raise ValueError(f"the network must give maps (N, C, H, W), got {[tuple(one.shape) for one in maps]}")
    return maps
