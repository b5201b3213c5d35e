"""Several sources: domains of their own in the mutual information term, one source in everything else."""

import pytest
import torch
from pytorch_adapt.datasets import CombinedSourceAndTargetDataset, SourceDataset, TargetDataset
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

from dmsrl_adapt import DMSRLHook, MIMinimizationHook, dmsrl_components
from dmsrl_adapt.losses import AdversarialMILoss
from dmsrl_adapt.parts import TwoBranchMI
from dmsrl_adapt.recipe import DEFAULT

from .. import references
from ..stand_ins import CLASSES, DIM, NUM_TARGET, SIZE, assert_same_states, make_batch, make_models, make_opts, states

IDS = {"src_domain": torch.tensor([0, 2, 3, 0, 2, 3, 0, 2]), "target_domain": torch.ones(SIZE, dtype=torch.long)}
RECIPE = DEFAULT.replace("mi", warmup="none")


def make(num_domains, recipe=RECIPE):
    models = make_models()
    torch.manual_seed(1)
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe, total_steps=4, num_domains=num_domains)
    return {**models, **parts.models}, parts.misc


@pytest.mark.parametrize("wrapped", [False, True])
def test_hook_gives_the_loss_of_the_domains_that_the_batch_names(wrapped):
    critic = AdversarialMILoss(DIM, CLASSES, hidden=8, num_domains=4)
    models, batch = make_models(), {**make_batch(), **IDS}

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = critic

        def forward(self, *args):
            return self.module(*args)

    context = {**models, "mi_critic": Wrapped() if wrapped else critic, **batch}
    outputs, losses = MIMinimizationHook(entropy_conditioning=False)(context)
    features = torch.cat([outputs[f"{domain}_imgs_features"] for domain in ("src", "target")])
    certain = nn.functional.one_hot(batch["src_labels"], CLASSES)
    probs = torch.cat([certain, outputs["target_imgs_features_logits"].detach().softmax(1)])
    domains = torch.cat(list(IDS.values())).tolist()
    balanced = references.balanced_class_probs(torch.zeros(4, CLASSES), domains, probs)
    logits = critic.critic(features).view(-1, CLASSES, 4)
    expected = references.several_domains_cross_entropy(logits, domains, balanced)
    torch.testing.assert_close(losses["mi_loss"], expected, rtol=1e-4, atol=1e-6)


def test_whole_method_with_four_domains_learns_and_counts_classes_of_each():
    models, misc = make(4)
    before = states(models)
    hook = DMSRLHook(make_opts(models), RECIPE)
    for number in range(2):
        _, losses = hook({**models, **misc, **make_batch(number), **IDS})
    assert torch.tensor(list(losses["total_loss"].values())).isfinite().all()
    after = states(models)
    assert any(not torch.equal(after[key], before[key]) for key in before if key.startswith("mi_critic.critic"))
    assert (models["mi_critic"].balance.class_mass.sum(1) > 0).all()


@pytest.mark.parametrize("num_domains", [2, 4])
def test_other_parts_take_all_sources_for_one(num_domains):
    """And with two domains nobody looks at the numbers."""
    found = []
    for ids in ({"src_domain": torch.zeros(SIZE).long(), "target_domain": torch.ones(SIZE).long()}, IDS):
        models, misc = make(num_domains)
        _, losses = DMSRLHook(make_opts(models), RECIPE)({**models, **misc, **make_batch(), **ids})
        found.append((losses["total_loss"], states({**models, **misc})))
    names = set(found[0][0]) - ({"mi_loss", "total"} if num_domains > 2 else set())
    assert {key: found[0][0][key] for key in names} == {key: found[1][0][key] for key in names}
    if num_domains == 2:
        assert_same_states(*(state for _, state in found))


def test_data_sets_of_upstream_give_such_batches():
    inputs = [TensorDataset(torch.randn(6, 6), torch.randint(CLASSES, (6,))) for _ in range(3)]
    sources = ConcatDataset([SourceDataset(inputs[0], domain=0), SourceDataset(inputs[1], domain=2)])
    both = CombinedSourceAndTargetDataset(sources, TargetDataset(inputs[2], domain=1))
    models, misc = make(3)
    seen = []
    models["mi_critic"].register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    for batch in DataLoader(both, 3):
        _, losses = DMSRLHook(make_opts(models), RECIPE)({**models, **misc, **batch})
        assert seen[-1].tolist() == [*batch["src_domain"].tolist(), 1, 1, 1]
    assert torch.tensor(list(losses["total_loss"].values())).isfinite().all()
    assert {0, 2} & set(torch.cat(seen).tolist())


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"src_domain": torch.full((SIZE,), 4)}, ValueError, r"src_domain must be in 0\.\.3, got values from 4 to 4"),
        ({"target_domain": torch.ones(SIZE)}, TypeError, "target_domain must be an integer tensor"),
        ({"src_domain": None}, KeyError, "needs 'src_domain' in the context"),
    ],
)
def test_bad_numbers_are_refused_before_a_network_sees_the_batch(changed, error, message):
    models, misc = make(4)
    batch = {key: x for key, x in {**make_batch(), **IDS, **changed}.items() if x is not None}
    with pytest.raises(error, match=message):
        DMSRLHook(make_opts(models), RECIPE)({**models, **misc, **batch})
    assert models["G"].count == 0


def test_two_branches_tell_two_domains_only():
    with pytest.raises(ValueError, match="num_domains must be 2 for TwoBranchMI, got 3"):
        dmsrl_components(DIM, CLASSES, NUM_TARGET, DEFAULT.replace(TwoBranchMI(weight=0.3)), num_domains=3)
