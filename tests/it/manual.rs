//! The manual: its commands are run, its files written, what it shows is compared with what comes out.
//!
//! The blocks of a page are taken in order, in one folder. `sh` is run; `sh,data` where the data of others are; `sh,ignore`
//! never. `toml` is written to the file that the paragraph before it names last. `text` is what the block before it
//! printed, where a line `...` stands for any lines. `rust` is in a source that the page links to.

use std::path::Path;
use std::process::Command;

use crate::markdown::{Block, blocks, files, links, read};
use crate::program::{real_data, root, said, succeed, zerospace};

fn page(name: &str) -> String {
    read(&root().join("docs/src").join(name))
}

/// Whether lines are as expected, of which `...` is any number of lines.
fn alike(expected: &[&str], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((&"...", rest)) => (0..=lines.len()).any(|skipped| alike(rest, &lines[skipped..])),
        Some((first, rest)) => lines.first() == Some(first) && alike(rest, &lines[1..]),
    }
}

/// What a block of commands prints.
fn shell(folder: &Path, commands: &str, data: Option<&Path>) -> Result<String, String> {
    let programs = Path::new(env!("CARGO_BIN_EXE_zerospace")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-euc", commands]).current_dir(folder).env("PATH", path).env("REPOSITORY", root());
    bash.env_remove("ZEROSPACE_DATA").env_remove("ZEROSPACE_CACHE");
    if let Some(data) = data {
        bash.env("DATA", data);
    }
    let said = said(bash.output().unwrap());
    match said.code {
        0 => Ok(said.stdout),
        code => Err(format!("exit code {code}\n{}{}", said.stdout, said.stderr)),
    }
}

/// The last file that a paragraph names.
fn file_named(before: &str) -> Option<&str> {
    before.split('`').skip(1).step_by(2).filter(|code| code.ends_with(".toml")).last()
}

/// Runs a page from its beginning to its end.
fn follow(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (blocks, _) = blocks(&page(name));
    let needed = blocks.iter().any(|block| block.kind == "sh,data");
    let data = needed.then(|| real_data(&format!("what docs/src/{name} does with others' data"))).flatten();
    let mut printed = None;
    for Block { kind, before, text, line } in &blocks {
        let place = format!("docs/src/{name}:{line}");
        match kind.as_str() {
            "sh,data" if data.is_none() => printed = None,
            "sh" | "sh,data" => match shell(folder, text, data.as_deref()) {
                Ok(stdout) => printed = Some(stdout),
                Err(failed) => panic!("{place}: {failed}"),
            },
            "sh,ignore" => printed = None,
            "toml" => {
                let file =
                    file_named(before).unwrap_or_else(|| panic!("{place}: no file is named before it"));
                std::fs::write(folder.join(file), text).unwrap();
            }
            "text" => {
                let Some(stdout) = printed.take() else { continue };
                let (expected, lines): (Vec<&str>, Vec<&str>) =
                    (text.lines().collect(), stdout.trim_end_matches('\n').lines().collect());
                assert!(expected.iter().any(|line| *line != "..."), "{place} says nothing");
                assert!(alike(&expected, &lines), "{place} shows\n{text}\nprinted was\n{stdout}");
            }
            "python" | "toml,ignore" | "rust" => {}
            other => panic!("{place}: blocks are not of kind {other:?}"),
        }
    }
}

const FOLLOWED: [&str; 7] = [
    "first-campaign.md",
    "own-checkpoint.md",
    "own-onnx.md",
    "own-fault-model.md",
    "cluster.md",
    "single-faults.md",
    "quantized-onnx.md",
];

#[test]
fn a_first_campaign() {
    follow(FOLLOWED[0]);
}

#[test]
fn ones_own_checkpoint() {
    follow(FOLLOWED[1]);
}

#[test]
fn ones_own_onnx_model() {
    follow(FOLLOWED[2]);
}

#[test]
fn ones_own_fault_model() {
    follow(FOLLOWED[3]);
}

#[test]
fn on_a_cluster() {
    follow(FOLLOWED[4]);
}

#[test]
fn single_faults() {
    follow(FOLLOWED[5]);
}

#[test]
fn a_network_that_is_already_quantized() {
    follow(FOLLOWED[6]);
}

#[test]
fn no_page_has_commands_that_nobody_runs() {
    for path in files().into_iter().filter(|path| path.starts_with(root().join("docs"))) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let run = blocks(&read(&path)).0.into_iter().find(|block| ["sh", "sh,data"].contains(&&*block.kind));
        assert!(run.is_none() || FOLLOWED.contains(&name), "{name} has commands, but no test follows it");
    }
}

#[test]
fn code_that_is_shown_is_the_programs() {
    for path in files().into_iter().filter(|path| path.starts_with(root().join("docs"))) {
        let text = read(&path);
        let sources = links(&text).into_iter().filter(|link| link.ends_with(".rs") && !link.contains("://"));
        let sources: Vec<String> = sources.map(|link| read(&path.parent().unwrap().join(link))).collect();
        for block in blocks(&text).0.iter().filter(|block| block.kind == "rust") {
            let known = sources.iter().any(|source| source.contains(&block.text));
            assert!(known, "{}:{}: in no source that the page links to", path.display(), block.line);
        }
    }
}

#[test]
fn outputs_are_told_apart() {
    assert!(alike(&["a", "...", "c"], &["a", "b", "b", "c"]) && alike(&["a", "..."], &["a"]));
    assert!(
        !alike(&["a", "...", "c"], &["a", "c", "d"]) && !alike(&["a"], &["a", "b"]) && !alike(&["a"], &[])
    );
}

/// Verbs and exit codes on the page are those of the program.
#[test]
fn the_command_line_is_as_it_says() {
    let help = succeed(&root(), &["--help"]);
    let page = page("commands.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").collect())
        .collect();

    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let verbs = commands.lines().take_while(|line| !line.is_empty());
    let verbs = verbs.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let verbs: Vec<&str> = verbs.filter(|verb| !verb.is_empty() && *verb != "help").collect();
    let shown = rows.iter().filter_map(|row| row[0].strip_prefix('`')?.strip_suffix('`'));
    let shown: Vec<&str> = shown.filter(|verb| verb.starts_with(|c: char| c.is_ascii_lowercase())).collect();
    assert!(verbs.len() > 10);
    assert_eq!(shown, verbs, "docs/src/commands.md has other verbs than zerospace --help");

    // A meaning that is too long for a line goes on in the next, which begins with no code.
    let (_, listed) = help.split_once("Exit codes:\n").unwrap();
    let mut codes: Vec<(&str, String)> = Vec::new();
    for line in listed.lines().map(str::trim) {
        match line.split_once("  ") {
            Some((code, meaning)) => codes.push((code, meaning.into())),
            None => codes.last_mut().unwrap().1 += &format!(" {line}"),
        }
    }
    let shown = rows.iter().filter(|row| row[0].parse::<u8>().is_ok());
    let shown: Vec<(&str, String)> = shown.map(|row| (row[0], row[1].into())).collect();
    assert_eq!(codes.len(), 8);
    assert_eq!(shown, codes, "docs/src/commands.md has other exit codes than zerospace --help");
}

/// The reference of the experiment file has every key that the program takes.
#[test]
fn the_page_on_the_experiment_file_names_every_key() {
    let page = page("experiment-file.md");
    let folder = tempfile::tempdir().unwrap();
    let known = |text: &str| -> Vec<String> {
        std::fs::write(folder.path().join("x.toml"), text).unwrap();
        let said = zerospace(folder.path(), &["plan", "x.toml"]);
        let (_, expected) = said
            .stderr
            .split_once("unknown field `new`, expected")
            .or_else(|| said.stderr.split_once("unknown stop rule, expected"))
            .expect("an unknown key is refused");
        expected.split('`').skip(1).step_by(2).map(String::from).collect()
    };
    let mut keys: Vec<String> = known("new = 1")
        .into_iter()
        .filter(|key| !["model", "code", "code_map", "data", "stop", "evaluator"].contains(&key.as_str()))
        .collect();
    for table in ["stop", "data", "code", "code_map", "model", "evaluator"] {
        let several = ["code", "code_map", "model"].contains(&table);
        let header = if several { format!("[[{table}]]") } else { format!("[{table}]") };
        keys.extend(known(&format!("{header}\nnew = 1")).iter().map(|key| format!("{table}.{key}")));
    }
    assert_eq!(keys.len(), 36);
    for key in keys {
        assert!(page.contains(&format!("`{key}`")), "experiment-file.md does not explain `{key}`");
    }
}
