"""The networks of all methods."""

from collections.abc import Sequence

from torch import nn

from dmsrl_adapt import MultiLevelBackbone
from dmsrl_adapt.backbones import FEATURE_DIM, Bottleneck, StoredMaps, signal_network

SMALL_POOLS = {"small": "flatten", "pooled": "avg"}  # global pooling, by name of the network


def conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Returns a convolution with batch normalisation and ReLU; stride 1 keeps the size of the map."""
    layers = (nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def small_trunk(size: int) -> nn.Sequential:
    """Returns three convolutions from images (N, 3, size, size) to maps (N, 64, s, s), s = 5 for 20 px, 6 for 48."""
    pools = [nn.MaxPool2d(2) for _ in range(2 if size > 32 else 1)]
    early = pools[1:]
    return nn.Sequential(conv(3, 24, 5, 2), *early, conv(24, 48, 3, 1), pools[0], conv(48, 64, 3, 1))


FeatureExtractor = Bottleneck | MultiLevelBackbone


def feature_extractor(
    shape: tuple[int, ...], network: str, local: str | None, map_shapes: Sequence[tuple[int, int, int]] = ()
) -> FeatureExtractor:
    """Returns a new G for inputs of `shape`, (C, H, W), (C, T) or (D,).

    Args:
        shape: of one sample.
        network: "small" for `small_trunk` with a flattened map, "pooled" for the same with global average pooling, or
            the name of a timm model. Not used for signals and feature vectors.
        local: `local` of `MultiLevelBackbone`. Not used for signals and feature vectors.
        map_shapes: shapes of the feature maps in a row of numbers, from the first depth to the last; empty if the
            inputs are not maps.
    """
    if map_shapes:
        levels = range(len(map_shapes))
        return MultiLevelBackbone(
            StoredMaps(map_shapes), local=local, levels=tuple(levels), fuse="norm", out_dim=FEATURE_DIM
        )
    if len(shape) == 1:
        return Bottleneck(shape[0])
    if len(shape) == 2:
        return signal_network(shape[0])
    side = shape[1]
    if network in SMALL_POOLS:
        pool = SMALL_POOLS[network]
        return MultiLevelBackbone(
            small_trunk(side), local=local, global_pool=pool, out_dim=FEATURE_DIM, input_size=side
        )
    return MultiLevelBackbone(network, local=local, out_dim=FEATURE_DIM)
