//! The process of an image's program, found from outside: a signal to buildah does not reach it.

use std::fs;

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};

/// A process as described by `/proc`.
#[derive(Debug, Clone)]
struct Seen {
    pid: i32,
    parent: i32,
    user: u32,
    program: String,
}

/// The process of a container's program.
#[derive(Debug)]
pub(super) struct Inside(Seen);

impl Inside {
    /// Finds the process by its program's path among the descendants of `pid`.
    pub(super) fn find(pid: u32, program: &str) -> anyhow::Result<Self> {
        let processes: Vec<Seen> =
            fs::read_dir("/proc")?.filter_map(|entry| seen(entry.ok()?.file_name().to_str()?)).collect();
        let found = below(&processes, pid.cast_signed()).find(|process| process.program == program);
        Ok(Self(found.with_context(|| format!("{program} does not run in the container"))?.clone()))
    }

    /// Checks the user of the process on this machine. Without root privileges it is a user of a namespace, so it is
    /// not checked.
    pub(super) fn must_be(&self, user: u32) -> anyhow::Result<()> {
        ensure!(self.0.user == user || !geteuid().is_root(), "it runs as user {}, not {user}", self.0.user);
        Ok(())
    }

    /// Asks the process to stop, as a cluster would.
    pub(super) fn terminate(&self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.0.pid), Signal::SIGTERM).context("cannot ask the program in the container to end")
    }
}

fn seen(pid: &str) -> Option<Seen> {
    let pid: i32 = pid.parse().ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let first = |name: &str| status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next();
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let program = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(Seen {
        pid,
        parent: first("PPid:")?.parse().ok()?,
        user: first("Uid:")?.parse().ok()?,
        program: String::from_utf8_lossy(program).into_owned(),
    })
}

/// Descendants of `ancestor`. The depth is bounded, because a list that changes while it is read may contain a cycle.
fn below(processes: &[Seen], ancestor: i32) -> impl Iterator<Item = &Seen> {
    let parent = |pid: i32| processes.iter().find(|process| process.pid == pid).map(|process| process.parent);
    let is_below = move |process: &&Seen| {
        let mut up = std::iter::successors(Some(process.parent), |pid| parent(*pid)).take(16);
        up.any(|pid| pid == ancestor)
    };
    processes.iter().filter(is_below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_descendants_are_found() {
        let process = |pid, parent, program: &str| Seen { pid, parent, user: 7, program: program.to_owned() };
        let processes = [
            process(1, 0, "init"),
            process(5, 1, "buildah"),
            process(6, 5, "chroot"),
            process(7, 6, "a"),
            process(8, 1, "a"),
        ];
        let found: Vec<i32> = below(&processes, 5).map(|process| process.pid).collect();
        assert_eq!(found, [6, 7]);
    }

    #[test]
    fn a_process_is_read_as_it_is() {
        let own = seen(&std::process::id().to_string()).unwrap();
        assert_eq!(own.user, geteuid().as_raw());
        assert_eq!(own.program, std::env::args().next().unwrap());
    }
}
