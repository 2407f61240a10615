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
        let u = ((rng.next_u64() >> 11) + 1) as f64 * 2f64.powi(-53);
        let gap = libm::log(u) * scale;
        if gap >= (cells - next) as f64 {
            return flips;
        }
        next += gap as u64;
        flips.push(next);
        next += 1;
    }
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
        for _ in chosen.len()..count {
            chosen.push(below(rng, cells));
        }
        chosen.sort_unstable();
        chosen.dedup();
    }
    chosen
}

/// Uniform below `bound`, without bias (Lemire 2019, algorithm 5).
fn below(rng: &mut impl RngCore, bound: u64) -> u64 {
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        if product as u64 >= threshold {
            return (product >> 64) as u64;
        }
    }
}
