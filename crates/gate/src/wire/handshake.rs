//! The first packets of a connection: a server's greeting and a client's response, read and written.

use super::capabilities as cap;
use super::packet::{Malformed, Reader, put_lenenc_bytes};

/// Random bytes of a challenge.
pub(crate) const SCRAMBLE: usize = 20;

/// What a server says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) version: Vec<u8>,
    pub(crate) thread_id: u32,
    pub(crate) scramble: [u8; SCRAMBLE],
    pub(crate) capabilities: u32,
    pub(crate) charset: u8,
    pub(crate) status: u16,
    pub(crate) plugin: Vec<u8>,
}

impl Greeting {
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != 10 {
            return Err(Malformed("not protocol version 10"));
        }
        let version = reader.zero_ended().to_vec();
        let thread_id = reader.u32()?;
        let mut scramble = [0; SCRAMBLE];
        scramble[..8].copy_from_slice(reader.bytes(8)?);
        reader.bytes(1)?;
        let low = reader.u16()?;
        let charset = reader.u8()?;
        let status = reader.u16()?;
        let high = reader.u16()?;
        let capabilities = u32::from(low) | u32::from(high) << 16;
        reader.bytes(1 + 10)?;
        scramble[8..].copy_from_slice(reader.bytes(12)?);
        reader.bytes(1)?;
        let plugin = reader.zero_ended().to_vec();
        Ok(Self { version, thread_id, scramble, capabilities, charset, status, plugin })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![10];
        out.extend_from_slice(&self.version);
        out.push(0);
        out.extend_from_slice(&self.thread_id.to_le_bytes());
        out.extend_from_slice(&self.scramble[..8]);
        out.push(0);
        out.extend_from_slice(&(self.capabilities as u16).to_le_bytes());
        out.push(self.charset);
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&((self.capabilities >> 16) as u16).to_le_bytes());
        out.push(SCRAMBLE as u8 + 1);
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(&self.scramble[8..]);
        out.push(0);
        out.extend_from_slice(&self.plugin);
        out.push(0);
        out
    }
}

/// What a client answers to a greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) capabilities: u32,
    pub(crate) max_packet: u32,
    pub(crate) charset: u8,
    pub(crate) user: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) database: Vec<u8>,
    pub(crate) plugin: Vec<u8>,
    /// Connection attributes as they came, without their length.
    pub(crate) attributes: Vec<u8>,
}

impl Response {
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let capabilities = reader.u32()?;
        if capabilities & cap::NEEDED != cap::NEEDED {
            return Err(Malformed("the client speaks an older protocol than 4.1"));
        }
        let max_packet = reader.u32()?;
        let charset = reader.u8()?;
        reader.bytes(23)?;
        let user = reader.zero_ended().to_vec();
        let reply = if capabilities & cap::PLUGIN_AUTH_LENENC != 0 {
            reader.lenenc_bytes()?
        } else {
            let count = reader.u8()?;
            reader.bytes(usize::from(count))?
        }
        .to_vec();
        let database = if capabilities & cap::CONNECT_WITH_DB != 0 { reader.zero_ended().to_vec() } else { Vec::new() };
        let plugin = if capabilities & cap::PLUGIN_AUTH != 0 { reader.zero_ended().to_vec() } else { Vec::new() };
        let attributes = if capabilities & cap::CONNECT_ATTRS != 0 && !reader.is_empty() {
            reader.lenenc_bytes()?.to_vec()
        } else {
            Vec::new()
        };
        Ok(Self { capabilities, max_packet, charset, user, reply, database, plugin, attributes })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = self.ssl_request();
        out.extend_from_slice(&self.user);
        out.push(0);
        if self.capabilities & cap::PLUGIN_AUTH_LENENC != 0 {
            put_lenenc_bytes(&mut out, &self.reply);
        } else {
            out.push(self.reply.len() as u8);
            out.extend_from_slice(&self.reply);
        }
        if self.capabilities & cap::CONNECT_WITH_DB != 0 {
            out.extend_from_slice(&self.database);
            out.push(0);
        }
        if self.capabilities & cap::PLUGIN_AUTH != 0 {
            out.extend_from_slice(&self.plugin);
            out.push(0);
        }
        if self.capabilities & cap::CONNECT_ATTRS != 0 {
            put_lenenc_bytes(&mut out, &self.attributes);
        }
        out
    }

    /// The head of the response, which asks for TLS when it comes alone.
    pub(crate) fn ssl_request(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(&self.capabilities.to_le_bytes());
        out.extend_from_slice(&self.max_packet.to_le_bytes());
        out.push(self.charset);
        out.extend_from_slice(&[0; 23]);
        out
    }
}

/// Whether a first packet asks for TLS.
pub(crate) fn is_ssl_request(payload: &[u8]) -> bool {
    payload.len() == 32 && payload.first_chunk().is_some_and(|flags| u32::from_le_bytes(*flags) & cap::SSL != 0)
}

/// Asks a client to authenticate in another way.
pub(crate) fn auth_switch(plugin: &[u8], scramble: &[u8; SCRAMBLE]) -> Vec<u8> {
    let mut out = vec![0xfe];
    out.extend_from_slice(plugin);
    out.push(0);
    out.extend_from_slice(scramble);
    out.push(0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_greeting_and_a_response_read_back_as_written() {
        let greeting = Greeting {
            version: b"5.5.5-10.11.19-MariaDB".to_vec(),
            thread_id: 7,
            scramble: *b"abcdefghijklmnopqrst",
            capabilities: cap::OFFERABLE,
            charset: 45,
            status: 2,
            plugin: b"mysql_native_password".to_vec(),
        };
        assert_eq!(Greeting::read(&greeting.write()), Ok(greeting));
        let response = Response {
            capabilities: cap::OFFERABLE,
            max_packet: 1 << 24,
            charset: 45,
            user: b"app".to_vec(),
            reply: vec![1; 20],
            database: b"shop".to_vec(),
            plugin: b"mysql_native_password".to_vec(),
            attributes: b"\x03foo\x03bar".to_vec(),
        };
        assert_eq!(Response::read(&response.write()), Ok(response));
    }

    proptest! {
        #[test]
        fn a_first_packet_of_any_bytes_is_read_or_refused(bytes: Vec<u8>, flags: u32) {
            let mut payload = (flags | cap::NEEDED).to_le_bytes().to_vec();
            payload.extend(bytes);
            let _ = Response::read(&payload);
            let _ = Greeting::read(&payload);
        }
    }
}
