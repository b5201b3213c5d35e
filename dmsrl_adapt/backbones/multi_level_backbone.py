"""Global and local features of one or several depths, in one pass through a backbone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .foreign_outputs import as_map, listed_maps, looks_channels_last
from .local_windows import LocalWindows
from .map_pool import POOLS, MapPool
from .map_trunk import Levels, described, make_trunk

FUSIONS = ("concat", "norm", "project")


class MultiLevelBackbone(nn.Module):
    """Feature extractor G: global and local features of an image, fused to one vector, in one pass of a backbone.

    The global feature is the pooled last map, local features are pooled windows of it, and further ones are pooled maps
    of earlier depths. They are concatenated in this order. The state dict has `trunk.*`, with `out_dim` also
    `project.*` or `projects.*`, and with "gem" the powers `pools.*` and `local_pool.*`.

    Local features need maps of at least 3 x 3, that is images of 96 px for a backbone with stride 32. On 2 x 2 maps the
    corner windows are single cells, and on 1 x 1 maps all equal the global feature. For small images let `levels` end
    at an earlier depth.

    Args:
        backbone: name of a timm model, or a module from images to one or several maps (N, C, H, W), as a tensor, list,
            tuple, dict, named tuple or data class. The last map is used. Maps may be (N, H, W, C) if `output_fmt`, as
            defined by timm, is "NHWC", or if the map of a blank square image shows it. Without local features also
            vectors (N, D). docs/backbones.md has a table.
        pretrained: load timm's pretrained weights (by download); only with a name.
        in_chans: channels of the images.
        local: "corners" for the four windows of the paper, (rows, columns) for a grid that covers the map, "landmarks"
            for windows around eyes, nose and corners of the mouth, None for no local features.
        window: side of a window as a fraction of the map's, for corners and landmarks; None for 5/7 at the corners, as
            in the paper (5 x 5 of 7 x 7), and 2/5 around landmarks.
        global_pool: pooling of whole maps: "avg", "max", "gem", or "flatten", which needs `input_size`.
        out_dim: size of the projected feature; None for no projection.
        input_size: side of the images in pixels. Required for "flatten", for named layers, for a module without
            `feature_info`, and for timm models of a fixed size other than timm's default (224 for most vision
            transformers). One blank image is then passed through the network.
        levels: depths, each deeper than the one before: indices as timm's `out_indices`, where negative ones count from
            the last, or names of layers or of parts of a module's output. The last is the map of the global and local
            features. The others are named `depth_1` for index 1, or `layer2_0` for a layer `layer2.0`. None for the
            last map.
        local_pool: pooling of windows: "avg", "max" or "gem".
        fuse: "concat" concatenates the features, and with `out_dim` projects the result by a linear layer with batch
            normalisation and ReLU. "norm" first scales all features to the same norm, so that none dominates. "project"
            projects each feature to `out_dim`, so the fused feature has `out_dim` numbers per level.

    Raises:
        ValueError: unknown backbone, layer, local, pool or fuse, sizes out of range, or a backbone without maps.

    Reference:
        Li et al., IEEE Transactions on Multimedia, 2022, doi 10.1109/tmm.2022.3141604.

    Examples:
        >>> G = MultiLevelBackbone("resnet18", in_chans=1)
        >>> G.feature_dim, G(torch.zeros(2, 1, 64, 64)).shape
        (2560, torch.Size([2, 2560]))
        >>> list(G.levels(torch.zeros(2, 1, 64, 64)))
        ['global', 'top_left', 'top_right', 'bottom_left', 'bottom_right']
        >>> MultiLevelBackbone("resnet18", levels=(2, -1), local=(1, 2)).level_dims
        {'global': 512, 'window_0_0': 512, 'window_0_1': 512, 'depth_2': 128}
    """

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        pretrained: bool = False,
        in_chans: int = 3,
        local: str | tuple[int, int] | None = "corners",
        window: float | None = None,
        global_pool: str = "avg",
        out_dim: int | None = None,
        input_size: int | None = None,
        levels: Levels | None = None,
        local_pool: str = "avg",
        fuse: str = "concat",
    ) -> None:
        super().__init__()
        check_choices(global_pool, local_pool, fuse, out_dim)
        self.global_pool, self.fuse = global_pool, fuse
        names = level_names(levels)
        self.windows = None if local is None else LocalWindows(local, window)
        every = (*names, *(() if self.windows is None else self.windows.names))
        if len(set(every)) < len(every):
            raise ValueError(f"levels must have names of their own, got {every}")
        self.local_pool = MapPool(local_pool)
        # lists, not dicts by name: torch.export writes code that names modules, and "global" is a word of Python
        self.pools = nn.ModuleList([MapPool(global_pool) for _ in names])
        self.trunk = make_trunk(backbone, levels, pretrained, in_chans, input_size)
        # a module that is used as it is may return more maps than there are levels
        places = (-1,) if levels is None else levels if self.trunk is backbone else range(len(names))
        self.places: dict[str, Any] = dict(zip(names, places, strict=True))
        told = getattr(self.trunk, "output_fmt", "NCHW")  # as timm has it for Swin, for example
        self.is_channels_last = dict.fromkeys(self.places, told == "NHWC")
        self.level_dims = self._level_dims(backbone, in_chans, input_size)
        if fuse == "project" and out_dim is not None:
            self.projects = nn.ModuleList([projection(size, out_dim) for size in self.level_dims.values()])
            self.level_dims = dict.fromkeys(self.level_dims, out_dim)
            out_dim = None
        total = sum(self.level_dims.values())
        self.feature_dim = out_dim or total
        self.project = nn.Identity() if out_dim is None else projection(total, out_dim)

    def forward(
        self, x: Tensor, return_levels: bool = False, landmarks: Tensor | None = None
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Returns the fused feature, shape (N, feature_dim); with `return_levels` also its levels, see `levels`.

        Args:
            x: images, shape (N, in_chans, H, W).
            return_levels: also return the levels, from the same pass.
            landmarks: shape (N, 5, 2), see `LocalWindows`; None treats the images as aligned crops of faces.
        """
        levels = self.levels(x, landmarks)
        fused = self.project(torch.cat(list(levels.values()), dim=1))
        return (fused, levels) if return_levels else fused

    def levels(self, x: Tensor, landmarks: Tensor | None = None) -> dict[str, Tensor]:
        """Returns the features by level name, each of shape (N, level_dims[name]), before their concatenation.

        With "norm" they are scaled to the same norm, with "project" projected.

        Args:
            x: images, shape (N, in_chans, H, W).
            landmarks: as in `forward`.
        """
        parts = self._pooled(x, landmarks)
        if self.fuse == "norm":
            return with_one_length(parts)
        if self.fuse == "project":
            projected = zip(self.projects, parts.items(), strict=True)
            return {name: project(part) for project, (name, part) in projected}
        return parts

    def _pooled(self, x: Tensor, landmarks: Tensor | None = None) -> dict[str, Tensor]:
        maps = self._maps(x)
        pooled = {name: pool(of_depth) for pool, (name, of_depth) in zip(self.pools, maps.items(), strict=True)}
        windows = {} if self.windows is None else self.windows(maps["global"], landmarks)
        local = {name: self.local_pool(window) for name, window in windows.items()}
        return {"global": pooled["global"], **local, **pooled}

    def _maps(self, x: Tensor) -> dict[str, Tensor]:
        takes_vectors = self.windows is None
        return {
            name: as_map(part, self.is_channels_last[name], name, takes_vectors)
            for name, part in self._outputs(x).items()
        }

    def _outputs(self, x: Tensor) -> dict[str, Tensor]:
        outputs = listed_maps(self.trunk(x))
        return {name: outputs[place] for name, place in self.places.items()}

    def _find_channels(self, blank: Tensor) -> None:
        """Notes which levels have their channels last, by the maps of a blank square image and a wider one."""
        if any(self.is_channels_last.values()):  # the backbone has told
            return
        square = self._outputs(blank)
        if not any(looks_channels_last(of_square, None) for of_square in square.values()):
            return
        try:
            wide: Mapping[str, Tensor] = self._outputs(torch.cat([blank, blank], dim=3))
        except Exception:  # a network of a fixed size may raise anything
            wide = {}
        self.is_channels_last = {name: looks_channels_last(one, wide.get(name)) for name, one in square.items()}

    def _level_dims(self, backbone: str | nn.Module, in_chans: int, input_size: int | None) -> dict[str, int]:
        """Returns the sizes of the pooled features: by a blank image if its side is given, else from `feature_info`."""
        info: Any = getattr(self.trunk, "feature_info", None)  # without `channels` if the model is not cut off
        if input_size is not None:
            blank = next(self.trunk.parameters(), torch.empty(0)).new_zeros(1, in_chans, input_size, input_size)
            try:
                with torch.no_grad(), evaluating(self):
                    self._find_channels(blank)
                    return {name: part.shape[1] for name, part in self._pooled(blank).items()}
            except (RuntimeError, AssertionError, IndexError, TypeError, AttributeError, KeyError) as error:
                came, shape = described(backbone), tuple(blank.shape[1:])
                raise ValueError(f"{came} gives no maps of an image of shape {shape}: {error}") from error
        if self.global_pool == "flatten" or not hasattr(info, "channels"):
            raise ValueError("input_size, the side of the images in pixels, is needed by this backbone and global_pool")
        channels = {name: info.channels()[place] for name, place in self.places.items()}
        local = () if self.windows is None else self.windows.names
        return {"global": channels["global"], **dict.fromkeys(local, channels["global"]), **channels}


def check_choices(global_pool: str, local_pool: str, fuse: str, out_dim: int | None) -> None:
    """Raises `ValueError` for an unknown pool or fusion, or an `out_dim` that is missing or below 1."""
    for name, value, choices in (
        ("global_pool", global_pool, POOLS),
        ("local_pool", local_pool, POOLS[:-1]),  # windows differ in size
        ("fuse", fuse, FUSIONS),
    ):
        if value not in choices:
            raise ValueError(f"{name} must be one of {choices}, got {value!r}")
    if out_dim is not None and out_dim < 1:
        raise ValueError(f"out_dim must be at least 1 or None, got {out_dim}")
    if fuse == "project" and out_dim is None:
        raise ValueError("out_dim is needed by fuse='project'")


def level_names(levels: Levels | None) -> tuple[str, ...]:
    """Returns the names of the levels, the last "global". Raises `ValueError` unless all are ints or all are names."""
    if levels is None:
        return ("global",)
    given = levels if isinstance(levels, (list, tuple)) else ()
    if not given or not (all(isinstance(one, int) for one in given) or all(isinstance(one, str) for one in given)):
        raise ValueError(f"levels must be numbers or names of layers, at least one, got {levels!r}")
    earlier = [one.replace(".", "_") if isinstance(one, str) else f"depth_{one}" for one in levels[:-1]]
    return (*earlier, "global")


def projection(inputs: int, outputs: int) -> nn.Sequential:
    """Returns a linear layer with batch normalisation and ReLU."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True))


def with_one_length(levels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns features scaled to the same norm, with mean square 1 over all numbers of a sample.

    A zero feature stays zero.

    Args:
        levels: each of shape (N, D), with its own D.

    Examples:
        >>> with_one_length({"a": torch.tensor([[3.0, 4.0]]), "b": torch.tensor([[100.0, 0.0]])})
        {'a': tensor([[0.8485, 1.1314]]), 'b': tensor([[1.4142, 0.0000]])}
    """
    length = (sum(part.shape[1] for part in levels.values()) / len(levels)) ** 0.5
    return {name: length * F.normalize(part.float(), dim=1).to(part) for name, part in levels.items()}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Puts a module into evaluation mode, and restores the mode of all its submodules afterwards."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
