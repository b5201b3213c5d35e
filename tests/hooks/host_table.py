"""Every training method of pytorch-adapt with parts of DMSRL inside: what is tested, and what docs/hosts.md shows.

python -m tests.hooks.host_table > docs/hosts.md
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_adapt import adapters, hooks, layers
from pytorch_adapt.adapters import BaseAdapter
from pytorch_adapt.containers import Misc, Models, Optimizers
from torch import nn

from dmsrl_adapt import MultiLevelBackbone, attach_dmsrl, dmsrl_components
from dmsrl_adapt.attached_hook import listed, refused_parts
from dmsrl_adapt.recipe import DEFAULT, Recipe

from ..stand_ins import CLASSES, DIM, NUM_TARGET, Several, make_batch
from .level_models import TwoDepths, make_level_batch

# the classification loss is the host's
PARTS = tuple(kind for kind in DEFAULT.kinds if kind != "classification")


INTRODUCTION = """# Hosts: parts of DMSRL in other methods

`attach_dmsrl(host)` adds the parts of a recipe to a training hook of pytorch-adapt 0.0.83, `attach_dmsrl(adapter,
parts)` to an adapter. `pre` and `post` add any other hooks. The classification loss stays that of the host.

`tests/hooks/test_hosts.py` tests every row of the table below. It checks that

- losses are finite;
- gradients reach the networks named here, and none that the host keeps fixed;
- the numbers of forward passes are those named here;
- with weight 0 for our losses, the losses and networks of the host are bit for bit those of the host alone.

"""
EXPLANATION = """
- *Losses in*: the step of the host that includes our losses, by the name under which the host reports it.
- *Train*: networks that our losses train, besides our own modules. `margin`, `mi` and `consistency` train the features,
  `mcc` and `consistency` also the classifier, if the host trains it in that step. `pseudo_labels` and `augmentation`
  have no loss.
- *Passes of G, of C*: forward passes per training step, for the host alone -> with `pseudo_labels`, `margin`, `mi` and
  `mcc` -> with `augmentation` and `consistency` too, if the host takes them. For ADDA passes of its copy T count too.
- *Refuses*: parts that raise an error with this host. They are left out of the default recipe automatically.

Weights:

- The weights of our losses are those of the recipe. The host's own weighter weighs its losses as if ours were not
  there.
- For most methods that weighter is a mean. Beside a mean of n losses, ours are divided by n too.

Two effects on the host:

- Augmentation changes the images that the host sees, and therefore its losses.
- If the host does not use the target in that step, as in Classifier and MCD, the batch statistics of G include the
  target once more than without our parts.
"""


@dataclass(frozen=True)
class Host:
    """What is expected of one host.

    adapter: upstream's class.
    step: which of the host's losses ours are among.
    learners: networks that our losses may change.
    passes_g: of G (and T) in a step: of the host alone, with the four parts that need no style, with all.
    passes_c: of C, likewise.
    refused: parts that it refuses.
    fixed: networks that it never trains.
    hook_kwargs: of its hook, made anew for each one.
    discriminator: what D sees, and its number of outputs; None where there is no D.
    has_combiner: features and logits are combined by a module in misc.
    has_bridges: C and D are upstream's `ModelWithBridge`, which GVB makes of them by itself.
    """

    adapter: type[BaseAdapter]
    step: str
    passes_g: tuple[int, ...]
    passes_c: tuple[int, ...]
    learners: tuple[str, ...] = ("G", "C")
    refused: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    hook_kwargs: Callable[[], dict[str, Any]] = dict
    discriminator: tuple[str, int] | None = None
    has_combiner: bool = False
    has_bridges: bool = False

    @property
    def taken(self) -> list[str]:
        """Parts that it takes."""
        return [part for part in PARTS if part not in self.refused]


def neighbour(
    make: Callable[[], Any], passes_g: tuple[int, ...], passes_c: tuple[int, ...], refused: tuple[str, ...] = ()
) -> Host:
    """A classifier with one of upstream's losses after its own."""
    return Host(
        adapters.Classifier,
        "total_loss",
        passes_g,
        passes_c,
        refused=refused,
        hook_kwargs=lambda: {"post": [make()]},
    )


def own(hook: type) -> type[BaseAdapter]:
    """An adapter for a hook of which upstream has none."""
    parent = adapters.GAN if issubclass(hook, hooks.GANHook) else adapters.DANN
    return type(hook.__name__.removesuffix("Hook"), (parent,), {"hook_cls": property(lambda self: hook)})


def make_images() -> nn.Module:
    """G for images, with levels."""
    return MultiLevelBackbone(
        TwoDepths(), in_chans=1, input_size=8, levels=(0, -1), local=None, fuse="norm", out_dim=DIM
    )


def make_vectors() -> nn.Module:
    """G for feature vectors, with batch statistics."""
    return nn.Sequential(nn.Linear(6, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, DIM))


def make_adapter(host: Host, on_images: bool = False, seed: int = 0, **hook_kwargs: Any) -> BaseAdapter:
    """The host with small networks, the same for the same seed."""
    torch.manual_seed(seed)
    G = make_images() if on_images else make_vectors()
    models: dict[str, nn.Module] = {"G": G, "C": nn.Linear(DIM, CLASSES)}
    if host.adapter in (adapters.MCD, adapters.SymNets):
        models["C"] = Several(models["C"], nn.Linear(DIM, CLASSES))
    if host.discriminator:
        layer, outputs = host.discriminator
        linear = nn.Linear(CLASSES if layer == "logits" else DIM, outputs)
        models["D"] = linear if outputs > 1 else nn.Sequential(linear, nn.Flatten(0))
    misc = {}
    if host.has_bridges:
        models |= {key: layers.ModelWithBridge(models[key]) for key in ("C", "D")}
    if host.has_combiner:
        misc["feature_combiner"] = layers.RandomizedDotProduct(in_dims=[DIM, CLASSES], out_dim=DIM)
    if host.adapter is adapters.RTN:
        models["residual_model"] = layers.PlusResidual(nn.Linear(CLASSES, CLASSES))
    trained = {adapters.Finetuner: ["C"], adapters.ADDA: ["T", "D"]}.get(host.adapter)
    opts = Optimizers((torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}), keys=trained)
    kwargs = {**host.hook_kwargs(), **hook_kwargs}
    return host.adapter(models=Models(models), misc=Misc(misc), optimizers=opts, hook_kwargs=kwargs)


def host_batch(on_images: bool = False, seed: int = 0) -> dict[str, Any]:
    """A batch of vectors, or of images."""
    return make_level_batch(seed) if on_images else make_batch(seed)


def only(parts: Sequence[str]) -> Recipe:
    """The default recipe with these parts alone, at full strength from the first step."""
    recipe = DEFAULT.replace("consistency", probability=0.9)
    for part in ("mi", "pseudo_labels", "mcc", "consistency"):
        recipe = recipe.replace(part, warmup="none")
    return recipe.without(*set(PARTS) - set(parts))


def attach(adapter: BaseAdapter, recipe: Recipe | None, **kwargs: Any) -> BaseAdapter:
    """The host with parts of DMSRL."""
    torch.manual_seed(1)
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, "default" if recipe is None else recipe, total_steps=10)
    return attach_dmsrl(adapter, parts, **kwargs)


class Passes:
    """Counts the forward passes of a host's networks, those of G and its copy T together."""

    def __init__(self, adapter: BaseAdapter) -> None:
        self.g = self.c = 0
        for key in ("G", "T"):
            if key in adapter.models:
                adapter.models[key].register_forward_hook(lambda *_: setattr(self, "g", self.g + 1))
        adapter.models["C"].register_forward_hook(lambda *_: setattr(self, "c", self.c + 1))


# parts that need no augmentation
FOUR = ("pseudo_labels", "margin", "mi", "mcc")

SUM, GENERATOR, MCD_FIRST = "total_loss", "g_loss", "x_loss"
D_ON_FEATURES: dict[str, Any] = {"discriminator": ("features", 1)}
D_ON_LOGITS: dict[str, Any] = {"discriminator": ("logits", 1)}
HOSTS = {
    "Classifier": Host(adapters.Classifier, SUM, (1, 2, 3), (1, 2, 3)),
    "Finetuner": Host(
        adapters.Finetuner,
        SUM,
        (1, 2, 2),
        (1, 3, 3),
        ("C",),
        ("margin", "mi", "augmentation", "consistency"),
        fixed=("G",),
    ),
    "Aligner with MMD": Host(adapters.Aligner, SUM, (2, 2, 3), (2, 2, 3)),
    "Aligner with CORAL": Host(
        adapters.Aligner, SUM, (2, 2, 3), (2, 2, 3), hook_kwargs=lambda: {"loss_fn": layers.CORALLoss()}
    ),
    "RTN": Host(adapters.RTN, SUM, (2, 2, 3), (2, 2, 3), has_combiner=True),
    "DANN": Host(adapters.DANN, SUM, (2, 2, 3), (1, 2, 3), **D_ON_FEATURES),
    "DANNE": Host(adapters.DANNE, SUM, (2, 2, 3), (2, 2, 3), **D_ON_FEATURES),
    "CDANNE": Host(adapters.CDANNE, SUM, (2, 2, 3), (2, 2, 3), has_combiner=True, **D_ON_FEATURES),
    "DANNLogitsHook": Host(own(hooks.DANNLogitsHook), SUM, (2, 2, 3), (2, 2, 3), **D_ON_LOGITS),
    "DANNSoftmaxLogitsHook": Host(own(hooks.DANNSoftmaxLogitsHook), SUM, (2, 2, 3), (2, 2, 3), **D_ON_LOGITS),
    "GVB": Host(adapters.GVB, SUM, (2, 2, 3), (2, 2, 3), **D_ON_LOGITS),
    "GVBE": Host(adapters.GVBE, SUM, (2, 2, 3), (2, 2, 3), **D_ON_LOGITS),
    "GVBGANHook": Host(own(hooks.GVBGANHook), GENERATOR, (2, 2, 3), (2, 2, 3), has_bridges=True, **D_ON_LOGITS),
    "GAN": Host(adapters.GAN, GENERATOR, (2, 2, 3), (1, 2, 3), **D_ON_FEATURES),
    "GANE": Host(adapters.GANE, GENERATOR, (2, 2, 3), (3, 4, 5), **D_ON_FEATURES),
    "CDAN": Host(adapters.CDAN, GENERATOR, (2, 2, 3), (2, 2, 3), has_combiner=True, **D_ON_FEATURES),
    "CDANE": Host(adapters.CDANE, GENERATOR, (2, 2, 3), (2, 2, 3), has_combiner=True, **D_ON_FEATURES),
    "DomainConfusion": Host(adapters.DomainConfusion, GENERATOR, (2, 2, 3), (1, 2, 3), discriminator=("features", 2)),
    "VADA": Host(
        adapters.VADA, GENERATOR, (6, 6, 6), (6, 6, 6), refused=("augmentation", "consistency"), **D_ON_FEATURES
    ),
    "ADDA": Host(
        adapters.ADDA,
        GENERATOR,
        (2, 2, 2),
        (0, 2, 2),
        ("T",),
        ("augmentation", "consistency"),
        fixed=("G", "C"),
        **D_ON_FEATURES,
    ),
    "MCD": Host(adapters.MCD, MCD_FIRST, (7, 8, 9), (7, 8, 9)),
    "SymNets": Host(adapters.SymNets, GENERATOR, (2, 2, 3), (4, 4, 5), ("G",)),
    "Classifier with AFNHook": neighbour(hooks.AFNHook, (2, 2, 3), (1, 2, 3)),
    "Classifier with BNMHook": neighbour(hooks.BNMHook, (2, 2, 3), (2, 2, 3)),
    "Classifier with BSPHook": neighbour(hooks.BSPHook, (2, 2, 3), (1, 2, 3)),
    "Classifier with MCCHook": neighbour(hooks.MCCHook, (2, 2, 3), (2, 2, 3), refused=("mcc",)),
    "Classifier with ATDOCHook": neighbour(lambda: hooks.ATDOCHook(NUM_TARGET, DIM, CLASSES), (2, 2, 3), (2, 2, 3)),
    "Classifier with ISTLossHook": neighbour(hooks.ISTLossHook, (2, 2, 3), (1, 2, 3)),
}
# what can have no part at all, and why
NO_HOSTS = {
    "MultiLabelClassifier": (adapters.MultiLabelClassifier, ValueError),
    "MultiLabelFinetuner": (adapters.MultiLabelFinetuner, ValueError),
    "AdaBN": (adapters.AdaBN, TypeError),
}


def why_not(name: str) -> str:
    """The error that such an adapter raises."""
    adapter, error = NO_HOSTS[name]
    optimizers = {} if name == "AdaBN" else {"optimizers": None}
    host = adapter(models=Models({"G": make_vectors(), "C": nn.Linear(DIM, CLASSES)}), **optimizers)
    try:
        attach(host, None)
    except error as came:
        return str(came)
    raise AssertionError(f"{name} took parts of DMSRL")


def page() -> str:
    """The text of docs/hosts.md."""
    lines = ["| host | losses in | train | passes of G | passes of C | refuses |", "|---|---|---|---|---|---|"]
    for name, host in HOSTS.items():
        passes = [" -> ".join(map(str, counts)) for counts in (host.passes_g, host.passes_c)]
        learners = ", ".join(f"`{key}`" for key in host.learners)
        refused = listed(refused_parts(make_adapter(host).hook, DEFAULT.without("classification")))
        lines.append(f"| {name} | `{host.step}` | {learners} | {passes[0]} | {passes[1]} | {refused} |")
    errors = ["\nThese cannot be hosts. The error says why:\n", *(f"- {name}: {why_not(name)}" for name in NO_HOSTS)]
    return INTRODUCTION + "\n".join(lines) + "\n" + EXPLANATION + "\n".join(errors) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
