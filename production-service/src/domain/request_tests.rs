//! What always holds, whatever happens in whatever order; and the few stories worth reading.

use std::time::Duration;

use proptest::prelude::*;
use shared::ids::{Quantity, RequestId};

use super::{Arrival, Change, FACTORY_UNREACHABLE, Outcome, Rejection, Request, Status, UNKNOWN_FACTORY, Verdict};

const SCHEDULE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

fn quantity(units: i64) -> Quantity {
    Quantity::try_from(units).expect("quantity")
}

fn request(status: Status) -> Request {
    Request {
        id: RequestId::generate(),
        sku: "CP-502101".parse().expect("sku"),
        factory_id: "FF-500293".parse().expect("factory"),
        quantity: quantity(10),
        received: 0,
        status,
        attempt_count: 0,
        attempts_before_schedule: 0,
        revision: 0,
    }
}

/// What the store does when it claims a due request.
fn claimed(request: &Request) -> Request {
    Request { status: Status::Sending, attempt_count: request.attempt_count + 1, ..request.clone() }
}

fn fail(request: &Request) -> Change {
    let sending = claimed(request);
    sending.attempt_ended(sending.attempt_count, Verdict::Retry, "503", &SCHEDULE).expect("a change")
}

fn outcome(change: &Change) -> Option<(Outcome, &str)> {
    change.announcement.as_ref().map(|announcement| (announcement.outcome, announcement.reason.as_str()))
}

#[test]
fn a_request_is_sent_at_once_or_ends_where_it_must() {
    let new = request(Status::Requested);
    let arrival = Arrival { factory_known: true, received: 0, closed: None };
    let change = new.arrive(arrival);
    assert_eq!((change.status, change.next_attempt_in), (Status::Requested, Some(Duration::ZERO)));
    let change = new.arrive(Arrival { factory_known: false, ..arrival });
    assert_eq!((change.status, outcome(&change)), (Status::Refused, Some((Outcome::Refused, UNKNOWN_FACTORY))));
    let change = new.arrive(Arrival { closed: Some("short"), ..arrival });
    assert_eq!((change.status, outcome(&change)), (Status::Cancelled, Some((Outcome::Cancelled, "short"))));
    let change = new.arrive(Arrival { received: 10, factory_known: false, ..arrival });
    assert_eq!((change.status, change.next_attempt_in), (Status::Received, None));
}

#[test]
fn the_schedule_is_gone_through_and_then_the_request_dies() {
    let mut current = request(Status::Requested);
    for delay in SCHEDULE {
        let sending = claimed(&current);
        let change = fail(&current);
        assert_eq!((change.status, change.next_attempt_in), (Status::Retrying, Some(delay)));
        current = sending.after(&change);
    }
    let sending = claimed(&current);
    let change = fail(&current);
    assert_eq!(change.status, Status::DeadLettered);
    assert_eq!(outcome(&change), Some((Outcome::DeadLettered, FACTORY_UNREACHABLE)));
    let dead = sending.after(&change);
    assert_eq!(dead.revision, 1);
    // A redrive, like an operator's retry, begins the schedule again.
    let again = dead.arrive_again().expect("restarts");
    assert_eq!(dead.retry(), Ok(again.clone()));
    let restarted = dead.after(&again);
    assert_eq!(restarted.status, Status::Requested);
    assert_eq!(fail(&restarted).next_attempt_in, Some(SCHEDULE[0]));
}

#[test]
fn a_replay_restarts_nothing_but_a_dead_letter() {
    for status in Status::ALL {
        let restarts = request(status).arrive_again().is_some();
        assert_eq!(restarts, status == Status::DeadLettered, "{status}");
    }
}

#[test]
fn an_acceptance_counts_whichever_call_it_answers() {
    for status in Status::ALL {
        let late = Request { attempt_count: 3, ..request(status) };
        let change = late.attempt_ended(1, Verdict::Accepted, "201", &SCHEDULE);
        assert_eq!(change.is_some(), status.is_before_acceptance(), "{status}");
        for verdict in [Verdict::Refused, Verdict::Retry] {
            assert_eq!(late.attempt_ended(1, verdict, "400", &SCHEDULE), None, "{status}: an old call's failure");
        }
    }
}

#[test]
fn a_lost_call_is_made_again_at_once_but_not_for_ever() {
    let mut current = claimed(&request(Status::Requested));
    for _ in SCHEDULE {
        let change = current.attempt_lost(&SCHEDULE).expect("a change");
        assert_eq!((change.status, change.next_attempt_in), (Status::Retrying, Some(Duration::ZERO)));
        current = claimed(&current.after(&change));
    }
    assert_eq!(current.attempt_lost(&SCHEDULE).map(|change| change.status), Some(Status::DeadLettered));
}

#[test]
fn operators_get_a_reason_when_it_is_too_late() {
    for status in Status::ALL {
        let retryable = matches!(status, Status::Retrying | Status::DeadLettered);
        assert_eq!(request(status).retry().is_ok(), retryable, "{status}");
        let ended = matches!(status, Status::Received | Status::Refused);
        assert_eq!(request(status).cancel("x").is_err(), ended, "{status}");
    }
    assert_eq!(request(Status::Cancelled).cancel("x"), Ok(None));
    assert_eq!(request(Status::Received).cancel("x"), Err(Rejection::Ended(Status::Received)));
}

#[test]
fn goods_end_all_attempts_and_what_was_cancelled_stays_so() {
    for status in Status::ALL {
        let part = request(status).receive(quantity(4));
        let all = request(status).after(&part).receive(quantity(6));
        let expected = match status {
            Status::Cancelled => (Status::Cancelled, Status::Cancelled),
            _ => (Status::PartlyReceived, Status::Received),
        };
        assert_eq!((part.status, all.status), expected, "{status}");
        assert_eq!((part.received, all.received), (4, 10));
        assert_eq!((part.next_attempt_in, all.next_attempt_in), (None, None));
    }
}

#[derive(Debug, Clone)]
enum Event {
    Claim,
    Answer { calls_ago: i32, verdict: Verdict },
    Lost,
    Again,
    Goods(i64),
    Close,
    Cancel,
    Retry,
}

fn event() -> impl Strategy<Value = Event> {
    let verdict = prop_oneof![Just(Verdict::Accepted), Just(Verdict::Retry), Just(Verdict::Refused)];
    prop_oneof![
        6 => Just(Event::Claim),
        6 => (0..3, verdict).prop_map(|(calls_ago, verdict)| Event::Answer { calls_ago, verdict }),
        1 => Just(Event::Lost),
        1 => Just(Event::Again),
        1 => (1..8_i64).prop_map(Event::Goods),
        1 => Just(Event::Close),
        1 => Just(Event::Cancel),
        2 => Just(Event::Retry),
    ]
}

fn change_of(current: &Request, event: &Event) -> Option<Change> {
    match event {
        Event::Claim => None,
        Event::Answer { calls_ago, verdict } => {
            current.attempt_ended(current.attempt_count - calls_ago, *verdict, "told", &SCHEDULE)
        }
        Event::Lost => current.attempt_lost(&SCHEDULE),
        Event::Again => current.arrive_again(),
        Event::Goods(units) => Some(current.receive(quantity(*units))),
        Event::Close => current.close("closed"),
        Event::Cancel => current.cancel("cancelled").ok().flatten(),
        Event::Retry => current.retry().ok(),
    }
}

proptest! {
    #[test]
    fn whatever_happens(events in proptest::collection::vec(event(), 1..60)) {
        let mut current = request(Status::Requested);
        let mut next = Some(Duration::ZERO);
        let mut goods = 0;
        let mut calls_since_restart = 0;
        for event in events {
            let before = current.clone();
            if matches!(event, Event::Claim) {
                if next.take().is_some() {
                    current = claimed(&current);
                    calls_since_restart += 1;
                }
            } else if let Some(change) = change_of(&current, &event) {
                current = current.after(&change);
                next = change.next_attempt_in;
                if change.attempts_before_schedule != before.attempts_before_schedule {
                    calls_since_restart = 0;
                }
                prop_assert_eq!(current.revision, before.revision + i64::from(change.announcement.is_some()));
            }
            if let Event::Goods(units) = event {
                goods += units;
            }
            prop_assert_eq!(current.received, goods);
            // A call is planned exactly while one may be made.
            let waits = matches!(current.status, Status::Requested | Status::Retrying);
            prop_assert_eq!(next.is_some(), waits, "{:?}", current);
            // Goods, or an operator's no, end all attempts for good.
            let never_again = goods > 0 || matches!(before.status, Status::Cancelled | Status::Accepted);
            prop_assert!(!never_again || !current.status.is_before_acceptance(), "{:?} after {:?}", current, event);
            prop_assert!(calls_since_restart <= 1 + i32::try_from(SCHEDULE.len()).expect("small"));
            if before.status == Status::Cancelled {
                prop_assert_eq!(current.status, Status::Cancelled);
            }
        }
    }
}
