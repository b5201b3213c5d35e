"""From a sample as it is read to an input of a network."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import center_crop, resize

from ..data import DataError
from ..data.how import Kind


@dataclass(frozen=True)
class Preprocessing:
    """How a network takes its inputs.

    An image is resized, with its aspect kept, so that it covers the crop, and its centre is cropped, as timm does in
    evaluation. Other samples are taken as they are.

    kind: of the samples, see `open_data`.
    shape: of an input: (3, H, W) for images.
    mean, std: of the channels of an image with values 0..1.
    crop: side of the crop as a fraction of the resized image, above 0 and at most 1.
    interpolation: "bilinear" or "bicubic".
    """

    kind: Kind
    shape: tuple[int, ...]
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    crop: float = 1.0
    interpolation: str = "bilinear"

    @classmethod
    def of_timm(cls, config: Mapping[str, Any]) -> "Preprocessing":
        """Returns what timm's `resolve_data_config` says of a model."""
        return cls(
            "image",
            tuple(config["input_size"]),
            tuple(config["mean"]),
            tuple(config["std"]),
            float(config["crop_pct"]),
            "bicubic" if config["interpolation"] == "bicubic" else "bilinear",
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """Returns what `as_dict` has described."""
        plain: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
        return cls(**plain)

    def as_dict(self) -> dict[str, Any]:
        """Returns all fields as plain values, tuples as lists."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @property
    def resized(self) -> tuple[int, int]:
        """Least height and width in pixels to which an image is resized before the crop."""
        height, width = self.shape[1:]
        return round(height / self.crop), round(width / self.crop)

    @property
    def decoded(self) -> int | None:
        """`size` for `open_data`: below it no pixel is lost by decoding; None for samples that are not images."""
        return max(self.resized) if self.kind == "image" else None

    def prepare(self, sample: Tensor, name: str) -> Tensor:
        """Returns a sample of the shape of an input: uint8 for images, else float32.

        Args:
            sample: as `Samples` gives it.
            name: for errors.

        Raises:
            DataError: another shape.
        """
        if self.kind != "image":
            if tuple(sample.shape) != self.shape:
                raise DataError(f"{name} must have shape {self.shape}, got {tuple(sample.shape)}")
            return sample
        height, width = self.resized
        factor = max(height / sample.shape[1], width / sample.shape[2])
        size = [max(height, round(factor * sample.shape[1])), max(width, round(factor * sample.shape[2]))]
        resized: Tensor = resize(sample, size, InterpolationMode(self.interpolation), antialias=True)
        cropped: Tensor = center_crop(resized, list(self.shape[1:]))
        return cropped

    def normalise(self, batch: Tensor) -> Tensor:
        """Returns a batch as the network takes it, float32.

        Args:
            batch: samples of `prepare`, shape (N, *shape).
        """
        return self.standardised(batch.float() / 255) if self.kind == "image" else batch.float()

    def standardised(self, images: Tensor) -> Tensor:
        """Returns images, float32 (N, 3, H, W), 0..1, less the mean and divided by the standard deviation."""
        mean, std = (torch.tensor(one, device=images.device).view(-1, 1, 1) for one in (self.mean, self.std))
        return (images - mean) / std
