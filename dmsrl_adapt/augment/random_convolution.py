"""Random convolution: augmentation of colours, contrast and texture that preserves shapes (RandConv)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_image_batch
from .host_draws import drawn_number


def convolve_each(images: Tensor, kernels: Tensor) -> Tensor:
    """Returns each image convolved with its own kernel, with zero padding that keeps its size.

    Args:
        images: shape (N, C, H, W).
        kernels: shape (N, C, C, k, k), k odd; output channels come before input channels.
    """
    count, channels = images.shape[:2]
    stacked = images.reshape(1, count * channels, *images.shape[2:])
    out = F.conv2d(stacked, kernels.flatten(0, 1), padding=kernels.shape[-1] // 2, groups=count)
    return out.view_as(images)


class RandomConvolution(nn.Module):
    r"""Blends each image of a batch with a random convolution of itself.

    $$ a x + (1 - a) (k * x), \quad a \sim U(0, 1) $$

    The kernel k and the factor a are drawn for each image, the kernel size s once a batch. The entries of k are
    Gaussian with variance 1 / (C s^2), so that k * x has the scale of x. The convolution changes colours, contrast and
    texture, and preserves shapes. The blend keeps more of thin strokes and small parts than the convolution alone; its
    mean square is 2/3 of the image's on average. Shape and dtype are kept, and an empty batch is returned as it is.
    There are no parameters or buffers.

    Args:
        kernel_sizes: odd numbers of pixels from which s is drawn.

    Reference:
        Xu et al., Robust and Generalizable Visual Representation Learning via Random Convolutions, ICLR 2021,
        arXiv 2007.13003 (s up to 7; the blend is their "mixing" variant).

    Examples:
        >>> RandomConvolution()(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, kernel_sizes: Sequence[int] = (1, 3, 5)) -> None:
        super().__init__()
        if not kernel_sizes or any(size < 1 or size % 2 == 0 for size in kernel_sizes):
            raise ValueError(f"kernel_sizes must be odd numbers of pixels, got {tuple(kernel_sizes)}")
        self.kernel_sizes = tuple(kernel_sizes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the augmented images.

        Args:
            images: shape (N, C, H, W), floating point, best centred around 0, since a kernel may invert the contrast.

        Raises:
            ValueError: wrong number of axes.
            TypeError: images that are not floating point.
        """
        check_image_batch(images)
        count, channels = images.shape[:2]
        if count == 0:
            return images
        size = self.kernel_sizes[drawn_number(len(self.kernel_sizes))]
        shape = (count, channels, channels, size, size)
        kernels = torch.randn(shape, device=images.device, dtype=images.dtype) / (channels * size * size) ** 0.5
        kept = torch.rand((count, 1, 1, 1), device=images.device, dtype=images.dtype)
        return convolve_each(images, kernels).to(images.dtype).lerp(images, kept)

    def extra_repr(self) -> str:
        return f"kernel_sizes={self.kernel_sizes}"
