"""A trained layer on feature vectors."""

from torch import nn

FEATURE_DIM = 256


class Bottleneck(nn.Sequential):
    """A linear layer with batch normalisation and ReLU, from feature vectors (N, D) to features (N, feature_dim).

    Args:
        inputs: D.
        feature_dim: size of the features.

    Examples:
        >>> import torch
        >>> Bottleneck(1280)(torch.zeros(2, 1280)).shape
        torch.Size([2, 256])
    """

    def __init__(self, inputs: int, feature_dim: int = FEATURE_DIM) -> None:
        super().__init__(nn.Linear(inputs, feature_dim), nn.BatchNorm1d(feature_dim), nn.ReLU(inplace=True))
        self.feature_dim = feature_dim
