//! The directory a store lives in: `.piton/` of a project, or `$PITON_HOME`.
//!
//! Owns its layout, its permissions, and the refusal of network file systems, where neither locks nor shared memory
//! can be relied on. Never opens the database: closing a second descriptor of it would drop SQLite's locks (POSIX
//! record locks belong to the process).
//!
//! ```text
//! .gitignore          *
//! journal.db          the journals of all runs, with -wal and -shm while open
//! open.lock           held while a database is created or migrated
//! turn.lock           so that writers of several processes take turns
//! waker.lock          held by the store's waker, with waker.bell, which tells it to look
//! key  signing.key    32 random bytes each
//! runs/ID/            a run's own files: lease.lock, lease.held, side.log, side.room, attempts and outputs
//! ```

use crate::error::{from_io, refused};
use piton_core::RunId;
use piton_core::ports::{StoreError, StoreErrorKind};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub(crate) struct Home {
    path: PathBuf,
}

impl Home {
    /// Makes the directory if need be, and refuses one where a journal would not be safe.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        make_dir(path).map_err(|error| from_io("create the store's directory", path, error))?;
        let path = path.canonicalize().map_err(|error| from_io("open the store's directory", path, error))?;
        refuse_network(&path)?;
        let home = Self { path };
        home.write_gitignore().map_err(|error| from_io("write to the store's directory", &home.path, error))?;
        let runs = home.path.join("runs");
        make_dir(&runs).map_err(|error| from_io("create the directory", &runs, error))?;
        Ok(home)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    pub(crate) fn run_dir(&self, run: &RunId) -> PathBuf {
        self.path.join("runs").join(run.as_str())
    }

    /// The run's directory, made if it is missing (a store restored from a copy of the database alone).
    pub(crate) fn make_run_dir(&self, run: &RunId) -> Result<PathBuf, StoreError> {
        let dir = self.run_dir(run);
        make_dir(&dir).map_err(|error| from_io("create the run's directory", &dir, error))?;
        Ok(dir)
    }

    /// Whether any run has a directory here.
    pub(crate) fn has_runs(&self) -> bool {
        self.path.join("runs").read_dir().is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Keeps the store, with outputs and keys, out of the project's repository.
    fn write_gitignore(&self) -> io::Result<()> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path.join(".gitignore")) {
            Ok(mut file) => file.write_all(b"*\n"),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Makes a directory, and those above it, for this user alone; durably. One that exists stays as it is.
fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    // The parent of a bare relative name is the empty path.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

fn refuse_network(path: &Path) -> Result<(), StoreError> {
    let doing = "look at the file system of";
    let stat = rustix::fs::statfs(path).map_err(|errno| from_io(doing, path, errno.into()))?;
    let device = path.metadata().map_err(|error| from_io(doing, path, error))?.dev();
    // The magic is 32 bits, sign-extended on some systems.
    match network(stat.f_type as u32, || mounted_type(device)) {
        None => Ok(()),
        Some(name) => Err(refused(
            StoreErrorKind::Unavailable,
            format!(
                "the store's directory {} is on a network file system ({name}), where file locks and shared memory \
                 cannot be trusted: set PITON_HOME to a directory on a local disk",
                path.display()
            ),
        )),
    }
}

/// `f_type` of statfs(2) for file systems that several machines may write, or whose locks end at this machine's door.
const NETWORK: &[(u32, &str)] = &[
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564c, "NCP"),
    (0x00c3_6400, "CephFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0xaad7_aaea, "PanFS"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x786f_4256, "VirtualBox shared folder"),
    (0xbacb_acbc, "VMware shared folder"),
];

const FUSE: u32 = 0x6573_5546;

/// FUSE file systems that are a disk of this machine, or a host's directory given to its only guest.
const LOCAL_FUSE: &[&str] = &["fuseblk", "virtiofs", "fuse.ntfs-3g", "fuse.fuse-overlayfs"];

/// Name of the network file system, if it is one. FUSE hides both kinds behind one number, so its mounted type tells;
/// an unknown one is taken as remote, like sshfs.
fn network(magic: u32, mounted_type: impl Fn() -> Option<String>) -> Option<String> {
    if magic == FUSE {
        let name = mounted_type().unwrap_or_else(|| "FUSE".to_owned());
        return (!LOCAL_FUSE.contains(&name.as_str())).then_some(name);
    }
    NETWORK.iter().find(|(known, _)| *known == magic).map(|(_, name)| (*name).to_owned())
}

/// File system type of the mount with this device number, from proc_pid_mountinfo(5).
fn mounted_type(device: u64) -> Option<String> {
    let wanted = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (before.split(' ').nth(2)? == wanted).then(|| after.split(' ').next().unwrap_or_default().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn network_file_systems_are_told_from_local_ones() {
        for (magic, mounted, refused) in [
            (0x6969, "", true),
            (0xff53_4d42, "", true),
            (0x0102_1997, "", true),
            (FUSE, "fuse.sshfs", true),
            (FUSE, "fuse.s3fs", true),
            (FUSE, "fuseblk", false),
            (FUSE, "virtiofs", false),
            (0xef53, "ext4", false),
            (0x5846_5342, "xfs", false),
            (0x0102_1994, "tmpfs", false),
            (0x794c_7630, "overlay", false),
            (0x9123_683e, "btrfs", false),
        ] {
            assert_eq!(network(magic, || Some(mounted.to_owned())).is_some(), refused, "{magic:x} {mounted}");
        }
        assert_eq!(network(FUSE, || None), Some("FUSE".to_owned()));
    }

    #[test]
    fn a_home_is_private_and_stays_out_of_repositories() {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::open(&temp.path().join("a/b/.piton")).unwrap();
        for dir in [home.path().to_owned(), home.path().join("runs")] {
            assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert_eq!(std::fs::read_to_string(home.path().join(".gitignore")).unwrap(), "*\n");
        assert!(mounted_type(home.path().metadata().unwrap().dev()).is_some());
    }

    #[test]
    fn a_directory_that_cannot_be_is_said_plainly() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Home::open(&file.join(".piton")).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unavailable);
        assert!(error.message.contains("part of its path is a file"), "{error}");
        assert_eq!(Home::open(&file).unwrap_err().kind, StoreErrorKind::Unavailable);
    }
}
