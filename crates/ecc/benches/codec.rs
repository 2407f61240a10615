//! Bytes of weights per second through the dense loops, every form of a protection's loops beside the limits of the
//! machine in the same run: `cargo bench -p zerospace-ecc`, or with `-- NAME...` those of the protections named.
//!
//! The limits are a read-only sum for `verify`, and for `decode` and `encode` a copy: beyond the caches a
//! non-temporal one, which is what the fastest form does for `faulty`, and `memcpy` in the caches. Memories are clean,
//! or have independent flips of all stored bits at a rate.

// A bench reads the clock.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use ecc::{Kernel, MemoryImage, Protection, all_with};

/// All passes of a protection take turns this often.
const ROUNDS: usize = 9;
/// A turn goes over at least this many bytes.
const TURN: usize = 64 << 20;
/// Rates of flipped bits, beside 0.
const RATES: [f64; 2] = [1e-4, 1e-3];

fn main() {
    // Cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    println!("{:37}{:14}{:>10}{:>10}{:>10}{:>12}", "GB/s", "", "best", "median", "of limit", "x portable");
    for (title, size) in [("138 MiB", 138 << 20), ("128 KiB", 128 << 10)] {
        println!("\n{title}");
        let fastest = all_with(Kernel::fastest());
        for (number, protection) in fastest.iter().enumerate() {
            let id = protection.id();
            if wanted.is_empty() || wanted.iter().any(|name| name == id) {
                // Where there are no vector loops, all forms are one.
                let forms: Vec<(Kernel, Arc<dyn Protection>)> = Kernel::available()
                    .into_iter()
                    .map(|kernel| (kernel, all_with(kernel).swap_remove(number)))
                    .collect();
                measure(size, &forms);
            }
        }
    }
}

/// What is measured of a form.
struct Pass {
    name: String,
    form: &'static str,
    /// Place of the limit among the passes.
    limit: usize,
    seconds: Vec<f64>,
}

/// Measures a protection in all its forms, of which the first is the portable one.
fn measure(size: usize, forms: &[(Kernel, Arc<dyn Protection>)]) {
    let (_, protection) = &forms[0];
    let mut random = random(1);
    let mut weights: Vec<i8> = (0..size).map(|_| (random() >> 56) as i8 >> 1).collect();
    protection.constraint().throttle(&mut weights);
    let mut read = vec![1; size];
    let mut image = MemoryImage::blank(protection.word(), size);
    protection.encode_plane(&weights, &mut image);
    let faulty: Vec<(f64, MemoryImage)> = RATES.map(|rate| (rate, with_flips(&image, rate))).into();
    let bare = all_with(Kernel::fastest()).swap_remove(0);
    let bare_image = MemoryImage::new(vec![0; size], Vec::new());

    let mut passes: Vec<Pass> = Vec::new();
    for _ in 0..ROUNDS {
        let mut turn = 0;
        let mut time = |name: &str, form, limit, pass: &mut dyn FnMut()| {
            if turn == passes.len() {
                passes.push(Pass { name: name.into(), form, limit, seconds: Vec::new() });
            }
            let times = TURN.div_ceil(size);
            let start = Instant::now();
            (0..times).for_each(|_| pass());
            passes[turn].seconds.push(start.elapsed().as_secs_f64() / times as f64);
            turn += 1;
        };
        time("sum", "", 0, &mut || {
            let words = black_box(&weights[..]).as_chunks().0;
            black_box(words.iter().fold(0u64, |sum, w| sum.wrapping_add(word(w))));
        });
        time("copy", "", 1, &mut || match size {
            ..1_000_000 => read.copy_from_slice(black_box(&weights)),
            _ => _ = black_box(bare.decode(&bare_image, &mut read)),
        });
        for (kernel, protection) in forms {
            let (form, id) = (kernel.id(), protection.id());
            time(&format!("verify {id}"), form, 0, &mut || _ = black_box(protection.verify(&image)));
            time(&format!("decode {id}"), form, 1, &mut || {
                _ = black_box(protection.decode(&image, &mut read));
            });
            for (rate, image) in &faulty {
                time(&format!("decode {id}, {rate:e}"), form, 1, &mut || {
                    _ = black_box(protection.decode(image, &mut read));
                });
            }
            time(&format!("encode {id}"), form, 1, &mut || {
                protection.encode_plane(black_box(&weights), &mut image);
            });
        }
    }

    let speed = |pass: &Pass| {
        let mut seconds = pass.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        [seconds[0], seconds[seconds.len() / 2]].map(|s| size as f64 / s / 1e9)
    };
    let portable =
        |name: &str| passes.iter().find(|pass| pass.name == name).map_or(f64::NAN, |p| speed(p)[1]);
    for pass in &passes {
        let [best, median] = speed(pass);
        let limit = 100.0 * median / speed(&passes[pass.limit])[1];
        let ratio = median / portable(&pass.name);
        println!("{:37}{:14}{best:10.1}{median:10.1}{limit:9.0}%{ratio:12.1}", pass.name, pass.form);
    }
}

/// A memory with independent flips of all its bits.
fn with_flips(image: &MemoryImage, rate: f64) -> MemoryImage {
    let mut image = image.clone();
    let mut random = random(2);
    let mut gap = || ((((random() >> 11) as f64 + 0.5) / (1u64 << 53) as f64).ln() / (-rate).ln_1p()) as u64;
    let mut flips = |bits: u64| -> Vec<u64> {
        let first = gap();
        std::iter::successors(Some(first), |last| Some(last + 1 + gap()))
            .take_while(|bit| *bit < bits)
            .collect()
    };
    let (data, check) = (flips(image.data_bits()), flips(image.check_bits()));
    data.into_iter().for_each(|bit| image.flip_data(bit));
    check.into_iter().for_each(|bit| image.flip_check(bit));
    image
}

fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        state
    }
}

fn word(weights: &[i8; 8]) -> u64 {
    u64::from_ne_bytes(weights.map(i8::cast_unsigned))
}
