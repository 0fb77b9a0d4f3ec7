//! Anchors: a run's chain head, handed to a record outside the store.
//!
//! Owns the line's form, and the two kinds of places that take it. Whoever holds the store's key could make another
//! journal and sign it; what was anchored before says which one is the first. Never reads an anchor back.

use crate::error::{CliError, Kind};
use crate::ui::text::printable;
use piton_core::digest::Digest;
use piton_core::ids::RunId;
use piton_core::receipt::time::Instant;
use piton_steps::post_json;
use serde::Serialize;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A record that does not answer in this time is not waited for.
const POST_LIMIT: Duration = Duration::from_secs(30);

/// One line of an outside record; `docs/json.md` tells its fields.
#[derive(Serialize)]
pub(super) struct Line {
    pub(super) run: RunId,
    pub(super) head: Digest,
    pub(super) records: u64,
    /// Id of the public key that receipts of this store are signed with.
    pub(super) key: String,
    /// When it was anchored.
    pub(super) at: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    Url(String),
}

impl Place {
    /// `http://` and `https://` are URLs, everything else without a scheme is a file.
    pub(super) fn parse(given: &str) -> Result<Self, CliError> {
        let scheme = given.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("http" | "https") => Ok(Self::Url(given.to_owned())),
            Some(_) => Err(CliError::new(
                Kind::Usage,
                format!("--anchor takes a file or an http(s) URL, not {}", printable(given)),
            )),
            None if given.is_empty() || given == "-" => {
                Err(CliError::new(Kind::Usage, "--anchor takes a file or an http(s) URL"))
            }
            None => Ok(Self::File(PathBuf::from(given))),
        }
    }

    /// Hands the line over; done only when it is durable there, as far as the place tells.
    pub(super) fn take(&self, line: &Line) -> Result<(), CliError> {
        let mut json = serde_json::to_vec(line).map_err(|error| CliError::bug("an anchor's line").source(error))?;
        json.push(b'\n');
        let taken: Result<(), crate::error::Source> = match self {
            Self::File(file) => append(file, &json).map_err(Into::into),
            Self::Url(url) => post_json(url, &json, POST_LIMIT).map_err(Into::into),
        };
        taken.map_err(|error| {
            CliError::new(Kind::NotAnchored, format!("the chain head was not anchored in {self}"))
                .source(error)
                .hint("the receipt itself is written; the same command anchors it when the cause is gone")
        })
    }
}

impl fmt::Display for Place {
    /// Without the credentials that a URL may have.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.write_str(&printable(&file.to_string_lossy())),
            Self::Url(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
                let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
                let end = rest.find(['?', '#']).unwrap_or(rest.len());
                f.write_str(&printable(&format!("{scheme}://{}", &rest[host..end])))
            }
        }
    }
}

/// Appends the line in one write and flushes it to the disk. Several runs may share the file.
fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let fresh = !path.exists();
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let regular = file.metadata()?.is_file();
    let mut bytes = Vec::new();
    // A file that may only be appended to cannot be looked at.
    if regular && torn(path).unwrap_or(false) {
        // Whoever wrote last died over it: our line must not become the end of theirs.
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line);
    file.write_all(&bytes)?;
    if !regular {
        // A pipe or a device keeps nothing that could be flushed.
        return Ok(());
    }
    file.sync_all()?;
    match path.parent().filter(|_| fresh) {
        // The new name is durable with its directory.
        Some(dir) => File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?.sync_all(),
        None => Ok(()),
    }
}

/// The file's last line has no end.
fn torn(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_url_by_its_scheme_alone() {
        for (given, place) in [
            ("http://x/y", Some(Place::Url("http://x/y".into()))),
            ("HTTPS://x", Some(Place::Url("HTTPS://x".into()))),
            ("log.jsonl", Some(Place::File("log.jsonl".into()))),
            ("http:/odd", Some(Place::File("http:/odd".into()))),
            ("ftp://x", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(Place::parse(given).ok(), place, "{given}");
        }
    }

    #[test]
    fn a_shown_url_has_no_credentials() {
        for (url, shown) in [
            ("https://ada:secret@log.example/a?token=secret#x", "https://log.example/a"),
            ("http://h", "http://h"),
            ("http://h/a@b", "http://h/a@b"),
            ("http://u@h?x@y", "http://h"),
        ] {
            assert_eq!(Place::Url(url.into()).to_string(), shown);
        }
    }
}
