//! A gate before private servers, with clients of several kinds. Owns what it starts; nothing outlives a test.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "what fails here fails its test")]

use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use mysql_async::{Conn, OptsBuilder, SslOpts};
use piton_gate::{Account, Backend, Config, Gate};
use piton_testkit::mariadb::{MariaDb, Options};
use piton_testkit::{available, find_program};

pub(crate) const PASSWORD: &str = "secret";

pub(crate) struct World {
    pub(crate) servers: Vec<MariaDb>,
    gate: Option<Arc<Gate>>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) config: Config,
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

pub(crate) fn server(options: Options) -> Option<MariaDb> {
    let server = available(MariaDb::start(options))?;
    server
        .sql(&format!(
            "create database shop; create user app@'%' identified by '{PASSWORD}'; grant all on *.* to app@'%';\
             create user gate@'%' identified by '{PASSWORD}'; grant select on mysql.* to gate@'%';\
             grant all on piton.* to gate@'%'; grant binlog admin, read only admin on *.* to gate@'%'; reset master"
        ))
        .unwrap();
    Some(server)
}

impl World {
    pub(crate) fn start(servers: u32) -> Option<Self> {
        Self::start_with(servers, |_| {})
    }

    pub(crate) fn start_with(servers: u32, change: impl Fn(&mut Config)) -> Option<Self> {
        let options = (1..=servers).map(|server_id| Options { server_id, ..Options::default() }).collect();
        Self::start_on(options, change)
    }

    pub(crate) fn start_on(servers: Vec<Options>, change: impl Fn(&mut Config)) -> Option<Self> {
        let servers: Vec<_> = servers.into_iter().map(server).collect::<Option<_>>()?;
        let folder = tempfile::tempdir().unwrap();
        let backends = servers.iter().zip(["old", "new"]).map(|(server, name)| Backend::plain(name, &server.address()));
        let mut config = Config::new(([127, 0, 0, 1], 0).into(), backends.collect());
        config.account = Some(Account { user: "gate".to_owned(), password: PASSWORD.to_owned() });
        config.control = Some(folder.path().join("gate.sock"));
        change(&mut config);
        let gate = Some(Gate::start(config.clone()).unwrap());
        Some(Self { servers, gate, folder, config })
    }

    pub(crate) fn gate(&self) -> &Gate {
        self.gate.as_ref().unwrap()
    }

    /// Ends the gate and starts it again, as it was configured, on another port.
    pub(crate) fn restart_gate(&mut self) {
        self.gate = None;
        self.gate = Some(Gate::start(self.config.clone()).unwrap());
    }

    pub(crate) fn options(&self, port: u16, schema: &str) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(port)
            .user(Some("app"))
            .pass(Some(PASSWORD))
            .db_name(Some(schema))
            .prefer_socket(false)
    }

    pub(crate) async fn client(&self, schema: &str) -> Conn {
        Conn::new(self.options(self.gate().address().port(), schema)).await.unwrap()
    }

    pub(crate) async fn encrypted(&self, schema: &str) -> Conn {
        let believing = SslOpts::default().with_danger_accept_invalid_certs(true);
        Conn::new(self.options(self.gate().address().port(), schema).ssl_opts(Some(believing))).await.unwrap()
    }

    pub(crate) async fn direct(&self, index: usize, schema: &str) -> Conn {
        Conn::new(self.options(self.servers[index].port(), schema)).await.unwrap()
    }

    pub(crate) fn cli(&self, options: &[&str], sql: &str) -> std::io::Result<Output> {
        self.cli_as("app", PASSWORD, options, sql)
    }

    pub(crate) fn cli_as(&self, user: &str, password: &str, options: &[&str], sql: &str) -> std::io::Result<Output> {
        Command::new("mariadb")
            .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--batch"])
            .arg(format!("--port={}", self.gate().address().port()))
            .arg(format!("--user={user}"))
            .arg(format!("--password={password}"))
            .args(options)
            .args(["--execute", sql, "shop"])
            .stdin(Stdio::null())
            .output()
    }

    pub(crate) fn sysbench(&self, test: &str, options: &[&str]) -> Option<Output> {
        let program = available(find_program(&["sysbench"], "sysbench"))?;
        let output = Command::new(program)
            .arg(test)
            .args(["--db-driver=mysql", "--mysql-host=127.0.0.1", "--mysql-user=app", "--mysql-db=shop"])
            .arg(format!("--mysql-password={PASSWORD}"))
            .arg(format!("--mysql-port={}", self.gate().address().port()))
            .args(["--tables=2", "--table-size=1000"])
            .args(options)
            .output();
        Some(output.unwrap())
    }
}
