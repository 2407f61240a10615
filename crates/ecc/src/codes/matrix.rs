//! Parity-check matrices without the structure that `fold.rs` needs: syndromes from tables.
//!
//! A syndrome is a sum over the bits of a block, so also over its bytes, and a byte adds one of 256 numbers to it: a block
//! takes eight look-ups. With AVX2 (`dense/avx2.rs`) a shuffle looks up the summands of 32 nibbles. On machines with GFNI (`dense/avx512.rs`) the summand of a byte is its product with two 8 x 8 bit
//! matrices, one for each byte of a syndrome, and 64 bytes are multiplied at once.

use crate::LinearCode;

/// A code inside the 64 bits of a block, with at most 16 check bits; or half of them twice, with at most 8.
///
/// Wires rebuild weights from code words: each check bit is read as the sign one bit above, as the sign two bits above,
/// or as zero.
#[derive(Debug)]
pub(crate) struct Matrix {
    /// Summand of the syndrome for each value of byte k of a block.
    syndromes: [[u16; 256]; 8],
    /// `syndromes` by nibble: byte h of the summand for each value of nibble n of byte k, at `[k][n][h]`.
    pub(crate) nibbles: [[[[u8; 16]; 2]; 2]; 8],
    /// Check bits at their positions, for each value of byte h of the syndrome of the data.
    check_bits: [[u64; 256]; 2],
    /// Mask of the check bits.
    checks: u64,
    /// Masks of the check bits that are read as the sign one bit above, and two bits above.
    signs: [u64; 2],
    /// `syndromes` as bit matrices: from byte k of a block to byte h of the syndrome.
    pub(crate) to_syndrome: [[u64; 8]; 2],
    /// `check_bits` as bit matrices: from byte h of the syndrome to byte k of the block.
    pub(crate) to_checks: [[u64; 8]; 2],
}

impl Matrix {
    /// Matrix of a code whose bit i is bit `positions[i]` of a word of `bits` bits, 64 or 32. Check bits beside the word,
    /// at 64 and above, are no part of the matrix. `signs` are the masks of the field of that name, in a word.
    pub(crate) fn new(code: &LinearCode, positions: &[usize], bits: usize, signs: [u64; 2]) -> Self {
        let rows = code.check_positions().len();
        let words = 64 / bits;
        assert!(words * rows <= 16, "{words} x {rows} check bits of a block, at most 16");
        let mut columns = [0u16; 64];
        let mut check_positions = [None; 16];
        for word in 0..words {
            let inside = positions.iter().zip(code.columns()).filter(|(position, _)| **position < bits);
            for (position, &column) in inside {
                columns[word * bits + position] = column << (word * rows);
            }
            for (row, &position) in code.check_positions().iter().enumerate() {
                check_positions[word * rows + row] =
                    (positions[position] < bits).then(|| word * bits + positions[position]);
            }
        }
        let repeated = |mask: u64| (0..words).fold(0, |all, word| all | mask << (word * bits));
        Self::of_columns(&columns, &check_positions, signs.map(repeated))
    }

    /// Matrix with a column for each bit of a block, and with check bit j at `check_positions[j]` if it is in the block.
    pub(crate) fn of_columns(
        columns: &[u16; 64],
        check_positions: &[Option<usize>; 16],
        signs: [u64; 2],
    ) -> Self {
        // Bit j of a value adds what it stands for.
        let sum = |value: usize, of: &dyn Fn(usize) -> u64| {
            (0..8).filter(|j| value >> j & 1 == 1).fold(0, |sum, j| sum ^ of(j))
        };
        let check_bit = |row: usize| check_positions[row].map_or(0, |position| 1u64 << position);
        let byte = |h: usize, j: usize, k: usize| (check_bit(8 * h + j) >> (8 * k)) as u8;
        let syndromes: [[u16; 256]; 8] = std::array::from_fn(|k| {
            std::array::from_fn(|value| sum(value, &|j| columns[8 * k + j].into()) as u16)
        });
        Self {
            nibbles: std::array::from_fn(|k| {
                std::array::from_fn(|n| {
                    std::array::from_fn(|h| {
                        std::array::from_fn(|value| (syndromes[k][value << (4 * n)] >> (8 * h)) as u8)
                    })
                })
            }),
            syndromes,
            check_bits: std::array::from_fn(|h| {
                std::array::from_fn(|value| sum(value, &|j| check_bit(8 * h + j)))
            }),
            checks: (0..16).fold(0, |all, row| all | check_bit(row)),
            signs,
            to_syndrome: std::array::from_fn(|h| {
                std::array::from_fn(|k| bit_matrix(|j| (columns[8 * k + j] >> (8 * h)) as u8))
            }),
            to_checks: std::array::from_fn(|h| std::array::from_fn(|k| bit_matrix(|j| byte(h, j, k)))),
        }
    }

    /// Syndrome of a block; with two words in a block, the syndrome of the second above that of the first.
    pub(crate) fn syndrome(&self, block: u64) -> u16 {
        let bytes = self.syndromes.iter().zip(block.to_le_bytes());
        bytes.fold(0, |sum, (table, byte)| sum ^ table[usize::from(byte)])
    }

    /// Fills in the check bits of a block.
    #[inline(always)]
    pub(crate) fn encode(&self, block: u64) -> u64 {
        let data = block & !self.checks;
        data | self.check_bits(self.syndrome(data))
    }

    /// Check bits at their positions, for the syndrome of the data.
    #[inline(always)]
    pub(crate) fn check_bits(&self, syndrome: u16) -> u64 {
        let [low, high] = syndrome.to_le_bytes();
        self.check_bits[0][usize::from(low)] | self.check_bits[1][usize::from(high)]
    }

    /// Weights of a block, with the check bits replaced by the bits of the weights.
    #[inline(always)]
    pub(crate) fn weights(&self, block: u64) -> u64 {
        block & !self.checks | block >> 1 & self.signs[0] | block >> 2 & self.signs[1]
    }

    /// Masks of the check bits, and of those that are read as the sign one and two bits above.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn masks(&self) -> (u64, [u64; 2]) {
        (self.checks, self.signs)
    }
}

/// The operand of `gf2p8affineqb` that sends bit j of a byte to `of(j)`: row i in byte 7 - i.
fn bit_matrix(of: impl Fn(usize) -> u8) -> u64 {
    let row = |i: usize| (0..8).fold(0u64, |row, j| row | u64::from(of(j) >> i & 1) << j);
    (0..8).fold(0, |matrix, i| matrix | row(i) << (8 * (7 - i)))
}
