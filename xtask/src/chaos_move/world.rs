//! What a campaign moves: two servers, a gate before them, and the ledger service that writes through the gate.
//!
//! Owns them all, and starting again whatever was killed. A *chain* is one move there and back and there again on the same
//! servers; a new chain begins from nothing, from whichever server is true. Never decides what is killed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use piton_testkit::gate::Gate;
use piton_testkit::ledger::{self, Settings, Stats};
use piton_testkit::mariadb::{MariaDb, Options};
use piton_testkit::{Account, probe};

use super::Result;

/// Tables that move: the ledger's, and one that makes the copy take a while.
pub(super) const TABLES: [&str; 3] = ["shop.ledger_accounts", "shop.ledger_entries", "shop.bulk"];
const BULK_ROWS: u32 = 40_000;
const CLIENTS: usize = 4;
/// What each client waits between two writes.
const PAUSE: Duration = Duration::from_millis(30);
/// The service writes again within this, or a gate has never opened.
const WRITES_LIMIT: Duration = Duration::from_secs(30);
/// What the service has written before anything is killed.
const FIRST_WRITES: usize = 20;

pub(super) struct World {
    folder: PathBuf,
    piton: PathBuf,
    deadline: String,
    servers: [MariaDb; 2],
    /// Which of the servers was true before this chain.
    first: usize,
    chain: u64,
    gate: Option<Gate>,
    password: String,
}

impl World {
    pub(super) fn start(folder: &Path, piton: &Path, deadline: &str) -> Result<Self> {
        let start = |server_id| MariaDb::start(Options { server_id, ..Options::default() });
        let servers = [start(201)?, start(202)?];
        // An account's password must not be one of the machine's own: a server's is random.
        let password = format!("app-{}", servers[0].password());
        for server in &servers {
            server.sql(&format!(
                "create user gate@'%' identified by '{password}'; grant select on mysql.* to gate@'%';
                 grant all on piton_move.* to gate@'%';
                 grant binlog admin, read only admin, connection admin, process, create user on *.* to gate@'%'"
            ))?;
        }
        let (folder, piton, deadline) = (folder.to_owned(), piton.to_owned(), deadline.to_owned());
        Ok(Self { folder, piton, deadline, servers, first: 0, chain: 0, gate: None, password })
    }

    /// Begins a chain: the server at `first` has everything, the other has empty tables, and nobody knows of a move.
    pub(super) fn begin_chain(&mut self, first: usize) -> Result<()> {
        self.gate = None;
        self.first = first;
        self.chain += 1;
        let password = &self.password;
        for server in &self.servers {
            server.sql(
                "set global read_only = 0; drop user if exists app@'%'; drop database if exists shop;
                 drop database if exists piton_move; create database shop",
            )?;
        }
        let (old, new) = (self.server(0), self.server(1));
        old.sql(&format!("create user app@'%' identified by '{password}'; grant all on shop.* to app@'%'"))?;
        ledger::prepare(&old.address(), &self.account())?;
        old.sql(&format!(
            "use shop; create table shop.bulk (id int primary key, text varchar(80) not null);
             insert into shop.bulk select seq, concat('row ', seq, repeat('-', seq % 60)) from seq_1_to_{BULK_ROWS};"
        ))?;
        for table in TABLES {
            let shape = old.sql(&format!("show create table {table}"))?.replace("\\n", "\n");
            let (_, create) = shape.split_once('\t').ok_or("a table without a shape")?;
            new.sql(&format!("set foreign_key_checks = 0; use shop; {create}"))?;
        }
        for server in &self.servers {
            server.sql(&format!("use shop; {}", probe::TABLE))?;
        }
        let (one, other) = (format!("old={}", old.address()), format!("new={}", new.address()));
        let words = ["--backend", &one, "--backend", &other, "--account", "gate", "--register", "shop"];
        let words = [&words[..], &["--deadline", &self.deadline]].concat();
        let gate = Gate::start(&self.piton, &words, &self.password)?;
        std::fs::create_dir_all(self.chain_folder())?;
        std::fs::write(self.endpoint_file(), format!("{}\n", gate.address()))?;
        self.gate = Some(gate);
        Ok(())
    }

    /// Starts again whatever is down: after a kill whose end nobody saw.
    pub(super) fn revive(&mut self) -> Result<()> {
        self.gate = None;
        for server in &mut self.servers {
            if server.sql("select 1").is_err() {
                server.restart()?;
            }
        }
        Ok(())
    }

    /// The server that an epoch makes true: the old one an even epoch, the new one an odd one.
    pub(super) fn server(&self, epoch: u64) -> &MariaDb {
        &self.servers[self.place(epoch)]
    }

    pub(super) fn server_mut(&mut self, epoch: u64) -> &mut MariaDb {
        let place = self.place(epoch);
        &mut self.servers[place]
    }

    /// Which of the two it is, in the order that a prober knows them by.
    pub(super) fn place(&self, epoch: u64) -> usize {
        (self.first + (epoch % 2) as usize) % 2
    }

    pub(super) fn addresses(&self) -> [String; 2] {
        [self.servers[0].address(), self.servers[1].address()]
    }

    pub(super) fn gate(&self) -> Result<&Gate> {
        self.gate.as_ref().ok_or_else(|| "no gate was started".into())
    }

    pub(super) fn gate_mut(&mut self) -> Result<&mut Gate> {
        self.gate.as_mut().ok_or_else(|| "no gate was started".into())
    }

    pub(super) fn account(&self) -> Account {
        Account { user: "app".to_owned(), password: self.password.clone(), schema: "shop".to_owned() }
    }

    fn chain_folder(&self) -> PathBuf {
        self.folder.join(format!("chain-{}", self.chain))
    }

    fn endpoint_file(&self) -> PathBuf {
        self.chain_folder().join("endpoint")
    }

    /// Where the service keeps what it was promised, for the whole chain.
    pub(super) fn ledger_folder(&self) -> PathBuf {
        self.chain_folder().join("ledger")
    }

    pub(super) fn service(&self) -> Result<Service> {
        let settings = Settings {
            endpoint_file: self.endpoint_file(),
            folder: self.ledger_folder(),
            account: self.account(),
            clients: CLIENTS,
            pause: PAUSE,
        };
        let acknowledged = settings.folder.join("acknowledged");
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread =
            std::thread::spawn(move || ledger::serve(&settings, told).map_err(|error| format!("the ledger: {error}")));
        let service = Service { stop, thread: Some(thread), acknowledged };
        service.writes_again(FIRST_WRITES)?;
        Ok(service)
    }
}

/// The ledger service at work. Dropping it stops it.
pub(super) struct Service {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<std::result::Result<Stats, String>>>,
    acknowledged: PathBuf,
}

impl Service {
    /// Waits until so many more writes are acknowledged.
    pub(super) fn writes_again(&self, more: usize) -> Result<()> {
        let count = || std::fs::read(&self.acknowledged).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count());
        let (before, began) = (count(), Instant::now());
        while count() < before + more {
            if began.elapsed() > WRITES_LIMIT {
                return Err(format!("the service has not written for {} s", WRITES_LIMIT.as_secs()).into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits for the next acknowledged write, from now on: how long it took is the thread's to say.
    pub(super) fn next_write(&self) -> JoinHandle<Duration> {
        let file = self.acknowledged.clone();
        let length = move || std::fs::metadata(&file).map_or(0, |file| file.len());
        let (before, began) = (length(), Instant::now());
        std::thread::spawn(move || {
            while length() == before && began.elapsed() < WRITES_LIMIT {
                std::thread::sleep(Duration::from_millis(1));
            }
            began.elapsed()
        })
    }

    pub(super) fn stop(mut self) -> Result<Stats> {
        self.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.take().ok_or("the service was stopped")?;
        Ok(thread.join().map_err(|_| "the service panicked")??)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // Only on the way out of a failure, which is the one to report.
            let _ = thread.join();
        }
    }
}
