//! Clients that are not what they say: whatever they send, the gate refuses them and goes on serving others.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what fails here fails its test")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use support::{World, block_on};

const LONG: Duration = Duration::from_secs(30);

fn dial(world: &World) -> TcpStream {
    let stream = TcpStream::connect(world.gate().address()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Reads until the gate closes the connection; whatever it says is well.
fn closes(mut stream: TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the gate keeps a hostile client"),
    }
}

fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let mut payload = vec![0; usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16];
    stream.read_exact(&mut payload).unwrap();
    payload
}

/// Logs in as an account without a password, by hand.
fn log_in(world: &World) -> TcpStream {
    let mut stream = dial(world);
    packet(&mut stream);
    let flags: u32 = 1 | 1 << 9 | 1 << 15 | 1 << 19;
    let mut response = flags.to_le_bytes().to_vec();
    response.extend([0, 0, 0, 1, 45]);
    response.extend([0; 23]);
    response.extend(b"open\0\0mysql_native_password\0");
    stream.write_all(&framed(1, &response)).unwrap();
    assert_eq!(packet(&mut stream)[0], 0, "the login is taken");
    stream
}

fn framed(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_le_bytes()[..3].to_vec();
    out.push(sequence);
    out.extend_from_slice(payload);
    out
}

fn world() -> Option<World> {
    let world = World::start_with(1, |config| config.credentials.add_password("open", ""))?;
    world.servers[0].sql("create user open@'%'").unwrap();
    Some(world)
}

fn still_serves(world: &World) {
    block_on(async {
        let one: Option<u8> = world.client("shop").await.query_first("select 1").await.unwrap();
        assert_eq!(one, Some(1));
    });
    let began = Instant::now();
    while world.gate().status().clients > 0 {
        assert!(began.elapsed() < LONG, "a session is left behind");
        std::thread::yield_now();
    }
}

#[test]
fn a_login_of_wrong_bytes_is_refused() {
    let Some(world) = world() else { return };
    let huge = [0xff, 0xff, 0xff, 1];
    let truncated = framed(1, &[0, 2, 0x80, 0, 0, 0]);
    let no_end = framed(1, &[&[0xff; 3][..], &[0x0f; 29], b"name without end"].concat());
    let old = framed(1, &[0; 40]);
    let tls = framed(1, &[&(1_u32 << 11 | 1 << 9 | 1 << 15).to_le_bytes()[..], &[0; 28]].concat());
    let plain_after_tls = [&tls[..], b"injected"].concat();
    for bytes in [&huge[..], &truncated, &no_end, &old, &plain_after_tls, &[tls, b"no tls".to_vec()].concat()] {
        let mut stream = dial(&world);
        packet(&mut stream);
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        closes(stream);
    }
    still_serves(&world);
}

#[test]
fn commands_of_wrong_bytes_end_their_session_only() {
    let Some(world) = world() else { return };
    let hostile: [(&str, Vec<u8>); 11] = [
        ("an empty command", framed(0, &[])),
        ("out of order", framed(3, b"\x03select 1")),
        ("a binlog dump", framed(0, &[0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("a bulk execution", framed(0, &[0xfa, 0, 0, 0, 0, 0, 0])),
        ("an unknown command", framed(0, &[0x77])),
        ("a long USE", framed(0, &[&[2][..], &[b'x'; 100_000]].concat())),
        ("a short close", framed(0, &[0x19, 1])),
        ("a short fetch", framed(0, &[0x1c, 1, 0, 0, 0])),
        ("a short change of user", framed(0, &[0x11, 0])),
        ("a change of user whose lengths lie", framed(0, &[0x11, b'a', 0, 200, 1, 2, 3])),
        ("half a command", [0xff, 0xff, 0xff, 0, 3, b's'].to_vec()),
    ];
    for (what, bytes) in hostile {
        let mut stream = log_in(&world);
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        println!("{what}");
        closes(stream);
    }
    still_serves(&world);
}

#[test]
fn an_execution_of_nothing_is_declined_and_its_session_goes_on() {
    let Some(world) = world() else { return };
    let mut stream = log_in(&world);
    for bytes in [framed(0, &[0x17, 9, 0, 0, 0, 0, 1, 0, 0, 0]), framed(0, &[0x17, 1]), framed(0, &[0x1a, 9, 0, 0, 0])]
    {
        stream.write_all(&bytes).unwrap();
        assert_eq!(packet(&mut stream)[..3], [0xff, 0xdb, 0x04], "unknown prepared statement");
    }
    // Two commands at once are answered one after the other.
    stream.write_all(&[framed(0, b"\x03do 1"), framed(0, &[0x0e])].concat()).unwrap();
    assert_eq!((packet(&mut stream)[0], packet(&mut stream)[0]), (0, 0));
    drop(stream);
    still_serves(&world);
}

#[test]
fn a_gate_that_is_full_says_so_and_serves_those_inside() {
    let Some(world) = World::start_with(1, |config| config.connections = 2) else { return };
    block_on(async {
        let (mut one, _two) = (world.client("shop").await, world.client("shop").await);
        let refused = mysql_async::Conn::new(world.options(world.gate().address().port(), "shop")).await.unwrap_err();
        assert!(refused.to_string().contains("Too many connections"), "{refused}");
        one.query_drop("select 1").await.unwrap();
    });
}
