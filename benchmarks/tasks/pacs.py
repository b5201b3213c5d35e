"""PACS: photos, paintings, cartoons and sketches of seven kinds of things, every ordered pair, on frozen features."""

from itertools import permutations

import torch

from ..frozen_features import frozen_features
from .images import encoded_images, read_arrays, to_images
from .task import DataPlace, Shares, Split, Task

DOMAINS = ("art_painting", "cartoon", "photo", "sketch")
NAMES = tuple(f"pacs-{source}-{target}" for source, target in permutations(DOMAINS, 2))
LICENCE = "none stated; https://domaingeneralization.github.io (Li et al., ICCV 2017)"


def load(name: str, place: DataPlace) -> Task:
    """Gives the whole source, and the target cut 50 : 20 : 30 for training, validation and scoring."""
    _, source, target = name.split("-")
    (pool, classes), (target_pool, _) = (read_domain(domain, place) for domain in (source, target))
    return Task(name, classes, pool, *Shares().cut(target_pool), licence=LICENCE)


def read_domain(domain: str, place: DataPlace) -> tuple[Split, tuple[str, ...]]:
    """Gives a domain's features and its class names."""
    path = place.file(f"pacs_{domain}.npz", "PACS has no official download; see benchmarks/README.md for the format.")
    arrays = read_arrays(path, (), required=("jpeg_bytes", "offsets", "labels", "classes"))
    features = frozen_features(to_images(encoded_images(arrays, str(path))))
    return Split(features, torch.as_tensor(arrays["labels"])), tuple(arrays["classes"].tolist())
