//! The factory simulator over HTTP.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use factory_simulator::{DropConnection, FactorySimulator, Faults, Split};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use testkit::wait_until;

/// Only a broken program takes this long.
const LONG: Duration = Duration::from_secs(120);
const STAGE_MS: u64 = 5;

/// The head in lower case, and the body.
type Call = (String, Vec<u8>);

/// The receiver of callbacks: answers every POST with 200 and records its head and body.
struct Receiver {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/callbacks/v1/restocks/token", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let call = read_request(&mut stream.unwrap());
                seen.lock().unwrap().push(call);
            }
        });
        Self { url, calls }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    async fn wait_calls(&self, count: usize) -> Vec<Call> {
        wait_until(&format!("{count} callbacks"), LONG, || async {
            let calls = self.calls();
            if calls.len() >= count { Ok(calls) } else { Err(calls.len()) }
        })
        .await
    }

    async fn wait_bodies(&self, count: usize) -> Vec<Value> {
        let calls = self.wait_calls(count).await;
        calls.iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

fn read_request(stream: &mut TcpStream) -> Call {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        if bytes.len() == end + 4 + length {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            stream.shutdown(Shutdown::Write).ok();
            return (head, bytes[end + 4..].to_vec());
        }
    }
}

fn request_body(callback_url: &str) -> String {
    // Unlike a serializer's output, because it must come back byte for byte.
    format!(
        r#"{{ "MessageGroupId": "stock-arrival-group",  "MessageAttributeProductId": "CP-502101",
        "MessageAttributeProductCnt": "100", "Unknown": [1,  2], "MessageAttributeFactoryId": "FF-500293",
        "MessageAttributeRequester": "재고담당", "CallbackUrl": "{callback_url}" }}"#
    )
}

fn client() -> Client {
    jaego_net::install_tls();
    Client::builder().no_proxy().retry(reqwest::retry::never()).timeout(LONG).build().unwrap()
}

async fn order(factory: &FactorySimulator, body: String) -> reqwest::Result<Response> {
    client()
        .post(format!("{}/api/manufactures", factory.url()))
        .header("Content-Type", "application/json")
        .header("Idempotency-Key", "key-1")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("User-Agent", "jaego/test")
        .body(body)
        .send()
        .await
}

#[tokio::test]
async fn accepts_works_and_calls_back_once_with_the_very_bytes() {
    let (factory, receiver) = (FactorySimulator::start_local(STAGE_MS).unwrap(), Receiver::start());
    let body = request_body(&receiver.url);
    let answer = order(&factory, body.clone()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["data"]["reqestor"], "재고담당");
    assert_eq!(answer["data"]["data"], serde_json::from_str::<Value>(&body).unwrap());

    let calls = receiver.wait_calls(1).await;
    assert_eq!(calls[0].1, body.as_bytes());
    assert!(calls[0].0.starts_with("post /callbacks/v1/restocks/token http/1.1"), "{}", calls[0].0);
    assert!(calls[0].0.contains("content-type: application/json"), "{}", calls[0].0);

    let sent = wait_until("the callback's answer", LONG, || async {
        factory.callbacks().into_iter().find(|sent| sent.status == Some(200))
    })
    .await;
    assert_eq!((sent.url, sent.body), (receiver.url.clone(), body.clone()));
    let requests = factory.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.idempotency_key.as_deref(), Some("key-1"));
    assert!(request.traceparent.as_deref().is_some_and(|text| text.starts_with("00-0af7651916cd")));
    assert_eq!(request.user_agent.as_deref(), Some("jaego/test"));
    assert_eq!(request.content_type.as_deref(), Some("application/json"));
    assert_eq!((request.answer_status, request.stage, &request.body), (Some(201), 4, &body));
    assert_eq!(request.job_id.as_deref(), answer["data"]["id"].as_str());

    assert!(factory.repeat_callback(0));
    assert!(!factory.repeat_callback(7));
    assert_eq!(receiver.wait_calls(2).await[1].1, body.as_bytes());
    factory.stop().await;
}

#[tokio::test]
async fn a_callback_without_a_listener_is_recorded_and_not_retried() {
    let factory = FactorySimulator::start_local(STAGE_MS).unwrap();
    order(&factory, request_body("http://127.0.0.1:1/nobody")).await.unwrap();
    wait_until("the failed callback", LONG, || async {
        factory.callbacks().first().is_some_and(|sent| sent.error.is_some()).then_some(())
    })
    .await;
    assert_eq!(factory.callbacks().len(), 1);
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let factory = FactorySimulator::start_local(STAGE_MS).unwrap();
    for body in ["", "nonsense", "{}", r#"{"MessageAttributeProductId":"p","CallbackUrl":"http://x/"}"#] {
        assert_eq!(order(&factory, body.into()).await.unwrap().status(), StatusCode::BAD_REQUEST, "{body}");
    }
    assert!(factory.requests().iter().all(|request| request.answer_status == Some(400)));
    assert!(factory.callbacks().is_empty());
}

#[tokio::test]
async fn faults_are_set_over_http_and_end_after_so_many_requests() {
    let (factory, receiver) = (FactorySimulator::start_local(STAGE_MS).unwrap(), Receiver::start());
    let url = format!("{}/sim/faults", factory.url());
    let faults = json!({"refuse_status": 503, "retry_after": "7", "for_next": 1});
    let answer = client().put(&url).json(&faults).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let shown: Value = client().get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!((&shown["refuse_status"], &shown["for_next"]), (&json!(503), &json!(1)));

    let body = request_body(&receiver.url);
    let refused = order(&factory, body.clone()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "7");
    assert_eq!(order(&factory, body).await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(factory.faults(), Faults::default());

    for (bad, part) in [(json!({"refuse": 1}), "refuse"), (json!({"refuse_status": 200}), "refuse_status must")] {
        let answer = client().put(&url).json(&bad).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["message"].as_str().unwrap().contains(part), "{answer}");
    }
    client().put(&url).json(&json!({"never_call_back": true})).send().await.unwrap();
    assert!(factory.faults().never_call_back);
    assert_eq!(client().delete(&url).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(factory.faults(), Faults::default());
}

#[tokio::test]
async fn a_cut_connection_has_no_answer() {
    let (factory, receiver) = (FactorySimulator::start_local(STAGE_MS).unwrap(), Receiver::start());
    let body = request_body(&receiver.url);
    for (drop_connection, accepted) in
        [(DropConnection::BeforeAccepting, false), (DropConnection::AfterAccepting, true)]
    {
        let faults = Faults { drop_connection: Some(drop_connection), ..Faults::default() };
        factory.set_faults(faults).unwrap();
        let mut stream = TcpStream::connect(factory.url().trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let head = format!("POST /api/manufactures HTTP/1.1\r\nhost: f\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        assert_eq!(String::from_utf8_lossy(&answer), "");
        assert!(order(&factory, body.clone()).await.is_err());
        let request = factory.requests().pop().unwrap();
        assert_eq!((request.answer_status, request.job_id.is_some()), (None, accepted));
    }
    assert_eq!(receiver.wait_calls(2).await[0].1, body.as_bytes());
}

#[tokio::test]
async fn a_slow_answer_and_a_factory_that_never_calls_back() {
    let (factory, receiver) = (FactorySimulator::start_local(STAGE_MS).unwrap(), Receiver::start());
    factory.set_faults(Faults { delay_ms: 120, never_call_back: true, ..Faults::default() }).unwrap();
    let begin = std::time::Instant::now();
    order(&factory, request_body(&receiver.url)).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(120));
    wait_until("the end of the last stage", LONG, || async { (factory.requests()[0].stage == 4).then_some(()) }).await;
    // A second request that does call back proves that the first one did not.
    factory.clear_faults();
    order(&factory, request_body(&receiver.url)).await.unwrap();
    receiver.wait_calls(1).await;
    assert_eq!(factory.callbacks().len(), 1);
    assert_eq!(factory.callbacks()[0].request_index, 1);
}

#[tokio::test]
async fn callbacks_come_twice_or_in_parts() {
    let (factory, receiver) = (FactorySimulator::start_local(STAGE_MS).unwrap(), Receiver::start());
    let split = Some(Split { parts: 3, delivery_ids: true });
    factory.set_faults(Faults { split, deliver_extra: 1, callback_twice: true, ..Faults::default() }).unwrap();
    order(&factory, request_body(&receiver.url)).await.unwrap();
    let bodies = receiver.wait_bodies(6).await;
    let counts: Vec<&str> = bodies.iter().map(|body| body["MessageAttributeProductCnt"].as_str().unwrap()).collect();
    assert_eq!(counts, ["34", "34", "34", "34", "33", "33"]);
    assert_eq!(bodies[0], bodies[1]);
    assert_ne!(bodies[1]["DeliveryId"], bodies[2]["DeliveryId"]);
}

#[tokio::test]
async fn counts_and_fields_as_other_factories_send_them() {
    let (factory, receiver) = (FactorySimulator::start_local(STAGE_MS).unwrap(), Receiver::start());
    let faults = json!({
        "count_as_number": true, "count_under_order_stock_cnt": true, "with_delivery_id": true, "stage_ms": 1,
        "leave_out": ["MessageAttributeProductId", "MessageAttributeFactoryId", "MessageAttributeRequester"],
    });
    factory.set_faults(Faults::parse(faults.to_string().as_bytes()).unwrap()).unwrap();
    order(&factory, request_body(&receiver.url)).await.unwrap();
    let mut body = receiver.wait_bodies(1).await.remove(0);
    assert!(body["DeliveryId"].take().is_string());
    assert_eq!(
        body,
        json!({
            "MessageGroupId": "stock-arrival-group", "Unknown": [1, 2], "OrderStockCnt": 100,
            "CallbackUrl": receiver.url, "DeliveryId": null,
        })
    );
}

#[tokio::test]
async fn lists_and_a_page_show_the_history() {
    let (factory, receiver) = (FactorySimulator::start_local(STAGE_MS).unwrap(), Receiver::start());
    let body = request_body(&receiver.url).replace("stock-arrival-group", "<b>");
    order(&factory, body.clone()).await.unwrap();
    receiver.wait_calls(1).await;
    let get = async |path: &str| client().get(format!("{}{path}", factory.url())).send().await.unwrap();
    let requests: Value = get("/sim/requests").await.json().await.unwrap();
    assert_eq!(requests["items"][0]["body"], body);
    assert_eq!(requests["items"][0]["idempotency_key"], "key-1");
    let callbacks: Value = get("/sim/callbacks").await.json().await.unwrap();
    assert_eq!(callbacks["items"][0]["url"], receiver.url);
    let page = get("/").await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    assert!(page.contains("&lt;b&gt;") && !page.contains("<b>") && page.contains("refresh"), "{page}");

    let repeat = |index| client().post(format!("{}/sim/callbacks/{index}/repeat", factory.url())).send();
    assert_eq!(repeat(0).await.unwrap().status(), StatusCode::ACCEPTED);
    assert_eq!(repeat(9).await.unwrap().status(), StatusCode::NOT_FOUND);
    receiver.wait_calls(2).await;
    let history = format!("{}/sim/history", factory.url());
    assert_eq!(client().delete(history).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert!(factory.requests().is_empty());
}

#[tokio::test]
async fn a_file_of_requests_is_resumed_and_each_is_called_back_once() {
    let (root, receiver) = (tempfile::tempdir().unwrap(), Receiver::start());
    let state = root.path().join("jobs.json");
    let start = |stage_ms| FactorySimulator::start_kept(([127, 0, 0, 1], 0), stage_ms, Some(&state)).unwrap();
    let kept = || serde_json::from_slice::<Vec<Value>>(&std::fs::read(&state).unwrap()).unwrap();
    let body = request_body(&receiver.url);

    let factory = start(300);
    assert_eq!(kept(), Vec::<Value>::new());
    assert_eq!(order(&factory, body.clone()).await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
    let first = factory.requests().remove(0);
    factory.stop().await;
    assert_eq!((receiver.calls().len(), kept().len()), (0, 1));

    // The stage time is the job's, not that of the simulator that resumes it.
    let factory = start(3_600_000);
    assert_eq!(receiver.wait_calls(1).await[0].1, body.as_bytes());
    wait_until("the end of the job", LONG, || async { kept().is_empty().then_some(()) }).await;
    let second = factory.requests().remove(0);
    assert_eq!((&second.job_id, second.at, second.stage), (&first.job_id, first.at, 4));
    factory.stop().await;
    let factory = start(STAGE_MS);
    assert_eq!((receiver.calls().len(), factory.requests().len()), (1, 0), "nothing is left to go on with");
    factory.stop().await;
}

#[tokio::test]
async fn sent_parts_are_not_repeated_and_a_late_listener_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("jobs.json");
    let start = || FactorySimulator::start_kept(([127, 0, 0, 1], 0), 400, Some(&state)).unwrap();
    let receiver = Receiver::start();
    let factory = start();
    let split = Some(Split { parts: 2, delivery_ids: true });
    factory.set_faults(Faults { split, ..Faults::default() }).unwrap();
    order(&factory, request_body(&receiver.url)).await.unwrap();
    receiver.wait_calls(1).await;
    let sent = || std::fs::read_to_string(&state).unwrap().contains(r#""sent":1"#);
    wait_until("a note of the first part", LONG, || async { sent().then_some(()) }).await;
    factory.stop().await;
    let factory = start();
    let parts = receiver.wait_bodies(2).await;
    assert_ne!(parts[0]["DeliveryId"], parts[1]["DeliveryId"]);
    factory.stop().await;

    // No receiver listens when the factory resumes; a moment later one does.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/late", listener.local_addr().unwrap());
    let factory = start();
    order(&factory, request_body(&url)).await.unwrap();
    factory.stop().await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    let factory = start();
    wait_until("a call to nobody", LONG, || async {
        factory.callbacks().into_iter().find(|sent| sent.error.is_some())
    })
    .await;
    let listener = TcpListener::bind(address).unwrap();
    let late = std::thread::spawn(move || read_request(&mut listener.accept().unwrap().0));
    let (head, _) = tokio::task::spawn_blocking(|| late.join().unwrap()).await.unwrap();
    assert!(head.starts_with("post /late "), "{head}");
    factory.stop().await;
}

#[test]
fn a_file_that_is_no_state_is_named_and_kept() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("jobs.json");
    std::fs::write(&state, "{").unwrap();
    let error = FactorySimulator::start_kept(([127, 0, 0, 1], 0), 1, Some(&state)).unwrap_err().to_string();
    assert!(error.contains("jobs.json is not a factory's state"), "{error}");
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "{");
}
