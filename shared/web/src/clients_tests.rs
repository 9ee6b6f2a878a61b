use super::*;

fn client(text: &str) -> Client {
    Client::of(text.parse().expect("an address"))
}

/// A client of its own for each number.
fn numbered(number: u32) -> Client {
    Client::of(IpAddr::V4(number.into()))
}

#[test]
fn a_client_that_asks_too_often_waits_and_no_other() {
    let buckets = Buckets::new(1, 5).expect("a limit");
    let (rude, other) = (client("192.0.2.1"), client("192.0.2.2"));
    for _ in 0..5 {
        assert_eq!(buckets.take(rude), Ok(()));
    }
    assert_eq!(buckets.take(rude), Err(1));
    assert_eq!(buckets.take(other), Ok(()));
    assert!(Buckets::new(0, 5).is_none(), "0 is no limit");
}

// Control: one-bucket-per-network.
#[test]
fn all_addresses_of_a_network_are_one_client() {
    assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::2"));
    assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
    assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    let buckets = Buckets::new(1, 10).expect("a limit");
    let taken = (0..1000_u128).filter(|number| {
        let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) + number);
        buckets.take(Client::of(address.into())).is_ok()
    });
    assert!(taken.count() < 50);
}

// Control: bounded-key-table.
#[test]
fn very_many_addresses_take_little_memory_and_make_no_room_for_one_that_calls_often() {
    let buckets = Buckets::new(1, 50).expect("a limit");
    let rude = client("192.0.2.1");
    let mut taken = 0;
    for number in 0..100_000_u32 {
        let _ = buckets.take(numbered(number));
        if number % 10 == 0 {
            taken += u32::from(buckets.take(rude).is_ok());
        }
    }
    let Table(table) = buckets.0.into_state_store();
    table.run_pending_tasks();
    assert!(table.entry_count() <= CLIENTS_MAX, "{}", table.entry_count());
    assert!(taken < 1_000, "the client that called 10,000 times was let through {taken} times");
}

#[test]
fn too_many_wrong_tokens_block_their_sender_for_the_rest_of_the_minute() {
    let (attempts, begun) = (Attempts::new(2), Instant::now());
    let [own, other] = [numbered(1), numbered(2)];
    attempts.failed(own, begun);
    assert_eq!(attempts.must_wait_s(own, begun), None);
    attempts.failed(own, begun + Duration::from_secs(10));
    assert_eq!(attempts.must_wait_s(own, begun + Duration::from_secs(10)), Some(51));
    assert_eq!(attempts.must_wait_s(other, begun), None);
    let later = begun + Duration::from_secs(61);
    assert_eq!(attempts.must_wait_s(own, later), None);
    attempts.failed(own, later);
    assert_eq!(attempts.must_wait_s(own, later), None, "a new minute");
}

// Control: bounded-guesses.
#[test]
fn guesses_from_many_addresses_do_not_clear_the_count_of_one() {
    let (attempts, now) = (Attempts::new(20), Instant::now());
    let guesser = client("192.0.2.1");
    for number in 0..50_000 {
        attempts.failed(numbered(number), now);
        attempts.failed(guesser, now);
    }
    attempts.failed.run_pending_tasks();
    assert!(attempts.must_wait_s(guesser, now).is_some());
    assert!(attempts.failed.entry_count() <= CLIENTS_MAX);
}
