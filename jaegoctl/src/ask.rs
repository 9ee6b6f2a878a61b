//! Confirmation prompts before bulk changes.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::{
    failure::{Exit, Failure, Result},
    output::one_line,
};

/// Asks for confirmation unless `yes`. Without a terminal there is no one to ask, so nothing is changed.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    let question = one_line(question);
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        let message = format!("{question} There is no terminal to ask at: give --yes. Nothing was changed.");
        return Err(Failure::new(Exit::NotConfirmed, message));
    }
    write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).ok();
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).ok();
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Failure::new(Exit::NotConfirmed, "Nothing was changed."))
    }
}
