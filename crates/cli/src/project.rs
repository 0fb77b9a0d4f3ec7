//! The project: its root, its sources on disk, and a run's snapshot of them.
//!
//! Owns finding the root, reading below it and never outside it, and what goes into a snapshot. Never evaluates.

use piton_core::ports::{SourceError, Sources};
use piton_core::{Digest, event::Runbook};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A source or script may have this many bytes.
const MAX_SOURCE_BYTES: u64 = 4 * 1024 * 1024;
/// Files beside a script that go into the snapshot with it.
const MAX_SNAPSHOT_FILES: usize = 1000;
/// Marks the root of a project whose runbooks are not all beside each other.
const MARKER: &str = "piton.toml";

/// One file of a snapshot: path below the root, bytes, executable.
pub(crate) type SourceFile = (String, Vec<u8>, bool);

/// The root of a runbook's project, and the runbook's path below it: the nearest directory upward with a
/// `piton.toml`, else the runbook's own.
pub(crate) fn locate(file: &Path) -> std::io::Result<(PathBuf, String)> {
    let file = file.canonicalize()?;
    let own = file.parent().unwrap_or(Path::new("/")).to_path_buf();
    let root = own.ancestors().find(|dir| dir.join(MARKER).is_file()).unwrap_or(&own).to_path_buf();
    let below = file.strip_prefix(&root).unwrap_or(&file);
    Ok((root.clone(), below.to_string_lossy().into_owned()))
}

/// The project's tree as it is on disk now, and the packs that come with this binary.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn resolve(&self, path: &str) -> Result<PathBuf, SourceError> {
        let outside = || SourceError::Outside { path: path.to_owned() };
        let plain = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain || path.is_empty() {
            return Err(outside());
        }
        let full = self.root.join(path);
        // Follows links, which may lead out.
        let real = full.canonicalize().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => SourceError::Missing { path: path.to_owned() },
            _ => SourceError::Unreadable { path: path.to_owned(), why: error.to_string() },
        })?;
        if real.starts_with(&self.root) { Ok(real) } else { Err(outside()) }
    }

    /// The file and whether it is executable.
    fn file(&self, path: &str) -> Result<SourceFile, SourceError> {
        if let Some(pack) = piton_lang::packs::source(path) {
            return Ok((path.to_owned(), pack.as_bytes().to_vec(), false));
        }
        let real = self.resolve(path)?;
        let unreadable =
            |error: std::io::Error| SourceError::Unreadable { path: path.to_owned(), why: error.to_string() };
        let meta = real.metadata().map_err(unreadable)?;
        if meta.len() > MAX_SOURCE_BYTES {
            return Err(SourceError::TooLarge { path: path.to_owned(), bytes: meta.len(), limit: MAX_SOURCE_BYTES });
        }
        let bytes = std::fs::read(&real).map_err(unreadable)?;
        Ok((path.to_owned(), bytes, meta.permissions().mode() & 0o111 != 0))
    }

    /// The sources, and each script with the files beside it: a script may read its neighbours.
    pub(crate) fn snapshot(&self, sources: &[String], scripts: &[String]) -> Result<Vec<SourceFile>, SourceError> {
        let mut files = BTreeMap::new();
        for path in sources.iter().chain(scripts) {
            files.insert(path.clone(), self.file(path)?);
        }
        for script in scripts {
            let Some((dir, _)) = script.rsplit_once('/') else { continue };
            for entry in std::fs::read_dir(self.root.join(dir)).into_iter().flatten().flatten() {
                let path = format!("{dir}/{}", entry.file_name().to_string_lossy());
                if files.len() < MAX_SNAPSHOT_FILES
                    && entry.file_type().is_ok_and(|kind| kind.is_file())
                    && let Ok(file) = self.file(&path)
                {
                    files.entry(path).or_insert(file);
                }
            }
        }
        Ok(files.into_values().collect())
    }
}

impl Sources for Tree {
    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        self.file(path).map(|(_, bytes, _)| bytes)
    }
}

/// A run's snapshot.
pub(crate) struct Snapshot {
    files: BTreeMap<String, Vec<u8>>,
}

impl Snapshot {
    pub(crate) fn new(files: &[SourceFile]) -> Self {
        Self { files: files.iter().map(|(path, bytes, _)| (path.clone(), bytes.clone())).collect() }
    }
}

impl Sources for Snapshot {
    fn read(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        self.files.get(path).cloned().ok_or_else(|| SourceError::Missing { path: path.to_owned() })
    }
}

/// What the journal says of the runbook.
pub(crate) fn describe(root: &Path, file: &str, title: &str, files: &[SourceFile]) -> Runbook {
    let sources: Vec<(String, Digest)> =
        files.iter().map(|(path, bytes, _)| (path.clone(), Digest::of_bytes(bytes))).collect();
    Runbook {
        root: root.to_string_lossy().into_owned(),
        file: file.to_owned(),
        title: title.to_owned(),
        digest: Digest::of_json(&sources),
        sources,
    }
}

/// Writes the snapshot below the run's directory, where scripts run from.
pub(crate) fn materialise(run_dir: &Path, files: &[SourceFile]) -> std::io::Result<()> {
    for (path, bytes, executable) in files {
        let target = run_dir.join("tree").join(path);
        if std::fs::read(&target).is_ok_and(|known| known == *bytes) {
            continue;
        }
        if let Some(dir) = target.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let aside = target.with_extension("piton-new");
        std::fs::write(&aside, bytes)?;
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(if *executable { 0o755 } else { 0o644 }))?;
        std::fs::rename(&aside, &target)?;
    }
    Ok(())
}
