//! Command lines as a POSIX shell reads them.

use clap::ArgMatches;
use clap::parser::ValueSource;

/// A word of a shell command.
pub(crate) fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The command that started this program, as it was typed, for the same directory. What options took from the
/// environment stands before it, so that it also holds where that is not set.
pub(crate) fn typed(verb: &clap::Command, matches: &ArgMatches) -> String {
    let of_environment = |argument: &clap::Arg| {
        let name = argument.get_env()?;
        let taken = matches.value_source(argument.get_id().as_str()) == Some(ValueSource::EnvVariable);
        let value = std::env::var_os(name).filter(|_| taken)?;
        Some(format!("{}={}", name.to_string_lossy(), word(&value.to_string_lossy())))
    };
    let words = std::env::args_os().map(|argument| word(&argument.to_string_lossy()));
    verb.get_arguments().filter_map(of_environment).chain(words).collect::<Vec<_>>().join(" ")
}
