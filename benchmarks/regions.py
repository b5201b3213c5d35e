"""A figure of the image regions that drive the prediction, on source and target, before and after adaptation."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from pytorch_adapt.adapters import BaseAdapter
from torch import Tensor

from dmsrl_adapt import MultiLevelBackbone, keys
from dmsrl_adapt.trainer.devices import device_of

from .figures import save
from .methods import get_method
from .tasks import Split, Task
from .training import Plan, accuracies, infer, to_inputs, train

AVERAGED = 300  # images per domain in the mean
MOMENTS = ("before", "after")


@dataclass(frozen=True)
class Regions:
    """Heat maps and predictions of a model.

    heat: float32 (N, H, W), 0..1, at the size of the images; the maximum of an image is 1, unless all values are 0.
    probs: float32 (N, K).
    """

    heat: Tensor
    probs: Tensor


def regions_of(adapter: BaseAdapter, images: Tensor, domain: int) -> Regions:
    """Returns HiResCAM heat maps of the predicted class: last map of G times the gradient of its logit, over channels.

    For global average pooling this equals Grad-CAM. Windows and flattened maps have a gradient per position, which
    Grad-CAM would average out (HiResCAM, arXiv 2011.08891).

    Args:
        adapter: a trained adapter with a `MultiLevelBackbone` as G.
        images: uint8 (N, C, H, W).
        domain: 0 for the source, 1 for the target.

    Raises:
        ValueError: G is another module, for example for feature vectors.
    """
    G = adapter.models[keys.G]
    if not isinstance(G, MultiLevelBackbone) or images.ndim != 4:
        came = f"{tuple(images.shape)} and {type(G).__name__}"
        raise ValueError(f"regions need images and a MultiLevelBackbone, got {came}")
    maps: list[Tensor] = []
    adapter.models.eval()
    with G.pools[-1].register_forward_pre_hook(lambda pool, inputs: maps.append(inputs[0])):
        inputs, domains = to_inputs(images).to(device_of(adapter)), torch.full((len(images),), domain)
        logits = adapter.inference(inputs, domain=domains)["logits"]
    (gradient,) = torch.autograd.grad(logits.max(1).values.sum(), maps[-1])
    adapter.models.train()
    heat = (gradient * maps[-1]).detach().sum(1, keepdim=True).clamp(min=0)
    heat = F.interpolate(heat, images.shape[2:], mode="bilinear")[:, 0]
    highest = heat.amax((1, 2), keepdim=True)
    return Regions((heat / highest.where(highest > 0, 1)).cpu(), logits.detach().softmax(1).cpu())


def write_regions(task: Task, names: tuple[str, str], seed: int, plan: Plan, path: Path) -> Path:
    """Trains two methods, "before" and "after", draws their heat maps, and returns the path of the figure.

    Each column shows an image of one class, the first in a random order that does not depend on the methods. The last
    column is the mean over up to 300 images of the domain.
    """
    adapters = {name: train(task, get_method(name), seed, plan).adapter for name in names}
    domains = {"source,\ntrained on": task.source, "target,\nnot trained on": task.target_test}
    columns = [*task.classes, "mean"]
    size = (1.25 * len(columns) + 1.6, 1.42 * 2 * (1 + len(names)) + 0.8)
    figure, all_axes = plt.subplots(2 * (1 + len(names)), len(columns), figsize=size, squeeze=False)
    for domain, (title, split) in enumerate(domains.items()):
        shuffled = split.take(torch.randperm(len(split), generator=torch.Generator().manual_seed(seed)))
        examples, rows = first_of_classes(shuffled, len(task.classes)), all_axes[domain * (1 + len(names)) :]
        draw_row(rows[0], shuffled, examples, None, task, title)
        for moment, name, axes in zip(MOMENTS, names, rows[1:], strict=False):
            regions = regions_of(adapters[name], shuffled.inputs[:AVERAGED], domain)
            chosen = regions_of(adapters[name], shuffled.inputs[examples], domain)
            both = Regions(*(torch.cat(parts) for parts in zip(as_pair(chosen), as_pair(regions), strict=True)))
            score = accuracies(split.known_labels, infer(adapters[name], split.inputs, domain)["logits"].argmax(1))
            short = name.replace("+", "\n+").replace("[", "\n[")  # a row is no longer than an image
            label = f"{moment}, {100 * (score[task.metric] or 0.0):.1f} %\n{short}"
            draw_row(axes, shuffled, examples, both, task, label)
    for axes, column in zip(all_axes[0], columns, strict=True):
        axes.set_title(column, fontsize=10)
    metric = task.metric.replace("_", " ")
    legend = f"left of a row: {metric} on the domain; below an image: the prediction, green if correct"
    figure.suptitle(f"{task.name}: regions that drive the prediction, from yellow to red\n{legend}", fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.99), h_pad=0.3, w_pad=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(figure, path)


def as_pair(regions: Regions) -> tuple[Tensor, Tensor]:
    """Returns the heat and the probabilities."""
    return regions.heat, regions.probs


def first_of_classes(split: Split, count: int) -> list[int]:
    """Returns the row of the first sample of each class; row 0 for a class without samples."""
    found = [torch.nonzero(split.known_labels == number)[:, 0] for number in range(count)]
    return [int(rows[0]) if len(rows) else 0 for rows in found]


def draw_row(
    all_axes: np.ndarray, split: Split, examples: list[int], regions: Regions | None, task: Task, title: str
) -> None:
    """Draws the examples and the mean image; with regions, also heat maps and predictions."""
    images = split.inputs.float() / 255
    shown = [*images[examples], images[:AVERAGED].mean(0)]
    for number, (axes, image) in enumerate(zip(all_axes, shown, strict=True)):
        is_mean = number == len(examples)
        axes.imshow(image.permute(1, 2, 0).numpy())
        axes.set_xticks([])
        axes.set_yticks([])
        if regions is not None:
            heat = regions.heat[len(examples) :].mean(0) if is_mean else regions.heat[number]
            relative = (heat / (heat.max() or 1.0)).numpy()
            axes.imshow(relative, cmap="autumn_r", alpha=0.75 * relative, vmin=0, vmax=1)
            if not is_mean:
                label_prediction(axes, regions.probs[number], int(split.known_labels[examples[number]]), task)
    all_axes[0].set_ylabel(title, fontsize=8)


def label_prediction(axes: Axes, probs: Tensor, truth: int, task: Task) -> None:
    """Writes class and probability below an image, in green if the class is correct."""
    top = int(probs.argmax())
    colour = "#2ca02c" if top == truth else "#d62728"
    axes.set_xlabel(f"{task.classes[top]} {100 * float(probs[top]):.0f} %", fontsize=7, color=colour, labelpad=2)
