//! Failures in time.

use design::BitErrorRate;
use inject::FlipRate;

fn near(value: f64, expected: f64) {
    assert!((value / expected - 1.0).abs() < 1e-12, "{value:e}, expected {expected:e}");
}

#[test]
fn a_thousand_fit_a_megabit_are_that_many_flips() {
    // 1000 failures in 1e9 hours and 2^20 bits.
    let rate = FlipRate::of_fit_per_megabit(1000.0).unwrap();
    near(rate.per_bit_hour(), 9.5367431640625e-13);
    // A year: so few flips that an odd number of them is one.
    assert!((rate.bit_error_rate(8760.0).unwrap().get() / 8.35418701171875e-9 - 1.0).abs() < 1e-7);
}

#[test]
fn rates_and_hours_are_inverse_to_each_other() {
    let rate = FlipRate::of_fit_per_megabit(5e4).unwrap();
    for ber in [1e-12, 1e-9, 1e-3, 0.25, 0.499] {
        let hours = rate.hours_until(BitErrorRate::new(ber).unwrap());
        let back = rate.bit_error_rate(hours).unwrap().get();
        assert!((back / ber - 1.0).abs() < 1e-9, "{back:e}, expected {ber:e}");
    }
    // From memory that has lost all, nothing more is lost.
    near(rate.bit_error_rate(f64::INFINITY).unwrap().get(), 0.5);
    assert_eq!(rate.hours_until(BitErrorRate::new(0.5).unwrap()), f64::INFINITY);
    assert_eq!(rate.bit_error_rate(0.0).unwrap().get(), 0.0);
}

#[test]
fn hours_add_up() {
    // Two stretches without scrubbing are one: e1 (1 - e2) + e2 (1 - e1).
    let rate = FlipRate::of_fit_per_megabit(1e13).unwrap();
    let [e1, e2, both] = [7.0, 21.0, 28.0].map(|hours| rate.bit_error_rate(hours).unwrap().get());
    assert!(e1 > 0.05);
    near(both, e1 * (1.0 - e2) + e2 * (1.0 - e1));
}

#[test]
fn what_is_no_rate_is_refused() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let message = FlipRate::of_fit_per_megabit(bad).unwrap_err().to_string();
        assert_eq!(message, format!("{bad} FIT, expected a positive number"));
    }
    let rate = FlipRate::of_fit_per_megabit(1.0).unwrap();
    assert!(rate.bit_error_rate(-1.0).is_err() && rate.bit_error_rate(f64::NAN).is_err());
}
