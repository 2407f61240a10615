//! Bytes of weights per second through the dense loops, every form beside the limits of the machine in the same
//! run: `cargo bench -p zerospace-ecc`.
//!
//! The limits are a read-only sum for `verify`, and for `decode` and `encode` a copy: beyond the caches a
//! non-temporal one, which is what the fastest form does for `faulty`, and `memcpy` in the caches.

// A bench reads the clock.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use ecc::{Kernel, MemoryImage, Protection, all, all_with};

/// All passes take turns this often.
const ROUNDS: usize = 25;
/// A turn goes over at least this many bytes.
const TURN: usize = 64 << 20;
/// The limits, by their names.
const LIMITS: [&str; 2] = ["sum", "memcpy"];
/// What a protection is measured at.
const VERBS: [&str; 3] = ["verify", "decode", "encode"];

/// Protections, with the numbers of their images.
type Numbered = Vec<(Arc<dyn Protection>, usize)>;

fn main() {
    println!("{:43}{:>10}{:>10}{:>10}", "GB/s", "best", "median", "of limit");

    measure("138 MiB", 138 << 20, "decode faulty");
    measure("128 KiB", 128 << 10, "memcpy");
}

fn measure(title: &str, size: usize, copy: &str) {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 40) as i8
    };
    let weights: Vec<i8> = (0..size).map(|_| random() >> 1).collect();
    let mut read = vec![1; size];
    let blank = |protection: Arc<dyn Protection>| MemoryImage::blank(protection.word(), size);
    let mut images: Vec<MemoryImage> = all().into_iter().map(blank).collect();
    for (protection, image) in all().iter().zip(&mut images) {
        protection.encode_plane(&weights, image);
    }

    // Where there are no dense loops, all forms are one.
    let with = |kernel: Kernel| {
        let numbered = all_with(kernel).into_iter().zip(0..);
        numbered
            .filter(|(protection, _)| kernel == Kernel::fastest() || protection.dense().is_some())
            .collect()
    };
    let protections: Vec<(Kernel, Numbered)> =
        Kernel::available().into_iter().rev().map(|kernel| (kernel, with(kernel))).collect();
    let mut seconds: Vec<Vec<f64>> = Vec::new();
    for _ in 0..ROUNDS {
        let mut turn = 0;
        let mut time = |pass: &mut dyn FnMut()| {
            let passes = TURN.div_ceil(size);
            let start = Instant::now();
            (0..passes).for_each(|_| pass());
            seconds.resize_with(seconds.len().max(turn + 1), Vec::new);
            seconds[turn].push(start.elapsed().as_secs_f64() / passes as f64);
            turn += 1;
        };
        time(&mut || {
            let words = black_box(&weights[..]).as_chunks().0;
            black_box(words.iter().fold(0u64, |sum, w| sum.wrapping_add(word(w))));
        });
        time(&mut || read.copy_from_slice(black_box(&weights)));
        for (protection, image) in protections.iter().flat_map(|(_, all)| all) {
            let image = &mut images[*image];
            time(&mut || _ = black_box(protection.verify(image)));
            time(&mut || _ = black_box(protection.decode(image, &mut read)));
            time(&mut || protection.encode_plane(black_box(&weights), image));
        }
    }

    let names = protections.iter().flat_map(|(kernel, all)| {
        let verbs =
            all.iter().flat_map(|(protection, _)| VERBS.map(|verb| format!("{verb} {}", protection.id())));
        verbs.map(move |name| (name, kernel.id()))
    });
    let names: Vec<(String, &str)> =
        LIMITS.map(|limit| (limit.into(), "")).into_iter().chain(names).collect();
    let speed = |turn: usize| {
        let mut seconds = seconds[turn].clone();
        seconds.sort_by(f64::total_cmp);
        [seconds[0], seconds[seconds.len() / 2]].map(|s| size as f64 / s / 1e9)
    };
    let limit = |wanted: &str| speed(names.iter().position(|(name, _)| name == wanted).expect("a limit"));
    println!("\n{title}");
    // There is nothing to verify without a code.
    for (turn, (name, kernel)) in names.iter().enumerate().filter(|(_, (name, _))| name != "verify faulty") {
        let [best, median] = speed(turn);
        let limit = limit(if name.starts_with("verify") { "sum" } else { copy })[1];
        println!("{name:29} {kernel:13}{best:10.1}{median:10.1}{:9.0}%", 100.0 * median / limit);
    }
}

fn word(weights: &[i8; 8]) -> u64 {
    u64::from_ne_bytes(weights.map(i8::cast_unsigned))
}
