"""Office-31, Office-Home, Office-Caltech10, VisDA-2017 and DomainNet-126, on frozen features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import torch
from filelock import FileLock
from pytorch_adapt.datasets import DomainNet126, Office31, OfficeHome
from pytorch_adapt.datasets.base_dataset import BaseDownloadableDataset
from torch import Tensor

from dmsrl_adapt.data import DataError
from dmsrl_adapt.data.decode import decode
from dmsrl_adapt.data.folders import find_images
from dmsrl_adapt.trainer.frozen_features import augmented_features, frozen_features

from .images import square
from .task import DataPlace, Fractions, Need, Split, Task

SIZE = 128
AT_ONCE = 2000  # images decoded at a time


@dataclass(frozen=True)
class Collection:
    """Images of the same classes in several domains.

    root: folder in the data folder.
    domains: folder below `root` of each domain, with one folder per class.
    address: where the owners offer it.
    licence: where it is stated, and the authors.
    loader: upstream's class that can download it, or None.
    lists: files below `root` that list the images to use and their classes, if any.
    """

    root: str
    domains: Mapping[str, str]
    address: str
    licence: str
    loader: type[BaseDownloadableDataset] | None = None
    lists: tuple[str, ...] = ()
    metric: str = "accuracy"


def same(*names: str) -> dict[str, str]:
    """Returns domains whose folders have the domain's name."""
    return dict(zip(names, names, strict=True))


COLLECTIONS = {
    "office31": Collection(
        "office31",
        {domain: f"{domain}/images" for domain in ("amazon", "dslr", "webcam")},
        "https://www.cc.gatech.edu/~judy/domainadapt/",
        "see its page (Saenko et al., ECCV 2010)",
        Office31,
    ),
    "officehome": Collection(
        "officehome",
        same("art", "clipart", "product", "real"),
        "https://www.hemanthdv.org/officeHomeDataset.html",
        "see its page (Venkateswara et al., CVPR 2017)",
        OfficeHome,
    ),
    "officecaltech10": Collection(
        "office_caltech_10",
        same("amazon", "caltech", "dslr", "webcam"),
        "https://www.cc.gatech.edu/~judy/domainadapt/",
        "see its page (Gong et al., CVPR 2012)",
    ),
    "visda2017": Collection(
        "visda-2017",
        {"synthetic": "train", "real": "validation"},
        "http://ai.bu.edu/visda-2017/",
        "see its page (Peng et al., 2017)",
        metric="balanced_accuracy",
    ),
    "domainnet126": Collection(
        "domainnet",
        same("clipart", "painting", "real", "sketch"),
        "http://ai.bu.edu/M3SDA/, without the lists of 126 classes, which come with what pytorch-adapt fetches",
        "see its page (Peng et al., ICCV 2019; 126 classes: Saito et al., ICCV 2019)",
        DomainNet126,
        ("{domain}126_train.txt", "{domain}126_test.txt"),
    ),
}
# for VisDA the synthetic images are always the source
PAIRS = [(kind, *pair) for kind, one in COLLECTIONS.items() for pair in permutations(one.domains, 2)]
NAMES = tuple("-".join(pair) for pair in PAIRS if pair[:2] != ("visda2017", "real"))
LICENCE = "; ".join(f"{kind}: {one.licence}, {one.address}" for kind, one in COLLECTIONS.items())


def needs(name: str) -> tuple[Need, ...]:
    """Returns the folders that a task needs."""
    kind, *domains = name.split("-")
    one = COLLECTIONS[kind]
    return tuple(Need(f"{one.root}/{one.domains[domain]}", how_of(one), counter(one, domain)) for domain in domains)


def counter(one: Collection, domain: str) -> Callable[[Path], dict[str, int]]:
    """Returns a function that counts the images of a domain by class, from the path of its folder."""

    def count(path: Path) -> dict[str, int]:
        root = path.parents[len(Path(one.domains[domain]).parts) - 1]
        return {name: len(paths) for name, paths in sorted(files_of(one, domain, root).items())}

    return count


def how_of(one: Collection) -> str:
    """Returns a text on where to get a collection."""
    how = "; or let pytorch-adapt fetch it: add --download" if one.loader else ""
    return f"It is offered at {one.address}{how}"


def load(name: str, place: DataPlace) -> Task:
    """Returns the task: the whole source, and the target split 50 : 20 : 30 for training, validation and scoring."""
    kind, source, target = name.split("-")
    one = COLLECTIONS[kind]
    (first, classes), (second, other) = (read_domain(one, domain, place) for domain in (source, target))
    if classes != other:
        raise DataError(f"{source} and {target} of {kind} must have the same classes; not in both: {classes ^ other}")
    parts = Fractions().cut(second)
    return Task(name, tuple(sorted(classes)), first, *parts, metric=one.metric, licence=one.licence)


def read_domain(one: Collection, domain: str, place: DataPlace) -> tuple[Split, set[str]]:
    """Returns a domain's features with labels, numbered by the sorted class names, and the class names."""
    files = files_of(one, domain, folder_of(one, domain, place))
    names = sorted(files)
    numbered = [(path, number) for number, name in enumerate(names) for path in files[name]]
    parts = [numbered[start : start + AT_ONCE] for start in range(0, len(numbered), AT_ONCE)]
    images = (torch.stack([image_of(path) for path, _ in part]) for part in parts)
    computed = [(frozen_features(of_part), augmented_features(of_part)) for of_part in images]
    features, augmented = (torch.cat(of_parts) for of_parts in zip(*computed, strict=True))
    return Split(features, torch.as_tensor([number for _, number in numbered]), augmented), set(names)


def image_of(path: Path) -> Tensor:
    """Returns an image file as uint8 (3, SIZE, SIZE)."""
    return square(torch.from_numpy(decode(path, str(path)).pixels).permute(2, 0, 1)[None], SIZE)[0]


def files_of(one: Collection, domain: str, root: Path) -> dict[str, list[Path]]:
    """Returns the images of a domain by class. Raises `DataError` if there are none."""
    if not one.lists:
        found = find_images(root / one.domains[domain], labelled=True)
        named = {str(name): paths for name, paths in found.images.items() if name is not None and paths}
        files = {name: [Path(found.root, path) for path in paths] for name, paths in named.items()}
    else:
        files = {}
        for name in one.lists:
            for line in (root / name.format(domain=domain)).read_text().splitlines():
                path = root / line.rpartition(" ")[0]
                files.setdefault(path.parent.name, []).append(path)
    if not files:
        raise DataError(f"{root / one.domains[domain]} must hold class folders with images, found none")
    return files


def folder_of(one: Collection, domain: str, place: DataPlace) -> Path:
    """Returns the folder of a collection, downloaded by upstream if requested and possible.

    Raises `DataError`, which says how to get it, if the domain is missing.
    """
    root = place.folder and place.folder / one.root
    needed = [one.domains[domain], *(name.format(domain=domain) for name in one.lists)]
    if root and place.download and one.loader and not all((root / part).exists() for part in needed):
        fetch(one, domain, root.parent)
    for part in needed:
        place.file(f"{one.root}/{part}", how_of(one))
    assert root is not None  # otherwise place.file has raised
    return root


def fetch(one: Collection, domain: str, folder: Path) -> None:
    """Downloads a collection by upstream's loader. Raises `DataError` if that fails."""
    assert one.loader is not None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".download.lock"):  # parallel runs would write the same files
            one.loader(str(folder), domain=domain, train=True, download=True)
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        what = " ".join(str(error).split())
        raise DataError(f"{one.root} cannot be fetched to {folder}: {what}; it is offered at {one.address}") from error
