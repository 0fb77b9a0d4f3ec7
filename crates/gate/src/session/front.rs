//! The client's side of a login: greeting, TLS, the proof of who it is, and the first connection to a backend.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use crate::auth::{self, Identity, Secret};
use crate::config::{LOGIN_BYTES, LOGIN_TIME};
use crate::error::{BackendError, Ended};
use crate::shared::Shared;
use crate::slot::Slot;
use crate::stream::Stream;
use crate::wire::buffer::Buffer;
use crate::wire::capabilities as cap;
use crate::wire::handshake::{Greeting, Response, SCRAMBLE, auth_switch, is_ssl_request};
use crate::wire::packet::{HEADER, Malformed, framed, header};
use crate::wire::reply::{self, code};

use super::{Login, Session};

/// Accounts whose passwords are kept for fast logins.
const PROVEN: usize = 10_000;

/// A client that is logging in.
pub(super) struct Front<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) stream: &'a mut Stream,
    pub(super) input: &'a mut Buffer,
    pub(super) sequence: u8,
    /// The challenge that the client's next proof answers.
    pub(super) scramble: [u8; SCRAMBLE],
}

/// A new challenge: printable, as some clients take it for text.
pub(super) fn scramble() -> Result<[u8; SCRAMBLE], Ended> {
    let mut bytes = [0; SCRAMBLE];
    getrandom::fill(&mut bytes).map_err(|_| Ended::Refused("no random bytes"))?;
    Ok(bytes.map(|byte| 33 + byte % 94))
}

impl Session {
    /// Greets a client, checks who it is and connects it to the backend.
    pub(super) async fn log_in(
        shared: &Arc<Shared>,
        slot: &Arc<Slot>,
        mut stream: Stream,
        local: SocketAddr,
    ) -> Result<Self, Ended> {
        let mut input = Buffer::new(crate::config::CLIENT_BUFFER_BYTES);
        let scramble = scramble()?;
        let mut front = Front { shared, stream: &mut stream, input: &mut input, sequence: 0, scramble };
        let (login, database) = tokio::time::timeout(LOGIN_TIME, front.welcome(slot))
            .await
            .map_err(|_| Ended::Refused("no login in time"))??;
        let sequence = front.sequence;
        slot.set_user(&login.identity.user);
        slot.set_statement(b"(login)");
        let mut session = Self::new(shared, slot, stream, local, login);
        session.input = input;
        session.carried.database = database;
        match session.enter(false).await {
            Err(Ended::Backend(error)) => return Err(session.tell(sequence.wrapping_add(1), &error).await),
            outcome => outcome?,
        }
        let flags = session.backend.as_ref().map_or(0, |backend| backend.status);
        session.status = flags;
        session.last_ran_on = session.serial();
        session.client.send(&reply::okay(sequence.wrapping_add(1), flags)).await?;
        session.at_rest(false);
        Ok(session)
    }

    /// Passes on what a backend said against the client, and says what else went wrong.
    pub(super) async fn tell(&mut self, sequence: u8, error: &BackendError) -> Ended {
        let packet = match error {
            BackendError::Said { code, message } => reply::error(sequence, *code, "HY000", message),
            other => reply::error(sequence, code::SERVER_SHUTDOWN, "08S01", &format!("Piton's gate: backend: {other}")),
        };
        let _ = self.client.send(&packet).await;
        Ended::Refused("the backend did not let the client in")
    }
}

impl Front<'_> {
    async fn welcome(&mut self, slot: &Slot) -> Result<(Login, Vec<u8>), Ended> {
        let tls = if self.shared.acceptor.is_some() { cap::SSL } else { 0 };
        let greeting = Greeting {
            version: self.shared.offer.version.clone(),
            thread_id: slot.id,
            scramble: self.scramble,
            capabilities: self.shared.offer.capabilities | tls,
            charset: self.shared.offer.charset,
            status: cap::status::AUTOCOMMIT,
            plugin: auth::NATIVE.to_vec(),
        };
        self.stream.send(&framed(0, &greeting.write())).await?;
        let mut first = self.packet().await?;
        if is_ssl_request(&first) {
            self.encrypt().await?;
            first = self.packet().await?;
        }
        let response = match Response::read(&first) {
            Ok(response) => response,
            Err(malformed) => {
                self.deny(code::BAD_HANDSHAKE, "08S01", "Bad handshake").await;
                return Err(malformed.into());
            }
        };
        let identity = self.prove(&response.user, &response.plugin, &response.reply).await?;
        let login = Login {
            identity,
            capabilities: response.capabilities & self.shared.offer.capabilities,
            max_packet: response.max_packet,
            charset: response.charset,
            attributes: response.attributes,
            scramble: self.scramble,
        };
        Ok((login, response.database))
    }

    /// Reads one packet of a login and not a byte more: behind a request for TLS comes what is encrypted already.
    async fn packet(&mut self) -> Result<Vec<u8>, Ended> {
        loop {
            let mut wanted = HEADER;
            if let Some((size, sequence)) = header(self.input.filled()) {
                if size > LOGIN_BYTES {
                    return Err(Malformed("a login beyond any sense").into());
                }
                if self.input.len() >= HEADER + size {
                    let payload = self.input.filled()[HEADER..HEADER + size].to_vec();
                    self.input.consume(HEADER + size);
                    self.sequence = sequence;
                    return Ok(payload);
                }
                wanted = HEADER + size;
                self.input.grow(wanted);
            }
            if self.stream.fill_to(self.input, wanted).await? == 0 {
                return Err(Ended::ClientLeft);
            }
        }
    }

    async fn encrypt(&mut self) -> Result<(), Ended> {
        let (Some(acceptor), Some(plain)) = (self.shared.acceptor.clone(), self.stream.take_plain()) else {
            return Err(Malformed("TLS was not offered").into());
        };
        *self.stream = Stream::Served(Box::new(acceptor.accept(plain).await?));
        Ok(())
    }

    async fn deny(&mut self, code: u16, state: &str, message: &str) {
        let _ = self.stream.send(&reply::error(self.sequence.wrapping_add(1), code, state, message)).await;
    }

    /// Has a client prove that it is the user it names.
    pub(super) async fn prove(&mut self, user: &[u8], plugin: &[u8], reply: &[u8]) -> Result<Identity, Ended> {
        let credentials = self.shared.credentials();
        let secrets = credentials.of(user);
        let wants_sha2 = secrets.iter().any(|secret| matches!(secret, Secret::Sha2(_)));
        let identity = if wants_sha2 || plugin == auth::SHA2 {
            self.prove_sha2(user, secrets).await?
        } else {
            let mut reply = reply.to_vec();
            if !plugin.is_empty() && plugin != auth::NATIVE {
                reply = self.switch_to(auth::NATIVE).await?;
            }
            secrets.iter().find_map(|secret| native(user, secret, &reply, &self.scramble))
        };
        match identity {
            Some(identity) => Ok(identity),
            None => {
                let name = String::from_utf8_lossy(user).into_owned();
                self.deny(code::ACCESS_DENIED, "28000", &format!("Access denied for user '{name}' (Piton's gate)"))
                    .await;
                Err(Ended::Refused("access denied"))
            }
        }
    }

    async fn switch_to(&mut self, plugin: &[u8]) -> Result<Vec<u8>, Ended> {
        self.scramble = scramble()?;
        let ask = framed(self.sequence.wrapping_add(1), &auth_switch(plugin, &self.scramble));
        self.stream.send(&ask).await?;
        self.packet().await
    }

    /// The exchange of `caching_sha2_password`: fast where the gate knows the password, else in full under TLS.
    async fn prove_sha2(&mut self, user: &[u8], secrets: &[Secret]) -> Result<Option<Identity>, Ended> {
        let reply = self.switch_to(auth::SHA2).await?;
        if reply.is_empty() {
            let open = secrets.iter().any(|secret| matches!(secret, Secret::Password(empty) if empty.is_empty()));
            return Ok(open.then(|| Identity::with_password(user, b"")));
        }
        let proven = self.shared.proven.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned();
        // A password is worth what the stored form is worth against which it was proven.
        let proven = proven.filter(|(secret, _)| secrets.contains(secret)).map(|(_, password)| password);
        let known = secrets.iter().filter_map(|secret| match secret {
            Secret::Password(password) => Some(password),
            _ => None,
        });
        for password in known.chain(proven.iter()) {
            if auth::sha2_reply(password, &self.scramble) == reply {
                self.say(&[1, 3]).await?;
                return Ok(Some(Identity::with_password(user, password)));
            }
        }
        if !self.stream.is_encrypted() {
            // The gate has no RSA key: without TLS the password would travel in plain text.
            return Ok(None);
        }
        self.say(&[1, 4]).await?;
        let answer = self.packet().await?;
        let password = answer.strip_suffix(&[0]).unwrap_or(&answer);
        let Some(secret) = secrets.iter().find(|secret| knows(secret, password)) else { return Ok(None) };
        let mut proven = self.shared.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if proven.len() < PROVEN {
            proven.insert(user.to_vec(), (secret.clone(), password.to_vec()));
        }
        Ok(Some(Identity::with_password(user, password)))
    }

    /// Sends a word of the exchange and counts it, so that the next answer's number is right.
    async fn say(&mut self, word: &[u8]) -> Result<(), Ended> {
        self.sequence = self.sequence.wrapping_add(1);
        let packet = framed(self.sequence, word);
        self.stream.send(&packet).await?;
        Ok(())
    }
}

fn native(user: &[u8], secret: &Secret, reply: &[u8], scramble: &[u8; SCRAMBLE]) -> Option<Identity> {
    match secret {
        Secret::Native(stage2) => auth::native_verify(reply, scramble, stage2).map(|stage1| Identity {
            user: user.to_vec(),
            stage1: Some(stage1),
            password: None,
        }),
        Secret::Password(password) if password.is_empty() => {
            reply.is_empty().then(|| Identity::with_password(user, b""))
        }
        Secret::Password(password) => {
            let right = auth::native_reply(&auth::native_stage1(password), scramble);
            (right == reply).then(|| Identity::with_password(user, password))
        }
        Secret::Sha2(_) => None,
    }
}

/// Whether a password is the one behind a secret.
fn knows(secret: &Secret, password: &[u8]) -> bool {
    match secret {
        Secret::Native(stage2) => {
            use sha1::Digest;
            <[u8; 20]>::from(sha1::Sha1::digest(auth::native_stage1(password))) == *stage2
        }
        Secret::Sha2(stored) => auth::sha2_verify_stored(password, stored),
        Secret::Password(known) => known == password,
    }
}
