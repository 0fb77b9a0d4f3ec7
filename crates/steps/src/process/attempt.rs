//! The directory in which an attempt leaves its traces: claim, lock, outputs, exit record.
//!
//! Owns the names and what each file proves. Never starts or ends a process.
//!
//! - `claim`, made with O_EXCL right before exec, by the supervisor, or by a recovering engine that thereby forbids the
//!   command to begin: exactly one wins. Its first line says who; a supervisor adds the command's identity.
//! - The lock is a flock on the directory itself, held by the supervisor from before the claim until after the record:
//!   whoever finds the claim made and the lock free knows that the supervisor is gone.
//! - `out`, `err`: masked output; absent while empty.
//! - `exit`: the record, renamed into place.
//!
//! Why the claim needs no fsync: the directory's name ends with the boot in which it was made, and the journal makes
//! that name durable before the command may begin. Within that boot the kernel shows the claim to everyone, synced or
//! not. After another boot its absence proves nothing, and nobody concludes from it.

use super::record::Record;
use crate::linux::{self, Identity};
use piton_core::Digest;
use piton_core::ports::{AttemptContext, Purpose};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Directory of all attempts, below the run's.
const ATTEMPTS: &str = "attempts";

/// The environment variable by which everything of an attempt is found again.
pub(super) const MARKER: &str = "PITON_ATTEMPT_MARK";

/// Characters of the boot id in a directory's name.
const BOOT_CHARS: usize = 8;

/// Directories tried for an attempt that may be made again under the same number.
const MAX_SAME_NUMBER: u32 = 1_000_000;

#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Absolute.
    pub(super) dir: PathBuf,
    /// Below the run's directory, as journaled.
    pub(super) handle: String,
    /// The same for every process of the attempt, and for no other attempt of this run.
    pub(super) id: String,
}

/// Who made the claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub(super) enum Claim {
    Supervisor {
        process: Identity,
        boot: String,
    },
    /// A recovering engine: the command never begins.
    Engine {
        process: Identity,
    },
}

/// A claim as found.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    /// `None`: whoever made it has not written it, or not yet.
    pub(super) claim: Option<Claim>,
    pub(super) command: Option<Identity>,
}

impl Attempt {
    fn new(context: &AttemptContext, name: &str) -> Self {
        let handle = format!("{ATTEMPTS}/{name}");
        Self { dir: context.run_dir.join(&handle), id: format!("{}-{name}", context.run), handle }
    }

    /// The attempt behind a journaled handle. `None`: the handle is none of ours.
    pub(super) fn of_handle(context: &AttemptContext, handle: &str) -> Option<Self> {
        let name = handle.strip_prefix(ATTEMPTS)?.strip_prefix('/')?;
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        (plain && !name.is_empty() && !name.starts_with('.')).then(|| Self::new(context, name))
    }

    /// The attempt as the present boot names it.
    pub(super) fn current(context: &AttemptContext) -> io::Result<Self> {
        Ok(Self::new(context, &name(context, linux::boot_id()?)))
    }

    /// Makes the directory. `again`: nothing was journaled of an earlier one with this number (a read), so another
    /// directory is made beside it.
    pub(super) fn create(context: &AttemptContext, again: bool) -> io::Result<Self> {
        let first = Self::current(context)?;
        let make = |dir: &Path| DirBuilder::new().mode(0o700).create(dir);
        let made = match make(&first.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).recursive(true).create(context.run_dir.join(ATTEMPTS))?;
                make(&first.dir)
            }
            other => other,
        };
        match made {
            Ok(()) => return Ok(first),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) if again => {}
            // An engine died before it journaled the start: nobody has claimed it, so it is as good as new.
            Err(_) if !first.claimed_by_anyone()? => return Ok(first),
            Err(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("{} was begun before, yet the journal does not know of it", first.dir.display()),
                ));
            }
        }
        let base = name(context, linux::boot_id()?);
        for number in 2..MAX_SAME_NUMBER {
            let next = Self::new(context, &format!("{base}.{number}"));
            match make(&next.dir) {
                Ok(()) => return Ok(next),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many directories of one attempt"))
    }

    /// Value of `MARKER` in the environment of everything it starts. Beside the id it names the directory itself, by
    /// device and inode rather than by a path that may be written in two ways: a copy of a run, with the same ids, must
    /// never end the original's commands.
    pub(super) fn mark(&self) -> io::Result<String> {
        let dir = fs::metadata(&self.dir)?;
        Ok(format!("{}@{:x}:{:x}", self.id, dir.dev(), dir.ino()))
    }

    /// True where the directory was made in the boot that runs now.
    pub(super) fn is_of_this_boot(&self) -> io::Result<bool> {
        let name = self.handle.split('.').next().unwrap_or_default();
        Ok(name.rsplit('-').next() == Some(boot_mark(linux::boot_id()?)))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes the claim; `None`: someone else has it.
    pub(super) fn claim(&self, claim: &Claim) -> io::Result<Option<File>> {
        let opened = OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.file("claim"));
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut line = serde_json::to_vec(claim)?;
        line.push(b'\n');
        file.write_all(&line)?;
        Ok(Some(file))
    }

    pub(super) fn claimed_by_anyone(&self) -> io::Result<bool> {
        self.file("claim").try_exists()
    }

    /// `None`: nobody has claimed it.
    pub(super) fn claimed(&self) -> io::Result<Option<Claimed>> {
        let text = match fs::read_to_string(self.file("claim")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // A line without its end was cut by the writer's death.
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let claim = lines.next().and_then(|line| serde_json::from_str(line).ok());
        let command = lines.next().and_then(|line| serde_json::from_str(line).ok());
        Ok(Some(Claimed { claim, command }))
    }

    /// The exit record; `None`: there is none, or it was cut by a machine's death and says nothing.
    pub(super) fn record(&self) -> io::Result<Option<Record>> {
        match fs::read(self.file("exit")) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts the record in place. Not durable against the machine's death before `sync`: while an engine lives, its
    /// journal makes the result durable.
    pub(super) fn write_record(&self, record: &Record) -> io::Result<()> {
        let new = self.file("exit.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        drop(file);
        fs::rename(&new, self.file("exit"))
    }

    /// Makes outputs durable, then the record that speaks of them, then their names.
    pub(super) fn sync(&self) -> io::Result<()> {
        for name in ["out", "err", "exit"] {
            match File::open(self.file(name)) {
                Ok(file) => file.sync_data()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        File::open(&self.dir)?.sync_all()
    }
}

fn boot_mark(boot_id: &str) -> &str {
    boot_id.get(..BOOT_CHARS).unwrap_or(boot_id)
}

fn name(context: &AttemptContext, boot_id: &str) -> String {
    let letter = match context.purpose {
        Purpose::Act => 'a',
        Purpose::Undo => 'u',
        Purpose::Look => 'l',
    };
    let path = Digest::of_bytes(context.path.as_str().as_bytes()).short();
    format!("{path}-g{}-{letter}{}-{}", context.generation, context.attempt, boot_mark(boot_id))
}
