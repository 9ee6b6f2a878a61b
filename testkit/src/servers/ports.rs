//! Free ports on the loopback interface, below the range of outgoing connections, and kept from one start to
//! the next where possible.
//!
//! A server listens seconds after its port was chosen. Until then the port is reserved among all processes
//! that choose here, by an abstract Unix socket named after it, which disappears with its process.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::{Ipv4Addr, TcpListener},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    sync::{Mutex, PoisonError},
};

use crate::error::{Error, Result};

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// True when this process can listen on the port now.
pub(super) fn is_free(port: u16) -> bool {
    port != 0 && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Reserves the port for as long as this process runs; false when another one has it.
fn reserve(port: u16) -> bool {
    static RESERVED: Mutex<BTreeMap<u16, UnixListener>> = Mutex::new(BTreeMap::new());
    match RESERVED.lock().unwrap_or_else(PoisonError::into_inner).entry(port) {
        Entry::Occupied(_) => true,
        Entry::Vacant(place) => match reservation(port) {
            Ok(held) => {
                place.insert(held);
                true
            }
            Err(_) => false,
        },
    }
}

fn reservation(port: u16) -> std::io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("jaego-port-{port}"))?)
}

/// `N` different free ports, preferably those in `wanted`.
pub fn choose<const N: usize>(wanted: [u16; N]) -> Result<[u16; N]> {
    let mut chosen = [0; N];
    for (index, want) in wanted.into_iter().enumerate() {
        let mut candidate = want;
        let mut tries = 0;
        while chosen.contains(&candidate) || !is_free(candidate) || !reserve(candidate) {
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

    #[test]
    fn a_port_that_another_process_has_chosen_is_not_chosen() {
        let [free] = choose([0]).unwrap();
        let [same] = choose([free]).unwrap();
        assert_eq!(same, free, "its own process may choose it again");
        let (port, held) =
            (FIRST..LAST).filter(|port| is_free(*port)).find_map(|port| Some((port, reservation(port).ok()?))).unwrap();
        let [other] = choose([port]).unwrap();
        assert_ne!(other, port);
        drop(held);
        assert_eq!(choose([port]).unwrap(), [port]);
    }
}
