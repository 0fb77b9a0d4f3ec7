//! Receipts: written, verified, and found out when one byte of them is changed.

use crate::place::Place;

fn receipted() -> Place {
    let place = Place::with(
        "\"\"\"Write one file.\"\"\"\n\ndef main():\n    step(\"write\", write_file(\"x\", \"1\"), undo = inverse())\n",
    );
    place.ran(&["run", "book.star"]).ends(0);
    place.ran(&["receipt", "@last", "-o", "r.json"]).ends(0).says("piton verify r.json --key");
    place
}

#[test]
fn a_receipt_is_valid_by_itself_and_by_the_stores_key() {
    let place = receipted();
    let ran = place.ran(&["verify", "r.json"]).ends(0);
    assert!(ran.out.contains("\nvalid: nothing was changed since it was signed"), "{}", ran.out);
    let key = place.home().join("signing.pub");
    let ran = place.ran(&["verify", "r.json", "--key", key.to_str().unwrap()]).ends(0);
    assert!(ran.out.ends_with("\nvalid: signed by the trusted key\n"), "{}", ran.out);
    let printed = place.ran(&["receipt", "@last"]).ends(0).out;
    assert_eq!(printed, place.read("r.json"), "the same journal gives the same receipt");
}

#[test]
fn any_changed_byte_makes_it_invalid() {
    let place = receipted();
    let good = std::fs::read(place.path("r.json")).unwrap();
    let last = good.len() - 2;
    for at in (0..=last).step_by(good.len() / 12).chain([last]) {
        let mut bad = good.clone();
        bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
        std::fs::write(place.path("bad.json"), bad).unwrap();
        let ran = place.ran(&["verify", "bad.json"]).ends(1);
        assert!(ran.out.ends_with("INVALID\n"), "byte {at}: {}", ran.out);
    }
}

#[test]
fn another_stores_key_does_not_fit() {
    let (place, other) = (receipted(), receipted());
    let key = other.home().join("signing.pub");
    let ran = place.ran(&["verify", "r.json", "--key", key.to_str().unwrap()]).ends(1);
    assert!(ran.out.contains("not signed by the trusted key") && ran.out.ends_with("INVALID\n"), "{}", ran.out);
    place.ran(&["verify", "r.json", "--key", "rubbish"]).ends(2).says("error[P0030]");
    place.ran(&["verify", "nothing.json"]).ends(2).says("error[P0005]");
}

#[test]
fn a_page_for_people_is_written_too() {
    let place = receipted();
    let page = place.ran(&["receipt", "@last", "--format", "md"]).ends(0).out;
    assert!(page.contains("Write one file."), "{page}");
    place.ran(&["receipt", "@last", "-o", "missing/r.json"]).ends(2).says("error[P0005]");
}

#[test]
fn a_page_carries_its_receipt_and_is_found_out_when_its_text_is_changed() {
    let place = receipted();
    place.ran(&["receipt", "@last", "--format", "html", "-o", "r.html"]).ends(0).says("piton verify r.html --key");
    let key = place.home().join("signing.pub");
    let key = key.to_str().unwrap();
    let ran = place.ran(&["verify", "r.html", "--key", key]).ends(0);
    assert!(ran.out.contains("✓ page       byte for byte what its receipt says"), "{}", ran.out);
    assert!(ran.out.ends_with("\nvalid: signed by the trusted key\n"), "{}", ran.out);
    let page = place.read("r.html");
    assert!(page.contains(place.read("r.json").trim_end()), "the page carries the very receipt");
    std::fs::write(place.path("bad.html"), page.replacen("1 of 1 done", "2 of 2 done", 1)).unwrap();
    let ran = place.ran(&["verify", "bad.html", "--key", key]).ends(1);
    assert!(ran.out.contains("✗ page       the page was changed: line "), "{}", ran.out);
    assert!(ran.out.ends_with("INVALID\n"), "{}", ran.out);
}

/// The line of an anchor, its fields checked against the run's own words.
fn anchored(place: &Place, line: &str) -> serde_json::Value {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let (show, keys) = (place.show(), ["at", "head", "key", "records", "run"]);
    assert_eq!(line.as_object().unwrap().keys().collect::<Vec<_>>(), keys);
    assert_eq!(line["run"], show["id"]);
    assert_eq!(line["head"], show["journal"]["head"]);
    assert_eq!(line["records"], show["journal"]["records"]);
    let receipt: serde_json::Value = serde_json::from_str(&place.read("r.json")).unwrap();
    assert_eq!(line["key"], receipt["signatures"][0]["keyid"]);
    assert!(line["at"].as_str().unwrap() >= show["last_at"].as_str().unwrap());
    line
}

#[test]
fn an_anchor_in_a_file_is_one_line_more_each_time_and_touches_no_other() {
    let place = receipted().file("heads.jsonl", "{\"torn\":");
    for lines in [2, 3] {
        let ran = place.ran(&["receipt", "@last", "-o", "r.json", "--anchor", "heads.jsonl"]).ends(0);
        assert!(ran.out.contains("its chain head is anchored: heads.jsonl"), "{}", ran.out);
        let text = place.read("heads.jsonl");
        assert_eq!(text.lines().next(), Some("{\"torn\":"));
        assert_eq!((text.lines().count(), text.ends_with('\n')), (lines, true), "{text}");
        anchored(&place, text.lines().last().unwrap());
    }
    let ran = place.ran(&["receipt", "@last", "--anchor", "fresh.jsonl"]).ends(0);
    assert_eq!(ran.out, place.read("r.json"), "standard output is the receipt alone");
    assert!(ran.err.contains("its chain head is anchored: fresh.jsonl"), "{}", ran.err);
    anchored(&place, &place.read("fresh.jsonl"));
    let ran = place.ran(&["receipt", "@last", "-o", "r2.json", "--anchor", "no/such/dir"]).ends(1);
    assert!(ran.err.contains("error[P0033]") && ran.err.contains("No such file"), "{}", ran.err);
    assert_eq!(place.read("r2.json"), place.read("r.json"), "the receipt is written all the same");
    place.ran(&["receipt", "@last", "--anchor", "ftp://x/y"]).ends(2).says("error[P0001]");
}

/// A server that takes one request and gives this answer; what it was sent.
fn listener(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://ada:hunter2@{}/heads?token=hunter2", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut request, mut length) = (String::new(), 0);
        while !request.ends_with("\r\n\r\n") {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            request.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        request + &String::from_utf8(body).unwrap()
    });
    (url, server)
}

#[test]
fn an_anchor_is_posted_to_a_url_and_only_a_2xx_is_taken_for_done() {
    let place = receipted();
    let (url, server) = listener("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
    let ran = place.ran(&["receipt", "@last", "-o", "r.html", "--format", "html", "--anchor", &url]).ends(0);
    assert!(ran.out.contains("its chain head is anchored: http://127.0.0.1:"), "{}", ran.out);
    let request = server.join().unwrap();
    assert!(request.starts_with("POST /heads?token=hunter2 HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("content-type: application/json\r\n"), "{request}");
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(body.ends_with('\n') && body.lines().count() == 1);
    anchored(&place, body);

    for (answer, says) in [
        ("HTTP/1.1 409 Conflict\r\ncontent-length: 5\r\n\r\nno\x1b[2J", "it answered 409: no"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "it answered 302"),
        ("", "because: "),
    ] {
        let (url, server) = listener(answer);
        let ran = place.ran(&["receipt", "@last", "-o", "r.json", "--anchor", &url]).ends(1);
        assert!(ran.err.contains("error[P0033]") && ran.err.contains(says), "{answer}: {}", ran.err);
        assert!(!ran.err.contains("hunter2") && !ran.err.contains('\x1b'), "{}", ran.err);
        server.join().unwrap();
    }
    let gone = format!("127.0.0.1:{}", piton_testkit::free_port().unwrap());
    let ran = place.ran(&["receipt", "@last", "-o", "r.json", "--anchor", &format!("http://{gone}/")]).ends(1);
    assert!(ran.err.contains("Connection refused"), "{}", ran.err);
}
