//! The source: reading its rows and its log, and writing two kinds of rows to it, watermarks and nothing else.

pub(crate) mod bytes;
pub(crate) mod heartbeat;
pub(crate) mod log;
pub(crate) mod rows;
pub(crate) mod statement;
pub(crate) mod table_map;
pub(crate) mod temporal;
pub(crate) mod value;
