"""PACS (seven classes of things in four styles) and Office-Caltech10 (things in a shop's and a webcam's photographs).

Every ordered pair of domains, on features of a frozen network with augmented copies (`pacs-photo-sketch`), on the same
features as plain vectors (`pacs_vectors-...`), or on feature maps of two depths of that network (`pacs_maps-...`).
"""

from dataclasses import replace
from itertools import permutations

from dmsrl_adapt.backbones.frozen_maps import Shape
from dmsrl_adapt.data import open_data
from dmsrl_adapt.trainer.frozen_features import frozen_features, kept_maps

from .images import count_labels, stacked
from .own_data import with_frozen_features
from .task import DataPlace, Fractions, Need, Split, Task

DOMAINS = {"pacs": ("art_painting", "cartoon", "photo", "sketch"), "oc": ("amazon", "webcam")}
INPUTS = ("", "_vectors", "_maps")
LICENCES = {
    "pacs": "none stated; https://domaingeneralization.github.io (Li et al., ICCV 2017)",
    "oc": "none stated; see the page of Office-Caltech10 (Gong et al., CVPR 2012)",
}
LICENCE = "; ".join(f"{name}: {licence}" for name, licence in LICENCES.items())
HOW = "There is no official download in this form; see benchmarks/README.md for the format."
NAMES = tuple(
    f"{collection}{inputs}-{source}-{target}"
    for collection, domains in DOMAINS.items()
    for inputs in INPUTS
    for source, target in permutations(domains, 2)
)


def needs(name: str) -> tuple[Need, ...]:
    """Returns the files that a task needs."""
    kind, *domains = name.split("-")
    collection = kind.partition("_")[0]
    text = f"{HOW}\n{LICENCES[collection]}"
    return tuple(Need(f"{collection}_{domain}.npz", text, count_labels) for domain in domains)


def load(name: str, place: DataPlace) -> Task:
    """Returns the task: the whole source, and the target split 50 : 20 : 30 for training, validation and scoring."""
    kind, source, target = name.split("-")
    collection, _, inputs = kind.partition("_")
    pool, classes, shapes = read_domain(f"{collection}_{source}", place, inputs)
    parts = Fractions().cut(read_domain(f"{collection}_{target}", place, inputs)[0])
    return Task(name, classes, pool, *parts, licence=LICENCES[collection], map_shapes=shapes)


def read_domain(stem: str, place: DataPlace, inputs: str) -> tuple[Split, tuple[str, ...], tuple[Shape, ...]]:
    """Returns a domain's features or flattened feature maps, its class names, and the shapes of the maps, if any."""
    samples, images = stacked(open_data(place.file(f"{stem}.npz", HOW), labelled=True))
    split, classes = Split(images, samples.labels), samples.classes or ()
    if inputs == "maps":
        maps = kept_maps(split.inputs)
        return replace(split, inputs=maps.rows), classes, tuple(maps.shapes)
    if inputs == "vectors":
        return replace(split, inputs=frozen_features(split.inputs)), classes, ()
    return with_frozen_features(split), classes, ()
