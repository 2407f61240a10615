"""The protections, from the page "Memory and protections" beside this file.

A word is a row of bits: bit 8 i + j is bit j of its weight i, and its check cells follow (S202). `store` makes rows of
weights, `read` makes weights of rows and says of each what the decoder says.
"""

import itertools

import numpy as np

CLEAN, CORRECTED, DETECTED = 0, 1, 2


def bits_of(weights):
    return np.unpackbits(np.ascontiguousarray(weights).view(np.uint8), axis=1, bitorder="little")


def weights_of(bits):
    return np.packbits(bits, axis=1, bitorder="little").view(np.int8)


def parity(bits, axis=1):
    return bits.sum(axis, dtype=np.uint8) & 1


class Code:
    immune = False  # true if faults cannot reach its check bits


class Faulty(Code):  # S211
    weights, check = 1, 0

    def store(self, weights):
        return bits_of(weights)

    def read(self, word):
        return weights_of(word), np.zeros(len(word), int)


class ParityZero(Code):  # S212
    weights, check = 1, 1

    def store(self, weights):
        word = bits_of(weights)
        return np.c_[word, parity(word)]

    def read(self, word):
        odd = parity(word)
        return weights_of(word[:, :8]) * (1 - odd[:, None]).astype(np.int8), DETECTED * odd


class ParityAverage(Code):  # S213
    weights, check = 8, 8

    def store(self, weights):
        word = bits_of(weights)
        return np.c_[word, parity(word.reshape(-1, 8, 8), 2)]

    def read(self, word):
        received = weights_of(word[:, :64]).astype(int)
        odd = parity(word[:, :64].reshape(-1, 8, 8), 2) ^ word[:, 64:]
        around = np.c_[received[:, 1], received, received[:, 6]]  # the ends have one neighbour, which counts twice
        mean = np.trunc((around[:, :-2] + around[:, 2:]) / 2)
        return np.where(odd, mean, received).astype(np.int8), DETECTED * odd.any(1)


class Vote(Code):  # S214
    weights, check = 1, 1

    def store(self, weights):
        return np.c_[bits_of(weights), (weights >= -32) & (weights < 32)]

    def read(self, word):
        top = word[:, 5:8].sum(1)
        differ = (word[:, 8] == 1) & (top > 0) & (top < 3)
        bits = word[:, :8].copy()
        bits[differ, 5:] = (top[differ] >= 2)[:, None]
        return weights_of(bits), CORRECTED * differ


class WeightNulling(Code):  # S215
    weights, check = 1, 0

    def store(self, weights):
        word = bits_of(weights)
        word[:, 0] ^= parity(word)
        return word

    def read(self, word):
        odd = parity(word)
        return weights_of(word) * (1 - odd[:, None]).astype(np.int8), DETECTED * odd


class Signs(Code):
    """Two copies of the sign: beside the weight, `msb-tmr`, or in its bits 0 and 1, `mset-8` (S216, S217)."""

    weights = 1

    def __init__(self, inside):
        self.check, self.copies = (0, [0, 1]) if inside else (2, [8, 9])

    def store(self, weights):
        word = np.c_[bits_of(weights), np.zeros((len(weights), self.check), np.uint8)]
        word[:, self.copies] = word[:, [7]]
        return word

    def read(self, word):
        others = word[:, self.copies] ^ word[:, [7]]
        bits = word[:, :8].copy()
        bits[:, 7] ^= others.all(1)
        bits[:, [c for c in self.copies if c < 8]] = 0
        return weights_of(bits), CORRECTED * others.any(1)


class Cep(Code):  # S218
    weights, check = 1, 0

    def store(self, weights):
        magnitude = np.minimum(np.abs(weights.astype(int)), 127) & 0x7C
        word = bits_of((magnitude | 0x80 * ((weights < 0) & (magnitude > 0))).astype(np.uint8))
        word[:, 1], word[:, 0] = parity(word[:, 5:]), parity(word[:, 2:5])
        return word

    def read(self, word):
        upper, lower = parity(word[:, 5:]) ^ word[:, 1], parity(word[:, 2:5]) ^ word[:, 0]
        bits = word.copy()
        bits[:, 5:] *= 1 - upper[:, None]
        bits[:, 2:5] *= 1 - lower[:, None]
        magnitude = weights_of(bits).astype(int) & 0x7C
        return np.where(bits[:, [7]], -magnitude, magnitude).astype(np.int8), DETECTED * (upper | lower)


class Idealized(Code):  # S219
    weights, check, immune = 8, 64, True

    def __init__(self, corrects):
        self.corrects = corrects

    def store(self, weights):
        return np.c_[bits_of(weights), bits_of(weights)]

    def read(self, word):
        flips = (word[:, :64] ^ word[:, 64:]).sum(1)
        status = np.where(flips > self.corrects, DETECTED, np.where(flips > 0, CORRECTED, CLEAN))
        return weights_of(np.where((status == DETECTED)[:, None], word[:, :64], word[:, 64:])), status


class Linear(Code):
    """A linear code by its columns, with bounded-distance decoding (S221 to S226)."""

    def __init__(self, columns, weights, radius, check=0, cells=None, check_cells=None):
        self.weights, self.check, self.radius = weights, check, radius
        self.columns = np.array(columns)
        self.cells = np.arange(len(columns)) if cells is None else np.array(cells)
        self.rows = int(self.columns.max()).bit_length()
        self.matrix = (self.columns[:, None] >> np.arange(self.rows) & 1).astype(np.uint8)
        units = [columns.index(1 << j) for j in range(self.rows)]
        self.check_cells = self.cells[units] if check_cells is None else np.array(check_cells)
        inside = self.check_cells[self.check_cells < 8 * weights]
        self.signs, self.lost = inside[inside % 8 >= 5], inside[inside % 8 < 5]
        self.correct = {}
        for flips in range(radius + 1):
            for cells in itertools.combinations(range(len(columns)), flips):
                self.correct[int(np.bitwise_xor.reduce(self.columns[list(cells)], initial=0))] = self.cells[list(cells)]

    def syndromes(self, word):
        return (word[:, self.cells] @ self.matrix & 1) @ (1 << np.arange(self.rows))

    def store(self, weights):
        word = np.c_[bits_of(weights), np.zeros((len(weights), self.check), np.uint8)]
        word[:, self.check_cells] = 0
        word[:, self.check_cells] = self.syndromes(word)[:, None] >> np.arange(self.rows) & 1
        return word

    def corrected(self, word):
        word, syndromes = word.copy(), self.syndromes(word)
        status = np.zeros(len(word), int)
        for i in np.flatnonzero(syndromes):
            flips = self.correct.get(int(syndromes[i]))
            status[i] = DETECTED if flips is None else CORRECTED
            if flips is not None:
                word[i, flips] ^= 1
        return word, status

    def read(self, word):
        word, status = self.corrected(word)
        word[:, self.signs], word[:, self.lost] = word[:, self.signs | 7], 0
        return weights_of(word[:, : 8 * self.weights]), status


class DoubleCirculant(Code):
    """A self-dual code over the s most significant bits of weights of 8 - s bits (S227)."""

    weights, check = 8, 0

    def __init__(self, row, spare):
        size = 8 * spare
        planes = [7] + [6 - spare - j for j in range(spare - 1)]
        self.data = [8 * w + plane for plane in planes for w in range(8)]
        self.checks = [8 * w + 6 - j for j in range(spare) for w in range(8)]
        first = row >> np.arange(size) & 1
        self.a = np.array([np.roll(first, i) for i in range(size)], np.uint8)
        few = [[]] + [[i] for i in range(size)] + list(map(list, itertools.combinations(range(size), 2)))
        self.few = np.array([np.isin(np.arange(size), cells) for cells in few], np.uint8)

    def store(self, weights):
        word = bits_of(weights)
        word[:, self.checks] = word[:, self.data] @ self.a & 1
        return word

    def read(self, word):
        word = word.copy()
        syndromes = word[:, self.checks] ^ (word[:, self.data] @ self.a & 1)
        wrong = np.flatnonzero(syndromes.any(1))
        status = np.zeros(len(word), int)
        status[wrong] = DETECTED
        for few, forward in zip(self.few, self.few @ self.a & 1):
            data = (syndromes[wrong] ^ few) @ self.a.T & 1  # flips of data bits where `few` are those of check bits
            checks = syndromes[wrong] ^ forward  # and of check bits where `few` are those of data bits
            for flips, found in [(data, data.sum(1) + few.sum() <= 5), (few[None], checks.sum(1) + few.sum() <= 5)]:
                found &= status[wrong] == DETECTED
                status[wrong[found]] = CORRECTED
                word[np.ix_(wrong[found], self.data)] ^= np.broadcast_to(flips, data.shape)[found]
        word[:, self.checks] = word[:, [cell | 7 for cell in self.checks]]
        return weights_of(word), status


class Dec(Code):
    """Sign and magnitude with a marker of large blocks (S228)."""

    weights, check = 8, 1

    def __init__(self, columns):
        self.cells = [[8 * w + bit for w in range(7) for bit in bits] for bits in [(5, 6), (0, 1)]]
        self.codes = [Linear(systematic(columns, cells), 8, 2, check=1) for cells in self.cells]

    def store(self, weights):
        magnitude = np.minimum(np.abs(weights.astype(int)), 127)
        large = (magnitude[:, :7] > 31).any(1)
        word = np.c_[bits_of(magnitude.astype(np.uint8)), large]
        for size in (0, 1):
            chosen, code = large == size, self.codes[size]
            rows = word[chosen]
            rows[:, self.cells[size]] = 0
            rows[:, 7:64:8] = (weights[chosen] < 0) & weights_of(rows[:, :64]).astype(bool)
            rows[:, code.check_cells] = code.syndromes(rows)[:, None] >> np.arange(14) & 1
            word[chosen] = rows
        return word

    def read(self, word):
        word, status = self.codes[0].corrected(word)
        for size in (0, 1):
            word[np.ix_(word[:, 64] == size, self.cells[size])] = 0
        negative, word = word[:, 7:64:8].copy(), word[:, :64]
        word[:, 7::8] = 0
        magnitude = weights_of(word)
        return np.where(negative, -magnitude, magnitude), status


def systematic(columns, check_cells):
    """The same code with row operations until the column of check bit j is 1 << j (S221)."""
    columns = np.array(columns)
    for j, cell in enumerate(check_cells):
        pivot = next(i for i in range(j, len(check_cells)) if columns[cell] >> i & 1)
        swapped = (columns >> j ^ columns >> pivot) & 1
        columns ^= swapped << j | swapped << pivot
        columns ^= (columns >> j & 1) * (columns[cell] ^ 1 << j)
    return columns.tolist()


class UnderPolicy(Code):
    """A code whose detected words read as zeros, or clamped (S210)."""

    def __init__(self, code, policy, limit):
        self.code, self.policy, self.limit = code, policy, limit
        self.weights, self.check, self.store = code.weights, code.check, code.store

    def read(self, word):
        weights, status = self.code.read(word)
        other = np.zeros_like(weights) if self.policy == "zero-word" else weights.clip(-self.limit, self.limit - 1)
        return np.where((status == DETECTED)[:, None], other, weights), status


class List(Code):
    """`in-place-64-57` with an exception list (S229)."""

    weights, check = 8, 0

    def __init__(self, code, code_of_list):
        self.code, self.code_of_list, self.read = code, code_of_list, code.read

    def store(self, weights):
        return self.code.store(np.c_[weights[:, :7].clip(-64, 63), weights[:, 7:]])

    def entries(self, plane):
        large = np.flatnonzero(((plane < -64) | (plane > 63)) & (np.arange(len(plane)) % 8 < 7))
        entries = np.zeros((len(large), 8), np.int8)
        entries[:, :4] = large.astype("<u4").view(np.int8).reshape(-1, 4)
        entries[:, 4] = plane[large]
        return entries


# id: weights per word, check bits, flips corrected; and the bound of +range-clamp if it is not 64
LINEAR = {
    "secded-72-64": (8, 8, 1), "in-place-64-57": (8, 0, 1), "in-place-32-26": (4, 0, 1),
    "in-place-dected-64-51": (8, 0, 2), "in-place-dected-64-48": (8, 0, 2), "bch-79-64": (8, 15, 2),
    "in-place-msb-32-16": (8, 0, 3), "in-place-msb-16-8": (4, 0, 2), "lsb-64-56": (8, 0, 1),
}
NARROW = {"in-place-32-26": 32, "in-place-dected-64-51": 32, "in-place-dected-64-48": 32, "in-place-msb-32-16": 32,
          "in-place-msb-16-8": 32, "in-place-msb-48-24": 16, "in-place-msb-64-32": 8}
OTHERS = {
    "faulty": Faulty, "parity-zero": ParityZero, "parity-avg": ParityAverage, "vote": Vote, "cep-8": Cep,
    "weight-nulling": WeightNulling, "msb-tmr": lambda: Signs(False), "mset-8": lambda: Signs(True),
    "idealized-64": lambda: Idealized(1), "idealized-64-t2": lambda: Idealized(2),
}


def protection(name, parameters):
    """The protection of an id, with the matrix of its parameters (S222)."""
    name, _, policy = name.partition("+")
    words = parameters.split()
    columns = [words[i + 1] for i, word in enumerate(words) if word == "columns"]
    if policy:
        code = protection(name, parameters)
        narrow = words[0] == "matrix" and (code.signs % 8 == 5).any()
        return UnderPolicy(code, policy, 32 if narrow else NARROW.get(name, 64))
    if name in OTHERS:
        return OTHERS[name]()
    if name == "in-place-list":
        inner, outer = [f"columns {c}" for c in columns]
        return List(protection("in-place-64-57", inner), protection("secded-72-64", outer))
    if words[0] == "matrix":
        return by_matrix(parameters)
    if words[0] == "double":
        return DoubleCirculant(int(words[2], 16), len(words[2]) // 2)
    if name == "dec-64-50":
        return Dec(split_columns(columns[0], 65))
    weights, check, radius = LINEAR[name]
    cells = [8 * w + bit for w in range(weights) for bit in range(4, 8)] if words[0] == "bits" else None
    columns = split_columns(columns[0], 4 * weights if cells else 8 * weights + check)
    return Linear(columns, weights, radius, check, cells)


def by_matrix(parameters):
    """A code by its matrix (S231)."""
    _, weights, radius, cells, check_cells, columns = [part.split() for part in parameters.split(", ")]
    cells, check_cells, weights = numbers(cells[1:]), numbers(check_cells[2:]), int(weights[0])
    beside = sum(cell >= 8 * weights for cell in check_cells)
    return Linear(split_columns(columns[1], len(cells)), weights, int(radius[0]), beside, cells, check_cells)


def numbers(runs):
    ends = [[int(end) for end in run.split("-")] for run in runs]
    return [number for end in ends for number in range(end[0], end[-1] + 1)]


def split_columns(text, count):
    digits = len(text) // count
    return [int(text[i : i + digits], 16) for i in range(0, len(text), digits)]
