//! Invariants under random event histories, and a few scenarios worth reading.

use std::time::Duration;

use jaego_contracts::ids::{FactoryId, Quantity, RequestId};
use proptest::prelude::*;

use super::{
    Arrival, AttemptResult, Ending, FACTORY_THROTTLED, FACTORY_UNREACHABLE, Fallback, Options, OutcomeKind,
    REFUSED_AFTER_UNKNOWN, Rejection, Request, RequestChange, Status, UNKNOWN_FACTORY, Verdict,
};

const SCHEDULE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

fn quantity(units: i64) -> Quantity {
    Quantity::try_from(units).expect("quantity")
}

fn request(status: Status) -> Request {
    Request {
        id: RequestId::generate(),
        sku: "CP-502101".parse().expect("sku"),
        factory_id: "FF-500293".parse().expect("factory"),
        fallback_from: None,
        quantity: quantity(10),
        received: 0,
        status,
        attempt_count: 0,
        attempts_before_schedule: 0,
        outcome_unknown: false,
        has_died: false,
        was_accepted: false,
        overdue: false,
        revision: 0,
    }
}

/// The state that the store leaves when it claims a due request.
fn claimed(request: &Request) -> Request {
    Request { status: Status::Sending, attempt_count: request.attempt_count + 1, ..request.clone() }
}

fn fallback() -> FactoryId {
    "FF-2".parse().expect("factory")
}

/// Ends call `number` with `verdict`, at a factory without a fallback.
fn end(request: &Request, number: i32, verdict: Verdict) -> Option<RequestChange> {
    request.attempt_ended(ended(number, verdict), options(None))
}

fn ended(number: i32, verdict: Verdict) -> AttemptResult<'static> {
    AttemptResult { number, verdict, words: "in words", retry_after: None, is_throttled: false, waited: Duration::ZERO }
}

fn options(fallback: Option<&FactoryId>) -> Options<'_> {
    Options { schedule: &SCHEDULE, fallback, throttled_max: Duration::from_secs(3600) }
}

/// Makes the next call and ends it with `verdict`, at a factory with a fallback.
fn next_call(request: &Request, verdict: Verdict) -> RequestChange {
    let sending = claimed(request);
    sending.attempt_ended(ended(sending.attempt_count, verdict), options(Some(&fallback()))).expect("a change")
}

fn fail(request: &Request) -> RequestChange {
    let sending = claimed(request);
    end(&sending, sending.attempt_count, Verdict::Retry).expect("a change")
}

/// Plus or minus a fifth.
fn is_about(wait: Option<Duration>, delay: Duration) -> bool {
    wait.is_some_and(|wait| (delay.mul_f64(0.799)..=delay.mul_f64(1.201)).contains(&wait))
}

fn outcome(change: &RequestChange) -> Option<(OutcomeKind, &str)> {
    change.announcement.as_ref().map(|announcement| (announcement.outcome, announcement.reason.as_str()))
}

#[test]
fn a_request_is_sent_at_once_or_ends_where_it_must() {
    let new = request(Status::Requested);
    let arrival = Arrival { factory_known: true, received: 0, closed: None };
    let change = new.arrive(arrival);
    assert_eq!((change.status, change.next_attempt_in), (Status::Requested, Some(Duration::ZERO)));
    let change = new.arrive(Arrival { factory_known: false, ..arrival });
    assert_eq!((change.status, outcome(&change)), (Status::Refused, Some((OutcomeKind::Refused, UNKNOWN_FACTORY))));
    let change = new.arrive(Arrival { closed: Some("short"), ..arrival });
    assert_eq!((change.status, outcome(&change)), (Status::Cancelled, Some((OutcomeKind::Cancelled, "short"))));
    let change = new.arrive(Arrival { received: 10, factory_known: false, ..arrival });
    assert_eq!((change.status, change.next_attempt_in), (Status::Received, None));
}

#[test]
fn the_schedule_is_gone_through_and_then_the_request_dies() {
    let mut current = request(Status::Requested);
    for delay in SCHEDULE {
        let sending = claimed(&current);
        let change = fail(&current);
        assert_eq!(change.status, Status::Retrying);
        assert!(is_about(change.next_attempt_in, delay), "{change:?}");
        current = sending.after(&change);
    }
    let sending = claimed(&current);
    let change = fail(&current);
    assert_eq!(change.status, Status::DeadLettered);
    assert_eq!(outcome(&change), Some((OutcomeKind::DeadLettered, FACTORY_UNREACHABLE)));
    let dead = sending.after(&change);
    assert_eq!(dead.revision, 1);
    // A redrive restarts the schedule, as an operator's retry does.
    let again = dead.redrive().expect("restarts");
    assert_eq!(dead.retry(), Ok(again.clone()));
    let restarted = dead.after(&again);
    assert_eq!(restarted.status, Status::Requested);
    assert!(is_about(fail(&restarted).next_attempt_in, SCHEDULE[0]));
}

#[test]
fn a_redrive_restarts_nothing_but_a_dead_letter() {
    for status in Status::ALL {
        let restarts = request(status).redrive().is_some();
        assert_eq!(restarts, status == Status::DeadLettered, "{status}");
    }
}

#[test]
fn an_acceptance_counts_whichever_call_it_answers() {
    for status in Status::ALL {
        let late = Request { attempt_count: 3, ..request(status) };
        let change = end(&late, 1, Verdict::Accepted);
        assert_eq!(change.is_some(), status.is_before_acceptance(), "{status}");
        for verdict in [Verdict::Refused, Verdict::Retry, Verdict::Unknown] {
            assert_eq!(end(&late, 1, verdict), None, "{status}: an old call's failure");
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
fn waits_differ_between_requests_and_respect_retry_after() {
    let waits: std::collections::BTreeSet<Duration> =
        (0..100).filter_map(|_| fail(&request(Status::Requested)).next_attempt_in).collect();
    assert!(waits.len() > 50 && waits.iter().all(|wait| is_about(Some(*wait), SCHEDULE[0])), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait < SCHEDULE[0]) && waits.iter().any(|wait| *wait > SCHEDULE[0]));

    let sending = claimed(&request(Status::Requested));
    let waits = [0, 60].map(|seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        let ended = AttemptResult { retry_after, ..ended(1, Verdict::Retry) };
        sending.attempt_ended(ended, options(None)).and_then(|change| change.next_attempt_in)
    });
    assert!(is_about(waits[0], SCHEDULE[0]), "a factory cannot make us hurry: {waits:?}");
    assert_eq!(waits[1], Some(Duration::from_secs(60)));
}

#[test]
fn a_factory_without_time_uses_up_no_attempt_until_that_lasts_too_long() {
    let mut current = request(Status::Requested);
    let throttled = |current: &Request, waited: u64| {
        let sending = claimed(current);
        let ended = AttemptResult {
            retry_after: Some(Duration::from_secs(3)),
            is_throttled: true,
            waited: Duration::from_secs(waited),
            ..ended(sending.attempt_count, Verdict::Retry)
        };
        let change = sending.attempt_ended(ended, options(None)).expect("a change");
        (sending.after(&change), change)
    };
    for _ in 0..50 {
        let (after, change) = throttled(&current, 3599);
        assert_eq!((change.status, change.next_attempt_in), (Status::Retrying, Some(Duration::from_secs(3))));
        current = after;
    }
    // No retry of the schedule has been used.
    assert!(is_about(fail(&current).next_attempt_in, SCHEDULE[0]));
    let (_, change) = throttled(&current, 3600);
    assert_eq!(outcome(&change), Some((OutcomeKind::DeadLettered, FACTORY_THROTTLED)));
}

#[test]
fn after_an_unknown_outcome_a_conflict_is_an_acceptance_and_any_other_no_is_for_a_person() {
    let new = request(Status::Requested);
    assert_eq!(next_call(&new, Verdict::Conflict).factory_id, Some(fallback()), "a certain no");
    let unknown = claimed(&new).after(&next_call(&new, Verdict::Unknown));
    let change = next_call(&unknown, Verdict::Conflict);
    assert_eq!((change.status, outcome(&change)), (Status::Accepted, Some((OutcomeKind::Accepted, "in words"))));
    let change = next_call(&unknown, Verdict::Refused);
    assert_eq!(change.status, Status::DeadLettered, "its quantity is not given back: it may be made");
    assert_eq!(outcome(&change), Some((OutcomeKind::DeadLettered, REFUSED_AFTER_UNKNOWN)));
}

#[test]
fn another_factory_is_asked_only_when_it_is_certain_that_none_has_taken_the_request() {
    let new = request(Status::Requested);
    let retried = claimed(&new).after(&next_call(&new, Verdict::Retry));
    let change = next_call(&retried, Verdict::Refused);
    assert_eq!((change.status, change.next_attempt_in), (Status::Requested, Some(Duration::ZERO)));
    assert_eq!((&change.factory_id, outcome(&change)), (&Some(fallback()), None), "nothing is announced yet");
    let moved = claimed(&retried).after(&change);
    assert_eq!((&moved.factory_id, &moved.fallback_from), (&fallback(), &Some(new.factory_id.clone())));
    // The fallback has a full schedule of its own, and its refusal is final.
    assert!(is_about(fail(&moved).next_attempt_in, SCHEDULE[0]));
    let change = next_call(&moved, Verdict::Refused);
    assert_eq!((change.status, outcome(&change)), (Status::Refused, Some((OutcomeKind::Refused, "in words"))));

    // A call with an unknown result may have been accepted, whatever is answered later, and so may one at which the
    // factory failed. Only an answer that says that nothing was done permits the fallback.
    let is_free = |ending: Ending| {
        let failed = claimed(&new).after(&next_call(&new, ending.classify().0));
        next_call(&failed, Verdict::Refused).factory_id == Some(fallback())
    };
    for status in [408, 425, 429] {
        assert!(is_free(Ending::Status(status)), "{status}");
    }
    assert!(is_free(Ending::NotConnected) && !is_free(Ending::NoAnswer));
    for status in 500..600 {
        assert!(!is_free(Ending::Status(status)), "{status}");
    }
    let silent = claimed(&new).after(&next_call(&new, Verdict::Unknown));
    let lost = claimed(&new);
    let lost = lost.after(&lost.attempt_lost(&SCHEDULE).expect("a change"));
    for unknown in [silent, lost] {
        let change = next_call(&unknown, Verdict::Refused);
        assert_eq!((change.status, &change.factory_id), (Status::DeadLettered, &None));
    }
}

#[test]
fn an_operator_moves_to_the_fallback_only_requests_that_no_factory_has() {
    let id = fallback();
    let other = Some(Fallback { id: &id, enabled: true });
    let new = request(Status::Requested);
    let retrying = claimed(&new).after(&next_call(&new, Verdict::Retry));
    let dead = retrying.after(&retrying.give_up().expect("a change"));
    for waiting in [&new, &retrying, &dead] {
        let change = waiting.withdraw(other).expect("a change");
        assert_eq!((change.status, change.next_attempt_in), (Status::Requested, Some(Duration::ZERO)));
        assert_eq!(outcome(&change), None, "nothing is announced yet");
        let moved = waiting.after(&change);
        assert_eq!((&moved.factory_id, &moved.fallback_from), (&id, &Some(new.factory_id.clone())));
        // A full schedule of its own, and no withdrawal back or to a third factory.
        let failed = claimed(&moved).after(&fail(&moved));
        assert!(is_about(fail(&moved).next_attempt_in, SCHEDULE[0]));
        let third = "FF-3".parse().expect("factory");
        for further in [&new.factory_id, &third] {
            let further = Some(Fallback { id: further, enabled: true });
            assert_eq!(failed.withdraw(further), Err(Rejection::IsFallback(Status::Retrying)));
        }
    }
    for status in Status::ALL {
        let fits = matches!(status, Status::Requested | Status::Retrying | Status::DeadLettered);
        assert_eq!(request(status).withdraw(other) == Err(Rejection::NotWithdrawable(status)), !fits, "{status}");
    }
    let waiting = request(Status::Retrying);
    let status = Status::Retrying;
    let unknown = Request { outcome_unknown: true, ..waiting.clone() };
    assert_eq!(unknown.withdraw(other), Err(Rejection::MayBeTaken(status)));
    let taken = Request { was_accepted: true, ..waiting.clone() };
    assert_eq!(taken.withdraw(other), Err(Rejection::MayBeTaken(status)));
    assert_eq!(waiting.withdraw(None), Err(Rejection::NoFallback(status)));
    let itself = Some(Fallback { id: &waiting.factory_id, enabled: true });
    assert_eq!(waiting.withdraw(itself), Err(Rejection::NoFallback(status)));
    let disabled = Some(Fallback { id: &id, enabled: false });
    assert_eq!(waiting.withdraw(disabled), Err(Rejection::FallbackDisabled(status)));
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
fn goods_end_all_attempts_and_a_cancelled_request_stays_cancelled() {
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

#[test]
fn a_partly_received_request_is_overdue_until_the_rest_arrives() {
    for status in Status::ALL {
        let late = request(status).be_late(SCHEDULE[1]);
        assert_eq!(late.is_some(), matches!(status, Status::Accepted | Status::PartlyReceived), "{status}");
    }
    let part = Request { was_accepted: true, received: 4, ..request(Status::PartlyReceived) };
    let change = part.be_late(SCHEDULE[1]).expect("a change");
    assert_eq!((change.status, change.overdue, change.received), (Status::PartlyReceived, true, 4));
    assert_eq!(outcome(&change), Some((OutcomeKind::Overdue, "4 of 10 received within 5 s of its acceptance")));
    let late = part.after(&change);
    assert_eq!(late.be_late(SCHEDULE[1]), None, "it is known");
    assert_eq!(late.retry(), Err(Rejection::NotRetryable(Status::PartlyReceived)));
    let more = late.receive(quantity(5));
    assert_eq!((more.status, more.overdue), (Status::PartlyReceived, true));
    let all = late.after(&more).receive(quantity(1));
    assert_eq!((all.status, all.overdue), (Status::Received, false));
    let closed = late.close("x").expect("a change");
    assert!(!closed.overdue);
}

#[derive(Debug, Clone)]
enum Event {
    Claim,
    Answer { calls_ago: i32, verdict: Verdict },
    Lost,
    Again,
    Goods(i64),
    Late,
    Close,
    Cancel,
    Retry,
    Withdraw,
}

fn event() -> impl Strategy<Value = Event> {
    let verdict = prop_oneof![
        Just(Verdict::Accepted),
        Just(Verdict::Retry),
        Just(Verdict::Unknown),
        Just(Verdict::Refused),
        Just(Verdict::Conflict)
    ];
    prop_oneof![
        6 => Just(Event::Claim),
        6 => (0..3, verdict).prop_map(|(calls_ago, verdict)| Event::Answer { calls_ago, verdict }),
        1 => Just(Event::Lost),
        1 => Just(Event::Again),
        1 => (1..8_i64).prop_map(Event::Goods),
        2 => Just(Event::Late),
        1 => Just(Event::Close),
        1 => Just(Event::Cancel),
        2 => Just(Event::Retry),
        2 => Just(Event::Withdraw),
    ]
}

fn change_of(current: &Request, event: &Event) -> Option<RequestChange> {
    match event {
        Event::Claim => None,
        Event::Answer { calls_ago, verdict } => {
            let number = current.attempt_count - calls_ago;
            current.attempt_ended(ended(number, *verdict), options(Some(&fallback())))
        }
        Event::Lost => current.attempt_lost(&SCHEDULE),
        Event::Again => current.redrive(),
        Event::Goods(units) => Some(current.receive(quantity(*units))),
        Event::Late => current.be_late(SCHEDULE[0]),
        Event::Close => current.close("closed"),
        Event::Cancel => current.cancel("cancelled").ok().flatten(),
        Event::Retry => current.retry().ok(),
        Event::Withdraw => current.withdraw(Some(Fallback { id: &fallback(), enabled: true })).ok(),
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
            // A call is scheduled exactly when one may be made.
            let waits = matches!(current.status, Status::Requested | Status::Retrying);
            prop_assert_eq!(next.is_some(), waits, "{:?}", current);
            // Goods, or a cancellation by an operator, end all attempts for good. An overdue request is sent again
            // only by hand.
            let asked_again = before.overdue && matches!(event, Event::Retry);
            let never_again =
                goods > 0 || (matches!(before.status, Status::Cancelled | Status::Accepted) && !asked_again);
            // A request that a factory has accepted is never refused or dead-lettered.
            let lost = matches!(current.status, Status::Refused | Status::DeadLettered);
            prop_assert!(!before.was_accepted || !lost, "{:?} after {:?}", current, event);
            let is_open = matches!(current.status, Status::Accepted | Status::PartlyReceived);
            prop_assert!(!current.overdue || is_open);
            // An overdue request with missing units stays overdue.
            prop_assert!(current.overdue || !before.overdue || current.status != Status::PartlyReceived);
            prop_assert!(!never_again || !current.status.is_before_acceptance(), "{:?} after {:?}", current, event);
            prop_assert!(calls_since_restart <= 1 + i32::try_from(SCHEDULE.len()).expect("small"));
            // At most one other factory, and none after a call with an unknown result.
            let moved = current.factory_id != before.factory_id;
            let is_free = !before.outcome_unknown && !before.was_accepted && before.fallback_from.is_none();
            prop_assert!(!moved || is_free);
            prop_assert!(current.outcome_unknown || !before.outcome_unknown);
            if before.status == Status::Cancelled {
                prop_assert_eq!(current.status, Status::Cancelled);
            }
        }
    }
}
