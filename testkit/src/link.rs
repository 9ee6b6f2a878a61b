//! The link cutter: a TCP proxy on the loopback interface that breaks a link on purpose. A service
//! under test gets its broker's or database's URL [through it](LinkCutter::url).
//!
//! - [`pass`](LinkCutter::pass): bytes go through, later by the [delays](LinkCutter::delay_ms) that are set;
//! - [`cut`](LinkCutter::cut): both sides of every connection are closed, new connections at once;
//! - [`blackhole`](LinkCutter::blackhole): connections stay open, new ones are accepted, and nothing
//!   arrives any more: half-open TCP, as after a cable was pulled or a firewall forgot a connection.
//!
//! A connection that has lost bytes never carries any again, not even after [`pass`](LinkCutter::pass), and
//! neither side learns that the other has closed it. Only new connections work then.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};
use url::Url;

use crate::error::{Doing as _, Error, Result};

/// Bytes per read.
const CHUNK: usize = 16 * 1024;
/// Maximum chunks in flight per direction; more wait in the sender's socket.
const CHUNKS_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Pass,
    Cut,
    Blackhole,
}

#[derive(Debug, Clone, Copy)]
struct Control {
    flow: Flow,
    /// Rises with every cut: connections from before it are closed.
    cuts: u64,
    /// Delays to the target and to the client.
    delays: [Duration; 2],
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
}

/// One link. Dropping it closes the listener and all connections.
#[derive(Debug)]
pub struct LinkCutter {
    address: SocketAddr,
    control: watch::Sender<Control>,
    counts: Arc<Counts>,
    serving: JoinHandle<()>,
}

impl LinkCutter {
    /// Starts a link to `target` (`host:port`) that passes everything. It runs on the caller's runtime.
    pub async fn start(target: impl Into<String>) -> Result<Self> {
        let doing = || "listen for a link cutter".to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.doing(doing)?;
        let address = listener.local_addr().doing(doing)?;
        let (control, seen) = watch::channel(Control { flow: Flow::Pass, cuts: 0, delays: [Duration::ZERO; 2] });
        let counts = Arc::new(Counts::default());
        let serving = tokio::spawn(serve(listener, target.into(), seen, Arc::clone(&counts)));
        Ok(Self { address, control, counts, serving })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same URL, through this link.
    pub fn url(&self, url: &str) -> Result<String> {
        let bad = || Error::Invalid("a URL for a link needs a host".into());
        let mut url = Url::parse(url).map_err(|error| Error::Invalid(format!("a URL for a link: {error}")))?;
        url.set_host(Some(&self.address.ip().to_string())).map_err(|_| bad())?;
        url.set_port(Some(self.address.port())).map_err(|()| bad())?;
        Ok(url.into())
    }

    /// Number of open connections, whether carried or swallowed.
    pub fn connections(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Number of connections accepted so far, including those closed at once.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Passes everything (again).
    pub fn pass(&self) {
        self.control.send_modify(|control| control.flow = Flow::Pass);
    }

    /// Closes all connections, and new ones at once, until [`Self::pass`].
    pub fn cut(&self) {
        self.control.send_modify(|control| {
            control.flow = Flow::Cut;
            control.cuts += 1;
        });
    }

    /// Closes all connections; new ones work.
    pub fn cut_once(&self) {
        self.cut();
        self.pass();
    }

    /// From now on swallows everything; neither side is notified.
    pub fn blackhole(&self) {
        self.control.send_modify(|control| control.flow = Flow::Blackhole);
    }

    /// Delays everything that is sent from now on, by direction.
    pub fn delay_ms(&self, to_target: u64, to_client: u64) {
        let delays = [to_target, to_client].map(Duration::from_millis);
        self.control.send_modify(|control| control.delays = delays);
    }
}

impl Drop for LinkCutter {
    fn drop(&mut self) {
        // The task owns the listener and all connections.
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, target: String, control: watch::Receiver<Control>, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                counts.accepted.fetch_add(1, Ordering::SeqCst);
                if control.borrow().flow == Flow::Cut {
                    continue;
                }
                let (target, control, counts) = (target.clone(), control.clone(), Arc::clone(&counts));
                connections.spawn(async move {
                    let counted = Counted::new(counts);
                    carry(client, &target, control).await;
                    drop(counted);
                });
            }
            // Removes finished connections from the set.
            Some(_) = connections.join_next() => {}
        }
    }
}

struct Counted(Arc<Counts>);

impl Counted {
    fn new(counts: Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::SeqCst);
        Self(counts)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Carries one connection until both sides have closed it or it is cut.
async fn carry(client: TcpStream, target: &str, control: watch::Receiver<Control>) {
    let cuts = control.borrow().cuts;
    let mut cutting = control.clone();
    let carrying = async {
        if control.borrow().flow == Flow::Blackhole {
            swallow(client).await;
            return;
        }
        let Ok(server) = TcpStream::connect(target).await else { return };
        for socket in [&client, &server] {
            socket.set_nodelay(true).ok();
        }
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let is_lost = AtomicBool::new(false);
        tokio::join!(
            pump(from_client, to_server, 0, &is_lost, &control),
            pump(from_server, to_client, 1, &is_lost, &control),
        );
    };
    tokio::select! {
        _ = cutting.wait_for(|now| now.cuts != cuts) => {}
        () = carrying => {}
    }
}

/// Reads and discards until the client gives up.
async fn swallow(mut client: TcpStream) {
    let mut buffer = vec![0; CHUNK];
    while matches!(client.read(&mut buffer).await, Ok(1..)) {}
}

/// Forwards one direction.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: usize,
    is_lost: &AtomicBool,
    control: &watch::Receiver<Control>,
) {
    let loses = || {
        if control.borrow().flow == Flow::Blackhole {
            is_lost.store(true, Ordering::SeqCst);
        }
        is_lost.load(Ordering::SeqCst)
    };
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let reading = async move {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = from.read(&mut buffer).await.unwrap_or(0);
            if loses() {
                // The end of the stream is lost as well: the other side must not learn of it.
                if count == 0 {
                    std::future::pending::<()>().await;
                }
            } else if count == 0 {
                return;
            } else {
                let arrives_at = Instant::now() + control.borrow().delays[direction];
                if sender.send((arrives_at, buffer[..count].to_vec())).await.is_err() {
                    return;
                }
            }
        }
    };
    let writing = async move {
        while let Some((arrives_at, bytes)) = receiver.recv().await {
            sleep_until(arrives_at).await;
            if !loses() && to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        to.shutdown().await.ok();
    };
    tokio::join!(reading, writing);
}
