//! Capability and status flags, and which of them the gate may offer.

pub(crate) const LONG_PASSWORD: u32 = 1;
pub(crate) const CONNECT_WITH_DB: u32 = 1 << 3;
pub(crate) const PROTOCOL_41: u32 = 1 << 9;
pub(crate) const SSL: u32 = 1 << 11;
pub(crate) const SECURE_CONNECTION: u32 = 1 << 15;
pub(crate) const MULTI_STATEMENTS: u32 = 1 << 16;
pub(crate) const PLUGIN_AUTH: u32 = 1 << 19;
pub(crate) const CONNECT_ATTRS: u32 = 1 << 20;
pub(crate) const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
pub(crate) const SESSION_TRACK: u32 = 1 << 23;
pub(crate) const DEPRECATE_EOF: u32 = 1 << 24;

const FOUND_ROWS: u32 = 1 << 1;
const LONG_FLAG: u32 = 1 << 2;
const IGNORE_SPACE: u32 = 1 << 8;
const INTERACTIVE: u32 = 1 << 10;
const TRANSACTIONS: u32 = 1 << 13;
const RESERVED: u32 = 1 << 14;
const MULTI_RESULTS: u32 = 1 << 17;
pub(crate) const PS_MULTI_RESULTS: u32 = 1 << 18;

/// All that the gate understands. Left out, because bytes would no longer be what they look like or a boundary could not
/// be told: compression, LOCAL INFILE, query attributes, optional metadata, and MariaDB's own (bulk, metadata caching),
/// which exist only without `LONG_PASSWORD`.
pub(crate) const OFFERABLE: u32 = LONG_PASSWORD
    | FOUND_ROWS
    | LONG_FLAG
    | CONNECT_WITH_DB
    | IGNORE_SPACE
    | PROTOCOL_41
    | INTERACTIVE
    | TRANSACTIONS
    | RESERVED
    | SECURE_CONNECTION
    | MULTI_STATEMENTS
    | MULTI_RESULTS
    | PS_MULTI_RESULTS
    | PLUGIN_AUTH
    | CONNECT_ATTRS
    | PLUGIN_AUTH_LENENC
    | SESSION_TRACK
    | DEPRECATE_EOF;

/// What a client must have to be understood.
pub(crate) const NEEDED: u32 = PROTOCOL_41 | SECURE_CONNECTION;

pub(crate) mod status {
    pub(crate) const IN_TRANSACTION: u16 = 1;
    pub(crate) const AUTOCOMMIT: u16 = 1 << 1;
    pub(crate) const MORE_RESULTS: u16 = 1 << 3;
    pub(crate) const CURSOR_EXISTS: u16 = 1 << 6;
    pub(crate) const LAST_ROW_SENT: u16 = 1 << 7;
    pub(crate) const SESSION_STATE_CHANGED: u16 = 1 << 14;
}
