"""Protections that are written in Python, codes by matrix, and maps of flip probabilities."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zerospace
from zerospace import Protection

WEIGHTS = {
    "conv": np.random.default_rng(1).integers(-64, 64, (8, 4, 3, 3), dtype=np.int8),
    "fc": np.random.default_rng(2).integers(-64, 64, (10, 33), dtype=np.int8),
}
COUNTS = ["words_hit", "corrected", "detected", "miscorrected", "silent", "padding_changed"]
#: Columns of the code of ``in-place-64-57``, as the specification has them, and its check bits: bit 6 of weights 0 to 6.
IN_PLACE = bytes.fromhex(
    "546732792c1f014a5764317a2f1c02495162377c291a044f5d6e3b7025160843457623683d0e105b754613580d3e206b152673386d5e400b2a194c07"
    "52617f34"
)


def hsiao():
    """Columns of odd weight: 56 of three ones, 8 of five, and the check bits."""
    columns = [c for c in range(256) if bin(c).count("1") == 3] + [c for c in range(256) if bin(c).count("1") == 5][:8]
    return np.array([[c >> row & 1 for c in columns + [1 << j for j in range(8)]] for row in range(8)])


class InPlace(Protection):
    """The paper's code in numpy."""

    id = "in-place-in-numpy"
    weight_range = [(-64, 63)] * 7 + [(-128, 127)]
    columns = np.frombuffer(IN_PLACE, np.uint8)
    calls = []

    def syndrome(self, bits):
        return np.bitwise_xor.reduce(np.where(bits, self.columns, 0), axis=1)

    def encode(self, weights):
        self.calls.append(len(weights))
        bits = np.unpackbits(weights.view(np.uint8), axis=1, bitorder="little")
        bits[:, 6:56:8] = 0
        syndrome = self.syndrome(bits)
        # Check bit j has the column 2^j.
        bits[:, 6:56:8] = syndrome[:, None] >> np.arange(7) & 1
        return np.packbits(bits, axis=1, bitorder="little"), None

    def decode(self, data, check):
        self.calls.append(len(data))
        assert check.shape == (len(data), 0)
        bits = np.unpackbits(data, axis=1, bitorder="little")
        syndrome = self.syndrome(bits)
        matches = self.columns == syndrome[:, None]
        known = matches.any(axis=1) & (syndrome != 0)
        bits[known] ^= matches[known]
        bits[:, 6:56:8] = bits[:, 7:56:8]
        status = np.select([syndrome == 0, known], [self.CLEAN, self.CORRECTED], self.DETECTED)
        return np.packbits(bits, axis=1, bitorder="little").view(np.int8), status


class SignZero(Protection):
    """A copy of the sign beside each weight."""

    id = "sign-zero"
    weights_per_word = 1
    check_bits = 1

    def encode(self, weights):
        return weights, weights < 0

    def decode(self, data, check):
        weights = data.view(np.int8)
        differs = (weights < 0) != check
        return np.where(differs, 0, weights), np.where(differs[:, 0], self.DETECTED, self.CLEAN)


class Nulled(Protection):
    """Bit 0 is the parity of the others, and is read as it is stored; words of four weights with three spare check bits."""

    id = "nulled"
    weights_per_word = 4
    check_bits = 3
    lossy = True

    def encode(self, weights):
        upper = weights.view(np.uint8) & 0xFE
        parity = np.unpackbits(upper[..., None], axis=2).sum(axis=2) % 2
        return upper | parity, np.zeros((len(weights), 3), bool)

    def decode(self, data, check):
        odd = np.unpackbits(data[..., None], axis=2).sum(axis=2) % 2 == 1
        return np.where(odd, 0, data.view(np.int8)), np.where(odd.any(axis=1), self.DETECTED, self.CLEAN)


@pytest.fixture
def fresh():
    """A class with an id that no other test has."""
    numbers = itertools.count()

    def make(**attributes):
        return type("Changed", (SignZero,), {"id": f"changed-{next(numbers)}-{id(numbers)}", **attributes})

    return make


def constant(weights, trial):
    return 1.0


def read(protection, rate, trial, model="bernoulli"):
    memory = zerospace.Memory(WEIGHTS, protection)
    return memory.read(memory.faults(model, rate=rate, seed=5, trial=trial))


@pytest.mark.parametrize("model", ["bernoulli", "stuck-at:value=1", "accumulate:hours=3,scrub=1"])
def test_the_papers_code_in_numpy_reads_as_the_built_in_one(model):
    own, built_in = (zerospace.Memory(WEIGHTS, protection) for protection in [InPlace, "in-place-64-57"])
    assert (own.data == built_in.data).all() and own.check.size == 0
    assert (own.constraint, own.overhead) == (built_in.constraint, 0.0)
    outcomes = np.zeros(len(COUNTS), int)
    for trial in range(20):
        one, other = (read(protection, 0.02, trial, model) for protection in [InPlace(), "in-place-64-57"])
        assert one.weights_hash == other.weights_hash and one.pattern_hash == other.pattern_hash
        assert [getattr(one, name) for name in COUNTS] == [getattr(other, name) for name in COUNTS]
        assert one.by_tensor == other.by_tensor
        outcomes += [getattr(one, name) for name in COUNTS]
    assert outcomes[1] > 0 and outcomes[2] > 0 and outcomes[3] > 0


def test_many_words_are_read_in_a_call():
    memory = zerospace.Memory({"w": np.zeros(80_000, np.int8)}, InPlace)
    faults = memory.faults("stuck-at:value=1", rate=1.0)
    InPlace.calls.clear()
    assert memory.read(faults).words_hit == 10_000
    assert len(InPlace.calls) <= 6 and max(InPlace.calls) == 4096


def test_check_bits_beside_the_weights_are_stored_and_hit():
    memory = zerospace.Memory({"w": np.array([-1, 2, -3], np.int8)}, SignZero)
    assert memory.data.view(np.int8).tolist() == [-1, 2, -3, 0, 0, 0, 0, 0] and memory.check.tolist() == [0b101]
    assert memory.overhead == 0.125
    reading = memory.read(memory.flips(np.array([0, 2]), np.array([1, 1])))
    assert reading.weights["w"].tolist() == [0, 2, 0] and (reading.detected, reading.words_hit) == (2, 2)
    reading = memory.read(memory.flips(np.array([8 + 3, 8 + 7])))
    assert reading.weights["w"].tolist() == [-1, 0, -3] and reading.detected == 1
    assert memory.read(memory.flips(np.array([3]))).silent == 1


def test_a_lossy_protection_changes_weights_by_storing_them(tmp_path):
    memory, like = (zerospace.Memory(WEIGHTS, protection) for protection in [Nulled, "weight-nulling"])
    assert (memory.data == like.data).all() and memory.check.size == -(-(8 * 4 * 9 + 10 * 33 + 6) * 3 // 32)
    stored = memory.read()
    assert stored.weights_hash == like.read().weights_hash and len(stored.changes) > 100
    run = zerospace.run({"x": WEIGHTS}, [Nulled], [1e-2], 3, evaluator=constant, out=tmp_path, progress=False)
    assert min(run.trials().to_dict()["weights_changed"]) > 100
    assert "nulled" in (tmp_path / "report.md").read_text()


def test_a_campaign_has_own_protections_beside_built_in_ones(tmp_path):
    def error(weights, trial):
        return float(sum(abs(array.astype(int) - WEIGHTS[name]).sum() for name, array in weights.items()))

    protections = ["faulty", "in-place-64-57", InPlace, SignZero()]
    settings = {"evaluator": error, "metrics": {"error": "lower"}, "out": tmp_path / "run", "progress": False}
    trials = zerospace.run({"x": WEIGHTS}, protections, [1e-2], 6, **settings).trials().to_dict()
    by = {(p, t): (w, s) for p, t, w, s in zip(trials["protection"], trials["trial"], trials["weights_hash"], trials["flips_data"])}
    assert set(trials["protection"]) == {"faulty", "in-place-64-57", "in-place-in-numpy", "sign-zero"}
    for trial in range(6):
        assert by["in-place-in-numpy", trial] == by["in-place-64-57", trial]
        assert by["sign-zero", trial][1] == by["faulty", trial][1]
    report = (tmp_path / "run" / "report.md").read_text()
    assert "sign-zero" in report and "in-place-in-numpy" in report
    verified = {"evaluator": error, "protections": [InPlace, SignZero]}
    assert zerospace.verify(tmp_path / "run", {"x": WEIGHTS}, **verified) == 8

    class Other(InPlace):
        """The same bits, from another source."""

    with pytest.raises(zerospace.OtherPlanError, match="Python source"):
        zerospace.run({"x": WEIGHTS}, ["faulty", "in-place-64-57", Other, SignZero], [1e-2], 6, **settings)
    assert zerospace.register(InPlace) == "in-place-in-numpy"
    resumed = zerospace.run({"x": WEIGHTS}, protections, [1e-2], 7, **settings)
    assert len(resumed.trials()) == 28


def test_a_fresh_process_reports_a_run_that_it_cannot_recompute(tmp_path):
    zerospace.run({"x": WEIGHTS}, [SignZero], [1e-2], 2, evaluator=constant, out=tmp_path / "run", progress=False)
    code = f"import zerospace; run = zerospace.open_run({str(tmp_path / 'run')!r}); print(len(run.trials()), run.report({str(tmp_path / 'r')!r}))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0 and said.stdout.startswith("2 ["), said.stderr


def test_a_fresh_process_knows_that_the_executor_is_deterministic(tmp_path):
    network = Path(__file__).resolve().parents[2] / "experiments" / "networks" / "squeezenet-synthetic.safetensors"
    zerospace.run({"x": network}, [SignZero], [1e-3], 1, images="synthetic", image_count=10, out=tmp_path / "run", progress=False)
    code = f"import zerospace; print(zerospace.open_run({str(tmp_path / 'run')!r}).deterministic)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"
    assert "zerospace.run(networks, ..., protections=protections)" in (tmp_path / "run" / "report.md").read_text()


def test_what_a_class_computes_and_its_source_are_in_its_definition(tmp_path, fresh):
    def parameters(protection):
        out = tmp_path / zerospace.register(protection)
        zerospace.run({"x": WEIGHTS}, [protection], [1e-2], 1, evaluator=constant, out=out, progress=False)
        return (out / "manifest.json").read_text().split('"protection_parameters": "')[1].split('"')[0]

    shift = [1]
    source, computed = parameters(SignZero).removeprefix("Python source ").split(" computes ")

    class Shifted(SignZero):
        id = "shifted"

        def decode(self, data, check):
            weights, status = super().decode(data, check)
            return np.where(status[:, None] == self.DETECTED, shift[0], weights), status

    first = parameters(Shifted)
    shift[0] = 2

    class Shifted(SignZero):  # noqa: F811
        id = "shifted"

        def decode(self, data, check):
            weights, status = super().decode(data, check)
            return np.where(status[:, None] == self.DETECTED, shift[0], weights), status

    (tmp_path / "shifted").rename(tmp_path / "before")
    second = parameters(Shifted)
    assert first.split(" computes ")[0] == second.split(" computes ")[0] != f"Python source {source}"
    assert len({first.split(" computes ")[1], second.split(" computes ")[1], computed}) == 3
    versioned = parameters(fresh(version="2"))
    assert versioned == f"Python source unknown computes {computed} version 2"


def test_a_class_without_source_needs_a_version():
    code = """
import numpy as np, zerospace
class Bare(zerospace.Protection):
    id = "bare"
    def encode(self, weights):
        return weights, None
    def decode(self, data, check):
        return data.view(np.int8), np.zeros(len(data), int)
try:
    zerospace.register(Bare)
except ValueError as error:
    print(error)
Bare.version = "1"
print(zerospace.register(Bare))
"""
    said = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=True)
    first, second = said.stdout.splitlines()
    assert first.startswith("protection 'bare': the source of Bare cannot be read, expected a version") and second == "bare"


def wrong(value):
    return lambda *_: value


FAULTS = [
    ({"id": None}, TypeError, "Changed.id is None, expected a text"),
    ({"id": "a b"}, ValueError, 'protection "a b": the id is "a b", expected 1 to 64 letters'),
    ({"id": "ecc"}, ValueError, "the id of the protection is `ecc`, expected one that no built-in protection has"),
    ({"weights_per_word": 3}, ValueError, "weights_per_word is 3, expected 8, 4, 2 or 1"),
    ({"weights_per_word": 8.0}, TypeError, "Changed.weights_per_word is 8.0, expected 8, 4, 2 or 1"),
    ({"check_bits": 9}, ValueError, "check_bits is 9, expected 0 to 8 for words of 1 weights"),
    ({"check_bits": True}, TypeError, "Changed.check_bits is True, expected 0 to 8"),
    ({"weight_range": (-200, 127)}, ValueError, r"weight_range is \(-200, 127\), expected \(low, high\)"),
    ({"weight_range": [(-64, 63)] * 8}, ValueError, "or 1 such pairs"),
    ({"weight_range": 64}, ValueError, "weight_range is 64"),
    ({"weight_range": (1, 5)}, ValueError, "position 0 stores weights from 1 to 5, expected a range with 0"),
    ({"encode": wrong(np.zeros(8))}, TypeError, "encode returned an object of type ndarray, expected a tuple of data and check bits"),
    ({"encode": wrong((1, 2, 3))}, TypeError, "encode returned a tuple of 3, expected a tuple of data and check bits"),
    ({"encode": lambda s, w: (w[:1], w < 0)}, ValueError, r"encode returned data of shape \(1, 1\), expected \(4096, 1\)"),
    ({"encode": lambda s, w: (w / 2, w < 0)}, TypeError, "encode returned data of dtype float64, expected integers"),
    ({"encode": lambda s, w: (w, None)}, ValueError, r"encode returned check bits of shape \(\), expected \(4096, 1\)"),
    ({"encode": lambda s, w: (w, w)}, ValueError, "encode returned check bits with -12., expected 0 to 1"),
    ({"encode": lambda s, w: (w.astype(int) + 200, w < 0)}, ValueError, "encode returned data with 3.., expected -128 to 255"),
    ({"decode": lambda s, d, c: d.view(np.int8)}, TypeError, "decode returned an object of type ndarray, expected a tuple of weights and"),
    ({"decode": lambda s, d, c: (d, np.zeros(len(d), int))}, ValueError, "decode returned weights with 2.., expected -128 to 127"),
    ({"decode": lambda s, d, c: (d.view(np.int8), d)}, ValueError, r"decode returned statuses of shape \(4096, 1\), expected \(4096,\)"),
    ({"decode": lambda s, d, c: (d.view(np.int8), d[:, 0] < 0)}, TypeError, "decode returned statuses of dtype bool, expected integers"),
    ({"decode": lambda s, d, c: (d.view(np.int8), d[:, 0] * 0 + 3)}, ValueError, "decode returned statuses with 3, expected 0 to 2"),
    ({"decode": lambda s, d, c: (d.view(np.int8), d[:, 0] * 0 + 1)}, ValueError, "is Corrected without a flip, expected Clean"),
    (
        {"decode": lambda s, d, c: (d.view(np.int8) // 2, d[:, 0] * 0)},
        ValueError,
        r"block \[-128, .*\] is read as \[-64, .*\] without a flip, expected \[-128, .*\], as it is stored",
    ),
    ({"lossy": True, "encode": lambda s, w: (w | 1, w < 0)}, ValueError, "zeros are stored as"),
    (
        {"encode": lambda s, w: (w, (w < 0) ^ (np.arange(len(w)) % 3 == 0)[:, None]), "decode": lambda s, d, c: (d.view(np.int8), d[:, 0] * 0)},
        ValueError,
        "alone is stored as the bits .*, as among other blocks|storing .* as block 1|which is stored as the bits",
    ),
]


@pytest.mark.parametrize(("attributes", "error", "sentence"), FAULTS)
def test_each_fault_of_a_protection_is_a_sentence(fresh, attributes, error, sentence):
    with pytest.raises(error, match=sentence):
        zerospace.register(fresh(version="1", **attributes))


def test_a_protection_that_is_not_a_function_of_its_arguments_is_refused(fresh):
    drawn = np.random.default_rng(1)

    def decode(self, data, check):
        weights, status = SignZero.decode(self, data, check)
        return np.where(status[:, None] == 2, drawn.integers(-128, 128, weights.shape), weights), status

    with pytest.raises(ValueError, match=r"with bit 7 of block .* flipped is read as .*, expected .*, as before"):
        zerospace.register(fresh(version="1", decode=decode))


@pytest.mark.parametrize("given", [3, None, object, SignZero.encode])
def test_other_objects_are_no_protections(given, tmp_path):
    with pytest.raises(TypeError, match="expected an id, a subclass of zerospace.Protection, a linear code, or a code map"):
        zerospace.register(given)
    with pytest.raises(TypeError, match="expected an id, a subclass of zerospace.Protection, a linear code, or a code map"):
        zerospace.run({"x": WEIGHTS}, ["faulty", given], [1e-2], 1, evaluator=constant, out=tmp_path / "run")


def test_an_abstract_class_cannot_be_used():
    with pytest.raises(TypeError, match="abstract"):
        zerospace.Memory(WEIGHTS, Protection)


def test_exceptions_of_a_protection_reach_the_caller(fresh, tmp_path):
    fails = []

    class Full(OSError):
        pass

    def decode(self, data, check):
        if fails:
            raise Full("the chip is on fire")
        return SignZero.decode(self, data, check)

    protection = fresh(version="1", decode=decode)
    memory = zerospace.Memory(WEIGHTS, protection)
    faults = memory.faults(rate=0.01)
    fails.append(True)

    def campaign():
        protections = ["faulty", protection]
        return zerospace.run({"x": WEIGHTS}, protections, [1e-2], 40, evaluator=constant, out=tmp_path / "run", unit_trials=40, progress=False)

    for call in [
        lambda: memory.read(faults),
        lambda: zerospace.Memory(WEIGHTS, protection),
        lambda: memory.faults("accumulate:hours=3,scrub=1", rate=0.01),
        campaign,
    ]:
        with pytest.raises(Full, match="the chip is on fire") as raised:
            call()
        if sys.version_info >= (3, 11):
            assert any(f"in the protection \"{protection.id}\", reading" in note for note in raised.value.__notes__)
    with pytest.raises(Full):
        zerospace.register(fresh(version="1", decode=decode))
    fails.clear()
    run = campaign()
    assert len(run.trials()) == 80


def test_weights_that_registration_did_not_try_are_checked_when_they_are_stored(fresh):
    rare = np.array([1, 2, 3, 4, 5, 6, 7, 77], np.int8)

    def decode(self, data, check):
        same = (data == rare.view(np.uint8)).all(axis=1)
        return np.where(same[:, None], 0, data.view(np.int8)), np.zeros(len(data), int)

    def encode(self, weights):
        return weights, None

    protection = fresh(version="1", weights_per_word=8, check_bits=0, encode=encode, decode=decode)
    zerospace.Memory({"w": rare[:7]}, protection)
    with pytest.raises(ValueError, match=r"block \[1, 2, 3, 4, 5, 6, 7, 77\] is read as \[0, .*\] without a flip"):
        zerospace.Memory({"w": rare}, protection)


def test_a_changed_class_takes_the_place_of_the_old_one_unless_a_campaign_runs(fresh, tmp_path):
    first = fresh(version="1")
    second = type("Second", (SignZero,), {"id": first.id, "version": "2"})
    memory = zerospace.Memory(WEIGHTS, first)
    assert zerospace.register(second) == first.id
    assert memory.read(memory.faults(rate=0.01)).detected > 0

    def change(weights, trial):
        zerospace.register(first if trial is None else type("Third", (SignZero,), {"id": first.id, "version": "3"}))
        return 1.0

    with pytest.raises(ValueError, match="which is registered with the parameters .*, expected another id"):
        zerospace.run({"x": WEIGHTS}, [first], [1e-2], 2, evaluator=change, out=tmp_path / "run", progress=False)


def test_own_protections_clamp_weights(tmp_path):
    torch = pytest.importorskip("torch", reason="NOT INSTALLED: torch")
    import zerospace.torch

    module = zerospace.torch.QuantizedModule(torch.nn.Linear(8, 8), protection=InPlace)
    assert module.clamped > 0
    assert zerospace.Memory(module.weights, InPlace).read().detected == 0


# Codes by matrix.


def test_a_code_by_its_matrix_reads_as_the_built_in_one():
    columns = np.frombuffer(IN_PLACE, np.uint8)
    matrix = columns[None, :] >> np.arange(7)[:, None] & 1
    code = zerospace.linear_code(matrix, "in-place-by-matrix", corrects=1, check_bits=range(6, 56, 8))
    assert code.overhead == 0 and code.constraint == zerospace.Memory(WEIGHTS, "in-place-64-57").constraint
    for trial in range(10):
        one, other = read(code, 0.02, trial), read("in-place-64-57", 0.02, trial)
        assert one.weights_hash == other.weights_hash
        assert [getattr(one, name) for name in COUNTS] == [getattr(other, name) for name in COUNTS]


def test_the_outcomes_of_a_code_are_counted(tmp_path):
    path = tmp_path / "h.txt"
    path.write_text("# Hsiao\n" + "\n".join(" ".join(map(str, row)) for row in hsiao()) + "\n")
    code = zerospace.linear_code(path, "hsiao-from-a-file", corrects=1)
    again = zerospace.linear_code(hsiao().astype(bool), "hsiao-from-an-array", corrects=1)
    assert code.parameters == again.parameters
    counts = code.outcomes.to_dict()
    assert code.outcomes.bits == 72 and [len(column) for column in counts.values()] == [73] * 6
    assert [counts[name][0] for name in ("clean", "wrong")] == [1, 0]
    assert counts["corrected"][1] == 72 and counts["detected"][2] == 72 * 71 // 2
    # Every triple of columns whose sum is a column is miscorrected.
    columns = [int("".join(map(str, column[::-1])), 2) for column in hsiao().T]
    triples = sum((a ^ b ^ c) in columns for a, b, c in itertools.combinations(columns, 3))
    assert counts["miscorrected"][3] == triples and sum(counts[name][3] for name in list(counts)[:5]) == 72 * 71 * 70 // 6
    memory = zerospace.Memory({"w": np.zeros(8, np.int8)}, code)
    wrong = 0
    for pair in itertools.combinations(range(72), 2):
        reading = memory.read(memory.flips(*(np.array(x) for x in zip(*((bit % 64, bit // 64) for bit in pair)))))
        wrong += len(reading.changes) + reading.padding_changed > 0
    assert counts["wrong"][2] == wrong
    probabilities = code.outcomes.probabilities(1e-3)
    assert abs(sum(probabilities[name] for name in list(counts)[:5]) - 1) < 1e-12
    assert probabilities["wrong"] == pytest.approx(72 * 71 / 2 * 1e-6, rel=0.1)
    assert repr(code.outcomes).splitlines()[1].split() == ["flips", "patterns", "corrected", "miscorrected", "detected", "silent"]
    with pytest.raises(ValueError, match="bit error rate 2, expected a number"):
        code.outcomes.probabilities(2)


def test_a_code_joins_a_campaign_by_its_name_and_by_itself(tmp_path):
    code = zerospace.linear_code(hsiao(), "hsiao", corrects=1)
    run = zerospace.run({"x": WEIGHTS}, [code, "hsiao+zero-word"], [1e-2], 3, evaluator=constant, out=tmp_path / "run",
                        trials_of="changed", progress=False)
    assert set(run.trials().to_dict()["protection"]) == {"hsiao", "hsiao+zero-word"}


@pytest.mark.parametrize(
    ("matrix", "arguments", "error", "sentence"),
    [
        (np.zeros(3), {}, TypeError, r"matrix has dtype float64 and shape \(3,\), expected 0 and 1 in rows and columns"),
        ([[0, 1], [2, 1]], {}, ValueError, r"matrix\[1, 0\] is 2, expected 0 or 1"),
        (np.zeros((17, 72), int), {}, ValueError, "the matrix has 17 rows, expected at most 16"),
        (np.zeros((0, 72), int), {}, ValueError, "the matrix has no rows, expected 1 to 16"),
        (hsiao()[:7], {}, ValueError, 'the code "x": there are 8 check bits, expected 7, one for each row'),
        (hsiao(), {"corrects": 2}, ValueError, "2 flips of 72 bits cannot be corrected by 8 check bits"),
        (hsiao()[:, ::-1], {}, ValueError, 'the code "x": column [0-9]+, of a check bit, is a sum of'),
        (hsiao(), {"weights": 3}, ValueError, "a word has 3 weights, expected 8 or 4"),
        (hsiao(), {"name": "ecc"}, ValueError, "the id of the protection is `ecc`"),
        (hsiao(), {"name": "a/b"}, ValueError, 'the id is "a/b"'),
        ("missing.txt", {}, FileNotFoundError, "missing.txt: No such file"),
    ],
)
def test_a_matrix_that_makes_no_code_is_refused(matrix, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        zerospace.linear_code(matrix, **{"name": "x", "corrects": 1, **arguments})


def test_a_damaged_matrix_file_is_named_with_its_line(tmp_path):
    (tmp_path / "h.txt").write_text("0101\n01x1\n")
    with pytest.raises(ValueError, match="h.txt: line 2: column 3 is 'x', expected 0 or 1"):
        zerospace.linear_code(tmp_path / "h.txt", "x", corrects=1)


# A code for each tensor.


def test_each_tensor_of_a_memory_reads_by_its_own_code(tmp_path):
    codes = {"conv": "in-place-64-57", "fc": "lsb"}
    with pytest.raises(ValueError, match="codes\\[\"fc\"\\]: "):
        zerospace.code_map(codes, "mixed")
    weights = {**WEIGHTS, "fc": np.clip(WEIGHTS["fc"], -16, 15)}
    mixed = zerospace.code_map({"fc": "in-place-msb-48-24", "conv": "in-place-64-57"}, "mixed")
    assert mixed.name == "mixed" and mixed.codes == {"conv": "in-place-64-57", "fc": "in-place-msb-48-24"}
    assert repr(mixed) == "CodeMap(mixed: 2 tensors)"
    memory = zerospace.Memory(weights, mixed)
    assert memory.overhead == 0 and memory.protection == "mixed"
    alone = {tensor: zerospace.Memory({tensor: weights[tensor]}, code) for tensor, code in mixed.codes.items()}
    start = {name: offset for name, _, offset in memory.tensors}
    for trial in range(20):
        faults = memory.faults(rate=0.01, seed=4, trial=trial)
        read = memory.read(faults).weights
        for tensor, own in alone.items():
            first, bits = 8 * start[tensor], 8 * len(own.data)
            offset = faults.offset[(faults.offset >= first) & (faults.offset < first + bits)] - first
            assert (own.read(own.flips(offset)).weights[tensor] == read[tensor]).all()

    (tmp_path / "codes.toml").write_text('[codes]\nconv = "in-place-64-57"\nfc = "in-place-msb-48-24"\n')
    assert zerospace.code_map(tmp_path / "codes.toml", "mixed").parameters == mixed.parameters


def test_a_code_map_joins_a_campaign(tmp_path):
    low = {name: np.clip(tensor, -16, 15) for name, tensor in WEIGHTS.items()}
    mixed = zerospace.code_map({"conv": "in-place-msb-48-24", "fc": "in-place-64-57"}, "mixed-in-a-run")
    run = zerospace.run({"x": low}, [mixed, "faulty"], [1e-2], 3, evaluator=constant, out=tmp_path / "run", progress=False)
    assert set(run.trials().to_dict()["protection"]) == {"mixed-in-a-run", "faulty"}
    assert zerospace.verify(tmp_path / "run", {"x": low}, protections=[mixed], evaluator=constant) == 4


def test_a_map_of_other_codes_takes_the_place_of_the_old_one():
    zerospace.code_map({"a": "faulty"}, "moving")
    zerospace.code_map({"a": "in-place-64-57"}, "moving")
    memory = zerospace.Memory({"a": np.zeros(8, np.int8)}, "moving")
    assert memory.read(memory.flips(np.array([7]))).corrected == 1


@pytest.mark.parametrize(
    ("codes", "name", "error", "sentence"),
    [
        (3, "m", TypeError, "codes is of type int, expected a mapping from names of tensors to protections, or the path"),
        ({}, "m", ValueError, 'the code map "m": no tensor has a code'),
        ({1: "faulty"}, "m", TypeError, "a name in codes is 1, expected the name of a tensor"),
        ({"a": "secded-72-64"}, "m", ValueError, 'code of "a" is secded-72-64, which stores bits beside the weights'),
        ({"a": "lsb-64-56"}, "m", ValueError, 'code of "a" is lsb-64-56, which changes weights by storing them'),
        ({"a": "faulty"}, "ecc", ValueError, "the id of the protection is `ecc`"),
        ("missing.toml", "m", FileNotFoundError, "missing.toml: "),
    ],
)
def test_wrong_code_maps_are_refused(codes, name, error, sentence):
    with pytest.raises(error, match=sentence):
        zerospace.code_map(codes, name)


def test_a_code_map_for_another_network_is_refused():
    mixed = zerospace.code_map({"a": "faulty"}, "of-another")
    with pytest.raises(ValueError, match='the code map "of-another": code of "b" is missing'):
        zerospace.Memory({"a": np.zeros(8, np.int8), "b": np.zeros(8, np.int8)}, mixed)
    with pytest.raises(ValueError, match='the code map "of-another": code of "a" is given'):
        zerospace.Memory({"b": np.zeros(8, np.int8)}, zerospace.code_map({"a": "faulty", "b": "faulty"}, "of-another"))


# Maps of flip probabilities.


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_bits_flip_with_their_own_probabilities(dtype):
    memory = zerospace.Memory(WEIGHTS, "secded-72-64")
    data, check = np.zeros((len(memory.data), 8), dtype), np.zeros(8 * len(memory.check), dtype)
    data[40:50, 6], data[99, 0], check[17] = 0.5, 1, 1
    chip = zerospace.FlipMap(data, check)
    assert chip.mean_flips == 7
    flips = np.zeros(data.shape, int)
    for trial in range(400):
        faults = memory.faults(map=chip, seed=3, trial=trial)
        same = memory.faults(map=(data, check), seed=3, trial=trial)
        assert (faults.offset == same.offset).all() and faults.offset[faults.plane == 1].tolist() == [17]
        flips.flat[faults.offset[faults.plane == 0].astype(int)] += 1
    assert flips[99, 0] == 400 and flips.sum() == flips[40:50, 6].sum() + 400
    # 400 draws of 1/2: five standard deviations are 50.
    assert (abs(flips[40:50, 6] - 200) < 50).all()


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"map": np.zeros(8)}, ValueError, "map has 8 bits of the data plane and 0 of the check plane, expected 4992 and 0, as the memory"),
        ({"map": np.zeros(4992), "rate": 0.1}, ValueError, "rate and map are given, expected one"),
        ({"map": np.zeros(4992), "model": "bernoulli"}, ValueError, "model and map are given, expected one"),
        ({"map": np.zeros(8, int)}, TypeError, "data has dtype int64, expected floats"),
        ({"map": (np.zeros(8), [0.5])}, TypeError, "check is of type list, expected an array of floats"),
        ({"map": "chip.npy"}, TypeError, "data is of type str, expected an array of floats"),
        ({"map": np.array([0, 0.5, 1.5])}, ValueError, r"data bit 2 is 1.5, expected a number in \[0, 1\]"),
        ({"map": np.array([np.nan])}, ValueError, "data bit 0 is NaN"),
    ],
)
def test_wrong_maps_are_refused(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        zerospace.Memory(WEIGHTS, "faulty").faults(**arguments)
