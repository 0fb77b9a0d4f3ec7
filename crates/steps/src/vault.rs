//! The vault: opens secrets by reference, remembers their values for masking, and gives their keyed hashes.
//!
//! Owns reading `env:`, `file:` and `cmd:` references, the rule that short values are refused, and what of a value is
//! masked (the forms themselves are `process::mask`'s). Never prints a value, never writes one anywhere, and never
//! reads one twice: a value that changes while an engine lives would otherwise differ between two steps of one run.

use crate::process::Opener;
use crate::process::mask::{Masker, Pattern, forms};
use crate::text::percent_decode;
use hmac::{Hmac, KeyInit, Mac};
use piton_core::digest::Digest;
use piton_core::outcome::{Failure, FailureKind};
use piton_core::ports;
use piton_core::secret::{Part, SecretRef, Text};
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Shorter values cannot be masked without masking ordinary words too.
pub const MIN_SECRET_BYTES: usize = 6;
/// Larger values are a mistake: a secret is a password, a token, a URL, a key.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;
/// How long a `cmd:` reference may take; a password manager that waits for a person is not one an engine can use.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// How often the end of a `cmd:` command is looked for.
const COMMAND_LOOK: Duration = Duration::from_millis(5);

/// Opens secrets and masks them. One per engine process; shared by all who act or print.
pub struct Vault {
    root: PathBuf,
    key: [u8; 32],
    /// One slot per reference, so that a slow command blocks only those who need its value.
    slots: Mutex<HashMap<String, Slot>>,
    known: RwLock<Known>,
}

type Slot = Arc<Mutex<Option<Arc<str>>>>;

#[derive(Default)]
struct Known {
    patterns: Vec<Pattern>,
    names: Vec<(String, Arc<str>)>,
    masker: Option<Arc<Masker>>,
}

impl fmt::Debug for Vault {
    /// Without values and without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Vault {
    /// `root`: where relative `file:` paths start and `cmd:` commands run. `key`: the store's key for keyed hashes.
    pub fn new(root: PathBuf, key: [u8; 32]) -> Self {
        Self { root, key, slots: Mutex::default(), known: RwLock::default() }
    }

    /// The secret's value. It is read at the first call and remembered, for masking too, as long as the vault lives.
    ///
    /// # Errors
    /// When the reference leads nowhere, or its value is too short to be masked or too long to be a secret.
    pub fn open(&self, secret: &SecretRef) -> Result<Arc<str>, Failure> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(secret.source.clone()).or_default().clone()
        };
        let mut value = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match &*value {
            Some(opened) => opened.clone(),
            None => {
                let opened: Arc<str> = self.read(secret).map_err(|why| refused(secret, &why))?.into();
                *value = Some(opened.clone());
                opened
            }
        };
        self.remember(&secret.name, &opened)?;
        Ok(opened)
    }

    /// The text with every secret opened. Whoever gets it may only hand it to the action's target.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn open_text(&self, text: &Text) -> Result<String, Failure> {
        let mut whole = String::new();
        for part in text.parts() {
            match part {
                Part::Plain(plain) => whole.push_str(plain),
                Part::Secret { secret } => whole.push_str(&self.open(secret)?),
            }
        }
        Ok(whole)
    }

    /// Every form of every known value, for a masker in another process.
    pub fn patterns(&self) -> Vec<Pattern> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).patterns.clone()
    }

    /// The masker of all values known so far; `None`: there are none.
    pub fn masker(&self) -> Option<Arc<Masker>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).masker.clone()
    }

    fn remember(&self, name: &str, value: &Arc<str>) -> Result<(), Failure> {
        let is_known = |known: &Known| known.names.iter().any(|(n, v)| n == name && v == value);
        if is_known(&self.known.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if is_known(&known) {
            return Ok(());
        }
        let mut patterns = known.patterns.clone();
        patterns.extend(forms(name, value.as_bytes()));
        for inner in inner_secrets(value) {
            patterns.extend(forms(name, inner.as_bytes()));
        }
        let masker = Masker::new(patterns.clone())
            .map_err(|error| Failure::new(FailureKind::Action, format!("the secret {name} cannot be used: {error}")))?;
        known.patterns = patterns;
        known.names.push((name.to_owned(), value.clone()));
        known.masker = Some(Arc::new(masker));
        Ok(())
    }

    fn read(&self, secret: &SecretRef) -> Result<String, String> {
        let (scheme, rest) = secret.source.split_once(':').ok_or("its reference has no scheme")?;
        let bytes = match scheme {
            "env" => match std::env::var_os(rest) {
                Some(value) => value.into_encoded_bytes(),
                None => return Err(format!("the environment variable {rest} is not set")),
            },
            "file" => first_line(&self.root.join(rest)).map_err(|why| format!("{rest}: {why}"))?,
            "cmd" => {
                let mut printed = run(rest, &self.root)?;
                while printed.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                    printed.pop();
                }
                printed
            }
            _ => return Err(format!("\"{scheme}:\" is not a way to refer to a secret")),
        };
        if bytes.len() > MAX_SECRET_BYTES {
            return Err(format!("its value has more than {MAX_SECRET_BYTES} bytes"));
        }
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(format!(
                "its value has {} bytes; under {MIN_SECRET_BYTES} it cannot be masked without masking ordinary words",
                bytes.len()
            ));
        }
        String::from_utf8(bytes).map_err(|_| "its value is not UTF-8".to_owned())
    }
}

impl ports::Vault for Vault {
    fn admit(&self, secret: &SecretRef) -> Result<Digest, Failure> {
        let value = self.open(secret)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)
            .map_err(|error| Failure::new(FailureKind::Action, format!("the store's key cannot be used: {error}")))?;
        mac.update(value.as_bytes());
        Ok(Digest::from_bytes(mac.finalize().into_bytes().into()))
    }

    fn mask(&self, text: &str) -> Option<String> {
        self.masker()?.mask(text)
    }
}

impl Opener for Vault {
    fn open_text(&self, text: &Text) -> Result<String, Failure> {
        self.open_text(text)
    }

    fn patterns(&self) -> Vec<Pattern> {
        self.patterns()
    }
}

fn refused(secret: &SecretRef, why: &str) -> Failure {
    Failure::new(FailureKind::Action, format!("the secret {} cannot be opened: {why}", secret.name))
}

/// What inside a value is secret on its own: a URL's password as written and decoded, each line of a key.
fn inner_secrets(value: &str) -> Vec<String> {
    let mut inner = Vec::new();
    if let Some((_, rest)) = value.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // A password with an unencoded slash is wrong in a URL, and secret all the same.
        let userinfo = authority.rsplit_once('@').or_else(|| rest.rsplit_once('@')).map(|(userinfo, _)| userinfo);
        let password = userinfo.and_then(|userinfo| userinfo.split_once(':')).map(|(_, password)| password);
        let query = rest.split_once('?').map_or("", |(_, query)| query).split('&');
        let given = query.filter_map(|pair| pair.strip_prefix("password="));
        for password in password.into_iter().chain(given) {
            inner.push(password.to_owned());
            inner.push(percent_decode(password));
        }
    }
    if value.contains('\n') {
        inner.extend(value.lines().map(str::trim).filter(|line| !line.starts_with("-----")).map(str::to_owned));
    }
    inner.retain(|secret| secret.len() >= MIN_SECRET_BYTES);
    inner
}

fn first_line(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let mut line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// Runs a command in a process group of its own and gives what it printed. Bounded in time and size.
fn run(command: &str, root: &std::path::Path) -> Result<Vec<u8>, String> {
    let mut child = Command::new("bash")
        .args(["-euo", "pipefail", "-c", command])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("bash cannot be started: {error}"))?;
    let out = child.stdout.take().map(reader);
    let err = child.stderr.take().map(reader);
    let status = wait(&mut child);
    // Whatever it left in its group holds the pipes; nothing of it may stay.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
    let printed = |reader: Option<std::thread::JoinHandle<Vec<u8>>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    let (out, err) = (printed(out), printed(err));
    match status? {
        Some(status) if status.success() => Ok(out),
        Some(status) => {
            let said = String::from_utf8_lossy(&err);
            let line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it printed nothing").to_owned();
            Err(format!("its command ended with {status}: {line}"))
        }
        None => Err(format!("its command took longer than {} s", COMMAND_LIMIT.as_secs())),
    }
}

fn reader(pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut bytes);
        bytes
    })
}

fn wait(child: &mut Child) -> Result<Option<std::process::ExitStatus>, String> {
    let end = Instant::now() + COMMAND_LIMIT;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status)),
            Ok(None) if Instant::now() >= end => return Ok(None),
            Ok(None) => std::thread::sleep(COMMAND_LOOK),
            Err(error) => return Err(format!("its command cannot be waited for: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use piton_core::ports::Vault as _;

    fn vault() -> (tempfile::TempDir, Vault) {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(folder.path().to_owned(), [7; 32]);
        (folder, vault)
    }

    fn secret(name: &str, source: &str) -> SecretRef {
        SecretRef::parse(Some(name), source).unwrap()
    }

    #[test]
    fn a_file_gives_its_first_line_and_a_command_what_it_prints() {
        let (folder, vault) = vault();
        std::fs::write(folder.path().join("token"), "hunter2hunter2\r\nsecond line\n").unwrap();
        assert_eq!(&*vault.open(&secret("a", "file:token")).unwrap(), "hunter2hunter2");
        assert_eq!(&*vault.open(&secret("b", "cmd:printf 'pass word\\n\\n'")).unwrap(), "pass word");
        let text = Text::plain("Bearer ").concat(Text::secret(secret("a", "file:token")));
        assert_eq!(vault.open_text(&text).unwrap(), "Bearer hunter2hunter2");
    }

    #[test]
    fn a_value_is_read_once_in_an_engines_life() {
        let (folder, vault) = vault();
        let counted = secret("c", "cmd:echo x >>count; echo a-long-value");
        for _ in 0..3 {
            vault.open(&counted).unwrap();
        }
        assert_eq!(std::fs::read_to_string(folder.path().join("count")).unwrap(), "x\n");
    }

    #[test]
    fn what_cannot_be_opened_says_why_without_repeating_values() {
        let (folder, vault) = vault();
        std::fs::write(folder.path().join("short"), "hush\n").unwrap();
        for (source, why) in [
            ("env:PITON_NO_SUCH_VARIABLE", "PITON_NO_SUCH_VARIABLE is not set"),
            ("file:nowhere", "No such file"),
            ("file:short", "4 bytes"),
            ("cmd:echo oops >&2; exit 3", "exit status: 3: oops"),
        ] {
            let failure = vault.open(&secret("s", source)).unwrap_err();
            assert!(failure.message.contains(why), "{source}: {failure}");
            assert!(!failure.message.contains("hush"));
        }
    }

    #[test]
    fn the_keyed_hash_depends_on_value_and_key_and_nothing_else() {
        let (folder, vault) = vault();
        std::fs::write(folder.path().join("a"), "one and only").unwrap();
        std::fs::write(folder.path().join("b"), "one and only").unwrap();
        let other = Vault::new(folder.path().to_owned(), [8; 32]);
        let hash = vault.admit(&secret("a", "file:a")).unwrap();
        assert_eq!(hash, vault.admit(&secret("b", "file:b")).unwrap());
        assert_ne!(hash, other.admit(&secret("a", "file:a")).unwrap());
        assert_ne!(hash, Digest::of_bytes(b"one and only"));
    }

    #[test]
    fn a_urls_password_is_masked_as_written_and_decoded() {
        let (folder, vault) = vault();
        std::fs::write(folder.path().join("url"), "mysql://app:p%40ssw%2Frd@db.example/shop").unwrap();
        vault.open(&secret("db", "file:url")).unwrap();
        for (text, masked) in [
            ("cannot reach mysql://app:p%40ssw%2Frd@db.example/shop!", "cannot reach «secret db»!"),
            ("password p@ssw/rd", "password «secret db»"),
            ("password p%40ssw%2Frd", "password «secret db»"),
            ("YXBwOnBAc3N3L3Jk", "YXBwOn«secret db»"),
        ] {
            assert_eq!(vault.mask(text).as_deref().unwrap_or(text), masked);
        }
    }

    #[test]
    fn a_short_password_in_a_url_does_not_mask_ordinary_words() {
        let (folder, vault) = vault();
        std::fs::write(folder.path().join("url"), "mysql://app:db@db.example/shop").unwrap();
        vault.open(&secret("db", "file:url")).unwrap();
        assert_eq!(vault.mask("the db of the shop"), None);
        assert!(vault.mask("mysql://app:db@db.example/shop").is_some());
    }
}
