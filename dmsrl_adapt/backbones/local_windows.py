"""Windows of a feature map: corners, a grid, or around face landmarks."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_floating
from ..precision import PreciseBuffers

CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")
LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
# landmarks of a face aligned to 112 x 112 pixels as for ArcFace (arXiv 1801.07698), as fractions of the sides
ALIGNED = ((0.3419, 0.4616), (0.6565, 0.4598), (0.5002, 0.6405), (0.3710, 0.8247), (0.6315, 0.8232))
CORNER_FRACTION, LANDMARK_FRACTION = 5 / 7, 2 / 5


def corner_windows(maps: Tensor, fraction: float) -> dict[str, Tensor]:
    """Returns four windows of a map, one at each corner, whose sides are a fraction of the map's.

    They overlap if a side, rounded to cells, is more than half of the map's. For 5/7 this holds from 3 x 3 cells on; on
    2 x 2 the windows are single cells, and on 1 x 1 each is the whole map.

    Args:
        maps: shape (N, C, H, W).
        fraction: 0..1; sides are rounded to whole cells and are at least 1.

    Returns:
        windows by name, each of shape (N, C, h, w).

    Examples:
        >>> corner_windows(torch.zeros(1, 8, 7, 7), 5 / 7)["top_left"].shape
        torch.Size([1, 8, 5, 5])
    """
    height, width = (cells_of(side, fraction) for side in maps.shape[2:])
    top, bottom = slice(None, height), slice(-height, None)
    left, right = slice(None, width), slice(-width, None)
    places = ((top, left), (top, right), (bottom, left), (bottom, right))
    return {name: maps[:, :, rows, columns] for name, (rows, columns) in zip(CORNERS, places, strict=True)}


def grid_windows(maps: Tensor, rows: int, columns: int) -> dict[str, Tensor]:
    """Returns a grid of windows that covers a map; neighbours overlap where the grid does not divide its cells evenly.

    Args:
        maps: shape (N, C, H, W).
        rows: number of rows of windows.
        columns: number of columns of windows.

    Returns:
        windows by name, row by row, each of shape (N, C, h, w) with h and w at least 1.

    Examples:
        >>> {name: tuple(part.shape) for name, part in grid_windows(torch.zeros(1, 8, 4, 5), 1, 2).items()}
        {'window_0_0': (1, 8, 4, 3), 'window_0_1': (1, 8, 4, 3)}
    """
    down, across = spans(maps.shape[2], rows), spans(maps.shape[3], columns)
    return {f"window_{r}_{c}": maps[:, :, down[r], across[c]] for r in range(rows) for c in range(columns)}


def cells_of(side: int, fraction: float) -> int:
    """Returns a fraction of a side in whole cells, at least 1.

    While `torch.jit.trace` or an exporter traces, the side is a tensor, and so is the result, which the graph computes
    for maps of any size.
    """
    if isinstance(side, Tensor):
        return (side.double() * fraction).round().clamp(min=1).long()
    return max(1, round(int(side) * fraction))


def spans(side: int, count: int) -> list[slice]:
    """Returns the slices of adaptive pooling, from floor(i side / count) to ceil((i + 1) side / count).

    No negative number is divided, because ONNX rounds such a quotient upwards, where Python rounds it downwards.
    """
    return [slice(i * side // count, ((i + 1) * side + count - 1) // count) for i in range(count)]


def landmark_windows(maps: Tensor, landmarks: Tensor, fraction: float) -> dict[str, Tensor]:
    """Returns windows centred at the landmarks of each image, moved inwards where they would cross the map's edge.

    The map is interpolated bilinearly, in float32 under autocast. No gradient flows into the landmarks.

    Args:
        maps: shape (N, C, H, W).
        landmarks: shape (N, 5, 2), or (5, 2) for all images; x and y as fractions of width and height, 0..1.
        fraction: side of a window as a fraction of the map's, 0..1.

    Returns:
        windows by name, each of shape (N, C, h, w), with sides rounded to whole cells and at least 1.

    Examples:
        >>> landmark_windows(torch.zeros(1, 8, 7, 7), torch.tensor(ALIGNED), 2 / 5)["nose"].shape
        torch.Size([1, 8, 3, 3])
    """
    height, width = (cells_of(side, fraction) for side in maps.shape[2:])
    centers = landmarks.detach().float().clamp(fraction / 2, 1 - fraction / 2).expand(maps.shape[0], -1, -1)
    # centres of a window's cells relative to its own centre, as fractions of the map's side
    down, across = (
        fraction * ((torch.arange(cells, dtype=torch.float32, device=maps.device) + 0.5) / cells - 0.5)
        for cells in (height, width)
    )
    offsets = torch.stack([across.expand(height, -1), down[:, None].expand(-1, width)], dim=2)
    places = centers[:, :, None, None] + offsets
    with torch.autocast(maps.device.type, enabled=False):
        # from -1 to 1 over the map, edge to edge
        grid = 2 * places.flatten(1, 2) - 1
        parts = F.grid_sample(maps.float(), grid, padding_mode="border", align_corners=False).to(maps)
    windows = parts.reshape(*maps.shape[:2], len(LANDMARKS), height, width).unbind(2)
    return dict(zip(LANDMARKS, windows, strict=True))


class LocalWindows(PreciseBuffers):
    """Cuts named windows out of feature maps. It has no parameters, and no buffers that are saved.

    Args:
        local: "corners", a grid of (rows, columns), or "landmarks".
        window: side of a window as a fraction of the map's, above 0 and at most 1, for corners and landmarks; None for
            5/7 at the corners, as in the paper (5 x 5 of 7 x 7), and 2/5, a little more than the distance of the eyes,
            around landmarks. It is ignored for a grid, whose windows cover the map.

    Raises:
        ValueError: unknown `local`, a grid below 1 x 1, or `window` out of range.

    Reference:
        Li et al., IEEE Transactions on Multimedia, 2022, doi 10.1109/tmm.2022.3141604, for the corners.

    Examples:
        >>> list(LocalWindows((1, 2))(torch.zeros(2, 8, 4, 4)))
        ['window_0_0', 'window_0_1']
    """

    aligned: Tensor

    def __init__(self, local: str | tuple[int, int] = "corners", window: float | None = None) -> None:
        super().__init__()
        if local not in ("corners", "landmarks") and not is_grid(local):
            raise ValueError(f"local must be 'corners', 'landmarks', (rows, columns) or None, got {local!r}")
        if window is None:
            window = LANDMARK_FRACTION if local == "landmarks" else CORNER_FRACTION
        if not 0 < window <= 1:
            raise ValueError(f"window must be above 0 and at most 1, got {window}")
        self.local, self.window = local, window
        self.register_buffer("aligned", torch.tensor(ALIGNED, dtype=torch.float32), persistent=False)
        self.names = tuple(self(torch.zeros(1, 1, 1, 1)))

    def forward(self, maps: Tensor, landmarks: Tensor | None = None) -> dict[str, Tensor]:
        """Returns the windows of maps by name, each of shape (N, C, h, w).

        Args:
            maps: shape (N, C, H, W).
            landmarks: shape (N, 5, 2), floating point, x and y as fractions of the image, 0..1, of both eyes, nose and
                both corners of the mouth, the left ones in the image first. An image with a NaN is treated as an
                aligned crop, and so are all images for None. Used only by windows around landmarks.

        Raises:
            ValueError: landmarks of wrong shape.
        """
        if isinstance(self.local, tuple):
            return grid_windows(maps, *self.local)
        if self.local == "corners":
            return corner_windows(maps, self.window)
        return landmark_windows(maps, self._known(landmarks, maps.shape[0]), self.window)

    def _known(self, landmarks: Tensor | None, size: int) -> Tensor:
        if landmarks is None:
            return self.aligned
        check_landmark_shape(landmarks, size)
        is_missing = landmarks.isnan().any(2, keepdim=True).any(1, keepdim=True)
        return torch.where(is_missing, self.aligned, landmarks.to(self.aligned))

    def extra_repr(self) -> str:
        return f"{self.local!r}, window={self.window:.4g}"


def is_grid(kind: object) -> bool:
    """Returns whether `kind` is a pair of integers of at least 1."""
    return isinstance(kind, tuple) and len(kind) == 2 and all(isinstance(n, int) and n >= 1 for n in kind)


def check_landmark_shape(landmarks: Tensor, size: int, name: str = "landmarks") -> None:
    """Raises `ValueError` unless landmarks have shape (size, 5, 2)."""
    if landmarks.shape != (size, len(LANDMARKS), 2):
        raise ValueError(f"{name} must have shape ({size}, {len(LANDMARKS)}, 2), got {tuple(landmarks.shape)}")


def check_landmarks(landmarks: Tensor, size: int, name: str = "landmarks") -> None:
    """Raises unless landmarks are floating point, of shape (size, 5, 2), and NaN or within -1..2.

    The range finds landmarks in pixels. The check waits for the device.
    """
    check_floating(landmarks, name)
    check_landmark_shape(landmarks, size, name)
    known = landmarks[~landmarks.isnan()]
    if known.numel() and not ((known >= -1) & (known <= 2)).all():
        low, high = known.min().item(), known.max().item()
        raise ValueError(f"{name} must be fractions of the image, 0..1, got values from {low:.4g} to {high:.4g}")
