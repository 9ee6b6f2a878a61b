//! The tool that builds and runs images: docker, if an engine answers, or buildah, which needs none.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use serde_json::Value;
use testkit::process::find_on_path;
use tokio::{process::Command, time::timeout};

use crate::output::said;
use localstack::packages::{Hints, MissingPrograms, provide};
use localstack::progress::Progress;

const ENGINE_TIMEOUT: Duration = Duration::from_secs(10);

const HINTS: Hints = Hints {
    elsewhere: "install buildah (https://buildah.io), or start a docker engine,",
    newer: "Newer ones: https://buildah.io",
    note: "It builds images, and is needed for nothing else.",
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ToolName {
    /// Without an engine.
    Buildah,
    /// With the engine that it finds.
    Docker,
}

/// A tool that works on this machine.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    name: ToolName,
    /// The program, and the arguments that precede every command.
    words: Vec<&'static str>,
}

#[derive(Debug)]
pub(super) struct Build<'a> {
    pub(super) name: &'a str,
    pub(super) dockerfile: &'a Path,
    pub(super) context: &'a Path,
    /// Stage of the Dockerfile.
    pub(super) target: &'a str,
    pub(super) version: &'a str,
    pub(super) revision: &'a str,
    /// Seconds of Unix time. The same commit gives the same image.
    pub(super) commit_time: u64,
    pub(super) source: Option<&'a str>,
}

/// Run configuration of an image.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) user: String,
    pub(super) entrypoint: Vec<String>,
    pub(super) command: Vec<String>,
}

impl Tool {
    /// Returns the wanted tool, or an available one. Installs buildah if that is possible.
    pub(super) async fn find(progress: &Progress, wanted: Option<ToolName>) -> anyhow::Result<Self> {
        if wanted != Some(ToolName::Buildah) {
            let docker = Self { name: ToolName::Docker, words: vec!["docker"] };
            if docker.works(&["version", "--format", "{{.Server.Version}}"]).await {
                return Ok(docker);
            }
            if wanted == Some(ToolName::Docker) {
                bail!("no docker engine answers (`docker version`): start it, or build with --tool buildah");
            }
        }
        let missing = || MissingPrograms { programs: vec!["buildah"], packages: vec!["buildah"], hints: &HINTS };
        provide(
            progress,
            "buildah",
            || find_on_path("buildah").ok_or_else(missing),
            |_| "buildah is installed".to_owned(),
        )
        .await?;
        // Containers often have no overlay file system; copies of files work everywhere.
        for words in [vec!["buildah"], vec!["buildah", "--storage-driver", "vfs"]] {
            let buildah = Self { name: ToolName::Buildah, words };
            if buildah.works(&["info"]).await {
                return Ok(buildah);
            }
        }
        bail!("buildah is installed, but cannot keep images here: `buildah info` says why");
    }

    async fn works(&self, args: &[&str]) -> bool {
        let asked = timeout(ENGINE_TIMEOUT, said(self.command(args)));
        find_on_path(self.words[0]).is_some() && matches!(asked.await, Ok(Ok(_)))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.words[0]);
        command.args(&self.words[1..]).args(args);
        command
    }

    /// Builds an image. There is no base image, so nothing is pulled.
    pub(super) async fn build(&self, build: &Build<'_>) -> anyhow::Result<()> {
        let mut command = match self.name {
            ToolName::Buildah => {
                self.command(&["build", "--quiet", "--isolation", "chroot", "--pull-never", "--timestamp"])
            }
            ToolName::Docker => self.command(&["build", "--quiet", "--build-arg"]),
        };
        command.arg(match self.name {
            ToolName::Buildah => build.commit_time.to_string(),
            ToolName::Docker => format!("SOURCE_DATE_EPOCH={}", build.commit_time),
        });
        command.arg("--file").arg(build.dockerfile).args(["--target", build.target, "--tag", build.name]);
        command.args(["--build-arg", &format!("VERSION={}", build.version)]);
        command.args(["--build-arg", &format!("REVISION={}", build.revision)]);
        if let Some(source) = build.source {
            command.args(["--label", &format!("org.opencontainers.image.source={source}")]);
        }
        command.arg(build.context);
        said(command).await.with_context(|| format!("cannot build {}", build.name))?;
        Ok(())
    }

    /// Size of the image in bytes.
    pub(super) async fn size(&self, image: &str) -> anyhow::Result<u64> {
        let output = match self.name {
            ToolName::Docker => said(self.command(&["image", "inspect", "--format", "{{.Size}}", image])).await?,
            ToolName::Buildah => said(self.command(&["images", "--format", "{{.Size}}", image])).await?,
        };
        bytes(&output).with_context(|| format!("{} reported an invalid size of {image}: {output:?}", self.words[0]))
    }

    pub(super) async fn config(&self, image: &str) -> anyhow::Result<Config> {
        let (command, place) = match self.name {
            ToolName::Docker => (self.command(&["image", "inspect", image]), "/0/Config"),
            ToolName::Buildah => (self.command(&["inspect", "--type", "image", image]), "/OCIv1/config"),
        };
        let output: Value = serde_json::from_str(&said(command).await?)?;
        let config = output.pointer(place).with_context(|| format!("{image} has no configuration"))?;
        let words = |name: &str| {
            let words = config[name].as_array().into_iter().flatten();
            words.filter_map(|word| word.as_str().map(ToOwned::to_owned)).collect()
        };
        let user = config["User"].as_str().unwrap_or_default().to_owned();
        Ok(Config { user, entrypoint: words("Entrypoint"), command: words("Cmd") })
    }

    /// Creates a container of an image; see [`Container::run`].
    pub(super) async fn container(&self, image: &str) -> anyhow::Result<Container<'_>> {
        let config = self.config(image).await?;
        let name = match self.name {
            ToolName::Docker => None,
            ToolName::Buildah => Some(said(self.command(&["from", "--pull-never", image])).await?),
        };
        Ok(Container { tool: self, image: image.to_owned(), name, config })
    }
}

/// An image that can be run repeatedly.
#[derive(Debug)]
pub(super) struct Container<'a> {
    tool: &'a Tool,
    image: String,
    /// Name of buildah's working container.
    name: Option<String>,
    pub(super) config: Config,
}

impl Container<'_> {
    /// Command line that runs the image's program on this machine's network, as the image's user. Without `args`, the
    /// image's own arguments are used.
    pub(super) fn run(&self, env: &[(String, String)], args: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = self.tool.words.iter().map(|word| (*word).to_owned()).collect();
        let mut say = |args: &[&str]| words.extend(args.iter().map(|arg| (*arg).to_owned()));
        say(&["run"]);
        if self.name.is_none() {
            say(&["--rm", "--network", "host", "--read-only", "--cap-drop", "ALL"]);
            say(&["--security-opt", "no-new-privileges"]);
        } else {
            say(&["--isolation", "chroot", "--cap-drop", "all"]);
        }
        for (key, value) in env {
            say(&["--env", &format!("{key}={value}")]);
        }
        match &self.name {
            None => say(&[&self.image]),
            // Buildah runs exactly the given command, so the image's own command is spelled out.
            Some(name) => {
                say(&[name, "--"]);
                let entrypoint: Vec<&str> = self.config.entrypoint.iter().map(String::as_str).collect();
                say(&entrypoint);
                if args.is_empty() {
                    let command: Vec<&str> = self.config.command.iter().map(String::as_str).collect();
                    say(&command);
                }
            }
        }
        say(args);
        words
    }

    /// Returns whether the image's program is a descendant of the command that runs it, and not of an engine.
    pub(super) fn has_parent_here(&self) -> bool {
        self.name.is_some()
    }

    /// Removes the working container.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        if let Some(name) = &self.name {
            said(self.tool.command(&["rm", name])).await?;
        }
        Ok(())
    }
}

/// Parses a size: `24310221`, or with a unit as in `24.3 MB`.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was parsed without a sign")]
    Some(bytes.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_tools_print_them() {
        assert_eq!(bytes("24310221\n"), Some(24_310_221));
        assert_eq!(bytes("24.3 MB"), Some(24_300_000));
        assert_eq!(bytes("769 KB"), Some(769_000));
        assert_eq!(bytes("1.2 furlongs"), None);
        assert_eq!(bytes(""), None);
    }

    #[test]
    fn an_image_is_run_as_it_wants_to_be() {
        let config = Config {
            user: "65532:65532".to_owned(),
            entrypoint: vec!["/usr/local/bin/a".to_owned()],
            command: vec!["serve".to_owned()],
        };
        let tool = Tool { name: ToolName::Buildah, words: vec!["buildah"] };
        let container = Container { tool: &tool, image: "i".to_owned(), name: Some("c".to_owned()), config };
        let env = [("K".to_owned(), "V".to_owned())];
        let serve = "buildah run --isolation chroot --cap-drop all --env K=V c -- /usr/local/bin/a serve";
        assert_eq!(container.run(&env, &[]).join(" "), serve);
        assert!(container.run(&[], &["--version"]).join(" ").ends_with(" c -- /usr/local/bin/a --version"));
    }
}
