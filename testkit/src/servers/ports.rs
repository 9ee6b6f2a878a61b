//! Free ports on the loopback interface, below the range from which outgoing connections get
//! theirs, and kept from one start to the next where possible.

use std::net::{Ipv4Addr, TcpListener};

use crate::error::{Error, Result};

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// Can this process listen there now?
pub(super) fn is_free(port: u16) -> bool {
    port != 0 && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// `N` different free ports, those in `wanted` first.
pub fn choose<const N: usize>(wanted: [u16; N]) -> Result<[u16; N]> {
    let mut chosen = [0; N];
    for (index, want) in wanted.into_iter().enumerate() {
        let mut candidate = want;
        let mut tries = 0;
        while !is_free(candidate) || chosen.contains(&candidate) {
            if tries == 1000 {
                return Err(Error::Invalid(format!("no free port between {FIRST} and {LAST}")));
            }
            tries += 1;
            candidate = rand::random_range(FIRST..LAST);
        }
        chosen[index] = candidate;
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_kept_and_a_taken_one_replaced() {
        let [first, second] = choose([0, 0]).unwrap();
        assert_ne!(first, second);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        let [other, same] = choose([first, second]).unwrap();
        assert_ne!(other, first);
        assert_eq!(same, second);
        drop(taken);
    }
}
