"""Precomputed feature maps, as a backbone."""

from collections.abc import Sequence

from timm.models import FeatureInfo
from torch import Tensor, nn


class StoredMaps(nn.Module):
    """Splits rows of numbers into the feature maps they hold: a backbone without weights for `MultiLevelBackbone`.

    Args:
        shapes: (C, H, W) of each map, in the order of a row.

    Raises:
        ValueError: no shape, or a shape that is not three sizes of at least 1.

    Examples:
        >>> import torch
        >>> trunk = StoredMaps([(2, 4, 4), (3, 2, 2)])
        >>> [tuple(maps.shape) for maps in trunk(torch.zeros(5, 44))]
        [(5, 2, 4, 4), (5, 3, 2, 2)]
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        if not shapes or any(len(shape) != 3 or min(shape) < 1 for shape in shapes):
            raise ValueError(f"shapes must be (C, H, W), at least one, got {list(shapes)}")
        self.shapes = [tuple(shape) for shape in shapes]
        self.sizes = [channels * height * width for channels, height, width in shapes]
        known = [{"num_chs": shape[0], "reduction": 1, "module": str(i)} for i, shape in enumerate(shapes)]
        self.feature_info = FeatureInfo(known, tuple(range(len(known))))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Returns float32 maps (N, C, H, W), one per shape.

        Args:
            x: shape (N, D), any floating point type, D the total number of values of all maps.

        Raises:
            ValueError: wrong shape.
        """
        if not isinstance(x, Tensor) or x.ndim != 2 or x.shape[1] != sum(self.sizes):
            came = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"rows must have shape (N, {sum(self.sizes)}), got {came}")
        parts = x.float().split_with_sizes(self.sizes, dim=1)
        return [part.reshape(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def extra_repr(self) -> str:
        return str(self.shapes)
