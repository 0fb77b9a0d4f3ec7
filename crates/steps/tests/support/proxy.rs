//! A TCP proxy that cuts a connection at the worst moment: behind a message of the client, before its reply.
//!
//! Owns the cutting. What the server does with the message is real.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Proxy {
    pub port: u16,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    /// Cuts the first connection whose client sends `needle`, once the server has replied to it; `reaches`: whether
    /// the server gets to see it at all.
    pub fn start(server: u16, needle: &'static str, reaches: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(AtomicUsize::new(0));
        let counted = cuts.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let upstream = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let counted = counted.clone();
                std::thread::spawn(move || forward(client, upstream, needle, reaches, &counted));
            }
        });
        Self { port, cuts }
    }

    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

fn forward(client: TcpStream, server: TcpStream, needle: &str, reaches: bool, cuts: &AtomicUsize) {
    let (from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let replies = Arc::new(AtomicUsize::new(0));
    let cutting = Arc::new(AtomicUsize::new(0));
    let (seen, hold) = (replies.clone(), cutting.clone());
    let (mut from_server, mut to_client) = (server, client);
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(read @ 1..) = from_server.read(&mut buffer) {
            if hold.load(Ordering::SeqCst) == 0 {
                let _ = to_client.write_all(&buffer[..read]);
            }
            seen.fetch_add(1, Ordering::SeqCst);
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut from_client = from_client;
    let mut buffer = [0; 65536];
    while let Ok(read @ 1..) = from_client.read(&mut buffer) {
        let found = buffer[..read].windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()));
        if found && cuts.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            cutting.store(1, Ordering::SeqCst);
            let before = replies.load(Ordering::SeqCst);
            if reaches {
                let _ = to_server.write_all(&buffer[..read]);
                while replies.load(Ordering::SeqCst) == before {
                    std::thread::yield_now();
                }
            }
            let _ = from_client.shutdown(Shutdown::Both);
            let _ = to_server.shutdown(Shutdown::Both);
            return;
        }
        let _ = to_server.write_all(&buffer[..read]);
    }
    let _ = to_server.shutdown(Shutdown::Both);
}
