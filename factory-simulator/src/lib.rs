//! The factory simulator: follows the known factory's contract to the letter, with faults that can be set
//! while it runs. Tests use it as a value; `factory-simulator` is the program. It knows nothing of Jaego, as a
//! real factory would not.

mod faults;
mod gate;
mod history;
mod http;
mod page;
mod plan;
mod simulator;
mod state;

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    web,
};
use anyhow::{Context as _, Error, Result, anyhow};

use crate::simulator::Simulator;
pub use crate::{
    faults::{DropConnection, Faults, LeaveOut, Split},
    history::{HISTORY_MAX, ReceivedRequest, SentCallback},
    plan::{Answer, Job, Plan, PlannedCallback, STAGES, plan},
};

/// Stage time of the known factory, milliseconds.
pub const STAGE_MS_DEFAULT: u64 = 10_000;

const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A running factory simulator on its own thread and runtime. Dropping it stops it.
#[derive(Debug)]
pub struct FactorySimulator {
    url: String,
    simulator: Arc<Simulator>,
    server: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl FactorySimulator {
    /// Starts on `address` (port 0: any free port) with the known factory's stages of 10 s.
    pub fn start(address: impl Into<SocketAddr>) -> Result<Self> {
        Self::start_with(address, STAGE_MS_DEFAULT)
    }

    /// Starts on a free loopback port with stages of `stage_ms`, for tests.
    pub fn start_local(stage_ms: u64) -> Result<Self> {
        Self::start_with(([127, 0, 0, 1], 0), stage_ms)
    }

    /// Starts on `address` with stages of `stage_ms`.
    pub fn start_with(address: impl Into<SocketAddr>, stage_ms: u64) -> Result<Self> {
        Self::start_kept(address, stage_ms, None)
    }

    /// Starts with stages of `stage_ms`. Unfinished jobs are kept in the file `state` and resumed at the next
    /// start; callbacks that became due in between are sent at once.
    pub fn start_kept(address: impl Into<SocketAddr>, stage_ms: u64, state: Option<&Path>) -> Result<Self> {
        let address = address.into();
        let state = state.map(Path::to_owned);
        let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let bound = listener.local_addr().context("cannot read the simulator's address")?;
        let (started, when_started) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("factory-simulator".into())
            .spawn(move || serve(listener, stage_ms, state, &started))
            .context("cannot start the simulator's thread")?;
        match when_started.recv() {
            Ok(Ok((simulator, server))) => {
                Ok(Self { url: format!("http://{bound}"), simulator, server, thread: Some(thread) })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(anyhow!("the simulator's thread ended before it began")),
        }
    }

    /// The factory's base URL, `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets the faults of all further requests, or of the next few (`for_next`).
    pub fn set_faults(&self, faults: Faults) -> Result<()> {
        self.simulator.set_faults(faults).map_err(Error::msg)
    }

    /// The faults that apply to the next request.
    pub fn faults(&self) -> Faults {
        self.simulator.faults()
    }

    /// Restores the known factory's behaviour.
    pub fn clear_faults(&self) {
        self.simulator.clear_faults();
    }

    /// Holds the answers of the next `count` requests until [`Self::release`].
    pub fn hold(&self, count: usize) {
        self.simulator.gate().hold(count);
    }

    /// Sends the held answers, and holds no more.
    pub fn release(&self) {
        self.simulator.gate().release();
    }

    /// Received requests, oldest first.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.simulator.requests()
    }

    /// Sent callbacks, oldest first.
    pub fn callbacks(&self) -> Vec<SentCallback> {
        self.simulator.callbacks()
    }

    /// Sends a callback again; returns false when the history no longer has it.
    pub fn repeat_callback(&self, index: u64) -> bool {
        self.simulator.repeat(index)
    }

    /// Clears the recorded requests and callbacks; jobs in progress continue.
    pub fn clear_history(&self) {
        self.simulator.clear_history();
    }

    /// Stops the simulator; jobs in progress are lost unless they are kept in a file.
    pub async fn stop(mut self) {
        // The server gets the stop command at once; the rest is waiting.
        self.server.stop(false).await;
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for FactorySimulator {
    fn drop(&mut self) {
        if self.thread.is_some() {
            drop(self.server.stop(false));
            self.join();
        }
    }
}

type Started = Result<(Arc<Simulator>, ServerHandle)>;

fn serve(listener: TcpListener, stage_ms: u64, state: Option<PathBuf>, started: &mpsc::Sender<Started>) {
    actix_web::rt::System::new().block_on(async {
        match begin(listener, stage_ms, state.as_deref()) {
            Ok((simulator, server)) => {
                simulator.resume();
                started.send(Ok((simulator, server.handle()))).ok();
                server.await.ok();
            }
            Err(error) => {
                started.send(Err(error)).ok();
            }
        }
    });
}

fn begin(listener: TcpListener, stage_ms: u64, state: Option<&Path>) -> Result<(Arc<Simulator>, Server)> {
    let simulator = Arc::new(Simulator::new(stage_ms, state, tokio::runtime::Handle::current())?);
    let data = web::Data::from(Arc::clone(&simulator));
    let server = HttpServer::new(move || {
        App::new().app_data(data.clone()).app_data(web::PayloadConfig::new(BODY_BYTES_MAX)).configure(http::routes)
    })
    .workers(1)
    .disable_signals()
    .listen(listener)
    .context("cannot start the simulator's web server")?;
    Ok((simulator, server.run()))
}
