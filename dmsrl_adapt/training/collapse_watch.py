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
    by chance at most twice in 10^9 windows. The values of a window stay on their device until it is full. Training does
    not depend on the watch, which checkpoints do not hold. In a process group every process counts its own samples.

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
        self.values: dict[str, list[Tensor]] = defaultdict(list)  # by sign or column, of each step
        self.size = self.num_classes = 0

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

        Signs whose inputs are None are not counted. It waits for the device at the end of a window only.

        Args:
            features: target features, shape (N, D).
            probs: their class probabilities, shape (N, K).
            labels: their pseudo labels, shape (N,), -1 for a rejected sample.
            critic_accuracy: scalar, domain accuracy of the critic, 0..1.
            bound: scalar, bound on the mutual information in nats; 0 for a negative estimate.
        """
        self.size += len(features)
        self.values["nonzero"].append(features.any(1))
        if probs is not None:
            self.num_classes = probs.shape[1]
            self.values["predicted"].append(probs.argmax(1))
        if labels is not None:
            self.values["labels"].append(labels)
        if critic_accuracy is not None:
            self.values["critic_accuracy"].append(critic_accuracy)
        if bound is not None:
            self.values["negative_bounds"].append(bound <= 0)
        if self.size >= max(self.samples, 20 * self.num_classes):
            self._end()

    def _read(self) -> dict[str, Tensor]:
        """Returns the values of the window on the host, float32, by sign or column."""
        columns = {key: torch.hstack(values).float() for key, values in self.values.items()}
        device = columns["nonzero"].device
        together = torch.cat([column.to(device) for column in columns.values()]).cpu()
        parts = together.split_with_sizes([len(column) for column in columns.values()])
        return dict(zip(columns, parts, strict=True))

    def _end(self) -> None:
        columns = self._read()
        found = {key: columns[key].mean().item() for key in SIGNS if key in columns}
        found["zero_features"] = 1 - columns["nonzero"].mean().item()
        if "labels" in columns:
            is_labelled = columns["labels"] >= 0
            found["rejected"] = 1 - is_labelled.float().mean().item()
            labelled = Counter(columns["labels"][is_labelled].tolist())
            if labelled and self.num_classes != 1:
                found["largest_class"] = max(labelled.values()) / labelled.total()
        if self.num_classes:
            found["missing_classes"] = 1 - len(set(columns["predicted"].tolist())) / self.num_classes
        self.diagnostics = {key: found[key] for key in SIGNS if key in found}
        for key, fraction in self.diagnostics.items():
            lowest, words = SIGNS[key]
            if fraction >= lowest and key not in self.warned:
                self.warned.add(key)
                warnings.warn(
                    f"{100 * fraction:.0f} % {words}, over {self.size} samples; see docs/robustness.md", stacklevel=2
                )
        self._begin()
