"""The drawing of a training step says what the hooks of a running step read and write."""

import re

import pytest

from docs.hook_chart import draw_hook
from docs.step import Arrow, arrows, modules, running_hooks, training_step
from docs.step_chart import draw_step, lanes_of


@pytest.fixture(scope="module")
def calls():
    return training_step()


def test_every_loss_of_the_default_recipe_is_drawn(calls):
    made = [key for _, call in calls for key in call.losses]
    losses = ["margin_metric_loss", "mi_loss", "mcc_loss", "consistency_loss", "src_c_loss"]
    assert made == losses
    chart = draw_step(calls)
    assert [key for key in re.findall(r'<text class="key start"[^>]*>([^<]*)<', chart) if key in losses] == losses
    assert chart.count('<path class="head loss"') == len(losses)


def test_what_a_hook_reads_comes_from_the_hook_that_wrote_it(calls):
    number = {name: place for place, (name, _) in enumerate(calls)}
    flow, used = arrows(calls), modules(calls)
    for key in ("target_pseudo_labels", "target_pseudo_weights"):
        assert Arrow(number["PseudoLabelHook"], number["MarginMetricHook"], key) in flow
    assert Arrow(number["ProgressHook"], number["WarmUpHook: MCCHook"], "progress") in flow
    assert Arrow(-1, number["MarginMetricHook"], "src_labels") in flow
    assert used[number["MIMinimizationHook"]] == ["mi_critic"]


def test_every_arrow_is_drawn_with_its_key_and_every_hook_with_its_modules(calls):
    chart, flow = draw_step(calls), arrows(calls)
    read = [arrow.key for arrow in flow]
    written = list(dict.fromkeys((arrow.start, arrow.key) for arrow in flow if arrow.start >= 0))
    labels = re.findall(r'<text class="key start (?:source|target|neither)"[^>]*>([^<]*)<', chart)
    assert sorted(labels) == sorted([*read, *(key for _, key in written)])
    names = re.findall(r'<text class="name"[^>]*>([^<]*)<', chart)
    assert names == ["batch", *(name for name, _ in calls), "weighted sum"]
    drawn = re.findall(r'<text class="key middle"[^>]*>([^<]*)<', chart)
    assert drawn == [*(one for of_it in modules(calls) for one in of_it), "backward, step"]


def test_a_lane_holds_one_key_at_a_time():
    # the batch's "a" is done with before hook 1 writes "c"; its "b" is read to the end
    flow = [Arrow(-1, 0, "a"), Arrow(-1, 3, "b"), Arrow(1, 2, "c"), Arrow(2, 3, "d")]
    lanes = lanes_of(flow)
    assert lanes[1, "c"] == lanes[-1, "a"] != lanes[-1, "b"]
    assert lanes[2, "d"] not in (lanes[1, "c"], lanes[-1, "b"])


def test_names_of_hooks_lead_to_pages(calls):
    chart = draw_step(calls, {"MCCHook": "mcc.html", "PseudoLabelHook": "labels.html"})
    assert re.search(r'<a href="mcc.html"><text[^>]*>WarmUpHook: MCCHook<', chart)
    assert re.search(r'<a href="labels.html"><text[^>]*>PseudoLabelHook<', chart) and chart.count("<a ") == 2


def test_a_hook_that_writes_to_a_module_alone_is_drawn_and_one_with_nothing_to_do_is_not(calls):
    by_name = dict(calls)
    assert by_name["SourceAccuracyHook"].updated == ["source_accuracy"]
    assert not by_name["SourceAccuracyHook"].written and not by_name["SourceAccuracyHook"].losses
    assert "KnownTargetLabelsHook" not in by_name
    assert '<rect class="module updated"' in draw_hook("SourceAccuracyHook", by_name["SourceAccuracyHook"])
    assert '<rect class="module"' not in draw_hook("SourceAccuracyHook", by_name["SourceAccuracyHook"])


def test_hooks_are_left_as_they_were(calls):
    again = training_step()
    assert [(name, call.read, call.written) for name, call in again] == [
        (name, call.read, call.written) for name, call in calls
    ]
    assert draw_step(again) == draw_step(calls)


def test_one_hook_is_drawn_with_what_it_takes_and_leaves():
    running = running_hooks()
    branch, labels = (draw_hook(name, running[name]) for name in ("TwoBranchMIHook", "PseudoLabelHook"))
    assert re.findall(r'start loss"[^>]*>([^<]*)<', branch) == ["mi_loss", "mi_estimator_loss", "mi_branch_loss"]
    assert "PseudoLabelHook reads target_sample_idx, src_labels" in labels
    assert "and writes target_class_probs, target_pseudo_labels, target_pseudo_weights" in labels
    # a hook that takes nothing has nothing before it, one that leaves nothing has nothing after it
    assert ">before<" not in draw_hook("ProgressHook", running["ProgressHook"])
    assert ">after<" not in draw_hook("SourceAccuracyHook", running["SourceAccuracyHook"])
