import pytest
import torch

from dmsrl_adapt import MarginMetricHook, ProgressHook, WarmUpHook
from dmsrl_adapt.losses import CosineMarginLoss
from dmsrl_adapt.training import TrainingProgress

from .. import references
from ..stand_ins import CLASSES, DIM, make_batch, make_models
from .plain_steps import HOSTS, hook_step, make_discriminator


def test_writes_the_progress_and_counts_the_step():
    progress, hook = TrainingProgress(4), ProgressHook()
    seen = [hook({"training_progress": progress})[0] for _ in range(6)]
    assert seen == [{"progress": value} for value in (0, 0.25, 0.5, 0.75, 1, 1)]


def test_counting_can_be_turned_off():
    progress = TrainingProgress(4)
    for _ in range(2):
        assert ProgressHook(advance=False)({"training_progress": progress})[0] == {"progress": 0}
    assert progress.step == 0


def test_progress_set_by_the_users_loop_is_kept():
    progress = TrainingProgress(4)
    outputs, losses = ProgressHook()({"training_progress": progress, "progress": 0.7})
    assert (outputs, losses) == ({}, {})
    assert progress.step == 0
    assert ProgressHook()({"progress": 0.7}) == ({}, {})


@pytest.mark.parametrize("host", HOSTS)
def test_before_other_hooks_it_drives_their_warm_up(host):
    models = {**make_models(), "margin_metric": CosineMarginLoss(CLASSES, DIM)}
    models = {**models, "D": make_discriminator()} if host == "dann" else models
    # learning rate 0, so that only the warm-up changes the loss
    for part in models.values():
        part.eval()
    context = {**make_batch(), "training_progress": TrainingProgress(20)}
    seen = []
    for _ in range(4):
        pre, hooks = [ProgressHook()], [WarmUpHook(MarginMetricHook())]
        _, losses = hook_step(host, models, context, hooks, pre=pre, lr=0.0)
        seen.append(losses["total_loss"]["margin_metric_loss"])
    _, losses = hook_step(host, models, context, [MarginMetricHook()], lr=0.0)
    full = losses["total_loss"]["margin_metric_loss"]
    assert seen == pytest.approx([references.ramp(step / 20) * full for step in range(4)])


def test_keys_are_declared():
    assert ProgressHook().out_keys == ["progress"]
    assert ProgressHook().loss_keys == []


def test_missing_module_names_hook_and_key():
    with pytest.raises(KeyError, match="ProgressHook needs 'training_progress' in the context, got"):
        ProgressHook()({"src_imgs": torch.zeros(1)})
