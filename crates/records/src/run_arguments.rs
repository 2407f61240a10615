use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Arguments of the command that started or extended a run: those that identify the experiment.
///
/// Directories, threads and shards are not kept: they belong to a machine, and no record depends on them.
/// [`Display`](fmt::Display) gives the command, such as `zerospace run experiments/x.toml`, or the call in Python.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "command")]
pub enum RunArguments {
    /// `run FILE`.
    Run {
        /// The experiment file: as given if the path is relative, otherwise its name.
        experiment: String,
    },
    /// `reproduce`, whose experiment the program carries.
    Reproduce {},
    /// `zerospace.run` of the Python package, with objects that only the calling program has.
    Python {
        /// Names of the arguments, beside the networks, that are such objects: `evaluator`, `images` and others.
        objects: Vec<String>,
    },
}

/// Options that older manifests keep in their command lines, each with a value.
const OF_THE_MACHINE: [&str; 5] = ["--shard", "--data", "--cache", "--out", "--threads"];

impl RunArguments {
    /// The arguments of `run FILE`.
    pub fn run(experiment: &Path) -> Self {
        let named = match experiment.is_relative() {
            true => experiment.as_os_str(),
            false => experiment.file_name().unwrap_or_default(),
        };
        Self::Run { experiment: named.to_string_lossy().into_owned() }
    }

    /// Reads the words of a command line, the form of manifests before version 3.
    pub(crate) fn of_words(words: &[String]) -> Self {
        let mut rest = words.iter().skip(1);
        while let Some(word) = rest.next() {
            let option = word.split_once('=').map_or(word.as_str(), |(option, _)| option);
            if !OF_THE_MACHINE.contains(&option) {
                return Self::run(Path::new(word));
            }
            if option == word {
                rest.next();
            }
        }
        Self::Reproduce {}
    }

    /// The experiment file; that of `reproduce` by its place in the repository, that of Python in the run directory.
    pub fn experiment(&self) -> &str {
        match self {
            Self::Run { experiment } => experiment,
            Self::Reproduce {} => "experiments/reproduce.toml",
            Self::Python { .. } => "experiment.toml",
        }
    }
}

impl fmt::Display for RunArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { experiment } => write!(f, "zerospace run {experiment}"),
            Self::Reproduce {} => f.write_str("zerospace reproduce"),
            Self::Python { objects } => write!(f, "zerospace.run(networks, ...{})", arguments(objects)),
        }
    }
}

/// Keyword arguments of Python after others, such as `, images=images`.
fn arguments(objects: &[String]) -> String {
    objects.iter().map(|object| format!(", {object}={object}")).collect()
}

impl RunArguments {
    /// A call of the Python package that computes trials again, such as `zerospace.verify("DIR", networks, images=images)`; `None` if
    /// the program does it. `positional` are further arguments.
    pub fn python_call(&self, function: &str, positional: &[&str]) -> Option<String> {
        let Self::Python { objects } = self else { return None };
        let positional: String = positional.iter().map(|argument| format!(", {argument}")).collect();
        Some(format!("zerospace.{function}(\"DIR\", networks{positional}{})", arguments(objects)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_hold_no_directory_of_a_machine() {
        let of = |line: &str| RunArguments::of_words(&line.split(' ').map(String::from).collect::<Vec<_>>());
        for line in [
            "run experiments/x.toml",
            "run --data /home/me/data experiments/x.toml --cache=/scratch/c",
            "run --cache /scratch/c --shard=1/3 --threads 4 experiments/x.toml --out /scratch/x",
        ] {
            assert_eq!(of(line).to_string(), "zerospace run experiments/x.toml");
        }
        assert_eq!(of("run /home/me/x.toml").to_string(), "zerospace run x.toml");
        assert_eq!(of("reproduce --out /tmp/r").to_string(), "zerospace reproduce");
        assert_eq!(of("reproduce --out /tmp/r").experiment(), "experiments/reproduce.toml");
    }

    #[test]
    fn arguments_come_back_from_json() {
        for (arguments, json) in [
            (RunArguments::run(Path::new("x.toml")), r#"{"command":"run","experiment":"x.toml"}"#),
            (RunArguments::Reproduce {}, r#"{"command":"reproduce"}"#),
            (
                RunArguments::Python { objects: vec!["evaluator".into()] },
                r#"{"command":"python","objects":["evaluator"]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&arguments).unwrap(), json);
            assert_eq!(serde_json::from_str::<RunArguments>(json).unwrap(), arguments);
        }
    }

    #[test]
    fn a_run_of_python_is_computed_again_in_python() {
        let arguments = RunArguments::Python { objects: vec!["images".into(), "labels".into()] };
        assert_eq!(arguments.to_string(), "zerospace.run(networks, ..., images=images, labels=labels)");
        assert_eq!(
            arguments.python_call("replay", &["\"3f2a\"", "7"]).unwrap(),
            r#"zerospace.replay("DIR", networks, "3f2a", 7, images=images, labels=labels)"#
        );
        assert_eq!(RunArguments::Reproduce {}.python_call("verify", &[]), None);
    }
}
