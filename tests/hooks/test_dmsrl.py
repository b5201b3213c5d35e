import copy
from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F
from dmsrl_adapt.hooks.dmsrl import style_hooks
from pytorch_adapt.hooks import BNMHook
from pytorch_adapt.weighters import SumWeighter
from torch import nn

from dmsrl_adapt import DMSRLHook, LevelFeaturesHook, MultiLevelBackbone, Recipe, dmsrl_components
from dmsrl_adapt.losses import MarginMetricLoss
from dmsrl_adapt.recipe import DEFAULT, PARTS, PUBLISHED, RECIPES

from .. import references
from ..stand_ins import CLASSES, DIM, NUM_TARGET, SIZE, assert_same_states, make_batch, make_models, make_opts, states
from .plain_steps import Forward, reverse, two_branch_losses

STEPS, TOTAL = 4, 10
# every part at work, with numbers of its own
WHOLE = Recipe(
    label_smoothing=0.1,
    margin="cosine",
    margin_weight=0.3,
    margin_size=0.1,
    margin_scale=6.0,
    margin_ramp=True,
    mi="conditional",
    mi_weight=0.8,
    mi_ramp=True,
    mi_entropy_conditioning=True,
    mi_images_only=False,
    labeler="prototypes",
    label_threshold=0.4,
    label_ramp=True,
    confusion_weight=0.7,
    confusion_temperature=2.0,
    confusion_ramp=True,
    style_probability=0.5,
    style_by_skill=True,
    affine_strength=0.8,
    view_weight=0.6,
    view_ramp=True,
    view_probability=0.7,
)
FLAGS = [field.name for field in fields(Recipe) if isinstance(getattr(WHOLE, field.name), bool)]
VARIANTS = {
    "default": DEFAULT,
    "published": PUBLISHED,
    "whole": WHOLE,
    **{f"without {part}": WHOLE.without(part) for part in PARTS},
    **{f"{flag} the other way": replace(WHOLE, **{flag: not getattr(WHOLE, flag)}) for flag in FLAGS},
    "all flags the other way": replace(WHOLE, **{flag: not getattr(WHOLE, flag) for flag in FLAGS}),
    "without label smoothing": replace(WHOLE, label_smoothing=0.0),
    "without any style": WHOLE.without("style").without("view"),
    "published with flags": replace(PUBLISHED, label_ramp=True, mi_ramp=True),
    "two branches": replace(WHOLE, mi="two_branch"),
    "two branches without a ramp": replace(WHOLE, mi="two_branch", mi_ramp=False),
    "two branches on images only": replace(WHOLE, mi="two_branch", mi_images_only=True),
    "published with other weights": replace(PUBLISHED, margin_weight=0.05, mi_weight=0.7, label_smoothing=0.2),
}


def make(recipe, seed=0):
    models = make_models(seed)
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe, total_steps=TOTAL)
    return {**models, **parts.models}, parts.misc


class PlainTwin:
    """The whole method in plain PyTorch, by the slow references, one step after the other."""

    def __init__(self, recipe, models, opts):
        self.recipe, self.models, self.opts = recipe, models, opts
        self.slow, self.done = references.SlowPrototypes(CLASSES, threshold=recipe.label_threshold), 0

    def step(self, batch):
        forward = Forward(self.models, batch)
        losses = self.losses(forward, references.ramp(self.done / TOTAL))
        total = sum(losses.values())
        for opt in self.opts:
            opt.zero_grad()
        total.backward()
        for opt in self.opts:
            opt.step()
        self.done += 1
        return {**{key: loss.item() for key, loss in losses.items()}, "total": total.item()}

    def losses(self, forward, ramp):
        recipe, labels = self.recipe, forward.batch["src_labels"].tolist()
        features = torch.cat([forward.features["src"], forward.features["target"]])
        domains = SIZE * [0] + SIZE * [1]
        smoothing = recipe.label_smoothing
        losses = {"src_c_loss": references.smoothed_cross_entropy(forward.logits("src"), labels, smoothing)}
        known = forward.batch.get("target_labels", torch.full((SIZE,), -1)).tolist()
        pseudo, trust = self.pseudo_labels(forward, labels, known)
        trust = [one * (self.done / TOTAL if recipe.label_ramp else 1.0) for one in trust]
        pseudo, trust = put_right(known, pseudo, trust)
        if recipe.margin is not None:
            layer, named = self.models["margin_metric"], (features, labels + pseudo, domains, SIZE * [1.0] + trust)
            if recipe.margin == "centers":
                loss = references.margin_metric_loss(*named, layer.centers, recipe.margin_size, layer.gap_weight)
            else:
                loss = references.cosine_margin_loss(*named, layer.prototypes, recipe.margin_scale, recipe.margin_size)
            losses["margin_metric_loss"] = recipe.margin_weight * (ramp if recipe.margin_ramp else 1.0) * loss
        # the images of these tests are vectors
        strength = 0.0 if recipe.mi_images_only else self.done / TOTAL if recipe.mi_ramp else 1.0
        if recipe.mi == "two_branch":
            losses |= two_branch_losses(self.models, forward, strength)
            losses["mi_loss"] = recipe.mi_weight * losses["mi_loss"]
        elif recipe.mi is not None:
            logits = self.models["mi_critic"].critic(reverse(features, strength))
            if recipe.mi == "marginal":
                loss = references.domain_cross_entropy(logits, domains)
            else:
                certain = F.one_hot(forward.batch["src_labels"], CLASSES)
                target = forward.logits("target").detach().softmax(1)
                weights = references.certainty(target) if recipe.mi_entropy_conditioning else torch.ones(SIZE)
                weights = torch.cat([torch.ones(SIZE), weights])
                for row, label in enumerate(known):
                    if label >= 0:
                        target[row] = F.one_hot(torch.tensor(label), CLASSES)
                        weights[SIZE + row] = 1.0
                probs = torch.cat([certain, target])
                mass = self.models["mi_critic"].balance.class_mass
                balanced = references.balanced_class_probs(mass, domains, probs, weights)
                loss = references.class_domain_cross_entropy(logits, domains, balanced)
            losses["mi_loss"] = recipe.mi_weight * loss
        if recipe.confusion_weight > 0:
            loss = references.class_confusion(forward.logits("target"), recipe.confusion_temperature)
            losses["mcc_loss"] = recipe.confusion_weight * (ramp if recipe.confusion_ramp else 1.0) * loss
        if recipe.view_weight > 0:
            losses["consistency_loss"] = 0.0 * forward.logits("target").sum()  # vectors have no style
        if "target_labels" in forward.batch:
            rows = [row for row, label in enumerate(known) if label >= 0]
            logits = forward.logits("target")[rows]
            losses["target_c_loss"] = references.smoothed_cross_entropy(logits, [known[row] for row in rows], smoothing)
        return losses

    def pseudo_labels(self, forward, labels, known):
        if self.recipe.labeler is None:
            return SIZE * [-1], SIZE * [1.0]
        if self.recipe.labeler == "argmax":
            return forward.logits("target").argmax(1).tolist(), SIZE * [1.0]
        pseudo, trust = self.slow.label(forward.features["target"])
        self.slow.update(forward.features["src"], labels)
        self.slow.update(forward.features["target"], *put_right(known, pseudo, trust))
        return pseudo, trust


def put_right(known, labels, weights):
    """Labels and weights with the known labels, -1 elsewhere, in their places."""
    rows = list(zip(known, labels, weights, strict=True))
    return [k if k >= 0 else y for k, y, _ in rows], [1.0 if k >= 0 else w for k, _, w in rows]


def spread_centers(models):
    """Puts published centres where the hinge of one domain is shut and the other's is open."""
    if isinstance(models.get("margin_metric"), MarginMetricLoss):
        with torch.no_grad():
            models["margin_metric"].centers[0] *= 20


@pytest.mark.parametrize("recipe", VARIANTS.values(), ids=VARIANTS.keys())
def test_several_steps_equal_plain_pytorch(recipe):
    models, misc = make(recipe)
    spread_centers(models)
    twins = copy.deepcopy(models)
    hook, twin = DMSRLHook(make_opts(models), recipe=recipe), PlainTwin(recipe, twins, make_opts(twins))
    for number in range(STEPS):
        batch = make_batch(number)
        _, losses = hook({**models, **misc, **batch})
        expected = twin.step(batch)
        assert losses.keys() == {"total_loss"}
        assert losses["total_loss"] == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert_same_states(states(models), states(twins), rtol=1e-3, atol=1e-5)
    # one pass of G and at most one of C for each domain and step
    assert models["G"].count == twins["G"].count == 2 * STEPS
    assert models["C"].count == twins["C"].count <= 2 * STEPS
    assert misc["training_progress"].step == STEPS


@pytest.mark.parametrize("recipe", [DEFAULT, PUBLISHED, WHOLE, WHOLE.without("prototypes"), WHOLE.without("mi")])
def test_several_steps_with_some_target_labels_known_equal_plain_pytorch(recipe):
    models, misc = make(recipe)
    twins = copy.deepcopy(models)
    hook, twin = DMSRLHook(make_opts(models), recipe=recipe), PlainTwin(recipe, twins, make_opts(twins))
    for number in range(STEPS):
        # none is known in the second batch, and the third says nothing of labels
        known = torch.full((SIZE,), -1) if number == 1 else torch.tensor([-1, 2, -1, 0, -1, -1, 1, -1])
        batch = {**make_batch(number), **({} if number == 2 else {"target_labels": known})}
        _, losses = hook({**models, **misc, **batch})
        expected = twin.step(batch)
        assert ("target_c_loss" in expected) == (number != 2)
        assert losses["total_loss"] == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert_same_states(states(models), states(twins), rtol=1e-3, atol=1e-5)
    assert models["G"].count == twins["G"].count == 2 * STEPS
    assert models["C"].count == twins["C"].count <= 2 * STEPS


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.full((SIZE,), CLASSES), ValueError, r"target_labels must be in -1\.\.2, got values from 3 to 3"),
        (torch.zeros(SIZE - 1).long(), ValueError, r"target_labels must have shape \(8,\), got \(7,\)"),
        (torch.zeros(SIZE), TypeError, "target_labels must be an integer tensor, got torch.float32"),
    ],
)
def test_bad_target_labels_are_refused_before_a_network_sees_the_batch(labels, error, message):
    models, misc = make(DEFAULT)
    before = states({**models, **misc})
    with pytest.raises(error, match=message):
        DMSRLHook(make_opts(models))({**models, **misc, **make_batch(), "target_labels": labels})
    assert models["G"].count == 0
    assert_same_states(states({**models, **misc}), before)


def test_twin_has_something_to_follow():
    """The steps above reject some pseudo labels and trust others, so that both ways are compared."""
    models, misc = make(WHOLE)
    hook, seen = DMSRLHook(make_opts(models), recipe=WHOLE), []
    for number in range(STEPS):
        outputs, _ = hook({**models, **misc, **make_batch(number)})
        seen += outputs["target_pseudo_labels"].tolist()
    assert set(seen[SIZE:]) == {-1, 0, 1, 2}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_by_name_is_the_recipe(name):
    results = []
    for recipe in (name, RECIPES[name]):
        torch.manual_seed(0)
        models, misc = make(recipe)
        _, losses = DMSRLHook(make_opts(models), recipe=recipe)({**models, **misc, **make_batch()})
        results.append(losses["total_loss"])
    assert results[0] == results[1]
    assert results[0].keys() == {*RECIPES[name].loss_weights, "total"}


def test_default_recipe_is_default():
    assert DMSRLHook(make_opts(make_models())).recipe == DEFAULT


def test_optimizers_by_name():
    models, misc = make("default")
    twins, twin_misc = copy.deepcopy(models), copy.deepcopy(misc)
    named = {f"{name}_opt": opt for name, opt in zip(models, make_opts(models), strict=True)}
    DMSRLHook(list(named))({**models, **misc, **named, **make_batch()})
    DMSRLHook(make_opts(twins))({**twins, **twin_misc, **make_batch()})
    assert_same_states(states(models), states(twins))


TRAINED = ["G", "C", "margin_metric", "mi_critic"]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("key", TRAINED)
def test_module_that_no_optimizer_has_is_named_and_nothing_is_changed(recipe, key):
    models, misc = make(recipe)
    hook = DMSRLHook(make_opts({name: model for name, model in models.items() if name != key}), recipe=recipe)
    before = states({**models, **misc})
    for _ in range(2):
        with pytest.raises(ValueError, match=f"opts must hold parameters of '{key}', got none"):
            hook({**models, **misc, **make_batch()})
    assert_same_states(states({**models, **misc}), before)


@pytest.mark.parametrize("key", ["mi_branch", "mi_estimator"])
def test_branch_and_estimator_each_need_an_optimizer(key):
    recipe = replace(DEFAULT, mi="two_branch")
    models, misc = make(recipe)
    hook = DMSRLHook(make_opts({name: model for name, model in models.items() if name != key}), recipe=recipe)
    with pytest.raises(ValueError, match=f"opts must hold parameters of '{key}', got none"):
        hook({**models, **misc, **make_batch()})


@pytest.mark.parametrize("key", TRAINED[1:])
def test_frozen_module_needs_no_optimizer(key):
    models, misc = make("default")
    models[key].requires_grad_(False)
    opts = make_opts({name: model for name, model in models.items() if name != key})
    before = [parameter.clone() for parameter in models[key].parameters()]
    DMSRLHook(opts)({**models, **misc, **make_batch()})
    assert all(torch.equal(*pair) for pair in zip(models[key].parameters(), before, strict=True))


def test_one_optimizer_may_have_all_modules_and_a_part_of_one():
    models, misc = make("default")
    models["G"] = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, DIM))
    some = [*models["G"][1].parameters(), *(p for name in TRAINED[1:] for p in models[name].parameters())]
    before = states(models)
    DMSRLHook([torch.optim.SGD(some, lr=0.1)])({**models, **misc, **make_batch()})
    moved = {key for key, value in states(models).items() if not torch.equal(value, before[key])}
    assert {key for key in moved if key.startswith("G")} == {"G.1.weight", "G.1.bias"}


def test_optimizers_are_checked_at_the_first_step_alone():
    models, misc = make("default")
    hook = DMSRLHook(make_opts(models))
    hook({**models, **misc, **make_batch()})
    hook.opts.clear()
    hook.opts.extend(make_opts({"G": models["G"]}))
    hook({**models, **misc, **make_batch(1)})


def test_learning_works():
    models, misc = make("default")
    hook = DMSRLHook(make_opts(models))
    losses = [hook({**models, **misc, **make_batch(number)})[1]["total_loss"]["src_c_loss"] for number in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_progress_of_the_batch_takes_the_place_of_the_counted_one():
    seen = {}
    for progress in (None, 0.0, 0.6):
        torch.manual_seed(0)
        models, misc = make("published")
        given = {} if progress is None else {"progress": progress}
        outputs, losses = DMSRLHook(make_opts(models), recipe="published")({**models, **misc, **make_batch(), **given})
        seen[progress] = losses["total_loss"]["margin_metric_loss"]
        assert {**given, **outputs}["progress"] == (progress or 0.0)
        assert misc["training_progress"].step == 1
    assert seen[None] == seen[0.0] == 0
    assert seen[0.6] > 0


def test_weighter_reducer_pre_and_post_are_used():
    torch.manual_seed(0)
    trunk = nn.Conv2d(1, 4, 3, stride=2, padding=1)
    G = MultiLevelBackbone(trunk, in_chans=1, input_size=8)
    parts = dmsrl_components(G.feature_dim, CLASSES, NUM_TARGET)
    models = {"G": G, "C": nn.Linear(G.feature_dim, CLASSES), **parts.models}
    weighter = SumWeighter(weights={**DEFAULT.loss_weights, "bnm_loss": 0.1})
    hook = DMSRLHook(make_opts(models), weighter=weighter, pre=[LevelFeaturesHook()], post=[BNMHook()])
    images = {f"{domain}_imgs": torch.randn(SIZE, 1, 8, 8) for domain in ("src", "target")}
    outputs, losses = hook({**models, **parts.misc, **make_batch(), **images})
    assert "src_imgs_level_global" in outputs
    assert losses["total_loss"].keys() == {*DEFAULT.loss_weights, "bnm_loss", "total"}


MISSING = ["G", "C", "margin_metric", "mi_critic", "training_progress", "pseudo_labeler"]
MISSING += ["src_imgs", "target_imgs", "src_labels"]


@pytest.mark.parametrize("key", MISSING)
def test_missing_key_names_hook_and_key(key):
    models, misc = make("default")
    context = {**models, **misc, **make_batch()}
    del context[key]
    with pytest.raises(KeyError, match=f"DMSRLHook needs '{key}' in the context, got"):
        DMSRLHook(make_opts(models))(context)


def test_unknown_recipe_is_named():
    with pytest.raises(ValueError, match=r"recipe must be one of .* got 'best'"):
        DMSRLHook([], recipe="best")


NAN = torch.full((SIZE, 6), torch.nan)
ONE_NAN = torch.zeros(SIZE, 6).index_fill(0, torch.tensor([3]), torch.nan)
BAD = {
    "NaN source images": ({"src_imgs": NAN}, ValueError, "must be finite, got"),
    "NaN target images": ({"target_imgs": NAN}, ValueError, "must be finite, got"),
    "one NaN target image": ({"target_imgs": ONE_NAN}, ValueError, "must be finite, got"),
    "no source sample": ({"src_imgs": NAN[:0]}, ValueError, r"src_imgs must hold at least one .*, got shape \(0, 6\)"),
    "no target sample": (
        {"target_imgs": NAN[:0], "target_sample_idx": torch.arange(0)},
        ValueError,
        r"target_imgs must hold at least one sample, got shape \(0, 6\)",
    ),
    "label too large": ({"src_labels": torch.full((SIZE,), CLASSES)}, ValueError, "labels must be in .*..2, got"),
    "label -1": ({"src_labels": torch.full((SIZE,), -1)}, ValueError, "src_labels must be in 0..2, got .* -1"),
    "labels of shape (8, 1)": (
        {"src_labels": torch.zeros(SIZE, 1).long()},
        ValueError,
        r"labels must have shape \(8,\), got \(8, 1\)",
    ),
    "too few labels": ({"src_labels": torch.zeros(3).long()}, ValueError, r"labels must have shape \(8,\), got \(3,\)"),
    "labels that are not integers": ({"src_labels": torch.zeros(SIZE)}, TypeError, "labels must be an integer tensor"),
    "no target_sample_idx": ({"target_sample_idx": None}, KeyError, "Hook needs 'target_sample_idx' in the context"),
    "index beyond num_target": (
        {"target_sample_idx": torch.arange(SIZE) + NUM_TARGET - 1},
        ValueError,
        r"sample_idx.* in 0..19, got .* from 19 to 26",
    ),
    "negative index": ({"target_sample_idx": torch.arange(SIZE) - 1}, ValueError, r"sample_idx.* in 0..19, got .* -1"),
    "too few indices": (
        {"target_sample_idx": torch.arange(3)},
        ValueError,
        r"sample_idx.* must have shape \(8,\), got \(3,\)",
    ),
    "progress beyond 1": ({"progress": 1.5}, ValueError, "'progress' must be in 0..1, got 1.5"),
}
# the classifier's own labels are not kept by index, so the published recipe does not look at its values
KEPT_BY_INDEX = {"index beyond num_target", "negative index", "too few indices"}
CASES = [(recipe, name) for recipe in RECIPES for name in BAD if recipe == "default" or name not in KEPT_BY_INDEX]


@pytest.mark.parametrize(("recipe", "name"), CASES)
def test_refused_batch_leaves_everything_as_it_was(recipe, name):
    changed, error, message = BAD[name]
    models, misc = make(recipe)
    opts = [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) for model in models.values()]
    hook = DMSRLHook(opts, recipe=recipe)
    hook({**models, **misc, **make_batch()})
    before = {**states({**models, **misc}), **moments(opts)}
    batch = {key: value for key, value in {**make_batch(1), **changed}.items() if value is not None}
    with pytest.raises(error, match=message) as caught:
        hook({**models, **misc, **batch})
    assert "DMSRLHook" in str(caught.value)
    assert_same_states({**states({**models, **misc}), **moments(opts)}, before)


def moments(opts):
    """The momentum that the optimizers keep."""
    kept = [state["momentum_buffer"] for opt in opts for state in opt.state.values()]
    return {f"momentum {number}": buffer.clone() for number, buffer in enumerate(kept)}


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_any_integer_labels_and_indices_give_the_same(dtype):
    seen = []
    for change in (lambda x: x, lambda x: x.to(dtype)):
        models, misc = make("default")
        torch.manual_seed(0)
        batch = {key: change(x) if key in ("src_labels", "target_sample_idx") else x for key, x in make_batch().items()}
        DMSRLHook(make_opts(models))({**models, **misc, **batch})
        seen.append(states({**models, **misc}))
    assert_same_states(*seen)


def test_without_labeler_no_target_sample_idx_is_needed():
    recipe = DEFAULT.without("prototypes")
    models, misc = make(recipe)
    batch = make_batch()
    del batch["target_sample_idx"]
    # a labeller of another method in the same context is none of this one's business
    DMSRLHook(make_opts(models), recipe=recipe)({**models, **misc, "pseudo_labeler": nn.Identity(), **batch})


def test_nan_features_of_good_images_leave_what_the_hook_keeps_as_it_was():
    """G itself has seen the images by then; neither weights nor labels nor progress may move."""

    class Overflow(nn.Module):
        def forward(self, x):
            return x[:, :DIM] * torch.inf

    models, misc = make("default")
    models["G"] = nn.Sequential(nn.Linear(6, 6), Overflow())
    before = states({**models, **misc})
    with pytest.raises(ValueError, match="features must be finite"):
        DMSRLHook(make_opts(models))({**models, **misc, **make_batch()})
    assert_same_states(states({**models, **misc}), before)


def test_goes_on_after_a_refused_batch():
    models, misc = make("default")
    hook = DMSRLHook(make_opts(models))
    with pytest.raises(ValueError, match="must be finite"):
        hook({**models, **misc, **make_batch(), "src_imgs": NAN})
    _, losses = hook({**models, **misc, **make_batch()})
    assert all(value == value for value in losses["total_loss"].values())


def test_both_domains_are_moved_as_far_as_the_recipe_says():
    hooks = style_hooks(replace(DEFAULT, affine_strength=0.3))
    assert [(hook.domain, hook.pose.strength) for hook in hooks] == [("src", 0.3), ("target", 0.3)]


def test_images_that_the_batch_brings_in_another_style_are_those_that_the_source_is_learned_from():
    recipe = replace(DEFAULT, style_probability=1.0, style_by_skill=False, view_weight=0.0)
    batch = make_batch()
    augmented = {"src_imgs_augmented": batch["src_imgs"].flip(0)}
    ended = []
    for given in ({**batch, **augmented}, {**batch, "src_imgs": batch["src_imgs"].flip(0)}):
        models, parts = make_models(), dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe, total_steps=TOTAL)
        hook = DMSRLHook(make_opts({**models, **parts.models}), recipe)
        hook({**models, **parts.models, **parts.misc, **given})
        ended.append(states({**models, **parts.models, **parts.misc}))
    assert_same_states(*ended)


def test_the_target_in_the_style_that_the_batch_brings_learns_from_the_target_as_it_is():
    recipe = replace(DEFAULT, view_probability=1.0)
    losses = []
    for change in (0.0, 1.0):
        models, parts = make_models(), dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe, total_steps=TOTAL)
        batch = make_batch()
        batch["target_imgs_augmented"] = batch["target_imgs"] + change * torch.randn(SIZE, 6)
        hook = DMSRLHook(make_opts({**models, **parts.models}), recipe)
        _, losses_of_step = hook({**models, **parts.models, **parts.misc, **batch, "progress": 1.0})
        losses.append(losses_of_step["total_loss"]["consistency_loss"])
        assert models["G"].count == 3  # both domains, and the target as it is
    # without a change what is left is the entropy of the labels
    assert 0 < losses[0] < losses[1]
