//! Speed of one thread of this machine at the steps of a campaign.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Context;
use campaign::CellTrials;
use design::{BitErrorRate, CellSpec};
use ecc::MemoryImage;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use harness::{CompiledNetwork, Failure, LoadedExperiment, Recomputation};

/// Measured model of the carried experiment.
const MODEL: &str = "resnet18";

/// Measured protection.
pub(super) const PROTECTION: &str = "in-place-64-57";

/// Unit of the speeds of the codec.
const CODEC_UNIT: &str = "GB/s";

/// Bytes of weights for the codec: more than most caches hold.
const CODEC_BYTES: usize = 64 << 20;

/// Fewest passes; the fastest pass counts.
const PASSES: usize = 5;
/// Shortest total time of the passes.
const LONG_ENOUGH: Duration = Duration::from_millis(800);

/// Rates of the measured trials, and the trials in one pass.
const RATES: [(f64, u64); 2] = [(1e-6, 4_000), (1e-3, 20)];

/// Ratio to the recorded speed below which the machine is called slow.
const SLOW: f64 = 0.5;

/// Amount of work per second.
#[derive(Serialize, Deserialize)]
pub(super) struct Speed {
    name: String,
    unit: String,
    value: f64,
}

/// A speed beside the recorded one.
#[derive(Serialize)]
pub(super) struct Compared {
    #[serde(flatten)]
    speed: Speed,
    recorded: Option<f64>,
    ratio: Option<f64>,
}

/// The forms of the loops that ran here and on the machine of the recorded speeds.
pub(super) struct Loops<'a> {
    /// Of int8 inference: here, recorded.
    pub(super) inference: [&'a str; 2],
    /// Of the codecs: here, recorded.
    pub(super) codec: [&'a str; 2],
}

impl Compared {
    pub(super) fn new(speed: Speed, recorded: &[Speed]) -> Self {
        let recorded = recorded.iter().find(|there| there.name == speed.name).map(|there| there.value);
        let ratio = recorded.map(|recorded| speed.value / recorded);
        Self { speed, recorded, ratio }
    }

    /// Says that the speed is far below the recorded one, and why.
    pub(super) fn slowness(&self, loops: &Loops<'_>) -> Option<String> {
        let ratio = self.ratio.filter(|ratio| *ratio < SLOW)?;
        let of_inference = self.speed.unit != CODEC_UNIT;
        let [here, recorded] = if of_inference { loops.inference } else { loops.codec };
        let reason = match here == recorded {
            true => {
                format!("it ran the same loops ({here}), so the cores are slower, or other work shared them")
            }
            false => format!("it ran the loops for {here}, the recorded machine those for {recorded}"),
        };
        Some(format!("{} at {ratio:.2} of the recorded speed: {reason}", self.speed.name))
    }

    pub(super) fn row(&self) -> Vec<String> {
        let number = |value: Option<f64>| value.map_or("?".into(), |value| format!("{value:.1}"));
        vec![
            format!("{}, {}", self.speed.name, self.speed.unit),
            number(Some(self.speed.value)),
            number(self.recorded),
            self.ratio.map_or("?".into(), |ratio| format!("{ratio:.2}")),
        ]
    }
}

/// Runs work in a pool of one thread.
pub(super) fn one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().context("worker threads");
    Ok(pool.map_err(Failure::Machine)?.install(work))
}

/// Measures all speeds of this machine.
pub(super) fn measured(
    carried: &LoadedExperiment,
    recomputation: &mut Recomputation<'_>,
) -> Result<Vec<Speed>, Failure> {
    let model = carried.experiment.models.iter().position(|model| model.label == MODEL);
    let model = model.expect("the experiment has this model");
    let images = carried.images.as_ref().expect("the experiment has images");
    let network = CompiledNetwork::new(&carried.checkpoints[model], images).map_err(Failure::Input)?;
    let seconds = best(|| _ = black_box(network.predict(images, &|_| ())));
    let mut speeds = vec![speed(
        &format!("int8 inference, {MODEL} of `reproduce`"),
        "images/s",
        images.len() as f64 / seconds,
    )];
    speeds.extend(codec());

    let mut cells = carried.cells.iter().filter(|cell| cell.model == MODEL && cell.protection == PROTECTION);
    let cell = cells.next().expect("the experiment has this protection");
    for (rate, trials) in RATES {
        let cell = CellSpec { rate: BitErrorRate::new(rate).expect("a rate"), ..cell.clone() };
        let memory = recomputation.memory(&cell)?;
        let cell_trials = CellTrials::new(&memory, &cell).map_err(Failure::input)?;
        let seconds = best(|| {
            for number in 0..trials {
                let record = recomputation.record(&cell, number, cell_trials.trial(number));
                black_box(record.expect("the int8 executor evaluates every trial"));
            }
        });
        speeds.push(speed(
            &format!("{PROTECTION} trials at {rate:e}, {MODEL}"),
            "trials/s",
            trials as f64 / seconds,
        ));
    }
    Ok(speeds)
}

/// Measures the codec on a whole memory.
fn codec() -> [Speed; 3] {
    let protection = ecc::by_id(PROTECTION).expect("it is registered");
    // Random weights, halved, so that every position can store them.
    let mut random = vec![0; CODEC_BYTES];
    ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut random);
    let weights: Vec<i8> = random.into_iter().map(|byte| byte as i8 >> 1).collect();
    let mut read = vec![0; CODEC_BYTES];
    let mut image = MemoryImage::blank(protection.word(), CODEC_BYTES);
    let rate = |seconds: f64| CODEC_BYTES as f64 / seconds / 1e9;
    let encode = rate(best(|| protection.encode_plane(black_box(&weights), &mut image)));
    let decode = rate(best(|| _ = black_box(protection.decode(&image, &mut read))));
    let verify = rate(best(|| _ = black_box(protection.verify(&image))));
    assert!(read == weights, "a memory without faults reads as it was stored");
    [("encode", encode), ("decode", decode), ("verify", verify)]
        .map(|(verb, rate)| speed(&format!("{PROTECTION} {verb}"), CODEC_UNIT, rate))
}

fn speed(name: &str, unit: &str, value: f64) -> Speed {
    Speed { name: name.into(), unit: unit.into(), value }
}

/// Processor seconds of this thread in the fastest of several passes, as an estimate for an idle machine.
fn best(mut pass: impl FnMut()) -> f64 {
    let (mut shortest, mut all, mut passes) = (Duration::MAX, Duration::ZERO, 0);
    while passes < PASSES || all < LONG_ENOUGH {
        let begin = processor_time();
        pass();
        let time = processor_time() - begin;
        shortest = shortest.min(time);
        all += time;
        passes += 1;
    }
    shortest.as_secs_f64()
}

/// Processor time that this thread has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a time that has passed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_far_below_the_recorded_one_has_a_reason() {
        let recorded = [speed("inference", "images/s", 100.0), speed("decode", CODEC_UNIT, 10.0)];
        let compared = |name: &str, unit, value| Compared::new(speed(name, unit, value), &recorded);
        let loops = Loops { inference: ["avx2", "avx512-vnni"], codec: ["avx2", "avx2"] };
        let said = compared("inference", "images/s", 11.0).slowness(&loops);
        let reason = "it ran the loops for avx2, the recorded machine those for avx512-vnni";
        assert_eq!(said, Some(format!("inference at 0.11 of the recorded speed: {reason}")));
        let said = compared("decode", CODEC_UNIT, 4.0).slowness(&loops);
        let reason = "it ran the same loops (avx2), so the cores are slower, or other work shared them";
        assert_eq!(said, Some(format!("decode at 0.40 of the recorded speed: {reason}")));
        assert_eq!(compared("inference", "images/s", 50.0).slowness(&loops), None);
        assert_eq!(compared("verify", CODEC_UNIT, 0.1).slowness(&loops), None, "nothing is recorded");
    }
}
