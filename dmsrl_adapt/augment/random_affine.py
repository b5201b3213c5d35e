"""Another pose for an image: turned, scaled, shifted and sheared a little, as another camera would show it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_image_batch

DEGREES, SHEAR_DEGREES, SCALE, SHIFT = 15.0, 10.0, 0.2, 0.1


def affine_maps(turn: Tensor, shear: Tensor, width: Tensor, height: Tensor, shift: Tensor, aspect: float) -> Tensor:
    """Maps from places in the new images to places in the old, both with the centre at 0 and the sides at -1 and 1.

    The old image is read at the new place sheared along its rows and stretched, then turned, then shifted.

    Args:
        turn: angles in radians, shape (N,).
        shear: angles in radians, shape (N,).
        width: factors on the width read, shape (N,); above 1 the image gets narrower.
        height: likewise.
        shift: shape (N, 2), x and y in half sides.
        aspect: width of the images by their height, so that turning leaves shapes as they are.

    Returns:
        shape (N, 2, 3), as `torch.nn.functional.affine_grid` takes them.
    """
    cos, sin = turn.cos(), turn.sin()
    turned = torch.stack([cos, -sin / aspect, sin * aspect, cos], dim=1).view(-1, 2, 2)
    stretched = torch.stack([width, shear.tan() / aspect, torch.zeros_like(width), height], dim=1).view(-1, 2, 2)
    return torch.cat([turned @ stretched, shift[:, :, None]], dim=2)


def moved_images(images: Tensor, maps: Tensor) -> Tensor:
    """Images as the maps show them; beyond the sides the outermost pixels go on.

    Args:
        images: shape (N, C, H, W), floating point.
        maps: shape (N, 2, 3), see `affine_maps`.
    """
    if len(images) == 0:
        return images
    grid = F.affine_grid(maps.float(), list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return moved.to(images.dtype)


def moved_points(points: Tensor, maps: Tensor) -> Tensor:
    """Where `moved_images` has put what was at the points.

    Args:
        points: shape (N, P, 2), x and y in shares of width and height.
        maps: shape (N, 2, 3), see `affine_maps`.
    """
    read_at = 2 * points.float() - 1 - maps[:, None, :, 2]
    moved = torch.linalg.solve(maps[:, :, :2], read_at.mT).mT
    return ((moved + 1) / 2).to(points.dtype)


class RandomAffine(nn.Module):
    """Draws how each image of a batch is turned, scaled, sheared and shifted, anew for each at every call.

    Turned by up to 15 degrees, sheared by up to 10, scaled by a factor of up to 1.2 or its inverse and stretched by up
    to the root of that, shifted by up to a twentieth of a side, each evenly up and down: as far as another camera, hand
    or crop moves what an image shows, which stays what it was. Without parameters and buffers; there is nothing to
    save.

    Args:
        strength: factor, at least 0, on angles, shift and the logarithm of the scale.

    Reference:
        French et al., Self-ensembling for Visual Domain Adaptation, ICLR 2018, arXiv 1706.05208, who train on such
        views; Cubuk et al., RandAugment, NeurIPS 2020, arXiv 1909.13719, who draw fewer of them, and farther.

    Examples:
        >>> RandomAffine()(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        if strength < 0:
            raise ValueError(f"strength must be at least 0, got {strength}")
        self.strength = strength

    def draw(self, images: Tensor) -> Tensor:
        """Returns maps for images of shape (N, C, H, W), on their device; shape (N, 2, 3), see `affine_maps`."""

        def evenly(reach: float, *shape: int) -> Tensor:
            return (2 * torch.rand((len(images), *shape), device=images.device) - 1) * reach * self.strength

        scale, stretch = evenly(math.log1p(SCALE)), evenly(math.log1p(SCALE) / 2)
        return affine_maps(
            turn=evenly(math.radians(DEGREES)),
            shear=evenly(math.radians(SHEAR_DEGREES)),
            width=(scale + stretch).exp(),
            height=(scale - stretch).exp(),
            shift=evenly(SHIFT, 2),
            aspect=images.shape[3] / images.shape[2],
        )

    def forward(self, images: Tensor) -> Tensor:
        """Returns the images, each in another pose.

        Args:
            images: shape (N, C, H, W), floating point.

        Raises:
            ValueError: another number of axes.
            TypeError: images that are not floating point.
        """
        check_image_batch(images)
        return moved_images(images, self.draw(images))

    def extra_repr(self) -> str:
        return f"strength={self.strength}"
