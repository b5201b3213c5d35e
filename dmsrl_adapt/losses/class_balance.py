"""How far domains agree on the share of each class, and the running means of what they hold that tell it."""

import torch
from torch import Tensor, nn

from ..checks import check_class_probs, check_floating, check_fractions, check_labels, check_sizes
from ..processes import summed_over_processes


def class_balance(class_mass: Tensor) -> Tensor:
    """How far domains agree on the share of each class, the smallest over the largest, squared; shape (K,), 0..1.

    Args:
        class_mass: shape (M, K), at least 0, what each domain holds of each class, in units of its own. Where a domain
            holds nothing, nothing is known, and every class gets 1.

    Raises:
        ValueError: wrong shape.
        TypeError: class_mass that is not floating point.

    Examples:
        >>> class_balance(torch.tensor([[2.0, 2.0], [1.0, 3.0]]))
        tensor([0.2500, 0.4444])
    """
    check_floating(class_mass, "class_mass", "M", "K")
    total = class_mass.sum(1, keepdim=True)
    shares = class_mass / total.clamp(min=torch.finfo(class_mass.dtype).tiny)
    ratio = shares.amin(0) / shares.amax(0).clamp(min=torch.finfo(class_mass.dtype).tiny)
    return torch.where(total.amin() > 0, ratio.square(), 1.0)


class ClassBalance(nn.Module):
    """Returns each class a weight by how far domains agree on its share, `class_balance` of running means over batches.

    For losses that align classes one by one. Which classes the target holds is only guessed, and where it lacks one,
    the few samples that are taken for it would be pulled onto the source's. The running means, the buffer `class_mass`
    of shape (M, K), are of the class probabilities of each domain over the batches seen in training mode; the first
    batch sets them. In a process group they are those over all processes. A domain without samples in a batch keeps
    its own. They are float32.

    Args:
        num_domains: M, at least 2.
        num_classes: K, at least 1.
        momentum: share of the old running means kept at a batch, 0..1.

    Examples:
        >>> balance = ClassBalance(num_domains=2, num_classes=2)
        >>> class_probs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.2]])
        >>> balance(class_probs, domains=torch.tensor([0, 0, 1]))
        tensor([0.3906, 0.1600])
    """

    class_mass: Tensor

    def __init__(self, num_domains: int, num_classes: int, momentum: float = 0.95) -> None:
        super().__init__()
        if num_domains < 2:
            raise ValueError(f"num_domains must be at least 2, got {num_domains}")
        check_sizes(num_classes=num_classes)
        check_fractions(momentum=momentum)
        self.num_domains, self.num_classes, self.momentum = num_domains, num_classes, momentum
        self.register_buffer("class_mass", torch.zeros(num_domains, num_classes))

    @torch.no_grad()
    def forward(self, class_probs: Tensor, domains: Tensor) -> Tensor:
        """Takes in a batch, in training mode, and gives the weights of classes, shape (K,), 0..1, without a gradient.

        Args:
            class_probs: shape (N, K), 0..1, membership of a sample in a class.
            domains: shape (N,), integer, 0..M-1.

        Raises:
            ValueError: wrong shape or value out of range; nothing is taken in then.
            TypeError: domains that are not integers.
        """
        class_probs = check_class_probs(class_probs, len(class_probs), self.num_classes)
        domains = check_labels(domains, len(class_probs), self.num_domains, name="domains")
        if self.training:
            self._follow(class_probs, domains)
        return class_balance(self.class_mass)

    def _follow(self, class_probs: Tensor, domains: Tensor) -> None:
        members = [class_probs[domains == number] for number in range(self.num_domains)]
        counts = class_probs.new_tensor([len(one) for one in members])
        sums, counts = summed_over_processes(torch.stack([one.sum(0) for one in members]), counts)
        for mass, total, count in zip(self.class_mass, sums, counts, strict=True):
            if count:
                mass.lerp_(total / count, 1 - self.momentum if mass.any() else 1.0)

    def extra_repr(self) -> str:
        return f"num_domains={self.num_domains}, num_classes={self.num_classes}, momentum={self.momentum}"
