use rand_core::RngCore;

/// Every offset below `cells` with probability `p`, by geometric skipping: the number of cells before
/// the next flip is floor(ln u / ln(1 - p)) for u uniform in (0, 1] (Devroye 1986, chapter X.2).
pub(crate) fn bernoulli(rng: &mut impl RngCore, cells: u64, p: f64) -> Vec<u64> {
    if p == 0.0 {
        return Vec::new();
    }
    if p == 1.0 {
        return (0..cells).collect();
    }
    // Room for the mean and six standard deviations: no reallocation in practice.
    let mean = cells as f64 * p;
    let mut flips = Vec::with_capacity((mean + 6.0 * mean.sqrt()) as usize + 1);
    let scale = 1.0 / libm::log1p(-p);
    let mut next = 0u64;
    loop {
        let gap = libm::log(uniform(rng)) * scale;
        if gap >= (cells - next) as f64 {
            return flips;
        }
        next += gap as u64;
        flips.push(next);
        next += 1;
    }
}

/// Uniform in (0, 1], with 53 bits.
pub(crate) fn uniform(rng: &mut impl RngCore) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 * 2f64.powi(-53)
}

/// A uniformly random set of `count` distinct offsets below `cells`, ascending.
///
/// Draws as many offsets as are missing, drops repeats, and goes on until none is missing. The law of
/// the result does not change when cells are renamed, so all sets are equally likely.
pub(crate) fn distinct(rng: &mut impl RngCore, cells: u64, count: u64) -> Vec<u64> {
    assert!(count <= cells, "{count} distinct cells of {cells}");
    if count > cells / 2 {
        let spared = distinct(rng, cells, cells - count);
        let mut spared = spared.into_iter().peekable();
        return (0..cells).filter(|cell| spared.next_if_eq(cell).is_none()).collect();
    }
    let count = usize::try_from(count).expect("a pattern fits into memory");
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let known = chosen.len();
        chosen.extend((known..count).map(|_| below(rng, cells)));
        sort(&mut chosen[known..], cells);
        // Two ascending runs, which the stable sort finds and merges in linear time.
        chosen.sort();
        chosen.dedup();
    }
    chosen
}

/// Sorts values below `bound`, many of them by their digits in base 2048: twice as fast as comparing.
fn sort(values: &mut [u64], bound: u64) {
    const FEW: usize = 512;
    const DIGIT: usize = 11;
    if values.len() < FEW {
        values.sort_unstable();
        return;
    }
    let mut other = vec![0; values.len()];
    for shift in (0..=bound.ilog2()).step_by(DIGIT) {
        let digit = |value: u64| (value >> shift) as usize % (1 << DIGIT);
        let mut places = [0; 1 << DIGIT];
        values.iter().for_each(|&value| places[digit(value)] += 1);
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        for &value in &*values {
            let place = &mut places[digit(value)];
            other[*place] = value;
            *place += 1;
        }
        values.copy_from_slice(&other);
    }
}

/// Uniform below `bound`, without bias (Lemire 2019, algorithm 5).
pub(crate) fn below(rng: &mut impl RngCore, bound: u64) -> u64 {
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        // The remainder is below `bound`, so the division is seldom needed.
        if product as u64 >= bound || product as u64 >= bound.wrapping_neg() % bound {
            return (product >> 64) as u64;
        }
    }
}
