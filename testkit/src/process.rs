//! Child processes of tests and of the local stack. Each has its own process group (a Ctrl-C in the terminal
//! reaches only the parent, which then stops them in order) and writes its output to a file.

mod record;

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

pub use nix::sys::signal::Signal;
use nix::{sys::signal, unistd::Pid};
use tokio::time::sleep;

pub(crate) use self::record::kill_recorded_group;
use self::record::write as write_record;
pub use self::record::{StopSignal, is_running, stop_recorded};
use crate::{
    accounts::Account,
    error::{Doing as _, Error, Result},
};

const POLL: Duration = Duration::from_millis(20);
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// A program to start.
#[derive(Debug, Clone)]
pub struct Spec {
    name: String,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    clear_env: bool,
    dir: Option<PathBuf>,
    log: PathBuf,
    account: Option<Account>,
    record: Option<(PathBuf, String)>,
    stop_signal: StopSignal,
}

impl Spec {
    /// A program, called `name` in messages, whose output is appended to `log`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            clear_env: false,
            dir: None,
            log: log.into(),
            account: None,
            record: None,
            stop_signal: StopSignal::Terminate,
        }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    #[must_use]
    pub fn envs<K: Into<OsString>, V: Into<OsString>>(mut self, vars: impl IntoIterator<Item = (K, V)>) -> Self {
        self.env.extend(vars.into_iter().map(|(key, value)| (key.into(), value.into())));
        self
    }

    /// Clears the environment except for `PATH`.
    #[must_use]
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Sets the signal that asks the program to stop; the default is SIGTERM.
    #[must_use]
    pub fn stop_signal(mut self, signal: StopSignal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// Writes a record to `path` by which another process can stop this one later, see [`stop_recorded`].
    /// `marker` is a part of the command line (arguments joined by single spaces) that proves that the pid
    /// still belongs to this program.
    #[must_use]
    pub fn record(mut self, path: impl Into<PathBuf>, marker: impl Into<String>) -> Self {
        self.record = Some((path.into(), marker.into()));
        self
    }

    /// Runs as another account, which requires root.
    #[must_use]
    pub(crate) fn run_as(mut self, account: Option<Account>) -> Self {
        self.account = account;
        self
    }

    pub fn spawn(self) -> Result<Process> {
        let log = open_log(&self.log)?;
        let errors = log.try_clone().doing(|| format!("open {}", self.log.display()))?;
        let mut command = Command::new(&self.program);
        if self.clear_env {
            command.env_clear();
            if let Some(path) = std::env::var_os("PATH") {
                command.env("PATH", path);
            }
        }
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        if let Some(account) = &self.account {
            command.uid(account.uid()).gid(account.gid());
        }
        let child = command.spawn().doing(|| format!("start {}", self.program.display()))?;
        let process = Process {
            name: self.name,
            child,
            log: self.log,
            stop_signal: self.stop_signal,
            record: self.record.as_ref().map(|(path, _)| path.clone()),
            ended: None,
            detached: false,
        };
        if let Some((path, marker)) = &self.record {
            write_record(path, process.pid(), marker, process.stop_signal)?;
        }
        Ok(process)
    }
}

/// A running child process. Dropping it kills its whole process group, unless it was detached.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    stop_signal: StopSignal,
    record: Option<PathBuf>,
    ended: Option<ExitStatus>,
    detached: bool,
}

impl Process {
    /// Name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Process id, which is also the id of the process group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// File with the output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Exit status, when it has exited.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits until it exits by itself; `None` after `timeout`.
    pub async fn wait_exit(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.exit_status() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            sleep(POLL).await;
        }
    }

    /// Waits until `url` answers 200; fails at once when the process exits.
    pub async fn wait_ok(&mut self, url: &str, timeout: Duration) -> Result<()> {
        let client = crate::http::client(Duration::from_secs(2));
        let deadline = Instant::now() + timeout;
        loop {
            let seen = match client.get(url).send().await {
                Ok(answer) if answer.status() == reqwest::StatusCode::OK => return Ok(()),
                Ok(answer) => format!("answered {}", answer.status()),
                Err(_) => "does not answer".to_owned(),
            };
            self.check_alive()?;
            if Instant::now() >= deadline {
                return Err(self.not_ready(format!("was not ready within {timeout:?}: {url} {seen}")));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Fails when the process has exited.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.exit_status() {
            None => Ok(()),
            Some(status) => Err(self.not_ready(format!("ended unexpectedly ({})", describe(status)))),
        }
    }

    /// An error with `reason` and the last lines of the log.
    pub fn not_ready(&self, reason: String) -> Error {
        Error::NotReady { what: self.name.clone(), reason, log: self.log.clone(), tail: tail(&self.log, 20) }
    }

    /// Sends SIGKILL to the whole group, as in a crash: nothing in it gets to clean up.
    pub fn kill9(&mut self) -> Result<ExitStatus> {
        if self.exit_status().is_none() {
            self.signal_group(Signal::SIGKILL);
            self.ended = Some(self.child.wait().doing(|| format!("wait for {}", self.name))?);
        }
        self.forget_record();
        self.exit_status().ok_or_else(|| self.not_ready("could not be killed".into()))
    }

    /// Asks the process to stop, and kills its group when it does not stop in time. The status shows which: a
    /// killed process has ended by signal 9.
    pub async fn terminate(&mut self, timeout: Duration) -> Result<ExitStatus> {
        if self.exit_status().is_none() {
            // Only the program itself gets the signal, because it knows in which order its children stop.
            self.signal(self.stop_signal.into());
        }
        match self.wait_exit(timeout).await {
            Some(status) => {
                self.forget_record();
                Ok(status)
            }
            None => self.kill9(),
        }
    }

    /// Lets the process outlive this one; its record finds it again.
    pub fn detach(mut self) {
        self.detached = true;
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        // The only possible failure is that it has just exited.
        signal::kill(self.nix_pid(), signal).ok();
    }

    fn signal_group(&self, signal: Signal) {
        signal::killpg(self.nix_pid(), signal).ok();
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn forget_record(&mut self) {
        if let Some(path) = self.record.take() {
            fs::remove_file(path).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.detached && self.exit_status().is_none() {
            self.kill9().ok();
        }
    }
}

/// The last `lines` lines of a file, or a note on why there are none.
pub fn tail(path: impl AsRef<Path>, lines: usize) -> String {
    match fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("(no log: {error})"),
    }
}

/// Looks for a program on `PATH`.
pub fn find_on_path(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program.as_ref())).find(|candidate| candidate.is_file())
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".into(),
    }
}

/// Opens a log for appending. A log that has grown too long is renamed first.
fn open_log(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).doing(|| format!("create {}", parent.display()))?;
    }
    if fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.1")).doing(|| format!("rotate {}", path.display()))?;
    }
    File::options().create(true).append(true).open(path).doing(|| format!("open {}", path.display()))
}
