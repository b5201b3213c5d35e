"""Global and local features of one image in one pass through a backbone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import timm
import torch
from torch import Tensor, nn

CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "avg": lambda maps: maps.mean((2, 3)),
    "max": lambda maps: maps.amax((2, 3)),
    "flatten": lambda maps: maps.flatten(1),
}


def corner_windows(maps: Tensor, share: float) -> dict[str, Tensor]:
    """Four windows of a map, each at a corner and `share` of its height and width, in whole cells.

    They overlap where a side, as rounded, is more than half of the map's. For 5/7 that is so from 3 x 3 cells on;
    on 2 x 2 the windows are the single cells, and on 1 x 1 each of them is the map.

    Args:
        maps: shape (N, C, H, W).
        share: 0..1; a side is rounded to whole cells and is at least 1.

    Returns:
        windows by name, each of shape (N, C, h, w).

    Example:
        >>> corner_windows(torch.zeros(1, 8, 7, 7), 5 / 7)["top_left"].shape
        torch.Size([1, 8, 5, 5])
    """
    height, width = (max(1, round(side * share)) for side in maps.shape[2:])
    top, bottom = slice(None, height), slice(-height, None)
    left, right = slice(None, width), slice(-width, None)
    places = ((top, left), (top, right), (bottom, left), (bottom, right))
    return {name: maps[:, :, rows, columns] for name, (rows, columns) in zip(CORNERS, places, strict=True)}


class MultiLevelBackbone(nn.Module):
    """A feature extractor G: global and local features of an image, fused to one vector, by one pass of a backbone.

    The global feature is the pooled last map; local ones are four corner windows of it, averaged. They are concatenated
    and, with `out_dim`, projected by a linear layer with batch normalisation and ReLU. The state dict holds `trunk.*`
    and, with `out_dim`, `project.*`.

    Local features want maps of at least 3 x 3, so 96 px where a backbone divides sides by 32: on smaller ones the
    windows are single cells, and on 1 x 1 all repeat the global feature.

    Args:
        backbone: name of a timm model that has `features_only`, or a module that turns images into maps (N, C, H, W),
            or (N, H, W, C) where it says so by timm's `output_fmt`.
        pretrained: load timm's pretrained weights (by download); only with a name.
        in_chans: channels of the images.
        local: "corners" for the four windows of the paper, None for the global feature alone.
        window: side of a corner window as a share of the map's; 5/7 in the paper (5 x 5 of 7 x 7).
        global_pool: "avg", "max", or "flatten", which keeps the whole map and needs `input_size`.
        out_dim: size of the projected feature; None leaves the concatenation as it is.
        input_size: side of the images in pixels; needed by "flatten" and by a module without `out_channels`, for which
            one blank image is passed through it.

    Raises:
        ValueError: unknown backbone, local, global_pool, sizes out of range, or a module that gives no map.

    Reference:
        Li et al., IEEE Transactions on Multimedia, 2022, doi 10.1109/tmm.2022.3141604.

    Example:
        >>> G = MultiLevelBackbone("resnet18", in_chans=1)
        >>> G.feature_dim, G(torch.zeros(2, 1, 64, 64)).shape
        (2560, torch.Size([2, 2560]))
        >>> list(G.levels(torch.zeros(2, 1, 64, 64)))
        ['global', 'top_left', 'top_right', 'bottom_left', 'bottom_right']
    """

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        pretrained: bool = False,
        in_chans: int = 3,
        local: str | None = "corners",
        window: float = 5 / 7,
        global_pool: str = "avg",
        out_dim: int | None = None,
        input_size: int | None = None,
    ) -> None:
        super().__init__()
        if local not in ("corners", None):
            raise ValueError(f"local must be 'corners' or None, got {local!r}")
        if global_pool not in POOLS:
            raise ValueError(f"global_pool must be one of {tuple(POOLS)}, got {global_pool!r}")
        if not 0 < window <= 1:
            raise ValueError(f"window must be above 0 and at most 1, got {window}")
        if out_dim is not None and out_dim < 1:
            raise ValueError(f"out_dim must be at least 1 or None, got {out_dim}")
        self.local, self.window, self.global_pool = local, window, global_pool
        self.trunk = load_trunk(backbone, pretrained, in_chans) if isinstance(backbone, str) else backbone
        channels, cells = self._map_size(in_chans, input_size)
        self.level_dims = {"global": channels * cells}
        if local is not None:
            self.level_dims.update(dict.fromkeys(CORNERS, channels))
        total = sum(self.level_dims.values())
        self.feature_dim = out_dim or total
        self.project = (
            nn.Identity()
            if out_dim is None
            else nn.Sequential(nn.Linear(total, out_dim), nn.BatchNorm1d(out_dim), nn.ReLU(inplace=True))
        )

    def forward(self, x: Tensor, return_levels: bool = False) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Gives the fused feature, shape (N, feature_dim), and on request the levels it was made of, as `levels` does.

        Args:
            x: images, shape (N, in_chans, H, W).
            return_levels: also give the levels, from the same pass.
        """
        levels = self.levels(x)
        fused = self.project(torch.cat(list(levels.values()), dim=1))
        return (fused, levels) if return_levels else fused

    def levels(self, x: Tensor) -> dict[str, Tensor]:
        """Gives the named features of images (N, in_chans, H, W), each of shape (N, level_dims[name])."""
        maps = self._maps(x)
        levels = {"global": POOLS[self.global_pool](maps)}
        if self.local is not None:
            levels.update({name: part.mean((2, 3)) for name, part in corner_windows(maps, self.window).items()})
        return levels

    def _maps(self, x: Tensor) -> Tensor:
        maps = self.trunk(x)
        maps = maps[-1] if isinstance(maps, (list, tuple)) else maps
        if maps.ndim != 4:
            raise ValueError(f"the backbone must give maps of shape (N, C, H, W), got {tuple(maps.shape)}")
        is_channels_last = getattr(self.trunk, "output_fmt", "NCHW") == "NHWC"  # what timm says of Swin and the like
        return maps.permute(0, 3, 1, 2) if is_channels_last else maps

    def _map_size(self, in_chans: int, input_size: int | None) -> tuple[int, int]:
        """Channels of the last map and, for "flatten", its number of cells, else 1."""
        info: Any = getattr(self.trunk, "feature_info", None)  # without `channels` where the model is not cut down
        if hasattr(info, "channels") and self.global_pool != "flatten":
            return info.channels()[-1], 1
        if input_size is None:
            raise ValueError("input_size, the side of the images in pixels, is needed by this backbone and global_pool")
        parameter = next(self.trunk.parameters(), torch.empty(0))
        with torch.no_grad(), evaluating(self.trunk):
            maps = self._maps(torch.zeros(1, in_chans, input_size, input_size, device=parameter.device))
        return maps.shape[1], maps[0, 0].numel() if self.global_pool == "flatten" else 1


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Puts a module into evaluation mode, and afterwards each of its parts into the mode in which it was."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def load_trunk(name: str, pretrained: bool, in_chans: int) -> nn.Module:
    """Gives the timm model `name` cut down to its last map. Raises `ValueError` where timm has none by that name."""
    if not timm.is_model(name):
        raise ValueError(f"timm has no model named {name!r}; timm.list_models() names those it has")
    options: dict[str, Any] = {"features_only": True, "out_indices": (-1,)}
    try:
        return timm.create_model(name, pretrained=pretrained, in_chans=in_chans, **options)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ValueError(f"timm model {name!r} gives no maps by features_only: {error}") from error
