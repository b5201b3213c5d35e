"""Maps of a frozen network, computed once and kept on disk: multi-level features on a machine without a GPU."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

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

    The name of the file depends on the images and on the network, its structure as it is printed and its state; where
    any of them changes, another file is made, and the old one is of no more use. An interrupted computation goes on
    with the next batch. One process at a time may fill a file.

    Args:
        images: shape (N, C, H, W), N at least 1, any type that the network takes.
        network: gives a list of maps (N, C, H, W), for one `NamedLayers`; whatever scales pixels belongs in it. It runs
            in evaluation mode, on the device on which it is.
        folder: made where it is missing.
        batch_size: images a pass.
        shows_progress: print a progress bar to the error stream while something is computed.

    Raises:
        ValueError: no images, what the network gives is no list of maps, or a value that float16 cannot hold.

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
    path = Path(folder) / f"maps-{fingerprint(images, network)}.npy"
    done = read_progress(path)
    if done is None or done.rows < len(images):
        done = fill(path, images, network, batch_size, done, shows_progress)
    # copy on write, since torch has no tensors that cannot be written to; the file stays as it is
    return FrozenMaps(torch.from_numpy(np.load(path, mmap_mode="c")), done.shapes)


def fingerprint(images: Tensor, network: nn.Module) -> str:
    """Returns a text that depends on every pixel and every weight."""
    digest = hashlib.sha256(f"{network}|{images.shape}|{images.dtype}".encode())
    for name, value in [*network.state_dict().items(), ("images", images)]:
        digest.update(f"{name}|{value.shape}|{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:24]


class Progress(NamedTuple):
    """How much of a file is filled.

    rows: number of images that are done.
    shapes: of the maps in a row.
    """

    rows: int
    shapes: list[Shape]


def read_progress(path: Path) -> Progress | None:
    """Returns how much of a file is filled; None where it has not been begun."""
    note = path.with_suffix(".json")
    if not (path.is_file() and note.is_file()):
        return None
    kept = json.loads(note.read_text())
    return Progress(kept["rows"], [(c, h, w) for c, h, w in kept["shapes"]])


def write_progress(path: Path, progress: Progress) -> None:
    """Notes how much of a file is filled, at once or not at all."""
    unfinished = path.with_suffix(".json.part")
    unfinished.write_text(json.dumps(progress._asdict()))
    unfinished.replace(path.with_suffix(".json"))


def fill(
    path: Path, images: Tensor, network: nn.Module, batch_size: int, done: Progress | None, shows_progress: bool
) -> Progress:
    """Computes the rows that a file lacks, batch by batch."""
    device = next(network.parameters(), torch.empty(0)).device
    with torch.no_grad(), evaluating(network):
        if done is None:
            shapes = [(c, h, w) for _, c, h, w in (one.shape for one in maps_of(network, images[:1].to(device)))]
            path.parent.mkdir(parents=True, exist_ok=True)
            size = sum(c * h * w for c, h, w in shapes)
            np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(len(images), size)).flush()
            done = Progress(0, shapes)
        rows = np.load(path, mmap_mode="r+")
        with tqdm(total=len(images), initial=done.rows, desc="frozen maps", disable=not shows_progress) as bar:
            for start in range(done.rows, len(images), batch_size):
                part = images[start : start + batch_size].to(device)
                values = torch.cat([one.flatten(1) for one in maps_of(network, part)], dim=1).half()
                if not values.isfinite().all():
                    raise ValueError(f"maps must be finite in float16, those of images {start} on are not")
                rows[start : start + len(part)] = values.cpu().numpy()
                rows.flush()
                done = Progress(start + len(part), done.shapes)
                write_progress(path, done)
                bar.update(len(part))
    return done


def maps_of(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Returns the network's maps. Raises `ValueError` where it gives something else."""
    maps = network(images)
    if not isinstance(maps, (list, tuple)) or not maps or any(one.ndim != 4 for one in maps):
        came = [tuple(one.shape) for one in maps] if isinstance(maps, (list, tuple)) else type(maps).__name__
        raise ValueError(f"the network must give a list of maps (N, C, H, W), got {came}")
    return list(maps)
