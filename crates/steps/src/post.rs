//! One POST outside any run: what `piton receipt --anchor URL` hands to an outside record.
//!
//! Owns its bounds and its errors. Never follows a redirect (the caller named one address), never tries again (the
//! caller may, and a record that keeps both copies loses nothing), and never repeats the credentials of an address.

use crate::http::{said, tls};
use crate::text::clip;
use std::io::Read as _;
use std::time::Duration;
use ureq::Agent;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// What of an answer that is not "done" is told.
const MAX_TOLD_BYTES: u64 = 500;

/// Why it is not certain that the record was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    #[error("the address cannot be used: {why}")]
    Address { why: String },
    #[error("{why}")]
    NoAnswer { why: String },
    #[error("it answered {status}{}", if body.is_empty() { String::new() } else { format!(": {body}") })]
    Refused { status: u16, body: String },
}

/// Posts JSON; done when the server answers with a 2xx within `limit`.
pub fn post_json(url: &str, json: &[u8], limit: Duration) -> Result<(), PostError> {
    let tls = tls().map_err(|failure| PostError::Address { why: failure.message })?;
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(limit))
        .timeout_connect(Some(limit.min(CONNECT_LIMIT)))
        .user_agent(concat!("piton/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build()
        .new_agent();
    let answer = agent.post(url).content_type("application/json").send(json).map_err(|error| match error {
        ureq::Error::BadUri(why) => PostError::Address { why },
        ureq::Error::Http(why) => PostError::Address { why: why.to_string() },
        error => PostError::NoAnswer { why: said(&error) },
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let mut told = Vec::new();
    // What cannot be read of a refusal is not worth another error.
    let _ = answer.into_body().into_reader().take(MAX_TOLD_BYTES).read_to_end(&mut told);
    let body = clip(String::from_utf8_lossy(&told).trim(), MAX_TOLD_BYTES as usize).to_owned();
    Err(PostError::Refused { status: status.as_u16(), body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Instant;

    #[test]
    fn a_server_that_says_nothing_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let began = Instant::now();
        let error = post_json(&url, b"{}", Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.to_string(), "the server did not answer in time");
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_server_that_drips_its_answer_is_given_up_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 1000000\r\n\r\n");
            // Until the client hangs up.
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let began = Instant::now();
        let error = post_json(&url, b"{}", Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error, PostError::Refused { status: 500, .. }), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(5));
        server.join().unwrap();
    }

    #[test]
    fn an_address_that_is_none_is_said_to_be_none() {
        for url in ["http://", "http://a b/", "nonsense"] {
            let error = post_json(url, b"{}", Duration::from_secs(1)).unwrap_err();
            assert!(matches!(error, PostError::Address { .. }), "{url}: {error:?}");
        }
    }
}
