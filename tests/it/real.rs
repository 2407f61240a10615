//! The real thing: a third-party ResNet-20 and CIFAR-10, where they are at hand.

use crate::program::{experiment, real_data, succeed};

/// The numbers of a row of `quantize`'s table: correct and images.
fn correct(table: &str, network: &str) -> (f64, f64) {
    let row = table
        .lines()
        .find(|line| line.starts_with(&format!("| {network} ")))
        .unwrap_or_else(|| panic!("no row {network} in {table}"));
    let cells: Vec<f64> = row.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    (cells[0], cells[1])
}

#[test]
fn resnet20_keeps_its_accuracy_in_int8_and_shows_the_papers_shape() {
    let Some(data) = real_data("the real ResNet-20 on CIFAR-10") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = data.to_str().unwrap();
    let quantize = |file: &str, rest: &[&str]| {
        let file = format!("{data}/checkpoints/{file}");
        let arguments = ["quantize", &file, "--arch", "resnet20", "--data", data];
        succeed(folder, &[&arguments[..], rest].concat())
    };
    // Legacy pickle and zip hold the same network.
    let table = quantize("resnet20-cifar10.th", &["-o", "plain.safetensors"]);
    quantize("resnet20-cifar10.pth", &["--throttle", "--images", "100", "-o", "net.safetensors"]);
    let (float, images) = correct(&table, "float");
    let (int8, _) = correct(&table, "int8");
    assert_eq!(images, 10_000.0);
    // Its publisher's 91.7 % are of lossless images; PyTorch has 81.5 % on the first 4,000 of these JPEGs.
    assert!((float / images - 0.815).abs() < 0.01, "{table}");
    assert!((float - int8).abs() / images < 0.005, "{table}");
    assert!(table.contains("the 268336 weights were kept"), "{table}");
    let clamped = table.lines().find(|line| line.starts_with("| in-place-64-57 ")).unwrap_or_default();
    assert!(clamped.contains(" 2795 ") && clamped.contains(" 1.042 "), "{table}");

    let campaign =
        experiment(5).replace("images = 40", "images = 500").replace("unit_trials = 3", "unit_trials = 5");
    std::fs::write(folder.join("x.toml"), campaign).unwrap();
    succeed(folder, &["run", "x.toml", "--data", data]);
    let rows = records::read_trials(&folder.join("runs/x/trials.parquet")).unwrap();
    let drop_points = |protection: &str, rate: f64| {
        let cell = rows.iter().filter(|r| r.protection == protection && r.rate == rate);
        let drops: Vec<f64> = cell
            .map(|r| 100.0 * (r.clean_correct as f64 - r.record.correct as f64) / r.images as f64)
            .collect();
        assert_eq!(drops.len(), 5);
        drops.iter().sum::<f64>() / 5.0
    };
    for protection in ["secded-72-64", "in-place-64-57"] {
        assert_eq!(drop_points(protection, 1e-5), 0.0);
        assert!(drop_points(protection, 1e-3) < 3.0);
        assert!(drop_points("faulty", 1e-3) > drop_points(protection, 1e-3));
    }
    assert!(drop_points("faulty", 1e-2) > 30.0);
}
