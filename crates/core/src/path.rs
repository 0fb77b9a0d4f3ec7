//! A step's path: scope names and step name joined by `/`; a step's identity in a run across replays and resumes.
//!
//! Owns the escaping, so that two different lists of names never make one path, whatever characters people use.
//! Never looks at what a path stands for.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A path such as `Copy/ledger/Create table`. The empty path is the run itself.
///
/// `/`, `%` and control characters inside a name are written `%2F`, `%25`, `%0A`; everything else stands as it is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Arc<str>);

impl Default for Path {
    fn default() -> Self {
        Self::root()
    }
}

impl Path {
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// Takes text that is already escaped, as printed by us.
    pub fn from_escaped(text: &str) -> Self {
        Self(Arc::from(text))
    }

    pub fn child(&self, name: &str) -> Self {
        let mut text = String::with_capacity(self.0.len() + name.len() + 1);
        if !self.0.is_empty() {
            text.push_str(&self.0);
            text.push('/');
        }
        escape_into(&mut text, name);
        Self(Arc::from(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.rfind('/') {
            Some(at) => Self(Arc::from(&self.0[..at])),
            None => Self::root(),
        })
    }

    /// The last name as the author wrote it.
    pub fn name(&self) -> String {
        unescape(self.0.rsplit('/').next().unwrap_or_default())
    }

    /// The names from the outermost scope in, as the author wrote them.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.0.split('/').filter(|part| !part.is_empty()).map(unescape)
    }

    /// Number of names; the run itself has none.
    pub fn depth(&self) -> usize {
        if self.is_root() { 0 } else { 1 + self.0.bytes().filter(|b| *b == b'/').count() }
    }

    /// True for the scope itself and everything inside it.
    pub fn is_within(&self, scope: &Path) -> bool {
        scope.is_root()
            || self.0.as_ref() == scope.as_str()
            || (self.0.starts_with(scope.as_str()) && self.0.as_bytes().get(scope.0.len()) == Some(&b'/'))
    }
}

fn escape_into(out: &mut String, name: &str) {
    use fmt::Write as _;
    if name.is_empty() {
        // An empty name would vanish between slashes.
        out.push_str("%00");
    }
    for c in name.chars() {
        if c == '/' || c == '%' || c.is_control() {
            let mut bytes = [0u8; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
}

fn unescape(part: &str) -> String {
    if part == "%00" {
        return String::new();
    }
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl Serialize for Path {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self(Arc::from(text.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn within_means_the_scope_and_not_its_namesakes() {
        let copy = Path::root().child("Copy");
        assert!(copy.child("a").is_within(&copy));
        assert!(copy.is_within(&copy));
        assert!(copy.is_within(&Path::root()));
        assert!(!Path::root().child("Copy more").is_within(&copy));
        assert_eq!(copy.child("a").parent(), Some(copy.clone()));
        assert_eq!(copy.parent(), Some(Path::root()));
    }

    #[test]
    fn names_may_hold_slashes_newlines_and_emoji() {
        let path = Path::root().child("a/b").child("new\nline").child("50% 🧗").child("");
        assert_eq!(path.as_str(), "a%2Fb/new%0Aline/50%25 🧗/%00");
        assert_eq!(path.names().collect::<Vec<_>>(), ["a/b", "new\nline", "50% 🧗", ""]);
        assert_eq!(path.depth(), 4);
    }

    proptest! {
        #[test]
        fn different_names_never_make_one_path(a in prop::collection::vec(".{0,6}", 1..4), b in prop::collection::vec(".{0,6}", 1..4)) {
            let path = |names: &[String]| names.iter().fold(Path::root(), |p, n| p.child(n));
            prop_assume!(a.iter().chain(&b).all(|n| n != "\0"));
            prop_assert_eq!(a == b, path(&a) == path(&b));
            prop_assert_eq!(path(&a).names().collect::<Vec<_>>(), a);
        }
    }
}
