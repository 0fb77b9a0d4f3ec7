//! Ports for servers that may be restarted.
//!
//! Owns which TCP port a test's server gets: one that no other test has and that the kernel gives to no connection that
//! somebody opens meanwhile, so that a server that comes back finds it free. Never listens on it.

use crate::SetupError;
use std::fs::{File, TryLockError};
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below these are the ports of well-known services.
const FIRST: u16 = 10_000;

/// What this process was given. A lease is a lock on a file named after the port, so it ends with the process, however.
static LEASES: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A TCP port of the loopback interface on which nothing listens, for this process alone until it ends.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16, SetupError> {
    find(ports()).map_err(SetupError::io("find a free port"))
}

/// Ports that are given to nobody unasked: those before the range that connections are made from.
fn ports() -> Range<u16> {
    let connections = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = connections.split_whitespace().next().and_then(|first| first.parse().ok());
    // Linux's own first one, where this cannot be read.
    FIRST..first.unwrap_or(32_768)
}

fn find(ports: Range<u16>) -> io::Result<u16> {
    let mut leases = LEASES.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = std::env::temp_dir().join(format!("piton-ports-{}", rustix::process::getuid().as_raw()));
    std::fs::create_dir_all(&folder)?;
    for port in ports {
        let lease = File::options().create(true).append(true).open(folder.join(port.to_string()))?;
        match lease.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            leases.push(lease);
            return Ok(port);
        }
    }
    // Where all of them are in use, or connections may be made from any: what is free right now.
    TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_to_no_connection() {
        let (first, second) = (free_port().unwrap(), free_port().unwrap());
        assert_ne!(first, second);
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let own = connection.local_addr().unwrap().port();
        assert!(!ports().contains(&own), "{own} is a connection's, and could have been a server's");
        assert!(ports().contains(&first) && ports().contains(&second), "{first}, {second}");
    }

    #[test]
    fn what_somebody_listens_on_is_gone_past() {
        let taken = ports().rev().find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(find(port..port + 1).unwrap(), port);
        drop(taken);
        assert_eq!(find(port..port + 1).unwrap(), port);
        assert_ne!(find(port..port + 1).unwrap(), port, "it has been given away");
    }
}
