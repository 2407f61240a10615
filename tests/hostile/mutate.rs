//! Mutates valid files.

/// Sizes and counts that often break arithmetic.
const EXTREMES: [u64; 20] = [
    0,
    1,
    2,
    7,
    8,
    63,
    64,
    127,
    128,
    255,
    256,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Replacements for a value of JSON, TOML or CSV.
const WORDS: [&str; 24] = [
    "0",
    "-1",
    "1",
    "0.5",
    "-0.0",
    "1e-300",
    "1e300",
    "1e999",
    "nan",
    "inf",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999",
    "null",
    "true",
    "\"\"",
    "\"x\"",
    "\"../x\"",
    "\"\\u0000\"",
    "[]",
    "{}",
    "[[[[[[[[[[[[[[[[",
    "",
];

/// Largest size of a mutated input, in bytes.
const MAX_BYTES: usize = 32 << 10;

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, or 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Returns a short range within `length`.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let longest = (length - start).min(if self.below(4) == 0 { length } else { 16 });
        start..start + self.below(longest + 1)
    }
}

/// Makes one to six changes to one of the `valid` files. With `text`, it changes words and lines instead of
/// bytes.
pub(crate) fn mutated(numbers: &mut Numbers, valid: &[Vec<u8>], text: bool) -> Vec<u8> {
    let mut bytes = valid[numbers.below(valid.len())].clone();
    let most = if numbers.below(3) == 0 { 6 } else { 2 };
    let changes = 1 + numbers.below(most);
    for _ in 0..changes {
        match text && numbers.below(3) > 0 {
            true => change_words(numbers, &mut bytes),
            false => change(numbers, &mut bytes, valid),
        }
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

fn change(numbers: &mut Numbers, bytes: &mut Vec<u8>, valid: &[Vec<u8>]) {
    let length = bytes.len();
    let at = numbers.below(length);
    match numbers.below(12) {
        0 | 1 if length > 0 => bytes[at] ^= 1 << numbers.below(8),
        2 if length > 0 => bytes[at] = numbers.one_of(&[0, 1, 0x7f, 0x80, 0xfe, 0xff, b' ', b'\n']),
        3 if length > 0 => bytes[at] = numbers.below(256) as u8,
        4 => bytes.truncate(numbers.below(length + 1)),
        5 => drop(bytes.drain(numbers.range(length))),
        6 => {
            let again = bytes[numbers.range(length)].to_vec();
            bytes.splice(at..at, again);
        }
        7 => {
            let other = &valid[numbers.below(valid.len())];
            let from = numbers.below(other.len());
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
        8 | 9 => {
            let mut value = numbers.one_of(&EXTREMES);
            if numbers.below(4) == 0 {
                value = (length as u64).wrapping_add(numbers.below(9) as u64).wrapping_sub(4);
            }
            let size = numbers.one_of(&[1, 2, 4, 8]);
            let field = match numbers.below(2) {
                0 => value.to_le_bytes()[..size].to_vec(),
                _ => value.to_be_bytes()[8 - size..].to_vec(),
            };
            let end = length.min(at + size);
            bytes.splice(at..end, field);
        }
        10 => {
            // Replaces a byte by a variable-length integer, as in protobuf and Thrift.
            let mut value = numbers.one_of(&EXTREMES);
            let mut field = Vec::new();
            while value >= 0x80 {
                field.push(value as u8 | 0x80);
                value >>= 7;
            }
            field.push(value as u8);
            bytes.splice(at..length.min(at + 1), field);
        }
        _ => {
            let fresh: Vec<u8> = (0..numbers.below(9)).map(|_| numbers.below(256) as u8).collect();
            bytes.splice(at..at, fresh);
        }
    }
}

fn change_words(numbers: &mut Numbers, bytes: &mut Vec<u8>) {
    let words = pieces(bytes, |byte| b" \t\n,:=[]{}".contains(&byte));
    let lines = pieces(bytes, |byte| byte == b'\n' || byte == b',');
    let (Some(first), Some(second)) = (pick(numbers, &words), pick(numbers, &words)) else { return };
    match numbers.below(60) {
        0 => {
            let deep = numbers.one_of(&["[", "{", "{\"a\":", "a.", "[["]).repeat(3000);
            bytes.splice(first, deep.bytes());
        }
        1..30 => {
            let word = numbers.one_of(&WORDS);
            bytes.splice(first, word.bytes());
        }
        30..40 => {
            let other = bytes[second].to_vec();
            bytes.splice(first, other);
        }
        40..50 => {
            if let Some(line) = pick(numbers, &lines) {
                let again = [&b"\n"[..], &bytes[line.clone()]].concat();
                bytes.splice(line.end..line.end, again);
            }
        }
        _ => {
            if let Some(line) = pick(numbers, &lines) {
                bytes.drain(line);
            }
        }
    }
}

fn pick(numbers: &mut Numbers, ranges: &[std::ops::Range<usize>]) -> Option<std::ops::Range<usize>> {
    ranges.get(numbers.below(ranges.len())).cloned()
}

/// Returns the non-empty ranges between separators.
fn pieces(bytes: &[u8], separates: impl Fn(u8) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if separates(byte) {
            if at > start {
                found.push(start..at);
            }
            start = at + 1;
        }
    }
    if bytes.len() > start {
        found.push(start..bytes.len());
    }
    found
}
