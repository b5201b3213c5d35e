"""PACS: photos, paintings, cartoons and sketches of seven classes, every ordered pair, on frozen features, or as
pacs_maps on feature maps of two depths of the same frozen network."""

from itertools import permutations

from dmsrl_adapt.backbones.frozen_maps import Shape
from dmsrl_adapt.data import open_data
from dmsrl_adapt.trainer.frozen_features import kept_maps

from .images import count_labels, stacked
from .own_data import with_frozen_features
from .task import DataPlace, Fractions, Need, Split, Task

DOMAINS = ("art_painting", "cartoon", "photo", "sketch")
KINDS = ("pacs", "pacs_maps")
NAMES = tuple(f"{kind}-{source}-{target}" for kind in KINDS for source, target in permutations(DOMAINS, 2))
LICENCE = "none stated; https://domaingeneralization.github.io (Li et al., ICCV 2017)"
HOW = "PACS has no official download; see benchmarks/README.md for the format."


def needs(name: str) -> tuple[Need, ...]:
    """Returns the files that a task needs."""
    _, *domains = name.split("-")
    return tuple(Need(f"pacs_{domain}.npz", f"{HOW}\n{LICENCE}", count_labels) for domain in domains)


def load(name: str, place: DataPlace) -> Task:
    """Returns the task: the whole source, and the target split 50 : 20 : 30 for training, validation and scoring."""
    kind, source, target = name.split("-")
    pool, classes, shapes = read_domain(source, place, kind)
    parts = Fractions().cut(read_domain(target, place, kind)[0])
    return Task(name, classes, pool, *parts, licence=LICENCE, map_shapes=shapes)


def read_domain(domain: str, place: DataPlace, kind: str) -> tuple[Split, tuple[str, ...], tuple[Shape, ...]]:
    """Returns a domain's features or flattened feature maps, its class names, and the shapes of the maps, if any."""
    path = place.file(f"pacs_{domain}.npz", HOW)
    samples, images = stacked(open_data(path, labelled=True))
    labels, classes = samples.labels, samples.classes or ()
    if kind == "pacs":
        return with_frozen_features(Split(images, labels)), classes, ()
    maps = kept_maps(images)
    return Split(maps.rows, labels), classes, tuple(maps.shapes)
