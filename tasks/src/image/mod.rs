//! `cargo xtask image`: builds an image from scratch for each released program.

mod check;
mod inside;
mod tool;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, ensure};

pub use self::tool::ToolName;
use self::tool::{Build, Tool};
use crate::dist::{BYTES_MAX, SHIPPED, megabytes};
use crate::output::answer;
use crate::signals::Signals;
use crate::{dist, git};
use localstack::cargo::workspace_root;
use localstack::progress::Progress;

/// Certificate authorities for the servers that programs in images connect to. Debian, Ubuntu and Alpine have this
/// file.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) sbom: bool,
    pub(crate) no_dist: bool,
    pub(crate) tool: Option<ToolName>,
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) check: bool,
}

impl Wanted {
    fn name(&self, program: &str) -> String {
        format!("{}/jaego-{program}:{}", self.repository.trim_end_matches('/'), self.tag)
    }
}

pub(crate) async fn run(wanted: &Wanted) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let progress = Progress::new(signals.stop);
    // First, because it fails the fastest.
    let tool = Tool::find(&progress, wanted.tool).await?;
    if !wanted.no_dist {
        dist::dist(&progress, wanted.sbom).await?;
    }
    let context = context()?;
    let (revision, commit_time, source) = (git::revision().await, git::commit_time().await, git::source().await);
    let mut images = Vec::new();
    for program in SHIPPED {
        let name = wanted.name(program);
        let step = progress.begin(format!("Building {name}"))?;
        let build = Build {
            name: &name,
            dockerfile: &workspace_root().join("Dockerfile"),
            context: &context,
            target: program,
            version: env!("CARGO_PKG_VERSION"),
            revision: &revision,
            commit_time,
            source: source.as_deref(),
        };
        tool.build(&build).await?;
        let bytes = tool.size(&name).await?;
        ensure!(bytes <= BYTES_MAX, "{name} has {}, more than {}", megabytes(bytes), megabytes(BYTES_MAX));
        step.done(format!("Image {name}: {}", megabytes(bytes)));
        images.push((program, name, bytes));
    }
    if wanted.check {
        check::check(&progress, &tool, &images).await?;
    }
    for (_, name, bytes) in images {
        answer(&format!("{:>8}  {name}", megabytes(bytes)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prepares the build context: the programs, and the certificates next to them.
fn context() -> anyhow::Result<PathBuf> {
    let folder = dist::folder();
    for program in SHIPPED {
        let path = folder.join(program);
        ensure!(path.is_file(), "there is no {}: `cargo xtask dist` makes it", path.display());
    }
    let certificates = fs::read(CERTIFICATES)
        .with_context(|| format!("cannot read {CERTIFICATES} (on Debian: apt-get install ca-certificates)"))?;
    ensure!(certificates.starts_with(b"-----BEGIN"), "{CERTIFICATES} contains no certificates");
    fs::write(folder.join("ca-certificates.crt"), certificates).context("cannot write the certificates")?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each released program has a stage and an entry point of its own, and none runs as root.
    #[test]
    fn the_dockerfile_knows_every_program() {
        let text = fs::read_to_string(workspace_root().join("Dockerfile")).unwrap();
        let stages: Vec<&str> = text.split("FROM ").skip(2).collect();
        assert_eq!(stages.len(), SHIPPED.len());
        for (stage, program) in stages.into_iter().zip(SHIPPED) {
            assert!(stage.starts_with(&format!("base AS {program}\n")), "{stage}");
            assert!(stage.contains(&format!("image.title=\"jaego-{program}\"")), "{stage}");
            assert!(stage.contains(&format!("\nCOPY {program} /usr/local/bin/{program}\n")), "{stage}");
            assert!(stage.contains(&format!("\nENTRYPOINT [\"/usr/local/bin/{program}\"]\n")), "{stage}");
            let serves = program.ends_with("-service") || program == "frontend";
            assert_eq!(stage.contains("CMD [\"serve\"]"), serves, "{stage}");
            assert!(!stage.contains("USER"), "{stage}");
        }
        assert!(text.contains("\nFROM scratch AS base\n") && text.contains("\nUSER 65532:65532\n"), "{text}");
        assert!(!text.contains("RUN ") && !text.contains("ADD "), "{text}");
    }

    #[test]
    fn names_are_those_that_the_chart_uses() {
        let wanted = Wanted {
            sbom: false,
            no_dist: true,
            tool: None,
            repository: "ghcr.io/jaego/".to_owned(),
            tag: "1.2.3".to_owned(),
            check: false,
        };
        assert_eq!(wanted.name(SHIPPED[0]), "ghcr.io/jaego/jaego-sales-service:1.2.3");
    }
}
