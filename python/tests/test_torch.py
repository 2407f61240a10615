"""Torch modules in memories."""

import copy
import time

import numpy as np
import pytest

import zerospace

torch = pytest.importorskip("torch", reason="NOT INSTALLED: torch; modules are not tested")


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 10)
    ).eval()


def bits(module):
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def same(a, b):
    return all(torch.equal(a[name].contiguous().view(torch.uint8), b[name].contiguous().view(torch.uint8)) for name in a)


def test_weights_are_quantized_as_everywhere():
    module = network()
    floats = bits(module)
    q = zerospace.torch.QuantizedModule(module)
    assert list(q.weights) == ["0.weight", "3.weight"]
    for name, array in q.weights.items():
        weight = floats[name]
        levels = torch.tensor(127.0) / weight.abs().max()
        assert np.array_equal(array, (weight * levels).round().to(torch.int8).numpy())
        assert torch.equal(module.get_parameter(name).detach(), torch.from_numpy(array / np.float32(q.levels_per_unit[name])))
    assert torch.equal(module[0].bias, floats["0.bias"])


def test_a_protections_range_is_kept():
    q = zerospace.torch.QuantizedModule(network(), protection="in-place-64-57")
    assert q.clamped > 0
    zerospace.Memory(q.weights, "in-place-64-57")


@pytest.mark.parametrize("form", ["contiguous", "channels_last", "bfloat16"])
def test_the_context_restores_the_bits(form):
    module = network()
    if form == "channels_last":
        module = module.to(memory_format=torch.channels_last)
    if form == "bfloat16":
        module = module.to(torch.bfloat16)
    q = zerospace.torch.QuantizedModule(module)
    memory = zerospace.Memory(q.weights, "faulty")
    before = bits(module)
    read = memory.read(memory.faults(rate=1e-2, seed=1)).weights
    with q.reading(read) as hit:
        assert hit is module
        for name, array in read.items():
            real = torch.from_numpy(array / np.float32(q.levels_per_unit[name]))
            assert torch.equal(module.get_parameter(name).detach(), real.to(before[name].dtype))
    assert same(bits(module), before)
    with pytest.raises(ZeroDivisionError), q.reading(read):
        1 // 0
    assert same(bits(module), before)


def test_a_block_that_changes_the_weights_is_found():
    q = zerospace.torch.QuantizedModule(network())
    with pytest.raises(ValueError, match="0.weight was changed by the program"), q.reading({}), torch.no_grad():
        q.module[0].weight += 1
    with pytest.raises(ValueError, match="0.weight of the module has changed"):
        q.check()


def test_wrong_weights_are_refused():
    q = zerospace.torch.QuantizedModule(network())
    for weights, error, sentence in [
        ({"x": np.zeros(1, np.int8)}, ValueError, "expected names among 0.weight, 3.weight"),
        ({"0.weight": np.zeros(1, np.int8)}, ValueError, "has shape"),
        ({"0.weight": np.zeros((8, 3, 3, 3))}, TypeError, "expected an int8 array"),
    ]:
        with pytest.raises(error, match=sentence), q.reading(weights):
            pass
    with pytest.raises(ValueError, match="no weight of the module is chosen"):
        zerospace.torch.QuantizedModule(torch.nn.ReLU())
    with pytest.raises(TypeError, match="expected a torch.nn.Module"):
        zerospace.torch.QuantizedModule(3)
    with pytest.raises(ValueError, match="expected names of parameters"):
        zerospace.torch.QuantizedModule(network(), weights=["nothing"])
    broken = network()
    with torch.no_grad():
        broken[0].weight[0] = torch.nan
    with pytest.raises(ValueError, match="weight 0 of 0.weight is NaN"):
        zerospace.torch.QuantizedModule(broken)


def test_attention_and_shared_weights_are_stored_once():
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32)
    twice = torch.nn.Linear(16, 16)
    q = zerospace.torch.QuantizedModule(torch.nn.ModuleList([layer, twice, twice]))
    names = list(q.weights)
    assert "0.self_attn.in_proj_weight" in names and "0.self_attn.out_proj.weight" in names
    assert [name for name in names if name.startswith(("1", "2"))] == ["1.weight"]


def test_a_campaign_gives_the_module_with_the_weights_of_the_trial(tmp_path):
    q = zerospace.torch.QuantizedModule(network())
    images = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    memory = zerospace.Memory(q.weights, "faulty")
    clean, before = copy.deepcopy(q.module), bits(q.module)
    labels = clean(images).argmax(1)
    correct = {}

    @torch.no_grad()
    def predict(module, trial):
        predictions = module(images).argmax(1)
        correct[trial] = int((predictions == labels).sum())
        return predictions

    run = zerospace.run({"net": q}, ["faulty"], [3e-3], 5, evaluator=predict, labels=labels, out=tmp_path / "run", progress=False)
    trials = run.trials().to_dict()
    assert trials["correct"] == [correct[trial] for trial in trials["trial"]] and min(trials["correct"]) < 16
    assert same(bits(q.module), before)
    for trial in range(5):
        read = memory.read(memory.faults(rate=3e-3, seed=1, trial=trial))
        assert read.weights_hash == trials["weights_hash"][trial]
        with q.reading(read.weights) as module:
            assert int((module(images).argmax(1) == labels).sum()) == correct[trial]


def test_a_plain_module_is_quantized_in_a_campaign(tmp_path):
    zerospace.run({"net": network()}, ["faulty"], [1e-2], 2, evaluator=lambda module, trial: float(module[0].weight.sum()),
                  out=tmp_path / "run", progress=False)
    with pytest.raises(TypeError, match="needs an evaluator"):
        zerospace.run({"net": network()}, ["faulty"], [1e-2], 2, images="synthetic", out=tmp_path / "other", progress=False)


def test_an_evaluator_that_trains_is_found(tmp_path):
    def train(module, trial):
        if trial is not None:
            with torch.no_grad():
                module[0].weight.add_(1)
        return 1.0

    with pytest.raises(ValueError, match="0.weight was changed by the program"):
        zerospace.run({"net": network()}, ["faulty"], [1e-2], 2, evaluator=train, out=tmp_path / "run", progress=False)


def test_an_evaluator_that_writes_to_data_is_found_in_its_trial_or_soon_after(tmp_path):
    called = []

    def write(module, trial):
        time.sleep(0.01)
        called.append(trial)
        if len(called) == 6:
            module[0].weight.data[0] += 1
        return 1.0

    with pytest.raises(ValueError, match="0.weight was changed by the program, expected that only trials"):
        zerospace.run({"net": network()}, ["faulty"], [1e-2], 100, evaluator=write, out=tmp_path / "run", progress=False)
    assert 6 <= len(called) < 20


def test_a_module_that_is_moved_between_trials_is_tested_as_it_is():
    q = zerospace.torch.QuantizedModule(network())
    for kind in (torch.float64, torch.float16, torch.bfloat16, torch.float32):
        try:
            q.module.to(kind)
            with q.reading({}):
                pass
        except ValueError as lossy:
            assert kind in (torch.float16, torch.bfloat16, torch.float32) and "has changed" in str(lossy)
            break
    q = zerospace.torch.QuantizedModule(network())
    q.module.double()
    with pytest.raises(ValueError, match="was changed by the program"), q.reading({}):
        q.module[0].weight.data[0] += 1


def test_quantize_makes_a_network_that_the_executor_runs(tmp_path):
    module = network()
    images = np.random.default_rng(1).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    settings = {"mean": [0.5] * 3, "std": [0.25] * 3}
    int8 = zerospace.quantize(module, images, **settings)
    assert not module.training
    batches = [(torch.from_numpy(images[i : i + 10]) / 255, None) for i in range(0, 40, 10)]
    assert zerospace.quantize(module.train(), batches, **settings).digest == int8.digest and module.training
    classes = module.eval()((torch.from_numpy(images) / 255 - 0.5) / 0.25).argmax(1).numpy()
    assert (int8.predict(images) == classes).mean() > 0.8
    run = zerospace.run({"net": int8}, ["faulty"], [1e-2], 3, images=images, labels=classes, out=tmp_path / "run", progress=False)
    assert run.deterministic is True
    for wrong, error, sentence in [
        (3, TypeError, "of type int, expected an array of images"),
        ([], ValueError, "has no batch"),
        (images[0], ValueError, "have shape"),
        (images.astype(np.int32), TypeError, "dtype int32"),
        ((images / 255 - 0.5) / 0.25, ValueError, "before they are normalized"),
    ]:
        with pytest.raises(error, match=sentence):
            zerospace.quantize(module, wrong, **settings)
    with pytest.raises(TypeError, match="expected a torch.nn.Module"):
        zerospace.quantize(3, images, **settings)
