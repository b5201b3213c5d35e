"""How well the source is learned, followed over batches."""

import torch
from torch import Tensor, nn

from .checks import check_features, check_labels, check_shares
from .processes import summed_over_processes


class SourceSkill(nn.Module):
    r"""Follows the share of source samples that the network tells right, above chance. Call it for that skill, 0..1.

    $$ s \leftarrow \mu s + (1 - \mu) \max(0, \frac{a - 1/K}{1 - 1/K}) $$

    for the accuracy a of a batch, whose excess over even chance is Cohen's kappa. It starts at 0, as an untrained
    network does. A buffer without parameters: it belongs in `misc`, and checkpoints save it. In a process group the
    accuracy is that over all processes.

    Args:
        momentum: share of the old skill kept at a batch, 0..1.

    Reference:
        Cohen, A Coefficient of Agreement for Nominal Scales, Educational and Psychological Measurement, 1960.

    Examples:
        >>> skill = SourceSkill(momentum=0.5)
        >>> skill.update(torch.eye(2), torch.tensor([0, 1]))
        >>> skill()
        tensor(0.5000)
    """

    skill: Tensor

    def __init__(self, momentum: float = 0.9) -> None:
        super().__init__()
        check_shares(momentum=momentum)
        self.momentum = momentum
        self.register_buffer("skill", torch.zeros(()))

    def forward(self) -> Tensor:
        """Gives the skill, a scalar, 0..1."""
        return self.skill

    @torch.no_grad()
    def update(self, class_probs: Tensor, labels: Tensor) -> None:
        """Takes in a batch; an empty one leaves the skill as it is.

        Args:
            class_probs: shape (N, K), or logits, of which the largest of a row is what the network says.
            labels: shape (N,), integer, 0..K-1.

        Raises:
            ValueError: wrong shape, NaN or infinite value, label out of range.
            TypeError: probabilities that are not floating point, labels that are not integers.
        """
        shape = tuple(class_probs.shape) if isinstance(class_probs, Tensor) else ()
        if len(shape) == 2 and shape[1] < 1:
            raise ValueError(f"class_probs must have a column for each class, got shape {shape}")
        check_features(class_probs, shape[-1] if shape else 0, name="class_probs")
        labels = check_labels(labels, len(class_probs), class_probs.shape[1])
        right = (class_probs.argmax(1) == labels).sum().float()
        right, count = summed_over_processes(right, right.new_tensor(float(len(labels))))
        chance = 1 / class_probs.shape[1]
        kappa = ((right / count - chance) / (1 - chance)).clamp(0, 1) if chance < 1 else right / count
        self.skill.copy_(torch.where(count > 0, self.skill.lerp(kappa.to(self.skill), 1 - self.momentum), self.skill))
