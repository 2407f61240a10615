use crate::sampling::distinct;
use crate::stream::stream;

/// Domain of the streams of samples of single faults.
const DOMAIN: [u8; 8] = *b"single\0\0";

/// Draws `count` of the `population` faults of a stratum without replacement, all sets equally likely; ascending positions. The
/// stream is that of the stratum's number.
///
/// # Panics
/// When `count` is above `population`.
pub fn draw_faults(seed: u64, stratum: u64, population: u64, count: u64) -> Vec<u64> {
    distinct(&mut stream(seed, DOMAIN, stratum), population, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded samples depend on these values.
    #[test]
    fn draws_are_stable() {
        assert_eq!(draw_faults(2019, 0, 1000, 5), [517, 629, 679, 872, 945]);
        assert_ne!(draw_faults(2019, 1, 1000, 5), draw_faults(2019, 0, 1000, 5));
        assert_eq!(draw_faults(1, 2, 9, 9), (0..9).collect::<Vec<u64>>());
    }
}
