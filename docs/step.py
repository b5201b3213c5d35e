"""Data flow of one training step: what each hook reads and writes, recorded by running the step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from pytorch_adapt.hooks import ChainHook
from pytorch_adapt.hooks.base import BaseHook
from pytorch_adapt.utils import common_functions
from torch import nn

from dmsrl_adapt import DEFAULT, DMSRLHook, LevelFeaturesHook, MultiLevelBackbone, Recipe, dmsrl_components, keys
from dmsrl_adapt.parts import KnownTargetLabels, MarginDisparity, TwoBranchMI

CLASSES, IMAGES, SIDE = 3, 8, 32


@dataclass
class Call:
    """Record of a call of a hook: keys read and written, losses, modules with updated buffers, hooks that it called."""

    hook: BaseHook
    read: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    inner: list["Call"] = field(default_factory=list)

    def every(self) -> Iterator["Call"]:
        """Returns the call and all calls inside it."""
        yield self
        for call in self.inner:
            yield from call.every()

    def all_read(self) -> list[str]:
        """Keys that the hook reads and does not write itself."""
        made = {key for call in self.every() for key in call.written if call is not self}
        return list(dict.fromkeys(key for call in self.every() for key in call.read if key not in made))


class Noting(dict[str, Any]):
    """A context that records which keys are read."""

    def __init__(self, context: dict[str, Any], read: list[str]) -> None:
        super().__init__(context)
        self.read = read

    def __getitem__(self, key: str) -> Any:
        self.read.append(key)
        return super().__getitem__(key)

    def __or__(self, other: dict[str, Any]) -> "Noting":
        return Noting({**self, **other}, self.read)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.append(key)
        return super().get(key, default)


@contextmanager
def noted(root: Call) -> Iterator[None]:
    """Records all calls of hooks, as calls inside the root."""
    usual, usual_keys, calls = BaseHook.__call__, common_functions.map_keys, [root]

    def call(self: BaseHook, inputs: dict[str, Any], losses: dict[str, Any] | None = None) -> Any:
        now = Call(self)
        calls[-1].inner.append(now)
        calls.append(now)
        before = times_written(inputs)
        try:
            result = usual(self, inputs, losses)
        finally:
            calls.pop()
        if isinstance(result, tuple):
            now.written, now.losses = list(result[0]), list(result[1])
        now.updated = [key for key, times in times_written(inputs).items() if times != before[key]]
        return result

    # upstream's __call__ passes the result of this function to `call`
    common_functions.map_keys = lambda context, names: Noting(usual_keys(context, names), calls[-1].read)
    BaseHook.__call__ = call
    try:
        yield
    finally:
        BaseHook.__call__, common_functions.map_keys = usual, usual_keys


def times_written(context: dict[str, Any]) -> dict[str, list[tuple[int, int]]]:
    """Returns the place and the write count of all buffers, for each module in a context."""
    modules = {key: module for key, module in context.items() if isinstance(module, nn.Module)}
    return {key: [(one.data_ptr(), one._version) for one in module.buffers()] for key, module in modules.items()}


def training_step(
    recipe: Recipe = DEFAULT, pre: Sequence[BaseHook] = (), **more: torch.Tensor
) -> list[tuple[str, Call]]:
    """Runs one step of a recipe on random images, and returns its hooks by name, in the order in which they ran.

    Hooks that write nothing, have no loss and update no module are left out. `more` is added to the batch.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # with this seed some images are augmented, as in nearly every step
        G = MultiLevelBackbone("resnet10t", local=None)
        parts = dmsrl_components(G.feature_dim, CLASSES, IMAGES, recipe, total_steps=2)
        models = {"G": G, "C": nn.Linear(G.feature_dim, CLASSES), **parts.models}
        sgd = torch.optim.SGD([one for model in models.values() for one in model.parameters()], lr=0.0)
        hook = DMSRLHook([sgd], pre=pre)
        batch = {key: torch.rand(IMAGES, 3, SIDE, SIDE) for key in ("src_imgs", "target_imgs")}
        batch |= {"src_labels": torch.arange(IMAGES) % CLASSES, "target_sample_idx": torch.arange(IMAGES), **more}
        root = Call(hook)
        with noted(root):
            hook({**models, **parts.misc, **batch})
    chain = max((call for call in root.every() if isinstance(call.hook, ChainHook)), key=lambda call: len(call.inner))
    return [(name_of(call.hook), call) for call in chain.inner if call.written or call.losses or call.updated]


def name_of(hook: BaseHook) -> str:
    """Returns the class name of a hook; for a warm-up, also that of the hook inside."""
    inner = getattr(hook, "hook", None)
    name = type(hook).__name__
    return f"{name}: {type(inner).__name__}" if name == "WarmUpHook" else name


@dataclass(frozen=True)
class Arrow:
    """A key between the hook that writes it and one that reads it, both by their position; -1 is the batch."""

    start: int
    end: int
    key: str


def arrows(calls: list[tuple[str, Call]]) -> list[Arrow]:
    """Returns the keys that each hook reads from the batch and from earlier hooks."""
    found: list[Arrow] = []
    maker: dict[str, int] = {}
    for place, (_, call) in enumerate(calls):
        found += [Arrow(maker.get(key, -1), place, key) for key in call.all_read() if key in maker or is_data(key)]
        maker |= dict.fromkeys(call.written, place)
    return found


def modules(calls: list[tuple[str, Call]]) -> list[list[str]]:
    """Returns the modules that each hook uses."""
    taken = {(arrow.end, arrow.key) for arrow in arrows(calls)}
    return [[key for key in call.all_read() if (at, key) not in taken] for at, (_, call) in enumerate(calls)]


def running_hooks() -> dict[str, Call]:
    """Returns one call of every hook that runs with the default recipe or one of its options, by class name."""
    options = [*training_step(DEFAULT.replace(TwoBranchMI(weight=0.3)), [LevelFeaturesHook(["global"])])]
    options += training_step(DEFAULT.replace(MarginDisparity()))
    options += training_step(Recipe(*DEFAULT, KnownTargetLabels()), target_labels=torch.arange(IMAGES) % CLASSES)
    every = [one for _, call in [*options, *training_step()] for one in call.every()]
    return {type(one.hook).__name__: one for one in every}


def is_data(key: str) -> bool:
    """Whether a key holds data of the batch or the progress, rather than a module."""
    return key.startswith(("src_", "target_")) or key == keys.PROGRESS
