"""Random affine augmentation: rotation, shear, scale and shift."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_image_batch
from .host_draws import on_device, uniform

DEGREES, SHEAR_DEGREES, SCALE, SHIFT = 15.0, 10.0, 0.2, 0.1
# of rotation and shear, in radians; of the logarithms of scale and stretch; of the shift along x and y
REACH = (math.radians(DEGREES), math.radians(SHEAR_DEGREES), math.log1p(SCALE), math.log1p(SCALE) / 2, SHIFT, SHIFT)

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def affine_matrices(turn: Array, shear: Array, width: Array, height: Array, shift: Array, aspect: float) -> Array:
    """Returns affine matrices from output to input coordinates, as `torch.nn.functional.affine_grid` takes them.

    They are computed on the host, by numpy. Coordinates run from -1 to 1 over the image, with the centre at 0. An
    output position is sheared along the rows and scaled, then rotated, then shifted; the input is read there.

    Args:
        turn: rotation angles in radians, shape (N,).
        shear: shear angles in radians, shape (N,).
        width: factors on the width that is read, shape (N,); above 1 the content gets narrower.
        height: likewise for the height.
        shift: shape (N, 2), x and y in half sides.
        aspect: width of the images divided by their height, so that rotation does not distort them.

    Returns:
        shape (N, 2, 3).
    """
    cos, sin, tan = np.cos(turn), np.sin(turn), np.tan(shear)
    first = [cos * width, (cos * tan - sin * height) / aspect, shift[:, 0]]
    second = [sin * width * aspect, sin * tan + cos * height, shift[:, 1]]
    return np.stack([np.stack(first, axis=1), np.stack(second, axis=1)], axis=1).astype(np.float32, copy=False)


def unmoved(count: int) -> Array:
    """Returns the affine matrices that move nothing, shape (count, 2, 3), float32."""
    return np.eye(2, 3, dtype=np.float32)[None].repeat(count, axis=0)


def moved_images(images: Tensor, matrices: Tensor) -> Tensor:
    """Returns images resampled by affine matrices; border pixels are repeated beyond the sides.

    Args:
        images: shape (N, C, H, W), floating point.
        matrices: shape (N, 2, 3), see `affine_matrices`.
    """
    if len(images) == 0:
        return images
    grid = F.affine_grid(matrices.float(), list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return moved.to(images.dtype)


def moved_points(points: Tensor, matrices: Tensor) -> Tensor:
    """Returns the positions of points in the images that `moved_images` returns.

    Args:
        points: shape (N, P, 2), x and y as fractions of width and height.
        matrices: shape (N, 2, 3), see `affine_matrices`.
    """
    read_at = 2 * points.float() - 1 - matrices[:, None, :, 2]
    moved = torch.linalg.solve(matrices[:, :, :2], read_at.mT).mT
    return ((moved + 1) / 2).to(points.dtype)


class RandomAffine(nn.Module):
    """Rotates, scales, shears and shifts each image of a batch at random.

    Angles are drawn uniformly: rotation up to 15 degrees, shear up to 10, in both directions. So are the shift, up to a
    twentieth of a side, and the logarithms of the scale, up to a factor of 1.2 or its inverse, and of the stretch of
    width against height, up to the square root of that for each. There are no parameters or buffers.

    Args:
        strength: factor, at least 0, on angles, shift and the logarithms of scale and stretch.

    Reference:
        French et al., Self-ensembling for Visual Domain Adaptation, ICLR 2018, arXiv 1706.05208, use such augmentation;
        Cubuk et al., RandAugment, NeurIPS 2020, arXiv 1909.13719, use fewer and stronger transforms.

    Examples:
        >>> RandomAffine()(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        if strength < 0:
            raise ValueError(f"strength must be at least 0, got {strength}")
        self.strength = strength

    def draw(self, images: Tensor) -> Array:
        """Returns random matrices for images of shape (N, C, H, W), float32, shape (N, 2, 3)."""
        drawn = (2 * uniform(len(images), len(REACH)) - 1) * np.array(REACH, dtype=np.float32) * self.strength
        turn, shear, scale, stretch = drawn[:, :4].T
        return affine_matrices(
            turn=turn,
            shear=shear,
            width=np.exp(scale + stretch),
            height=np.exp(scale - stretch),
            shift=drawn[:, 4:],
            aspect=images.shape[3] / images.shape[2],
        )

    def forward(self, images: Tensor) -> Tensor:
        """Returns the augmented images.

        Args:
            images: shape (N, C, H, W), floating point.

        Raises:
            ValueError: wrong number of axes.
            TypeError: images that are not floating point.
        """
        check_image_batch(images)
        return moved_images(images, on_device(self.draw(images), images))

    def extra_repr(self) -> str:
        return f"strength={self.strength}"
