use clap::{Args, Command};
use clap_complete::Shell;

use crate::terminal::exit::Outcome;
use crate::terminal::output::data;
use harness::Failure;

const HELP: &str = "\
The script completes commands, options, files, and the names of architectures, data sets and protections. To install it:
  bash: zerospace completions bash > ~/.local/share/bash-completion/completions/zerospace
  zsh: zerospace completions zsh > ~/.zfunc/_zerospace   (with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc)
  fish: zerospace completions fish > ~/.config/fish/completions/zerospace.fish
  elvish: zerospace completions elvish >> ~/.config/elvish/rc.elv
  powershell: zerospace completions powershell >> $PROFILE

Example:
  mkdir -p ~/.local/share/bash-completion/completions
  zerospace completions bash > ~/.local/share/bash-completion/completions/zerospace";

/// Print a script that completes this program's command line in a shell
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn execute(arguments: &Arguments, program: &mut Command) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, program, "zerospace", &mut script);
    data(&String::from_utf8(script).expect("a script is text"));
    Ok(Outcome::Done)
}
