//! SIGINT, SIGTERM and SIGHUP: the first signal asks for an orderly stop, the second kills at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use localstack::progress::say;

#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// Cancelled by the first signal.
    pub(crate) stop: CancellationToken,
    /// Cancelled by the second signal.
    pub(crate) kill: CancellationToken,
}

impl Signals {
    /// Starts to listen for SIGINT, SIGTERM and SIGHUP.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let signals = Self { stop: CancellationToken::new(), kill: CancellationToken::new() };
        let (interrupt, terminate, hangup) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        tokio::spawn(watch(signals.clone(), interrupt, terminate, hangup));
        Ok(signals)
    }
}

async fn watch(signals: Signals, mut interrupt: Signal, mut terminate: Signal, mut hangup: Signal) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        if signals.stop.is_cancelled() {
            signals.kill.cancel();
        } else {
            say("\n     Stopping in order; once more kills at once.");
            signals.stop.cancel();
        }
    }
}
