"""Inputs of a head on the frozen network: features of all images, computed once."""

import torch
from tqdm import tqdm

from ..data import Samples
from .batches import in_order, loader
from .frozen_features import augmented_features, frozen_features
from .inputs import KeptInputs, ReadInputs
from .preprocessing import Preprocessing

AT_A_TIME = 128  # images in memory


def frozen_inputs(samples: Samples, preprocessing: Preprocessing, with_augmented: bool, workers: int) -> KeptInputs:
    """Returns the features of images, and with `with_augmented` of augmented copies of each.

    They take 15 kB an image in memory, and are kept in the user's cache folder for further runs.

    Args:
        samples: images.
        preprocessing: of the frozen network.
        with_augmented: whether to compute those of augmented copies.
        workers: processes that read images.
    """
    features, augmented, labels = [], [], []
    chunks = loader(ReadInputs(samples, preprocessing), in_order(range(len(samples)), AT_A_TIME), workers)
    with tqdm(total=len(samples), desc="frozen features", unit=" images", delay=2, leave=False) as bar:
        for chunk in chunks:
            features.append(frozen_features(chunk["inputs"], is_shown=False).half())
            if with_augmented:
                augmented.append(augmented_features(chunk["inputs"], is_shown=False))
            labels.append(chunk["label"])
            bar.update(len(chunk["row"]))
    known = None if samples.labels is None else torch.cat(labels)
    return KeptInputs(torch.cat(features), torch.cat(augmented) if augmented else None, known)
