//! `http`: one request to a server.
//!
//! Owns the bounds (time, size, redirects), what counts as success, and waiting as `Retry-After` says (RFC 9110,
//! 10.2.3). Never follows a redirect with a request that writes or carries a secret: the author named one address.

use crate::opened::open;
use crate::stop::Stop;
use crate::text::clip;
use crate::vault::Vault;
use piton_core::Value;
use piton_core::action::Http;
use piton_core::outcome::{Failure, FailureKind, Outcome};
use piton_core::ports::ActionFailed;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{Request, Response};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// Bytes of a response's body that are read.
const MAX_BODY_BYTES: u64 = 16 * 1024 * 1024;
/// A request without a timeout of its own: a server that says nothing for so long says nothing at all.
const DEFAULT_LIMIT: Duration = Duration::from_secs(300);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: u32 = 10;
/// Answers of "later" before it counts as a failure.
const MAX_LATER: u32 = 5;
/// Longest pause a server may ask for; what asks for more is not about this step.
const MAX_PAUSE: Duration = Duration::from_secs(120);
/// What of a failed response's body is told.
const MAX_TOLD_BYTES: usize = 500;

fn failure(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Action, message)
}

pub(crate) fn run(http: &Http, stop: &Stop<'_>, vault: &Vault) -> Result<Outcome, ActionFailed> {
    let never_began = |failure: Failure| ActionFailed { never_began: true, ..failure.into() };
    let prepared = Prepared::new(http, vault).map_err(never_began)?;
    let mut later = 0;
    loop {
        let answer = prepared.send(stop)?;
        let status = answer.status;
        let pause =
            answer.pause.filter(|_| matches!(status, 429 | 503) && later < MAX_LATER && !prepared.expects(status));
        let Some(pause) = pause.filter(|pause| *pause <= MAX_PAUSE) else {
            return prepared.judge(answer);
        };
        later += 1;
        if stop.left().is_some_and(|left| left <= pause) {
            return prepared.judge(answer);
        }
        if stop.sleep(pause) {
            return Err(stop.why().unwrap_or_else(|| failure("it was ended")).into());
        }
    }
}

struct Prepared<'a> {
    http: &'a Http,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    redirects: u32,
    tls: TlsConfig,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The body was longer than what was read.
    cut: bool,
    pause: Option<Duration>,
}

impl<'a> Prepared<'a> {
    fn new(http: &'a Http, vault: &Vault) -> Result<Self, Failure> {
        let mut headers = Vec::new();
        for (name, value) in &http.headers {
            headers.push((name.clone(), vault.open_text(value)?));
        }
        let has = |name: &str| headers.iter().any(|(own, _): &(String, String)| own.eq_ignore_ascii_case(name));
        let mut body = None;
        match (&http.json, &http.body) {
            (Some(_), Some(_)) => return Err(failure("a request has json= or body=, not both")),
            (Some(json), None) => {
                let json = to_json(&open(json, vault)?)?;
                body = Some(json.to_string().into_bytes());
                if !has("content-type") {
                    headers.push(("content-type".to_owned(), "application/json".to_owned()));
                }
            }
            (None, Some(text)) => body = Some(vault.open_text(text)?.into_bytes()),
            (None, None) => {}
        }
        let reads = matches!(http.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        // A redirect decides who gets to see the headers, so one with a secret is not followed either.
        let secret = http.headers.iter().any(|(_, value)| value.as_plain().is_none());
        let redirects = if reads && !secret { MAX_REDIRECTS } else { 0 };
        Ok(Self { http, url: vault.open_text(&http.url)?, headers, body, redirects, tls: tls()? })
    }

    fn expects(&self, status: u16) -> bool {
        match self.http.expect.as_slice() {
            [] => (200..300).contains(&status),
            expected => expected.contains(&status),
        }
    }

    fn agent(&self, stop: &Stop<'_>) -> Agent {
        let limit = stop.left().unwrap_or(DEFAULT_LIMIT);
        Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(self.redirects)
            .max_redirects_will_error(false)
            .timeout_global(Some(limit))
            .timeout_connect(Some(limit.min(CONNECT_LIMIT)))
            .user_agent(concat!("piton/", env!("CARGO_PKG_VERSION")))
            .tls_config(self.tls.clone())
            .build()
            .new_agent()
    }

    fn send(&self, stop: &Stop<'_>) -> Result<Answer, ActionFailed> {
        let mut request = Request::builder().method(self.http.method.as_str()).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let agent = self.agent(stop);
        let shared = agent.clone();
        let _registration = stop.on_cancel(move |_| shared.clone().shutdown());
        let wrong = |error: ureq::http::Error| ActionFailed {
            never_began: true,
            ..failure(format!("the request cannot be made: {error}")).into()
        };
        let answered = match &self.body {
            Some(body) => agent.run(request.body(body.as_slice()).map_err(wrong)?),
            None => agent.run(request.body(()).map_err(wrong)?),
        };
        let result = answered.and_then(read);
        result.map_err(|error| {
            if let Some(why) = stop.why() {
                return why.into();
            }
            let kind =
                if matches!(error, ureq::Error::Timeout(_)) { FailureKind::Timeout } else { FailureKind::Action };
            let failure = Failure::new(kind, format!("{} {}: {}", self.http.method, self.http.url, said(&error)));
            ActionFailed { never_began: never_sent(&error), ..failure.into() }
        })
    }

    fn judge(&self, answer: Answer) -> Result<Outcome, ActionFailed> {
        let mut outcome = Outcome {
            ok: self.expects(answer.status),
            status: Some(answer.status),
            headers: answer.headers,
            ..Outcome::default()
        };
        if answer.cut {
            let message = format!("the response has more than {} MiB", MAX_BODY_BYTES / 1024 / 1024);
            let failure = failure(message).hint("fetch what is large with curl in sh(), into a file");
            return Err(ActionFailed { outcome: Some(Outcome { ok: false, ..outcome }), ..failure.into() });
        }
        let text = String::from_utf8_lossy(&answer.body);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            outcome.notes.push("the response is not UTF-8; what is not was replaced".to_owned());
        }
        outcome.out = Some(Arc::from(&*text));
        if outcome.ok {
            return Ok(outcome);
        }
        let told = clip(text.trim(), MAX_TOLD_BYTES);
        let more = if told.len() < text.trim().len() { "…" } else { "" };
        let message = format!("{} {}: status {}: {told}{more}", self.http.method, self.http.url, answer.status);
        let mut failure = failure(message.trim_end_matches([':', ' ']));
        if (300..400).contains(&answer.status) && self.redirects == 0 {
            failure = failure.hint("a redirect of a request that writes, or that carries a secret, is not followed: name the final address");
        }
        Err(ActionFailed { outcome: Some(outcome), ..failure.into() })
    }
}

fn read(mut response: Response<Body>) -> Result<Answer, ureq::Error> {
    let headers: Vec<(String, String)> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let pause = headers.iter().find(|(name, _)| name == "retry-after").and_then(|(_, value)| seconds(value));
    let mut body = Vec::new();
    response.body_mut().as_reader().take(MAX_BODY_BYTES + 1).read_to_end(&mut body)?;
    let cut = body.len() as u64 > MAX_BODY_BYTES;
    Ok(Answer { status: response.status().as_u16(), headers, body, cut, pause })
}

/// `Retry-After` in seconds. Its other form, a date, would need this machine's clock to agree with the server's.
fn seconds(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Nothing of the request has reached the server.
fn never_sent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound | ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::ConnectionFailed => {
            true
        }
        ureq::Error::Io(error) => {
            matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
            )
        }
        ureq::Error::Timeout(timeout) => matches!(timeout, ureq::Timeout::Resolve | ureq::Timeout::Connect),
        _ => false,
    }
}

pub(crate) fn said(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => "the server did not answer in time".to_owned(),
        other => other.to_string(),
    }
}

/// The public roots, or those of the file that `SSL_CERT_FILE` names, as other programs do.
pub(crate) fn tls() -> Result<TlsConfig, Failure> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(TlsConfig::default());
    };
    let wrong = |why: &dyn std::fmt::Display| failure(format!("SSL_CERT_FILE cannot be used: {why}"));
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(&error))? {
            roots.push(certificate);
        }
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build())
}

/// The value as JSON (RFC 8259): tuples as lists, dicts, structs and records as objects, durations in milliseconds.
fn to_json(value: &Value) -> Result<serde_json::Value, Failure> {
    use serde_json::Value as Json;
    let refused = |why: &str| failure(format!("a {} cannot be sent as JSON{why}", value.kind()));
    let object = |fields: &[(String, Value)]| {
        fields
            .iter()
            .map(|(name, value)| Ok((name.clone(), to_json(value)?)))
            .collect::<Result<_, Failure>>()
            .map(Json::Object)
    };
    Ok(match value {
        Value::None => Json::Null,
        Value::Bool(value) => Json::from(*value),
        Value::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
            (Ok(value), _) => Json::from(value),
            (_, Ok(value)) => Json::from(value),
            _ => return Err(refused(" beyond 64 bits; give it as a string")),
        },
        Value::Float(value) => {
            serde_json::Number::from_f64(*value).map(Json::Number).ok_or_else(|| refused(" that is not finite"))?
        }
        Value::Str(text) => Json::from(&**text),
        Value::List(items) | Value::Tuple(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Value::Dict(items) => {
            let mut all = serde_json::Map::new();
            for (key, value) in items {
                let Value::Str(key) = key else { return Err(refused(" with keys that are no strings")) };
                all.insert(key.to_string(), to_json(value)?);
            }
            Json::Object(all)
        }
        Value::Struct(items) => object(items)?,
        Value::Record(record) => object(&record.fields)?,
        Value::Enum { value, .. } => to_json(value)?,
        Value::Duration(duration) => Json::from(duration.as_ms()),
        Value::Secret(_) | Value::Bytes(_) | Value::Action(_) | Value::Outcome(_) | Value::Function(_) => {
            return Err(refused(""));
        }
    })
}
