import lightning
import torch
from pytorch_adapt.validators import IMValidator
from torch.utils.data import DataLoader

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
