//! Runs `jaegoctl` as a person or a script would.

use std::{process::Stdio, time::Duration};

use localstack::stack::Service;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use e2e::World;

/// Longer than any command of a test takes.
const END: Duration = Duration::from_secs(300);

/// Output and exit code of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Panics when the exit code is another one.
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// `jaegoctl` with these arguments and only this environment.
pub(crate) fn command(args: &[&str], env: &[(&str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jaegoctl"));
    command.args(args).env_clear().env("TZ", "UTC").envs(env.iter().map(|(name, value)| (name, value)));
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(args: &[&str], env: &[(&str, String)]) -> Ran {
    let ended = timeout(END, command(args, env).output()).await.expect("an end").expect("it runs");
    Ran {
        code: ended.status.code().expect("an exit code"),
        stdout: String::from_utf8(ended.stdout).expect("UTF-8"),
        stderr: String::from_utf8(ended.stderr).expect("UTF-8"),
    }
}

/// The variables that `target/dev/env` sets.
pub(crate) fn environment(world: &World) -> Vec<(&'static str, String)> {
    vec![
        ("SALES_URL", world.stack.urls(Service::Sales).api),
        ("PRODUCTION_URL", world.stack.urls(Service::Production).api),
        ("RESTOCK_URL", world.stack.urls(Service::Restock).api),
        ("OPERATOR_TOKEN", world.stack.operator_token().to_owned()),
        ("ACCESS_URL", world.stack.urls(Service::Access).api),
    ]
}

pub(crate) struct Running {
    child: Child,
    stderr: BufReader<tokio::process::ChildStderr>,
}

impl Running {
    pub(crate) fn start(args: &[&str], env: &[(&str, String)]) -> Self {
        let mut child = command(args, env).spawn().expect("it runs");
        let stderr = BufReader::new(child.stderr.take().expect("stderr"));
        Self { child, stderr }
    }

    /// The next line on standard error.
    pub(crate) async fn said(&mut self) -> String {
        let mut line = String::new();
        timeout(END, self.stderr.read_line(&mut line)).await.expect("a line").expect("readable");
        line
    }

    pub(crate) async fn end(mut self) -> Ran {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let mut out = self.child.stdout.take().expect("stdout");
        let ended = timeout(END, async {
            let (read, said) = tokio::join!(out.read_to_string(&mut stdout), self.stderr.read_to_string(&mut stderr));
            read.and(said).expect("UTF-8");
            self.child.wait().await
        });
        let status = ended.await.expect("an end").expect("it ran");
        Ran { code: status.code().expect("an exit code"), stdout, stderr }
    }
}
