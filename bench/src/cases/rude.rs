//! Thousands of clients that do not read, do not send, or do nothing, next to shoppers.

use std::{
    fs,
    io::Result as IoResult,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use localstack::{progress::Progress, stack::Service};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use super::{Case, memory::Watch};
use crate::{
    bounds,
    results::{CaseResult, Row},
    run::Run,
    shop::Shop,
    stage::Stage,
    statistics::{Spread, figure, percentile},
};

/// Rude clients of the frontend, of each kind. A third as many call sales-service itself.
const CROWD: [(Rude, usize); 3] = [(Rude::NeverReads, 2_000), (Rude::NeverSends, 2_000), (Rude::Idles, 5_000)];
/// Open files of this process besides the connections.
const FILES_SPARE: usize = 1_000;
/// Requests that a client that never reads sends at once.
const PIPELINED: usize = 16;
/// Pause before a rude client whose connection was closed comes back.
const PAUSE: Duration = Duration::from_secs(1);
const SHOPPERS: usize = 20;
/// Pause of a shopper between two requests, each on a connection of its own.
const BROWSING: Duration = Duration::from_millis(50);

const P99_MS_MAX: f64 = 100.0;
const FRONTEND_MIB_MAX: f64 = 150.0;
const SERVICE_MIB_MAX: f64 = 128.0;

#[derive(Debug, Clone, Copy)]
enum Rude {
    NeverReads,
    NeverSends,
    Idles,
}

impl Rude {
    /// Behaves like this until the connection is closed.
    async fn act(self, stream: &mut TcpStream, place: usize, path: &str) -> IoResult<()> {
        let get = format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        match self {
            Self::NeverReads => {
                stream.write_all(get.repeat(PIPELINED).as_bytes()).await?;
                loop {
                    // Only a write shows that the connection is closed. An empty line between requests is allowed.
                    tokio::time::sleep(PAUSE).await;
                    stream.write_all(b"\r\n").await?;
                }
            }
            Self::NeverSends if place.is_multiple_of(2) => stream.write_all(&get.as_bytes()[..20]).await?,
            Self::NeverSends => {
                let head = "POST /sales/api/v1/orders HTTP/1.1\r\nhost: shop.example\r\nsec-fetch-site: same-origin\r\n\
                            content-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
                stream.write_all(head.as_bytes()).await?;
            }
            Self::Idles => stream.write_all(get.as_bytes()).await?,
        }
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).await? > 0 {}
        Ok(())
    }

    /// Behaves like this for ever. Each client has an address of its own, so that ports suffice.
    async fn come_again(self, place: usize, to: SocketAddr, path: String, come: Arc<AtomicUsize>) {
        let [high, low] = [place / 250, place % 250].map(|part| u8::try_from(part).unwrap_or(u8::MAX));
        let own = Ipv4Addr::new(127, 1, high, low + 1);
        let mut is_first = true;
        loop {
            if let Ok(mut stream) = connect(own, to).await {
                if std::mem::take(&mut is_first) {
                    come.fetch_add(1, Ordering::Relaxed);
                }
                self.act(&mut stream, place, &path).await.ok();
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> IoResult<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// The answers that shoppers got.
#[derive(Debug, Default)]
struct Seen {
    ms: Vec<f64>,
    failed: usize,
}

pub(super) async fn measure(wanted: &Run) -> anyhow::Result<CaseResult> {
    let mut stage = Stage::start(wanted, Case::Rude, &[]).await?;
    stage.stack.start_frontend(&Progress::silent()).await?;
    let mut result = stage.result().await?;
    Shop::of_service(&stage).await?;
    let crowd = CROWD.map(|(rude, count)| (rude, if stage.scale.is_full { count } else { count / 10 }));
    let all: usize = crowd.iter().map(|(_, count)| count + count / 3).sum();
    check_open_files(all + FILES_SPARE)?;

    let front = stage.stack.frontend_urls().public;
    let come = Arc::new(AtomicUsize::new(0));
    let mut rude = JoinSet::new();
    let targets = [(front.clone(), "/sales", 1), (stage.stack.urls(Service::Sales).public, "", 3)];
    for (url, prefix, divisor) in targets {
        let to: SocketAddr = url.trim_start_matches("http://").parse()?;
        for (kind, count) in crowd {
            for _ in 0..count / divisor {
                let path = format!("{prefix}/api/v1/products?limit=200");
                rude.spawn(kind.come_again(rude.len(), to, path, come.clone()));
            }
        }
    }
    let begun = Instant::now();
    while come.load(Ordering::Relaxed) < rude.len() {
        ensure!(
            begun.elapsed() < bounds::START,
            "only {} of {} clients connected",
            come.load(Ordering::Relaxed),
            rude.len()
        );
        tokio::time::sleep(PAUSE).await;
    }

    let pids = [
        ("frontend", stage.stack.frontend_process().context("no frontend")?.pid(), FRONTEND_MIB_MAX),
        ("sales-service", stage.stack.process(Service::Sales)?.pid(), SERVICE_MIB_MAX),
    ];
    let watches = pids.map(|(what, pid, most)| (what, Watch::begin(pid), most));
    let (mut p50, mut p99, mut failed) = (Vec::new(), Vec::new(), 0);
    for round in 1..=stage.scale.rounds {
        stage.report(&format!("round {round}: {SHOPPERS} shoppers among {} rude clients", rude.len()));
        let seen = browse(&stage, &front).await?;
        failed += seen.failed;
        p50.push(percentile(&seen.ms, 0.5));
        p99.push(percentile(&seen.ms, 0.99));
    }
    let latency = Spread::of(&p99);
    let mut row = row_of("answers of the shop to everyone else, p99", "ms", latency, P99_MS_MAX);
    row.p50_ms = Some(Spread::of(&p50).median);
    row.p99_ms = Some(latency.median);
    result.rows.push(row);
    result.rows.push(row_of(
        "requests of everyone else that failed",
        "requests",
        Spread::of(&[figure(failed as u64)]),
        0.0,
    ));
    for (what, watch, most) in watches {
        let highest = watch.end().await?.into_iter().fold(0.0, f64::max) * 1e6 / 1_048_576.0;
        result.rows.push(row_of(&format!("memory of {what}, highest"), "MiB", Spread::of(&[highest]), most));
    }
    let [readers, senders, idle] = crowd.map(|(_, count)| count);
    result.notes.push(format!(
        "{readers} clients that never read, {senders} that never send, and {idle} that do nothing after a page call the \
         frontend, a third as many sales-service itself. They come back {PAUSE:?} after their connection was closed. \
         {SHOPPERS} shoppers each ask for a page of products and for the shop's settings in turn, on a connection of its own."
    ));
    rude.shutdown().await;
    stage.audit_services(&mut result).await?;
    stage.finish().await?;
    Ok(result)
}

async fn browse(stage: &Stage, front: &str) -> anyhow::Result<Seen> {
    let until = Instant::now() + stage.scale.idle;
    let mut shoppers = JoinSet::new();
    for _ in 0..SHOPPERS {
        let (http, front) = (stage.http().clone(), front.to_owned());
        shoppers.spawn(async move {
            let mut seen = Seen::default();
            for path in ["/sales/api/v1/products?limit=20", "/settings.json"].into_iter().cycle() {
                if Instant::now() >= until {
                    break;
                }
                let begun = Instant::now();
                let answer =
                    async { http.get(format!("{front}{path}")).send().await?.error_for_status()?.bytes().await };
                match answer.await {
                    Ok(_) => seen.ms.push(begun.elapsed().as_secs_f64() * 1e3),
                    Err(_) => seen.failed += 1,
                }
                tokio::time::sleep(BROWSING).await;
            }
            seen
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = shoppers.join_next().await {
        let seen = seen?;
        all.ms.extend(seen.ms);
        all.failed += seen.failed;
    }
    Ok(all)
}

fn row_of(what: &str, unit: &str, ours: Spread, most: f64) -> Row {
    Row {
        what: what.to_owned(),
        unit: unit.to_owned(),
        target: format!("at most {most}"),
        met: Some(ours.max <= most),
        ours,
        baseline: None,
        p50_ms: None,
        p99_ms: None,
    }
}

/// The servers inherit the limit, and need fewer.
fn check_open_files(needed: usize) -> anyhow::Result<()> {
    let limits = fs::read_to_string("/proc/self/limits").context("no limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit of open files")?;
    let allowed = line.split_whitespace().nth(3).unwrap_or_default();
    let is_enough = allowed == "unlimited" || allowed.parse::<usize>().is_ok_and(|allowed| allowed >= needed);
    ensure!(is_enough, "at most {allowed} files may be open, but {needed} are needed: ulimit -n {needed}");
    Ok(())
}
