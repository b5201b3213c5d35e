"""Slow loops over the published formulas, to which the fast code is compared.

They take tensors and add up scalars, so that autograd gives their gradients too. Written from DESIGN and the papers.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def ramp(progress: float) -> float:
    """2 / (1 + exp(-10 p)) - 1."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """||a - b||^2 of two vectors."""
    return sum(((x - y) ** 2 for x, y in zip(a, b, strict=True)), start=torch.zeros((), dtype=a.dtype))


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """cos(a, b); 0 where one of them is zero."""
    lengths = [sum((x**2 for x in vector), start=torch.zeros((), dtype=a.dtype)) for vector in (a, b)]
    if any(length == 0 for length in lengths):
        return torch.zeros((), dtype=a.dtype)
    return sum(x * y for x, y in zip(a, b, strict=True)) / (lengths[0] * lengths[1]).sqrt()


def log_softmax(values: Sequence[Tensor], which: int) -> Tensor:
    """log of one value's share of the exponentials."""
    return values[which] - torch.stack(list(values)).logsumexp(0)


def smoothed_cross_entropy(logits: Tensor, labels: Sequence[int], smoothing: float) -> Tensor:
    """Mean over the samples of -sum_k t_k log p_k, t the label with `smoothing` of it spread over all classes."""
    loss, num_classes = 0 * logits.sum(), logits.shape[1]
    for row, label in zip(logits, labels, strict=True):
        for k in range(num_classes):
            truth = (1 - smoothing) * (k == label) + smoothing / num_classes
            loss = loss - truth * log_softmax(row, k) / len(labels)
    return loss


def margin_metric_loss(
    features: Tensor,
    labels: Sequence[int],
    domains: Sequence[int],
    weights: Sequence[float],
    centers: Tensor,
    margin: float,
    gap_weight: float,
) -> Tensor:
    """Pull to the centres, hinge on their spread, gap between the domains' centres; one term after the other."""
    num_domains, num_classes, _ = centers.shape
    loss = torch.zeros((), dtype=features.dtype)
    for d in range(num_domains):
        members = [i for i in range(len(labels)) if domains[i] == d]
        for i in members:
            if labels[i] != -1:
                loss = loss + weights[i] * squared_distance(features[i], centers[d, labels[i]]) / (2 * len(members))
        spread = torch.zeros((), dtype=features.dtype)
        for i in range(num_classes):
            for j in range(i + 1, num_classes):
                spread = spread + squared_distance(centers[d, i], centers[d, j]) / (num_classes * (num_classes - 1))
        if margin - spread > 0:
            loss = loss + margin - spread
    for d in range(1, num_domains):
        for k in range(num_classes):
            loss = loss + gap_weight * squared_distance(centers[0, k], centers[d, k]) / num_classes
    return loss


def margin_disparity(logits: Tensor, classes: Sequence[int], domains: Sequence[int], margin: float) -> Tensor:
    """gamma mean over the source of -log p_c, and mean over the target of -log (1 - p_c)."""
    loss = 0 * logits.sum()
    for row, chosen, domain in zip(logits, classes, domains, strict=True):
        p = log_softmax(row, chosen).exp()
        loss = loss - (margin * p.log() if domain == 0 else (1 - p).log()) / sum(d == domain for d in domains)
    return loss


def cosine_margin_loss(
    features: Tensor,
    labels: Sequence[int],
    domains: Sequence[int],
    weights: Sequence[float],
    prototypes: Tensor,
    scale: float,
    margin: float,
) -> Tensor:
    """Cross entropy over scaled cosines, the own class's lowered by the margin; mean over each domain, then the sum."""
    loss = 0 * features.sum()
    for d in set(domains):
        members = [i for i in range(len(labels)) if domains[i] == d]
        for i in members:
            if labels[i] == -1:
                continue
            logits = []
            for k in range(len(prototypes)):
                lowered = margin if k == labels[i] else 0.0
                logits.append(scale * (cosine(features[i], prototypes[k]) - lowered))
            loss = loss - weights[i] * log_softmax(logits, labels[i]) / len(members)
    return loss


def binary_cross_entropy(logit: Tensor, truth: int) -> Tensor:
    """-log of the probability that the log odds give to the truth."""
    return -torch.nn.functional.logsigmoid(logit if truth == 1 else -logit)


def domain_cross_entropy(logits: Tensor, domains: Sequence[int]) -> Tensor:
    """Mean over the samples of the cross entropy of telling the domain."""
    losses = [binary_cross_entropy(logits[i], domains[i]) for i in range(len(domains))]
    return torch.stack(losses).mean() if losses else 0 * logits.sum()


def several_domains_cross_entropy(logits: Tensor, domains: Sequence[int], class_probs: Tensor) -> Tensor:
    """1/(DK) sum_k sum_d sum_{i in d} q_ik / (1 + sum_{j in d} q_jk) CE(h_ik, d_i); logits of shape (N, K, D)."""
    loss, (_, num_classes, num_domains) = 0 * logits.sum(), logits.shape
    for k in range(num_classes):
        for d in range(num_domains):
            members = [i for i in range(len(domains)) if domains[i] == d]
            mass = sum(float(class_probs[j, k]) for j in members)
            for i in members:
                share = float(class_probs[i, k]) / (1 + mass)
                loss = loss - share * log_softmax(logits[i, k], d) / (num_domains * num_classes)
    return loss


def class_domain_cross_entropy(logits: Tensor, domains: Sequence[int], class_probs: Tensor) -> Tensor:
    """1/(2K) sum_k sum_d sum_{i in d} q_ik / (1 + sum_{j in d} q_jk) BCE(h_ik, d_i)."""
    loss, class_probs = 0 * logits.sum(), class_probs.detach()
    num_classes = logits.shape[1]
    for k in range(num_classes):
        for d in (0, 1):
            members = [i for i in range(len(domains)) if domains[i] == d]
            mass = sum(float(class_probs[j, k]) for j in members)
            for i in members:
                share = float(class_probs[i, k]) / (1 + mass)
                loss = loss + share * binary_cross_entropy(logits[i, k], d) / (2 * num_classes)
    return loss


def balanced_class_probs(class_mass: Tensor, domains: Sequence[int], class_probs: Tensor, weights=None) -> Tensor:
    """Memberships times weights times (smallest / largest share of the class in a domain)^2; moves the running means,
    which are of the memberships alone, in place."""
    balanced, (num_domains, num_classes) = class_probs.clone(), class_mass.shape
    shares = []
    for d in range(num_domains):
        members = [i for i in range(len(domains)) if domains[i] == d]
        old = class_mass[d].tolist()
        kept = 0.95 if sum(old) > 0 else 0.0
        for k in range(num_classes):
            mean = sum(float(class_probs[i, k]) for i in members) / len(members)
            class_mass[d, k] = kept * old[k] + (1 - kept) * mean
        shares.append([mass / sum(class_mass[d].tolist()) for mass in class_mass[d].tolist()])
    for k, of_class in enumerate(zip(*shares, strict=True)):
        balanced[:, k] *= (min(of_class) / max(of_class)) ** 2 if max(of_class) > 0 else 0.0
    return balanced if weights is None else balanced * weights[:, None]


def standardised(values: Tensor) -> Tensor:
    """Every column less its mean, over the root of its variance + 1e-5."""
    columns = []
    for column in values.unbind(1):
        mean = sum(column) / len(column)
        variance = sum((value - mean) ** 2 for value in column) / len(column)
        columns.append(torch.stack([(value - mean) / (variance + 1e-5).sqrt() for value in column]))
    return torch.stack(columns, 1)


def log_gaussian(value: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    """Log density of one vector under a Gaussian with independent entries."""
    terms = zip(value, means, log_variances, strict=True)
    return sum(-0.5 * ((v - m) ** 2 / s.exp() + s + math.log(2 * math.pi)) for v, m, s in terms)


def club_bound(values: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    """1/N sum_i log q(v_i | g_i) - 1/N^2 sum_i sum_j log q(v_j | g_i), pair by pair."""
    size, bound = len(values), 0 * values.sum()
    for i in range(size):
        bound = bound + log_gaussian(values[i], means[i], log_variances[i]) / size
        for j in range(size):
            bound = bound - log_gaussian(values[j], means[i], log_variances[i]) / size**2
    return bound


def negative_log_likelihood(values: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    """-1/N sum_i log q(v_i | g_i), without the constant D/2 log(2 pi)."""
    size, dim = values.shape
    rows = [log_gaussian(values[i], means[i], log_variances[i]) for i in range(size)]
    return -sum(rows) / size - dim / 2 * math.log(2 * math.pi)


def class_confusion(logits: Tensor, temperature: float) -> Tensor:
    """Minimum class confusion (Jin et al., ECCV 2020): off-diagonal share of the weighted class correlation."""
    size, num_classes = logits.shape
    probs = [[log_softmax(row / temperature, k).exp() for k in range(num_classes)] for row in logits]
    certainty = []
    for row in probs:
        entropy = -sum(p.item() * math.log(p.item()) for p in row)
        certainty.append(1 + math.exp(-entropy))
    weights = [size * c / sum(certainty) for c in certainty]
    loss = 0 * logits.sum()
    for j in range(num_classes):
        correlation = [sum(weights[i] * probs[i][j] * probs[i][k] for i in range(size)) for k in range(num_classes)]
        loss = loss + sum(correlation[k] for k in range(num_classes) if k != j) / sum(correlation) / num_classes
    return loss


class SlowPrototypes:
    """Nearest prototype labels with running means, one sample after the other, in plain numbers."""

    def __init__(self, num_classes: int, metric: str = "cosine", momentum: float = 0.9, threshold: float = 0.5) -> None:
        self.prototypes: list[list[float] | None] = [None] * num_classes
        self.mean_confidence = [0.0] * num_classes
        self.metric, self.momentum, self.threshold = metric, momentum, threshold

    def update(self, features: Tensor, labels: Sequence[int], weights: Sequence[float] | None = None) -> None:
        """Moves every prototype that has samples towards their weighted mean."""
        weights = [1.0] * len(labels) if weights is None else weights
        rows = features.detach().double().tolist()
        if self.metric == "cosine":
            lengths = [math.sqrt(sum(x * x for x in row)) for row in rows]
            rows = [[x / length if length else 0.0 for x in row] for row, length in zip(rows, lengths, strict=True)]
        for k, old in enumerate(self.prototypes):
            members = [i for i in range(len(labels)) if labels[i] == k]
            mass = sum(weights[i] for i in members)
            if mass == 0:
                continue
            mean = [sum(weights[i] * rows[i][x] for i in members) / mass for x in range(features.shape[1])]
            kept = self.momentum if old is not None else 0.0
            self.prototypes[k] = [kept * a + (1 - kept) * b for a, b in zip(old or mean, mean, strict=True)]

    def label(self, features: Tensor, follow: bool = True) -> tuple[list[int], list[float]]:
        """Label (-1 where it is rejected) and trust of every sample; `follow` moves the mean trust of the classes."""
        found = [self._nearest(row) for row in features.detach().double()]
        if follow:
            for k, old in enumerate(self.mean_confidence):
                trusts = [trust for label, trust in found if label == k]
                if trusts:
                    mean = sum(trusts) / len(trusts)
                    self.mean_confidence[k] = self.momentum * old + (1 - self.momentum) * mean if old > 0 else mean
        kept = [label != -1 and trust >= self.threshold * self.mean_confidence[label] for label, trust in found]
        labels = [label if keep else -1 for (label, _), keep in zip(found, kept, strict=True)]
        return labels, [trust if keep else 0.0 for (_, trust), keep in zip(found, kept, strict=True)]

    def _nearest(self, row: Tensor) -> tuple[int, float]:
        distances = {}
        for k, prototype in enumerate(self.prototypes):
            if prototype is None:
                return -1, 0.0
            other = torch.tensor(prototype, dtype=row.dtype)
            away = 1 - cosine(row, other) if self.metric == "cosine" else squared_distance(row, other)
            distances[k] = max(float(away), 0.0)
        order = sorted(distances, key=lambda k: distances[k])
        if len(order) < 2:
            return order[0], 1.0
        first, second = distances[order[0]], distances[order[1]]
        return order[0], 1 - first / second if second > 0 else 0.0


def distance_table(queries: Tensor, rows: Tensor, metric: str) -> Tensor:
    """Every distance in float64, shape (N, M): 1 - cos, 1 where a row is zero, or ||q - r||^2."""
    queries, rows = (x.detach().double() for x in (queries, rows))
    if metric == "l2":
        return (queries[:, None] - rows[None]).square().sum(2)
    lengths = queries.norm(dim=1)[:, None] * rows.norm(dim=1)[None]
    return 1 - (queries @ rows.t()) / lengths.where(lengths > 0, 1.0)


def certainty(probs):
    """One minus the entropy of each row over that of an even row."""
    rows = []
    for row in probs.tolist():
        entropy = -sum(value * math.log(value) for value in row if value > 0)
        rows.append(1 - entropy / math.log(len(row)))
    return torch.tensor(rows)


def decayed_kappa(batches: Sequence[tuple[Sequence[int], Sequence[int]]], momentum: float) -> float:
    """Cohen's kappa, at least 0, of labels and predictions, whose weight falls with every batch after them that has a
    sample; 0 without any."""
    batches = [batch for batch in batches if len(batch[0])]
    weights = [momentum ** (len(batches) - 1 - i) for i in range(len(batches))]
    rows = [
        (y, p, w) for (labels, said), w in zip(batches, weights, strict=True) for y, p in zip(labels, said, strict=True)
    ]
    total = sum(w for _, _, w in rows)
    if not total:
        return 0.0
    accuracy = sum(w for y, p, w in rows if y == p) / total
    classes = {y for y, _, _ in rows}
    chance = (
        sum(sum(w for y, _, w in rows if y == k) * sum(w for _, p, w in rows if p == k) for k in classes) / total**2
    )
    return max(0.0, (accuracy - chance) / (1 - chance)) if chance < 1 else 0.0
