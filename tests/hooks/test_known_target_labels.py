import copy

import pytest
import torch
from pytorch_adapt.hooks import ClassifierHook
from pytorch_adapt.weighters import MeanWeighter

from dmsrl_adapt import DMSRLHook, KnownTargetLabelsHook, MarginMetricHook, MIMinimizationHook, PseudoLabelHook
from dmsrl_adapt.labelers import ArgmaxLabeler
from dmsrl_adapt.losses import AdversarialMILoss, CosineMarginLoss

from .. import references
from ..stand_ins import CLASSES, DIM, SIZE, assert_same_states, make_batch, make_models, make_opts, states
from .host_table import HOSTS, attach, host_batch, make_adapter, only
from .plain_steps import CLOSE, hook_step, make_discriminator, plain_step
from .plain_steps import HOSTS as PLAIN
from .test_dmsrl import make

KNOWN = torch.tensor([-1, 2, -1, 0, -1, -1, 1, -1])
LABELS = {"target_labels": KNOWN}


@pytest.mark.parametrize("host", PLAIN)
def test_one_step_equals_plain_pytorch(host):
    models, batch = make_models(), make_batch()
    models |= {"D": make_discriminator()} if host == "dann" else {}
    twins = copy.deepcopy(models)
    _, losses = hook_step(host, models, {**batch, **LABELS}, [KnownTargetLabelsHook(0.1)], {"target_c_loss": 0.3})
    rows, parts = KNOWN >= 0, []

    def extra(forward):
        logits = forward.logits("target")[rows]
        parts.append(0.3 * references.smoothed_cross_entropy(logits, KNOWN[rows].tolist(), 0.1))
        return parts[0]

    plain_step(host, twins, make_opts(twins), batch, extra)
    assert_same_states(states(models), states(twins), **CLOSE)
    assert (models["G"].count, models["C"].count) == (twins["G"].count, twins["C"].count) == (2, 2)
    assert losses["total_loss"]["target_c_loss"] == pytest.approx(parts[0].item(), rel=1e-5)


def test_without_labels_there_is_no_pass_no_key_and_no_loss():
    models = make_models()
    hook = KnownTargetLabelsHook()
    for labels in ({}, LABELS, {}):
        before = models["G"].count
        outputs, losses = hook({**models, **make_batch(), **labels})
        assert set(losses) == ({"target_c_loss"} if labels else set())
        assert set(outputs) == ({"target_imgs_features", "target_imgs_features_logits"} if labels else set())
        assert models["G"].count - before == bool(labels)


def test_several_classifiers_count_the_same():
    first, second = (torch.randn(SIZE, CLASSES) for _ in range(2))
    given = {"target_imgs_features": torch.zeros(SIZE, DIM), **make_models(), **make_batch(), **LABELS}
    loss = [
        KnownTargetLabelsHook()({**given, "target_imgs_features_logits": logits})[1]["target_c_loss"]
        for logits in (first, second, [first, second])
    ]
    torch.testing.assert_close(loss[2], (loss[0] + loss[1]) / 2)


def test_pseudo_labels_of_known_samples_are_their_labels_with_weight_1():
    """The ramp holds back guesses, not what is known; and the labeller learns from it."""
    seen = []

    class Spy(ArgmaxLabeler):
        def update(self, features, labels, weights=None):
            seen.append((labels, weights))

    context = {**make_models(), "pseudo_labeler": Spy(), "progress": 0.25, **make_batch()}
    guessed, _ = PseudoLabelHook()(context)
    outputs, _ = PseudoLabelHook()({**context, **LABELS})
    rows = KNOWN >= 0
    labels, weights = outputs["target_pseudo_labels"], outputs["target_pseudo_weights"]
    assert torch.equal(labels, torch.where(rows, KNOWN, guessed["target_pseudo_labels"]))
    assert weights.tolist() == [1.0 if known else 0.25 for known in rows]
    assert torch.equal(seen[-1][0], labels)
    assert seen[-1][1].tolist() == SIZE * [1.0]


@pytest.mark.parametrize("pseudo", [True, False])
def test_margin_takes_known_labels_in_place_of_guesses(pseudo):
    models, batch = {**make_models(), "margin_metric": CosineMarginLoss(CLASSES, DIM)}, make_batch()
    wrong = {"target_pseudo_labels": (KNOWN + 1) % CLASSES, "target_pseudo_weights": torch.full((SIZE,), 0.5)}
    given, rows = wrong if pseudo else {}, KNOWN >= 0
    right = {
        "target_pseudo_labels": torch.where(rows, KNOWN, wrong["target_pseudo_labels"] if pseudo else -1),
        "target_pseudo_weights": torch.where(rows, 1.0, 0.5 if pseudo else 1.0),
    }
    _, loss = MarginMetricHook()({**models, **batch, **given, **LABELS})
    _, expected = MarginMetricHook()({**models, **batch, **right})
    assert torch.equal(loss["margin_metric_loss"], expected["margin_metric_loss"])


@pytest.mark.parametrize("entropy_conditioning", [True, False])
def test_mutual_information_takes_known_classes_for_certain(entropy_conditioning):
    critic = AdversarialMILoss(DIM, CLASSES, hidden=8)
    seen = []
    critic.register_forward_pre_hook(lambda module, args: seen.append(args[2]))
    context = {**make_models(), "mi_critic": critic, **make_batch()}
    for labels in ({}, LABELS):
        MIMinimizationHook(entropy_conditioning=entropy_conditioning)({**context, **labels})
    rows = KNOWN >= 0
    assert torch.equal(seen[1][SIZE:][rows], torch.nn.functional.one_hot(KNOWN[rows], CLASSES).float())
    assert torch.equal(seen[1][SIZE:][~rows], seen[0][SIZE:][~rows])
    assert torch.equal(seen[1][:SIZE], seen[0][:SIZE])


@pytest.mark.parametrize("hook", [PseudoLabelHook(), MarginMetricHook(), MIMinimizationHook(), KnownTargetLabelsHook()])
def test_labels_of_the_wrong_shape_are_an_error_in_every_hook(hook):
    ours = {"margin_metric": CosineMarginLoss(CLASSES, DIM), "mi_critic": AdversarialMILoss(DIM, CLASSES)}
    context = {**make_models(), **ours, "pseudo_labeler": ArgmaxLabeler(), **make_batch()}
    with pytest.raises(ValueError, match=r"labels must have shape \(8,\), got \(3,\)"):
        hook({**context, "target_labels": torch.zeros(3).long()})


@pytest.mark.parametrize("recipe", ["default", "published"])
def test_labels_of_which_none_is_known_change_nothing(recipe):
    """To the last bit, under a weighter that would notice one loss more."""
    results = []
    for labels in ({}, {"target_labels": torch.full((SIZE,), -1)}):
        models, misc = make(recipe)
        opts = make_opts(models)
        for number in range(3):
            _, losses = DMSRLHook(opts, recipe)({**models, **misc, **make_batch(number), **labels})
        results.append((losses["total_loss"], states({**models, **misc})))
    assert results[0][0] == {key: x for key, x in results[1][0].items() if key != "target_c_loss"}
    assert results[1][0]["target_c_loss"] == 0
    assert_same_states(results[0][1], results[1][1])


def test_a_batch_without_labels_adds_no_loss_to_a_mean():
    models = make_models()
    hook = ClassifierHook(make_opts(models), post=[KnownTargetLabelsHook()], weighter=MeanWeighter())
    _, losses = hook({**models, **make_batch()})
    assert losses["total_loss"]["src_c_loss"] == losses["total_loss"]["total"]


@pytest.mark.parametrize("name", ["DANN", "MCD", "ADDA", "Finetuner", "SymNets"])
def test_attached_to_a_host_known_labels_join_its_step(name):
    host, found = HOSTS[name], []
    for labels in ({}, LABELS):
        adapter = attach(make_adapter(host), only(["prototypes"]))
        losses = adapter.training_step({**host_batch(), **labels})
        found.append((losses[host.step], states(dict(adapter.models))))
    assert found[1][0].keys() - found[0][0].keys() == {"target_c_loss"}
    assert found[1][0]["target_c_loss"] > 0
    # of what the host keeps fixed in that step nothing learns
    moved = {key.split(".")[0] for key, x in found[0][1].items() if not torch.equal(x, found[1][1][key])}
    assert set(host.learners) <= moved
    assert not moved & set(host.fixed)


def test_weight_of_the_loss_in_a_host():
    labelled = {**host_batch(), **LABELS}
    losses = []
    for weight in (1.0, 0.5):
        adapter = attach(make_adapter(HOSTS["DANN"]), only(["prototypes"]), weights={"target_c_loss": weight})
        losses.append(adapter.training_step(labelled))
    parts = [one["total_loss"]["target_c_loss"] for one in losses]
    assert parts[1] == pytest.approx(parts[0] / 2)
