"""Class weights by how similar class frequencies are across domains."""

import torch
from torch import Tensor

from ..checks import check_class_probs, check_floating, check_fractions, check_labels, check_sizes, validated
from ..one_hot import members
from ..precision import PreciseBuffers
from ..processes import summed_over_processes
from ..state import set_state


def class_balance(class_mass: Tensor) -> Tensor:
    """Returns a weight for each class, shape (K,), 0..1: the smallest over the largest of its frequencies, squared.

    Args:
        class_mass: shape (M, K), at least 0, mass of each class in each domain. Each row is divided by its sum to give
            class frequencies. If a row is all zeros, every class gets weight 1.

    Raises:
        ValueError: wrong shape.
        TypeError: class_mass that is not floating point.

    Examples:
        >>> class_balance(torch.tensor([[2.0, 2.0], [1.0, 3.0]]))
        tensor([0.2500, 0.4444])
    """
    check_floating(class_mass, "class_mass", "M", "K")
    total = class_mass.sum(1, keepdim=True)
    frequencies = class_mass / total.clamp(min=torch.finfo(class_mass.dtype).tiny)
    lowest, highest = torch.aminmax(frequencies, dim=0)
    ratio = lowest / highest.clamp(min=torch.finfo(class_mass.dtype).tiny)
    return ratio.square().masked_fill(total.amin() == 0, 1.0)


class ClassBalance(PreciseBuffers):
    """Class weights by `class_balance` of running mean class probabilities.

    For losses that align each class on its own. If the target lacks a class, the few samples that are mistaken for it
    would otherwise be aligned with that class of the source. The buffer `class_mass`, shape (M, K), float32, holds the
    running mean class probabilities of each domain over the batches seen in training mode. The first batch sets them; a
    domain without samples in a batch keeps its own. In a process group the samples of all processes count.

    Args:
        num_domains: M, at least 2.
        num_classes: K, at least 1.
        momentum: fraction of the old running means kept at each batch, 0..1.
        validate_args: whether calls check that values are in range and finite, for which a GPU waits.

    Examples:
        >>> balance = ClassBalance(num_domains=2, num_classes=2)
        >>> class_probs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.2]])
        >>> balance(class_probs, domains=torch.tensor([0, 0, 1]))
        tensor([0.3906, 0.1600])
    """

    class_mass: Tensor

    def __init__(self, num_domains: int, num_classes: int, momentum: float = 0.95, validate_args: bool = True) -> None:
        super().__init__()
        if num_domains < 2:
            raise ValueError(f"num_domains must be at least 2, got {num_domains}")
        check_sizes(num_classes=num_classes)
        check_fractions(momentum=momentum)
        self.num_domains, self.num_classes, self.momentum = num_domains, num_classes, momentum
        self.validate_args = validate_args
        self.register_buffer("class_mass", torch.zeros(num_domains, num_classes, dtype=torch.float32))

    @validated
    @torch.no_grad()
    def forward(self, class_probs: Tensor, domains: Tensor) -> Tensor:
        """Returns class weights, shape (K,), 0..1, without a gradient; updates the running means in training mode.

        Args:
            class_probs: shape (N, K), 0..1.
            domains: shape (N,), integer, 0..M-1.

        Raises:
            ValueError: wrong shape or value out of range; the running means are left unchanged.
            TypeError: domains that are not integers.
        """
        class_probs = check_class_probs(class_probs, len(class_probs), self.num_classes)
        domains = check_labels(domains, len(class_probs), self.num_domains, name="domains")
        return self.weigh(class_probs, members(domains, self.num_domains).to(class_probs))

    def weigh(self, class_probs: Tensor, of_domain: Tensor) -> Tensor:
        """Returns what a call returns, unchecked, for float32 (M, N): 1 where a sample is of a domain, else 0."""
        if self.training:
            self._update(class_probs, of_domain)
        return class_balance(self.class_mass)

    def _update(self, class_probs: Tensor, of_domain: Tensor) -> None:
        with torch.autocast(of_domain.device.type, enabled=False):
            sums = of_domain @ class_probs
        sums, counts = summed_over_processes(sums, of_domain.sum(1, keepdim=True))
        steps = 1 - self.momentum * self.class_mass.amax(1, keepdim=True).sign()  # the first batch counts whole
        # m + s (sum / count - m), which leaves domains without samples as they are
        way = torch.addcmul(sums, counts, self.class_mass, value=-1) * steps
        set_state(self, "class_mass", self.class_mass.addcdiv(way, counts.clamp(min=1)))

    def extra_repr(self) -> str:
        return f"num_domains={self.num_domains}, num_classes={self.num_classes}, momentum={self.momentum}"
