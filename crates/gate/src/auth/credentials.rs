//! What the gate knows of accounts: stored hashes or passwords, from a file or from a backend's own tables.
//!
//! Hosts of accounts are not looked at: where several accounts share a name, each of their hashes is tried, and the
//! backend, which hears the client's address by PROXY protocol, decides.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::native::native_stage1;

/// Why credentials could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file is not there or not readable.
    #[error("cannot read the credentials file {path}")]
    File {
        /// The file's name.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a list of accounts.
    #[error("the credentials file {path} is not a JSON list of accounts")]
    Form {
        /// The file's name.
        path: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// An account's hash is not one.
    #[error("account {user}: {what}")]
    Account {
        /// The account's name.
        user: String,
        /// What is wrong, without the hash.
        what: &'static str,
    },
}

/// What one account's password is known by.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Secret {
    /// SHA1(SHA1(password)).
    Native([u8; 20]),
    /// `$A$005$...`, as `caching_sha2_password` stores it.
    Sha2(Vec<u8>),
    /// The password itself; empty for none.
    Password(Vec<u8>),
}

/// Never shown.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native(_) => "Native(..)",
            Self::Sha2(_) => "Sha2(..)",
            Self::Password(_) => "Password(..)",
        })
    }
}

/// A client that has proven who it is, with what backends will ask for.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) user: Vec<u8>,
    /// SHA1(password); `None` for an account without a password.
    pub(crate) stage1: Option<[u8; 20]>,
    /// The password, where the client or the configuration gave it.
    pub(crate) password: Option<Vec<u8>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("user", &String::from_utf8_lossy(&self.user)).finish_non_exhaustive()
    }
}

impl Identity {
    pub(crate) fn with_password(user: &[u8], password: &[u8]) -> Self {
        let stage1 = (!password.is_empty()).then(|| native_stage1(password));
        Self { user: user.to_vec(), stage1, password: Some(password.to_vec()) }
    }
}

/// The accounts that may come in through the gate.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    accounts: HashMap<Vec<u8>, Vec<Secret>>,
    /// Accounts of a backend whose proof the gate does not know, with their plugin.
    unchecked: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    user: String,
    native: Option<String>,
    sha2: Option<String>,
    password: Option<String>,
}

impl Credentials {
    /// Reads a JSON list: `[{"user": "app", "native": "*6BB4..."}, {"user": "x", "password": "..."}]`; `sha2` takes the
    /// hexadecimal digits of what `caching_sha2_password` stores.
    ///
    /// # Errors
    /// When the file cannot be read or an entry has not exactly one of `native`, `sha2` and `password`.
    pub fn read(path: &Path) -> Result<Self, CredentialError> {
        let name = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| CredentialError::File { path: name.clone(), source })?;
        let list: Vec<Account> =
            serde_json::from_str(&text).map_err(|source| CredentialError::Form { path: name, source })?;
        let mut all = Self::default();
        for account in list {
            let wrong = |what| CredentialError::Account { user: account.user.clone(), what };
            match (&account.native, &account.sha2, &account.password) {
                (Some(hash), None, None) => {
                    let hash = native_hash(hash).ok_or_else(|| wrong("not a hash of mysql_native_password"))?;
                    all.add(account.user.as_bytes(), Secret::Native(hash));
                }
                (None, Some(hash), None) => {
                    let hash = hex(hash.as_bytes()).filter(|hash| hash.starts_with(b"$A$"));
                    let hash = hash.ok_or_else(|| wrong("not the digits of a caching_sha2_password hash"))?;
                    all.add(account.user.as_bytes(), Secret::Sha2(hash));
                }
                (None, None, Some(password)) => all.add_password(&account.user, password),
                _ => return Err(wrong("give exactly one of native, sha2 and password")),
            }
        }
        Ok(all)
    }

    /// Adds an account by its password, which may be empty.
    pub fn add_password(&mut self, user: &str, password: &str) {
        self.add(user.as_bytes(), Secret::Password(password.as_bytes().to_vec()));
    }

    /// Adds an account by what `mysql.user` says of it; `false` when the gate cannot check such an account.
    pub(crate) fn add_stored(&mut self, user: &[u8], plugin: &[u8], stored: &[u8]) -> bool {
        let secret = match plugin {
            b"" | super::NATIVE if stored.is_empty() => Some(Secret::Password(Vec::new())),
            b"" | super::NATIVE => std::str::from_utf8(stored).ok().and_then(native_hash).map(Secret::Native),
            super::SHA2 => Some(Secret::Sha2(stored.to_vec())),
            _ => None,
        };
        let known = secret.is_some();
        if !known {
            self.unchecked.push((user.to_vec(), plugin.to_vec()));
        }
        secret.into_iter().for_each(|secret| self.add(user, secret));
        known
    }

    /// Accounts that cannot come in: user and plugin. One of ed25519 whose password was given can.
    pub(crate) fn unchecked(&self) -> Vec<String> {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let is_given = |user: &[u8]| self.of(user).iter().any(|secret| matches!(secret, Secret::Password(_)));
        let unknown =
            self.unchecked.iter().filter(|(user, plugin)| plugin != super::ED25519_ACCOUNT || !is_given(user));
        unknown.map(|(user, plugin)| format!("{} ({})", name(user), name(plugin))).collect()
    }

    fn add(&mut self, user: &[u8], secret: Secret) {
        let known = self.accounts.entry(user.to_vec()).or_default();
        if !known.contains(&secret) {
            known.push(secret);
        }
    }

    /// Takes over what another list knows.
    pub(crate) fn merge(&mut self, other: Self) {
        self.unchecked.extend(other.unchecked);
        for (user, secrets) in other.accounts {
            secrets.into_iter().for_each(|secret| self.add(&user, secret));
        }
    }

    pub(crate) fn of(&self, user: &[u8]) -> &[Secret] {
        self.accounts.get(user).map_or(&[], Vec::as_slice)
    }
}

/// `*` and forty hexadecimal digits.
fn native_hash(text: &str) -> Option<[u8; 20]> {
    hex(text.strip_prefix('*')?.as_bytes())?.try_into().ok()
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
            _ => None,
        })
        .collect()
}

/// The stored hash that belongs to a first hash.
#[cfg(test)]
pub(crate) fn stage2(stage1: &[u8; 20]) -> [u8; 20] {
    <sha1::Sha1 as sha1::Digest>::digest(stage1).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_accounts_is_read_and_a_wrong_one_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.json");
        // PASSWORD('secret') as a server prints it.
        std::fs::write(&path, r#"[{"user": "app", "native": "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7"}]"#).unwrap();
        let all = Credentials::read(&path).unwrap();
        assert_eq!(all.of(b"app"), [Secret::Native(stage2(&native_stage1(b"secret")))]);
        assert!(all.of(b"other").is_empty());
        std::fs::write(&path, r#"[{"user": "app", "native": "14E6"}]"#).unwrap();
        assert!(Credentials::read(&path).unwrap_err().to_string().contains("account app"));
        std::fs::write(&path, r#"[{"user": "app"}]"#).unwrap();
        assert!(Credentials::read(&path).is_err());
    }

    #[test]
    fn an_account_that_cannot_be_checked_is_named_and_lets_nobody_in() {
        let mut all = Credentials::default();
        assert!(!all.add_stored(b"root", b"unix_socket", b""));
        assert!(!all.add_stored(b"old", b"mysql_native_password", b"invalid"));
        assert!(all.add_stored(b"app", b"mysql_native_password", b"*14E65567ABDB5135D0CFD9A70B3032C179A49EE7"));
        assert_eq!(all.unchecked(), ["root (unix_socket)", "old (mysql_native_password)"]);
        assert!(all.of(b"root").is_empty() && all.of(b"old").is_empty() && all.of(b"app").len() == 1);
    }
}
