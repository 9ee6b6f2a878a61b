//! The help in other forms: shell completions, man pages, the reference in `docs/`.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{
    failure::{Exit, Failure, Result},
    output::print,
};

/// Width of the reference, in characters.
const WIDTH: usize = 100;

/// Print completions for a shell
///
/// For bash: jaegoctl completions bash > ~/.local/share/bash-completion/completions/jaegoctl
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the man page, or write one for each command into a folder
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder, which must exist
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Completions {
    pub(crate) fn run(self, mut program: Command) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "jaegoctl", &mut script);
        write(&script);
        Exit::Ok
    }
}

impl Man {
    pub(crate) fn run(self, program: Command) -> Result<Exit> {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(program)
                .render(&mut page)
                .map_err(|error| Failure::new(Exit::Failed, format!("cannot write the man page: {error}")))?;
            write(&page);
            return Ok(Exit::Ok);
        };
        clap_mangen::generate_to(program, &dir).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write man pages into {}: {error}", dir.display()))
        })?;
        print(&format!("Man pages are in {}", dir.display()));
        Ok(Exit::Ok)
    }
}

/// Ignores errors: a closed pipe is no failure.
fn write(text: &[u8]) {
    std::io::stdout().lock().write_all(text).ok();
}

/// The help of all commands, one after the other.
pub(crate) fn reference(program: Command) -> String {
    let mut text = String::from(
        "# jaegoctl\n\nThe help of every command, as `jaegoctl help COMMAND` shows it; common options (`--json`, \
         Connection) are shown once. Generated from the program; a test compares it.\n",
    );
    let mut root = program.term_width(WIDTH);
    root.build();
    chapter(&mut text, root, 0);
    text
}

fn chapter(text: &mut String, mut command: Command, depth: usize) {
    if depth > 0 {
        command = command.mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
    }
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    if depth > 0 {
        text.extend(["\n", "#".repeat(depth.min(3) + 1).as_str(), " ", &name, "\n"]);
    }
    let help = command.clone().term_width(WIDTH).render_long_help().to_string();
    text.push_str("\n```text\n");
    for line in help.trim_end().lines() {
        text.extend([line.trim_end(), "\n"]);
    }
    text.push_str("```\n");
    for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
        chapter(text, inner.clone(), depth + 1);
    }
}
