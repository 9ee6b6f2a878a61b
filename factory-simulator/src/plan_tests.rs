use super::*;
use crate::faults::{LeaveOut, Split};

/// Whitespace, key order, escapes and unknown keys must not change.
const REQUEST: &str = r#"{ "MessageGroupId":"stock-arrival-group", "MessageAttributeProductId":"CP-502101",
  "MessageAttributeProductCnt":"100", "zzz":{"b":1,"a":2}, "MessageAttributeFactoryId":"FF-500293",
  "MessageAttributeRequester":"재고담당", "CallbackUrl":"http://127.0.0.1:1/callbacks/v1/restocks/t" }"#;

fn plan_with(faults: &Faults) -> Plan {
    let mut next = 0;
    plan(faults, 10_000, REQUEST.as_bytes(), || {
        next += 1;
        Uuid::from_u128(next)
    })
}

fn bodies(plan: &Plan) -> Vec<Value> {
    let callbacks = &plan.job.as_ref().unwrap().callbacks;
    callbacks.iter().map(|callback| serde_json::from_slice(&callback.body).unwrap()).collect()
}

#[test]
fn the_known_factory_accepts_and_echoes() {
    let plan = plan_with(&Faults::default());
    let Answer::Status { status, retry_after, body } = &plan.answer else { panic!("no answer") };
    assert_eq!((*status, retry_after, plan.delay_ms), (201, &None, 0));
    let answer: Value = serde_json::from_str(body).unwrap();
    assert_eq!(answer["data"]["id"], Uuid::from_u128(1).to_string());
    assert_eq!(answer["data"]["reqestor"], "재고담당");
    assert_eq!(answer["data"]["data"], serde_json::from_str::<Value>(REQUEST).unwrap());
    let job = plan.job.unwrap();
    assert_eq!(job.stage_ms, 10_000);
    assert_eq!(job.callback_url, "http://127.0.0.1:1/callbacks/v1/restocks/t");
    assert_eq!(job.callbacks, [PlannedCallback { pause_ms: 0, body: REQUEST.into() }]);
}

#[test]
fn a_bad_request_is_refused_with_a_reason() {
    for (body, part) in [
        ("", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("{}", "MessageAttributeProductId is missing"),
        (r#"{"MessageAttributeProductId":"p","CallbackUrl":"u"}"#, "MessageAttributeProductCnt is missing"),
        (r#"{"MessageAttributeProductId":"p","MessageAttributeProductCnt":"1"}"#, "CallbackUrl is missing"),
        (
            r#"{"MessageAttributeProductId":"p","MessageAttributeProductCnt":"1","CallbackUrl":1}"#,
            "CallbackUrl must be",
        ),
    ] {
        let plan = plan(&Faults::default(), 1, body.as_bytes(), Uuid::nil);
        assert_eq!(plan.job, None, "{body}");
        let Answer::Status { status: 400, body: answer, .. } = plan.answer else { panic!("{body}: accepted") };
        assert!(answer.contains(part), "{body}: {answer}");
    }
}

#[test]
fn refusals_and_cuts_make_nothing_unless_accepted_first() {
    let refused = plan_with(&Faults {
        refuse_status: Some(503),
        retry_after: Some("7".into()),
        delay_ms: 9,
        ..Faults::default()
    });
    assert!(matches!(
        &refused.answer,
        Answer::Status { status: 503, retry_after: Some(seconds), .. } if seconds == "7"
    ));
    assert_eq!((refused.delay_ms, refused.job), (9, None));

    let before = Faults { drop_connection: Some(DropConnection::BeforeAccepting), ..Faults::default() };
    assert_eq!(plan_with(&before), Plan { delay_ms: 0, answer: Answer::Nothing, job: None });

    let after = plan_with(&Faults { drop_connection: Some(DropConnection::AfterAccepting), ..Faults::default() });
    assert_eq!(after.answer, Answer::Nothing);
    assert_eq!(after.job.unwrap().callbacks.len(), 1);

    let silent = plan_with(&Faults { never_call_back: true, ..Faults::default() });
    assert_eq!(silent.job.unwrap().callbacks, []);
}

#[test]
fn the_same_callback_comes_twice() {
    let job = plan_with(&Faults { callback_twice: true, ..Faults::default() }).job.unwrap();
    let once = PlannedCallback { pause_ms: 0, body: REQUEST.into() };
    assert_eq!(job.callbacks, [once.clone(), once]);

    let twice = Faults { callback_twice: true, with_delivery_id: true, ..Faults::default() };
    let sent = bodies(&plan_with(&twice));
    assert_eq!(sent[0], sent[1], "the same delivery keeps its id");
}

#[test]
fn parts_add_up() {
    let split = Some(Split { parts: 3, delivery_ids: true });
    let plan = plan_with(&Faults { split, stage_ms: Some(20), ..Faults::default() });
    let sent = bodies(&plan);
    let counts: Vec<&str> = sent.iter().map(|body| body["MessageAttributeProductCnt"].as_str().unwrap()).collect();
    assert_eq!(counts, ["34", "33", "33"]);
    assert_ne!(sent[0]["DeliveryId"], sent[1]["DeliveryId"]);
    let pauses: Vec<u64> = plan.job.unwrap().callbacks.iter().map(|callback| callback.pause_ms).collect();
    assert_eq!(pauses, [0, 20, 20]);

    for (total, parts) in [(0, 2), (1, 5), (7, 2), (1_000_000, 1_000)] {
        let shares = share(total, parts);
        assert_eq!(shares.iter().sum::<u64>(), total);
        assert!(total == 0 || shares.iter().all(|share| *share > 0));
    }
}

#[test]
fn other_factories_of_the_family() {
    let faults = Faults {
        deliver_extra: 5,
        count_as_number: true,
        count_under_order_stock_cnt: true,
        leave_out: vec![LeaveOut::MessageAttributeFactoryId, LeaveOut::MessageAttributeRequester],
        with_delivery_id: true,
        ..Faults::default()
    };
    let plan = plan_with(&faults);
    assert_eq!(
        bodies(&plan),
        [json!({
            "MessageGroupId": "stock-arrival-group",
            "MessageAttributeProductId": "CP-502101",
            "OrderStockCnt": 105,
            "zzz": {"b": 1, "a": 2},
            "CallbackUrl": "http://127.0.0.1:1/callbacks/v1/restocks/t",
            "DeliveryId": Uuid::from_u128(2).to_string(),
        })]
    );
    let Answer::Status { body, .. } = plan.answer else { panic!("no answer") };
    assert!(body.contains(REQUEST), "the acceptance still echoes the request");
}
