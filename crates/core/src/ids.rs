//! Names of runs, engines and people.
//!
//! Owns the newtypes. Never makes a random id: who runs an engine hands the randomness in.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A run's id: ten characters of Crockford's base 32, lower case. Any unique prefix names the run.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const RUN_ID_LEN: usize = 10;

impl RunId {
    /// Makes an id from 50 of the given random bits.
    pub fn from_random(bits: u64) -> Self {
        let id = (0..RUN_ID_LEN).map(|i| char::from(ALPHABET[(bits >> (5 * i)) as usize & 31])).collect();
        Self(id)
    }

    /// Reads a whole id as stored; `None` where it could not be one (it becomes part of file names).
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == RUN_ID_LEN && text.bytes().all(|b| ALPHABET.contains(&b));
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first characters, as shown to people.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(4)]
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who did something. `name` is a claim (`--as`, else the login name); `uid` is what the operating system says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub name: String,
    pub uid: u32,
    pub host: String,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (uid {} on {})", self.name, self.uid, self.host)
    }
}

/// One life of an engine: which process on which boot of which machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineId {
    pub host: String,
    pub boot_id: String,
    pub pid: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_reads_back_and_a_file_name_trick_does_not() {
        let id = RunId::from_random(0x0123_4567_89ab_cdef);
        assert_eq!(RunId::parse(id.as_str()), Some(id));
        for bad in ["", "../../etc/", "short", "UPPERCASE1", "toolongtoolong"] {
            assert_eq!(RunId::parse(bad), None, "{bad}");
        }
    }
}
