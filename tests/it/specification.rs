//! The specification of the manual: each of its numbered statements is held by a test that names it, the values that it shows
//! are what the program computes, and a program that was written from it alone computes published records.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use campaign::{ChangedTrial, Evaluation, EvaluationError, Evaluator, Outputs, Trial};
use design::{BitErrorRate, EvaluationSet, FaultModel, FaultSample, FaultedTensor, SingleFaultSpec};
use ecc::{BLOCK, Constraint, Kernel, MatrixCode, MemoryImage, Protection};
use graph::WeightChange;
use inject::{FaultPattern, Faults, PlaneSizes, ScopedBits};
use quant::{Checkpoint, Contents, QuantTensor, WeightScale};
use records::Part;
use sha2::{Digest, Sha256};

use crate::markdown::{blocks, read};
use crate::program::{experiment, prepare, root, say, succeed, workshop};

const PAGES: [&str; 4] = [
    "specification-faults.md",
    "specification-memory.md",
    "specification-inference.md",
    "specification-files.md",
];

fn page(name: &str) -> String {
    read(&root().join("docs/src").join(name))
}

/// The rows of the table that begins with such a column, cell by cell, without the marks of code.
fn table(page: &str, first_column: &str) -> Vec<Vec<String>> {
    let head = format!("| {first_column} | ");
    let lines = page.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let rows = lines.map_while(|line| line.strip_prefix('|')?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

/// The `text` blocks of a page.
fn texts(page: &str) -> Vec<String> {
    blocks(page).0.into_iter().filter(|block| block.kind == "text").map(|block| block.text).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Statements by number: S and three digits.
fn statements(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices('S').map(|(at, _)| &text[at..]);
    let numbers = starts
        .filter_map(|rest| rest.get(..4).filter(|_| !rest[4..].starts_with(|c: char| c.is_ascii_digit())));
    numbers.filter(|number| number[1..].bytes().all(|b| b.is_ascii_digit())).map(String::from).collect()
}

#[test]
fn every_statement_is_named_by_a_test() {
    let mut made: Vec<String> = Vec::new();
    for name in PAGES {
        let text = page(name);
        let heads = text.split("**S").skip(1).map(|rest| format!("S{}", &rest[..3]));
        made.extend(heads);
        let overview = page("specification.md");
        let row =
            overview.lines().find(|line| line.contains(&format!("({name})"))).expect("each page is listed");
        let [first, last] = [made.iter().rfind(|n| n.ends_with("01")), made.last()].map(Option::unwrap);
        assert!(row.contains(&format!("| {first} to {last} |")), "{row}: {first} to {last}");
    }
    assert!(made.is_sorted() && made.len() > 70, "{made:?}");
    let mut named = BTreeSet::new();
    let mut folders = vec![root().join("crates"), root().join("tests/it")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                // In the comment right above a test.
                let tests =
                    text.split("#[test]").map(|before| before.trim_end().rsplit("\n\n").next().unwrap());
                let comments =
                    tests.flat_map(|before| before.lines().map(str::trim).filter(|l| l.starts_with("///")));
                comments.for_each(|line| named.append(&mut statements(line)));
            }
        }
    }
    let made: BTreeSet<String> = made.into_iter().collect();
    assert_eq!(made.difference(&named).collect::<Vec<_>>(), [""; 0], "no test names these");
    assert_eq!(named.difference(&made).collect::<Vec<_>>(), [""; 0], "tests name these, which are none");
    let python = ["recompute.py", "recompute_codes.py", "recompute_network.py", "recompute_single_faults.py"]
        .map(|name| statements(&page(name)));
    python.iter().for_each(|named| assert!(named.is_subset(&made), "{named:?}"));
}

fn offsets(cell: &str) -> Vec<u64> {
    cell.split_whitespace().map(|offset| offset.parse().unwrap()).collect()
}

/// S107, S108, S109, S110, S111, S112, S113, S114, S115, S116, S117 and S119: the cells that the page shows are drawn.
#[test]
fn the_cells_of_the_page_are_drawn() {
    let rows = table(&page(PAGES[0]), "model");
    assert_eq!(rows.len(), 16);
    for row in rows {
        let (name, part) = row[0].split_once(", ").unwrap_or((&row[0], ""));
        let FaultModel { kind, interleave, scope } = name.parse().unwrap();
        let rate = BitErrorRate::new(row[1].parse().unwrap()).unwrap();
        let PlaneSizes { data_bits, check_bits } = PlaneSizes { data_bits: 8_000, check_bits: 1_000 };
        let bits = ScopedBits::new(&scope, 0..data_bits, 0..check_bits);
        // One tensor of 125 blocks.
        let bits = match interleave {
            None => bits,
            Some(depth) => bits.interleaved(depth, &[[125, 125]]),
        };
        let found = bits.sample(kind, rate, 2019, row[2].parse().unwrap());
        let expected = FaultPattern { data: offsets(&row[3]), check: offsets(&row[4]) };
        let found = match (found, part.split_once(' ')) {
            (Faults::Flips(pattern), None) => pattern,
            (Faults::ByStoredBit { ones, zeros }, None) => {
                if zeros.data.is_empty() {
                    ones
                } else {
                    zeros
                }
            }
            (Faults::ByStoredBit { ones, .. }, Some(("of", "ones"))) => ones,
            (Faults::ByStoredBit { zeros, .. }, Some(("of", "zeros"))) => zeros,
            (Faults::BetweenScrubs(intervals), Some(("interval", number))) => {
                intervals[number.parse::<usize>().unwrap()].clone()
            }
            (other, part) => panic!("{name}: {part:?} of {other:?}"),
        };
        assert_eq!(found, expected, "{row:?}");
    }
}

/// S141, S142, S143: the single faults that the page shows are drawn.
#[test]
fn the_single_faults_of_the_page_are_drawn() {
    let rows = table(&page(PAGES[0]), "strata");
    assert_eq!(rows.len(), 4);
    for row in rows {
        let tensor = |weights| FaultedTensor { name: "t".into(), weights };
        let strata = serde_json::from_str(&format!("\"{}\"", row[0])).unwrap();
        let spec = SingleFaultSpec {
            record_version: 1,
            evaluator: String::new(),
            model: String::new(),
            network: String::new(),
            tensors: vec![tensor(3), tensor(40)],
            seed: 2019,
            sample: FaultSample {
                strata,
                margin: 0.5,
                confidence: 0.95,
                expected_rate: 0.5,
                exhaustive: false,
            },
            evaluation: EvaluationSet::default(),
        };
        assert_eq!(campaign::drawn_faults(&spec), offsets(&row[1]), "{}", row[0]);
    }
}

/// S222, S230: the page has the parameters of all protections.
#[test]
fn the_matrices_of_the_page_are_the_programs() {
    let [parameters] = &texts(&page(PAGES[1]))[..] else { panic!("one block of parameters") };
    let known: Vec<String> = ecc::all().iter().map(|p| format!("{}: {}", p.id(), p.parameters())).collect();
    let mut shown: Vec<&str> = parameters.lines().collect();
    shown.sort_unstable();
    let mut known: Vec<&str> = known.iter().map(|line| line.trim_end()).collect();
    known.sort_unstable();
    let shown: Vec<&str> = shown.into_iter().map(str::trim_end).collect();
    assert_eq!(shown, known);
}

/// The columns that a protection says, for a code of so many cells.
fn columns(protection: &dyn Protection, cells: usize) -> Vec<u64> {
    let parameters = protection.parameters();
    let hex = parameters.split("columns ").nth(1).unwrap().split(' ').next().unwrap();
    let digits = hex.len() / cells;
    (0..cells).map(|i| u64::from_str_radix(&hex[i * digits..][..digits], 16).unwrap()).collect()
}

/// S202, S211, S212, S213, S214, S215, S216, S217, S218, S219, S221, S227, S228, S229: the words that the page shows are stored.
#[test]
fn the_words_of_the_page_are_stored() {
    let rows = table(&page(PAGES[1]), "protection");
    assert_eq!(rows.len(), ecc::all().len());
    let weights: [i8; BLOCK] = [1, -2, 3, -4, 5, -6, 7, -8];
    for row in rows {
        let protection = ecc::by_id(&row[0]).unwrap();
        let shape = protection.word();
        let mut image = MemoryImage::blank(shape, BLOCK);
        protection.encode_block(&weights, &mut image, 0);
        let bytes: Vec<String> = image.data().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes.join(" "), row[1], "{}", row[0]);
        if row[2].starts_with('(') {
            assert_eq!(image.check(), image.data());
            continue;
        }
        let bits = (0..shape.check_bits_of(BLOCK)).map(|i| image.check()[i / 8] >> (i % 8) & 1);
        assert_eq!(bits.map(|bit| bit.to_string()).collect::<String>(), row[2], "{}", row[0]);
    }
}

/// Matrices of the codes that the page shows, their rows combined, with their flips, weights, positions and check bits.
fn codes_of_the_page() -> [MatrixCode; 3] {
    let code =
        |matrix: &str, corrects, weights, positions: Option<&[usize]>, check_bits: Option<&[usize]>| {
            MatrixCode {
                id: "code".into(),
                matrix: matrix.parse().unwrap(),
                corrects,
                weights,
                positions: positions.map(<[usize]>::to_vec),
                check_bits: check_bits.map(<[usize]>::to_vec),
            }
        };
    let signs = [7, 15, 23, 31, 39, 47, 55, 63, 6, 14, 22, 30];
    let lowest: Vec<usize> = (0..64).filter(|bit| bit % 8 != 1).collect();
    let parities = (0..3).map(|row| {
        let bit = |bit: &usize| if bit / 8 % 3 == row { "1" } else { "0" };
        lowest.iter().map(bit).collect::<String>() + "\n"
    });
    [
        code("011110001100\n101010110100\n011110110011\n110011101001", 1, 8, Some(&signs), Some(&signs[8..])),
        code(&"1".repeat(33), 0, 4, None, None),
        code(&parities.collect::<String>(), 0, 8, Some(&lowest), Some(&[0, 8, 16])),
    ]
}

/// S231: the codes that the page shows have its parameters, and store its words.
#[test]
fn the_codes_by_matrix_of_the_page_are_stored() {
    let rows = table(&page(PAGES[1]), "parameters");
    assert_eq!(rows.len(), 3);
    let weights: [i8; BLOCK] = [1, -2, 3, -4, 5, -6, 7, -8];
    for (row, code) in rows.iter().zip(codes_of_the_page()) {
        let protection = code.protection(Kernel::fastest()).unwrap();
        let mut image = MemoryImage::blank(protection.word(), BLOCK);
        protection.encode_block(&weights, &mut image, 0);
        let bytes: Vec<String> = image.data().iter().map(|byte| format!("{byte:02x}")).collect();
        let bits = (0..protection.word().check_bits_of(BLOCK)).map(|i| image.check()[i / 8] >> (i % 8) & 1);
        let shown = [protection.parameters(), bytes.join(" "), bits.map(|bit| bit.to_string()).collect()];
        assert_eq!(*row, shown);
    }
}

/// S221, S223: stored words have the syndrome 0 under the columns that are said, whatever the weights.
#[test]
fn stored_words_satisfy_their_parity_checks() {
    let (mut words, mut numbers) = (0, crate::program::Numbers(3));
    for protection in
        ecc::all().iter().filter(|p| p.parameters().contains("columns ") && p.id() != "in-place-list")
    {
        let shape = protection.word();
        let of_four_bits = protection.parameters().starts_with("bits 4-7");
        let cells = if of_four_bits { 4 * shape.weights } else { 8 * shape.weights + shape.check_bits };
        let columns = columns(&**protection, cells);
        for _ in 0..200 {
            let mut weights = numbers.next().to_le_bytes().map(u8::cast_signed);
            protection.constraint().throttle(&mut weights);
            let mut image = MemoryImage::blank(shape, BLOCK);
            protection.encode_block(&weights, &mut image, 0);
            let bit = |plane: &[u8], cell: usize| plane[cell / 8] >> (cell % 8) & 1 == 1;
            for word in 0..BLOCK / shape.weights {
                let holds = |cell: usize| match cell.checked_sub(8 * shape.weights) {
                    _ if of_four_bits => {
                        bit(image.data(), 8 * (word * shape.weights + cell / 4) + 4 + cell % 4)
                    }
                    None => bit(image.data(), 8 * shape.weights * word + cell),
                    Some(check) => bit(image.check(), shape.check_bits * word + check),
                };
                let set = columns.iter().enumerate().filter(|(cell, _)| holds(*cell));
                assert_eq!(
                    set.fold(0, |sum, (_, column)| sum ^ column),
                    0,
                    "{} {weights:?}",
                    protection.id()
                );
                words += 1;
            }
        }
    }
    assert!(words > 2_000, "{words}");
}

/// S224, S226: what can be stored is what has the sign in its check cells, and reads back.
#[test]
fn weights_that_repeat_their_sign_in_check_cells_can_be_stored() {
    let mut constrained = 0;
    for protection in ecc::all().iter().filter(|p| p.parameters().contains("columns ")) {
        if protection.constraint() == Constraint::NONE {
            continue;
        }
        constrained += 1;
        let shape = protection.word();
        let of_four_bits = protection.parameters().starts_with("bits 4-7");
        let cells = if of_four_bits { 4 * shape.weights } else { 8 * shape.weights };
        let columns = columns(&**protection, cells);
        let place = |cell: usize| if of_four_bits { (cell / 4, 4 + cell % 4) } else { (cell / 8, cell % 8) };
        for (position, value) in (0..BLOCK).flat_map(|i| (i8::MIN..=i8::MAX).map(move |value| (i, value))) {
            let checks = (0..cells).filter(|&cell| columns[cell].is_power_of_two()).map(place);
            let mut inside = checks.filter(|(weight, _)| *weight == position % shape.weights);
            let fits = inside.all(|(_, bit)| value >> bit & 1 == i8::from(value < 0));
            assert_eq!(
                protection.constraint().allows(position, value),
                fits,
                "{} {position} {value}",
                protection.id()
            );
            let mut weights = [0; BLOCK];
            weights[position] = value;
            let mut image = MemoryImage::blank(shape, BLOCK);
            protection.encode_block(&weights, &mut image, 0);
            let mut read = vec![0; BLOCK];
            protection.decode(&image, &mut read);
            assert_eq!(read == weights, fits, "{} {position} {value}", protection.id());
        }
    }
    assert_eq!(constrained, 6);
}

/// Predicts the same in every trial.
struct Fixed(Vec<u16>);

impl Evaluator for Fixed {
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        Ok(vec![Outputs::Predictions(self.0.clone()); trials.len()])
    }
}

/// S401, S402, S403, S404: the hashes of the page are those of a record, and of the bytes beside them.
#[test]
fn the_hashes_of_the_page_are_those_of_its_bytes() {
    let rows = table(&page(PAGES[3]), "what");
    let change = WeightChange { tensor: 1, index: 2, value: -128 };
    let trial = Trial {
        pattern: FaultPattern { data: vec![1, 8], check: vec![3] },
        changes: vec![change],
        ..Trial::default()
    };
    let evaluation = Evaluation::new(vec![3, 4], vec![9, 9]);
    let records = evaluation.records(0, vec![trial, Trial::default()], &mut Fixed(vec![3, 9])).unwrap();
    let record = serde_json::to_value(&records[0]).unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let bytes: Vec<u8> = row[1].split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert_eq!(row[2], sha256(&bytes)[..16], "{}", row[0]);
        assert_eq!(record[&row[0]], row[2]);
    }
    assert_eq!((records[0].correct, records[0].agree, evaluation.clean_correct()), (1, 1, 0));
    let unchanged = &records[1];
    assert_eq!((unchanged.correct, unchanged.agree, &unchanged.weights_hash[..]), (0, 2, "e3b0c44298fc1c14"));
}

/// The network of S405.
fn one_layer() -> Checkpoint {
    let [metadata, ..] = &texts(&page(PAGES[3]))[..] else { panic!("no example") };
    let mut values = metadata.lines().skip(1).map(|line| {
        let (length, json) = line.strip_prefix('[').unwrap().split_once(']').unwrap();
        assert_eq!(length.parse(), Ok(json.len()), "{json}");
        json
    });
    fn parsed<T: serde::de::DeserializeOwned>(json: Option<&str>) -> T {
        serde_json::from_str(json.unwrap()).unwrap()
    }
    let (model, layers) = (parsed(values.next()), parsed(values.next()));
    let (preprocessing, activations) = (parsed(values.next()), parsed(values.next()));
    let (name, shape, scale) = parsed(values.next());
    let (parameter, parameter_shape): (String, Vec<usize>) = parsed(values.next());
    let bias = quant::FloatTensor::new(parameter_shape, vec![0.5, -0.25]);
    let contents = Contents {
        model,
        layers,
        preprocessing,
        weights: vec![
            QuantTensor::new(name, shape, vec![1, -2, 3, 4, 5, -6], WeightScale::Tensor(scale)).unwrap(),
        ],
        parameters: quant::Parameters::from([(parameter, bias)]),
        activations: quant::Activations::Static(activations),
        provenance: quant::Provenance::default(),
    };
    Checkpoint::new(contents).unwrap()
}

/// S405: a checkpoint's digest from bytes that are put together by hand.
#[test]
fn the_digest_of_a_checkpoint_is_that_of_the_bytes_of_the_page() {
    let texts = texts(&page(PAGES[3]));
    let [preimage, digest, ..] = &texts[..] else { panic!("no example") };
    let mut bytes = Vec::new();
    for (number, line) in preimage.lines().enumerate() {
        let json = line.split_once(']').map_or(line, |(_, json)| json);
        match number {
            0 => bytes.extend(format!("{line}\n").bytes()),
            _ => {
                bytes.extend((json.len() as u64).to_le_bytes());
                bytes.extend(json.bytes());
            }
        }
    }
    bytes.extend([1, -2, 3, 4, 5, -6i8].map(i8::cast_unsigned));
    bytes.extend([0.5f32, -0.25].iter().flat_map(|value| value.to_le_bytes()));
    assert_eq!(sha256(&bytes), digest.trim());
    assert_eq!(one_layer().digest(), digest.trim());
    // Numbers of f32 and of f64 change their form at different sizes.
    let text = |value: f32| serde_json::to_string(&value).unwrap();
    assert_eq!(
        [1e-6, 9e-7, 9e12, 1e13, 127.0].map(text),
        ["0.000001", "9e-7", "9000000000000.0", "1e+13", "127.0"]
    );
    let text = |value: f64| serde_json::to_string(&value).unwrap();
    assert_eq!([1e-5, 9e-6, 9e15, 1e16].map(text), ["0.00001", "9e-6", "9000000000000000.0", "1e+16"]);
}

/// S301, S305, S306, S307, S308, S314, S315: the network of one layer gives the logits of the page.
#[test]
fn the_example_of_the_page_has_its_logits() {
    let checkpoint = one_layer();
    let graph = zoo::build_stored(&checkpoint.model, &checkpoint.layers).unwrap();
    let mut network = infer::Network::new(&graph, &checkpoint).unwrap();
    let inputs = network.prepare(&[10, 200, 77]).unwrap();
    let logits = network.logits(&inputs, &[]);
    assert_eq!(logits, [0.44903588, -0.22619195]);
    assert!(page(PAGES[2]).contains("the logits 0.44903588 and -0.22619195 (S314)"));
    assert_eq!(network.predict_clean(&inputs), [0]);
}

/// S406: the digest of images from bytes that are put together by hand.
#[test]
fn the_digest_of_images_is_that_of_their_bytes() {
    let set = data::synthetic(data::Split::Test, 1000, data::SYNTHETIC_SEED).unwrap();
    let mut bytes = b"zerospace image set 1\n".to_vec();
    bytes.extend([3u32, 32, 32, 10].iter().flat_map(|size| size.to_le_bytes()));
    bytes.extend(1000u64.to_le_bytes());
    bytes.extend(set.labels().iter().flat_map(|label| label.to_le_bytes()));
    bytes.extend(set.pixels());
    assert_eq!(set.digest(), sha256(&bytes));
    assert_eq!(set.digest(), texts(&page(PAGES[3]))[2].trim());
}

/// S407: a cell's id from the text of the page, which is the first cell of a published run.
#[test]
fn the_id_of_a_cell_is_that_of_its_text() {
    let page = page(PAGES[3]);
    let text = &texts(&page)[3];
    let store = records::Store::open(&root().join("results/reproduce")).unwrap();
    let cell = &store.manifest().cells[0];
    assert_eq!(sha256(text.trim().as_bytes())[..16], *cell.id.as_str());
    assert!(page.contains(&format!("has the id `{}`", cell.id)));
    let changed = design::CellSpec { changed_probability: Some(0.5), ..cell.spec.clone() };
    assert_eq!(sha256(format!("[{},\"changed\"]", text.trim()).as_bytes())[..16], *changed.id().as_str());
    let mut drawn = changed;
    drawn.evaluation.images_per_trial = Some(50);
    let text = format!("[{},\"changed\",\"images_per_trial\",50]", text.trim());
    assert_eq!(sha256(text.as_bytes())[..16], *drawn.id().as_str());
}

/// S408, S409: a part's lines and the table's columns.
#[test]
fn parts_and_tables_are_as_the_page_says() {
    let folder = root().join("results/reproduce");
    let rows = records::read_trials(&folder.join("trials.parquet")).unwrap();
    let cell = records::Store::open(&folder).unwrap().manifest().cells[0].clone();
    let trials = rows[..3].iter().map(|row| row.record.clone()).collect();
    let part = Part {
        cell: cell.spec.clone(),
        first: 0,
        clean_correct: rows[0].clean_correct,
        clean_scores: vec![],
        trials,
    };
    let text = String::from_utf8(part.to_bytes()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let json = serde_json::to_string(&cell.spec).unwrap();
    let head = format!(r#"{{"zerospace_part":1,"cell":{json},"first":0,"clean_correct":886}}"#);
    assert_eq!((lines.len(), lines[0]), (5, &*head));
    let before: String = lines[..4].iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(lines[4], format!(r#"{{"sha256":"{}"}}"#, sha256(before.as_bytes())));

    let listed: Vec<String> = table(&page("records.md"), "column")
        .iter()
        .flat_map(|row| row[0].split(", ").map(String::from).collect::<Vec<_>>())
        // The last columns are those of trials on blocks of images.
        .take_while(|name| name != "images_per_trial")
        .collect();
    let trial: serde_json::Map<String, serde_json::Value> = serde_json::from_str(lines[1]).unwrap();
    let first = listed.iter().position(|name| name == "trial").unwrap();
    let positions =
        listed[first..listed.len() - 1].iter().map(|name| lines[1].find(&format!("\"{name}\":")).unwrap());
    assert!(positions.is_sorted() && trial.len() == listed.len() - 1 - first, "{}", lines[1]);

    use parquet::basic::{ConvertedType, Repetition, Type};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    for (run, columns, version) in [("reproduce", listed.len() - 1, "1"), ("rare-events", listed.len(), "2")]
    {
        let file = std::fs::File::open(root().join("results").join(run).join("trials.parquet")).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let metadata = reader.metadata().file_metadata();
        let versions: Vec<_> =
            metadata.key_value_metadata().unwrap().iter().filter(|kv| kv.key == "zerospace.trials").collect();
        assert_eq!(versions[0].value.as_deref(), Some(version));
        assert_eq!(reader.metadata().num_row_groups(), 1);
        let found = metadata.schema_descr().columns();
        assert_eq!(found.iter().map(|c| c.name()).collect::<Vec<_>>(), listed[..columns]);
        for column in found {
            let kind = match column.name() {
                "cell" | "model" | "protection" | "fault_model" | "data_set" | "pattern_hash"
                | "weights_hash" | "predictions_hash" => {
                    (Type::BYTE_ARRAY, ConvertedType::UTF8, Repetition::REQUIRED)
                }
                "rate" => (Type::DOUBLE, ConvertedType::NONE, Repetition::REQUIRED),
                "changed_probability" => (Type::DOUBLE, ConvertedType::NONE, Repetition::OPTIONAL),
                _ => (Type::INT64, ConvertedType::UINT_64, Repetition::REQUIRED),
            };
            let repetition = column.self_type().get_basic_info().repetition();
            assert_eq!(
                (column.physical_type(), column.converted_type(), repetition),
                kind,
                "{}",
                column.name()
            );
        }
    }
}

/// The test images of the synthetic set, in the binary form of CIFAR-10.
fn synthetic_images(folder: &Path, count: usize) -> PathBuf {
    let set = data::synthetic(data::Split::Test, count, data::SYNTHETIC_SEED).unwrap();
    let record = |image: usize| {
        let label = u8::try_from(set.labels()[image]).unwrap();
        std::iter::once(label).chain(set.image(image).iter().copied()).collect::<Vec<u8>>()
    };
    let path = folder.join("test_batch.bin");
    std::fs::write(&path, (0..count).flat_map(record).collect::<Vec<u8>>()).unwrap();
    path
}

/// docs/src/recompute.py, or nothing where there is no Python for it.
fn recompute() -> Option<impl Fn(&Path, &[PathBuf], &[&str]) -> String> {
    stranger("recompute.py")
}

/// A program of docs/src, or nothing where there is no Python for it.
fn stranger(program: &'static str) -> Option<impl Fn(&Path, &[PathBuf], &[&str]) -> String> {
    let python = std::env::var("ZEROSPACE_PYTHON").unwrap_or_else(|_| "python3".into());
    let can = Command::new(&python).args(["-c", "import numpy, pandas, pyarrow"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        say(&format!("docs/src/{program} not run: {python} has no numpy and pandas with pyarrow"));
        return None;
    }
    Some(move |run: &Path, checkpoints: &[PathBuf], arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.arg(root().join("docs/src").join(program)).arg(run).args(checkpoints).args(arguments);
        let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{}: {said}{}",
            run.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        said
    })
}

/// All statements on which a record depends, S101 to S412: a program that was written from the pages alone computes trials of
/// every fault model and protection of published runs, and predictions.
#[test]
fn a_strangers_program_computes_published_records() {
    let Some(recompute) = recompute() else { return };
    let mut checkpoints: Vec<PathBuf> = Vec::new();
    for folder in ["experiments/networks", "experiments/networks/zero-space"] {
        let files = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        checkpoints.extend(files.filter(|path| path.extension().is_some_and(|e| e == "safetensors")));
    }
    let folder = tempfile::tempdir().unwrap();
    let images = synthetic_images(folder.path(), 1000);
    let mut said = String::new();
    for (run, arguments) in [
        ("compare", &[][..]),
        ("idealized", &[]),
        ("fault-models", &[]),
        ("dram-events", &["--trials", "1"]),
        ("sensitivity-resnet18", &[]),
        ("rare-events", &["--every", "7"]),
        ("reproduce", &["--every", "19", "--images", images.to_str().unwrap()]),
    ] {
        said += &recompute(&root().join("results").join(run), &checkpoints, arguments);
    }
    for protection in ecc::all() {
        assert!(
            said.contains(&format!("{}, bernoulli: ", protection.id())),
            "{} in\n{said}",
            protection.id()
        );
    }
    for model in ["burst", "stuck-at", "asymmetric", "accumulate", "fixed-count", "dram"] {
        assert!(said.contains(&format!(", {model}: ")), "{model} in\n{said}");
    }
}

/// S231, S301, S302, S303, S304 and all that a record of a new run depends on, on images in CIFAR-10's binary form.
#[test]
fn a_strangers_program_computes_a_new_run() {
    let Some(recompute) = recompute() else { return };
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 2);
    let models = "[\"bernoulli\", \"burst:length=2-5,distance=3\", \"asymmetric:share=0.75\", \"accumulate:hours=10,scrub=4\", \
                  \"fixed-count:bit=6,tensor=layer2.0.conv1.weight\", \"dram:pin-column=1,row=2,pin-bank=1,chip=1\", \
                  \"burst:length=9,distance=1,interleave=48\", \"stuck-at:value=1,interleave=7,bit=5\"]";
    let toml = experiment(2)
        .replace("\"bernoulli\"", models)
        .replace("rates = [0.0, 1e-5, 1e-3, 1e-2]", "rates = [2e-3]")
        .replace(
            "\"faulty\", \"zero\", \"ecc\", \"in-place\"",
            "\"in-place-list\", \"lsb-64-56+range-clamp\", \"signs\", \"parity+range-clamp\"",
        );
    // A code of signs, on bits 6, and one beside four weights.
    let places = "positions = [7, 15, 23, 31, 6, 14, 22, 30]\ncheck_bits = [6, 14, 22, 30]";
    let matrix = "1101 1000\n1011 0100\n0111 0010\n1110 0001";
    std::fs::write(folder.join("parity.txt"), "1".repeat(33)).unwrap();
    std::fs::write(folder.join("signs.txt"), matrix).unwrap();
    let codes = format!(
        "\n[[code]]\nname = \"signs\"\nmatrix = \"signs.txt\"\ncorrects = 1\n{places}\n\n[[code]]\nname = \"parity\"\nmatrix = \
         \"parity.txt\"\ncorrects = 0\nweights = 4\n"
    );
    let toml = toml + &codes;
    std::fs::write(folder.join("x.toml"), toml).unwrap();
    succeed(folder, &["run", "x.toml", "--out", "run"]);
    let images = folder.join("data/cifar10/test_batch.bin");
    let arguments = ["--every", "1", "--trials", "2", "--images", images.to_str().unwrap()];
    let said = recompute(&folder.join("run"), &[folder.join("net.safetensors")], &arguments);
    assert!(said.contains("in-place-list, accumulate: 2 trials\n"), "{said}");
    assert!(said.contains("lsb-64-56+range-clamp, fixed-count: 2 trials\n"), "{said}");
    assert!(said.contains("in-place-list, dram: 2 trials\n"), "{said}");
    assert!(said.contains("signs, bernoulli: 2 trials\n"), "{said}");
    assert!(said.contains("parity+range-clamp, bernoulli: 2 trials\n"), "{said}");
}

/// S141, S142, S143, S144: a campaign of single faults.
#[test]
fn a_strangers_program_computes_single_faults() {
    let Some(recompute) = stranger("recompute_single_faults.py") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let network = root().join("experiments/networks/resnet18-synthetic.safetensors");
    let text = format!(
        "name = \"few\"\ntitle = \"Few faults\"\ndesign = \"single-fault\"\nseed = 5\nstrata = \"both\"\nmargin = 0.3\n[[model]]\n\
         label = \"resnet18\"\ncheckpoint = {network:?}\n[data]\nset = \"synthetic\"\nsplit = \"test\"\nimages = 6\n"
    );
    std::fs::write(folder.join("x.toml"), text).unwrap();
    succeed(folder, &["run", "x.toml", "--out", "run"]);
    let images = synthetic_images(folder, 6);
    let arguments = ["--faults", "40", "--images", images.to_str().unwrap()];
    let said = recompute(&folder.join("run"), &[network], &arguments);
    assert!(said.ends_with("faults drawn and 40 evaluated, 0 comparisons differ\n"), "{said}");
}

/// Most of the layers that a checkpoint can list, each with the numbers of its inputs.
fn layers() -> Vec<(&'static str, String)> {
    let pair = |n: usize| format!("[{n},{n}]");
    let window = |kernel, stride, padding| {
        format!(r#""kernel":{},"stride":{},"padding":{}"#, pair(kernel), pair(stride), pair(padding))
    };
    vec![
        ("0", format!(r#"{{"conv":{{"channels":4,"groups":1,"bias":true,{}}}}}"#, window(3, 1, 1))),
        ("1", r#"{"batch_norm":{"epsilon":0.001}}"#.into()),
        ("2", r#"{"clipped_relu":{"max":3.0}}"#.into()),
        ("3", format!(r#"{{"avg_pool":{{{},"count_include_pad":false}}}}"#, window(3, 2, 1))),
        ("4", format!(r#"{{"conv":{{"channels":4,"groups":4,"bias":false,{}}}}}"#, window(3, 1, 1))),
        ("5,4", r#""add""#.into()),
        ("6", r#""relu""#.into()),
        ("7", format!(r#"{{"max_pool":{{{},"ceil":true,"after":[0,1]}}}}"#, window(3, 2, 0))),
        ("8", r#"{"batch_norm":{"epsilon":0.001}}"#.into()),
        ("8", r#"{"clipped_relu":{"max":1.5}}"#.into()),
        ("9,10", r#""concat""#.into()),
        ("11", r#"{"pad":{"before":[1,0],"after":[0,2]}}"#.into()),
        (
            "12",
            format!(
                r#"{{"conv":{{"channels":6,"groups":1,"bias":true,{},"dilation":[2,1]}}}}"#,
                window(3, 1, 2)
            ),
        ),
        ("13", r#"{"leaky_relu":{"slope":0.1}}"#.into()),
        ("14", r#"{"pad_shortcut":{"stride":2,"before":1,"after":2}}"#.into()),
        ("15", format!(r#"{{"avg_pool":{{{},"count_include_pad":false,"ceil":true}}}}"#, window(2, 2, 0))),
        ("16", format!(r#"{{"avg_pool":{{{},"count_include_pad":true}}}}"#, window(2, 1, 1))),
        ("17", r#""relu""#.into()),
        ("18", r#""flatten""#.into()),
        ("19", r#"{"linear":{"features":12}}"#.into()),
        ("20", r#"{"batch_norm":{"epsilon":0.001}}"#.into()),
        ("21", r#""relu""#.into()),
        ("22", r#"{"linear":{"features":10}}"#.into()),
    ]
}

/// The layers of a vision transformer with one block.
fn transformer_layers() -> Vec<(&'static str, String)> {
    let conv = |channels, kernel: usize| {
        let window = format!(r#""kernel":[{kernel},{kernel}],"stride":[{kernel},{kernel}],"padding":[0,0]"#);
        format!(r#"{{"conv":{{"channels":{channels},"groups":1,"bias":true,{window}}}}}"#)
    };
    let norm = || r#"{"layer_norm":{"epsilon":1e-6}}"#.to_string();
    vec![
        ("0", conv(12, 8)),
        ("1", r#"{"token_embedding":{"class_tokens":1}}"#.into()),
        ("2", norm()),
        ("3", conv(12, 1)),
        ("3", conv(12, 1)),
        ("3", conv(12, 1)),
        ("4,5,6", r#"{"attention":{"heads":3,"scale":0.5}}"#.into()),
        ("7", conv(12, 1)),
        ("2,8", r#""add""#.into()),
        ("9", norm()),
        ("10", conv(20, 1)),
        ("11", r#"{"function":"gelu"}"#.into()),
        ("12", conv(12, 1)),
        ("9,13", r#""add""#.into()),
        ("14", r#"{"select_token":{"index":0}}"#.into()),
        ("15", r#"{"linear":{"features":10}}"#.into()),
    ]
}

/// A network of listed layers with made-up weights. The weights of the tensor `per_channel` have a scale for each output channel.
fn listed(ops: Vec<(&'static str, String)>, per_channel: &str, without_bias: &[&str]) -> Checkpoint {
    let layers = (1..).zip(ops).map(|(place, (inputs, op))| {
        serde_json::from_str(&format!(r#"{{"name":"{place}","inputs":[{inputs}],"op":{op}}}"#)).unwrap()
    });
    let layers: Vec<graph::Layer> = layers.collect();
    let model = r#"{"architecture":"listed","classes":10,"input":[3,32,32],"width":1.0}"#;
    let model = serde_json::from_str(model).unwrap();
    let graph = zoo::build_stored(&model, &layers).unwrap();
    let mut numbers = crate::program::Numbers(11);
    let mut number = || (numbers.next() >> 40) as f32 / (1 << 24) as f32;
    let (mut weights, mut parameters) = (Vec::new(), quant::Parameters::new());
    for spec in graph.parameters() {
        let count = spec.shape.iter().product();
        let low = if spec.name.ends_with("running_var") || spec.name == "2.weight" { 0.5 } else { -0.5 };
        // Without biases no class is far ahead.
        let gain = if without_bias.contains(&&*spec.name) { 0.0 } else { 1.0 };
        let values = (0..count).map(|_| gain * (low + number())).collect();
        let tensor = quant::FloatTensor::new(spec.shape.clone(), values);
        if !spec.is_stored_weight() {
            parameters.insert(spec.name, tensor);
        } else if spec.name == per_channel {
            weights.push(QuantTensor::quantize_per_channel(&spec.name, &tensor).unwrap());
        } else {
            weights.push(QuantTensor::quantize(&spec.name, &tensor).unwrap());
        }
    }
    let points = graph.quantization_points().into_iter();
    let scale = |signed| quant::ActivationScale {
        levels_per_unit: quant::LevelsPerUnit::new(if signed { 41.7 } else { 77.3 }).unwrap(),
        signed,
    };
    let scales = points.map(|point| (graph.nodes()[point.node].name.clone(), scale(point.signed))).collect();
    let preprocessing = graph::Preprocessing::new(vec![0.4, 0.5, 0.6], vec![0.2, 0.25, 0.3]).unwrap();
    let (activations, provenance) = (quant::Activations::Static(scales), quant::Provenance::default());
    let contents = Contents { model, layers, preprocessing, weights, parameters, activations, provenance };
    Checkpoint::new(contents).unwrap()
}

/// S301, S303, S304, S308, S309, S310, S311, S312, S313 and S314 on layers that a checkpoint lists.
#[test]
fn a_strangers_program_runs_listed_layers() {
    runs_as_a_strangers_program(&listed(layers(), "20.weight", &["20.bias", "23.bias"]));
}

/// S321, S341, S342 and S343 on the layers of a vision transformer.
#[test]
fn a_strangers_program_runs_a_transformer() {
    runs_as_a_strangers_program(&listed(transformer_layers(), "8.weight", &["16.bias"]));
}

fn runs_as_a_strangers_program(network: &Checkpoint) {
    let Some(recompute) = recompute() else { return };
    let workshop = workshop();
    let folder = workshop.path();
    let checkpoint = folder.join("net.safetensors");
    network.save(&checkpoint).unwrap();
    let toml = experiment(3).replace("\"zero\", \"ecc\", \"in-place\"", "\"in-place-list\"");
    std::fs::write(folder.join("x.toml"), toml).unwrap();
    succeed(folder, &["run", "x.toml", "--out", "run"]);
    let table = records::read_trials(&folder.join("run/trials.parquet")).unwrap();
    let different: BTreeSet<&str> = table.iter().map(|row| row.record.predictions_hash.as_str()).collect();
    assert!(different.len() > 3, "{different:?}");
    let images = folder.join("data/cifar10/test_batch.bin");
    let arguments = ["--every", "1", "--trials", "3", "--images", images.to_str().unwrap()];
    recompute(&folder.join("run"), &[checkpoint], &arguments);
}
