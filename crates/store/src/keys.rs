//! The store's two keys: one for keyed hashes of secrets, one to sign receipts.
//!
//! Owns `key` and `signing.key`, 32 random bytes each, readable by their owner alone. Never uses them: `steps` hashes,
//! `cli` signs and writes `signing.pub`.

use crate::error::{from_io, refused};
use crate::home::{Home, sync_dir};
use piton_core::ports::{StoreError, StoreErrorKind};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

const KEY_BYTES: usize = 32;

/// Key of keyed hashes (HMAC-SHA256): tells whether a secret has changed without telling the secret.
pub(crate) fn store_key(home: &Home) -> Result<[u8; KEY_BYTES], StoreError> {
    read_or_make(home, "key")
}

/// Seed of the ed25519 key (RFC 8032) that signs receipts.
pub(crate) fn signing_key_seed(home: &Home) -> Result<[u8; KEY_BYTES], StoreError> {
    read_or_make(home, "signing.key")
}

fn read_or_make(home: &Home, name: &str) -> Result<[u8; KEY_BYTES], StoreError> {
    let path = home.path().join(name);
    if let Some(key) = read(&path)? {
        return Ok(key);
    }
    make(home.path(), &path).map_err(|error| from_io("create the key", &path, error))?;
    // Read back rather than remembered: another process may have made it first.
    read(&path)?.ok_or_else(|| from_io("read the key", &path, io::ErrorKind::NotFound.into()))
}

fn read(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(from_io("read the key", path, error)),
    };
    // A restored backup may have opened it to others; closing it again is worth a try and no reason to stop.
    if path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
        let _ = fs::set_permissions(path, Permissions::from_mode(0o600));
    }
    let length = bytes.len();
    bytes.try_into().map(Some).map_err(|_| {
        let what = format!("the key {} has {length} bytes instead of {KEY_BYTES}: it is damaged", path.display());
        refused(StoreErrorKind::Unreadable, what)
    })
}

/// Writes it whole beside its place, then links it there: whoever comes second finds the first one's key.
fn make(dir: &Path, path: &Path) -> io::Result<()> {
    let mut key = [0u8; KEY_BYTES];
    let mut salt = [0u8; 8];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let temp = dir.join(format!("key.{:016x}.tmp", u64::from_ne_bytes(salt)));
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp).and_then(|mut file| {
        file.write_all(&key)?;
        file.sync_all()
    });
    // A rename would replace the key of whoever was first; a link does not.
    let linked = written.and_then(|()| match fs::hard_link(&temp, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let _ = fs::remove_file(&temp);
    linked?;
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let temp = tempfile::tempdir().unwrap();
        let home = Home::open(temp.path()).unwrap();
        (temp, home)
    }

    #[test]
    fn racing_makers_end_with_one_key_and_no_leftovers() {
        let (_temp, home) = home();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..16).map(|_| scope.spawn(|| store_key(&home).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0] && *key != [0; 32]));
        assert_ne!(signing_key_seed(&home).unwrap(), keys[0]);
        let names = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(!names.into_iter().any(|name| name.ends_with(".tmp")));
    }

    #[test]
    fn a_key_is_for_its_owner_alone_and_a_damaged_one_is_refused() {
        let (_temp, home) = home();
        store_key(&home).unwrap();
        let path = home.path().join("key");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        store_key(&home).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, b"short").unwrap();
        assert_eq!(store_key(&home).unwrap_err().kind, StoreErrorKind::Unreadable);
    }
}
