"""The networks that all methods share."""

from collections.abc import Sequence

from torch import nn

from dmsrl_adapt import MultiLevelBackbone
from dmsrl_adapt.backbones import StoredMaps

FEATURE_DIM = 256
SMALL_POOLS = {"small": "flatten", "pooled": "avg"}  # by the name of a network: what is made of its map


def conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; the map keeps its side at stride 1."""
    layers = (nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def small_trunk(size: int) -> nn.Sequential:
    """Three convolutions from images (N, 3, size, size) to maps (N, 64, s, s), s about 5 for 20 px and 6 for 48 px."""
    pools = [nn.MaxPool2d(2) for _ in range(2 if size > 32 else 1)]
    early = pools[1:]
    return nn.Sequential(conv(3, 24, 5, 2), *early, conv(24, 48, 3, 1), pools[0], conv(48, 64, 3, 1))


class Bottleneck(nn.Sequential):
    """From feature vectors (N, D) to features (N, feature_dim)."""

    def __init__(self, inputs: int, feature_dim: int = FEATURE_DIM) -> None:
        super().__init__(nn.Linear(inputs, feature_dim), nn.BatchNorm1d(feature_dim), nn.ReLU(inplace=True))
        self.feature_dim = feature_dim


FeatureExtractor = Bottleneck | MultiLevelBackbone


def feature_extractor(
    shape: tuple[int, ...], network: str, local: str | None, map_shapes: Sequence[tuple[int, int, int]] = ()
) -> FeatureExtractor:
    """Returns a fresh G, with `feature_dim`, for inputs of `shape`, (C, H, W) or (D,).

    Args:
        shape: of one sample.
        network: "small" for the convolutions above, their map kept whole, "pooled" for the same with global average
            pooling, as most networks have it, else the name of a timm model; feature vectors need none of them.
        local: local level of `MultiLevelBackbone`, where there is a map.
        map_shapes: of the maps that a row of numbers holds, where it holds maps, from the first depth to the last.
    """
    if map_shapes:
        levels = range(len(map_shapes))
        return MultiLevelBackbone(
            StoredMaps(map_shapes), local=local, levels=tuple(levels), fuse="norm", out_dim=FEATURE_DIM
        )
    if len(shape) == 1:
        return Bottleneck(shape[0])
    side = shape[1]
    if network in SMALL_POOLS:
        pool = SMALL_POOLS[network]
        return MultiLevelBackbone(
            small_trunk(side), local=local, global_pool=pool, out_dim=FEATURE_DIM, input_size=side
        )
    return MultiLevelBackbone(network, local=local, out_dim=FEATURE_DIM)
