"""The drawing of a training step says what the hooks of a running step read and write."""

import pytest

from docs.step import as_mermaid, training_step


@pytest.fixture(scope="module")
def calls():
    return training_step()


def test_every_loss_of_the_default_recipe_is_drawn(calls):
    made = [key for _, call in calls for key in call.losses]
    losses = ["margin_metric_loss", "mi_loss", "mcc_loss", "consistency_loss", "src_c_loss"]
    assert made == losses
    assert as_mermaid(calls).count("==>") == len(losses)


def test_what_a_hook_reads_comes_from_the_hook_that_wrote_it(calls):
    number = {name: f"h{place}" for place, (name, _) in enumerate(calls)}
    labels = "target_pseudo_labels<br/>target_pseudo_weights"
    chart = as_mermaid(calls).splitlines()
    assert f'    {number["PseudoLabelHook"]} -- "{labels}" --> {number["MarginMetricHook"]}' in chart
    assert f'    {number["ProgressHook"]} -- "progress" --> {number["WarmUpHook: MCCHook"]}' in chart
    assert f'    {number["MIMinimizationHook"]}["<b>MIMinimizationHook</b><br/>mi_critic"]' in chart


def test_a_hook_that_writes_to_a_module_alone_is_drawn_and_one_with_nothing_to_do_is_not(calls):
    by_name = dict(calls)
    assert by_name["SourceAccuracyHook"].updated == ["source_accuracy"]
    assert not by_name["SourceAccuracyHook"].written and not by_name["SourceAccuracyHook"].losses
    assert "KnownTargetLabelsHook" not in by_name


def test_hooks_are_left_as_they_were(calls):
    again = training_step()
    assert [(name, call.read, call.written) for name, call in again] == [
        (name, call.read, call.written) for name, call in calls
    ]
    assert as_mermaid(again) == as_mermaid(calls)
