//! `report.html` on small sets of rows: what it holds, and that names of others stay text.

use analysis::{Commands, Context, Estimates, Run, write_report};
use design::{BitErrorRate, CellSpec, EvaluationSet, FaultKind, StoredBits, TrialRecord};
use records::{Environment, Manifest, NetworkEntry, RunArguments, TrialRow};

/// What somebody might put into a title or a label.
const HOSTILE: &str = "<script>alert(1)</script> & \"quoted\" ](x) [run](javascript:alert(2)) | `";

const SHA256: &str = "6ef5956c2646080604a02e77f7e0199223cc977c928f8774af4a294506d1091b";

fn row(model: &str, protection: &str, trial: u64, lost: u64) -> TrialRow {
    TrialRow {
        cell: format!("{protection}-cell").into(),
        model: model.into(),
        protection: protection.parse().expect("a name"),
        fault_model: FaultKind::Bernoulli.into(),
        rate: 1e-3,
        seed: 7,
        weights: 800,
        data_bits: 6_400,
        check_bits: 0,
        data_set: "cifar10 test".into(),
        images: 1_000,
        clean_correct: 900,
        images_per_trial: None,
        changed_probability: None,
        metrics: [].into(),
        clean_scores: vec![],
        record: TrialRecord {
            trial,
            flips_data: 6,
            flips_check: 0,
            pattern_hash: format!("pattern-{trial}"),
            words_hit: 6,
            corrected: 0,
            detected: 0,
            miscorrected: 0,
            silent: 6,
            weights_changed: 6,
            padding_changed: 0,
            weights_hash: "w".into(),
            correct: 900 - lost,
            agree: 900,
            predictions_hash: "h".into(),
            scores: vec![],
            block: None,
        },
    }
}

fn report(model: &str) -> Estimates {
    let rows: Vec<TrialRow> = [("faulty", [10, 250, 30]), ("in-place-64-57", [0, 5, 250])]
        .iter()
        .flat_map(|(protection, lost)| {
            (0..).zip(lost).map(|(trial, lost)| row(model, protection, trial, *lost))
        })
        .collect();
    Estimates::from_rows(&rows).unwrap()
}

fn manifest(model: &str, source: &str) -> Manifest {
    let spec = |protection: &str| CellSpec {
        record_version: 1,
        evaluator: "e".into(),
        model: model.into(),
        network: "n".into(),
        protection: protection.parse().expect("a name"),
        protection_parameters: "p".into(),
        fault_model: FaultKind::Bernoulli.into(),
        rate: BitErrorRate::new(1e-3).unwrap(),
        seed: 7,
        stored: StoredBits { weights: 800, padding_weights: 0, data_bits: 6_400, check_bits: 0 },
        evaluation: EvaluationSet { images: 1_000, ..EvaluationSet::default() },
        changed_probability: None,
        metrics: vec![],
    };
    let network =
        NetworkEntry { label: model.into(), architecture: "resnet20".into(), ..NetworkEntry::default() };
    let environment = Environment {
        program: "zerospace 9.8.7".into(),
        platform: "linux x86_64".into(),
        cpu: "a <cpu>".into(),
        threads: 3,
        started_unix_s: 1,
        command: Vec::new(),
        arguments: Some(RunArguments::run("x.toml".as_ref())),
    };
    let cells = vec![spec("faulty"), spec("in-place-64-57")];
    Manifest::new("t", source, vec![network], cells, 3, 3, environment)
}

/// The page and `report.md` of a small run.
fn written(title: &str, model: &str, source: &str) -> (String, String) {
    written_with(title, model, source, false)
}

fn written_with(title: &str, model: &str, source: &str, needs_data: bool) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest(model, source);
    let estimates = report(model);
    let worst = estimates.worst_trial();
    let data = if needs_data { " --data $DATA" } else { "" };
    let replay = format!("zerospace replay x.toml {} {} --out DIR{data}", worst.cell, worst.record.trial);
    let commands = Commands {
        repeat: &format!("zerospace run x.toml{data}"),
        verify: &format!("zerospace verify x.toml --out DIR{data}"),
        replay: &replay,
    };
    let run = Run { manifest: &manifest, commands, trials_sha256: SHA256 };
    let notes = format!("- **{model}**: from a *file*");
    let context = Context { title, notes: &notes, run: Some(run), ..Context::default() };
    write_report(&estimates, &context, folder.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    (read("report.html"), read("report.md"))
}

#[test]
fn the_page_holds_the_report_and_what_it_was_made_from() {
    let source = "name = \"x\"\n# a < b\n";
    let (page, markdown) = written("A & B", "net", source);
    for part in [
        "<title>A &amp; B</title>",
        "<h1>A &amp; B</h1>\n<p>net · cifar10 test, 1000 images · trials a cell: 3 · faults: bernoulli · seed 7.</p>",
        "<li><a href=\"#paired-differences\">Paired differences</a></li>",
        "<h2 id=\"paired-differences\">Paired differences</h2>",
        "role=\"img\" aria-label=\"Accuracy versus bit error rate: A &amp; B\">",
        "aria-label=\"Accuracy drop: net, bernoulli, 90.00 % fault-free\"",
        "<th scope=\"row\">in-place (in-place-64-57)</th>",
        // Hover values.
        "<title>faulty at 1e-3: mean accuracy 80.33 %, drop 9.667 points, 95 % interval [",
        "<title>in-place (in-place-64-57), fault-free: accuracy 90.00 %</title>",
        "<li><strong>net</strong>: from a <em>file</em></li>",
        "<pre>name = &quot;x&quot;\n# a &lt; b\n</pre>",
        "<td>a &lt;cpu&gt;</td>",
        "<pre>zerospace run x.toml</pre>",
        "<pre>zerospace verify x.toml --out DIR</pre>",
        // The first of two trials that lost 25 points.
        "<pre>zerospace replay x.toml faulty-cell 1 --out DIR</pre>",
        "<td>25.00</td>",
        "<td>pattern-1</td>",
        "version = {9.8.7},",
        "@inproceedings{guan2019inplace,",
        "<li><a href=\"summary.csv\">summary.csv</a>: ",
    ] {
        assert!(page.contains(part), "{part:?} is missing in\n{page}");
    }
    assert_eq!(page.matches(SHA256).count(), 2, "beside the command and in the citation");
    // Every section of the Markdown is one of the page.
    let headings: Vec<&str> = markdown.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(headings.len() >= 5, "{markdown}");
    for heading in headings {
        assert!(page.contains(&format!(">{heading}</h2>")), "{heading}");
    }
    assert!(
        markdown.contains("\n\nReproduce with `zerospace run x.toml`.\n\n- **net**: from a *file*\n"),
        "{markdown}"
    );
    assert!(
        markdown.contains("\n- **first started** with zerospace 9.8.7, linux x86_64, a <cpu>, 3 threads")
    );
    assert_eq!(written("A & B", "net", source).0, page, "equal input, other bytes");
}

#[test]
fn commands_name_the_folder_of_images_where_they_need_one() {
    let (page, markdown) = written_with("t", "net", "s", true);
    let told = "where `$DATA` is the folder of the image sets";
    assert!(
        markdown.contains(&format!("\n\nReproduce with `zerospace run x.toml --data $DATA`, {told}.\n")),
        "{markdown}"
    );
    for command in ["run x.toml", "verify x.toml --out DIR", "replay x.toml faulty-cell 1 --out DIR"] {
        assert!(page.contains(&format!("<pre>zerospace {command} --data $DATA</pre>")), "{command}");
    }
}

#[test]
fn names_of_others_cannot_run_anything_or_lead_anywhere() {
    let (page, markdown) = written(HOSTILE, HOSTILE, HOSTILE);
    // The data and the script of ours are the only ones.
    let tags: Vec<&str> = page.split("<script").skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    assert_eq!(tags, [" type=\"application/json\"", ""], "{page}");
    assert_eq!(page.matches("</script").count(), 2, "{page}");
    let targets: Vec<&str> =
        page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(targets.len() > 15);
    for target in targets {
        let ours = target.starts_with('#') || target == "data:," || !target.contains([':', '/']);
        assert!(ours, "{target}");
    }
    let title =
        "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot; ](x) [run](javascript:alert(2)) | `";
    assert!(page.contains(&format!("<h1>{title}</h1>")), "{page}");
    assert!(page.contains(&format!("<pre>{title}</pre>")), "the plan is not word for word");
    assert!(
        page.contains(&format!("<td>{title}</td>"))
            || page.contains(&format!("<th scope=\"row\">{title}</th>"))
    );
    assert_eq!(page.matches("<figure>").count(), 1, "a name has swallowed the figure");
    // Nor can a name close the image of the Markdown.
    assert!(markdown.contains("\\](x) \\[run\\](javascript:alert(2))"), "{markdown}");
}

/// The data of the section for browsers with scripts.
fn explored(page: &str) -> serde_json::Value {
    let (_, rest) = page.split_once("<script type=\"application/json\">").expect("a page with data");
    serde_json::from_str(rest.split_once("</script>").unwrap().0).expect("the data are JSON")
}

#[test]
fn the_policy_names_the_script_by_its_hash() {
    let (page, _) = written("t", "net", "s");
    let (_, rest) = page.split_once("<script>").expect("a page with a script");
    let script = rest.split_once("</script>").unwrap().0;
    assert!(script.contains("\"use strict\";") && !script.contains("</"), "{script}");
    let policy = format!(
        "content=\"default-src 'none'; script-src 'sha256-{}'; style-src 'unsafe-inline'; img-src data:\"",
        durable::sha256_base64(script.as_bytes())
    );
    assert!(page.contains(&policy), "{policy}: {page}");
}

#[test]
fn a_browser_without_scripts_shows_neither_the_section_nor_a_link_to_it() {
    let (page, _) = written("t", "net", "s");
    assert!(
        page.contains("<section class=\"explore\" hidden>\n<h2 id=\"explore\">Explore</h2>\n<p>Lines: "),
        "{page}"
    );
    assert!(page.contains("<li hidden><a href=\"#explore\">Explore</a></li>"), "{page}");
}

#[test]
fn the_data_are_those_of_the_summary() {
    let (page, _) = written("t", "net", "s");
    let data = explored(&page);
    let rows: Vec<Vec<&str>> = page
        .split("id=\"summary\"")
        .nth(1)
        .unwrap()
        .split("<tr>")
        .skip(2)
        .take(2)
        .map(|row| row.split("</t").map(|cell| cell.rsplit('>').next().unwrap()).collect())
        .collect();
    for (cell, row) in data["cells"].as_array().unwrap().iter().zip(rows) {
        let place = |key: &str| cell[key].as_u64().unwrap() as usize;
        assert_eq!(data["networks"][place("network")]["name"], row[0]);
        assert_eq!(data["faultModels"][place("faultModel")]["name"], row[1]);
        assert_eq!(data["protections"][place("protection")]["name"], row[2]);
        assert_eq!(data["rates"][place("rate")]["text"], row[3]);
        assert_eq!(cell["trials"].to_string(), row[4]);
        assert_eq!(cell["text"], serde_json::json!([row[6], row[7], row[8]]));
    }
    let cell = &data["cells"][0];
    // 10, 250 and 30 of 1,000 images are lost, of 900 that are right without faults.
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    assert!((number(&cell["drop"][0]) - 29.0 / 3.0).abs() < 1e-9, "{cell}");
    assert!((number(&cell["value"][0]) - (90.0 - 29.0 / 3.0)).abs() < 1e-9, "{cell}");
    for (low, high) in [(1, 2), (2, 1)] {
        let end = number(&cell["value"][low]);
        assert!((end - (90.0 - number(&cell["drop"][high]))).abs() < 1e-9, "{cell}");
    }
    let looks = [("faulty", "#000000", "circle"), ("in-place (in-place-64-57)", "#009e73", "diamond")];
    for (look, (name, color, marker)) in data["protections"].as_array().unwrap().iter().zip(looks) {
        assert_eq!(
            (&look["name"], &look["color"], &look["marker"]),
            (&name.into(), &color.into(), &marker.into())
        );
    }
}

#[test]
fn names_in_the_data_stay_text() {
    let name = "</script><script>alert(1)</script><!-- \" \\ \u{2028}\u{202e}ü";
    let (page, _) = written("t", name, "s");
    assert_eq!(page.matches("<script").count(), 2, "{page}");
    let data = explored(&page);
    // Characters that turn or end lines are replaced, as in the rest of the page.
    let shown = name.replace(['\u{2028}', '\u{202e}'], "\u{fffd}");
    assert_eq!(data["networks"][0]["name"], shown.as_str());
}

#[test]
fn figures_in_the_page_have_no_ids_that_could_clash() {
    let (page, _) = written("t", "net", "s");
    let ids: Vec<&str> = page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len());
    let (_, figure) = page.split_once("<svg").unwrap();
    assert!(!figure.split_once("</svg>").unwrap().0.contains(" id="));
}

#[test]
fn a_report_without_a_run_is_a_page_too() {
    let folder = tempfile::tempdir().unwrap();
    write_report(&report("net"), &Context { title: "t", ..Context::default() }, folder.path()).unwrap();
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    for absent in [">Plan</h2>", ">Reproduce</h2>", ">Networks and images</h2>", "trials.parquet"] {
        assert!(!page.contains(absent), "{absent}");
    }
    assert!(page.contains(">How to cite</h2>") && page.contains(">Files</h2>"));
}
