"""Recomputes trials of a run from the specification alone, without the program that made them.

    python3 recompute.py RUN CHECKPOINT... [--trials N] [--every K] [--images FILE]

RUN is a run directory with manifest.json, trials.parquet and summary.csv. CHECKPOINT... are the files of its networks.
FILE has the evaluation images in the binary form of CIFAR-10. The program takes one cell of each protection and fault
model, or every K-th cell, draws and reads its first N trials, and compares them with their records. With images it also
runs the network, for the first of these trials. S101 and so on name the statements of the pages beside this file. The
program needs numpy, and for the records pandas with pyarrow.
"""

import argparse
import functools
import hashlib
import itertools
import json
import math
import struct
import sys
from collections import Counter
from pathlib import Path
from statistics import NormalDist

import numpy as np

from recompute_codes import CLEAN, CORRECTED, DETECTED, List, protection
from recompute_network import predictions

# ---------------------------------------------------------------------------------------------- streams and draws


class Stream:
    """Stream `number` of ChaCha8 under the key (seed, domain): its 64-bit numbers, in order (S101, S102)."""

    def __init__(self, seed, domain, number):
        key = struct.pack("<Q8s16s", seed, domain, b"zerospace inject")
        self.head = np.frombuffer(b"expand 32-byte k" + key, "<u4")
        self.number, self.counter, self.ready = number, 0, []

    def next(self):
        if not self.ready:
            self.ready = self.blocks(64)[::-1]
        return self.ready.pop()

    def blocks(self, count):
        state = np.empty((16, count), np.uint32)
        counters = np.arange(self.counter, self.counter + count, dtype=np.uint64)
        self.counter += count
        state[:12] = self.head[:, None]
        state[12], state[13] = counters & 0xFFFFFFFF, counters >> 32
        state[14], state[15] = self.number & 0xFFFFFFFF, self.number >> 32
        x = state.copy()

        def add_rotate(a, b, c, by):
            x[a] += x[b]
            mixed = x[c] ^ x[a]
            x[c] = mixed << by | mixed >> 32 - by

        for _ in range(4):  # two rounds each
            for a, b, c, d in [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                               (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]:
                add_rotate(a, b, d, 16), add_rotate(c, d, b, 12), add_rotate(a, b, d, 8), add_rotate(c, d, b, 7)
        return np.ascontiguousarray((x + state).T).view("<u8").ravel().tolist()

    def uniform(self):
        """In (0, 1] (S103)."""
        return ((self.next() >> 11) + 1) * 2.0**-53

    def below(self, bound):
        """Below `bound`, without bias (S105)."""
        while True:
            product = self.next() * bound
            if product % 2**64 >= 2**64 % bound:
                return product >> 64

    def bernoulli(self, cells, p):
        """Selects each of `cells` bits independently with probability p (S104)."""
        if p in (0, 1):
            return np.arange(cells if p else 0)
        flips, place, scale = [], 0, 1 / math.log1p(-p)
        while (gap := math.log(self.uniform()) * scale) < cells - place:
            flips.append(place + int(gap))
            place = flips[-1] + 1
        return np.array(flips, np.int64)

    def distinct(self, cells, count):
        """Draws `count` distinct bits of `cells` (S106)."""
        if count > cells // 2:
            return np.setdiff1d(np.arange(cells), self.distinct(cells, cells - count))
        chosen = set()
        while len(chosen) < count:
            chosen.update([self.below(cells) for _ in range(count - len(chosen))])
        return np.array(sorted(chosen), np.int64)

    def bursts(self, cells, p, least, most, distance):
        """The bits that bursts cover (S113)."""
        reach = (most - 1) * distance
        starts = self.bernoulli(cells + reach if cells else 0, burst_start(p, least, most))
        lengths = [most if least == most else least + self.below(most - least + 1) for _ in starts]
        covered = {start + j * distance - reach for start, length in zip(starts, lengths) for j in range(length)}
        return np.array(sorted(c for c in covered if 0 <= c < cells), np.int64)

    def dram(self, cells, p, weights, devices):
        """The bits that flip by events in the devices that hold a plane (S108, S109)."""
        words, total = -(-cells // 8), sum(weights)
        word = np.arange(words)
        device, beat = word % devices, word // devices
        rows = -(-words // (1024 * devices))
        # For each kind of region: their number, and the region of each word.
        regions = [
            (words, word),
            (min(words, 8192 * devices), beat % 8192 * devices + device),
            (rows * devices, beat // 1024 * devices + device),
            (min(rows, 8) * devices, beat // 1024 % 8 * devices + device),
            (devices, device),
        ]
        flips, random = np.zeros(8 * words, bool), np.zeros((words, 8), bool)
        for k, weight in enumerate(weights if cells else ()):
            number, region = regions[k // 2]
            places = cells if k == 0 else number if k % 2 else 8 * number
            hit = self.bernoulli(places, -math.expm1(-(((p * cells) * (weight / total)) / places)))
            if k == 0:
                flips[hit] = True
            elif k % 2:
                random[np.isin(region, hit)] = True
            else:
                random |= np.isin(8 * region[:, None] + np.arange(8), hit)
        (random,) = np.nonzero(random.ravel()[:cells])
        numbers = np.array([self.next() for _ in range(-(-len(random) // 64))], np.uint64)
        flips[random[np.unpackbits(numbers.view(np.uint8), bitorder="little")[: len(random)] == 1]] = True
        return np.flatnonzero(flips)


# Weights of the events of the model `dram` (S109).
DRAM = {"single-bit": 32.8, "word": 1.7, "pin-column": 6.006, "column": 0.994, "pin-row": 2.6124, "row": 5.7876,
        "pin-bank": 5.994, "bank": 4.806, "pin": 0.575, "chip": 4.825}


def burst_start(p, least, most):
    """The probability that a burst starts at a position, by bisection (S113)."""
    low, high = p / most, p
    while low < (middle := low + (high - low) / 2) < high:
        covered = 0.0
        for j in range(most):
            covered += (1 - covered) * middle * (1.0 if j < least else (most - j) / (most - least + 1))
        low, high = (middle, high) if covered < p else (low, middle)
    return high


# ---------------------------------------------------------------------------------------------- memories and trials


class Memory:
    """The weights of a network as a protection stores them: two planes of bits (S201 to S204)."""

    def __init__(self, checkpoint, code):
        self.code = code
        self.tensors, pieces, start = [], [], 0
        for name, tensor in checkpoint.weights.items():
            self.tensors.append((name, start, tensor.size))
            pieces.append(np.pad(tensor.ravel(), (0, -tensor.size % 8)))
            start += len(pieces[-1])
        self.plane = np.concatenate(pieces)
        self.is_weight = np.concatenate([np.arange(len(p)) < size for p, (_, _, size) in zip(pieces, self.tensors)])
        word = code.store(self.plane.reshape(-1, code.weights))
        data_cells = 8 * code.weights
        self.listed = code.entries(self.plane) if isinstance(code, List) else None
        self.data, beside = word[:, :data_cells].ravel(), word[:, data_cells:]
        self.immune = beside if code.immune else beside[:, :0]
        reached = beside[:, self.immune.shape[1] :] if self.listed is None else code.code_of_list.store(self.listed)
        self.check = reached.ravel()
        self.stored = self.words(self.data, self.check)
        self.as_stored = [code.read(word)[0] for code, word in self.stored]

    def words(self, data, check):
        """The rows of the words, and of the entries of an exception list, each with its code."""
        data = data.reshape(-1, 8 * self.code.weights)
        if self.listed is not None:
            return [(self.code, data), (self.code.code_of_list, check.reshape(-1, 72))]
        return [(self.code, np.c_[data, check.reshape(len(data), -1), self.immune])]

    def scope(self, bit, tensor, depth):
        """The bits of both planes in the scope of a fault model, in the order of their places (S110, S119)."""
        tensors = [(start, start + size + -size % 8) for name, start, size in self.tensors if tensor in (None, name)]

        def check_cells(weights):
            if self.listed is not None:
                return 72 * int((self.listed[:, :4].copy().view("<u4").ravel() < weights).sum())
            return weights * self.check.size // len(self.plane)

        planes = [np.arange(0)], [np.arange(0)]
        for first, end in tensors:
            data, check = np.arange(8 * first, 8 * end), np.arange(check_cells(first), check_cells(end))
            if bit is not None:
                data, check = data[bit::8], check[:0]
            blocks = (end - first) // 8
            for plane, cells, count in zip(planes, (data, check), (blocks, len(check) // 72 if self.listed is not None else blocks)):
                cells = cells.reshape(count, -1) if len(cells) else cells
                plane.extend(cells[group : group + depth].T.ravel() for group in range(0, len(cells), depth))
        return [np.concatenate(plane) for plane in planes]

    def hit(self, planes):
        """Yields for the words and for the entries: code, rows, the rows that differ, and their decoded values."""
        for (code, word), (_, stored) in zip(self.words(*planes), self.stored):
            differ = np.flatnonzero((word != stored).any(1))
            yield code, word, differ, *code.read(word[differ])

    def read(self, planes):
        """Weights as the network gets them, and outcomes of the words that differ (S205 to S209)."""
        counts, reads = Counter(), []
        for (_, _, differ, read, status), as_stored in zip(self.hit(planes), self.as_stored):
            right = (read == as_stored[differ]).all(1)
            counts += Counter(
                words_hit=len(differ),
                corrected=int(((status == CORRECTED) & right).sum()),
                detected=int((status == DETECTED).sum()),
                miscorrected=int(((status == CORRECTED) & ~right).sum()),
                silent=int(((status == CLEAN) & ~right).sum()),
            )
            reads.append(as_stored.copy())
            reads[-1][differ] = read
        weights = reads[0].ravel()
        counts["padding_changed"] = int((weights[~self.is_weight] != 0).sum())
        for entry in reads[1] if self.listed is not None else ():
            index = int.from_bytes(entry[:4].tobytes(), "little")
            if index < len(weights) and self.is_weight[index]:
                weights[index] = entry[4]
        return weights, counts

    def scrub(self, planes):
        """Stores again the words that the decoder corrects (S118)."""
        fresh = []
        for code, word, differ, read, status in self.hit(planes):
            word[differ[status == CORRECTED]] = code.store(read[status == CORRECTED])
            fresh.append(word)
        data_cells = 8 * self.code.weights
        check = fresh[0][:, data_cells:] if self.listed is None else fresh[1]
        return [fresh[0][:, :data_cells].ravel(), check.ravel()[: self.check.size]]


def faults(memory, fault_model, p, seed, number):
    """Both planes under the faults of a trial (S107 to S119)."""
    model, keys = parse(fault_model)
    scope = memory.scope(keys.get("bit"), keys.get("tensor"), int(keys.get("interleave", 1)))
    streams = [Stream(seed, b"data", number), Stream(seed, b"check", number)]
    stored = [memory.data, memory.check]
    planes = [plane.copy() for plane in stored]

    def both(draw):
        return [cells[draw(stream, len(cells))] for stream, cells in zip(streams, scope)]

    def flip(cells, holding=None):
        for plane, original, at in zip(planes, stored, cells):
            plane[at if holding is None else at[original[at] == holding]] ^= 1

    def independent(p):
        return both(lambda stream, cells: stream.bernoulli(cells, p))

    if model == "bernoulli":
        flip(independent(p))
    elif model == "fixed-count":
        flip(both(lambda stream, cells: stream.distinct(cells, min(int(cells * p), cells))))
    elif model == "burst":
        least, most = (keys["length"].split("-") * 2)[:2]
        flip(both(lambda stream, cells: stream.bursts(cells, p, int(least), int(most), int(keys["distance"]))))
    elif model == "dram":
        given = {event: float(keys[event]) for event in DRAM if event in keys} or DRAM
        weights = [given.get(event, 0.0) for event in DRAM]
        draws = [stream.dram(len(cells), p, weights, devices) for stream, cells, devices in zip(streams, scope, (8, 1))]
        flip([cells[draw] for cells, draw in zip(scope, draws)])
    elif model == "stuck-at":
        flip(independent(p), 1 - int(keys["value"]))
    elif model == "asymmetric":
        ones, zeros = independent(2 * p * float(keys["share"])), independent(2 * p * (1 - float(keys["share"])))
        flip(ones, 1)
        flip(zeros, 0)
    elif model == "accumulate":
        hours = int(keys["hours"])
        interval = int(keys.get("scrub", hours))
        scrubs = -(-hours // interval) - 1
        for left in range(scrubs, -1, -1):
            hours_now = interval if left else hours - scrubs * interval
            flip(independent(-0.5 * math.expm1(hours_now * math.log1p(-2 * p))))
            planes = memory.scrub(planes) if left else planes
    return planes


def parse(fault_model):
    model, _, rest = fault_model.partition(":")
    keys = {}
    if (at := ("," + rest).find(",tensor=")) >= 0:
        rest, keys["tensor"] = rest[: max(at - 1, 0)], rest[at + len("tensor=") :]
    keys.update(pair.split("=") for pair in rest.split(",") if pair)
    if "bit" in keys:
        keys["bit"] = int(keys["bit"])
    return model, keys


# ----------------------------------------------------------------------------------- trials that change something


@functools.cache
def law(code):
    """Patterns of k flips of a word that read wrong: corrected, detected, and passed as clean (S122)."""
    n, r, t = len(code.columns), code.rows, code.radius
    dual = np.zeros(n + 1, object)
    for rows in range(1 << r):
        dual[sum(bin(int(column) & rows).count("1") % 2 for column in code.columns)] += 1

    def krawtchouk(k, w):
        return sum((-1) ** i * math.comb(w, i) * math.comb(n - w, k - i) for i in range(k + 1))

    words = [sum(int(count) * krawtchouk(k, w) for w, count in enumerate(dual) if count) >> r for k in range(n + 1)]
    harmless = [math.comb(r, k) if k else 0 for k in range(n + 1)]
    for syndrome in code.correct:
        harmless[bin(syndrome).count("1")] -= syndrome > 0
    wrong = []
    for k in range(n + 1):
        near = sum(words[w] * math.comb(w, back) * math.comb(n - w, m - back)
                   for m in range(1, t + 1) for w in range(n + 1)
                   for back in range(m + 1) if w + m - 2 * back == k)
        right = math.comb(n, k) if 1 <= k <= t else 0
        wrong.append((near - right, math.comb(n, k) - words[k] - near - harmless[k], words[k] - (k == 0)))
    return wrong


def changed(memory, p, seed, number):
    """Both planes under the faults of a trial in which some word reads wrong (S121 to S125)."""
    code, stream = memory.code, Stream(seed, b"changed", number)
    data_cells, cells = 8 * code.weights, 8 * code.weights + code.check
    wrong = law(code)
    flipped, kept = ([1.0] + list(itertools.accumulate([base] * cells, lambda a, b: a * b)) for base in (p, 1 - p))
    patterns = [a * b for a, b in zip(flipped, reversed(kept))]
    sums = [0.0, 0.0, 0.0]
    for counts, pattern in zip(wrong, patterns):
        sums = [total + float(count) * pattern for total, count in zip(sums, counts)]
    hazard = -math.log1p(-min(sums[0] + sums[1] + sums[2], 1.0))

    words = memory.stored[0][1].copy()

    def reads_wrong(word, flips):
        row = words[[word]]
        row[0, flips] ^= 1
        return (code.read(row)[0] != memory.as_stored[0][word]).any()

    bound = len(words) * hazard
    target = min(-math.log1p(-stream.uniform() * -math.expm1(-bound)), bound)
    first = next(n for n in itertools.count(max(int(target / hazard) - 2, 1)) if n * hazard >= target) - 1
    hit = {}
    for per_word, offset, size in [(data_cells, 0, memory.data.size), (code.check, data_cells, memory.check.size)]:
        for cell in stream.bernoulli(size, p):
            hit.setdefault(int(cell) // per_word, []).append(int(cell) % per_word + offset)
    for word in sorted(word for word in hit if word < first):
        while reads_wrong(word, hit[word]):
            hit[word] = stream.bernoulli(cells, p)
    by_flips = [0.0 + sum(counts) * pattern for counts, pattern in zip(wrong, patterns)]
    rest, flips = stream.uniform() * sum(by_flips), 0
    for k, probability in enumerate(by_flips):
        if probability > 0:
            flips, rest = k, rest - probability
            if rest <= 0:
                break
    hit[first] = stream.distinct(cells, flips)
    while not reads_wrong(first, hit[first]):
        hit[first] = stream.distinct(cells, flips)
    for word, flips in hit.items():
        words[word, flips] ^= 1
    return [words[:, :data_cells].ravel(), words[:, data_cells:].ravel()]


# ------------------------------------------------------------------------------------------------- files and hashes


class Number(str):
    """A number of a JSON text in its written form."""


class Checkpoint:
    """An int8 network (the format is in crates/quant/README.md)."""

    def __init__(self, path):
        raw = Path(path).read_bytes()
        size = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + size])
        meta = json.loads(header["__metadata__"]["zerospace"], parse_float=Number)

        def tensor(name):
            begin, end = header[name]["data_offsets"]
            kind = {"I8": "i1", "F32": "<f4"}[header[name]["dtype"]]
            return np.frombuffer(raw[8 + size + begin : 8 + size + end], kind).reshape(header[name]["shape"])

        self.meta, self.model, self.layers = meta, meta["model"], meta.get("layers", [])
        self.weights = {entry["name"]: tensor(entry["name"]) for entry in meta["weights"]}
        self.parameters = {name: tensor(name) for name in meta["parameters"]}

    def digest(self):
        """S405."""
        meta = self.meta
        texts = [meta["model"]] + ([self.layers] if self.layers else []) + [meta["preprocessing"]]
        texts.append(meta["activations"] if "activations" in meta else meta["dynamic_activations"])
        for entry in meta["weights"]:
            shape = list(self.weights[entry["name"]].shape)
            texts.append([entry["name"], shape, entry.get("scale", entry.get("scales"))])
        texts += [[name, list(values.shape)] for name, values in self.parameters.items()]
        content = b"zerospace checkpoint 1\n"
        for value in texts:
            value = text(value).encode()
            content += struct.pack("<Q", len(value)) + value
        tensors = list(self.weights.values()) + list(self.parameters.values())
        return sha256(content + b"".join(values.tobytes() for values in tensors))


def text(value):
    """JSON without spaces; numbers as they were read."""
    if isinstance(value, Number):
        return value
    if isinstance(value, dict):
        return "{" + ",".join(f"{text(key)}:{text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def cell_id(spec):
    """S407."""
    rate = struct.pack(">d", spec["rate"]).hex()
    evaluation = spec["evaluation"]
    content = [spec["record_version"], spec["evaluator"], spec["network"], spec["protection"],
               spec["protection_parameters"], spec["fault_model"], rate, spec["seed"], spec["stored"],
               evaluation["images"], evaluation["digest"]]
    return sha256(text([content, "changed"] if "changed_probability" in spec else content).encode())[:16]


OUTCOMES = ["words_hit", "corrected", "detected", "miscorrected", "silent", "padding_changed"]


def record(memory, planes):
    """The memory fields of a record (S401 to S403), and the weights as they are read."""
    pattern = [np.flatnonzero(now != then) for now, then in zip(planes, [memory.data, memory.check])]
    weights, counts = memory.read(planes)
    changes = np.flatnonzero(memory.is_weight & (weights != memory.plane))
    starts = np.array([start for _, start, _ in memory.tensors])
    tensors = np.searchsorted(starts, changes, "right") - 1
    places = zip(tensors, changes - starts[tensors], weights[changes])
    data, check = (offsets.astype("<u8").tobytes() for offsets in pattern)
    return {name: counts[name] for name in OUTCOMES} | {
        "flips_data": len(pattern[0]), "flips_check": len(pattern[1]), "weights_changed": len(changes),
        "pattern_hash": sha256(data + b"\xff" * 8 + check)[:16],
        "weights_hash": sha256(b"".join(struct.pack("<QQb", *place) for place in places))[:16],
    }, weights


def images_of(path, count):
    """Images and labels of a file of CIFAR-10's binary form, and the digest of the first `count` (S406)."""
    rows = np.fromfile(path, np.uint8).reshape(-1, 3073)[:count]
    head = b"zerospace image set 1\n" + struct.pack("<IIIIQ", 3, 32, 32, 10, len(rows))
    digest = sha256(head + rows[:, 0].astype("<u2").tobytes() + rows[:, 1:].tobytes())
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0], digest


def interval(drops, spec):
    """The ends of the BCa interval of a mean drop, in points (S411 to S413)."""
    values = np.sort(drops)
    n, resamples = len(values), 10_000
    if values[0] == values[-1]:
        return math.nan, math.nan
    z = np.uint64(0x5EED0F0DD0B17F11) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, resamples * n + 1, dtype=np.uint64)
    z = (z ^ z >> 30) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> 27) * np.uint64(0x94D049BB133111EB)
    z ^= z >> 31
    places = ((z >> 32) * n + ((z & 0xFFFFFFFF) * n >> 32)) >> 32  # the high half of z * n
    sums = np.sort(values[places.astype(int)].reshape(resamples, n).sum(1))
    observed, normal = values.sum(), NormalDist()
    z0 = normal.inv_cdf(((sums < observed).sum() + (sums <= observed).sum()) / (2 * resamples))
    away = values - observed / n
    acceleration = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    points = 100 / n / spec["evaluation"]["images"] * spec.get("changed_probability", 1)
    ends = [z0 + normal.inv_cdf(tail) for tail in (0.025, 0.975)]
    return [points * np.quantile(sums, normal.cdf(z0 + z / (1 - acceleration * z))) for z in ends]


# ------------------------------------------------------------------------------------------------------------- main


def one_of_each(cells):
    """The first cell of each protection and fault model, for any scope."""
    kinds = {}
    for cell in cells:
        model, keys = parse(cell["spec"]["fault_model"])
        keys.pop("tensor", None)
        kinds.setdefault((cell["spec"]["protection"], model, tuple(keys.items())), cell)
    return kinds.values()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--every", type=int)
    parser.add_argument("--images", type=Path)
    arguments = parser.parse_args()
    import pandas

    manifest = json.loads((arguments.run / "manifest.json").read_text())
    table = pandas.read_parquet(arguments.run / "trials.parquet")
    checkpoints = {checkpoint.digest(): checkpoint for checkpoint in map(Checkpoint, arguments.checkpoints)}
    summary = pandas.read_csv(arguments.run / "summary.csv")
    summary = summary.set_index(["model", "fault_model", "protection", "rate"]).sort_index()
    wrong, found, tally = 0, 0, Counter()

    def compare(what, is_, expected):
        nonlocal wrong, found
        found += 1
        if is_ != expected:
            wrong += 1
            print(f"{what} is {is_}, the record says {expected}")

    for cell in manifest["cells"]:
        compare("cell", cell_id(cell["spec"]), cell["id"])
    there = [cell for cell in manifest["cells"] if cell["spec"]["network"] in checkpoints]
    for cell in there[:: arguments.every] if arguments.every else one_of_each(there):
        spec, rows = cell["spec"], table[table["cell"] == cell["id"]]
        checkpoint = checkpoints[spec["network"]]
        label = f"{spec['model']} {spec['protection']} {spec['fault_model']} {spec['rate']:g}"
        low, high = interval((rows["clean_correct"].astype(int) - rows["correct"].astype(int)).to_numpy(), spec)
        printed = summary.loc[spec["model"], spec["fault_model"], spec["protection"], spec["rate"]]
        for end, name in [(low, "interval_low_points"), (high, "interval_high_points")]:
            compare(f"{label}: {name}", f"{end:.6g}", f"{printed[name]:.6g}")

        memory = Memory(checkpoint, protection(spec["protection"], spec["protection_parameters"]))
        compare(f"{label}: data cells", memory.data.size, spec["stored"]["data_bits"])
        compare(f"{label}: check cells", memory.check.size, spec["stored"]["check_bits"])
        for number in range(min(arguments.trials, len(rows))):
            row = rows[rows["trial"] == number].iloc[0]
            if "changed_probability" in spec:
                planes = changed(memory, spec["rate"], spec["seed"], number)
            else:
                planes = faults(memory, spec["fault_model"], spec["rate"], spec["seed"], number)
            fields, weights = record(memory, planes)
            for name, value in fields.items():
                compare(f"{label}, trial {number}: {name}", value, row[name])
            tally[spec["protection"], parse(spec["fault_model"])[0]] += 1
            if arguments.images is None or number > 0:
                continue
            pixels, labels, digest = images_of(arguments.images, spec["evaluation"]["images"])
            compare("images", digest, spec["evaluation"]["digest"])
            tensors = {name: weights[start : start + size].reshape(checkpoint.weights[name].shape)
                       for name, start, size in memory.tensors}
            batches = [predictions(checkpoint, tensors, pixels[i : i + 50]) for i in range(0, len(pixels), 50)]
            classes = np.concatenate(batches)
            compare(f"{label}: correct", int((classes == labels).sum()), row["correct"])
            compare(f"{label}: predictions_hash", sha256(classes.tobytes())[:16], row["predictions_hash"])
    for (name, fault_model), trials in tally.items():
        print(f"{name}, {fault_model}: {trials} trials")
    print(f"{found} values compared, {wrong} differ")
    sys.exit(1 if wrong or not tally else 0)


if __name__ == "__main__":
    main()
