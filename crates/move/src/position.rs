//! A place in the source's log: a file and an offset in it.
//!
//! Owns their order. MariaDB's GTIDs are not used: they order by domain, and `file` and `offset` are exact on one
//! server. They mean nothing on another server, so the mover halts when the server's identity changes.

/// The end of an event. Ordered by file number, then offset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// As the server names it: `binlog.000012`.
    pub file: String,
    pub offset: u64,
}

impl Position {
    #[must_use]
    pub fn new(file: impl Into<String>, offset: u64) -> Self {
        Self { file: file.into(), offset }
    }

    /// The number that ends the file's name. It may outgrow its six digits, so names do not compare as text.
    fn number(&self) -> u64 {
        self.file.rsplit('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.number(), self.offset, &self.file).cmp(&(other.number(), other.offset, &other.file))
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.file, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_order_by_the_number_of_the_file() {
        let of = |file: &str, offset| Position::new(file, offset);
        assert!(of("binlog.999999", 4000) < of("binlog.1000000", 4));
        assert!(of("binlog.000002", 4) > of("binlog.000001", 900));
        assert!(of("binlog.000002", 5) > of("binlog.000002", 4));
    }
}
