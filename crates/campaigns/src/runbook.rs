//! Runbooks that anyone may have written.
//!
//! Owns what must hold of any text: it is loaded or refused with a diagnostic, within the bounds, and what was loaded can
//! be documented and copied for planning. Its `main` is not run here: the bounds of running have tests of their own.

use piton_core::ports::{SourceError, Sources};
use piton_lang::Runbook;
use std::collections::BTreeMap;
use std::sync::Arc;

struct Files(BTreeMap<String, Vec<u8>>);

impl Sources for Files {
    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        self.0.get(path).cloned().ok_or_else(|| SourceError::Missing { path: path.to_owned() })
    }
}

/// `main.star`, and further files behind lines `### path`.
fn files(bytes: &[u8]) -> Files {
    let mut files = BTreeMap::new();
    let mut path = "main.star".to_owned();
    let mut lines: Vec<&[u8]> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').chain([&b"### end"[..]]) {
        match line.strip_prefix(b"### ") {
            Some(next) => {
                let next = String::from_utf8_lossy(next).into_owned();
                files.insert(std::mem::replace(&mut path, next), lines.join(&b'\n'));
                lines.clear();
            }
            None => lines.push(line),
        }
    }
    Files(files)
}

pub fn runbook(bytes: &[u8]) {
    match Runbook::load(Arc::new(files(bytes)), "main.star") {
        Ok(runbook) => {
            let _ = (runbook.docs_markdown(), runbook.scripts(), runbook.has_windows(), runbook.warnings());
            for text in ["", "1", "true", "[1]", "{\"a\": 1}", "90s"] {
                for param in &runbook.interface().params {
                    let _ = runbook.parse_param(&param.name, text);
                }
            }
            if let Err(diagnostics) = runbook.planning() {
                sound(&diagnostics, "a runbook that loads can be planned");
            }
        }
        Err(diagnostics) => sound(&diagnostics, "a refusal says why"),
    }
}

/// A panic on the loading thread, or one caught by the language, is told as our bug: here it is one.
fn sound(diagnostics: &piton_lang::Diagnostics, what: &str) {
    let said = diagnostics.to_string();
    assert!(!said.trim().is_empty(), "{what}");
    assert!(!said.contains("a bug in Piton"), "{said}");
}
