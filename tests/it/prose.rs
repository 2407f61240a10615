//! Numbers in prose that come from a run are those of its records: `prose.toml` lists them, and each is computed again
//! from the tables of the run, `summary.csv`, `outcomes.csv`, `paired.csv` and `replication.csv`, or from the table of a
//! training, `training.md`.
//!
//! A number is right if no number with its digits is nearer to the recomputed value. Of a tie both are right.

use std::collections::HashMap;

use serde::Deserialize;

use crate::program::root;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quotes {
    quote: Vec<Quote>,
}

/// A piece of a document with numbers of one run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quote {
    /// Path of the document in the repository.
    document: String,
    /// Folder of the run in `results`.
    run: String,
    /// The piece, with braces around each number that is checked.
    text: String,
    /// How each number is computed.
    values: Vec<String>,
}

/// Rows of a table, each from the names of its columns to its fields.
type Rows = Vec<HashMap<String, String>>;

/// Tables that were read, by their paths.
#[derive(Default)]
struct Tables(HashMap<String, Rows>);

impl Tables {
    fn rows(&mut self, path: &str) -> &Rows {
        self.0.entry(path.into()).or_insert_with_key(|path| {
            let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
            let fields = if path.ends_with(".md") { cells } else { fields };
            let mut lines = text.lines().map(fields).filter(|fields| !fields.is_empty());
            let names = lines.next().expect("a header");
            lines.map(|fields| names.iter().cloned().zip(fields).collect()).collect()
        })
    }

    /// Computes terms that are joined by operators, from left to right.
    fn value(&mut self, run: &str, expression: &str) -> Result<f64, String> {
        let words: Vec<&str> = expression.split(' ').collect();
        let is_operator = |word: &str| ["+", "-", "*", "/"].contains(&word);
        let mut operators = words.iter().filter(|word| is_operator(word));
        let mut terms = words.split(|word| is_operator(word)).map(|term| self.term(run, term));
        let mut value = terms.next().expect("splitting gives a part")?;
        for term in terms {
            let term = term?;
            match operators.next() {
                Some(&"+") => value += term,
                Some(&"-") => value -= term,
                Some(&"*") => value *= term,
                _ => value /= term,
            }
        }
        Ok(value)
    }

    fn term(&mut self, run: &str, words: &[&str]) -> Result<f64, String> {
        let named = words.join(" ");
        let (network, protection, rate, fault_model, quantity) = match *words {
            [number] => return number.parse().map_err(|_| format!("`{number}` is no number")),
            [network, quantity] => return self.training(run, network, quantity),
            [network, protection, rate, quantity] => (network, protection, rate, None, quantity),
            [network, protection, rate, fault_model, quantity] => {
                (network, protection, rate, Some(fault_model), quantity)
            }
            _ => {
                return Err(format!(
                    "`{named}`: expected NETWORK PROTECTION RATE [FAULT MODEL] QUANTITY or NETWORK QUANTITY"
                ));
            }
        };
        let pair = protection.split_once('/');
        let (quantity, extreme) = match quantity.rsplit_once('-') {
            Some((quantity, "least")) => (quantity, Some(f64::min as fn(f64, f64) -> f64)),
            Some((quantity, "most")) => (quantity, Some(f64::max as fn(f64, f64) -> f64)),
            _ => (quantity, None),
        };
        let (table, columns): (&str, &[&str]) = match (pair, quantity) {
            (None, "clean") => ("summary", &["clean_accuracy_percent"]),
            (None, "fault-free") => ("summary", &["fault_free_accuracy_percent"]),
            (None, "accuracy") => ("summary", &["accuracy_percent"]),
            (None, "drop") => ("summary", &["drop_mean_points"]),
            (None, "sd") => ("summary", &["drop_sd_points"]),
            (None, "trimmed") => ("summary", &["trimmed_mean_points"]),
            (None, "trimmed-sd") => ("summary", &["trimmed_population_sd_points"]),
            (None, "median") => ("summary", &["drop_median_points"]),
            (None, "max") => ("summary", &["drop_max_points"]),
            (None, "low") => ("summary", &["interval_low_points"]),
            (None, "high") => ("summary", &["interval_high_points"]),
            (None, "changed") => ("summary", &["changed_probability"]),
            (None, "trials") => ("summary", &["trials"]),
            (None, "images") => ("summary", &["images"]),
            (None, "hit") => ("outcomes", &["words_hit"]),
            (None, "detected") => ("outcomes", &["detected"]),
            (None, "miscorrected") => ("outcomes", &["miscorrected"]),
            (None, "silent") => ("outcomes", &["silent"]),
            (None, "failing") => ("outcomes", &["detected", "miscorrected"]),
            (None, "wrong") => ("outcomes", &["detected", "miscorrected", "silent"]),
            (Some(_), "difference") => ("paired", &["mean_difference_points"]),
            (Some(_), "low") => ("paired", &["interval_low_points"]),
            (Some(_), "high") => ("paired", &["interval_high_points"]),
            (Some(_), "wins") => ("paired", &["wins"]),
            (Some(_), "losses") => ("paired", &["losses"]),
            (Some(_), "decided") => ("paired", &["wins", "losses"]),
            (Some(_), "p") => ("paired", &["sign_test_p"]),
            (Some(_), "corrected") => ("paired", &["sign_test_p_holm"]),
            (Some(_), "spread-difference") => ("replication", &["mean_difference_points"]),
            (Some(_), "spread-sd") => ("replication", &["standard_deviation_points"]),
            (Some(_), "spread-low") => ("replication", &["interval_low_points"]),
            (Some(_), "spread-high") => ("replication", &["interval_high_points"]),
            (Some(_), "spread-p") => ("replication", &["p"]),
            (Some(_), "spread-corrected") => ("replication", &["p_holm"]),
            _ => return Err(format!("`{named}`: {quantity} is no quantity")),
        };
        let mut wanted = vec![("rate", rate)];
        wanted.extend(fault_model.map(|fault_model| ("fault_model", fault_model)));
        match pair {
            None => wanted.extend([("model", network), ("protection", protection)]),
            Some((first, second)) if table == "paired" => {
                wanted.extend([("model", network), ("first", first), ("second", second)]);
            }
            Some((first, second)) => {
                let no_version = || format!("`{named}`: expected PROTECTION:VERSION/PROTECTION:VERSION");
                let (first, first_version) = first.split_once(':').ok_or_else(no_version)?;
                let (second, second_version) = second.split_once(':').ok_or_else(no_version)?;
                wanted.extend([("group", network), ("first", first), ("first_version", first_version)]);
                wanted.extend([("second", second), ("second_version", second_version)]);
            }
        }
        // A protection with a name in the paper is `in-place (in-place-64-57)`, and one group is `all networks`.
        let is = |field: &str, value: &str| {
            let parts = [field, field.split(" (").nth(1).unwrap_or_default().trim_end_matches(')')];
            value == "any" || parts.contains(&value) || field.replace(' ', "-") == value
        };
        let path = format!("results/{run}/{table}.csv");
        let rows = self.rows(&path);
        let found = rows.iter().filter(|row| wanted.iter().all(|(name, value)| is(&row[*name], value)));
        let found = found.map(|row| sum(row, columns).map_err(|reason| format!("`{named}`: {reason}")));
        let found = found.collect::<Result<Vec<f64>, String>>()?;
        match (extreme, &found[..]) {
            (None, [value]) => Ok(*value),
            (Some(of_two), [_, _, ..]) => Ok(found.into_iter().reduce(of_two).expect("two at least")),
            (extreme, found) => {
                let expected = if extreme.is_some() { "several" } else { "one" };
                Err(format!("`{named}`: {} rows of {path}, expected {expected}", found.len()))
            }
        }
    }

    /// A number of the table of a training, for one of its networks.
    fn training(&mut self, run: &str, network: &str, quantity: &str) -> Result<f64, String> {
        let named = format!("{network} {quantity}");
        let column = match quantity {
            "top-1" => "top-1 %",
            "against-int8" => "against int8, points",
            "iterations" => "iterations",
            "violations" => "violations",
            "left" => "clamped at the end",
            _ => return Err(format!("`{named}`: {quantity} is no quantity of a training")),
        };
        let path = format!("results/{run}/training.md");
        let row = self.rows(&path).iter().find(|row| row["network"] == network);
        let row = row.ok_or_else(|| format!("`{named}`: no row of {path}"))?;
        sum(row, &[column]).map_err(|reason| format!("`{named}`: {reason}"))
    }
}

/// Sum of some fields of a row.
fn sum(row: &HashMap<String, String>, columns: &[&str]) -> Result<f64, String> {
    columns.iter().try_fold(0.0, |sum, column| {
        let number: f64 = row[*column].parse().map_err(|_| format!("{column} is empty"))?;
        Ok(sum + number)
    })
}

/// Fields of a row of a table in Markdown; none for another line and for the one below the header.
fn cells(line: &str) -> Vec<String> {
    let cells = line.strip_prefix("| ").and_then(|line| line.strip_suffix('|'));
    let cells = cells.filter(|line| !line.starts_with("--"));
    cells.map(|line| line.split(" |").map(|cell| cell.trim().to_owned()).collect()).unwrap_or_default()
}

/// Fields of a line of CSV. A quoted one may have commas, and none has quotation marks.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    for (place, part) in line.split('"').enumerate() {
        let mut pieces = part.split(|c| c == ',' && place % 2 == 0);
        fields.last_mut().expect("one at least").push_str(pieces.next().expect("splitting gives a part"));
        fields.extend(pieces.map(String::from));
    }
    fields
}

/// A number as a document writes it, and the distance of two numbers with its digits.
fn quoted(text: &str) -> Option<(f64, f64)> {
    let plain = text.replace(',', "");
    let (digits, power) = plain.split_once('e').unwrap_or((&plain, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i32);
    Some((plain.parse().ok()?, 10f64.powi(power.parse::<i32>().ok()? - decimals)))
}

fn one_space(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Checks a quote and returns a sentence for each fault.
fn faults(quote: &Quote, document: &str, tables: &mut Tables) -> Vec<String> {
    let Quote { document: name, run, text, values } = quote;
    let numbers: Vec<&str> =
        text.split('{').skip(1).map(|rest| rest.split_once('}').expect("braces close").0).collect();
    let plain = one_space(&text.replace(['{', '}'], ""));
    if !document.contains(&plain) {
        return vec![format!("{name} lacks \"{plain}\": change prose.toml too if the sentence has changed")];
    }
    if numbers.len() != values.len() {
        return vec![format!(
            "\"{plain}\": {} numbers in braces, but {} values",
            numbers.len(),
            values.len()
        )];
    }
    let checked = numbers.iter().zip(values).filter_map(|(number, expression)| {
        let Some((is, unit)) = quoted(number) else { return Some(format!("{name}: {number} is no number")) };
        let (run, expression) = expression.split_once(": ").unwrap_or((run, expression));
        match tables.value(run, expression) {
            Err(error) => Some(format!("prose.toml: {error}")),
            Ok(value) if (is - value).abs() <= unit / 2.0 * (1.0 + 1e-9) => None,
            Ok(value) => Some(format!(
                "{name}: \"{plain}\" has {number}, expected {value}: {expression} of results/{run}"
            )),
        }
    });
    checked.collect()
}

#[test]
fn numbers_in_prose_are_those_of_the_records() {
    let list = std::fs::read_to_string(root().join("tests/it/prose.toml")).unwrap();
    let Quotes { quote: quotes } = toml::from_str(&list).unwrap();
    let mut tables = Tables::default();
    let mut documents: HashMap<&str, String> = HashMap::new();
    let mut wrong = Vec::new();
    for quote in &quotes {
        let document = documents.entry(&quote.document).or_insert_with_key(|name| {
            one_space(&std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}")))
        });
        wrong.extend(faults(quote, document, &mut tables));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(quotes.iter().map(|quote| quote.values.len()).sum::<usize>() > 400);
}

#[test]
fn a_wrong_number_and_a_changed_sentence_are_found() {
    let mut tables = Tables::default();
    let quote = |text: &str, value: &str| Quote {
        document: "page".into(),
        run: "resnet20-cifar10".into(),
        text: text.into(),
        values: vec![value.into()],
    };
    let document = "it falls by 8.0 points, or 7.9";
    let mut found = |text: &str, value: &str| faults(&quote(text, value), document, &mut tables).join("\n");
    let drop = "resnet20 faulty 1e-3 drop";
    assert_eq!(found("falls by {8.0} points", drop), "");
    assert!(found("or {7.9}", drop).contains("has 7.9, expected 8.004"));
    assert!(found("falls by {8.1} points", drop).contains("page lacks \"falls by 8.1 points\""));
    assert!(
        found("or {7.9}", "resnet20 faulty 2e-3 drop")
            .contains("0 rows of results/resnet20-cifar10/summary.csv")
    );
    assert!(found("or {7.9}", "resnet20 faulty 1e-3 loss").contains("loss is no quantity"));
    assert_eq!(found("falls by {8.0} points", "0 - 16 / 2 + 16"), "");
    // The extreme of two networks, the table of a training, and the spread of several trainings.
    assert!(found("or {7.9}", "any faulty 1e-3 drop-most").contains("has 7.9, expected 9.6"));
    assert!(found("or {7.9}", "resnet20 faulty 1e-3 drop-most").contains("1 rows"));
    assert_eq!(found("falls by {8.0} points", "training/vgg16-cifar10: admm-strong left + 7"), "");
    assert!(found("or {7.9}", "training/vgg16-cifar10: sgd left").contains("no row of results/training"));
    let pair = "faulty:int8/in-place-64-57:wot";
    let spread = |group: &str| format!("trainings: {group} {pair} 1e-2 spread-difference");
    assert!(found("or {7.9}", &spread("all-networks")).contains("has 7.9, expected -28."));
    assert!(found("or {7.9}", &spread("resnet20")).contains("0 rows of results/trainings/replication.csv"));
}
