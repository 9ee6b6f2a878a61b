//! Memory of a process under load.

use std::time::Duration;

use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    machine::memory_mb,
    results::{Baseline, Line, Row},
    statistics::Spread,
};

/// Sampling interval.
const EVERY: Duration = Duration::from_secs(1);
/// Memory that grows by at most this factor counts as flat.
const FLAT: f64 = 1.1;

/// Samples a process's memory once a second until it is ended.
pub(super) struct Watch {
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<Vec<f64>>>,
}

impl Watch {
    pub(super) fn begin(pid: u32) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut seen = vec![memory_mb(pid)?];
            while tokio::time::timeout(EVERY, &mut stopped).await.is_err() {
                seen.push(memory_mb(pid)?);
            }
            Ok(seen)
        });
        Self { stop, task }
    }

    /// The samples, MB.
    pub(super) async fn end(self) -> anyhow::Result<Vec<f64>> {
        self.stop.send(()).ok();
        self.task.await?
    }
}

/// Compares the last third with the first.
pub(super) fn row(what: &str, seen: &[f64]) -> Row {
    let third = seen.len().div_ceil(3);
    let (first, last) = (Spread::of(&seen[..third]), Spread::of(&seen[seen.len() - third..]));
    let ratio = Spread::of(&[last.median / first.median]);
    Row {
        what: what.to_owned(),
        unit: "MB".to_owned(),
        target: format!("flat: the last third at most {FLAT}x of the first"),
        ours: last,
        baseline: Some(Baseline { name: "first third".to_owned(), figure: first, ratio, p99_ms: None }),
        p50_ms: None,
        p99_ms: None,
        met: Some(ratio.median <= FLAT),
    }
}

/// The samples as a chart.
pub(super) fn line(title: &str, values: Vec<f64>) -> Line {
    Line { title: title.to_owned(), unit: "MB".to_owned(), step: "s".to_owned(), values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_rises_is_not_flat() {
        assert_eq!(row("m", &[10.0, 10.0, 10.5]).met, Some(true));
        assert_eq!(row("m", &[10.0, 11.0, 12.0]).met, Some(false));
    }
}
