//! What a move is told: two servers, tables, and bounds.
//!
//! Owns the names and their defaults, each with its unit and reason. Never reads an environment or a file.

/// A table by schema and name; the same on both servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

impl TableName {
    #[must_use]
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    pub(crate) fn quoted(&self) -> String {
        format!("{}.{}", crate::row::named(&self.schema), crate::row::named(&self.name))
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.schema, self.name)
    }
}

/// A move. Its name identifies it on both servers: the same name goes on where the last mover of that name stopped.
#[derive(Clone)]
pub struct Config {
    /// At most 64 characters.
    pub name: String,
    /// `mysql://user:password@host:port/`
    pub source: String,
    pub target: String,
    /// Replicas of the source whose lag pauses copying; may be empty.
    pub replicas: Vec<String>,
    /// They exist on both sides with the same columns; the target's are empty when the move begins.
    pub tables: Vec<TableName>,
    /// The mover's identity in the source's list of replicas: unlike every other server's.
    pub server_id: u32,
    /// Which direction this is: grows with every switch. A feed of an older epoch cannot commit (I9).
    pub epoch: u64,
    pub limits: Limits,
}

impl std::fmt::Debug for Config {
    /// Without the addresses, which hold passwords.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, tables, server_id, epoch, limits, .. } = self;
        formatter
            .debug_struct("Config")
            .field("name", name)
            .field("tables", tables)
            .field("server_id", server_id)
            .field("epoch", epoch)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

/// Bounds of memory and work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections that apply changes.
    pub lanes: u32,
    /// Connections that write chunks; so many chunks stand between one pair of watermarks.
    pub copiers: u32,
    /// Bytes of rows in a chunk, roughly: the next chunk's rows are counted by the size of the last one's.
    pub chunk_bytes: usize,
    /// Rows in a chunk at most, however small they are: bounds how long its SELECT runs.
    pub chunk_rows: usize,
    /// Chunks that may be read before the copy stands still until [`crate::Mover::allow_chunks`] lets it go on.
    pub chunks: u64,
    /// Bytes of decoded changes that wait to be applied, over all lanes.
    pub queue_bytes: usize,
    /// A transaction of more is applied in parts of this size, inside one transaction of the target.
    pub part_bytes: usize,
    /// A transaction of more bytes is committed in several on the target, each with its checkpoint. `None`: as many as
    /// the target takes, which is all of them except on TiDB.
    pub split_bytes: Option<usize>,
    /// Bytes of a statement; below the target's `max_allowed_packet`.
    pub statement_bytes: usize,
    /// Copying pauses while more threads than this run on the source.
    pub threads_running: u64,
    /// Copying pauses while a replica of the source is this far behind, where the source can tell.
    pub replica_lag_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lanes: 8,
            copiers: 4,
            chunk_bytes: 2 << 20,
            chunk_rows: 20_000,
            chunks: u64::MAX,
            queue_bytes: 32 << 20,
            part_bytes: 2 << 20,
            split_bytes: None,
            statement_bytes: 1 << 20,
            threads_running: 64,
            replica_lag_s: 30,
        }
    }
}
