"""MNIST, USPS, MNIST-M and SVHN, every ordered pair, as 20 x 20 RGB images."""

from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from dmsrl_adapt.data import DataError, open_data
from dmsrl_adapt.data.arrays import read_arrays

from .images import count_labels, resized, stacked, to_images
from .task import DataPlace, Need, Split, Task

DOMAINS = ("mnist", "usps", "mnistm", "svhn")
NAMES = tuple(f"{source}-{target}" for source, target in permutations(DOMAINS, 2))
LICENCE = (
    "MNIST: CC BY-SA 3.0; USPS: none stated; MNIST-M: none stated, made from MNIST and BSDS500; "
    "SVHN: non-commercial use only, http://ufldl.stanford.edu/housenumbers"
)
SIZE = 20
TRAIN, VALIDATION, TEST = 6000, 2000, 4000
HOW = "Or let torchvision and pytorch-adapt fetch the digits: add --download."


def needs(name: str) -> tuple[Need, ...]:
    """Returns the files that a task needs."""
    source, target = name.split("-")
    files = (f"{domain}_{part}.npz" for domain, part in ((source, "train"), (target, "train"), (target, "test")))
    return tuple(Need(file, f"See benchmarks/README.md for the format. {HOW}", count_labels) for file in files)


def load(name: str, place: DataPlace) -> Task:
    """Returns the task: 6,000 source, 6,000 target training, 2,000 validation and 4,000 test images.

    Of a target training set below 8,000 images, three quarters are for training.
    """
    source, target = name.split("-")
    pools = {domain: read_domain(domain, "train", place) for domain in (source, target)}
    # MNIST-M is made from MNIST digits: no digit may be in both domains
    rows = pools["mnistm"][1] if "mnistm" in pools else None
    if rows is not None and "mnist" in pools:
        kept = torch.ones(len(pools["mnist"][0]), dtype=torch.bool)
        kept[rows] = False
        pools["mnist"] = (pools["mnist"][0].take(kept), None)
    train = shuffled(pools[target][0], 8)
    cut = min(TRAIN, len(train) * 3 // 4)
    rest = torch.arange(cut, min(cut + VALIDATION, len(train)))
    return Task(
        name,
        classes=tuple("0123456789"),
        source=shuffled(pools[source][0], 7, TRAIN),
        target_train=train.take(torch.arange(cut)),
        target_validation=train.take(rest),
        target_test=shuffled(read_domain(target, "test", place)[0], 9, TEST),
        licence=LICENCE,
    )


def shuffled(split: Split, seed: int, at_most: int | None = None) -> Split:
    """Returns at most `at_most` samples in a fixed random order."""
    order = np.random.RandomState(seed).permutation(len(split))[:at_most]
    return split.take(torch.as_tensor(order))


def read_domain(domain: str, part: str, place: DataPlace) -> tuple[Split, Tensor | None]:
    """Returns the "train" or "test" part of a domain and, for MNIST-M if known, the MNIST rows of its digits."""
    file = f"{domain}_{part}.npz"
    if place.download and (place.folder is None or not (place.folder / file).is_file()):
        return download_domain(domain, part == "train", place), None
    path = place.file(file, HOW)
    samples, images = stacked(open_data(path, labelled=True))
    digits = torch.tensor([int(name) for name in samples.classes or ()])[samples.labels]
    pairs = read_arrays(path, ("mnist_index",)).get("mnist_index")
    return Split(resized(images, SIZE), digits), None if pairs is None else torch.as_tensor(pairs)


def download_domain(domain: str, is_train: bool, place: DataPlace) -> Split:
    """Returns a domain, downloaded by torchvision or pytorch-adapt. Raises `DataError` if the download fails."""
    from pytorch_adapt.datasets import MNISTM
    from torchvision.datasets import MNIST, SVHN, USPS

    folder = place.folder or Path.home() / ".cache" / "dmsrl_adapt"
    kind = {"mnist": MNIST, "usps": USPS, "mnistm": MNISTM, "svhn": SVHN}[domain]
    part = {"split": "train" if is_train else "test"} if kind is SVHN else {"train": is_train}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # parallel runs would write the same file
        with FileLock(folder / ".download.lock"):
            data_set = kind(str(folder), download=True, **part)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        what = " ".join(str(error).split())
        raise DataError(f"{domain} cannot be downloaded to {folder}: {what}; or use --data-dir") from error
    images, labels = zip(*((np.asarray(image), int(label)) for image, label in data_set), strict=True)
    return Split(to_images(np.stack(images), SIZE), torch.as_tensor(labels))
