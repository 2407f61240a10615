//! Shell completions and manual pages, used by the shells and the formatter that are installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::{say, succeed, zerospace};

/// What bash offers for the last of `words`, by the script as it is installed.
fn bash(folder: &Path, words: &[&str]) -> Vec<String> {
    let script = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={}; _zerospace zerospace \"${{COMP_WORDS[COMP_CWORD]}}\" \
         \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo ${{COMPREPLY[@]}}",
        folder.join("zerospace.bash").display(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1
    );
    let output = Command::new("bash").args(["--norc", "-c", &script]).current_dir(folder).output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.split_whitespace().map(String::from).collect()
}

fn verbs(folder: &Path) -> Vec<String> {
    let help = succeed(folder, &["--help"]);
    let verbs =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    verbs
        .filter_map(|line| Some(line.strip_prefix("  ")?.split(' ').next()?.to_string()))
        .filter(|v| !v.is_empty())
        .collect()
}

#[test]
fn bash_completes_verbs_options_and_names() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("zerospace.bash"), succeed(folder, &["completions", "bash"])).unwrap();
    assert_eq!(bash(folder, &["zerospace", "re"]), ["reproduce", "report", "replay"]);
    let offered = bash(folder, &["zerospace", ""]);
    for verb in verbs(folder) {
        assert!(offered.contains(&verb), "{verb} is not in {offered:?}");
    }
    assert_eq!(bash(folder, &["zerospace", "status", "--unf"]), ["--unfinished-shards"]);
    assert_eq!(bash(folder, &["zerospace", "fit", "--format", ""]), ["text", "json"]);
    let architectures = bash(folder, &["zerospace", "quantize", "--arch", ""]);
    assert_eq!(architectures, zoo::ARCHITECTURES);
    assert_eq!(bash(folder, &["zerospace", "quantize", "--set", "ci"]), ["cifar10", "cifar100"]);
    let protections = bash(folder, &["zerospace", "quantize", "--throttle", ""]);
    assert_eq!(protections, ecc::all().iter().map(|p| p.id().to_string()).collect::<Vec<_>>());
    // What is only a hint is still taken and refused by who knows.
    let said = zerospace(folder, &["quantize", "x", "--throttle=no-code", "-o", "y"]);
    assert!(
        said.code == 2 && said.stderr.starts_with("error: --throttle: unknown protection `no-code`"),
        "{}",
        said.stderr
    );
    assert_eq!(zerospace(folder, &["completions", "sh"]).code, 2);
}

#[test]
fn scripts_of_all_shells_are_well_formed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (shell, verb) in [
        ("bash", "unfinished-shards"),
        ("zsh", "#compdef zerospace"),
        ("fish", "complete -c zerospace"),
        ("elvish", "edit:completion:arg-completer[zerospace]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = succeed(folder, &["completions", shell]);
        assert!(script.contains(verb), "{shell}: {script}");
        if !["bash", "zsh", "fish"].contains(&shell) {
            continue;
        }
        fs::write(folder.join(shell), script).unwrap();
        match Command::new(shell).arg("-n").arg(folder.join(shell)).output() {
            Ok(checked) => {
                assert!(checked.status.success(), "{shell}: {}", String::from_utf8_lossy(&checked.stderr));
            }
            Err(_) => say(&format!("SKIPPED {shell} -n of the completions: {shell} is not installed")),
        }
    }
}

#[test]
fn every_verb_has_a_manual_page_that_is_formatted_without_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let written = succeed(folder, &["man", "pages/man1"]);
    let mut expected: Vec<String> = verbs(folder)
        .iter()
        .filter(|verb| *verb != "help")
        .map(|verb| format!("pages/man1/zerospace-{verb}.1"))
        .collect();
    expected.insert(0, "pages/man1/zerospace.1".into());
    let pages: Vec<&str> = written.lines().collect();
    assert!(expected.iter().all(|page| pages.contains(&page.as_str())), "{pages:?}");
    assert!(pages.contains(&"pages/man1/zerospace-data-fetch.1"), "{pages:?}");
    assert!(expected.len() > 15, "{expected:?}");
    for page in &expected {
        let verb =
            page.trim_start_matches("pages/man1/zerospace").trim_start_matches('-').trim_end_matches(".1");
        let Ok(groff) =
            Command::new("groff").args(["-man", "-Tutf8", "-ww", page]).current_dir(folder).output()
        else {
            say("SKIPPED formatting of the manual pages: groff is not installed");
            return;
        };
        assert_eq!(String::from_utf8_lossy(&groff.stderr), "", "{page}");
        // Without the marks of bold and underlined, the examples are those of --help, line by line.
        let shown = String::from_utf8(groff.stdout).unwrap();
        let mut plain = String::new();
        let mut rest = shown.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain += before;
            rest = after.split_once('m').unwrap().1;
        }
        plain += rest;
        let help =
            if verb.is_empty() { succeed(folder, &["--help"]) } else { succeed(folder, &[verb, "--help"]) };
        let examples =
            help.lines().skip_while(|line| !line.starts_with("Example") && !line.starts_with("Start here"));
        let examples: Vec<&str> =
            examples.skip(1).take_while(|line| line.starts_with("  ")).map(str::trim).collect();
        assert!(!examples.is_empty(), "{help}");
        // --help breaks long lines; a page does not.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let plain = words(&plain);
        for example in examples {
            assert!(plain.contains(&words(example)), "{page}: no `{example}` in\n{plain}");
        }
    }
}
