//! Against a server that answers about some credentials and leaves the others waiting.

use std::sync::atomic::{AtomicUsize, Ordering};

use jaego_contracts::issued::Kind;
use jaego_web::auth::{Credential, Role};
use jaego_web::problem::ProblemKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const FAMILIAR: [u8; 32] = [1; 32];

/// Answers that the familiar credential is valid; questions about others get no answer.
async fn server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, count.clone()));
        }
    });
    (url, asked)
}

async fn serve(mut stream: TcpStream, asked: Arc<AtomicUsize>) {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = stream.read(&mut buffer).await {
        if length == 0 {
            return;
        }
        read.extend_from_slice(&buffer[..length]);
        if !read.ends_with(b"}") {
            continue;
        }
        asked.fetch_add(1, Ordering::SeqCst);
        if !String::from_utf8_lossy(&read).contains(&"01".repeat(32)) {
            std::future::pending::<()>().await;
        }
        read.clear();
        let principal = Principal { name: "kim".to_owned(), role: Role::Viewer, credential: Credential::Configured };
        let body = serde_json::json!({ "principal": principal }).to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

fn token(digest: [u8; 32]) -> Issued {
    Issued { kind: Kind::Token, digest }
}

// Control: guesses-leave-room.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_of_strangers_leave_room_for_people() {
    jaego_net::install_tls();
    let (url, asked) = server().await;
    let settings = Access { url, credential: "c".repeat(32).into(), timeout_ms: 1900 };
    let known = Arc::new(Known::new(Arc::new(Client::new(&settings).expect("a client"))));
    let holder = known.introspect(token(FAMILIAR)).await.expect("an answer").expect("valid");
    assert_eq!(holder.name, "kim");
    known.introspect(token(FAMILIAR)).await.expect("remembered");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it is asked once");

    // Far more questions than places, none of which is answered.
    let guesses = (2..202_u8).map(|guess| {
        let known = known.clone();
        tokio::spawn(async move { known.introspect(token([guess; 32])).await })
    });
    let guesses: Vec<_> = guesses.collect();
    while asked.load(Ordering::SeqCst) < 1 + STRANGE_IN_FLIGHT_MAX {
        tokio::task::yield_now().await;
    }
    known.forget(token(FAMILIAR)).await;
    known.introspect(token(FAMILIAR)).await.expect("an answer in spite of them").expect("valid");
    for guess in guesses {
        let refused = guess.await.expect("no panic").expect_err("nobody answered");
        assert_eq!(refused.kind(), ProblemKind::Unavailable);
    }
}

#[test]
fn a_revoked_credential_is_refused_within_five_seconds() {
    let slowest = Access { url: String::new(), credential: String::new().into(), timeout_ms: 1900 };
    let mut problems = Vec::new();
    slowest.check(&mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    Access { timeout_ms: 1901, ..slowest.clone() }.check(&mut problems);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(ACTIVE_MAX + Duration::from_millis(slowest.timeout_ms) < Duration::from_secs(5));
}
