//! `piton gate`: runs a gate, and asks a running one through its control socket.
//!
//! Owns what its words mean to a gate, and how its answers are shown. What a gate does is `piton_gate`'s.

mod ask;
mod epoch;
mod serve;
mod show;

use crate::args::{BackendsArgs, GateArgs, GateCommand};
use crate::error::{CliError, Kind};
use crate::exit::Exit;
use piton_gate::{Account, Backend, BackendTls, ProxyProtocol};
use piton_move::cutover::Registers;
use std::path::PathBuf;

/// Names a gate's control socket for all commands of a shell.
const CONTROL: &str = "PITON_GATE";
/// The longest name of a backend.
const NAME_CHARS: usize = 64;
/// Has the password of the gate's own account, where no file has it.
const PASSWORD: &str = "PITON_GATE_PASSWORD";

pub(crate) fn run(args: GateArgs) -> Result<Exit, CliError> {
    let command = args.command.unwrap_or_else(|| GateCommand::Serve(Box::new(args.serve)));
    match command {
        GateCommand::Serve(args) => serve::run(*args),
        GateCommand::Status(args) if args.epoch => epoch::run(&args),
        GateCommand::Status(args) => ask::status(&args.control),
        GateCommand::Hold(args) => ask::hold(&args),
        GateCommand::Switch { backend, control } => ask::switch(&control, &backend),
        GateCommand::Release(control) => ask::open(&control, "release"),
        GateCommand::Abort(control) => ask::open(&control, "abort"),
        GateCommand::Drill { drain, control } => ask::drill(&control, drain),
        GateCommand::Look(control) => ask::look(&control),
        GateCommand::Outside(args) => ask::outside(&args),
        GateCommand::Metrics(control) => ask::metrics(&control),
        GateCommand::Reload(control) => ask::reload(&control),
    }
}

fn usage(message: impl Into<String>) -> CliError {
    CliError::new(Kind::Usage, message).hint("see: piton gate --help")
}

fn control(given: Option<&PathBuf>) -> PathBuf {
    let set = || std::env::var_os(CONTROL).filter(|path| !path.is_empty()).map(PathBuf::from);
    given.cloned().or_else(set).unwrap_or_else(|| PathBuf::from("gate.sock"))
}

fn backends(args: &BackendsArgs) -> Result<Vec<Backend>, CliError> {
    let all: Vec<Backend> = args.backend.iter().map(|text| backend(text)).collect::<Result<_, _>>()?;
    if all.is_empty() {
        return Err(usage("a gate needs at least one --backend NAME=HOST:PORT"));
    }
    for (index, one) in all.iter().enumerate() {
        if all[..index].iter().any(|other| other.name == one.name) {
            return Err(usage(format!("two backends are called {}", one.name)));
        }
    }
    Ok(all)
}

/// `NAME=HOST:PORT`, and how it is reached, behind commas.
fn backend(text: &str) -> Result<Backend, CliError> {
    let wrong = |what: &str| usage(format!("--backend {text}: {what}"));
    let (name, rest) = text.split_once('=').ok_or_else(|| wrong("write NAME=HOST:PORT"))?;
    let mut parts = rest.split(',');
    let address = parts.next().unwrap_or_default();
    let port = address.rsplit_once(':').and_then(|(host, port)| port.parse::<u16>().ok().filter(|_| !host.is_empty()));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !(1..=NAME_CHARS).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(wrong("a name has letters, digits, `_` and `-`, at most 64"));
    }
    port.ok_or_else(|| wrong("its address is HOST:PORT"))?;
    let mut backend = Backend::plain(name, address);
    for part in parts {
        match part.split_once('=') {
            None if part == "tls" => backend.tls = BackendTls::Unverified,
            Some(("tls", authorities)) => backend.tls = BackendTls::Verified(PathBuf::from(authorities)),
            None if part == "proxy-v1" => backend.proxy_protocol = Some(ProxyProtocol::V1),
            None if part == "proxy-v2" => backend.proxy_protocol = Some(ProxyProtocol::V2),
            _ => return Err(wrong("after the address come tls, tls=CA.pem, proxy-v1 or proxy-v2")),
        }
    }
    Ok(backend)
}

fn account(args: &BackendsArgs) -> Result<Option<Account>, CliError> {
    let Some(user) = args.account.clone() else { return Ok(None) };
    let password = match &args.password_file {
        Some(path) => {
            let cannot = || CliError::new(Kind::File, format!("cannot read {}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| cannot().source(error))?;
            text.strip_suffix('\n').unwrap_or(&text).to_owned()
        }
        None => std::env::var(PASSWORD)
            .map_err(|_| usage(format!("the account {user} needs --password-file FILE, or {PASSWORD} set")))?,
    };
    Ok(Some(Account { user, password }))
}

/// What `--register` names: the registers of a move on two backends, of which the first is true before any epoch.
fn registers(
    args: &BackendsArgs,
    backends: &[Backend],
    account: Option<&Account>,
) -> Result<Option<Registers>, CliError> {
    let Some(name) = &args.register else { return Ok(None) };
    let account = account.ok_or_else(|| usage("--register needs --account"))?;
    let [first, second] = backends else {
        return Err(usage(format!(
            "a register is about two backends, the first and the second; here are {}",
            backends.len()
        )));
    };
    Ok(Some(Registers::new(name, &url(first, account), &url(second, account))))
}

/// Where the gate's own account reaches a backend.
fn url(backend: &Backend, account: &Account) -> String {
    let tls = match &backend.tls {
        BackendTls::Off => String::new(),
        BackendTls::Unverified => "?require_ssl=true&verify_ca=false&verify_identity=false".to_owned(),
        BackendTls::Verified(ca) => format!("?require_ssl=true&ssl_ca={}", encoded(&ca.to_string_lossy())),
    };
    format!("mysql://{}:{}@{}/{tls}", encoded(&account.user), encoded(&account.password), backend.address)
}

/// Text as it stands in a URL.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_signs_stands_in_a_url() {
        let account = Account { user: "gate".to_owned(), password: "p@ss/w%rd?".to_owned() };
        let url = url(&backend("new=db2:4000,tls=/etc/my ca.pem").unwrap(), &account);
        assert_eq!(url, "mysql://gate:p%40ss%2Fw%25rd%3F@db2:4000/?require_ssl=true&ssl_ca=%2Fetc%2Fmy%20ca.pem");
    }

    #[test]
    fn a_backend_is_a_name_an_address_and_how_it_is_reached() {
        let plain = backend("old=db1:3306").unwrap();
        assert_eq!((plain.name.as_str(), plain.address.as_str()), ("old", "db1:3306"));
        let all = backend("new=[::1]:4000,tls=/etc/ca.pem,proxy-v2").unwrap();
        assert_eq!((all.address.as_str(), all.proxy_protocol), ("[::1]:4000", Some(ProxyProtocol::V2)));
        assert!(matches!(all.tls, BackendTls::Verified(path) if path.as_os_str() == "/etc/ca.pem"));
        for wrong in ["db1:3306", "=db1:1", "a b=db1:1", "old=db1", "old=:1", "old=db1:99999", "old=db1:1,ssl"] {
            assert!(backend(wrong).is_err(), "{wrong}");
        }
    }
}
