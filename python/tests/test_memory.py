"""Memories: the arrays, the faults and the readings, against records of the program."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zerospace

REPOSITORY = Path(__file__).resolve().parents[2]
NETWORKS = REPOSITORY / "experiments" / "networks"
COUNTS = ["words_hit", "corrected", "detected", "miscorrected", "silent"]


def weights(seed=1):
    """Three tensors with values of in-place protection's range, the last one beside a block boundary."""
    draw = np.random.default_rng(seed)
    shapes = {"conv": (4, 3, 3, 3), "fc": (5, 8), "bias": (3,)}
    return {name: draw.integers(-64, 64, shape, dtype=np.int8) for name, shape in shapes.items()}


def read_bits(plane, offsets):
    return np.unpackbits(plane, bitorder="little")[offsets]


@pytest.fixture(scope="module")
def records():
    """The records of the committed run of the paper's experiment, by (model, protection, rate, trial)."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed; it reads the committed records")
    rows = parquet.read_table(REPOSITORY / "results" / "reproduce" / "trials.parquet").to_pylist()
    return {(row["model"], row["protection"], row["rate"], row["trial"]): row for row in rows}


@pytest.mark.parametrize("model", ["resnet18", "squeezenet", "vgg16"])
@pytest.mark.parametrize("protection", ["faulty", "parity-zero", "secded-72-64", "in-place-64-57"])
def test_trials_are_those_of_a_committed_run(records, model, protection):
    network = zerospace.Network.load(NETWORKS / f"{model}-synthetic.safetensors")
    memory = zerospace.Memory(network.weights, protection)
    compared = 0
    for (label, stored_under, rate, trial), record in records.items():
        if (label, stored_under) != (model, protection):
            continue
        faults = memory.faults("fixed-count", rate=rate, seed=2019, trial=trial)
        reading = memory.read(faults)
        assert reading.pattern_hash == record["pattern_hash"]
        assert reading.weights_hash == record["weights_hash"]
        assert {name: getattr(reading, name) for name in COUNTS} == {name: record[name] for name in COUNTS}
        flips = np.bincount(faults.plane, minlength=2).tolist()
        assert flips == [record["flips_data"], record["flips_check"]]
        assert len(reading.changes) == record["weights_changed"]
        compared += 1
    assert compared == 40


def test_faults_name_the_bits_that_differ():
    stored = weights()
    memory = zerospace.Memory(stored, "faulty")
    faults = memory.faults(rate=0.02, seed=7, trial=3)
    read = memory.read(faults).weights
    names = list(stored)
    expected = {name: array.copy().view(np.uint8) for name, array in stored.items()}
    for tensor, index, bit, plane in zip(faults.tensor, faults.index, faults.bit, faults.plane):
        assert plane == 0
        if index < stored[names[tensor]].size:
            expected[names[tensor]].flat[index] ^= 1 << bit
    assert len(faults) > 10
    for name in names:
        assert (read[name].view(np.uint8) == expected[name]).all()


def test_offsets_are_those_of_the_planes():
    memory = zerospace.Memory(weights(), "secded-72-64")
    cleared = memory.faults("stuck-at:value=0", rate=1.0)
    for number, plane in enumerate([memory.data, memory.check]):
        offsets = cleared.offset[cleared.plane == number].astype(np.int64)
        assert len(offsets) == np.unpackbits(plane).sum() > 0
        assert read_bits(plane, offsets).all()
    check = cleared.plane == 1
    assert (cleared.index[check] % 8 == 0).all() and cleared.bit.max() == 7


def test_an_exception_list_is_in_the_check_plane():
    stored = weights()
    stored["fc"][2, 0] = 127
    memory = zerospace.Memory(stored, "in-place-list")
    assert (len(memory.check), memory.overhead) == (9, 72 / (8 * len(memory.data)))
    faults = memory.faults("stuck-at:value=0", rate=1.0)
    in_list = faults.plane == 1
    assert (faults.tensor[in_list] == -1).all() and (faults.index[in_list] == 0).all()
    assert faults.bit[in_list].max() < 72
    by_tensor = memory.read(faults).by_tensor
    assert list(by_tensor) == ["conv", "fc", "bias", "exception list"]
    assert by_tensor["exception list"]["words_hit"] == 1
    assert memory.read().weights["fc"][2, 0] == 127


def test_a_memory_without_faults_reads_back():
    stored = weights()
    for protection in ["faulty", "parity-zero", "secded-72-64", "in-place-64-57", "in-place-list", "bch-79-64"]:
        reading = zerospace.Memory(stored, protection).read()
        assert list(reading.weights) == list(stored) and len(reading.changes) == 0
        assert all((reading.weights[name] == array).all() for name, array in stored.items())


def test_a_lossy_protection_changes_weights_by_storing_them():
    memory = zerospace.Memory({"fc": np.arange(-8, 8, dtype=np.int8)}, "lsb-64-56")
    reading = memory.read()
    assert reading.words_hit == 0 and len(reading.changes) > 0
    assert (reading.weights["fc"][reading.changes.index] == reading.changes.value).all()


def test_the_counts_of_tensors_add_up():
    memory = zerospace.Memory(weights(), "in-place-64-57")
    reading = memory.read(memory.faults(rate=0.03, seed=5))
    by_tensor = reading.by_tensor
    assert list(by_tensor) == ["conv", "fc", "bias"]
    for name in COUNTS:
        assert sum(counts[name] for counts in by_tensor.values()) == getattr(reading, name)
    assert reading.corrected > 0 and reading.detected > 0
    confined = memory.read(memory.faults("per-tensor:tensor=fc", rate=0.05, seed=5)).by_tensor
    assert confined["fc"]["words_hit"] > 0 and confined["conv"]["words_hit"] == 0


def test_layout_follows_the_mapping():
    memory = zerospace.Memory(weights(), "faulty")
    assert memory.tensors == [("conv", (4, 3, 3, 3), 0), ("fc", (5, 8), 112), ("bias", (3,), 152)]
    assert (memory.data[:108].view(np.int8) == weights()["conv"].ravel()).all()
    assert not memory.data[108:112].any() and memory.data.shape == (160,)
    assert memory.check.shape == (0,) and memory.check.dtype == np.uint8


def test_any_layout_of_an_array_is_read_row_by_row():
    array = np.arange(-12, 12, dtype=np.int8).reshape(4, 6)
    expected = zerospace.Memory({"w": array}, "faulty").data
    frozen = array.copy()
    frozen.flags.writeable = False
    for same in [np.asfortranarray(array), np.repeat(array, 2, axis=1)[:, ::2], frozen, array[::-1][::-1]]:
        assert (zerospace.Memory({"w": same}, "faulty").data == expected).all()
    scalar = zerospace.Memory({"w": np.array(5, np.int8)}, "faulty").read()
    assert scalar.weights["w"].shape == () and scalar.weights["w"] == 5


def test_later_changes_of_an_array_are_not_in_the_memory():
    array = np.zeros(8, np.int8)
    memory = zerospace.Memory({"w": array}, "faulty")
    array[:] = 1
    assert not memory.read().weights["w"].any()
    read = memory.read().weights["w"]
    read[0] = 9
    assert memory.read().weights["w"][0] == 0


def test_equal_arguments_draw_equal_faults():
    memory, again = (zerospace.Memory(weights(), "secded-72-64") for _ in range(2))
    draw = lambda memory, trial: memory.faults("burst:length=2-4,distance=1", 0.01, seed=3, trial=trial)
    assert (draw(memory, 5).offset == draw(again, 5).offset).all()
    assert draw(memory, 5).offset.tolist() != draw(memory, 6).offset.tolist()


REFUSED = [
    ([("w", np.zeros(8, np.int8))], "faulty", TypeError, "weights is of type list, expected a mapping from names to int8 arrays"),
    ({}, "faulty", ValueError, "weights has no tensors, expected at least one"),
    ({3: np.zeros(8, np.int8)}, "faulty", TypeError, "a name in weights is 3, expected a string"),
    ({"w": [1, 2]}, "faulty", TypeError, 'weights["w"] is of type list, expected a numpy array of dtype int8'),
    ({"w": np.zeros(8)}, "faulty", TypeError, 'weights["w"] has dtype float64, expected int8'),
    ({"w": np.zeros(8, np.uint8)}, "faulty", TypeError, 'weights["w"] has dtype uint8, expected int8'),
    ({"w": np.zeros(8, np.int8)}, "none", ValueError, "unknown protection `none`, expected one of faulty, "),
    (
        {"v": np.zeros(3, np.int8), "w": np.full((2, 4), 100, np.int8)},
        "in-place-64-57",
        ValueError,
        "weight 0 of w is 100, outside [-64, 63]",
    ),
]


@pytest.mark.parametrize("given, protection, error, sentence", REFUSED)
def test_wrong_weights_are_refused_in_a_sentence(given, protection, error, sentence):
    with pytest.raises(error) as refused:
        zerospace.Memory(given, protection)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"model": "cosmic"}, "unknown fault model `cosmic`, expected one of bernoulli, "),
        ({"model": "per-tensor:tensor=x"}, 'the memory has no tensor "x", expected one of conv, fc, bias'),
        ({"rate": 1.5}, "bit error rate 1.5, expected a number in [0, 1]"),
        ({"rate": float("nan")}, "bit error rate NaN, expected a number in [0, 1]"),
        ({"model": "asymmetric:share=0.9", "rate": 0.8}, "rate is 8e-1, expected at most "),
    ],
)
def test_wrong_faults_are_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(ValueError) as refused:
        zerospace.Memory(weights(), "faulty").faults(**arguments)
    assert str(refused.value).startswith(sentence)


def test_a_list_of_flips_reads_as_the_trial_it_is_from():
    memory = zerospace.Memory(weights(), "secded-72-64")
    drawn = memory.faults(rate=0.02, seed=4)
    backwards = memory.flips(drawn.offset[::-1], drawn.plane[::-1])
    assert (drawn.plane == 1).any() and (backwards.offset == drawn.offset).all()
    assert memory.read(backwards).pattern_hash == memory.read(drawn).pattern_hash
    assert len(memory.flips(np.array([], np.int32))) == 0


@pytest.mark.parametrize(
    "given, error, sentence",
    [
        (([1, 2],), TypeError, "offset is of type list, expected a numpy array of integers"),
        ((np.array([0.5]),), TypeError, "offset has dtype float64, expected integers"),
        ((np.array([3, -1]),), ValueError, "offset[1] is -1, expected a bit of plane 0, which has 1280"),
        ((np.array([0]), np.array([1])), ValueError, "offset[0] is 0, expected a bit of plane 1, which has 0"),
        ((np.array([0]), np.array([2])), ValueError, "plane[0] is 2, expected 0 or 1"),
        ((np.array([0]), np.array([0, 0])), ValueError, "plane has 2 elements, expected 1, as offset"),
        ((np.array([5, 3, 5]),), ValueError, "offset 5 of plane 0 is listed twice"),
    ],
)
def test_a_wrong_list_of_flips_is_refused_in_a_sentence(given, error, sentence):
    with pytest.raises(error) as refused:
        zerospace.Memory(weights(), "faulty").flips(*given)
    assert str(refused.value).startswith(sentence)


def test_seeds_are_unsigned():
    memory = zerospace.Memory(weights(), "faulty")
    with pytest.raises(OverflowError):
        memory.faults(seed=-1)
    assert len(memory.faults(seed=2**64 - 1, rate=0.5)) > 0


def test_faults_of_another_memory_are_refused():
    one, other = (zerospace.Memory(weights(), "faulty") for _ in range(2))
    with pytest.raises(ValueError, match="drawn on another memory"):
        one.read(other.faults())


def test_without_numpy_an_array_is_an_import_error():
    code = """
import sys
sys.modules["numpy"] = None
import zerospace
try:
    zerospace.Memory({"w": [1]})
except ImportError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("this call takes or returns arrays, which need numpy: ")


def test_many_threads_read_one_memory():
    from concurrent.futures import ThreadPoolExecutor

    memory = zerospace.Memory(weights(), "secded-72-64")
    one_by_one = [memory.read(memory.faults(rate=0.01, trial=trial)).weights_hash for trial in range(64)]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda trial: memory.read(memory.faults(rate=0.01, trial=trial)).weights_hash, range(64))
    assert list(together) == one_by_one


def test_a_network_says_what_inspect_says(tmp_path):
    path = NETWORKS / "resnet18-synthetic.safetensors"
    network = zerospace.Network.load(path)
    program = Path(sys.executable).with_name("zerospace")
    said = subprocess.run([program, "inspect", path, "--format", "json"], capture_output=True, text=True, check=True)
    assert network.inspect("json") == json.loads(said.stdout)
    said = subprocess.run([program, "inspect", path], capture_output=True, text=True, check=True)
    assert network.inspect() + "\n" == said.stdout
    network.save(tmp_path / "same.safetensors")
    assert (tmp_path / "same.safetensors").read_bytes() == path.read_bytes()
    assert network.digest == zerospace.Network.load(tmp_path / "same.safetensors").digest


def test_a_missing_or_damaged_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing.safetensors: No such file"):
        zerospace.Network.load(tmp_path / "missing.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="damaged.safetensors: not a safetensors file"):
        zerospace.Network.load(tmp_path / "damaged.safetensors")
