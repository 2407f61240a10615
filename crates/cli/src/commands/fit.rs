use anyhow::anyhow;
use clap::Args;
use design::BitErrorRate;
use inject::FlipRate;
use serde::Serialize;

use crate::terminal::document::{Document, Shown};
use crate::terminal::exit::Outcome;
use crate::terminal::output::markdown;
use harness::Failure;

const HELP: &str = "\
1 FIT is one failure in 10^9 hours, here one bit flip, and 1 Mbit is 2^20 bits: multiply a number for 10^6 bits by
1.048576. Flips are assumed independent and equally likely in both directions. After t hours without scrubbing, a bit
differs from the stored bit with probability (1 - exp(-2 x flips per hour x t)) / 2. A year has 365.25 days, 8,766 hours.

The FIT of a memory come from its data sheet, a beam test (JEDEC JESD89) or field data. The large field study of
Schroeder, Pinheiro and Weber (DRAM Errors in the Wild, SIGMETRICS 2009) found 25,000 to 70,000 FIT/Mbit in DRAM, most
of them from few modules, and cites 200 to 5,000 from earlier studies. Undervolted memories fail far more often: give
their bit error rate to `rates` directly.

Examples:
  zerospace fit --fit-per-mbit 1000 --hours 8766
  zerospace fit --fit-per-mbit 50000 --hours 24 --ber 1e-6 --ber 2e-5
  zerospace fit --fit-per-mbit 1000 --hours 8766 --format json | jq .bit_error_rate";

/// Convert failures in time (FIT) to bit error rates and to the hourly rate of `accumulate`
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Bit flips in 10^9 hours and 2^20 bits
    #[arg(long, value_name = "FIT")]
    fit_per_mbit: f64,
    /// Hours without scrubbing; a year has 8,766
    #[arg(long, value_name = "HOURS")]
    hours: f64,
    /// Bit error rates whose hours are computed, instead of 1e-9 to 1e-3
    #[arg(long, value_name = "RATE")]
    ber: Vec<f64>,
    #[command(flatten)]
    shown: Shown,
}

/// Hours of 365.25 days.
const HOURS_OF_YEAR: f64 = 8766.0;

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let fault = |name: &str, error: &dyn std::fmt::Display| Failure::Input(anyhow!("{name}: {error}"));
    let flips =
        FlipRate::of_fit_per_megabit(arguments.fit_per_mbit).map_err(|e| fault("--fit-per-mbit", &e))?;
    let hours = arguments.hours;
    if !(hours.is_finite() && hours >= 0.0) {
        return Err(fault("--hours", &format!("{hours}, expected a number from 0 on")));
    }
    let after = |hours: f64| flips.bit_error_rate(hours).expect("a number of hours").get();
    let bers: Vec<f64> = match arguments.ber.is_empty() {
        true => (3..=9).rev().map(|digits| format!("1e-{digits}").parse().expect("a number")).collect(),
        false => arguments.ber.clone(),
    };
    let mut until = Vec::new();
    for ber in bers {
        let rate = BitErrorRate::new(ber).map_err(|e| fault("--ber", &e))?;
        let hours = flips.hours_until(rate);
        until.push(Until { bit_error_rate: rate.get(), hours, years: hours / HOURS_OF_YEAR });
    }
    arguments.shown.format.show(&Fit {
        fit_per_mbit: arguments.fit_per_mbit,
        hours,
        flips_per_bit_hour: flips.per_bit_hour(),
        accumulate_rate: after(1.0),
        bit_error_rate: after(hours),
        until,
    });
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Fit {
    fit_per_mbit: f64,
    hours: f64,
    flips_per_bit_hour: f64,
    accumulate_rate: f64,
    bit_error_rate: f64,
    until: Vec<Until>,
}

/// Time until a bit error rate is reached; infinite, in JSON null, if it never is.
#[derive(Serialize)]
struct Until {
    bit_error_rate: f64,
    hours: f64,
    years: f64,
}

impl Document for Fit {
    const FORMAT: &'static str = "zerospace.fit/1";

    fn text(&self) -> String {
        let number = |value: f64| format!("{value:.4e}");
        let rates = [
            ["flips of a cell an hour, in the mean".into(), number(self.flips_per_bit_hour)],
            [
                "rate of `accumulate`: probability that it flips in an hour".into(),
                number(self.accumulate_rate),
            ],
            [format!("bit error rate after {} h without scrubbing", self.hours), number(self.bit_error_rate)],
        ];
        let row = |until: &Until| {
            let [hours, years] = [until.hours, until.years].map(|time| match time.is_finite() {
                true => number(time),
                false => "never".into(),
            });
            let rate = BitErrorRate::new(until.bit_error_rate).expect("it was one");
            vec![rate.to_string(), hours, years]
        };
        let columns = [&*format!("{} FIT/Mbit", self.fit_per_mbit), ">value"];
        format!(
            "{}\n{}",
            markdown(&columns, &rates.map(Vec::from)),
            markdown(
                &[">bit error rate", ">hours until then", ">years of 8,766 h"],
                &self.until.iter().map(row).collect::<Vec<_>>()
            )
        )
    }
}
