//! Connections with a bound on every wait. Nothing here reconnects: the caller replaces a lost connection.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use jaego_net::tls;
use lapin::options::ConfirmSelectOptions;
use lapin::tcp::{AMQPUriTcpExt, OwnedTLSConfig};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::settings::Broker;
pub use jaego_net::patience::Backoff;

/// A connection to the broker. Dropping it closes its socket, and ends the thread that drives it, at once: the client
/// library itself would wait for the other side's close, which never comes on a half-open link.
pub struct Link {
    connection: Connection,
    _socket: Socket,
}

impl Deref for Link {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// Maximum frame size, bytes; a longer message is split. The client holds, and writes to, buffers of 64 frames for
/// each connection: 8 MB in an idle process with the 128 KiB that the broker allows.
const FRAME_MAX: u32 = 16 * 1024;

/// Connects as the service's own user; `purpose` shows in the broker's list of connections.
pub async fn connect(settings: &Broker, service: &str, purpose: &str) -> anyhow::Result<Link> {
    let properties = ConnectionProperties::default().with_connection_name(format!("{service}: {purpose}").into());
    let mut uri: lapin::uri::AMQPUri =
        settings.url.expose_secret().parse().map_err(|_| anyhow::anyhow!("amqp.url cannot be read"))?;
    uri.query.heartbeat.get_or_insert(5);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    let tls = OwnedTLSConfig { cert_chain: tls::authorities(&settings.ca_file)?, ..OwnedTLSConfig::default() };
    let socket = Socket::default();
    let (opened, limit) = (socket.0.clone(), limit(settings));
    let connecting = Connection::connector(
        uri,
        lapin::runtime::default_runtime().context("no runtime for the broker's connection")?,
        async move |uri, runtime| {
            // This runs on the connection's own thread, which nothing else would end.
            let opening = uri.connect_with_config_async(tls.as_ref(), &runtime);
            let stream = timeout(limit, opening).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let kept = stream.and_then(|stream| {
                let descriptor = match &stream {
                    AsyncTcpStream::Plain(plain) => plain.get_ref().as_fd().try_clone_to_owned(),
                    AsyncTcpStream::Rustls(tls) => tls.get_ref().0.get_ref().as_fd().try_clone_to_owned(),
                    _ => Err(io::ErrorKind::Unsupported.into()),
                };
                lock(&opened).keep(TcpStream::from(descriptor?))?;
                Ok(stream)
            });
            kept.map_err(|error| ErrorKind::IOError(Arc::new(error)).into())
        },
        properties,
    );
    let connection = timeout(limit, connecting)
        .await
        .context("the broker did not answer in time")?
        .context("cannot connect to the broker")?;
    Ok(Link { connection, _socket: socket })
}

/// The socket of a connection. It is shut down when this is dropped, even if it is opened only later.
#[derive(Default)]
struct Socket(Arc<Mutex<Opened>>);

#[derive(Default)]
struct Opened {
    is_given_up: bool,
    stream: Option<TcpStream>,
}

impl Opened {
    fn keep(&mut self, stream: TcpStream) -> io::Result<()> {
        if self.is_given_up {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.stream = Some(stream);
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut opened = lock(&self.0);
        opened.is_given_up = true;
        if let Some(stream) = opened.stream.take() {
            // Fails when the other side has already closed it.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

fn lock(opened: &Mutex<Opened>) -> MutexGuard<'_, Opened> {
    opened.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a channel on which every publication is confirmed.
pub async fn confirming_channel(connection: &Connection, settings: &Broker) -> anyhow::Result<Channel> {
    timeout(limit(settings), async {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok::<_, lapin::Error>(channel)
    })
    .await
    .context("the broker did not open a channel in time")?
    .context("cannot open a channel")
}

/// Closes the connection properly, if the other side still reads.
pub async fn close(connection: Link, settings: &Broker) {
    // Nothing is written to a blocked connection, so the wait would be in vain.
    if connection.status().connected() && !connection.status().blocked() {
        // A connection that cannot be closed is dropped: the broker requeues what is unacknowledged.
        drop(timeout(limit(settings), connection.close(200, "bye".into())).await);
    }
}

fn limit(settings: &Broker) -> Duration {
    Duration::from_millis(settings.timeout_ms)
}
