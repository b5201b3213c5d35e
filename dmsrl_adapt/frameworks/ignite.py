"""Exact resume under upstream's Ignite wrapper."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_adapt.adapters import BaseAdapter

try:
    from pytorch_adapt.frameworks.ignite import CheckpointFnCreator
    from pytorch_adapt.frameworks.ignite.checkpoint_utils import adapter_to_dict, val_hooks_to_dict
except ImportError as error:
    raise ImportError(
        "dmsrl_adapt.frameworks.ignite needs pytorch-ignite: pip install 'dmsrl-adapt[ignite]'"
    ) from error

from ..training.checkpoints import Checkpoints, held_by_hooks


class ResumableCheckpointFn(CheckpointFnCreator):
    """Upstream's `CheckpointFnCreator`, which also saves all that a bit-exact resume needs, in the folder `resume`.

    A run that was killed resumes from the end of the last epoch that has a checkpoint:

        checkpoint_fn = ResumableCheckpointFn(folder)
        trainer = Ignite(adapter, checkpoint_fn=checkpoint_fn)
        trainer.run(datasets, max_epochs=20, resume=checkpoint_fn.last())

    In addition to upstream's checkpoints it saves modules in hooks, the state of random number generators and the list
    of best checkpoints. It keeps the last epochs, whereas upstream, with a validator, keeps the best. An epoch must be
    one pass of the loader, which is Ignite's default. The patience counter of early stopping is not saved.

    Args:
        dirname: folder of upstream's checkpoints.
        kept: number of last epochs to keep, at least 2.
        **kwargs: arguments of Ignite's `ModelCheckpoint`.
    """

    def __init__(self, dirname: str | Path, kept: int = 2, **kwargs: Any) -> None:
        super().__init__(**{"dirname": str(dirname), "require_empty": False, **kwargs})
        self.dirname, self.folder, self.kept = Path(dirname), Path(dirname) / "resume", kept
        self.in_hooks: Mapping[str, Any] = {}  # modules that only hooks hold; upstream saves and loads containers only

    def __call__(
        self, adapter: BaseAdapter, validator: Any = None, val_hooks: Any = None, **kwargs: Any
    ) -> Callable[[Any], None]:
        """Returns the function that Ignite calls at the end of an epoch."""
        save = super().__call__(adapter, validator, val_hooks, **kwargs)
        self.in_hooks = held_by_hooks(adapter)

        def save_both(engine: Any) -> None:
            save(engine)
            objects = {**adapter_to_dict(adapter), **val_hooks_to_dict(val_hooks or []), "validator": validator}
            self._checkpoints({**objects, "engine": engine}).save(engine.state.epoch)

        return save_both

    def last(self) -> str | None:
        """Returns the folder to resume from, for `Ignite.run(resume=...)`; None if no epoch was finished."""
        return str(self.folder) if any(self.folder.glob("step_*.pt")) else None

    def load_objects(
        self, to_load: Mapping[str, Any], checkpoint: str | Path | None = None, global_step: int | None = None
    ) -> None:
        """Restores the last readable epoch if `checkpoint` is the folder of `last`; else calls upstream's method.

        Raises:
            ValueError: as `Checkpoints.resume`.
        """
        if checkpoint is None or Path(checkpoint) != self.folder:
            super().load_objects(to_load, checkpoint, global_step)
            return
        self._checkpoints(to_load).resume()
        # drop files that the killed run has already removed, because it would try to remove them again
        saved = [(score, name) for score, name in self.objs.state_dict()["_saved"] if (self.dirname / name).exists()]
        self.objs.load_state_dict({"_saved": saved})

    def _checkpoints(self, objects: Mapping[str, Any]) -> Checkpoints:
        filled = {key: one for key, one in objects.items() if one}  # upstream leaves out empty objects too
        return Checkpoints(self.folder, {**filled, **self.in_hooks, "best": self.objs}, self.kept)
