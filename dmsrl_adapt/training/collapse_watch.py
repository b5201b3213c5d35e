"""Signs of a training collapse that the losses do not show."""

import warnings
from collections import Counter, defaultdict

import torch
from torch import Tensor

from ..checks import check_sizes

# sign: fraction of a window from which it is reported, and the text of the warning
SIGNS = {
    "largest_class": (0.99, "of the target's pseudo labels are of one class"),
    "missing_classes": (1e-9, "of the classes were never predicted on the target"),
    "rejected": (1.0, "of the target's samples got no pseudo label"),
    "critic_accuracy": (0.99, "of the samples have their domain predicted correctly: the critic wins"),
    "zero_features": (0.01, "of the target's features are zero"),
    "negative_bounds": (0.9, "of the steps had an estimate of mutual information below 0"),
}


class CollapseWatch:
    """Counts signs of a collapse over windows of target samples, and warns once of each.

    A window has at least `samples` samples, and at least 20 per class: a class of average frequency is missing from it
    by chance at most twice in 10^9 windows. The watch holds Python numbers only, and training does not depend on it. In
    a process group every process counts its own samples.

    Args:
        samples: minimum number of samples in a window, at least 1.

    Examples:
        >>> watch = CollapseWatch(samples=4)
        >>> watch.add(torch.ones(4, 2), labels=torch.tensor([0, 1, 1, -1]))
        >>> {key: round(fraction, 2) for key, fraction in watch.diagnostics.items()}
        {'largest_class': 0.67, 'rejected': 0.25, 'zero_features': 0.0}
    """

    def __init__(self, samples: int = 1000) -> None:
        check_sizes(samples=samples)
        self.samples = samples
        self.diagnostics: dict[str, float] = {}  # of the last full window, a fraction 0..1 for each sign
        self.warned: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        self.predicted, self.labelled = Counter[int](), Counter[int]()
        self.sums: dict[str, float] = defaultdict(float)
        self.numbers = Counter[str]()
        self.num_classes = 0

    @torch.no_grad()
    def add(
        self,
        features: Tensor,
        probs: Tensor | None = None,
        labels: Tensor | None = None,
        critic_accuracy: Tensor | None = None,
        bound: Tensor | None = None,
    ) -> None:
        """Counts a step. At the end of a window it sets `diagnostics` and warns of new signs.

        Signs whose inputs are None are not counted. It waits for the device once.

        Args:
            features: target features, shape (N, D).
            probs: their class probabilities, shape (N, K).
            labels: their pseudo labels, shape (N,), -1 for a rejected sample.
            critic_accuracy: scalar, domain accuracy of the critic, 0..1.
            bound: scalar, bound on the mutual information in nats; 0 for a negative estimate.
        """
        size = len(features)
        columns = {"zero_features": (features == 0).all(1)}
        if probs is not None:
            columns["predicted"], self.num_classes = probs.argmax(1), probs.shape[1]
        if labels is not None:
            columns["labels"] = labels
        scalars = {"critic_accuracy": critic_accuracy, "negative_bounds": None if bound is None else bound <= 0}
        known = {**columns, **{key: one.view(1) for key, one in scalars.items() if one is not None}}
        numbers = torch.cat([one.to(features.device, torch.float32) for one in known.values()]).tolist()
        for key in known:
            count = size if key in columns else 1
            self._count(key, numbers[:count])
            numbers = numbers[count:]
        if self.numbers["zero_features"] >= max(self.samples, 20 * self.num_classes):
            self._end()

    def _count(self, key: str, numbers: list[float]) -> None:
        self.numbers[key] += len(numbers)
        if key == "predicted":
            self.predicted.update(map(int, numbers))
        elif key == "labels":
            self.labelled.update(int(one) for one in numbers if one >= 0)
        else:
            self.sums[key] += sum(numbers)

    def _end(self) -> None:
        found = {key: self.sums[key] / self.numbers[key] for key in SIGNS if self.numbers[key]}
        if self.numbers["labels"]:
            found["rejected"] = 1 - self.labelled.total() / self.numbers["labels"]
        if self.labelled and self.num_classes != 1:
            found["largest_class"] = max(self.labelled.values()) / self.labelled.total()
        if self.num_classes:
            found["missing_classes"] = 1 - len(self.predicted) / self.num_classes
        self.diagnostics = {key: found[key] for key in SIGNS if key in found}
        window = self.numbers["zero_features"]
        for key, fraction in self.diagnostics.items():
            lowest, words = SIGNS[key]
            if fraction >= lowest and key not in self.warned:
                self.warned.add(key)
                warnings.warn(
                    f"{100 * fraction:.0f} % {words}, over {window} samples; see docs/robustness.md", stacklevel=2
                )
        self._begin()
