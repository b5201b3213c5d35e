"""Feature maps of a frozen network, cached on disk: multi-level features without a GPU."""

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
    """Result of `frozen_maps`.

    rows: float16 (N, D), memory-mapped: the concatenated maps of each image, as inputs of G.
    shapes: (C, H, W) of each map, for `StoredMaps`.
    """

    rows: Tensor
    shapes: list[Shape]


def frozen_maps(
    images: Tensor, network: nn.Module, folder: str | Path, batch_size: int = 64, shows_progress: bool = True
) -> FrozenMaps:
    """Returns the feature maps of images by a frozen network, cached in a file in `folder`.

    The name of the file depends on the images and on the network, by its printed structure and its state. Other
    changes, for example of a plain attribute, are detected by a probe: the maps of some images are computed at every
    call, and if they differ from the cached ones by more than rounding, another file is used. An interrupted
    computation resumes with the next batch. One process at a time fills a file, while others wait.

    Args:
        images: shape (N, C, H, W), N at least 1, any dtype that the network accepts.
        network: returns maps (N, C, H, W), for example `NamedLayers`; it must include the scaling of pixels.
            It runs in evaluation mode on its current device. It must be deterministic, and the maps of an image must
            not depend on the batch.
        folder: created if missing.
        batch_size: images per forward pass.
        shows_progress: print a progress bar to stderr during computation.

    Raises:
        ValueError: no images, an output that is not a list of maps, a value that float16 cannot hold, or maps of an
            image that differ between calls.

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

    # one thread at a time, because threads may share the network and its mode
    with ONE_AT_A_TIME, torch.no_grad(), evaluating(network):
        shapes = [(c, h, w) for _, c, h, w in (one.shape for one in maps_of(network, images[:1].to(device)))]
        stem = Path(folder) / f"maps-{fingerprint(images, network)}"
        rows = kept_rows(stem, images, compute, batch_size, desc="frozen maps", disable=not shows_progress)
    return FrozenMaps(rows, shapes)


def fingerprint(images: Tensor, network: nn.Module, what: str = "") -> str:
    """Returns a hash of all pixels and of the network's structure and state.

    what: name of the computation, to distinguish several for the same images.
    """
    structure = re.sub(r" at 0x[0-9a-f]+", "", str(network))  # addresses of functions differ between processes
    digest = hashlib.sha256(f"{structure}|{images.shape}|{images.dtype}{what}".encode())
    for name, value in [*network.state_dict().items(), ("images", images)]:
        if not isinstance(value, Tensor):
            digest.update(f"{name}|{value}".encode())
            continue
        digest.update(f"{name}|{value.shape}|{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:24]


def maps_of(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Returns the network's maps. Raises `ValueError` for another output."""
    maps = listed_maps(network(images))
    if any(one.ndim != 4 for one in maps):
        raise ValueError(f"the network must return maps (N, C, H, W), got {[tuple(one.shape) for one in maps]}")
    return maps
