//! The text of fault models.

use design::{DramEvent, DramMix, FaultKind, FaultModel, FaultModelError, Scope};
use proptest::prelude::*;

fn read(text: &str) -> Result<FaultModel, String> {
    text.parse().map_err(|error: FaultModelError| error.to_string())
}

#[test]
fn names_have_a_normal_form() {
    for (text, normal) in [
        ("bernoulli", "bernoulli"),
        ("fixed-count", "fixed-count"),
        ("per-bit:bit=7", "bernoulli:bit=7"),
        ("per-tensor:tensor=conv1.weight", "bernoulli:tensor=conv1.weight"),
        ("per-tensor:bit=0,tensor=a,b=c:d", "bernoulli:bit=0,tensor=a,b=c:d"),
        ("fixed-count:bit=03", "fixed-count:bit=3"),
        ("burst:distance=64,length=2-2", "burst:length=2,distance=64"),
        ("burst:bit=1,length=2-8,distance=1", "burst:length=2-8,distance=1,bit=1"),
        ("stuck-at:value=0", "stuck-at:value=0"),
        ("stuck-at:value=1,tensor=fc", "stuck-at:value=1,tensor=fc"),
        ("asymmetric:share=0.90", "asymmetric:share=0.9"),
        ("asymmetric:share=-0", "asymmetric:share=0"),
        ("accumulate:hours=24,scrub=0", "accumulate:hours=24"),
        ("accumulate:scrub=8,hours=24", "accumulate:hours=24,scrub=8"),
        ("dram", "dram"),
        ("dram:chip=2.50,single-bit=1e1", "dram:single-bit=10,chip=2.5"),
        ("dram:pin-row=1,bit=3", "dram:pin-row=1,bit=3"),
        ("fixed-count:interleave=2,tensor=fc", "fixed-count:interleave=2,tensor=fc"),
        ("dram:interleave=064", "dram:interleave=64"),
        ("burst:interleave=64,bit=0,length=2,distance=1", "burst:length=2,distance=1,interleave=64,bit=0"),
    ] {
        let model = read(text).unwrap();
        assert_eq!(model.to_string(), normal);
        assert_eq!(read(normal).unwrap(), model);
    }
}

#[test]
fn what_names_no_model_is_refused_in_one_sentence() {
    let known = "expected one of bernoulli, fixed-count, burst:length=L[-M],distance=D, stuck-at:value=0|1, \
                 asymmetric:share=S, accumulate:hours=H[,scrub=I], dram[:EVENT=WEIGHT,...], per-bit:bit=K, \
                 per-tensor:tensor=NAME";
    for (text, message) in [
        ("", &*format!("unknown fault model ``, {known}")),
        ("Bernoulli", &format!("unknown fault model `Bernoulli`, {known}")),
        ("bernoulli:", "bernoulli has no key ``, expected interleave, bit, tensor"),
        ("bernoulli:value=1", "bernoulli has no key `value`, expected interleave, bit, tensor"),
        ("bernoulli:interleave=1", "`interleave` of bernoulli is \"1\", expected 2 to 1048576"),
        (
            "burst:distance=1,length=2,len=3",
            "burst has no key `len`, expected length, distance, interleave, bit, tensor",
        ),
        ("bernoulli:bit=1,bit=1", "bernoulli has the key `bit` twice"),
        ("bernoulli:bit=8", "`bit` of bernoulli is \"8\", expected 0 to 7, 7 for the sign"),
        ("bernoulli:bit=+7", "`bit` of bernoulli is \"+7\", expected 0 to 7, 7 for the sign"),
        ("bernoulli:bit", "`bit` of bernoulli is \"\", expected 0 to 7, 7 for the sign"),
        ("bernoulli:tensor=", "`tensor` of bernoulli is \"\", expected a tensor's name"),
        ("per-bit", "per-bit needs bit=K"),
        ("per-tensor:bit=7", "per-tensor needs tensor=NAME"),
        ("burst:length=2", "burst needs length=L or length=L-M, and distance=D"),
        (
            "burst:length=3-2,distance=1",
            "`length` of burst is \"3-2\", expected 1 to 1024 cells, as L or L-M with L at most M",
        ),
        ("burst:length=2,distance=0", "`distance` of burst is \"0\", expected 1 to 1048576 cells"),
        ("stuck-at", "stuck-at needs value=0 or value=1"),
        ("stuck-at:value=2", "`value` of stuck-at is \"2\", expected 0 or 1"),
        ("asymmetric:share=1.1", "`share` of asymmetric is \"1.1\", expected a number in [0, 1]"),
        ("asymmetric:share=NaN", "`share` of asymmetric is \"NaN\", expected a number in [0, 1]"),
        ("accumulate:scrub=1", "accumulate needs hours=H"),
        ("accumulate:hours=0", "`hours` of accumulate is \"0\", expected 1 to 1000000"),
        (
            "accumulate:hours=4,scrub=4",
            "`scrub` of accumulate is \"4\", expected fewer hours than `hours`, or 0 for never",
        ),
        ("dram:row=0", "`row` of dram is \"0\", expected a positive number up to 1e9"),
        ("dram:row=inf", "`row` of dram is \"inf\", expected a positive number up to 1e9"),
        (
            "dram:rank=1",
            "dram has no key `rank`, expected single-bit, word, pin-column, column, pin-row, row, pin-bank, bank, pin, \
             chip, interleave, bit, tensor",
        ),
    ] {
        assert_eq!(read(text).unwrap_err(), message, "{text}");
    }
}

/// S109 of the specification: the mix of the field study, and a mix of one's own.
#[test]
fn the_shares_of_a_mix_add_up_to_one() {
    // FIT of the failure modes; the share of one pin is the second number.
    let modes = [(7.0, 0.858), (8.4, 0.311), (10.8, 0.555)];
    let mut fit = vec![32.8, 1.7];
    fit.extend(modes.iter().flat_map(|(fit, pin)| [fit * pin, fit * (1.0 - pin)]));
    fit.extend([1.7 * 0.175 + 3.7 * 0.075, 1.7 * 0.825 + 3.7 * 0.925]);
    for (share, fit) in DramMix::default().shares().iter().zip(fit) {
        assert!((share - fit / 66.1).abs() < 1e-12, "{share} {fit}");
    }
    let FaultKind::Dram { mix } = read("dram:word=3,chip=1").unwrap().kind else { panic!("a mix") };
    let shares: Vec<_> =
        DramEvent::ALL.into_iter().zip(mix.shares()).filter(|(_, share)| *share > 0.0).collect();
    assert_eq!(shares, [(DramEvent::ALL[1], 0.75), (DramEvent::ALL[9], 0.25)]);
}

fn kinds() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        Just(FaultKind::Bernoulli),
        Just(FaultKind::FixedCount),
        (1u64..=1024, 0u64..100, 1u64..1 << 20).prop_map(|(least, more, distance)| FaultKind::Burst {
            length: (least, (least + more).min(1024)),
            distance
        }),
        any::<bool>().prop_map(|one| FaultKind::StuckAt { one }),
        (0f64..=1.0).prop_map(|share| FaultKind::Asymmetric { share }),
        (1u64..=1_000_000, 0u64..1_000_000).prop_map(|(hours, scrub)| FaultKind::Accumulate {
            hours,
            scrub: Some(scrub % hours).filter(|&scrub| scrub > 0)
        }),
        Just(FaultKind::Dram { mix: DramMix::default() }),
        (1e-9f64..1e9, 1e-9f64..1e9)
            .prop_map(|(row, chip)| { read(&format!("dram:row={row},chip={chip}")).unwrap().kind }),
    ]
}

proptest! {
    #[test]
    fn what_is_displayed_reads_as_the_same(
        kind in kinds(), interleave in proptest::option::of(2u64..=1 << 20), bit in proptest::option::of(0u8..8),
        tensor in proptest::option::of(".{1,20}")
    ) {
        let model = FaultModel { kind, interleave, scope: Scope { bit, tensor: tensor.map(Into::into) } };
        prop_assert_eq!(read(&model.to_string()).unwrap(), model);
    }

    #[test]
    fn no_text_panics(text in "[a-z-]{0,11}(:[a-z=0-9,.-]{0,24})?") {
        if let Ok(model) = read(&text) {
            prop_assert_eq!(read(&model.to_string()).unwrap(), model);
        }
    }
}
