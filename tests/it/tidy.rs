//! The rules of the house, as far as a program can see them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::program::root;

/// Which of our crates each may use. crates/README.md says why.
const ARROWS: &[(&str, &[&str])] = &[
    ("design", &[]),
    ("ecc", &[]),
    ("graph", &[]),
    ("inject", &["design"]),
    ("quant", &["graph"]),
    ("pages", &[]),
    ("pickle", &[]),
    ("records", &["design", "pages"]),
    ("data", &["pages", "pickle"]),
    ("zoo", &["graph", "pickle", "quant"]),
    ("infer", &["graph", "quant", "zoo"]),
    ("wot", &["data", "ecc", "graph", "quant", "zoo"]),
    ("campaign", &["design", "ecc", "inject", "records"]),
    ("analysis", &["design", "records"]),
    (
        "harness",
        &[
            "analysis", "campaign", "data", "design", "ecc", "graph", "infer", "inject", "quant", "records",
            "wot", "zoo",
        ],
    ),
    (
        "cli",
        &[
            "analysis", "campaign", "data", "design", "ecc", "graph", "harness", "infer", "inject", "quant",
            "records", "wot", "zoo",
        ],
    ),
];

/// Where heavy dependencies may live.
const HOMES: &[(&str, &[&str])] = &[
    ("candle-core", &["zoo"]),
    ("candle-nn", &["zoo"]),
    ("prost", &["zoo"]),
    ("polars-core", &["analysis"]),
    ("plotters", &["analysis"]),
    ("pulldown-cmark", &["analysis"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("indicatif", &["cli"]),
    ("ureq", &["cli"]),
    ("signal-hook", &["cli"]),
    ("rustix", &["cli"]),
    ("anyhow", &["cli", "harness"]),
];

fn manifests() -> BTreeMap<String, toml::Table> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        if folder.join("Cargo.toml").is_file() {
            let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            all.insert(name, text.parse().unwrap());
        }
    }
    all
}

fn dependencies(manifest: &toml::Table, section: &str) -> BTreeSet<String> {
    let table = manifest.get(section).and_then(|v| v.as_table());
    table.map(|t| t.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn no_arrow_is_reversed() {
    let manifests = manifests();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(known, manifests.keys().map(String::as_str).collect(), "every crate has its arrows listed");
    for (name, allowed) in ARROWS {
        for used in dependencies(&manifests[*name], "dependencies") {
            let ours = known.contains(used.as_str());
            assert!(!ours || allowed.contains(&used.as_str()), "{name} must not use {used}");
        }
    }
}

#[test]
fn heavy_dependencies_stay_at_home() {
    for (name, manifest) in manifests() {
        for used in dependencies(&manifest, "dependencies") {
            if let Some((_, homes)) = HOMES.iter().find(|(dependency, _)| *dependency == used) {
                assert!(homes.contains(&name.as_str()), "{name} must not use {used}");
            }
        }
    }
}

#[test]
fn every_crate_takes_the_workspaces_lints_and_versions() {
    for (name, manifest) in manifests() {
        let inherits = |table: &str, key: &str| {
            manifest[table].get(key).and_then(|v| v.get("workspace").or(Some(v))) == Some(&true.into())
        };
        assert!(inherits("lints", "workspace"), "{name}: lints");
        for section in ["dependencies", "dev-dependencies"] {
            for used in dependencies(&manifest, section) {
                let entry = &manifest[section][&used];
                assert_eq!(
                    entry.get("workspace"),
                    Some(&true.into()),
                    "{name}: {used} has a version of its own"
                );
            }
        }
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn sources_keep_to_the_house_rules() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    sources(&root().join("tests"), &mut files);
    assert!(files.len() > 50);
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !["utils", "util", "helpers", "common", "manager", "misc"].contains(&name.as_str()),
            "{}",
            file.display()
        );
        let text = std::fs::read_to_string(&file).unwrap();
        let ignored = concat!("#[ign", "ore]");
        assert!(!text.contains(ignored), "{}: a test that never runs", file.display());
        let unsafe_allowed = concat!("allow(unsafe", "_code)");
        assert!(
            !text.contains(unsafe_allowed) || name == "kernel" || name == "allocator",
            "{}: unsafe outside a kernel and the tests' counting allocator",
            file.display()
        );
        if name == "lib" {
            let logic = text.lines().find(|line| {
                line.starts_with("fn ") || line.starts_with("pub fn ") || line.starts_with("impl")
            });
            assert_eq!(logic, None, "{}: lib.rs is documentation, modules and re-exports", file.display());
        }
    }
}

#[test]
fn the_map_knows_every_crate() {
    let map = std::fs::read_to_string(root().join("crates/README.md")).unwrap();
    for (name, _) in ARROWS {
        assert!(map.contains(&format!("**{name}**")), "crates/README.md does not say what {name} is");
    }
}
