//! Spans are exported over OTLP with the ids that rows and messages carry.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use jaego_contracts::trace::TraceContext;
use jaego_telemetry::EnterSpan as _;
use jaego_telemetry::settings::Telemetry;

/// Reads one HTTP request with a `Content-Length` and responds with 200.
fn take_request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).expect("a request");
        bytes.extend_from_slice(&chunk[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let body = bytes[end + 4..].to_vec();
        if body.len() >= length.unwrap_or_default() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("answered");
            return (head, body);
        }
    }
}

#[test]
fn spans_reach_the_collector_under_the_ids_that_are_stored() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let collector = std::thread::spawn(move || take_request(&mut listener.accept().expect("a client").0));

    jaego_net::install_tls();
    let settings = Telemetry { log: "info".to_owned(), log_format: "text".to_owned(), otlp_endpoint: endpoint };
    jaego_telemetry::init("traced", &settings).expect("set up");
    let stored: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().expect("valid");
    let span = tracing::info_span!("a step");
    let handed_on = stored.enter(&span);
    drop(span);
    jaego_telemetry::flush();

    let (head, body) = collector.join().expect("a request");
    assert!(head.starts_with("post /v1/traces"), "{head}");
    let has = |hexadecimal: &str| {
        let wanted = hex::decode(hexadecimal).expect("hexadecimal");
        body.windows(wanted.len()).any(|window| window == wanted)
    };
    assert_eq!(handed_on.trace_id(), stored.trace_id());
    assert_ne!(handed_on, stored, "what follows is a child of the exported span");
    let (handed_on, stored) = (handed_on.to_string(), stored.to_string());
    let span_id = |traceparent: &str| traceparent.split('-').nth(2).unwrap_or_default().to_owned();
    assert!(has("4bf92f3577b34da6a3ce929d0e0e4736"), "the trace");
    assert!(has(&span_id(&stored)) && has(&span_id(&handed_on)), "its parent and itself");
}
