"""Class probabilities that count, from outputs of a model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from .model import Model


@dataclass
class Confidence:
    """Softmax of the logits at a temperature.

    temperature: above 0.
    """

    temperature: float = 1.0

    @property
    def description(self) -> str:
        """A sentence on how it was calibrated."""
        return f"Logits are divided by a temperature of {self.temperature:.2f}."

    def __call__(self, model: "Model", prepared: Tensor) -> Tensor:
        """Returns class probabilities, float32 (N, K), of prepared inputs."""
        return (model.outputs(prepared)[1] / self.temperature).softmax(1)

    def state_dict(self) -> dict[str, Any]:
        """Returns plain values and tensors for a file."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Confidence":
        """Returns what `state_dict` has described."""
        return cls(**state)
