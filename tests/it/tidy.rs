//! The rules of the house, as far as a program can see them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::program::root;

/// Which of our crates each may use. crates/README.md says why.
const ARROWS: &[(&str, &[&str])] = &[
    ("design", &[]),
    ("ecc", &["design", "dispatch"]),
    ("graph", &[]),
    ("inject", &["design"]),
    ("quant", &["durable", "graph"]),
    ("dispatch", &[]),
    ("durable", &[]),
    ("parquet_guard", &[]),
    ("pickle", &[]),
    ("records", &["design", "durable", "parquet_guard"]),
    ("data", &["durable", "parquet_guard", "pickle"]),
    ("zoo", &["graph", "pickle", "quant"]),
    ("infer", &["dispatch", "graph", "quant"]),
    ("wot", &["data", "dispatch", "durable", "ecc", "graph", "inject", "quant"]),
    ("campaign", &["design", "durable", "ecc", "graph", "inject", "records"]),
    ("analysis", &["design", "durable", "records"]),
    (
        "harness",
        &[
            "analysis", "campaign", "data", "design", "durable", "ecc", "graph", "infer", "inject", "quant",
            "records", "wot", "zoo",
        ],
    ),
    (
        "cli",
        &[
            "analysis", "campaign", "data", "design", "durable", "ecc", "graph", "harness", "infer",
            "inject", "quant", "records", "wot", "zoo",
        ],
    ),
    (
        "python",
        &[
            "analysis", "campaign", "cli", "data", "design", "durable", "ecc", "graph", "harness", "infer",
            "inject", "quant", "records", "zoo",
        ],
    ),
];

/// Crates whose modules lie on floors, from the lowest to the highest: no module uses one of a higher floor, and no two
/// files use each other.
const FLOORS: &[(&str, &[&str])] = &[("analysis", &["estimate", "text", "plot", "report"])];

/// Where heavy dependencies may live.
const HOMES: &[(&str, &[&str])] = &[
    ("candle-core", &["zoo"]),
    ("candle-nn", &["zoo"]),
    ("prost", &["zoo"]),
    ("flatbuffers", &["zoo"]),
    ("polars-core", &["analysis"]),
    ("plotters", &["analysis"]),
    ("pulldown-cmark", &["analysis"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("indicatif", &["cli"]),
    ("ureq", &["cli"]),
    ("signal-hook", &["cli"]),
    ("rustix", &["cli", "harness"]),
    ("anyhow", &["cli", "harness", "python"]),
    ("pyo3", &["python"]),
];

fn manifests() -> BTreeMap<String, toml::Table> {
    let mut all = BTreeMap::new();
    let crates = std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    for folder in crates.chain([root().join("python")]) {
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

/// Names of all packages that a crate of ours is compiled with, but for its tests.
fn compiled_with(name: &str) -> BTreeSet<String> {
    let manifests = manifests();
    let lock: toml::Table =
        std::fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().expect("Cargo.lock is TOML");
    let mut locked: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let used = package.get("dependencies").and_then(|v| v.as_array()).into_iter().flatten();
        // A name that has several versions is followed by one.
        let names = used.map(|entry| entry.as_str().unwrap().split(' ').next().unwrap());
        locked.entry(package["name"].as_str().unwrap()).or_default().extend(names);
    }
    let (mut all, mut open) = (BTreeSet::new(), vec![name.to_string()]);
    while let Some(next) = open.pop() {
        match manifests.get(&next) {
            _ if !all.insert(next.clone()) => {}
            Some(manifest) => open.extend(dependencies(manifest, "dependencies")),
            None => open.extend(locked[next.as_str()].iter().copied().map(str::to_owned)),
        }
    }
    all
}

#[test]
fn the_int8_executors_and_the_trainer_need_no_tensor_library() {
    for name in ["infer", "wot"] {
        let used = compiled_with(name);
        assert!(used.contains("graph") && used.contains("rayon-core"), "{name}: {used:?}");
        for heavy in ["candle-core", "prost", "zoo"] {
            assert!(!used.contains(heavy), "{name} must not be compiled with {heavy}");
        }
    }
    assert!(compiled_with("zoo").contains("candle-core"));
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
    for folder in ["crates", "python", "tests"] {
        sources(&root().join(folder), &mut files);
    }
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
            !text.contains(unsafe_allowed)
                || ["kernel", "allocator"].contains(&&*name)
                || file.parent().is_some_and(|folder| folder.ends_with("ecc/src/dense"))
                || file.ends_with("zoo/src/import/tflite.rs"),
            "{}: unsafe outside a kernel, its forms, the generated reader of TensorFlow Lite and the tests' counting allocator",
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

/// Paths after `crate::` in the code of a file, comments left out.
fn crate_paths(text: &str) -> Vec<Vec<&str>> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let uses = code.flat_map(|line| line.split("crate::").skip(1));
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    uses.map(|path| path.split(|c| !is_name(c)).next().unwrap_or_default().split("::").collect()).collect()
}

#[test]
fn no_floor_uses_a_higher_one() {
    for (name, floors) in FLOORS {
        let source = root().join("crates").join(name).join("src");
        let root_file = std::fs::read_to_string(source.join("lib.rs")).unwrap();
        let place = |module: &str| floors.iter().position(|floor| *floor == module);
        // Names that the crate exports: to use one by its short path is to use its floor.
        let exports = root_file.split("pub use ").skip(1).filter_map(|text| text.split(';').next());
        let floor_of = |word: &str| {
            let exported =
                |text: &&str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word);
            place(word)
                .or_else(|| exports.clone().find(exported).and_then(|text| place(text.split(':').next()?)))
        };
        for (own, floor) in floors.iter().enumerate() {
            let mut files = Vec::new();
            sources(&source.join(floor), &mut files);
            assert!(!files.is_empty(), "{name} has no floor {floor}");
            for file in files {
                let text = std::fs::read_to_string(&file).unwrap();
                assert!(!text.contains("super::super"), "{}: expected a path from the crate", file.display());
                for path in crate_paths(&text) {
                    let used = floor_of(path[0]);
                    assert!(
                        used.is_none_or(|used| used <= own),
                        "{} is on floor {floor} and must not use {}",
                        file.display(),
                        path.join("::")
                    );
                }
            }
        }
    }
}

#[test]
fn no_two_files_of_a_crate_with_floors_use_each_other() {
    for (name, _) in FLOORS {
        let source = root().join("crates").join(name).join("src");
        let mut files = Vec::new();
        sources(&source, &mut files);
        let module = |file: &Path| {
            let path = file.strip_prefix(&source).unwrap().with_extension("");
            path.iter().map(|part| part.to_string_lossy().into_owned()).collect::<Vec<_>>().join("::")
        };
        let mut uses: BTreeMap<String, BTreeSet<String>> = files
            .iter()
            .map(|file| {
                let text = std::fs::read_to_string(file).unwrap();
                let paths = crate_paths(&text);
                let used = paths.iter().filter(|path| path.len() > 1).map(|path| path[..2].join("::"));
                (module(file), used.filter(|used| *used != module(file)).collect())
            })
            .collect();
        let known: BTreeSet<String> = uses.keys().cloned().collect();
        uses.values_mut().for_each(|used| used.retain(|module| known.contains(module)));
        // A file that uses none is no part of a circle; leave such files out until none is left.
        while let Some(free) = uses.iter().find(|(_, used)| used.is_empty()).map(|(module, _)| module.clone())
        {
            uses.remove(&free);
            for used in uses.values_mut() {
                used.remove(&free);
            }
        }
        assert!(uses.is_empty(), "{name}: files in a circle, or above one: {uses:?}");
    }
}

#[test]
fn methods_of_a_crate_with_floors_lie_beside_their_type() {
    for (name, _) in FLOORS {
        let mut files = Vec::new();
        sources(&root().join("crates").join(name).join("src"), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for line in text.lines().filter(|line| line.starts_with("impl") && !line.contains(" for ")) {
                let rest = line.trim_start_matches("impl").trim_start_matches(|c| c != ' ').trim_start();
                let own = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
                let defined = ["struct", "enum"].iter().any(|kind| text.contains(&format!("{kind} {own}")));
                assert!(defined, "{}: {own} is of another file", file.display());
            }
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
