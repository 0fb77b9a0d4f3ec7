//! `http` against a small server of our own.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use piton_core::action::Http;
use piton_core::outcome::FailureKind;
use piton_core::ports::Cancel;
use piton_core::{Action, Text, Value};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use support::{World, within};

/// What a client sent: head and body.
type Request = (String, String);

/// Answers each request with what `answer` makes of its head; `None` leaves it without one.
fn serve(answer: impl Fn(&str, usize) -> Option<String> + Send + 'static) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, requests) = channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for (number, mut stream) in listener.incoming().flatten().enumerate() {
            let (head, body) = receive(&mut stream);
            let answer = answer(&head, number);
            let _ = seen.send((head, body));
            match answer {
                Some(answer) => drop(stream.write_all(answer.as_bytes())),
                None => open.push(stream),
            }
        }
    });
    (url, requests)
}

fn receive(stream: &mut TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).unwrap_or(0) > 2 && !head.ends_with("\r\n\r\n") {}
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn http(method: &str, url: impl Into<Text>) -> Http {
    Http { method: method.into(), url: url.into(), headers: vec![], json: None, body: None, expect: vec![] }
}

#[test]
fn a_response_comes_back_with_status_headers_and_body() {
    let world = World::new();
    let (url, requests) = serve(|_, _| Some(answer("200 OK", "x-kind: test\r\n", "{\"a\": 1}")));
    let outcome = world.perform(&Action::Http(http("GET", format!("{url}/path?q=1"))), &world.context("h", 1)).unwrap();
    assert_eq!((outcome.ok, outcome.status, outcome.out.as_deref()), (true, Some(200), Some("{\"a\": 1}")));
    assert!(outcome.headers.contains(&("x-kind".into(), "test".into())), "{:?}", outcome.headers);
    assert!(requests.recv().unwrap().0.starts_with("GET /path?q=1 HTTP/1.1\r\n"));
}

#[test]
fn json_and_headers_carry_secrets_and_the_response_does_not_show_them() {
    let world = World::new();
    let (url, requests) = serve(|_, _| Some(answer("201 Created", "x-echo: hunter2hunter2\r\n", "got hunter2hunter2")));
    let token = world.secret("token", "hunter2hunter2");
    let mut action = http("POST", url);
    action.headers = vec![("authorization".into(), Text::plain("Bearer ").concat(token.clone()))];
    action.json = Some(Value::Dict(vec![
        (Value::str("password"), Value::Secret(token)),
        (Value::str("count"), Value::Int(i128::from(u64::MAX))),
        (Value::str("list"), Value::Tuple(vec![Value::None, Value::Bool(true), Value::Float(0.5)])),
    ]));
    let outcome = world.perform(&Action::Http(action), &world.context("h", 1)).unwrap();
    let (head, body) = requests.recv().unwrap();
    assert!(
        head.contains("authorization: Bearer hunter2hunter2\r\n") && head.contains("content-type: application/json")
    );
    let parsed: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(parsed["password"], "hunter2hunter2");
    assert_eq!(parsed["count"], u64::MAX);
    assert_eq!(outcome.out.as_deref(), Some("got «secret token»"));
    assert!(!format!("{outcome:?}").contains("hunter2"));
}

#[test]
fn a_status_that_is_not_expected_fails_with_the_body() {
    let world = World::new();
    let (url, _requests) = serve(|_, _| Some(answer("404 Not Found", "", "no such thing")));
    let failed = world.perform(&Action::Http(http("GET", url.clone())), &world.context("h", 1)).unwrap_err();
    assert!(failed.failure.message.ends_with("status 404: no such thing"), "{}", failed.failure);
    let outcome = failed.outcome.unwrap();
    assert_eq!((outcome.status, outcome.out.as_deref()), (Some(404), Some("no such thing")));
    let expected = Http { expect: vec![404, 410], ..http("DELETE", url) };
    assert!(world.perform(&Action::Http(expected), &world.context("h", 1)).unwrap().ok);
}

#[test]
fn a_server_that_says_later_is_asked_later() {
    let world = World::new();
    let (url, requests) = serve(|_, number| {
        Some(match number {
            0 => answer("503 Service Unavailable", "retry-after: 0\r\n", ""),
            1 => answer("429 Too Many Requests", "retry-after: 1\r\n", ""),
            _ => answer("200 OK", "", "now"),
        })
    });
    let outcome = world.perform(&Action::Http(http("POST", url)), &world.context("h", 1)).unwrap();
    assert_eq!(outcome.out.as_deref(), Some("now"));
    assert_eq!(requests.try_iter().count(), 3);
    let (url, requests) = serve(|_, _| Some(answer("503 Service Unavailable", "retry-after: 60\r\n", "full")));
    let context = within(world.context("h", 2), 2000);
    let failed = world.perform(&Action::Http(http("GET", url)), &context).unwrap_err();
    assert!(failed.failure.message.contains("503: full"), "{}", failed.failure);
    assert_eq!(requests.try_iter().count(), 1);
}

#[test]
fn a_redirect_is_followed_only_by_what_reads_and_carries_no_secret() {
    let world = World::new();
    let redirecting = || {
        serve(|head, _| {
            Some(if head.contains(" /there ") {
                answer("200 OK", "", "there")
            } else {
                answer("302 Found", "location: /there\r\n", "")
            })
        })
    };
    let (url, _requests) = redirecting();
    let outcome = world.perform(&Action::Http(http("GET", url.clone())), &world.context("h", 1)).unwrap();
    assert_eq!(outcome.out.as_deref(), Some("there"));
    let failed = world.perform(&Action::Http(http("POST", url.clone())), &world.context("h", 1)).unwrap_err();
    assert!(failed.failure.message.contains("302") && failed.failure.hint.is_some(), "{failed:?}");
    let mut secret = http("GET", url);
    secret.headers = vec![("x-key".into(), world.secret("token", "hunter2hunter2"))];
    assert!(world.perform(&Action::Http(secret), &world.context("h", 1)).is_err());
}

#[test]
fn a_silent_server_is_given_up_at_the_timeout_or_the_engines_word() {
    let world = World::new();
    let (url, requests) = serve(|_, _| None);
    let failed =
        world.perform(&Action::Http(http("GET", url.clone())), &within(world.context("h", 1), 200)).unwrap_err();
    assert_eq!(failed.failure.kind, FailureKind::Timeout);
    requests.recv().unwrap();
    let cancel = Cancel::new();
    let prepared = world.prepare(&Action::Http(http("POST", url)), &world.context("h", 1));
    let waiting = {
        let cancel = cancel.clone();
        std::thread::spawn(move || prepared.perform(&cancel))
    };
    requests.recv().unwrap();
    cancel.fire("the run was aborted");
    let failed = waiting.join().unwrap().unwrap_err();
    assert_eq!(failed.failure.kind, FailureKind::Stopped);
    assert!(!failed.never_began);
}

#[test]
fn a_body_without_end_is_cut() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        receive(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let failed = world.perform(&Action::Http(http("GET", url)), &world.context("h", 1)).unwrap_err();
    assert!(failed.failure.message.contains("more than 16 MiB"), "{}", failed.failure);
}

#[test]
fn a_request_that_never_left_has_no_effect_and_shows_no_secret() {
    let world = World::new();
    let url = world.secret("hook", "http://user:hunter2hunter2@127.0.0.1:1/hook/hunter2hunter2");
    let failed = world.perform(&Action::Http(http("POST", url)), &world.context("h", 1)).unwrap_err();
    assert!(failed.never_began, "{failed:?}");
    assert!(!format!("{failed:?}").contains("hunter2"), "{failed:?}");
    let failed = world.perform(&Action::Http(http("GET", "not a url")), &world.context("h", 1)).unwrap_err();
    assert!(failed.never_began, "{failed:?}");
}
