//! The register's table: its form, the statements that change it, and what its rows mean.
//!
//! One row for each epoch of a move, on the backend that is true until then (its source); after the commit the row is
//! copied to the target. Owns the SQL, so that whoever commits and whoever aborts do it the same way. Never runs it.

use serde::{Deserialize, Serialize};

use super::{Attempt, Decision, Truth};

/// The longest name of a move, a backend or a schema.
const NAME_CHARS: usize = 64;

/// How far an epoch's decision is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RegisterState {
    /// Under way: the next compare-and-set decides.
    Open,
    /// Given up; another attempt may be opened.
    Aborted,
    /// For ever.
    Committed,
}

/// One row.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct RegisterRow {
    /// Which move to another backend, from 1 on.
    pub epoch: u64,
    /// Which try at it, from 1 on.
    pub attempt: u64,
    /// Its decision.
    pub state: RegisterState,
    /// The backend that is true once it is committed.
    pub side: String,
}

/// Where a move's register is: the same schema and name on every backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterTable {
    schema: String,
    name: String,
}

impl RegisterTable {
    /// The register of the move `name` in `schema`; `None` when a name has other than letters, digits, `_` and `-`.
    #[must_use]
    pub fn new(schema: &str, name: &str) -> Option<Self> {
        (is_name(schema) && is_name(name)).then(|| Self { schema: schema.to_owned(), name: name.to_owned() })
    }

    /// Creates schema and table where they are missing.
    #[must_use]
    pub fn create(&self) -> [String; 2] {
        let Self { schema, .. } = self;
        [
            format!("CREATE DATABASE IF NOT EXISTS `{schema}`"),
            format!(
                "CREATE TABLE IF NOT EXISTS `{schema}`.`register` (`move` VARCHAR({NAME_CHARS}) NOT NULL, \
                 `epoch` BIGINT UNSIGNED NOT NULL, `attempt` BIGINT UNSIGNED NOT NULL, `state` VARCHAR(9) NOT NULL, \
                 `side` VARCHAR({NAME_CHARS}) NOT NULL, PRIMARY KEY (`move`, `epoch`)) ENGINE=InnoDB \
                 DEFAULT CHARACTER SET ascii COLLATE ascii_bin"
            ),
        ]
    }

    /// Begins an attempt, where none is open and the last was aborted. Look at the row afterwards.
    #[must_use]
    pub fn open(&self, epoch: u64, attempt: u64, side: &str) -> [String; 2] {
        let (table, name) = (self.table(), &self.name);
        [
            format!("INSERT IGNORE INTO {table} VALUES ('{name}', {epoch}, {attempt}, 'open', '{side}')"),
            format!(
                "UPDATE {table} SET `state` = 'open', `attempt` = {attempt}, `side` = '{side}' WHERE `move` = '{name}' \
                 AND `epoch` = {epoch} AND `state` = 'aborted' AND `attempt` < {attempt}"
            ),
        ]
    }

    /// Commits an attempt; one row affected, or it was not its to commit.
    #[must_use]
    pub fn commit(&self, epoch: u64, attempt: u64) -> String {
        format!(
            "UPDATE {} SET `state` = 'committed' WHERE `move` = '{}' AND `epoch` = {epoch} AND `attempt` = {attempt} \
             AND `state` = 'open'",
            self.table(),
            self.name
        )
    }

    /// Aborts an attempt, also one that was not begun yet: from then on it cannot begin. Look at the row afterwards.
    #[must_use]
    pub fn abort(&self, epoch: u64, attempt: u64) -> [String; 2] {
        let (table, name) = (self.table(), &self.name);
        [
            format!("INSERT IGNORE INTO {table} VALUES ('{name}', {epoch}, {attempt}, 'aborted', '')"),
            format!(
                "UPDATE {table} SET `state` = 'aborted', `attempt` = GREATEST(`attempt`, {attempt}) WHERE \
                 `move` = '{name}' AND `epoch` = {epoch} AND ((`state` = 'open' AND `attempt` <= {attempt}) \
                 OR (`state` = 'aborted' AND `attempt` < {attempt}))"
            ),
        ]
    }

    /// Writes a committed epoch to the target.
    #[must_use]
    pub fn copy(&self, row: &RegisterRow) -> String {
        format!(
            "INSERT IGNORE INTO {} VALUES ('{}', {}, {}, 'committed', '{}')",
            self.table(),
            self.name,
            row.epoch,
            row.attempt,
            row.side
        )
    }

    /// Reads all rows of the move.
    #[must_use]
    pub fn read(&self) -> String {
        format!(
            "SELECT `epoch`, `attempt`, `state`, `side` FROM {} WHERE `move` = '{}' ORDER BY `epoch`",
            self.table(),
            self.name
        )
    }

    fn table(&self) -> String {
        format!("`{}`.`register`", self.schema)
    }
}

/// Whether a name can stand in a statement as it is.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=NAME_CHARS).contains(&name.len()) && name.bytes().all(plain)
}

/// What the source's rows say of an attempt.
pub(crate) fn decided(rows: &[RegisterRow], attempt: &Attempt) -> Option<Decision> {
    let row = rows.iter().find(|row| row.epoch == attempt.epoch)?;
    match row.state {
        RegisterState::Committed => Some(Decision::Committed(row.side.clone())),
        // A later attempt exists only because this one was aborted.
        _ if row.attempt > attempt.number => Some(Decision::Aborted),
        RegisterState::Aborted if row.attempt == attempt.number => Some(Decision::Aborted),
        // Under way, or not begun yet.
        _ => None,
    }
}

/// What one backend's register says, or why it says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRead {
    /// The backend's name.
    pub backend: String,
    /// Its rows.
    pub rows: Result<Vec<RegisterRow>, String>,
}

/// Which backend is true: the highest committed epoch wins.
///
/// The first backend is true before any commit. Where a register cannot be read, the others suffice only if the backend that they name was read itself: the row of the
/// next epoch begins there, so that no later commit can be hidden.
///
/// # Errors
/// When what was read does not suffice, or contradicts itself.
pub fn truth(reads: &[RegisterRead]) -> Result<Truth, String> {
    let committed = |rows: &RegisterRow| rows.state == RegisterState::Committed;
    let all = || reads.iter().filter_map(|read| read.rows.as_ref().ok()).flatten();
    let highest = all().filter(|row| committed(row)).max_by_key(|row| row.epoch);
    let epoch = highest.map_or(0, |row| row.epoch);
    let side = highest.map(|row| row.side.clone());
    let first = reads.first().map_or("", |read| read.backend.as_str());
    let name = side.as_deref().unwrap_or(first);
    if let Some(other) = all().find(|row| committed(row) && row.epoch == epoch && row.side != name) {
        return Err(format!("the registers disagree on epoch {epoch}: {name} or {}", other.side));
    }
    let own = reads.iter().find(|read| read.backend == name);
    let own = own.ok_or_else(|| format!("epoch {epoch} is committed to {name}, which is no backend here"))?;
    let own = own.rows.as_ref().map_err(|why| format!("{name} may be true, but cannot be asked: {why}"))?;
    let open = own.iter().find(|row| row.epoch > epoch && row.state == RegisterState::Open);
    let open = open.map(|row| Attempt { epoch: row.epoch, number: row.attempt, source: name.to_owned() });
    Ok(Truth { epoch, side, open })
}

#[cfg(test)]
mod tests {
    use super::*;
    use RegisterState::{Aborted, Committed, Open};

    /// What backends say: rows, or nothing from one that does not answer.
    fn truth(reads: &[(&str, Option<&[RegisterRow]>)]) -> Result<Truth, String> {
        let read = |(name, rows): &(&str, Option<&[RegisterRow]>)| RegisterRead {
            backend: (*name).to_owned(),
            rows: rows.map(<[_]>::to_vec).ok_or_else(|| "gone".to_owned()),
        };
        super::truth(&reads.iter().map(read).collect::<Vec<_>>())
    }

    fn row(epoch: u64, attempt: u64, state: RegisterState, side: &str) -> RegisterRow {
        RegisterRow { epoch, attempt, state, side: side.to_owned() }
    }

    fn attempt(number: u64) -> Attempt {
        Attempt { epoch: 1, number, source: "old".to_owned() }
    }

    #[test]
    fn an_attempt_is_told_from_those_before_and_after_it() {
        let committed = Some(Decision::Committed("new".to_owned()));
        assert_eq!(decided(&[], &attempt(1)), None);
        assert_eq!(decided(&[row(1, 2, Open, "new")], &attempt(2)), None);
        assert_eq!(decided(&[row(1, 1, Aborted, "new")], &attempt(2)), None, "the one before says nothing of this one");
        assert_eq!(decided(&[row(1, 2, Aborted, "new")], &attempt(2)), Some(Decision::Aborted));
        assert_eq!(decided(&[row(1, 3, Open, "new")], &attempt(2)), Some(Decision::Aborted));
        assert_eq!(decided(&[row(1, 3, Committed, "new")], &attempt(2)), committed);
        assert_eq!(decided(&[row(2, 2, Committed, "old")], &attempt(2)), None);
    }

    #[test]
    fn the_highest_committed_epoch_wins_wherever_it_stands() {
        let first = [row(1, 2, Committed, "new")];
        let both = [row(1, 2, Committed, "new"), row(2, 1, Committed, "old")];
        let is = |reads: &[(&str, Option<&[RegisterRow]>)]| truth(reads).map(|truth| (truth.epoch, truth.side));
        assert_eq!(is(&[("old", Some(&[])), ("new", Some(&[]))]), Ok((0, None)));
        assert_eq!(is(&[("old", Some(&first)), ("new", Some(&[]))]), Ok((1, Some("new".to_owned()))));
        assert_eq!(is(&[("old", Some(&first)), ("new", Some(&both))]), Ok((2, Some("old".to_owned()))));
        let other = [row(1, 2, Committed, "old")];
        assert!(is(&[("old", Some(&first)), ("new", Some(&other))]).unwrap_err().contains("disagree"));
    }

    #[test]
    fn what_cannot_be_read_is_missed_only_where_it_could_hide_a_commit() {
        let first = [row(1, 1, Committed, "new")];
        // The old server is gone for good; the new one says itself that it is true.
        assert_eq!(truth(&[("old", None), ("new", Some(&first))]).map(|truth| truth.epoch), Ok(1));
        // Nothing was committed as far as the old one knows, and it would know.
        assert_eq!(truth(&[("old", Some(&[])), ("new", None)]).map(|truth| truth.epoch), Ok(0));
        // The commit may stand where nobody can read it.
        assert!(truth(&[("old", None), ("new", Some(&[]))]).is_err());
        // The way back may have been committed on the new one.
        assert!(truth(&[("old", Some(&first)), ("new", None)]).is_err());
        assert!(truth(&[("old", Some(&[row(1, 1, Committed, "elsewhere")]))]).unwrap_err().contains("no backend here"));
    }

    #[test]
    fn an_attempt_is_open_only_in_the_register_of_its_source() {
        let old = [row(1, 1, Committed, "new")];
        let new = [row(1, 1, Committed, "new"), row(2, 4, Open, "old")];
        let open = truth(&[("old", Some(&old)), ("new", Some(&new))]).unwrap().open.unwrap();
        assert_eq!((open.epoch, open.number, open.source.as_str()), (2, 4, "new"));
        let left = [row(1, 1, Open, "new")];
        assert_eq!(truth(&[("old", Some(&left)), ("new", Some(&old))]).unwrap().open, None);
    }

    #[test]
    fn names_that_would_not_stand_in_a_statement_are_refused() {
        assert!(RegisterTable::new("piton", "shop-2").is_some());
        for name in ["", "a b", "a'", "a`", &"x".repeat(65)] {
            assert!(
                RegisterTable::new("piton", name).is_none() && RegisterTable::new(name, "shop").is_none(),
                "{name}"
            );
        }
    }
}
