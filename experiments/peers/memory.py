"""Stored weights under a protection, and random flips of their bits, in NumPy: only the words that are hit are decoded."""

import numpy as np



def inner_product(a, b):
    return (a & b).bit_count() & 1


def secded_columns():
    """The parity-check matrix of zerospace's (72,64) code: cells of the block, then those of the check byte."""
    c = [0x0F, 0x33, 0x3C, 0x55, 0x5A, 0xA5, 0xC3, 0xF0]
    return np.array([1 << cell // 8 ^ c[cell % 8] for cell in range(64)] + [1 << j for j in range(8)], np.uint8)


def in_place_columns():
    """That of the (64,57) code."""
    simplex = [sum(inner_product(label, b + 1) << b for b in range(7)) for label in [1, 2, 3, 4, 5, 6, 0, 7]]
    return np.array([(1 << cell // 8 if cell < 56 else 0x7F) ^ simplex[cell % 8] for cell in range(64)], np.uint8)


class Memory:
    """What is stored under a protection; reads it back under random flips."""

    def __init__(self, plane, protection):
        self.plane = plane
        self.protection = protection
        if protection == "faulty":
            self.cells, self.word_cells = 8 * plane.size, 8
            return
        self.words = plane.view("<u8")
        self.columns = secded_columns() if protection == "ecc" else in_place_columns()
        self.word_cells = self.columns.size
        self.cells = self.words.size * self.word_cells
        self.cell_of = np.full(256, -1)
        self.cell_of[self.columns] = np.arange(self.word_cells)

    def flips(self, rng, rate):
        """Cells that flip, each with the same probability, on its own: a binomial number of distinct cells."""
        count = rng.binomial(self.cells, rate)
        cells = np.unique(rng.integers(0, self.cells, count))
        while cells.size < count:
            cells = np.unique(np.concatenate([cells, rng.integers(0, self.cells, count - cells.size)]))
        return cells

    def read(self, cells):
        """Weights that read back changed, by place in the plane, and their values."""
        if self.protection == "faulty":
            index, first = np.unique(cells >> 3, return_index=True)
            if not cells.size:
                return index, index.astype(np.uint8)
            return index, self.plane[index] ^ np.bitwise_xor.reduceat((1 << (cells & 7)).astype(np.uint8), first)
        word, first = np.unique(cells // self.word_cells, return_index=True)
        if not word.size:
            return word, word.astype(np.uint8)
        cell = cells % self.word_cells
        # The code is linear and the stored word a code word, so that the flips alone give the syndrome.
        syndrome = np.bitwise_xor.reduceat(self.columns[cell], first)
        bits = np.where(cell < 64, np.uint64(1) << (cell & 63).astype(np.uint64), np.uint64(0))
        flips = np.bitwise_xor.reduceat(bits, first)
        repaired = self.cell_of[syndrome]
        flips ^= np.where((repaired >= 0) & (repaired < 64) & (syndrome != 0),
                          np.uint64(1) << (repaired & 63).astype(np.uint64), np.uint64(0))
        stored = self.words[word]
        read = stored ^ flips
        if self.protection == "in-place":
            # Bit 6 := bit 7 in the first seven bytes, which is also what was stored there before encoding.
            ones = np.uint64(0x0040404040404040)
            read = read & ~ones | read >> np.uint64(1) & ones
        wrong = np.flatnonzero(read != stored)
        byte = read[wrong, None].view(np.uint8)
        row, column = np.nonzero(byte != stored[wrong, None].view(np.uint8))
        return word[wrong][row] * 8 + column, byte[row, column]


def check_codes(checkpoint):
    """Single flips leave no trace, double flips of data cells do, and no code reads its own words wrong."""
    for protection in ("ecc", "in-place"):
        memory = Memory(checkpoint.plane, protection)
        assert np.unique(memory.columns).size == memory.word_cells
        for cell in range(memory.word_cells):
            assert memory.read(np.array([5 * memory.word_cells + cell]))[0].size == 0
        index, values = memory.read(np.array([5 * memory.word_cells, 5 * memory.word_cells + 9]))
        assert list(index) == [40, 41] and list(values ^ checkpoint.plane[index]) == [1, 2]
