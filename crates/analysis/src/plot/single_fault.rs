//! The critical rates of single faults as a heat map: a row for each tensor, a column for each bit.

use crate::estimate::single_fault::{Criterion, FaultEstimates};
use crate::plot::fields::{TensorBit, heat_map, shade_scale};
use crate::plot::figure::Figure;
use crate::plot::header::{Header, Page};
use crate::text::number::fixed;
use crate::text::single_fault::{percent, tensor_name};

/// Height of the scale of colours with its numbers.
const SCALE: i32 = 104;

/// Draws the critical rate by top-1 of each stratum.
pub fn single_fault_figure(estimates: &FaultEstimates, title: &str) -> Figure {
    let place = Criterion::ALL.iter().position(|c| *c == Criterion::Top1).expect("one of all");
    let explanation = "Numbers: % of single faults in that tensor and bit that change the top-1 class of at least one image. \
                       Columns: bits, of which 7 is the sign. White: none do";
    let header = Header::new(Page::WIDE, title, &[explanation], Vec::new());
    let most = estimates.strata.iter().map(|own| own.rates[place].rate).fold(0.0, f64::max).max(1e-9);
    let entries = estimates.strata.iter().map(|own| {
        let rate = &own.rates[place];
        let tensor = own.stratum.tensor.map(|_| tensor_name(&estimates.spec, own.stratum.tensor));
        TensorBit {
            tensor,
            bit: own.stratum.bit,
            text: short(100.0 * rate.rate),
            shade: rate.rate / most,
            value: format!(
                "{}, {}: {} % of {} faults, {} evaluated",
                tensor.unwrap_or("all tensors"),
                own.stratum.bit.map_or("all bits".into(), |bit| format!("bit {bit}")),
                percent(rate),
                own.stratum.faults,
                own.sampled
            ),
        }
    });
    let table = heat_map(entries);
    let (mut figure, top) = header.figure(SCALE + table.height());
    let left = Page::WIDE.margin;
    shade_scale(&mut figure, top - 24, "critical faults, %", |part| short(100.0 * most * part));
    table.draw(&mut figure, (left, top + SCALE), Page::WIDE.inner_width());
    figure
}

/// Percent with as many digits as say enough.
fn short(percent: f64) -> String {
    fixed(percent, if percent < 9.95 { 2 } else { 1 })
}
