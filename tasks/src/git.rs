//! The revision of the sources.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::process::Command;

use crate::output::said;
use localstack::cargo::workspace_root;

/// The commit's hash, with `-modified` if files differ from it; `unknown` without git.
pub(crate) async fn revision() -> String {
    let Some(commit) = git(&["rev-parse", "HEAD"]).await else { return "unknown".to_owned() };
    match git(&["status", "--porcelain"]).await {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit}-modified"),
    }
}

/// Time of the commit, or the current time without git, in seconds of Unix time.
pub(crate) async fn commit_time() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    git(&["log", "-1", "--format=%ct"]).await.and_then(|seconds| seconds.parse().ok()).unwrap_or_else(now)
}

/// Public address of the sources: the remote `origin`, if it is a web address.
pub(crate) async fn source() -> Option<String> {
    public_address(&git(&["remote", "get-url", "origin"]).await?)
}

/// Removes the user name and password that the address may contain.
fn public_address(remote: &str) -> Option<String> {
    let rest = remote.strip_prefix("https://")?;
    let (host, path) = rest.split_once('/')?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    Some(format!("https://{host}/{}", path.strip_suffix(".git").unwrap_or(path)))
}

async fn git(args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.args(args).current_dir(workspace_root());
    said(command).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_holds_no_secret() {
        let address = public_address("https://me:token@git.example/shop/jaego.git");
        assert_eq!(address.as_deref(), Some("https://git.example/shop/jaego"));
        for private in ["/srv/jaego", "git@git.example:shop/jaego.git", "http://git.example/jaego"] {
            assert_eq!(public_address(private), None, "{private}");
        }
    }
}
