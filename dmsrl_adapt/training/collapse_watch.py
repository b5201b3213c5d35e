"""Signs that training has collapsed in a way that losses do not show."""

import warnings
from collections import Counter, defaultdict

import torch
from torch import Tensor

from ..checks import check_sizes

# sign: value of a window from which on it is told, and in what words
SIGNS = {
    "largest_class": (0.99, "of the target's pseudo labels are of one class"),
    "missing_classes": (1e-9, "of the classes were never predicted on the target"),
    "rejected": (1.0, "of the target's samples got no pseudo label"),
    "critic_accuracy": (0.99, "of the samples are told apart by domain: the critic wins"),
    "zero_features": (0.01, "of the target's features have no length"),
    "negative_bounds": (0.9, "of the steps had an estimate of mutual information below 0"),
}


class CollapseWatch:
    """Counts over windows of target samples what tells a collapse, and warns of each sign once.

    A window has at least 20 samples a class, of which a class as frequent as the others is missing by chance once in
    10^8 windows. The watch holds numbers of Python only, no tensor, and training does not depend on it. A process of a
    group counts its own samples.

    Args:
        samples: least number of samples in a window, at least 1.

    Examples:
        >>> watch = CollapseWatch(samples=4)
        >>> watch.add(torch.ones(4, 2), labels=torch.tensor([0, 1, 1, -1]))
        >>> {key: round(share, 2) for key, share in watch.diagnostics.items()}
        {'largest_class': 0.67, 'rejected': 0.25, 'zero_features': 0.0}
    """

    def __init__(self, samples: int = 1000) -> None:
        check_sizes(samples=samples)
        self.samples = samples
        self.diagnostics: dict[str, float] = {}  # of the last full window, a share 0..1 for each sign
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
        """Counts a step, and at the end of a window sets `diagnostics` and warns of signs not told before.

        What is not there is not looked at. It waits for the device once.

        Args:
            features: target features, shape (N, D).
            probs: what the classifier says of them, shape (N, K).
            labels: their pseudo labels, shape (N,), -1 for a rejected sample.
            critic_accuracy: scalar, share of the samples whose domain a critic tells, 0..1.
            bound: scalar, bound on the mutual information in nats, 0 where it was below.
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
        for key, share in self.diagnostics.items():
            lowest, words = SIGNS[key]
            if share >= lowest and key not in self.warned:
                self.warned.add(key)
                warnings.warn(
                    f"{100 * share:.0f} % {words}, over {window} samples; see docs/robustness.md", stacklevel=2
                )
        self._begin()
