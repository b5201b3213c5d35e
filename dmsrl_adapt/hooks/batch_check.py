"""Validation of a batch before the forward pass."""

import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from .. import keys
from ..checks import check_images, check_labels, read_at_once
from ..training.source_accuracy import cohen_kappa
from .backbone import other_inputs
from .context import num_domains, read, read_augmented, read_progress


def check_batch(
    hook: object, inputs: Mapping[str, Any], layers: Mapping[str, nn.Module], uses_target_labels: bool
) -> dict[str, Any]:
    """Returns entries for the context after checking the whole batch: source labels as int64, and `source_kappa`.

    All checks run before the step, because a step that fails half-way would leave changed batch statistics and
    prototypes. They wait for the device once, before anything is queued there, and within the step no value is checked
    again.

    Args:
        hook: named in errors.
        inputs: context with `src_imgs`, `src_labels`, `target_imgs`; `src_imgs_augmented`, `target_imgs_augmented`,
            `target_labels` and `progress` where present; `target_sample_idx` if there is a `pseudo_labeler`;
            `src_domain` and `target_domain` if a layer has more than two domains; other inputs of `G`.
        layers: modules of the step other than G and C, by key. If none has `num_classes`, and C does not end with a
            linear layer, labels have no upper limit.
        uses_target_labels: whether the recipe has `KnownTargetLabels`. If not, `target_labels` are ignored, with one
            warning.

    Raises:
        KeyError: a key is missing.
        ValueError: images that are empty, NaN or infinite; labels, indices or progress of the wrong shape or out of
            range.
        TypeError: images that are not tensors of real numbers, labels or indices that are not integers.
    """
    images = {domain: read(hook, inputs, keys.imgs(domain)) for domain in keys.DOMAINS}
    labels = read(hook, inputs, keys.SRC_LABELS)
    read_progress(inputs)
    num_classes = smallest_num_classes(layers.values(), inputs.get(keys.C))
    accuracy: Any = layers.get(keys.SOURCE_ACCURACY)
    with read_at_once(None if accuracy is None else accuracy.counts.flatten()) as counts:
        for domain, of_domain in images.items():
            check_images(of_domain, keys.imgs(domain))
            augmented = read_augmented(inputs, domain, of_domain)
            if augmented is not None:
                check_images(augmented, keys.augmented(domain))
            if keys.G in inputs:
                other_inputs(inputs[keys.G], inputs, domain)
        num_target = len(images[keys.TARGET])
        labeler: Any = layers.get(keys.PSEUDO_LABELER)
        if labeler is not None:
            labeler.check_sample_idx(read(hook, inputs, keys.TARGET_SAMPLE_IDX), num_target)
        check_domain_ids(hook, inputs, images, max(map(num_domains, layers.values()), default=2))
        if uses_target_labels and keys.TARGET_LABELS in inputs:
            check_labels(inputs[keys.TARGET_LABELS], num_target, num_classes, lowest=-1, name=keys.TARGET_LABELS)
        elif keys.TARGET_LABELS in inputs:
            warn_ignored()
        labels = check_labels(labels, len(images[keys.SRC]), num_classes, name=keys.SRC_LABELS)
    return {keys.SRC_LABELS: labels, **({keys.SOURCE_KAPPA: cohen_kappa(counts)} if counts else {})}


def check_domain_ids(hook: object, inputs: Mapping[str, Any], images: Mapping[str, Tensor], most_domains: int) -> None:
    """Raises unless the domain numbers of a batch are below `most_domains`; with two domains they are not used."""
    for domain in keys.DOMAINS if most_domains > 2 else ():
        key = keys.domain_id(domain)
        check_labels(read(hook, inputs, key), len(images[domain]), most_domains, name=key)


@cache
def warn_ignored() -> None:
    """Warns once that target labels are ignored."""
    advice = "add KnownTargetLabels() to the recipe to train with them"
    warnings.warn(f"target_labels are ignored: by default they are for scoring only; {advice}", stacklevel=2)


def smallest_num_classes(modules: Iterable[nn.Module], classifier: nn.Module | None) -> int:
    """Returns the smallest `num_classes` of the modules, wrapped or not; else that of a linear classifier."""
    known = [getattr(part, "num_classes", None) for module in modules for part in module.modules()]
    last = [*classifier.modules()][-1] if isinstance(classifier, nn.Module) else None
    outputs = last.out_features if isinstance(last, nn.Linear) else torch.iinfo(torch.int64).max
    return min((number for number in known if number is not None), default=outputs)
