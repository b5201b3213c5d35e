import copy

import pytest
import torch
import torch.nn.functional as F
from pytorch_adapt.hooks import BNMHook
from pytorch_adapt.weighters import SumWeighter
from torch import nn

from dmsrl_adapt import DEFAULT, PUBLISHED, DMSRLHook, LevelFeaturesHook, MultiLevelBackbone, Recipe, dmsrl_components
from dmsrl_adapt.augment import RandomAffine, RandomConvolution
from dmsrl_adapt.augment.random_affine import moved_images
from dmsrl_adapt.losses import MarginMetricLoss
from dmsrl_adapt.parts import (
    ConditionalMI,
    CosineMargin,
    KnownTargetLabels,
    MinimumClassConfusion,
    PrototypeLabels,
    SourceAugmentation,
    SourceClassification,
    TargetConsistency,
    TwoBranchMI,
)
from dmsrl_adapt.recipe import RECIPES

from . import references
from .hooks.plain_steps import Forward, reverse, two_branch_losses
from .stand_ins import (
    CLASSES,
    DIM,
    NUM_TARGET,
    SIZE,
    Counted,
    assert_same_states,
    make_batch,
    make_models,
    make_opts,
    states,
)

STEPS, TOTAL = 4, 10
# every part at work, with numbers of its own
WHOLE = Recipe(
    PrototypeLabels(threshold=0.4, warmup="linear"),
    CosineMargin(weight=0.3, margin=0.1, scale=6.0, warmup="sigmoid"),
    ConditionalMI(weight=0.8, warmup="linear", entropy_conditioning=True),
    MinimumClassConfusion(weight=0.7, temperature=2.0, warmup="linear"),
    SourceAugmentation(probability=0.9, affine_strength=0.8, accuracy_gate=True),
    TargetConsistency(weight=0.6, probability=0.7, affine_strength=0.6, warmup="sigmoid"),
    SourceClassification(label_smoothing=0.1),
)
WARMED_UP = [part.kind for part in WHOLE if hasattr(part, "warmup")]
BRANCHES = WHOLE.replace(TwoBranchMI(weight=0.8))


def without_warm_ups(recipe):
    for kind in WARMED_UP:
        recipe = recipe.replace(kind, warmup="none")
    return recipe


VARIANTS = {
    "default": DEFAULT,
    "published": PUBLISHED,
    "whole": WHOLE,
    **{f"without {kind}": WHOLE.without(kind) for kind in WHOLE.kinds if kind != "classification"},
    **{f"{kind} without warm-up": WHOLE.replace(kind, warmup="none") for kind in WARMED_UP},
    "without any warm-up": without_warm_ups(WHOLE),
    "without entropy conditioning": WHOLE.replace("mi", entropy_conditioning=False),
    "without an accuracy gate": WHOLE.replace("augmentation", accuracy_gate=False),
    "without affine augmentation": WHOLE.replace("augmentation", affine_strength=0.0),
    "without label smoothing": WHOLE.replace("classification", label_smoothing=0.0),
    "without any augmentation": WHOLE.without("augmentation", "consistency"),
    "published with warm-ups": PUBLISHED.replace("pseudo_labels", warmup="linear").replace("mi", warmup="linear"),
    "two branches": BRANCHES,
    "two branches without warm-up": BRANCHES.replace("mi", warmup="none"),
    "published with other weights": PUBLISHED.replace("margin", weight=0.05).replace("mi", weight=0.7),
}


def make_image_models():
    """Networks as small as those for vectors, with batch statistics too."""
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(36, DIM))
    return {"G": Counted(trunk), "C": Counted(nn.Linear(DIM, CLASSES))}


def make_images(seed=0):
    """Images that show their class, as `make_batch` has vectors: with steps of 0.1 it is learned within some steps."""
    generator, batch = torch.Generator().manual_seed(seed), make_batch(seed)
    means = 2 * torch.randn(CLASSES, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    noise = 0.3 * torch.randn(2, SIZE, 2, 8, 8, generator=generator)
    target = torch.arange(SIZE) % CLASSES
    return {**batch, "src_imgs": means[batch["src_labels"]] + noise[0], "target_imgs": means[target] + 0.2 + noise[1]}


def make(recipe, seed=0, on_images=False):
    models = make_image_models() if on_images else make_models(seed)
    parts = dmsrl_components(DIM, CLASSES, NUM_TARGET, recipe, total_steps=TOTAL)
    return {**models, **parts.models}, parts.misc


def augmented(images, probability, gate, affine_strength):
    """Images of which some are augmented, and which; the random numbers in the order in which the hook draws them."""
    is_augmented = torch.rand(len(images)) < probability * gate
    if images.ndim != 4 or not is_augmented.any():
        return images, is_augmented & False
    chosen = images[is_augmented]
    if affine_strength:
        chosen = moved_images(chosen, torch.from_numpy(RandomAffine(affine_strength).draw(chosen)))
    shown = images.clone()
    shown[is_augmented] = RandomConvolution()(chosen)
    return shown, is_augmented


class PlainTwin:
    """The whole method in plain PyTorch, by the slow references, one step after the other."""

    def __init__(self, recipe, models, opts):
        self.parts = {part.kind: part for part in recipe}
        self.recipe, self.models, self.opts, self.done = recipe, models, opts, 0
        threshold = getattr(recipe.get("pseudo_labels"), "threshold", 0.0)
        self.slow = references.SlowPrototypes(CLASSES, threshold=threshold)
        self.seen = []  # labels and predictions of source images that were not augmented, batch by batch

    def step(self, batch):
        forward, plain = self.forward(batch)
        losses = self.losses(forward, plain)
        total = sum(losses.values())
        for opt in self.opts:
            opt.zero_grad()
        total.backward()
        for opt in self.opts:
            opt.step()
        self.done += 1
        return {**{key: loss.item() for key, loss in losses.items()}, "total": total.item()}

    def warmed_up(self, kind):
        progress = self.done / TOTAL
        return {"none": 1.0, "linear": progress, "sigmoid": references.ramp(progress)}[self.parts[kind].warmup.value]

    def forward(self, batch):
        """Passes of what G sees of both domains, and those of the target that is augmented as it was."""
        source, target, shown = self.parts.get("augmentation"), self.parts.get("consistency"), {}
        self.is_augmented = {domain: torch.zeros(SIZE, dtype=torch.bool) for domain in ("src", "target")}
        for domain, part in (("src", source), ("target", target)):
            if part is not None:
                gate = references.decayed_kappa(self.seen, 0.9) if domain == "src" and source.accuracy_gate else 1.0
                images = batch[f"{domain}_imgs"]
                images, which = augmented(images, part.probability, gate, part.affine_strength)
                shown[f"{domain}_imgs"], self.is_augmented[domain] = images, which
        return Forward(self.models, {**batch, **shown}), batch["target_imgs"]

    def losses(self, forward, plain):
        parts, labels = self.parts, forward.batch["src_labels"].tolist()
        features = torch.cat([forward.features["src"], forward.features["target"]])
        domains = SIZE * [0] + SIZE * [1]
        smoothing = parts["classification"].label_smoothing
        losses = {"src_c_loss": references.smoothed_cross_entropy(forward.logits("src"), labels, smoothing)}
        known = [-1] * SIZE
        if "known_target_labels" in parts:
            known = forward.batch.get("target_labels", torch.full((SIZE,), -1)).tolist()
        pseudo, confidence = self.pseudo_labels(forward, labels, known)
        if "pseudo_labels" in parts:
            confidence = [one * self.warmed_up("pseudo_labels") for one in confidence]
        pseudo, confidence = put_right(known, pseudo, confidence)
        if margin := parts.get("margin"):
            layer, named = self.models["margin_metric"], (features, labels + pseudo, domains, SIZE * [1.0] + confidence)
            if isinstance(layer, MarginMetricLoss):
                loss = references.margin_metric_loss(*named, layer.centers, margin.margin, layer.gap_weight)
            else:
                loss = references.cosine_margin_loss(*named, layer.prototypes, margin.scale, margin.margin)
            losses["margin_metric_loss"] = margin.weight * self.warmed_up("margin") * loss
        if "mi" in parts:
            losses |= self.mutual_information(forward, features, domains, known)
        if mcc := parts.get("mcc"):
            loss = references.class_confusion(forward.logits("target"), mcc.temperature)
            losses["mcc_loss"] = mcc.weight * self.warmed_up("mcc") * loss
        if "augmentation" in parts:
            said = forward.logits("src").argmax(1)
            rows = ~self.is_augmented["src"]
            self.seen.append((forward.batch["src_labels"][rows].tolist(), said[rows].tolist()))
        if consistency := parts.get("consistency"):
            loss = self.consistency(forward, plain)
            losses["consistency_loss"] = consistency.weight * self.warmed_up("consistency") * loss
        if "known_target_labels" in parts:
            rows = [row for row, label in enumerate(known) if label >= 0]
            logits, own = forward.logits("target")[rows], [known[row] for row in rows]
            smoothing = parts["known_target_labels"].label_smoothing
            loss = (
                references.smoothed_cross_entropy(logits, own, smoothing)
                if own
                else 0.0 * forward.logits("target").sum()
            )
            losses["target_c_loss"] = loss
        return losses

    def mutual_information(self, forward, features, domains, known):
        part, strength = self.parts["mi"], self.warmed_up("mi")
        if isinstance(part, TwoBranchMI):
            losses = two_branch_losses(self.models, forward, strength)
            return {**losses, "mi_loss": part.weight * losses["mi_loss"]}
        logits = self.models["mi_critic"].critic(reverse(features, strength))
        if not isinstance(part, ConditionalMI):
            return {"mi_loss": part.weight * references.domain_cross_entropy(logits, domains)}
        certain = F.one_hot(forward.batch["src_labels"], CLASSES)
        target = forward.logits("target").detach().softmax(1)
        weights = references.certainty(target) if part.entropy_conditioning else torch.ones(SIZE)
        weights = torch.cat([torch.ones(SIZE), weights])
        for row, label in enumerate(known):
            if label >= 0:
                target[row] = F.one_hot(torch.tensor(label), CLASSES)
                weights[SIZE + row] = 1.0
        mass = self.models["mi_critic"].balance.class_mass
        balanced = references.balanced_class_probs(mass, domains, torch.cat([certain, target]), weights)
        return {"mi_loss": part.weight * references.class_domain_cross_entropy(logits, domains, balanced)}

    def consistency(self, forward, plain):
        """Sum over augmented images, if there are two, of trust times cross entropy, by their number."""
        rows, logits = self.is_augmented["target"].nonzero()[:, 0].tolist(), forward.logits("target")
        if len(rows) < 2:
            return 0.0 * logits.sum()
        with torch.no_grad():
            probs = self.models["C"](self.models["G"](plain[rows])).softmax(1)
        entropies = [-(q * logits[row].log_softmax(0)).sum() * q.max() for row, q in zip(rows, probs, strict=True)]
        return sum(entropies) / len(rows)

    def pseudo_labels(self, forward, labels, known):
        if "pseudo_labels" not in self.parts:
            return SIZE * [-1], SIZE * [1.0]
        if not isinstance(self.parts["pseudo_labels"], PrototypeLabels):
            return forward.logits("target").argmax(1).tolist(), SIZE * [1.0]
        pseudo, confidence = self.slow.label(forward.features["target"])
        self.slow.update(forward.features["src"], labels)
        self.slow.update(forward.features["target"], *put_right(known, pseudo, confidence))
        return pseudo, confidence


def put_right(known, labels, weights):
    """Labels and weights with the known labels, -1 elsewhere, in their places."""
    rows = list(zip(known, labels, weights, strict=True))
    return [k if k >= 0 else y for k, y, _ in rows], [1.0 if k >= 0 else w for k, _, w in rows]


def spread_centers(models):
    """Puts published centres where the hinge of one domain is shut and the other's is open."""
    if isinstance(models.get("margin_metric"), MarginMetricLoss):
        with torch.no_grad():
            models["margin_metric"].centers[0] *= 20


@pytest.mark.parametrize("on_images", [False, True], ids=["vectors", "images"])
@pytest.mark.parametrize("recipe", VARIANTS.values(), ids=VARIANTS.keys())
def test_several_steps_equal_plain_pytorch(recipe, on_images):
    models, misc = make(recipe, on_images=on_images)
    spread_centers(models)
    twins = copy.deepcopy(models)
    hook, twin = DMSRLHook(make_opts(models)), PlainTwin(recipe, twins, make_opts(twins))
    count = STEPS + 3 if on_images else STEPS
    was_augmented = {"src": 0, "target": 0}
    for number in range(count):
        batch = make_images(number) if on_images else make_batch(number)
        torch.manual_seed(number + 100)  # with others a unit of the critic is at its kink, on this side or on that
        _, losses = hook({**models, **misc, **batch})
        torch.manual_seed(number + 100)
        expected = twin.step(batch)
        assert losses.keys() == {"total_loss"}
        assert losses["total_loss"] == pytest.approx(expected, rel=1e-3, abs=1e-5)
        assert_same_states(states(models), states(twins), rtol=1e-3, atol=1e-4)
        for domain, which in twin.is_augmented.items():
            was_augmented[domain] += int(which.sum())
    # augmentation is at work where the recipe has it, the gate half open and not shut
    for domain, kind in (("src", "augmentation"), ("target", "consistency")):
        assert (was_augmented[domain] > 0) == (on_images and kind in recipe.kinds)
    # one pass of G for each domain and step, and one for the images as they are where some are augmented
    assert models["G"].count == twins["G"].count <= 3 * count
    assert models["G"].count == 2 * count or (on_images and "consistency" in recipe.kinds)
    assert models["C"].count == twins["C"].count <= 3 * count
    assert misc["training_progress"].step == count


@pytest.mark.parametrize("recipe", [DEFAULT, PUBLISHED, WHOLE, WHOLE.without("pseudo_labels"), WHOLE.without("mi")])
def test_several_steps_with_some_target_labels_known_equal_plain_pytorch(recipe):
    recipe = Recipe(*recipe, KnownTargetLabels(label_smoothing=0.1))
    models, misc = make(recipe)
    twins = copy.deepcopy(models)
    hook, twin = DMSRLHook(make_opts(models)), PlainTwin(recipe, twins, make_opts(twins))
    for number in range(STEPS):
        # none is known in the second batch, and the third says nothing of labels
        known = torch.full((SIZE,), -1) if number == 1 else torch.tensor([-1, 2, -1, 0, -1, -1, 1, -1])
        batch = {**make_batch(number), **({} if number == 2 else {"target_labels": known})}
        _, losses = hook({**models, **misc, **batch})
        expected = twin.step(batch)
        assert (losses["total_loss"]["target_c_loss"] > 0) == (number not in (1, 2))
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
    models, misc = make(Recipe(*DEFAULT, KnownTargetLabels()))
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


def test_the_recipe_is_that_of_the_modules_and_the_default_where_they_carry_none():
    for recipe in VARIANTS.values():
        models, misc = make(recipe)
        hook = DMSRLHook(make_opts(models))
        _, losses = hook({**models, **misc, **make_batch()})
        assert hook.recipe == recipe
        assert losses["total_loss"].keys() == {*recipe.loss_weights, "total"}
    models, misc = make(DEFAULT)
    for module in (*models.values(), *misc.values()):
        vars(module).pop("recipe", None)
    hook = DMSRLHook(make_opts(models))
    hook({**models, **misc, **make_batch()})
    assert hook.recipe == DEFAULT


@pytest.mark.parametrize("other", ["published", DEFAULT.replace("margin", margin=1.9, scale=64.0)])
def test_modules_of_another_recipe_are_refused_and_nothing_changes(other):
    """Made for one and run by another they would have given the losses of a third."""
    models, misc = make(DEFAULT)
    wrong = make(other)[0]["margin_metric"]
    opts = make_opts(models)
    before = states({**models, **misc})
    for hook in (DMSRLHook(opts), DMSRLHook(opts, recipe="default")):
        with pytest.raises(ValueError, match=r"must be of one recipe, got|made for"):
            hook({**models, **misc, "margin_metric": wrong, **make_batch()})
        assert_same_states(states({**models, **misc}), before)
    with pytest.raises(ValueError, match=r"recipe must be that of dmsrl_components, got .*made for 'default'"):
        DMSRLHook(opts, recipe=other)({**models, **misc, **make_batch()})
    hook = DMSRLHook(opts)
    hook({**models, **misc, **make_batch()})
    with pytest.raises(ValueError, match="must be of one recipe, got"):
        hook({**models, **misc, "margin_metric": wrong, **make_batch()})


def test_a_list_of_optimizers_that_is_changed_later_does_not_count():
    models, misc = make("default")
    opts = make_opts(models)
    hook = DMSRLHook(opts, recipe="default")
    opts.clear()
    before = states(models)
    hook({**models, **misc, **make_batch()})
    assert any(not torch.equal(value, before[key]) for key, value in states(models).items() if "weight" in key)


def test_optimizers_by_name():
    models, misc = make("default")
    twins, twin_misc = copy.deepcopy(models), copy.deepcopy(misc)
    named = {f"{name}_opt": opt for name, opt in zip(models, make_opts(models), strict=True)}
    DMSRLHook(list(named))({**models, **misc, **named, **make_batch()})
    DMSRLHook(make_opts(twins))({**twins, **twin_misc, **make_batch()})
    assert_same_states(states(models), states(twins))


TRAINED = ["G", "C", "margin_metric", "mi_critic"]


@pytest.mark.parametrize("recipe", ["default", "published"])
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
    recipe = DEFAULT.replace(TwoBranchMI(weight=0.3))
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
NOT_READ = {"default": set(), "published": KEPT_BY_INDEX, "source_only": {*KEPT_BY_INDEX, "no target_sample_idx"}}
CASES = [(recipe, name) for recipe in RECIPES for name in BAD if name not in NOT_READ[recipe]]


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
    recipe = DEFAULT.without("pseudo_labels")
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


def test_images_that_the_batch_brings_in_another_style_are_those_that_the_source_is_learned_from():
    recipe = DEFAULT.without("consistency").replace("augmentation", probability=1.0, accuracy_gate=False)
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
    recipe = DEFAULT.replace("consistency", probability=1.0)
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
