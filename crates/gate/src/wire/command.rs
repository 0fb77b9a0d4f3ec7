//! The commands of the protocol, and what kind of answer each has.

pub(crate) const QUIT: u8 = 0x01;
pub(crate) const INIT_DB: u8 = 0x02;
pub(crate) const QUERY: u8 = 0x03;
pub(crate) const FIELD_LIST: u8 = 0x04;
pub(crate) const CREATE_DB: u8 = 0x05;
pub(crate) const DROP_DB: u8 = 0x06;
pub(crate) const REFRESH: u8 = 0x07;
pub(crate) const STATISTICS: u8 = 0x09;
pub(crate) const PROCESS_KILL: u8 = 0x0c;
pub(crate) const PING: u8 = 0x0e;
pub(crate) const CHANGE_USER: u8 = 0x11;
pub(crate) const STMT_PREPARE: u8 = 0x16;
pub(crate) const STMT_EXECUTE: u8 = 0x17;
pub(crate) const STMT_SEND_LONG_DATA: u8 = 0x18;
pub(crate) const STMT_CLOSE: u8 = 0x19;
pub(crate) const STMT_RESET: u8 = 0x1a;
pub(crate) const SET_OPTION: u8 = 0x1b;
pub(crate) const STMT_FETCH: u8 = 0x1c;
pub(crate) const RESET_CONNECTION: u8 = 0x1f;

/// The shape of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// OK, an error or result sets.
    Results,
    /// The head of a prepared statement with its parameters and columns.
    Prepared,
    /// Rows of a cursor.
    Rows,
    /// Column definitions.
    Columns,
    /// One packet of text.
    Text,
    /// None at all.
    Nothing,
}

/// How a command is answered; `None` for those that the gate refuses.
pub(crate) fn answer(command: u8) -> Option<Answer> {
    Some(match command {
        QUERY | STMT_EXECUTE | INIT_DB | CREATE_DB | DROP_DB | REFRESH | PROCESS_KILL | STMT_RESET | SET_OPTION
        | RESET_CONNECTION => Answer::Results,
        STMT_PREPARE => Answer::Prepared,
        STMT_FETCH => Answer::Rows,
        FIELD_LIST => Answer::Columns,
        STATISTICS => Answer::Text,
        STMT_CLOSE | STMT_SEND_LONG_DATA => Answer::Nothing,
        _ => return None,
    })
}
