"""Sums of features over classes, and clusters within classes, for prototypes."""

import torch
from torch import Tensor

from ..one_hot import members
from .faiss_search import load_faiss

TRIES = 5  # k-means sometimes ends in a poor optimum; the best of several runs is used


def class_sums(rows: Tensor, labels: Tensor, weights: Tensor | None, num_classes: int) -> tuple[Tensor, Tensor]:
    """Returns the weighted sum of each class's rows and the sum of their weights, in float32 under autocast.

    Args:
        rows: shape (N, D), float32, one sample a row.
        labels: shape (N,), int64, 0..K-1, or -1 for a sample to leave out.
        weights: shape (N,), float32, at least 0; None for 1.
        num_classes: K.

    Returns:
        sums: shape (K, D), float32.
        mass: shape (K,), float32.
    """
    of_class = members(labels, num_classes)
    shares = of_class.to(rows) if weights is None else of_class * weights
    with torch.autocast(rows.device.type, enabled=False):
        return shares @ rows, shares.sum(1)


def clusters_within_classes(
    rows: Tensor, labels: Tensor, weights: Tensor, num_classes: int, per_class: int, spherical: bool
) -> Tensor:
    """Returns the cluster of each row by weighted k-means within its class, on the CPU.

    The result is deterministic. k-means uses at most 256 rows per cluster; weights enter the cluster means, but not the
    choice of the best of several runs.

    Args:
        rows: shape (N, D), float32, one sample a row.
        labels: shape (N,), int64, 0..K-1, or -1 for a sample to leave out.
        weights: shape (N,), float32, at least 0.
        num_classes: K.
        per_class: P, clusters per class; a class with at most P rows has one cluster per row.
        spherical: cluster directions; the rows must have unit length.

    Returns:
        Cluster k P + p of class k, shape (N,), int64; -1 for a row without label or weight.
    """
    labels = labels.where(weights > 0, -1)
    if per_class == 1:
        return labels
    clusters = labels.clone()
    for k in range(num_classes):
        own = (labels == k).nonzero()[:, 0]
        of_class = torch.arange(len(own))
        if len(own) > per_class:
            points, masses = rows[own].cpu().numpy(), weights[own].cpu().numpy()
            settings = {"spherical": spherical, "nredo": TRIES, "min_points_per_centroid": 1}
            kmeans = load_faiss().Kmeans(points.shape[1], per_class, **settings)
            kmeans.train(points, weights=masses)
            of_class = torch.from_numpy(kmeans.assign(points)[1])
        clusters[own] = k * per_class + of_class.to(clusters.device)
    return clusters
