import copy
import json
import warnings

import pytest
import torch
from pytorch_adapt.containers import Misc, Models, Optimizers
from pytorch_adapt.datasets import CombinedSourceAndTargetDataset, DataloaderCreator, SourceDataset, TargetDataset
from pytorch_adapt.frameworks.ignite import CheckpointFnCreator, Ignite
from pytorch_adapt.frameworks.ignite.checkpoint_utils import adapter_to_dict
from torch.utils.data import TensorDataset

from dmsrl_adapt import DMSRL, Checkpoints, DMSRLHook, dmsrl_components
from dmsrl_adapt.parts import TwoBranchMI
from dmsrl_adapt.recipe import DEFAULT, PUBLISHED, RECIPES

from .scripts import finish, start
from .stand_ins import CLASSES, DIM, NUM_TARGET, SIZE, assert_same_states, make_batch, make_models, states


def make(recipe="default", seed=0, total_steps=None, **kwargs):
    models = make_models(seed)
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe, total_steps)
    containers = {"models": Models({**models, **parts.models}), "misc": Misc(parts.misc)}
    return DMSRL(**{**containers, "hook_kwargs": {"recipe": recipe}, **kwargs})


def everything(adapter):
    return states({**adapter.models, **adapter.misc})


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_step_is_the_hooks_step(recipe):
    adapter = make(recipe)
    models, misc = copy.deepcopy(dict(adapter.models)), copy.deepcopy(dict(adapter.misc))
    opts = {"published": lambda m: torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)}
    make_opt = opts.get(recipe, lambda m: torch.optim.Adam(m.parameters(), lr=1e-3, weight_decay=5e-4))
    plain = {name: make_opt(model) for name, model in models.items()}
    if recipe == "published":
        plain["margin_metric"] = torch.optim.SGD(models["margin_metric"].parameters(), lr=1.0)
    hook = DMSRLHook(list(plain.values()), recipe=recipe)
    for number in range(3):
        losses = adapter.training_step(make_batch(number))
        _, expected = hook({**models, **misc, **make_batch(number)})
        assert losses == expected
    assert_same_states(everything(adapter), states({**models, **misc}))


def test_default_optimizers_of_the_published_recipe():
    optimizers = make("published").optimizers
    assert optimizers.keys() == {"G", "C", "margin_metric", "mi_critic"}
    assert {type(opt) for opt in optimizers.values()} == {torch.optim.SGD}
    groups = {name: opt.param_groups[0] for name, opt in optimizers.items()}
    settings = {name: (group["lr"], group["momentum"], group["weight_decay"]) for name, group in groups.items()}
    usual = (0.01, 0.9, 5e-4)
    # the centres have their own: plain SGD with learning rate 1
    assert settings == {"G": usual, "C": usual, "mi_critic": usual, "margin_metric": (1.0, 0, 0)}


def test_default_optimizers_of_the_default_recipe():
    optimizers = make("default").optimizers
    assert optimizers.keys() == {"G", "C", *DEFAULT.model_keys}
    assert {type(opt) for opt in optimizers.values()} == {torch.optim.Adam}
    assert {opt.param_groups[0]["lr"] for opt in optimizers.values()} == {1e-3}


@pytest.mark.parametrize(("recipe", "rate"), [(DEFAULT, 1e-3), (PUBLISHED, 0.01)])
def test_branch_and_estimator_learn_four_times_as_fast(recipe, rate):
    adapter = make(recipe.replace(TwoBranchMI(weight=0.3)))
    rates = {name: opt.param_groups[0]["lr"] for name, opt in adapter.optimizers.items() if name != "margin_metric"}
    assert rates == pytest.approx({"G": rate, "C": rate, "mi_branch": 4 * rate, "mi_estimator": 4 * rate})
    losses = adapter.training_step(make_batch())["total_loss"]
    assert {"mi_loss", "mi_estimator_loss", "mi_branch_loss"} < losses.keys()


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_optimizer_has_the_parameters_of_its_module(recipe):
    adapter = make(recipe)
    for name, opt in adapter.optimizers.items():
        mine = {id(parameter) for parameter in adapter.models[name].parameters()}
        assert {id(parameter) for group in opt.param_groups for parameter in group["params"]} == mine


def test_optimizers_that_are_given_take_the_place_of_the_defaults():
    optimizers = Optimizers({"C": (torch.optim.SGD, {"lr": 0.5})})
    adapter = make("default", optimizers=optimizers)
    assert isinstance(adapter.optimizers["C"], torch.optim.SGD)
    assert adapter.optimizers["C"].param_groups[0]["lr"] == 0.5
    assert isinstance(adapter.optimizers["G"], torch.optim.Adam)
    adapter.training_step(make_batch())


def test_one_tuple_is_for_all():
    adapter = make("default", optimizers=Optimizers((torch.optim.SGD, {"lr": 0.3})))
    assert {opt.param_groups[0]["lr"] for opt in adapter.optimizers.values()} == {0.3}


@pytest.mark.parametrize("key", ["G", "C", "margin_metric", "mi_critic"])
def test_missing_model_is_named(key):
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET)
    models = {**make_models(), **parts.models}
    del models[key]
    with pytest.raises(KeyError, match=f"models container is missing .*'{key}'"):
        DMSRL(models=Models(models), misc=Misc(parts.misc))


@pytest.mark.parametrize("key", ["pseudo_labeler", "training_progress"])
def test_missing_misc_module_is_named(key):
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET)
    misc = dict(parts.misc)
    del misc[key]
    with pytest.raises(KeyError, match=f"misc container is missing .*'{key}'"):
        DMSRL(models=Models({**make_models(), **parts.models}), misc=Misc(misc))


def test_module_that_the_recipe_does_not_know_is_named():
    with pytest.raises(KeyError, match=r"models container has the following unallowed keys: \['D'\]"):
        parts = dmsrl_components(DIM, CLASSES, NUM_TARGET)
        models = Models({**make_models(), **parts.models, "D": torch.nn.Linear(2, 2)})
        DMSRL(models=models, misc=Misc(parts.misc))


@pytest.mark.parametrize("part", ["margin", "mi", "pseudo_labels"])
def test_recipe_without_a_part_needs_no_module_for_it(part):
    losses = make(DEFAULT.without(part)).training_step(make_batch())
    assert losses["total_loss"].keys() == {*DEFAULT.without(part).loss_weights, "total"}


def test_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match=r"recipe must be one of .* got 'best'"):
        DMSRL(models=Models({}), misc=Misc({}), hook_kwargs={"recipe": "best"})


def test_inference_gives_features_and_logits():
    adapter = make()
    adapter.models.eval()
    x = make_batch()["target_imgs"]
    result = adapter.inference(x)
    features = adapter.models["G"](x)
    assert torch.equal(result["features"], features)
    assert torch.equal(result["logits"], adapter.models["C"](features))


def test_refused_batch_leaves_everything_as_it_was():
    adapter = make()
    adapter.training_step(make_batch())
    before = everything(adapter)
    with pytest.raises(ValueError, match=r"sample_idx.* must be in 0\.\.19"):
        adapter.training_step({**make_batch(1), "target_sample_idx": torch.full((SIZE,), NUM_TARGET)})
    assert_same_states(everything(adapter), before)


def datasets():
    """Upstream's own data sets over a few vectors."""
    batches = [make_batch(number) for number in range(3)]
    source = torch.cat([batch["src_imgs"] for batch in batches]), torch.cat([batch["src_labels"] for batch in batches])
    target = torch.cat([batch["target_imgs"] for batch in batches])[:NUM_TARGET]
    target = TargetDataset(TensorDataset(target, torch.zeros(NUM_TARGET)))
    return {"train": CombinedSourceAndTargetDataset(SourceDataset(TensorDataset(*source)), target)}


def checkpoints(folder):
    return CheckpointFnCreator(dirname=str(folder), require_empty=False)


@pytest.mark.parametrize("recipe", RECIPES)
def test_saved_and_loaded_by_upstream_gives_the_same(recipe, tmp_path):
    adapter = make(recipe)
    trainer = Ignite(adapter, checkpoint_fn=checkpoints(tmp_path), with_pbars=False)
    trainer.run(datasets(), DataloaderCreator(batch_size=SIZE), max_epochs=2)
    # 20 target samples make 2 full batches an epoch
    progress = adapter.misc["training_progress"]
    assert (progress.step, progress.total_steps, progress()) == (4, 4, 1.0)

    fresh = make(recipe, seed=1)
    assert fresh.inference(make_batch()["src_imgs"])["logits"].sum() != 0
    checkpoints(tmp_path).load_objects(adapter_to_dict(fresh), str(tmp_path / "checkpoint_2.pt"))
    assert_same_states(everything(fresh), everything(adapter))
    assert fresh.misc["training_progress"]() == 1.0

    for one in (adapter, fresh):
        one.models.eval()
    x, features = torch.randn(9, 6), torch.randn(9, DIM)
    for key, value in adapter.inference(x).items():
        assert torch.equal(fresh.inference(x)[key], value)
    if recipe == "source_only":  # it has no labeler
        return
    probs, sample_idx = torch.randn(9, CLASSES).softmax(1), torch.arange(9)
    ours, theirs = (one.misc["pseudo_labeler"](features, sample_idx, probs) for one in (adapter, fresh))
    assert torch.equal(ours.labels, theirs.labels)
    assert torch.equal(ours.weights, theirs.weights)
    assert recipe == "published" or (ours.labels != -1).any()


def test_checkpoint_without_validator_loads_in_a_process_of_its_own(tmp_path, forks):
    adapter = make()
    trainer = Ignite(adapter, checkpoint_fn=checkpoints(tmp_path), with_pbars=False)
    trainer.run(dataloaders={"train": [make_batch()]}, max_epochs=1)
    expected = adapter.misc["pseudo_labeler"].prototypes.sum().item()
    (tmp_path / "load.py").write_text(
        "import sys\n"
        "from tests.test_adapter import adapter_to_dict, checkpoints, make\n"
        "adapter = make(seed=1)\n"
        "checkpoints(sys.argv[1]).load_objects(adapter_to_dict(adapter), sys.argv[1] + '/checkpoint_1.pt')\n"
        "print(adapter.misc['pseudo_labeler'].prototypes.sum().item())"
    )
    assert float(forks.finish("load.py", str(tmp_path), cwd=tmp_path)) == expected


def test_resumed_run_goes_on_as_if_it_had_not_stopped(tmp_path):
    loaders = {"train": [make_batch(number) for number in range(3)]}
    whole = make(total_steps=12)
    Ignite(whole, with_pbars=False).run(dataloaders=loaders, max_epochs=4)

    first = make(total_steps=12)
    # the same start, whatever random numbers were drawn since
    first.models.load_state_dict(make(total_steps=12).models.state_dict())
    torch.manual_seed(0)
    second = make(total_steps=12, seed=1)
    Ignite(first, checkpoint_fn=checkpoints(tmp_path), with_pbars=False).run(dataloaders=loaders, max_epochs=2)
    assert first.misc["training_progress"]() == 0.5
    trainer = Ignite(second, checkpoint_fn=checkpoints(tmp_path), with_pbars=False)
    trainer.run(dataloaders=loaders, max_epochs=4, resume=str(tmp_path / "checkpoint_2.pt"))
    assert second.misc["training_progress"].step == 12
    assert_same_states(everything(second), everything(whole))


def test_ignite_fills_in_the_length_of_the_run():
    adapter = make()
    assert adapter.misc["training_progress"].total_steps == 1000
    seen = []
    step = adapter.hook

    def watched(inputs, losses=None):
        seen.append(inputs["training_progress"]())
        return step(inputs, losses)

    adapter.hook = watched
    Ignite(adapter, with_pbars=False).run(dataloaders={"train": [make_batch(n) for n in range(2)]}, max_epochs=3)
    assert seen == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])


def test_length_that_was_given_is_left_as_it_is():
    adapter = make(total_steps=100)
    Ignite(adapter, with_pbars=False).run(dataloaders={"train": [make_batch()]}, max_epochs=2)
    assert adapter.misc["training_progress"]() == 0.02


@pytest.mark.parametrize("total_steps", [None, 8])
def test_a_loader_of_unknown_length_leaves_the_given_or_the_default_one(total_steps):
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from (make_batch(number) for number in range(3))

    adapter, loader = make(total_steps=total_steps), torch.utils.data.DataLoader(Endless(), batch_size=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Ignite(adapter, with_pbars=False).run(dataloaders={"train": loader}, max_epochs=1)
    told = [str(one.message) for one in caught if "the length of the run is not known" in str(one.message)]
    assert len(told) == (total_steps is None)
    progress = adapter.misc["training_progress"]
    assert (progress.step, progress.total_steps) == (3, total_steps or 1000)


@pytest.mark.parametrize("is_given", [False, True])
def test_a_second_longer_run_goes_on_below_full_strength(is_given, tmp_path):
    loaders = {"train": [make_batch()]}
    first = make(total_steps=2 if is_given else None)
    Ignite(first, checkpoint_fn=checkpoints(tmp_path), with_pbars=False).run(dataloaders=loaders, max_epochs=2)
    second = make(total_steps=8 if is_given else None)
    trainer = Ignite(second, checkpoint_fn=checkpoints(tmp_path), with_pbars=False)
    trainer.run(dataloaders=loaders, max_epochs=8 if not is_given else 3, resume=str(tmp_path / "checkpoint_2.pt"))
    assert second.misc["training_progress"].total_steps == 8
    assert second.misc["training_progress"].step == (3 if is_given else 8)


def test_a_checkpoint_of_another_length_that_does_not_fit_leaves_the_length(tmp_path):
    """Half loaded, it is put back: the length too."""
    adapter = make(total_steps=8)
    adapter.training_step(make_batch())
    saved = {"progress": make(total_steps=4).misc["training_progress"], "net": torch.nn.Linear(2, 2)}
    Checkpoints(tmp_path, saved).save(1)
    with pytest.raises(ValueError, match="'net' does not fit"):
        Checkpoints(tmp_path, {"progress": adapter.misc["training_progress"], "net": torch.nn.Linear(3, 3)}).resume()
    progress = adapter.misc["training_progress"]
    assert (progress.step, progress.total_steps) == (1, 8)


PRINT_LOSSES = """
import json, torch
from pytorch_adapt.containers import Misc, Models
from dmsrl_adapt import DMSRL, dmsrl_components
from tests.stand_ins import CLASSES, DIM, NUM_TARGET, make_batch, make_models

losses = []
for recipe in ("default", "published"):
    models, parts = make_models(), dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe, total_steps=4)
    models, misc = Models({**models, **parts.models}), Misc(parts.misc)
    adapter = DMSRL(models=models, misc=misc, hook_kwargs={"recipe": recipe})
    losses += [adapter.training_step(make_batch(number))["total_loss"] for number in range(4)]
print(json.dumps(losses, sort_keys=True))
"""


def test_order_of_pythons_sets_does_not_count():
    processes = [start("-W", "ignore", "-c", PRINT_LOSSES, PYTHONHASHSEED=str(seed)) for seed in (0, 1, 2)]
    printed = [json.loads(finish(process)) for process in processes]
    assert printed[0] == printed[1] == printed[2]
    assert len(printed[0]) == 8


def test_the_short_form_is_the_long_one():
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET)
    models = make_models()
    adapter = DMSRL.of(models["G"], models["C"], parts, hook_kwargs={"post": []})
    assert adapter.models.keys() == {"G", "C", *parts.models}
    assert dict(adapter.misc) == parts.misc
    assert adapter.training_step(make_batch())["total_loss"].keys() == {*DEFAULT.loss_weights, "total"}


@pytest.mark.parametrize(
    "recipe", ["published", DEFAULT.replace("margin", margin=1.9, scale=64.0), DEFAULT.without("mcc")]
)
def test_the_recipe_is_that_of_the_modules(recipe):
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe)
    adapter = DMSRL(models=Models({**make_models(), **parts.models}), misc=Misc(parts.misc))
    assert adapter.recipe == adapter.hook.recipe == parts.recipe
    losses = adapter.training_step(make_batch())["total_loss"]
    assert losses.keys() == {*parts.recipe.loss_weights, "total"}
    with pytest.raises(ValueError, match="got 'default', and the modules are made for"):
        DMSRL.of(*make_models().values(), parts, hook_kwargs={"recipe": "default"})


@pytest.mark.parametrize("positional", [False, True])
def test_modules_of_two_recipes_are_refused_wherever_they_are(positional):
    ours, theirs = (dmsrl_components(DIM, CLASSES, NUM_TARGET, name) for name in ("default", "published"))
    containers = Models({**make_models(), **theirs.models}), Misc(ours.misc)
    with pytest.raises(ValueError, match="all modules must be of one recipe, got 'published' and 'default'"):
        DMSRL(containers[0], None, None, containers[1]) if positional else DMSRL(
            models=containers[0], misc=containers[1]
        )
