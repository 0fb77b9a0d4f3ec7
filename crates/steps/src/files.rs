//! `write_file`, `read_file`, and `restore_file`, which takes a `write_file` back.
//!
//! Owns the atomic replacement: temporary file beside the target, flushed, renamed, directory flushed. A reader sees
//! the old file or the new one, never a part. Never follows a symlink away: it writes through to the real file.
//!
//! Taking back: `inverse()` hard-links the former file to a hidden name beside it, which costs nothing and keeps its
//! owner, mode and times. The name carries a digest of the content, so that a restore which finds no backup can tell
//! "restored before" (the file has that content) from "somebody took the backup away" (it has not).

use crate::stop::Stop;
use crate::vault::Vault;
use piton_core::Action;
use piton_core::action::WriteFile;
use piton_core::digest::Digest;
use piton_core::event::Handle;
use piton_core::outcome::{Failure, FailureKind, MAX_INLINE_BYTES, Outcome};
use piton_core::ports::{ActionFailed, AttemptContext, Cancel, Prepared};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Symlinks followed to the real file; the kernel's own limit.
const MAX_LINKS: usize = 40;
const PLAIN_MODE: u32 = 0o644;
const SECRET_MODE: u32 = 0o600;
const PERMISSION_BITS: u32 = 0o7777;
/// Hexadecimal digits of the content's digest in a backup's name.
const DIGEST_DIGITS: usize = 24;

fn failure(path: &str, what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Action, format!("{path} cannot be {what}: {error}"))
}

/// The file that a path means in the end; it need not exist.
fn real_file(root: &Path, path: &str) -> io::Result<PathBuf> {
    let mut real = root.join(path);
    for _ in 0..MAX_LINKS {
        match fs::read_link(&real) {
            Ok(target) => real = real.parent().unwrap_or(root).join(target),
            // Not a link, or not there.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => return Ok(real),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// A hidden name beside the file, of this attempt alone.
fn beside(real: &Path, id: &str, what: &str) -> PathBuf {
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // 255 bytes are a name's limit; a clipped name is still this attempt's alone.
    let name = crate::text::clip(&name, 150);
    real.with_file_name(format!(".{name}.piton-{id}{what}"))
}

fn id(context: &AttemptContext) -> String {
    let AttemptContext { run, path, generation, attempt, .. } = context;
    Digest::of_json(&(run, path, generation, attempt, format!("{:?}", context.purpose))).short()
}

fn flush_directory(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
}

pub(crate) struct WriteReady {
    write: WriteFile,
    text: String,
    real: PathBuf,
    id: String,
    /// What `inverse` has kept.
    backup: Option<PathBuf>,
}

impl WriteReady {
    pub(crate) fn prepare(write: &WriteFile, context: &AttemptContext, vault: &Vault) -> Result<Self, Failure> {
        let text = vault.open_text(&write.text)?;
        let refused = |error: io::Error| failure(&write.path, "written", error);
        let real = real_file(&context.root, &write.path).map_err(refused)?;
        match fs::metadata(&real) {
            Ok(there) if !there.is_file() => {
                return Err(failure(&write.path, "written", "it is there and is not a regular file"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = real.parent().unwrap_or(Path::new("/"));
                if !folder.is_dir() {
                    return Err(failure(&write.path, "written", format!("{} is not a directory", folder.display()))
                        .hint("make the directory in a step of its own"));
                }
            }
            Err(error) => return Err(refused(error)),
        }
        Ok(Self { write: write.clone(), text, real, id: id(context), backup: None })
    }

    fn mode(&self, former: Option<&fs::Metadata>) -> u32 {
        let default = if self.write.text.as_plain().is_some() { PLAIN_MODE } else { SECRET_MODE };
        self.write.mode.or(former.map(|former| former.mode())).unwrap_or(default) & PERMISSION_BITS
    }

    /// Writes the whole of it beside the file, durably. Nothing of this is seen under the file's name.
    fn write_beside(&self, temporary: &Path) -> io::Result<()> {
        let former = fs::metadata(&self.real).ok();
        match fs::remove_file(temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Nobody else can read it before it has its mode.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(SECRET_MODE).open(temporary)?;
        file.write_all(self.text.as_bytes())?;
        if let Some(former) = &former {
            // Only root may keep another's ownership; for others the file becomes theirs, as with any editor.
            let _ = std::os::unix::fs::fchown(&file, Some(former.uid()), Some(former.gid()));
        }
        file.set_permissions(Permissions::from_mode(self.mode(former.as_ref())))?;
        file.sync_all()
    }
}

impl Prepared for WriteReady {
    fn handle(&self) -> Handle {
        Handle::Engine
    }

    fn atomic(&self) -> bool {
        true
    }

    fn inverse(&mut self) -> Result<Option<Action>, Failure> {
        let path = self.write.path.clone();
        let refused = |error: io::Error| failure(&path, "kept for taking back", error);
        let content = match digest(&self.real) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Some(Action::RestoreFile { path, backup: None }));
            }
            Err(error) => return Err(refused(error)),
        };
        let backup = beside(&self.real, &self.id, &format!("-{content}"));
        // One of this name is from an engine that died before this attempt's intent: nothing was written since.
        match fs::remove_file(&backup) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
        keep(&self.real, &backup).map_err(refused)?;
        self.backup = Some(backup.clone());
        Ok(Some(Action::RestoreFile { path, backup: Some(backup.display().to_string()) }))
    }

    fn perform(self: Box<Self>, cancel: &Cancel) -> Result<Outcome, ActionFailed> {
        if let Some(failure) = Stop::new(cancel, None).why() {
            self.backup.as_ref().map(fs::remove_file);
            return Err(ActionFailed { never_began: true, ..failure.into() });
        }
        let temporary = beside(&self.real, &self.id, "-new");
        let refused = |error: io::Error| failure(&self.write.path, "written", error);
        if let Err(error) = self.write_beside(&temporary).and_then(|()| fs::rename(&temporary, &self.real)) {
            let _ = fs::remove_file(&temporary);
            // Nothing was written, so nothing will be taken back.
            self.backup.as_ref().map(fs::remove_file);
            return Err(ActionFailed { never_began: true, ..refused(error).into() });
        }
        flush_directory(&self.real).map_err(refused)?;
        Ok(Outcome { ok: true, ..Outcome::default() })
    }
}

/// Removes what an interrupted attempt may have left half written beside the file.
pub(crate) fn sweep(write: &WriteFile, context: &AttemptContext) {
    if let Ok(real) = real_file(&context.root, &write.path) {
        // Mostly there is none: the rename was faster.
        let _ = fs::remove_file(beside(&real, &id(context), "-new"));
    }
}

/// Removes what `inverse()` kept, once no undo can need it any more. Nothing else: what has no such name is left alone.
pub fn forget(undo: &Action) {
    let Action::RestoreFile { backup: Some(backup), .. } = undo else { return };
    let backup = Path::new(backup);
    let name = backup.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if backup.is_absolute() && name.starts_with('.') && name.contains(".piton-") && fs::remove_file(backup).is_ok() {
        let _ = flush_directory(backup);
    }
}

/// A second name for the file; a copy where the file system has no hard links.
fn keep(real: &Path, backup: &Path) -> io::Result<()> {
    if fs::hard_link(real, backup).is_err() {
        fs::copy(real, backup)?;
        File::open(backup)?.sync_all()?;
    }
    flush_directory(backup)
}

fn digest(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(crate::text::to_hex(&hasher.finalize())[..DIGEST_DIGITS].to_owned())
}

pub(crate) fn read(path: &str, root: &Path) -> Result<Outcome, Failure> {
    let refused = |error: io::Error| failure(path, "read", error);
    let file = File::open(root.join(path)).map_err(refused)?;
    if !file.metadata().map_err(refused)?.is_file() {
        return Err(failure(path, "read", "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_INLINE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() > MAX_INLINE_BYTES {
        return Err(failure(path, "read", format!("it has more than {} MiB", MAX_INLINE_BYTES / 1024 / 1024))
            .hint("read the part that matters, with sh()"));
    }
    let text = String::from_utf8(bytes).map_err(|_| failure(path, "read", "it is not text in UTF-8"))?;
    Ok(Outcome { ok: true, out: Some(Arc::from(text)), ..Outcome::default() })
}

/// Puts the former file back, or removes the one that was not there. Safe to do twice, or for nothing.
pub(crate) fn restore(path: &str, backup: Option<&str>, root: &Path) -> Result<Outcome, Failure> {
    let refused = |error: io::Error| failure(path, "restored", error);
    let real = real_file(root, path).map_err(refused)?;
    let Some(backup) = backup else {
        return match fs::remove_file(&real) {
            Ok(()) => flush_directory(&real).map_err(refused).map(|()| done(None)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(done(Some("the file was not there"))),
            Err(error) => Err(refused(error)),
        };
    };
    let backup = root.join(backup);
    if !backup.try_exists().map_err(refused)? {
        let name = backup.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let former = name.rsplit('-').next().unwrap_or_default();
        if digest(&real).is_ok_and(|content| content == former) {
            return Ok(done(Some("the former file was back already")));
        }
        return Err(failure(path, "restored", format!("its backup {} is gone", backup.display()))
            .hint("put the former file back by hand, then say that it is done"));
    }
    fs::rename(&backup, &real).map_err(refused)?;
    // Where nothing was written, both names are one file, and rename leaves both (rename(2)).
    match fs::remove_file(&backup) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    flush_directory(&real).map_err(refused)?;
    Ok(done(None))
}

fn done(note: Option<&str>) -> Outcome {
    Outcome { ok: true, notes: note.into_iter().map(str::to_owned).collect(), ..Outcome::default() }
}
