"""Check of a whole batch before a network sees it."""

import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from .. import keys
from ..checks import check_images, check_labels
from .context import read, read_augmented, read_progress
from .domains import num_domains


def check_batch(
    hook: object, inputs: Mapping[str, Any], layers: Mapping[str, nn.Module], uses_target_labels: bool
) -> Tensor:
    """Returns the source's labels as int64, once nothing is left for which the batch would be refused.

    A forward pass moves batch statistics, and a labeller learns, so that an error in the middle of a step would leave
    its trace. The checks wait for the device four times, five with `target_labels`, before anything has been queued
    there.

    Args:
        hook: named in errors.
        inputs: reads `src_imgs`, `src_labels`, `target_imgs`; `src_imgs_augmented`, `target_imgs_augmented`,
            `target_labels` and `progress` where present, `target_sample_idx` where the layers have a `pseudo_labeler`,
            and `src_domain` and `target_domain` where they tell more than two domains apart.
        layers: what the step uses besides G and C, by key. Where none of them was made for a number of classes, labels
            have no upper end.
        uses_target_labels: whether the recipe has `KnownTargetLabels`; without it the key is ignored, and a warning
            says so once.

    Raises:
        KeyError: a key is missing.
        ValueError: no, NaN or infinite images; labels, indices or progress of the wrong shape or out of range.
        TypeError: images that are no tensors of real numbers, labels or indices that are not integers.
    """
    images = {domain: read(hook, inputs, keys.imgs(domain)) for domain in keys.DOMAINS}
    labels = read(hook, inputs, keys.SRC_LABELS)
    labeler: Any = layers.get(keys.PSEUDO_LABELER)
    sample_idx = None if labeler is None else read(hook, inputs, keys.TARGET_SAMPLE_IDX)
    read_progress(inputs)
    for domain, of_domain in images.items():
        check_images(of_domain, keys.imgs(domain))
        augmented = read_augmented(inputs, domain, of_domain)
        if augmented is not None:
            check_images(augmented, keys.augmented(domain))
    if labeler is not None:
        labeler.check_sample_idx(sample_idx, len(images[keys.TARGET]))
    told_apart = max(map(num_domains, layers.values()), default=2)
    for domain in keys.DOMAINS if told_apart > 2 else ():
        key = keys.domain_id(domain)
        check_labels(read(hook, inputs, key), len(images[domain]), told_apart, name=key)
    num_classes, target = smallest_num_classes(layers.values()), images[keys.TARGET]
    if uses_target_labels and keys.TARGET_LABELS in inputs:
        check_labels(inputs[keys.TARGET_LABELS], len(target), num_classes, lowest=-1, name=keys.TARGET_LABELS)
    elif keys.TARGET_LABELS in inputs:
        warn_ignored()
    return check_labels(labels, len(images[keys.SRC]), num_classes, name=keys.SRC_LABELS)


@cache
def warn_ignored() -> None:
    """Says once that target labels train nothing."""
    told = "target_labels are ignored, as for labels that are for scoring only; add KnownTargetLabels() to the recipe"
    warnings.warn(f"{told} to train with them", stacklevel=2)


def smallest_num_classes(modules: Iterable[nn.Module]) -> int:
    """Returns the smallest number of classes that a module, however it is wrapped, was made for."""
    known = [getattr(part, "num_classes", None) for module in modules for part in module.modules()]
    return min((number for number in known if number is not None), default=torch.iinfo(torch.int64).max)
