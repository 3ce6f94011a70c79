//! Makes llb's manual pages and the completions of shells of the definition of its command line, below a directory that is
//! laid out as /usr/share is. `cargo xtask dist` runs it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Command, Parser};
use clap_complete::{Shell, generate_to};

/// Shells, and where each looks for the completions that packages bring.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions"),
    (Shell::Fish, "fish/vendor_completions.d"),
    (Shell::Zsh, "zsh/vendor-completions"),
];

/// Where a shell's file is not of the name that the shell looks for: bash looks for the command's.
const RENAMED: [(&str, &str); 1] = [("bash-completion/completions/llb.bash", "bash-completion/completions/llb")];

#[derive(Parser)]
struct Args {
    /// The directory, as /usr/share
    share: PathBuf,
}

fn main() -> Result<()> {
    let Args { share } = Args::parse();
    let manual = made(share.join("man/man1"))?;
    clap_mangen::generate_to(shown(llb::cli::definition()), &manual).context("cannot write the manual pages")?;
    for (shell, place) in SHELLS {
        let place = made(share.join(place))?;
        generate_to(shell, &mut shown(llb::cli::definition()), "llb", &place)
            .with_context(|| format!("cannot write the completions of {shell}"))?;
    }
    for (from, to) in RENAMED {
        fs::rename(share.join(from), share.join(to)).with_context(|| format!("cannot rename {from}"))?;
    }
    Ok(())
}

/// The command line without what is hidden. llb's own commands are all that it starts itself by, and clap has no way to take
/// one out: what is not hidden is put together anew.
fn shown(whole: Command) -> Command {
    let commands: Vec<Command> = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let bare = Command::new("llb").about(whole.get_about().cloned().unwrap_or_default());
    let bare = bare.version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    bare.args(whole.get_arguments().cloned()).subcommands(commands)
}

fn made(place: impl AsRef<Path>) -> Result<PathBuf> {
    let place = place.as_ref();
    fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
    Ok(place.to_path_buf())
}
