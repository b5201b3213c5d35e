"""Small networks for feature vectors and signals."""

from torch import nn

FEATURE_DIM = 256
SIGNAL_DIM = 512  # of what the convolutions of `signal_network` give


class Bottleneck(nn.Sequential):
    """A linear layer with batch normalisation and ReLU, from feature vectors (N, D) to features (N, feature_dim).

    Args:
        inputs: D.
        feature_dim: size of the features.
        trunk: gives the feature vectors, from inputs of any kind; None if the inputs are feature vectors.

    Examples:
        >>> import torch
        >>> Bottleneck(1280)(torch.zeros(2, 1280)).shape
        torch.Size([2, 256])
    """

    def __init__(self, inputs: int, feature_dim: int = FEATURE_DIM, trunk: nn.Module | None = None) -> None:
        layers = (nn.Linear(inputs, feature_dim), nn.BatchNorm1d(feature_dim), nn.ReLU(inplace=True))
        super().__init__(*([] if trunk is None else [trunk]), *layers)
        self.feature_dim = feature_dim


def signal_network(channels: int) -> Bottleneck:
    """Returns a network of four 1-D convolutions for signals (N, channels, T), T at least 16.

    The first convolution is wide, as in WDCNN (Zhang et al., Sensors 2017). The input is normalised, because sensors
    have different gains.

    Examples:
        >>> import torch
        >>> signal_network(channels=1)(torch.zeros(2, 1, 1024)).shape
        torch.Size([2, 256])
    """
    layers: list[nn.Module] = [nn.BatchNorm1d(channels, affine=False)]
    for inputs, outputs, kernel, stride in ((channels, 16, 64, 8), (16, 32, 3, 1), (32, 64, 3, 1), (64, 64, 3, 1)):
        convolution = nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2)
        layers += [convolution, nn.BatchNorm1d(outputs), nn.ReLU(inplace=True), nn.MaxPool1d(2, ceil_mode=True)]
    return Bottleneck(SIGNAL_DIM, trunk=nn.Sequential(*layers, nn.AdaptiveAvgPool1d(8), nn.Flatten()))
