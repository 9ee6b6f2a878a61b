//! Output for a person, and output of other programs.

use std::{io::Write as _, path::Path, process::Stdio};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// Exit code of a command that found nothing wrong, but could not check everything.
pub(crate) const NOT_CHECKED: u8 = 3;

/// A path for display: relative to the current folder if it is below it.
pub(crate) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// Writes a result to standard output. A reader that has gone away is not an error.
pub(crate) fn answer(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

/// Returns the command's standard output. Fails unless the command succeeds.
pub(crate) async fn said(mut command: Command) -> anyhow::Result<String> {
    // Values of `--env` are not shown, because there are passwords among them.
    let words = std::iter::once(command.as_std().get_program()).chain(command.as_std().get_args());
    let mut is_secret = false;
    let shown: Vec<_> = words
        .map(
            |word| {
                if std::mem::replace(&mut is_secret, word == "--env") { "..".into() } else { word.to_string_lossy() }
            },
        )
        .collect();
    let shown = shown.join(" ");
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("cannot run {shown}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown} ended with {}: {}", output.status, error.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
