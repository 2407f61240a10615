//! `--format json`: one document, whose numbers are those of the text and of the records.

use std::path::Path;

use serde_json::Value;

use crate::image_folder::write_classes;
use crate::program::{Numbers, Said, experiment, prepare, succeed, workshop, zerospace};
use crate::table1::write_weights;

/// Runs a verb that ends with `code`; returns its document, which must be all of stdout.
pub(crate) fn document(folder: &Path, arguments: &[&str], code: i32) -> Value {
    let said = zerospace(folder, &[arguments, &["--format", "json"]].concat());
    assert_eq!(said.code, code, "{arguments:?}: {}", said.stderr);
    parsed(&said, arguments[0])
}

fn parsed(said: &Said, verb: &str) -> Value {
    let document: Value =
        serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}", said.stdout));
    assert!(
        said.stdout.starts_with("{\n  \"format\": \"zerospace."),
        "the format comes first: {}",
        said.stdout
    );
    let format = document["format"].as_str().unwrap();
    assert!(format.starts_with(&format!("zerospace.{verb}")) || verb == "status", "{format}");
    // What a field means is in the manual.
    let manual = std::fs::read_to_string(crate::program::root().join("docs/src/json.md")).unwrap();
    assert!(manual.contains(&format!("`{format}`")), "docs/src/json.md does not know {format}");
    names(&document, &mut |name| {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
        assert!(
            manual.contains(&format!("`{name}`")),
            "docs/src/json.md does not say what {name} of {format} is"
        );
    });
    document
}

/// All names of fields.
fn names(value: &Value, tell: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            tell(name);
            names(value, tell);
        }),
        Value::Array(values) => values.iter().for_each(|value| names(value, tell)),
        _ => {}
    }
}

/// The rows of the first Markdown table, its columns by name.
fn table(text: &str) -> Vec<Vec<String>> {
    let lines =
        text.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect();
    lines.map(cells).enumerate().filter(|(i, _)| *i != 1).map(|(_, row)| row).skip(1).collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no array"))
}

/// The first five columns of tables of cells.
fn named(cell: &Value) -> Vec<String> {
    let text = |name: &str| cell[name].as_str().unwrap().to_string();
    let rate = format!("{:e}", cell["rate"].as_f64().unwrap());
    vec![text("cell"), text("model"), text("protection"), text("fault_model"), rate]
}

#[test]
fn documents_of_a_campaign_say_what_the_tables_and_the_records_say() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 4);

    let plan = document(folder, &["plan", "x.toml"], 0);
    let rows = table(&succeed(folder, &["plan", "x.toml"]));
    assert_eq!((array(&plan["cells"]).len(), rows.len()), (16, 16));
    for (cell, row) in array(&plan["cells"]).iter().zip(&rows) {
        let probability = format!("{:.3e}", cell["changed_probability"].as_f64().unwrap());
        let numbers = [cell["data_bits"].to_string(), cell["check_bits"].to_string()];
        let flips = format!("{:.1}", cell["expected_flips"].as_f64().unwrap());
        assert_eq!([named(cell), numbers.into(), vec![flips, probability]].concat(), *row);
        assert!(cell["pilot"].is_null());
    }
    assert_eq!((&plan["trials"], &plan["seed"]), (&64.into(), &5.into()));
    let piloted = document(folder, &["plan", "x.toml", "--pilot", "2"], 0);
    let seconds = |cell: &Value| cell["pilot"]["seconds_a_trial"].as_f64().unwrap();
    let all: f64 = array(&piloted["cells"]).iter().map(|cell| 4.0 * seconds(cell)).sum();
    assert!((piloted["pilot"]["seconds"].as_f64().unwrap() / all - 1.0).abs() < 1e-9, "{piloted}");

    succeed(folder, &["run", "x.toml", "--out", "run", "--shard", "0/3"]);
    let status = document(folder, &["status", "run"], 5);
    let said = zerospace(folder, &["status", "run"]);
    for (cell, row) in array(&status["cells"]).iter().zip(table(&said.stdout)) {
        let trials = format!("{}/{}", cell["trials"], cell["needed_trials"]);
        assert_eq!([named(cell), vec![trials, cell["unchanged"].to_string()]].concat(), row);
    }
    let last = format!("{} of {} trials\n", status["trials"], status["needed_trials"]);
    assert!(said.stdout.ends_with(&last), "{}", said.stdout);
    let unfinished = document(folder, &["status", "run", "--unfinished-shards", "3"], 5);
    assert_eq!(unfinished["unfinished"], serde_json::json!([1, 2]));

    // An error is no document.
    let error = zerospace(folder, &["status", "nowhere", "--format", "json"]);
    assert_eq!((error.code, error.stdout.as_str()), (1, ""));
    assert!(error.stderr.starts_with("error: nowhere/manifest.json"), "{}", error.stderr);

    for shard in ["1/3", "2/3"] {
        succeed(folder, &["run", "x.toml", "--out", "run", "--shard", shard]);
    }
    std::fs::write(folder.join("run/parts/stray.jsonl"), "{}").unwrap();
    let status = document(folder, &["status", "run"], 0);
    assert_eq!(status["trials"], status["needed_trials"]);
    assert_eq!(status["not_counted"][0]["path"], "run/parts/stray.jsonl");

    // Merges first, and says nothing of it on stdout.
    let report = document(folder, &["report", "run"], 0);
    let rows = records::read_trials(&folder.join("run/trials.parquet")).unwrap();
    for cell in array(&report["cells"]) {
        let of = |row: &&records::TrialRow| {
            row.protection == cell["protection"].as_str().unwrap()
                && row.rate == cell["rate"].as_f64().unwrap()
        };
        let drops: Vec<f64> = rows
            .iter()
            .filter(of)
            .map(|row| 100.0 * (row.clean_correct as f64 - row.record.correct as f64) / row.images as f64)
            .collect();
        assert_eq!(cell["trials"], drops.len());
        let mean = drops.iter().sum::<f64>() / drops.len() as f64;
        assert!((cell["drop_mean_points"].as_f64().unwrap() - mean).abs() < 1e-9, "{cell}");
        let max = drops.iter().copied().fold(f64::MIN, f64::max);
        assert!((cell["drop_max_points"].as_f64().unwrap() - max).abs() < 1e-9, "{cell}");
    }
    for path in array(&report["written"]) {
        assert!(folder.join(path.as_str().unwrap()).is_file(), "{path}");
    }

    let verify = document(folder, &["verify", "x.toml", "--out", "run", "--sample", "9", "--seed", "2"], 0);
    let same: u64 = array(&verify["cells"]).iter().map(|cell| cell["same"].as_u64().unwrap()).sum();
    assert_eq!((same, &verify["verified_trials"], &verify["stored_trials"]), (9, &9.into(), &64.into()));

    // One trial, flip by flip: the record of the document is that of the table.
    let row = rows.iter().rfind(|row| row.protection == "secded-72-64").unwrap();
    let number = row.record.trial.to_string();
    let arguments = ["replay", "x.toml", &row.cell, &number, "--out", "run"];
    let replay = document(folder, &arguments, 0);
    let record: design::TrialRecord = serde_json::from_value(replay["record"].clone()).unwrap();
    assert_eq!(record, row.record);
    assert_eq!(replay["record"], replay["stored"]);
    assert_eq!(array(&replay["flips"]).len() as u64, record.flips_data + record.flips_check);
    let outcomes =
        |name: &str| array(&replay["words"]).iter().filter(|word| word["outcome"] == *name).count() as u64;
    assert_eq!(outcomes("corrected"), record.corrected);
    assert_eq!(outcomes("detected"), record.detected);
    let text = succeed(folder, &arguments);
    for (flip, row) in array(&replay["flips"]).iter().zip(table(&text)) {
        assert_eq!((flip["word"].to_string(), flip["bit"].to_string()), (row[0].clone(), row[2].clone()));
        if let Some(byte) = flip["stored"].as_i64() {
            assert_eq!(row[3], format!("{byte} {:08b}", byte as u8), "{flip}");
        }
    }
}

#[test]
fn documents_of_checkpoints_and_rates_say_what_the_tables_say() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let inspect = document(folder, &["inspect", "net.safetensors", "--figure", "figure"], 0);
    let text = succeed(folder, &["inspect", "net.safetensors"]);
    let checkpoint = &inspect["checkpoints"][0];
    assert!(
        text.contains(&format!("content hash {}\n", checkpoint["content_hash"].as_str().unwrap())),
        "{text}"
    );
    let rows = table(&text);
    let distributions = array(&checkpoint["tensors"]).iter().chain([&checkpoint["total"]]);
    for (tensor, row) in distributions.zip(&rows) {
        assert_eq!(
            (tensor["weights"].to_string(), tensor["violations"].to_string()),
            (row[2].clone(), row[7].clone())
        );
        let share = 100.0 * tensor["magnitudes"][1].as_f64().unwrap() / tensor["weights"].as_f64().unwrap();
        assert_eq!(row[5], format!("{share:.3}"));
    }
    assert_eq!(rows.len(), array(&checkpoint["tensors"]).len() + 1);
    assert_eq!(array(&inspect["written"]).len(), 3);
    for path in array(&inspect["written"]) {
        assert!(folder.join(path.as_str().unwrap()).is_file(), "{path}");
    }

    let rates = ["fit", "--fit-per-mbit", "1000", "--hours", "8760", "--ber", "0.5", "--ber", "1e-6"];
    let fit = document(folder, &rates, 0);
    let text = succeed(folder, &rates);
    for value in [
        &fit["flips_per_bit_hour"],
        &fit["accumulate_rate"],
        &fit["bit_error_rate"],
        &fit["until"][1]["hours"],
    ] {
        assert!(text.contains(&format!(" {:.4e} |", value.as_f64().unwrap())), "{value}: {text}");
    }
    // A rate of one half is never reached; there is no such number in JSON.
    assert!(fit["until"][0]["hours"].is_null() && text.contains("never"), "{fit}");

    let changed =
        experiment(3).replace("[0.0, ", "[").replace("seed = 5\n", "seed = 5\ntrials_of = \"changed\"\n");
    std::fs::write(folder.join("changed.toml"), changed).unwrap();
    assert_eq!(document(folder, &["plan", "changed.toml"], 0)["changed_trials_only"], true);
    let stop = experiment(3).replace("[[model]]", "[stop]\nfailures = 2\ndrop_points = 1.5\n\n[[model]]");
    std::fs::write(folder.join("stop.toml"), stop).unwrap();
    let stop = document(folder, &["plan", "stop.toml"], 0);
    assert_eq!(stop["stop"], serde_json::json!({"failures": 2, "drop_points": 1.5}));
}

#[test]
fn the_document_of_table_1_has_its_counts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_weights(folder, &[("squeezenet1_0", "squeezenet1_0.safetensors")]);
    write_classes(&folder.join("images/val"), 2, &mut Numbers(4));
    let arguments =
        ["table1", "--models", "squeezenet1_0", "--weights", "weights", "--images", "images", "--out", "out"];
    let table1 = document(folder, &arguments, 0);
    let csv = std::fs::read_to_string(folder.join("out/table1.csv")).unwrap();
    let (names, values) = csv.split_once('\n').unwrap();
    // Commas between quotation marks are no separators: every second stretch is inside.
    let quoted = values.trim().split('"').enumerate();
    let values: String =
        quoted.map(|(i, text)| if i % 2 == 0 { text.replace(',', "\n") } else { text.into() }).collect();
    let column = |name: &str| {
        let at = names.split(',').position(|n| n == name).unwrap_or_else(|| panic!("no {name} in {names}"));
        values.lines().nth(at).unwrap().to_string()
    };
    let network = &table1["networks"][0];
    assert_eq!(table1["measure"], "accuracy");
    for name in ["images", "violations", "weights_file", "weights_sha256"] {
        assert_eq!(network[name].to_string().trim_matches('"'), column(name), "{name}");
    }
    for (count, percent) in [("float_correct", "float_top1_percent"), ("int8_correct", "int8_top1_percent")] {
        let share = 100.0 * network[count].as_f64().unwrap() / network["images"].as_f64().unwrap();
        assert!((share - column(percent).parse::<f64>().unwrap()).abs() < 1e-9, "{count}");
    }
    assert_eq!(network["published"]["float_percent"], 58.09);
    assert_eq!(table1["written"], serde_json::json!(["out/table1.md", "out/table1.csv"]));
}
