//! Fold kernels: syndromes as byte parities, eight bits at once in a 64-bit word.
//!
//! A general parity-check matrix costs one masked parity for each check bit. Fold matrices are chosen
//! so that the whole syndrome is the parities of eight bytes of *one* word. Write x_0..x_7 for the
//! bytes of a block and F for their XOR. Give bit i of byte b the column
//!
//! ```text
//! column(b, i) = e_b ^ c_i          c_i an 8-bit word, the same for every byte
//! ```
//!
//! Then bit b of the syndrome is the parity of x_b plus the sum of c_i's bit b over all set bits at
//! index i in any byte, and the latter is the parity of F masked with L_b = { i : bit b of c_i }:
//!
//! ```text
//! syndrome_b = parity(x_b) ^ parity(F & L_b) = parity(x_b ^ (F & L_b))
//! ```
//!
//! One fold, one mask, one byte-wise parity. It remains to choose the c_i:
//!
//! * **(72,64)**: eight distinct non-zero words of the [8,4,4] extended Hamming code. Columns of one
//!   byte differ because the c_i do; columns of two bytes differ because e_b ^ e_b' has weight 2 and
//!   the code's words have weight 4 or more. All have odd weight, none is a unit vector, so the unit
//!   vectors are free for the check bits. Among the 6,435 choices, [`SECDED_C`] is one that miscorrects
//!   the fewest triple flips: 55.61 %, where the best Hsiao matrix has 56.28 %.
//! * **(64,57)**: seven check bits. For bytes 0..=6 the column is e_b ^ s_i with s_i the words of the
//!   [7,3,4] simplex code, for byte 7 it is 1111111 ^ s_i; these are all 64 odd-weight columns. With
//!   s_6 = 0 bit 6 of bytes 0..=6 has the unit columns: exactly the non-informative bits of small
//!   weights, where the paper puts its check bits. Byte 7's own parity v_7 enters every row, so
//!   syndrome_b = v_b ^ v_7.

/// The words c_i of the (72,64) code.
pub(crate) const SECDED_C: [u8; 8] = [0x0f, 0x33, 0x3c, 0x55, 0x5a, 0xa5, 0xc3, 0xf0];

/// The labels in GF(2)^3 that give the simplex words of the (64,57) code: bit b of s_i is the inner
/// product of label i and b + 1. Label 0 at index 6 makes s_6 = 0.
const SIMPLEX_LABELS: [u8; 8] = [1, 2, 3, 4, 5, 6, 0, 7];

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Bit 6 of bytes 0..=6: the check bits of the (64,57) code.
pub(crate) const IN_PLACE_CHECKS: u64 = 0x0040_4040_4040_4040;

/// Byte b is L_b of the (72,64) code.
pub(crate) const SECDED_MASK: u64 = {
    let mut mask = 0;
    let mut bit = 0;
    while bit < 64 {
        let (b, i) = (bit / 8, bit % 8);
        mask |= (SECDED_C[i] as u64 >> b & 1) << bit;
        bit += 1;
    }
    mask
};

/// Byte b is L_b of the (64,57) code; byte 7 is zero.
pub(crate) const IN_PLACE_MASK: u64 = {
    let mut mask = 0;
    let mut bit = 0;
    while bit < 56 {
        mask |= (simplex_word(bit % 8) as u64 >> (bit / 8) & 1) << bit;
        bit += 1;
    }
    mask
};

const fn simplex_word(i: usize) -> u8 {
    let mut word = 0;
    let mut b = 0;
    while b < 7 {
        word |= ((SIMPLEX_LABELS[i] & (b + 1)).count_ones() as u8 & 1) << b;
        b += 1;
    }
    word
}

/// Column of data bit `8 b + i` in the (72,64) matrix.
pub(crate) fn secded_column(bit: usize) -> u8 {
    1 << (bit / 8) ^ SECDED_C[bit % 8]
}

/// Column of bit `8 b + i` in the (64,57) matrix.
pub(crate) fn in_place_column(bit: usize) -> u8 {
    let byte = if bit < 56 { 1 << (bit / 8) } else { 0x7f };
    byte ^ simplex_word(bit % 8)
}

/// Bit 7 of byte b: parity of byte b of `word`. The other bits mean nothing.
fn loose_parities(word: u64) -> u64 {
    let w = word ^ word << 4;
    let w = w ^ w << 2;
    w ^ w << 1
}

/// Bit 7 of byte b: parity of byte b of `word`; all other bits zero.
fn byte_parities(word: u64) -> u64 {
    loose_parities(word) & HIGH_BITS
}

/// Byte b: x_b ^ (F & L_b).
pub(crate) fn with_fold(word: u64, mask: u64) -> u64 {
    let f = word ^ word.rotate_right(32);
    let f = f ^ f.rotate_right(16);
    let f = f ^ f.rotate_right(8);
    word ^ (f & mask)
}

/// Bit b of the result: bit 7 of byte b.
fn gather(high_bits: u64) -> u8 {
    ((high_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

/// The byte parities of eight words: bit 8 w + b for byte b of word w.
///
/// Three times, the words of one half are folded onto a half of their bits and interleaved with the other
/// half's, which leaves bit w of byte b; then the 8 x 8 bits are transposed (Warren 2012, section 7-3).
pub(crate) fn packed_parities(words: [u64; 8]) -> u64 {
    let fold = |low: u64, high: u64, width: u32, mask: u64| {
        (low ^ low >> width) & mask | (high ^ high << width) & !mask
    };
    let nibbles: [u64; 4] = std::array::from_fn(|w| fold(words[w], words[w + 4], 4, 0x0f0f_0f0f_0f0f_0f0f));
    let pairs: [u64; 2] = std::array::from_fn(|w| fold(nibbles[w], nibbles[w + 2], 2, 0x3333_3333_3333_3333));
    let bits = fold(pairs[0], pairs[1], 1, 0x5555_5555_5555_5555);
    let swap = |x: u64, distance: u32, mask: u64| {
        let moved = (x ^ x >> distance) & mask;
        x ^ moved ^ moved << distance
    };
    let bits = swap(bits, 7, 0x00aa_00aa_00aa_00aa);
    let bits = swap(bits, 14, 0x0000_cccc_0000_cccc);
    swap(bits, 28, 0x0000_0000_f0f0_f0f0)
}

/// Even parity of each weight of a block: bit i for weight i.
pub(crate) fn weight_parities(block: u64) -> u8 {
    gather(byte_parities(block))
}

/// The eight check bits of a block in the (72,64) code.
pub(crate) fn secded_check(block: u64) -> u8 {
    gather(byte_parities(with_fold(block, SECDED_MASK)))
}

/// The seven syndrome bits of a block in the (64,57) code, bit b in bit 7 of byte b.
pub(crate) fn in_place_spread(block: u64) -> u64 {
    let v = byte_parities(with_fold(block, IN_PLACE_MASK));
    let byte7 = (v >> 63).wrapping_neg();
    v ^ (byte7 & HIGH_BITS)
}

/// The bits of [`in_place_steps`] that mean something.
pub(crate) const IN_PLACE_STEPS: u64 = HIGH_BITS << 8;

/// Bit 7 of byte b, from b = 1: v_b ^ v_(b-1). All are zero when all v are v_7, so in code words only, and this
/// is less work than the syndrome.
pub(crate) fn in_place_steps(block: u64) -> u64 {
    let v = loose_parities(with_fold(block, IN_PLACE_MASK));
    v ^ v << 8
}

/// The syndrome of a block in the (64,57) code.
pub(crate) fn in_place_syndrome(block: u64) -> u8 {
    gather(in_place_spread(block))
}

/// Fills in the check bits of a block in the (64,57) code.
pub(crate) fn in_place_encode(block: u64) -> u64 {
    let data = block & !IN_PLACE_CHECKS;
    data | in_place_spread(data) >> 1
}

/// Bit 6 := bit 7 in bytes 0..=6: the wires behind the paper's decoder (its figure 2).
pub(crate) fn copy_signs(block: u64) -> u64 {
    block & !IN_PLACE_CHECKS | block >> 1 & IN_PLACE_CHECKS
}
