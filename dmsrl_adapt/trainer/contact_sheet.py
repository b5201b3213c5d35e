"""A picture of the images of which a model is most and least certain."""

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.transforms.v2.functional import resize

if TYPE_CHECKING:
    from .predictions import Predictions

COLUMNS, ROWS = 8, 2  # of each half
THUMBNAIL = 160  # pixels


def extremes(confidence: Tensor) -> tuple[list[int], list[int]]:
    """Returns the rows with the most and with the least confidence, most extreme first, each at most half of all.

    Args:
        confidence: shape (N,).

    Examples:
        >>> import torch
        >>> extremes(torch.tensor([0.9, 0.5, 0.7]))
        ([0], [1])
    """
    ordered = confidence.argsort(stable=True).tolist()
    count = min(ROWS * COLUMNS, max(len(ordered) // 2, 1))
    return ordered[::-1][:count], ordered[:count]


def draw_sheet(found: "Predictions", path: Path) -> Path:
    """Draws the most certain above the least certain images, with label and confidence; returns the path."""
    figure = Figure(figsize=(1.45 * COLUMNS, 1.75 * 2 * ROWS + 0.8))
    titles = ("most certain", "least certain")
    places, numbers = found.places.tolist(), found.numbers.tolist()
    halves = figure.subfigures(2, 1, squeeze=False).flat
    for half, title, rows in zip(halves, titles, extremes(found.confidence), strict=True):
        half.suptitle(title, fontsize=12)
        axes = half.subplots(ROWS, COLUMNS).flatten()
        for one in axes:
            one.axis("off")
        for one, row in zip(axes, rows, strict=False):
            caption = f"{found.classes[numbers[row]][:20]}\n{100 * float(found.confidence[row]):.0f} %"
            draw(one, found.samples.get(places[row]), caption)
        half.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.8, hspace=0.45, wspace=0.08)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    return path


def draw(axes: Axes, image: Tensor | None, caption: str) -> None:
    """Draws an image, uint8 (3, H, W), with a caption above it."""
    if image is not None:
        longest = max(image.shape[1:])
        if longest > THUMBNAIL:
            sides = [max(1, side * THUMBNAIL // longest) for side in image.shape[1:]]
            image = resize(image, sides, antialias=True)
        axes.imshow(image.permute(1, 2, 0).numpy())
    # a class name may contain a dollar sign
    axes.set_title(caption, fontsize=8, parse_math=False)
