//! Fills a run directory with parts of invented trials, to measure plan, merge and report of runs that nobody has computed.
//!
//! `synthetic_parts RUN UNITS` writes the parts of the first UNITS units of the plan in RUN, whose manifest `zerospace run`
//! has written. Files and bytes are those that a run writes, without the flushes that make a part survive a power failure.
//! A trial flips a number of bits with a geometric distribution; a third of the trials flip none.

// An example is a program: it prints, reads its arguments and the clock.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use design::{CellSpec, TrialRecord};
use rayon::prelude::*;
use records::{Part, Store, Unit};

/// Hash of no flips, and of no changed weights.
const EMPTY: &str = "e3b0c44298fc1c14";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [run, units] = &arguments[..] else { panic!("expected RUN UNITS") };
    let units: usize = units.parse().expect("UNITS is a number");
    let store = Store::open(Path::new(run)).expect("a run directory with a manifest");
    let manifest = store.manifest();
    let started = Instant::now();
    let cells: std::collections::HashMap<_, _> =
        manifest.cells.iter().map(|cell| (cell.id, &cell.spec)).collect();
    let planned = manifest.units();
    let (bytes, trials) = (AtomicU64::new(0), AtomicU64::new(0));
    planned[..units.min(planned.len())].par_iter().for_each(|unit| {
        let (path, content) = store.part_file(&part(cells[&unit.cell], unit));
        bytes.fetch_add(content.len() as u64, Ordering::Relaxed);
        trials.fetch_add(unit.count, Ordering::Relaxed);
        std::fs::write(path, content).expect("the disk has room");
    });
    let (bytes, trials) = (bytes.into_inner(), trials.into_inner());
    println!(
        "{trials} trials in {} parts, {bytes} bytes, {:.1} a trial, {:.1} s",
        units.min(planned.len()),
        bytes as f64 / trials as f64,
        started.elapsed().as_secs_f64()
    );
}

fn part(cell: &CellSpec, unit: &Unit) -> Part {
    let images = cell.evaluation.images_of_trial();
    let clean_correct = images - images / 10;
    // Cells of higher rates lose more.
    let most = (1.0 + images as f64 * cell.rate.get().sqrt()) as u64;
    let mut random = seed(unit.cell.as_str()) ^ unit.first;
    let mut next = move || {
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let trials = (unit.first..unit.first + unit.count).map(|trial| {
        let mut flips = 0;
        while next() % 3 > 0 {
            flips += 1;
        }
        let changed = if flips == 0 { 0 } else { next() % (flips + 1) };
        let lost = if changed == 0 { 0 } else { (next() % (most + 1)).min(clean_correct) };
        let hash = |of: u64| format!("{of:016x}");
        TrialRecord {
            trial,
            flips_data: flips,
            flips_check: 0,
            pattern_hash: if flips == 0 { EMPTY.into() } else { hash(next()) },
            words_hit: flips,
            corrected: flips - changed,
            detected: 0,
            miscorrected: 0,
            silent: changed,
            weights_changed: changed,
            padding_changed: 0,
            weights_hash: if changed == 0 { EMPTY.into() } else { hash(next()) },
            correct: clean_correct - lost,
            agree: images - lost,
            predictions_hash: if lost == 0 { hash(seed("clean")) } else { hash(next()) },
            scores: Vec::new(),
            block: None,
        }
    });
    Part {
        cell: cell.clone(),
        first: unit.first,
        clean_correct,
        clean_scores: Vec::new(),
        trials: trials.collect(),
    }
}

/// A number for a text (FNV-1a).
fn seed(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
