//! A session's connection to a backend: logging in, and the gate's own statements.
//!
//! Owns the stream and what was read of it. Never decides when a client's statement is sent.

use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::auth::{self, Identity};
use crate::config::{self, Account, BACKEND_BUFFER_BYTES, LOGIN_TIME, OWN_STATEMENT_TIME, ProxyProtocol};
use crate::error::BackendError;
use crate::stream::Stream;
use crate::wire::buffer::Buffer;
use crate::wire::capabilities as cap;
use crate::wire::command;
use crate::wire::handshake::{Greeting, Response, SCRAMBLE};
use crate::wire::packet::{HEADER, Malformed, Reader, framed, header};
use crate::wire::reply::{Okay, error_of};
use crate::wire::track::NOTED_BYTES;

/// How to reach a backend.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) index: usize,
    pub(crate) settings: config::Backend,
    pub(crate) tls: Option<TlsConnector>,
}

/// What a session wants of its connection.
pub(crate) struct Wanted<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) capabilities: u32,
    pub(crate) max_packet: u32,
    pub(crate) charset: u8,
    pub(crate) database: &'a [u8],
    pub(crate) attributes: &'a [u8],
    pub(crate) client: SocketAddr,
    pub(crate) gate: SocketAddr,
}

/// A logged-in connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) buffer: Buffer,
    pub(crate) epoch: u64,
    /// Which of the configuration's backends it is.
    pub(crate) index: usize,
    pub(crate) thread_id: u32,
    pub(crate) status: u16,
    pub(crate) tracked: bool,
    pub(crate) deprecate_eof: bool,
    /// A number for each connection of a session, to tell whose prepared statements are whose.
    pub(crate) serial: u32,
}

/// A value of the gate's own question: its type, and its text unless it is NULL.
pub(crate) type Value = (u8, Option<Vec<u8>>);

/// What a backend says before anybody logs in.
pub(crate) async fn greeting(route: &Route) -> Result<Greeting, BackendError> {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    within(LOGIN_TIME, async { Ok(dial(route, address, address).await?.1) }).await
}

async fn within<T>(
    time: std::time::Duration,
    work: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    tokio::time::timeout(time, work).await.map_err(|_| BackendError::Late)?
}

async fn dial(route: &Route, client: SocketAddr, gate: SocketAddr) -> Result<(Connection, Greeting, u8), BackendError> {
    let stream = TcpStream::connect(&route.settings.address).await.map_err(BackendError::Connect)?;
    stream.set_nodelay(true).map_err(BackendError::Connect)?;
    let mut connection = Connection {
        stream: Stream::Plain(stream),
        buffer: Buffer::new(BACKEND_BUFFER_BYTES),
        epoch: 0,
        index: route.index,
        thread_id: 0,
        status: 0,
        tracked: false,
        deprecate_eof: false,
        serial: 0,
    };
    if let Some(version) = route.settings.proxy_protocol {
        connection.send(&proxy_header(version, client, gate)).await?;
    }
    let (sequence, payload) = connection.packet().await?;
    if payload.first() == Some(&0xff) {
        let (code, message) = error_of(&payload);
        return Err(BackendError::Said { code, message });
    }
    let greeting = Greeting::read(&payload)?;
    connection.thread_id = greeting.thread_id;
    Ok((connection, greeting, sequence))
}

impl Connection {
    /// Connects with the gate's own account.
    pub(crate) async fn own_of(route: &Route, account: &Account) -> Result<Self, BackendError> {
        let identity = Identity::with_password(account.user.as_bytes(), account.password.as_bytes());
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        let wanted = Wanted {
            identity: &identity,
            // No more than every server has.
            capabilities: cap::NEEDED | cap::PLUGIN_AUTH,
            max_packet: 1 << 24,
            charset: 45,
            database: b"",
            attributes: b"",
            client: nobody,
            gate: nobody,
        };
        Self::open(route, &wanted).await
    }

    /// Connects and logs in.
    pub(crate) async fn open(route: &Route, wanted: &Wanted<'_>) -> Result<Self, BackendError> {
        within(LOGIN_TIME, async {
            let (mut connection, greeting, sequence) = dial(route, wanted.client, wanted.gate).await?;
            let missing = wanted.capabilities & !(greeting.capabilities | cap::CONNECT_ATTRS | cap::SESSION_TRACK);
            // MariaDB leaves out the first flag to say that it has extended ones; it speaks as if it were there.
            if missing & !cap::LONG_PASSWORD & !cap::CONNECT_WITH_DB != 0 {
                return Err(BackendError::Capabilities);
            }
            connection.log_in(route, wanted, &greeting, sequence).await?;
            Ok(connection)
        })
        .await
    }

    async fn log_in(
        &mut self,
        route: &Route,
        wanted: &Wanted<'_>,
        greeting: &Greeting,
        sequence: u8,
    ) -> Result<(), BackendError> {
        let offered = greeting.capabilities;
        let mut capabilities = (wanted.capabilities | (cap::SESSION_TRACK & offered))
            & !(cap::CONNECT_WITH_DB | cap::CONNECT_ATTRS | cap::SSL);
        capabilities |= cap::LONG_PASSWORD | cap::PLUGIN_AUTH | cap::SECURE_CONNECTION | cap::PROTOCOL_41;
        if offered & cap::SESSION_TRACK == 0 {
            capabilities &= !cap::SESSION_TRACK;
        }
        if !wanted.database.is_empty() {
            capabilities |= cap::CONNECT_WITH_DB;
        }
        if wanted.capabilities & cap::CONNECT_ATTRS & offered != 0 {
            capabilities |= cap::CONNECT_ATTRS;
        }
        self.tracked = capabilities & cap::SESSION_TRACK != 0;
        self.deprecate_eof = capabilities & cap::DEPRECATE_EOF != 0;
        let plugin = if greeting.plugin == auth::SHA2 { auth::SHA2 } else { auth::NATIVE };
        let mut response = Response {
            capabilities,
            max_packet: wanted.max_packet,
            charset: wanted.charset,
            user: wanted.identity.user.clone(),
            reply: Vec::new(),
            database: wanted.database.to_vec(),
            plugin: plugin.to_vec(),
            attributes: wanted.attributes.to_vec(),
        };
        let mut next = sequence.wrapping_add(1);
        if let Some(connector) = &route.tls {
            if offered & cap::SSL == 0 {
                return Err(BackendError::Plugin("plain text; TLS".to_owned()));
            }
            response.capabilities |= cap::SSL;
            self.send(&framed(next, &response.ssl_request())).await?;
            self.encrypt(connector, &route.settings.address).await?;
            next = next.wrapping_add(1);
        }
        response.reply = proof(wanted.identity, plugin, &greeting.scramble).unwrap_or_default();
        self.send(&framed(next, &response.write())).await?;
        self.authenticate(wanted.identity).await
    }

    async fn encrypt(&mut self, connector: &TlsConnector, address: &str) -> Result<(), BackendError> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Malformed("a name that no certificate has"))?;
        let Some(plain) = self.stream.take_plain() else {
            return Err(BackendError::Malformed(Malformed("TLS within TLS")));
        };
        let encrypted = connector.connect(name, plain).await.map_err(BackendError::Connect)?;
        self.stream = Stream::Dialled(Box::new(encrypted));
        Ok(())
    }

    async fn authenticate(&mut self, identity: &Identity) -> Result<(), BackendError> {
        loop {
            let (sequence, payload) = self.packet().await?;
            let reply = match payload.first() {
                Some(0) => {
                    self.status = Okay::read(&payload, self.tracked)?.status;
                    return Ok(());
                }
                Some(0xff) => {
                    let (code, message) = error_of(&payload);
                    return Err(BackendError::Said { code, message });
                }
                Some(0xfe) => {
                    let mut reader = Reader::new(&payload[1..]);
                    let plugin = reader.zero_ended().to_vec();
                    let random = reader.rest();
                    let scramble = random.first_chunk().ok_or(Malformed("no scramble"))?;
                    let reply = match (&plugin[..], &identity.password) {
                        (auth::ED25519, Some(password)) => {
                            let random = random.first_chunk::<ED25519_RANDOM>().ok_or(Malformed("no random bytes"))?;
                            Some(auth::ed25519_reply(password, random))
                        }
                        _ => proof(identity, &plugin, scramble),
                    };
                    reply.ok_or_else(|| BackendError::Plugin(String::from_utf8_lossy(&plugin).into_owned()))?
                }
                Some(1) if payload.get(1) == Some(&3) => continue,
                Some(1) if payload.get(1) == Some(&4) && self.stream.is_encrypted() => {
                    let mut password = identity.password.clone().unwrap_or_default();
                    password.push(0);
                    password
                }
                Some(1) => return Err(BackendError::Plugin("the password under TLS".to_owned())),
                _ => return Err(BackendError::Malformed(Malformed("not an answer to a login"))),
            };
            self.send(&framed(sequence.wrapping_add(1), &reply)).await?;
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), BackendError> {
        self.stream.send(bytes).await.map_err(|_| BackendError::Closed)
    }

    /// The next packet, whole, for the gate itself.
    async fn packet(&mut self) -> Result<(u8, Vec<u8>), BackendError> {
        loop {
            if let Some((size, sequence)) = header(self.buffer.filled()) {
                if size > NOTED_BYTES {
                    return Err(BackendError::Malformed(Malformed("a packet beyond any sense")));
                }
                if self.buffer.len() >= HEADER + size {
                    let payload = self.buffer.filled()[HEADER..HEADER + size].to_vec();
                    self.buffer.consume(HEADER + size);
                    return Ok((sequence, payload));
                }
                self.buffer.grow(HEADER + size);
            }
            if self.stream.fill(&mut self.buffer).await.map_err(|_| BackendError::Closed)? == 0 {
                return Err(BackendError::Closed);
            }
        }
    }

    /// Runs a statement of the gate's own; gives the only row of a result, or nothing.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<Vec<Value>, BackendError> {
        Ok(self.rows(sql).await?.into_iter().next().unwrap_or_default())
    }

    /// Runs a statement of the gate's own and gives all rows.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Value>>, BackendError> {
        within(OWN_STATEMENT_TIME, self.run(sql)).await
    }

    async fn run(&mut self, sql: &str) -> Result<Vec<Vec<Value>>, BackendError> {
        let payload = [&[command::QUERY], sql.as_bytes()].concat();
        self.send(&framed(0, &payload)).await?;
        let head = self.answer().await?;
        if head.first() == Some(&0) {
            self.status = Okay::read(&head, self.tracked)?.status;
            return Ok(Vec::new());
        }
        let columns = Reader::new(&head).lenenc()?;
        let mut types = Vec::new();
        for _ in 0..columns {
            let definition = self.answer().await?;
            let mut reader = Reader::new(&definition);
            for _ in 0..6 {
                reader.lenenc_bytes()?;
            }
            reader.bytes(1 + 2 + 4)?;
            types.push(reader.u8()?);
        }
        if !self.deprecate_eof {
            self.answer().await?;
        }
        let mut rows = Vec::new();
        loop {
            let row = self.answer().await?;
            if row.first() == Some(&0xfe) {
                return Ok(rows);
            }
            let mut reader = Reader::new(&row);
            let values: Result<Vec<_>, _> = types
                .iter()
                .map(|kind| Ok::<_, Malformed>((*kind, reader.text_value()?.map(<[u8]>::to_vec))))
                .collect();
            rows.push(values?);
        }
    }

    async fn answer(&mut self) -> Result<Vec<u8>, BackendError> {
        let (_, payload) = self.packet().await?;
        if payload.first() == Some(&0xff) {
            let (code, message) = error_of(&payload);
            return Err(BackendError::Said { code, message });
        }
        Ok(payload)
    }

    /// Asks for the session's status: the answer to a ping carries it.
    pub(crate) async fn ping(&mut self) -> Result<u16, BackendError> {
        self.own(&[command::PING]).await
    }

    /// Sends a command of the gate's own that is answered by OK or an end packet; gives the status.
    pub(crate) async fn own(&mut self, payload: &[u8]) -> Result<u16, BackendError> {
        within(OWN_STATEMENT_TIME, async {
            self.send(&framed(0, payload)).await?;
            let answer = self.answer().await?;
            Ok(match answer.first() {
                Some(0xfe) if answer.len() < 9 => Reader::new(answer.get(3..).unwrap_or_default()).u16()?,
                _ => Okay::read(&answer, self.tracked)?.status,
            })
        })
        .await
    }

    /// Prepares a statement for a session that moved; gives its number and how many parameters it has.
    pub(crate) async fn prepare(&mut self, text: &[u8]) -> Result<(u32, u16), BackendError> {
        within(OWN_STATEMENT_TIME, async {
            self.send(&framed(0, &[&[command::STMT_PREPARE], text].concat())).await?;
            let head = self.answer().await?;
            let mut reader = Reader::new(&head);
            reader.u8()?;
            let (statement, columns, parameters) = (reader.u32()?, reader.u16()?, reader.u16()?);
            for definitions in [parameters, columns] {
                let end = u32::from(definitions > 0 && !self.deprecate_eof);
                for _ in 0..u32::from(definitions) + end {
                    self.packet().await?;
                }
            }
            Ok((statement, parameters))
        })
        .await
    }
}

/// Bytes that `client_ed25519` signs.
const ED25519_RANDOM: usize = 32;

/// What proves an identity to a plugin; `None` when what the gate knows does not suffice.
fn proof(identity: &Identity, plugin: &[u8], scramble: &[u8; SCRAMBLE]) -> Option<Vec<u8>> {
    match (plugin, identity.stage1) {
        (auth::NATIVE, Some(stage1)) => Some(auth::native_reply(&stage1, scramble).to_vec()),
        (auth::NATIVE | auth::SHA2, None) => Some(Vec::new()),
        (auth::SHA2, Some(_)) => identity.password.as_ref().map(|password| auth::sha2_reply(password, scramble)),
        _ => None,
    }
}

/// The header of the PROXY protocol (haproxy.org, "The PROXY protocol", versions 1 and 2).
fn proxy_header(version: ProxyProtocol, client: SocketAddr, gate: SocketAddr) -> Vec<u8> {
    let (from, to) = (client.ip().to_canonical(), gate.ip().to_canonical());
    let (family, kind, mut addresses) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ("TCP4", 0x11, [from.octets(), to.octets()].concat()),
        (from, to) => {
            let six = |address: IpAddr| match address {
                IpAddr::V4(four) => four.to_ipv6_mapped().octets(),
                IpAddr::V6(six) => six.octets(),
            };
            ("TCP6", 0x21, [six(from), six(to)].concat())
        }
    };
    if version == ProxyProtocol::V1 {
        return format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), gate.port()).into_bytes();
    }
    addresses.extend_from_slice(&client.port().to_be_bytes());
    addresses.extend_from_slice(&gate.port().to_be_bytes());
    let mut out = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    out.push(kind);
    out.extend_from_slice(&(addresses.len() as u16).to_be_bytes());
    out.extend_from_slice(&addresses);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_address_goes_before_the_greeting() {
        let (client, gate) = (SocketAddr::from(([10, 0, 0, 1], 4000)), SocketAddr::from(([10, 0, 0, 2], 3306)));
        assert_eq!(proxy_header(ProxyProtocol::V1, client, gate), b"PROXY TCP4 10.0.0.1 10.0.0.2 4000 3306\r\n");
        let binary = proxy_header(ProxyProtocol::V2, client, gate);
        assert_eq!(binary[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
        assert_eq!(binary[16..], [10, 0, 0, 1, 10, 0, 0, 2, 0x0f, 0xa0, 0x0c, 0xea]);
    }
}
