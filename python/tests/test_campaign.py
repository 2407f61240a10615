"""Campaigns from Python, with evaluators of their own and with the int8 executor."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import zerospace

PROGRAM = Path(sys.executable).with_name("zerospace")
NETWORKS = Path(__file__).resolve().parents[2] / "experiments" / "networks"
WEIGHTS = {
    "conv": np.random.default_rng(1).integers(-60, 60, (8, 4, 3, 3), dtype=np.int8),
    "fc": np.random.default_rng(2).integers(-60, 60, (10, 32), dtype=np.int8),
}
PROTECTIONS = ["faulty", "secded-72-64", "in-place-64-57"]


def loss(weights, trial):
    return {"loss": float(sum(abs(array.astype(int) - WEIGHTS[name]).sum() for name, array in weights.items())), "ten": 10}


def campaign(out, evaluator=loss, trials=12, **changes):
    settings = {"metrics": {"loss": "lower", "ten": "higher"}, "name": "loss", "unit_trials": 5, "progress": False, **changes}
    return zerospace.run({"small": WEIGHTS}, PROTECTIONS, [1e-2, 1e-3], trials, evaluator=evaluator, out=out, **settings)


def records(out):
    """Bytes of the merged table."""
    return (out / "trials.parquet").read_bytes()


def program(*words):
    return subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True)


def test_a_campaign_calls_the_evaluator_with_the_weights_of_each_trial(tmp_path):
    seen = {}

    def see(weights, trial):
        memory = {name: array.copy() for name, array in weights.items()}
        seen.setdefault(trial, []).append(memory)
        return 1.0

    run = campaign(tmp_path / "run", see, metrics=None)
    for name, array in seen[None][0].items():
        assert array.dtype == np.int8 and (array == WEIGHTS[name]).all()
    memory = zerospace.Memory(WEIGHTS, "faulty")
    for trial in range(12):
        read = memory.read(memory.faults(rate=1e-2, seed=1, trial=trial)).weights
        assert any(all((read[name] == one[name]).all() for name in read) for one in seen[trial])
    trials = run.trials().to_dict()
    assert len(trials["trial"]) == 12 * 6 and set(trials["protection"]) == set(PROTECTIONS)


def test_trials_without_changed_weights_are_not_evaluated(tmp_path):
    called = []
    run = campaign(tmp_path / "run", lambda weights, trial: called.append(trial) or 1.0, metrics=None)
    changed = sum(count > 0 for count in run.trials().to_dict()["weights_changed"])
    # The network without faults, and the canary twice.
    assert len(called) == changed + 3


def test_reports_name_the_metric_and_its_direction(tmp_path):
    campaign(tmp_path / "run")
    report = (tmp_path / "run" / "report.md").read_text()
    assert "loss" in report and "lower is better" in report


def test_an_exception_keeps_the_finished_trials_and_the_same_call_resumes(tmp_path):
    campaign(tmp_path / "whole")
    called = []

    def failing(weights, trial):
        called.append(trial)
        if len(called) == 12:
            raise OSError("the disk of the user is full")
        return loss(weights, trial)

    with pytest.raises(OSError, match="the disk of the user is full") as failed:
        campaign(tmp_path / "run", failing)
    if sys.version_info >= (3, 11):
        note = " ".join(failed.value.__notes__)
        assert "small" in note and "faulty" in note and f"trial {called[-1]}" in note and "1e-3" in note
    again = []
    campaign(tmp_path / "run", lambda weights, trial: again.append(trial) or loss(weights, trial))
    assert records(tmp_path / "run") == records(tmp_path / "whole")
    everything = []
    campaign(tmp_path / "count", lambda weights, trial: everything.append(trial) or loss(weights, trial))
    # Ten trials of the first call were kept: without faults, two canaries, and the one that failed are the others.
    assert len(again) == len(everything) - (len(called) - 4)


def test_more_trials_extend_a_run(tmp_path):
    campaign(tmp_path / "run", trials=5)
    campaign(tmp_path / "run", trials=12)
    campaign(tmp_path / "whole", trials=12)
    assert len(zerospace.open_run(tmp_path / "run").trials().to_dict()["trial"]) == 72
    stored = [zerospace.open_run(tmp_path / name).trials().to_dict()["weights_hash"] for name in ("run", "whole")]
    assert stored[0] == stored[1]


def test_shards_make_the_same_run(tmp_path):
    campaign(tmp_path / "whole")
    assert campaign(tmp_path / "run", shard="1/2") is None
    assert campaign(tmp_path / "run", shard="0/2") is not None
    assert records(tmp_path / "run") == records(tmp_path / "whole")


def test_protections_are_paired(tmp_path):
    pairs = campaign(tmp_path / "run").pairs().to_dict()
    assert len(next(iter(pairs.values()))) > 0


def test_determinism_is_found_and_reported(tmp_path):
    assert campaign(tmp_path / "same").deterministic is True
    drawn = iter(np.linspace(1, 2, 10_000))
    run = campaign(tmp_path / "other", lambda weights, trial: 1.0 if trial is None else float(next(drawn)), metrics=None)
    assert run.deterministic is False


def test_a_nondeterministic_evaluator_resumes(tmp_path):
    drawn = iter(np.linspace(1, 2, 10_000))
    run = campaign(tmp_path / "run", lambda weights, trial: float(next(drawn)), metrics=None, trials=5)
    assert run.deterministic is False
    campaign(tmp_path / "run", lambda weights, trial: float(next(drawn)), metrics=None, trials=6)


def test_predictions_are_compared_with_labels(tmp_path):
    labels = np.arange(8) % 4

    def predict(weights, trial):
        return np.argmax(weights["fc"][:, :8].astype(int), axis=0)

    run = campaign(tmp_path / "run", predict, metrics=None, labels=labels)
    trials = run.trials().to_dict()
    clean = int((np.argmax(WEIGHTS["fc"][:, :8], axis=0) == labels).sum())
    assert set(trials["images"]) == {8} and set(trials["clean_correct"]) == {clean}
    free = campaign(tmp_path / "free", predict, metrics=None)
    assert set(free.trials().to_dict()["clean_correct"]) == {8}


def test_each_trial_sees_images_of_its_own(tmp_path):
    asked = {}

    def predict(weights, trial, images):
        classes = np.argmax(weights["fc"][:, :8].astype(int), axis=0)
        if images is None:
            return classes
        asked[trial] = images.tolist()
        return classes[images]

    settings = {"labels": np.arange(8) % 4, "images_per_trial": 3}
    run = campaign(tmp_path / "run", predict, metrics=None, **settings)
    whole = campaign(tmp_path / "all", lambda weights, trial: predict(weights, trial, None), metrics=None, labels=settings["labels"])
    rows, all_images = run.trials().to_dict(), whole.trials().to_dict()
    assert set(rows["images"]) == {8} and set(rows["images_per_trial"]) == {3}
    assert rows["weights_hash"] == all_images["weights_hash"] and max(rows["correct"]) <= 3
    assert asked and all(len(set(block)) == 3 and block == sorted(block) for block in asked.values())
    assert zerospace.verify(tmp_path / "run", {"small": WEIGHTS}, evaluator=predict, labels=settings["labels"]) == 12
    with pytest.raises(TypeError, match=r"expected evaluator\(weights, trial, images\)"):
        campaign(tmp_path / "two", lambda weights, trial: predict(weights, trial, None), metrics=None, **settings)
    with pytest.raises(ValueError, match="images_per_trial is given, but the evaluator returns scores"):
        campaign(tmp_path / "score", lambda weights, trial, images: 1.0, metrics=None, images_per_trial=3)
    short = lambda weights, trial, images: predict(weights, trial, None)  # noqa: E731
    with pytest.raises(ValueError, match="returned 8 class predictions, expected 3"):
        campaign(tmp_path / "short", short, metrics=None, **settings)


def test_the_program_knows_the_run(tmp_path):
    campaign(tmp_path / "run")
    assert program("status", tmp_path / "run").returncode == 0
    assert program("report", tmp_path / "run", "--out", tmp_path / "again").returncode == 0
    said = program("verify", tmp_path / "run" / "experiment.toml", "--out", tmp_path / "run")
    assert said.returncode != 0 and "loss" in said.stderr and "zerospace.verify" in said.stderr


def test_verify_recomputes_trials(tmp_path):
    campaign(tmp_path / "run")
    assert zerospace.verify(tmp_path / "run", {"small": WEIGHTS}, evaluator=loss) == 12
    with pytest.raises(zerospace.VerificationError, match="recomputed as"):
        other = lambda weights, trial: {**loss(weights, trial), "ten": 10 + (trial is not None)}  # noqa: E731
        zerospace.verify(tmp_path / "run", {"small": WEIGHTS}, evaluator=other)


def test_verify_evaluates_predictions(tmp_path):
    def predict(weights, trial):
        return np.argmax(weights["fc"][:, :8].astype(int), axis=0)

    for name, settings in [("free", {}), ("labelled", {"labels": np.arange(8)})]:
        campaign(tmp_path / name, predict, metrics=None, **settings)
        assert zerospace.verify(tmp_path / name, {"small": WEIGHTS}, evaluator=predict, **settings) == 12
    with pytest.raises(TypeError, match="evaluator is absent, expected the evaluator of the run"):
        zerospace.verify(tmp_path / "free", {"small": WEIGHTS}, images="synthetic")
    with pytest.raises(ValueError, match=r"networks is \['other'\], expected a mapping from \['small'\]"):
        zerospace.verify(tmp_path / "free", {"other": WEIGHTS}, evaluator=predict)


def test_replay_shows_a_trial_flip_by_flip(tmp_path):
    run = campaign(tmp_path / "run")
    trials = run.trials().to_dict()
    row = max(range(len(trials["trial"])), key=lambda row: trials["words_hit"][row])
    where = (tmp_path / "run", {"small": WEIGHTS}, trials["cell"][row], trials["trial"][row])
    replayed = zerospace.replay(*where, evaluator=loss, format="json")
    assert replayed["format"] == "zerospace.replay/1" and replayed["record"] == replayed["stored"]
    assert len(replayed["flips"]) == trials["flips_data"][row] + trials["flips_check"][row]
    assert len(replayed["words"]) == trials["words_hit"][row]
    text = zerospace.replay(*where, evaluator=loss)
    assert text.startswith(f"cell {trials['cell'][row]} (small ") and "conv[" in text
    with pytest.raises(ValueError, match="no cell's id begins with"):
        zerospace.replay(tmp_path / "run", {"small": WEIGHTS}, "xyz", 0, evaluator=loss)
    with pytest.raises(ValueError, match="format is 'html', expected"):
        zerospace.replay(*where, evaluator=loss, format="html")
    with pytest.raises(zerospace.VerificationError, match="the stored record is another"):
        other = lambda weights, trial: {**loss(weights, trial), "ten": 10 + (trial is not None)}  # noqa: E731
        zerospace.replay(*where, evaluator=other)


def test_the_report_says_how_to_compute_the_run_again(tmp_path):
    campaign(tmp_path / "run")
    report, page = ((tmp_path / "run" / name).read_text() for name in ("report.md", "report.html"))
    assert "`zerospace.run(networks, ..., evaluator=evaluator)`, in the Python program that has these objects" in report
    assert "zerospace.verify(&quot;DIR&quot;, networks, evaluator=evaluator)" in page
    assert "zerospace.replay(&quot;DIR&quot;, networks, &quot;" in page and "zerospace run" not in page


def test_the_program_refuses_what_only_python_has(tmp_path):
    network = zerospace.Network.load(NETWORKS / "squeezenet-synthetic.safetensors")
    images = np.random.default_rng(3).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    zerospace.run({"squeezenet": network}, ["faulty"], [1e-2], 2, images=images, out=tmp_path / "run", progress=False)
    for command in (["verify", tmp_path / "run" / "experiment.toml"], ["replay", tmp_path / "run" / "experiment.toml", "0", "0"]):
        said = program(*command, "--out", tmp_path / "run")
        assert said.returncode == 2 and '`data.set` is "arrays"' in said.stderr and "zerospace.replay with these images" in said.stderr
    cell = zerospace.open_run(tmp_path / "run").trials().to_dict()["cell"][0]
    assert "squeezenet" in zerospace.replay(tmp_path / "run", {"squeezenet": network}, cell, 1, images=images)
    campaign(tmp_path / "scores")
    said = program("report", tmp_path / "scores", "--fault-free", tmp_path / "scores" / "experiment.toml")
    assert said.returncode == 2 and "--fault-free: the trials of" in said.stderr and "(loss, ...)" in said.stderr


def test_another_campaign_in_the_directory_is_refused(tmp_path):
    campaign(tmp_path / "run")
    with pytest.raises(zerospace.OtherPlanError, match="loss 1 "):
        campaign(tmp_path / "run", version="1")
    with pytest.raises(zerospace.OtherPlanError, match="seed"):
        campaign(tmp_path / "run", seed=2)


def test_a_changed_source_is_told(tmp_path):
    campaign(tmp_path / "run")
    with pytest.warns(UserWarning, match="source has changed"):
        campaign(tmp_path / "run", lambda weights, trial: loss(weights, trial))


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        (float("nan"), ValueError, "loss is nan, expected a finite number"),
        (np.inf, ValueError, "loss is inf, expected a finite number"),
        ("good", TypeError, "loss of type str, expected a number"),
        (None, TypeError, "of type NoneType"),
        (True, TypeError, "of type bool"),
        ({"loss": 1.0, "gain": 2.0}, ValueError, "loss, gain, expected a score for each of loss"),
        ({}, ValueError, "no score, expected a score for each of loss"),
        (np.zeros(3, int), ValueError, "an array, expected a score for each of loss"),
    ],
)
def test_wrong_results_are_refused(tmp_path, answer, error, sentence):
    with pytest.raises(error, match=sentence):
        campaign(tmp_path / "run", lambda weights, trial: 1.0 if trial is None else answer, metrics={"loss": "lower"})
    with pytest.raises(error, match=sentence):
        campaign(tmp_path / "clean", lambda weights, trial: answer, metrics={"loss": "lower"})


def test_predictions_of_another_length_are_refused(tmp_path):
    with pytest.raises(ValueError, match="3 class predictions, expected 4"):
        campaign(tmp_path / "run", lambda weights, trial: np.zeros(4 if trial is None else 3, int), metrics=None)
    with pytest.raises(ValueError, match="4 class predictions, expected 2"):
        campaign(tmp_path / "run", lambda weights, trial: np.zeros(4, int), metrics=None, labels=[0, 1])
    with pytest.raises(TypeError, match="dtype float64"):
        campaign(tmp_path / "run", lambda weights, trial: np.zeros(4), metrics=None)


def test_the_weights_cannot_be_written_to(tmp_path):
    def write(weights, trial):
        weights["fc"][0] = 1
        return 1.0

    def unlock(weights, trial):
        weights["fc"].flags.writeable = True
        return 1.0

    for evaluator in (write, unlock):
        with pytest.raises(ValueError, match="read-only|WRITEABLE"):
            campaign(tmp_path / "run", evaluator, metrics=None)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"networks": {}}, TypeError, "networks is empty"),
        ({"networks": {"x": {"w": np.zeros(8)}}}, TypeError, r"networks\['x'\]\['w'\] has dtype float64, expected an int8 array"),
        ({"networks": {"x": {"w": np.full(8, -128, np.int8)}}}, ValueError, "holds -128"),
        ({"networks": {"x": 3}}, TypeError, "of type int, expected a Network"),
        ({"networks": {"x y": WEIGHTS}}, ValueError, "model.label"),
        ({"evaluator": "f"}, TypeError, "expected a callable"),
        ({"evaluator": None}, TypeError, "needs an evaluator"),
        ({"metrics": {"loss": "smaller"}}, ValueError, "expected \"higher\" or \"lower\""),
        ({"metrics": ["loss"]}, TypeError, "expected a mapping"),
        ({"protections": ["none"]}, ValueError, "protections"),
        ({"rates": [2.0]}, ValueError, "rates"),
        ({"trials": 0}, ValueError, "trials"),
        ({"trials": 1.5}, TypeError, "trials is 1.5, expected a whole number"),
        ({"shard": "2/2"}, ValueError, "shard is \"2/2\""),
        ({"images": "synthetic"}, ValueError, "images are given with an evaluator"),
        ({"labels": [1, 2]}, ValueError, "labels are given, but the evaluator returns scores"),
        ({"version": "a b"}, ValueError, "evaluator.version"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, arguments, error, sentence):
    settings = {"networks": {"small": WEIGHTS}, "protections": ["faulty"], "rates": [1e-2], "trials": 2, "evaluator": loss,
                "out": tmp_path / "run", "progress": False, **arguments}
    with pytest.raises(error, match=sentence):
        zerospace.run(**settings)


def test_progress_is_told_to_a_function(tmp_path):
    told = []
    campaign(tmp_path / "run", progress=lambda done, total, label: told.append((done, total, label)))
    assert told[0][:2] == (0, 72) and told[-1][:2] == (72, 72) and "small" in told[0][2]
    with pytest.raises(ZeroDivisionError):
        campaign(tmp_path / "other", progress=lambda done, total, label: 1 // 0)


def test_nothing_is_written_where_there_is_no_terminal(tmp_path, capfd):
    campaign(tmp_path / "run", progress=True)
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_in_an_evaluator_leaves_a_run_that_resumes(tmp_path):
    def slow(weights, trial):
        if trial is not None:
            time.sleep(0.02)
        return loss(weights, trial)

    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        campaign(tmp_path / "run", slow, trials=1000)
    said = program("status", tmp_path / "run")
    assert re.search("^[1-9][0-9]* of 6000 trials$", said.stdout, re.MULTILINE), said.stderr


def test_a_killed_run_resumes(tmp_path):
    script = textwrap.dedent(f"""
        import sys, time, zerospace
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_campaign import campaign, loss
        from pathlib import Path
        def slow(weights, trial):
            time.sleep(0.03)
            return loss(weights, trial)
        campaign(Path({str(tmp_path / "run")!r}), slow)
    """)
    running = subprocess.Popen([sys.executable, "-c", script])
    parts, deadline = tmp_path / "run" / "parts", time.monotonic() + 60
    while not (parts.is_dir() and any(parts.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.kill()
    running.wait()
    assert not (tmp_path / "run" / "trials.parquet").exists()
    campaign(tmp_path / "run")
    campaign(tmp_path / "whole")
    assert records(tmp_path / "run") == records(tmp_path / "whole")


def test_the_executors_records_are_the_programs(tmp_path):
    network = NETWORKS / "squeezenet-synthetic.safetensors"
    zerospace.run({"squeezenet": network}, ["faulty", "in-place-64-57"], [1e-3, 1e-2], 4, images="synthetic", image_count=40,
                  out=tmp_path / "python", progress=False)
    text = (tmp_path / "python" / "experiment.toml").read_text()
    experiment = tmp_path / "same.toml"
    experiment.write_text(text.replace("networks/squeezenet.safetensors", str(network)))
    ran = program("run", experiment, "--out", tmp_path / "program")
    assert ran.returncode == 0, ran.stderr
    assert records(tmp_path / "python") == records(tmp_path / "program")
    verified = program("verify", tmp_path / "python" / "experiment.toml", "--out", tmp_path / "python", "--sample", "4")
    assert verified.returncode == 0, verified.stderr


def test_images_are_arrays(tmp_path):
    network = zerospace.Network.load(NETWORKS / "squeezenet-synthetic.safetensors")
    images = np.random.default_rng(3).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    settings = {"out": tmp_path / "run", "progress": False}
    run = zerospace.run({"squeezenet": network}, ["faulty"], [1e-2], 2, images=images, labels=np.arange(20) % 10, **settings)
    assert set(run.trials().to_dict()["images"]) == {20}
    assert zerospace.verify(tmp_path / "run", {"squeezenet": network}, images=images, labels=np.arange(20) % 10) == 2
    drawn = zerospace.run({"squeezenet": network}, ["faulty"], [1e-2], 2, images=images, images_per_trial=7, out=tmp_path / "drawn",
                          progress=False)
    assert set(drawn.trials().to_dict()["images_per_trial"]) == {7}
    free = zerospace.run({"squeezenet": network}, ["faulty"], [1e-2], 2, images=images, out=tmp_path / "free", progress=False)
    assert set(free.trials().to_dict()["clean_correct"]) == {20}
    with pytest.raises(TypeError, match="dtype float64, expected uint8"):
        zerospace.run({"squeezenet": network}, ["faulty"], [1e-2], 2, images=images / 255, **settings)


def test_an_evaluator_of_a_checkpoint_gets_real_weights(tmp_path):
    network = zerospace.Network.load(NETWORKS / "squeezenet-synthetic.safetensors")
    expected = {name: array / network.levels_per_unit[name] for name, array in network.weights.items()}

    def check(weights, trial):
        assert list(weights) == list(expected)
        if trial is None:
            assert all(np.array_equal(weights[name], expected[name]) for name in weights)
        return 1.0

    zerospace.run({"x": network}, ["faulty"], [1e-3], 2, evaluator=check, out=tmp_path / "run", progress=False)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["cells"][0]["spec"]["network"] == network.digest
