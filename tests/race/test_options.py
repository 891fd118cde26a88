"""The options of a race: chains, schedules, seeds and range tests."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

import gradtx as gx
from gradtx.race._chain import parse
from gradtx.race._cli import main
from gradtx.race._display import _losses
from gradtx.race._optimizers import OPTIMIZERS, SCHEDULES, entries
from gradtx.race._options import check, parser
from gradtx.race._plot import draw
from gradtx.race._results import Folder
from gradtx.race._train import Race
from tests.race.contests import contest, finish, race


def curves(race):
    return {c.name: np.squeeze([c.history[key] for key in sorted(c.history)]) for c in race.contestants}


@pytest.mark.parametrize(
    ("options", "names"),
    [([], list(OPTIMIZERS)), (["--chain", "adam(1)"], []), (["--chain", "adam(1)", "--optimizers", "sgd"], ["sgd"])],
)
def test_chains_alone_race_unless_optimizers_are_named(options, names):
    args = parser().parse_args(["race", *options])
    check(args)
    assert [entry.name for entry in entries(args, 10)] == names + ["chain 1"] * bool(options)


def test_a_chain_is_told_the_loss_of_the_batch():
    race = contest(50, "--chain", "sgd(reduce_on_plateau(0.1, rtol=0.0))")
    contestant, losses = race.contestants[-1], []
    for batch in race._epoch(0):
        losses.append(race._batch_loss(*contestant.variables, batch)[0])
        contestant.step(batch)
    best = contestant.state.hyperparams["scale_by_learning_rate.learning_rate"]["plateau"]["best"]
    assert float(best) == pytest.approx(float(min(losses)), rel=1e-6)


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--chain", "layerwise_decay(0.8, ('nothing',))", "chain 1 cannot race: layerwise_decay: "),
        ("--chain", "adamw(1e-3, mask='nothing')", "chain 1 cannot race: add_decayed_weights: "),
        ("--chain", "sgd(matrices_only)", "chain 1 cannot race: "),
        ("--schedule", f"linear(1.0, 0.0, {2**70})", "sgd cannot race: "),
    ],
)
def test_a_contestant_that_the_network_refuses_is_refused_before_anything_is_written(
    capsys, tmp_path, option, text, words
):
    out = tmp_path / "new" / "out"
    args = "--data", "iris", "--optimizers", "sgd", "--epochs", "1", "--out", str(out)
    assert main(["race", *args, option, text]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith(f"gradtx race: error: {words}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_peak_at_the_learning_rate_and_end_with_the_race(name):
    for steps in (*range(1, 12), 200):
        schedule = SCHEDULES[name](0.1, steps)
        rates = np.array([schedule(t) if callable(schedule) else schedule for t in range(steps)])
        assert 0 < rates.max() <= 0.1 * (1 + 1e-6)
    assert rates.max() == pytest.approx(0.1, rel=1e-3)
    assert name == "constant" or rates[-1] < 0.012
    assert np.argmax(rates) == 0 or name in ("one_cycle", "warmup_cosine", "warmup_stable_decay")


def test_a_schedule_is_for_the_named_optimizers():
    # The race has two epochs of three steps.
    found = finish(contest(50, "--schedule", "linear", "--chain", "sgd(linear(0.1, 0.0, 6))", "--chain", "sgd(0.1)"))
    assert found.contestants[0].tx == gx.sgd(gx.schedules.linear(0.1, 0.0, 6))
    assert found.result("finished")["settings"]["schedule"] == "linear"
    found = curves(found)
    np.testing.assert_array_equal(found["sgd"], found["chain 1"])
    assert not np.array_equal(found["sgd"], found["chain 2"])


def test_a_schedule_as_code_is_a_factor():
    race = contest(50, "--schedule", "cosine_decay(1.0, 300)", "--learning-rate", "0.5", "--optimizers", "sgd")
    assert race.contestants[0].tx == gx.sgd(gx.schedules.scaled(gx.schedules.cosine_decay(1.0, 300), 0.5))


def test_seeds_race_together_as_each_alone():
    options = "--batch-norm", "--optimizers", "sgd", "--chain", "chain(clip_by_global_norm(0.1), adam(0.01))"
    together = finish(contest(50, *options, "--seed", "4", "--seeds", "2")).result("finished")
    alone = finish(contest(50, *options, "--seed", "5")).result("finished")
    assert together["settings"]["seeds"] == [4, 5]
    for key in alone["initial"]:
        np.testing.assert_allclose(together["initial"]["seeds"]["5"][key], alone["initial"][key], rtol=1e-5)
    for name, chain in together["chains"].items():
        assert chain["state_bytes"] == alone["chains"][name]["state_bytes"]
        for key in alone["initial"]:
            several = [chain["seeds"][seed][key] for seed in ("4", "5")]
            np.testing.assert_allclose(several[1], alone["chains"][name][key], rtol=1e-4)
            assert several[0] != several[1]
            np.testing.assert_allclose(chain[key], np.mean(several, 0), rtol=1e-12)
            np.testing.assert_allclose(chain["standard_deviation"][key], np.std(several, 0, ddof=1), rtol=1e-12)
            np.testing.assert_array_equal(chain["lowest"][key], np.min(several, 0))
            np.testing.assert_array_equal(chain["highest"][key], np.max(several, 0))


def test_an_interrupt_leaves_what_all_seeds_have_done():
    race, calls = contest(50, "--seeds", "2", "--epochs", "9"), []
    empty = race.result("interrupted")
    list(race.run(lambda: calls.append(0) or len(calls) > 9, lambda: None))  # each epoch makes six calls
    result = race.result("interrupted")
    assert (empty["epochs_done"], result["epochs_done"]) == (0, 1)
    for found in (empty, result):
        for chain in found["chains"].values():
            lengths = {len(x["test_loss"]) for x in (chain, chain["highest"], *chain["seeds"].values())}
            assert lengths == {found["epochs_done"]}
        draw(found)


def test_the_table_tells_mean_and_spread(tmp_path, capsys):
    code = "chain(clip_by_global_norm(1.0),\n  adamw(3e-4, mask='*kernel*'), named('é', trace(0.9)))"
    args = "--data", "iris", "--epochs", "1", "--optimizers", "sgd", "--chain", code, "--schedule", "cosine"
    result = race(tmp_path, *args, "--seeds", "3")
    out = capsys.readouterr().out
    row, below = re.search(r"\n sgd (.*)\n (.*)\n", out).groups()
    for name, form in (("train_loss", "{:.4f}"), ("test_loss", "{:.4f}"), ("test_accuracy", "{:.1%}")):
        assert form.format(result["chains"]["sgd"][name][-1]) in row
        assert "±" + form.format(result["chains"]["sgd"]["standard_deviation"][name][-1]) in below
    assert "mean ± standard deviation over seeds 0 to 2" in out
    assert "schedule of the learning rates: cosine\n" in out
    assert all(len(line) <= 80 for line in out[out.index(" optimizer ") : out.index("\nmean")].splitlines())
    chain = result["chains"]["chain 1"]
    shown = r"chain(clip_by_global_norm(1.0), adamw(3e-4, mask='*kernel*'), named('\xe9', trace(0.9)))"
    assert chain["learning_rate"] is None
    assert chain["code"] == shown
    assert parse(chain["chain"], gx.Transformation) == parse(shown, gx.Transformation) == parse(code, gx.Transformation)
    assert f"\nchain 1: {shown}\n" in out
    assert re.search(r"\n chain 1 +- ", out)


def test_a_seed_that_diverges_is_counted():
    assert _losses(np.array([0.25, np.nan, np.inf])) == "2 of 3\ndiverged"
    assert _losses(np.array([0.25, 0.75])) == "0.5000\n±0.3536"
    assert _losses(np.array([np.nan])) == "diverged"
    race = finish(contest(50, "--seeds", "2"))
    first, second = race.contestants
    params = jax.tree.map(lambda p: p.at[1].set(jnp.nan), first.variables[0])
    first.history["test_loss"][-1] = race._measure((params, first.variables[1]))["test_loss"]
    assert (first.diverged, second.diverged) == ([1], [])
    labels = [text.get_text() for text in draw(race.result("finished")).axes[0].get_legend().get_texts()]
    assert labels == ["sgd (0.1) diverged for 1 of 2 seeds", "adam (0.003)"]


def test_the_learning_rates_that_are_found_are_raced(tmp_path, capsys, monkeypatch):
    tests, range_test = [], Race.range_test
    monkeypatch.setattr(Race, "range_test", lambda *args: tests.append((*args, range_test(*args))) or tests[-1][-1])
    args = "--data", "wine", "--epochs", "1", "--optimizers", "momentum", "--schedule", "linear", "--find-lr"
    result = race(tmp_path, *args, "--seeds", "2")
    out = capsys.readouterr().out
    rate = result["chains"]["momentum"]["learning_rate"]
    ((run, name, found),) = tests
    assert name == "momentum"
    assert rate == pytest.approx(float(found.suggested), rel=0.05)
    assert f"linear({rate}, 0.0, 3)" in result["chains"]["momentum"]["chain"]
    assert re.search(rf"\n momentum +{rate:g} ", out)
    assert "learning rates: found by range tests\n" in out
    assert f"wrote {tmp_path / 'race.json'}, {tmp_path / 'find_lr.png'} and {tmp_path / 'race.png'}\n" in out
    assert imread(tmp_path / "find_lr.png").ndim == 3
    # The range test uses the first seed and does not change the parameters of the race.
    first = jax.tree.map(lambda x: x[0], (*run._variables, next(run._epoch(0))))
    assert float(found.losses[0]) == pytest.approx(float(run._batch_loss(*first)[0]), rel=1e-6)
    assert float(jnp.nanmin(found.smoothed)) < 0.8 * found.smoothed[0]

    Folder(tmp_path).begin({})
    assert [path.name for path in tmp_path.iterdir()] == ["race.json"]


def test_no_rate_is_found_where_the_loss_never_falls(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Race, "range_test", lambda self, name: gx.inspection.RangeTest(*4 * [jnp.asarray(jnp.nan)]))
    out = tmp_path / "new" / "out"
    assert main(["race", "--data", "iris", "--optimizers", "adam", "--find-lr", "--out", str(out)]) == 2
    error = "argument --find-lr: the loss never falls with adam; give --learning-rate instead"
    assert capsys.readouterr() == ("", f"gradtx race: error: {error}\n")
    assert list(tmp_path.iterdir()) == []
