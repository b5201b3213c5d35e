import warnings

import lightning
import pytest
import torch
from pytorch_adapt.validators import IMValidator
from torch.utils.data import DataLoader, IterableDataset

from dmsrl_adapt import attach_dmsrl, dmsrl_components
from dmsrl_adapt.frameworks.lightning import LightningAdapter

from .hooks.host_table import HOSTS, host_batch, make_adapter
from .stand_ins import CLASSES, DIM, NUM_TARGET, make_batch


def test_trainer_takes_the_steps_of_a_plain_loop_and_logs_losses_and_score():
    """GAN has two steps with optimizers of their own."""
    adapters = []
    for _ in range(2):
        adapter = make_adapter(HOSTS["GAN"])
        adapters.append(attach_dmsrl(adapter, dmsrl_components(DIM, CLASSES, NUM_TARGET)))
    plain, wrapped = adapters
    batches = [host_batch(seed=seed) for seed in range(3)]
    module = LightningAdapter(wrapped, IMValidator(key_map={"target_train": "target_train"}))
    target = [{key: x for key, x in make_batch().items() if key.startswith("target")}]
    settings = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", num_sanity_val_steps=0, **settings)
    trainer.fit(module, DataLoader(batches, batch_size=None), DataLoader(target, batch_size=None))
    plain.misc["training_progress"].set_total_steps(3)
    for batch in batches:
        losses = plain.training_step(batch)
    assert wrapped.misc["training_progress"].total_steps == 3
    logged = {key: x for key, x in trainer.callback_metrics.items() if key != "validation_score"}
    told = {f"{step}/{key}": x for step, parts in losses.items() for key, x in parts.items()}
    assert {key: x.item() for key, x in logged.items()} == {key: torch.tensor(x).item() for key, x in told.items()}
    assert torch.isfinite(trainer.callback_metrics["validation_score"])
    for key, model in plain.models.items():
        for old, new in zip(model.parameters(), wrapped.models[key].parameters(), strict=True):
            assert torch.equal(old, new), key
    assert any(key.startswith("misc.pseudo_labeler.") for key in module.state_dict())


def test_predict_gives_features_and_logits_of_tensors_tuples_and_dicts():
    adapter = make_adapter(HOSTS["GAN"])
    module, images = LightningAdapter(adapter).eval(), make_batch()["target_imgs"]
    settings = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    batches = [images, [images, torch.zeros(len(images))], {"target_imgs": images}]
    found = lightning.Trainer(accelerator="cpu", **settings).predict(module, DataLoader(batches, batch_size=None))
    wanted = adapter.inference(images)
    assert all(torch.equal(one[key], wanted[key]) for one in found for key in ("features", "logits"))


class Endless(IterableDataset):
    """Batches of which nobody knows the number."""

    def __iter__(self):
        for seed in range(40):
            yield host_batch(seed=seed)


class Stop(lightning.Callback):
    """Ends a run that has no end, and notes the progress of its steps."""

    def __init__(self, after):
        self.after, self.seen = after, []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.seen.append(module.adapter.misc["training_progress"]())

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if len(self.seen) == self.after:
            trainer.should_stop = True


def fit(host="GAN", loader=None, after=100, total_steps=None, ckpt_path=None, **limits):
    """Gives the adapter's progress, and what it was in each step."""
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, total_steps=total_steps)
    module = LightningAdapter(attach_dmsrl(make_adapter(HOSTS[host]), parts))
    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    stop = Stop(after)
    trainer = lightning.Trainer(accelerator="cpu", callbacks=[stop], **{**off, **limits})
    loader = DataLoader([host_batch(seed=seed) for seed in range(3)], batch_size=None) if loader is None else loader
    trainer.fit(module, loader, ckpt_path=ckpt_path)
    return module.adapter.misc["training_progress"], stop.seen, trainer


UNKNOWN = "the length of the run is not known, so warm-ups take 1,000 steps: pass total_steps=... to dmsrl_components"
ENDLESS = DataLoader(Endless(), batch_size=None)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_epochs": -1},
        {"max_epochs": -1, "loader": ENDLESS},
        {"max_epochs": 2, "loader": ENDLESS},
        {"max_steps": -1},
    ],
)
def test_a_run_without_a_length_has_the_default_one_and_says_so(limits):
    if "max_steps" in limits:
        limits = {"max_epochs": -1, "max_steps": -1, "max_time": "00:01:00:00"}
    with pytest.warns(UserWarning, match=UNKNOWN):
        progress, seen, _ = fit(after=2, min_epochs=0, **limits)
    assert progress.total_steps == 1000 and seen == [0, 0.001]


@pytest.mark.parametrize("limits", [{"max_epochs": -1}, {"max_epochs": 2, "loader": ENDLESS}])
def test_a_run_without_a_length_keeps_the_one_that_was_given(limits):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="the length of the run")
        progress, seen, _ = fit(after=2, total_steps=8, **limits)
    assert progress.total_steps == 8 and seen == [0, 0.125]


@pytest.mark.parametrize("host", ["Classifier", "GAN", "MCD"])
@pytest.mark.parametrize("limits", [{"max_epochs": -1}, {"max_epochs": 7}, {"max_epochs": 7, "loader": ENDLESS}])
@pytest.mark.parametrize("steps", [4, 5])
def test_steps_of_every_optimizer_are_counted_as_the_trainer_does(host, limits, steps):
    """Lightning's steps are those of optimizers, of which an adapter takes several in a batch."""
    _, seen, trainer = fit(host, max_epochs=1)
    each = trainer.global_step // len(seen)
    progress, seen, _ = fit(host, max_steps=each * steps - 1, **limits)
    assert len(seen) == steps
    # the first step of a host that steps an optimizer more than once is at 0 whatever the length is
    assert seen == [number / steps for number in range(steps)]
    assert progress.total_steps == progress.step == steps


@pytest.mark.parametrize(
    ("limits", "steps"), [({"max_epochs": 2}, 6), ({"max_epochs": 2, "limit_train_batches": 2}, 4)]
)
def test_the_smaller_limit_counts(limits, steps):
    progress, seen, _ = fit(max_steps=1000, **limits)
    assert progress.total_steps == len(seen) == steps


@pytest.mark.parametrize("limits", [{"max_epochs": 0}, {"max_steps": 0}, {"max_epochs": 1, "limit_train_batches": 0}])
def test_a_run_without_steps_is_no_error(limits):
    _, seen, _ = fit(**limits)
    assert seen == []


def test_a_longer_run_that_goes_on_from_a_checkpoint_has_its_own_length(tmp_path):
    *_, trainer = fit(max_epochs=1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    progress, seen, _ = fit(max_epochs=3, ckpt_path=tmp_path / "one.ckpt")
    assert progress.total_steps == 9
    assert seen == pytest.approx([number / 9 for number in range(3, 9)])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="the length of the run")
        progress, seen, _ = fit(max_epochs=-1, after=2, total_steps=12, ckpt_path=tmp_path / "one.ckpt")
    assert progress.total_steps == 12
    assert seen == [3 / 12, 4 / 12]
