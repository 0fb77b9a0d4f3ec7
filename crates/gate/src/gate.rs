//! A running gate: its threads, its listener, and what may be asked of it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use crate::auth::Credentials;
use crate::backend::{self, Connection, Route};
use crate::config::{Account, BACKLOG, Config};
use crate::control;
use crate::error::GateError;
use crate::handover;
use crate::hold::{HoldOptions, HoldReport, Holder, Opened};
use crate::metrics;
use crate::register::Register;
use crate::session;
use crate::shared::{Offer, Shared};
use crate::slot::{Slot, Standing};
use crate::tls;
use crate::wire::capabilities as cap;

/// People's and programs' sessions: neither a replica's nor the server's own.
const SESSIONS: &str = "SELECT id, user, host, time FROM information_schema.processlist \
     WHERE id <> connection_id() AND command NOT IN ('Binlog Dump', 'Binlog Dump GTID', 'Daemon') \
     AND user NOT IN ('system user', 'event_scheduler')";
/// How often a gate that leaves is looked at.
const LEFT_LOOK: Duration = Duration::from_millis(100);
/// Accepted connections that wait for their thread.
const QUEUE: usize = 256;

/// What a gate says of itself.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Status {
    /// How often it has switched; with a register, the epoch committed there.
    pub epoch: u64,
    /// Where statements go.
    pub backend: String,
    /// Whether statements are held.
    pub held: bool,
    /// Connected clients.
    pub clients: usize,
    /// Clients whose statement, or login, is held.
    pub waiting: usize,
    /// Clients with a statement or a transaction open.
    pub open_units: usize,
    /// Clients that cannot move.
    pub pinned: usize,
    /// Accounts that cannot come in, as the gate cannot check their plugin: user and plugin.
    pub unchecked: Vec<String>,
    /// The gate has just started and does not know yet which backend is true.
    pub starting: bool,
    /// Another gate has its listener: it goes when its last client does.
    #[serde(default)]
    pub leaving: bool,
    /// Why its register did not let it open when it was last asked.
    pub why: Option<String>,
    /// How the last hold ended.
    pub last_hold: Option<Opened>,
}

/// A session on a gate's backend that does not come through this gate.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Outsider {
    /// The backend's id of it.
    pub id: u64,
    pub user: String,
    /// Where it comes from.
    pub host: String,
    /// Since when it does what it does.
    pub age_s: u64,
}

/// What becomes of a gate whose listener another one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It accepts nobody any more; so many clients stay.
    Begun { clients: usize },
    /// The last one has left.
    Done,
}

/// A gate. Dropping it closes the listener and all sessions.
pub struct Gate {
    shared: Arc<Shared>,
    holder: Arc<Holder>,
    address: SocketAddr,
    account: Option<Account>,
    given: Credentials,
    /// Where its control socket is now.
    control: Mutex<Option<PathBuf>>,
    /// The same listener as the one that accepts, to be given away.
    listener: OwnedFd,
    took_over: bool,
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    leaving: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("address", &self.address).finish_non_exhaustive()
    }
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> GateError {
    let what = what.into();
    move |source| GateError::Io { what, source }
}

impl Gate {
    /// Starts a gate that is switched by hand. At least one backend must answer.
    ///
    /// # Errors
    /// When the address cannot be listened on, no backend answers, or accounts or certificates cannot be read.
    pub fn start(config: Config) -> Result<Arc<Self>, GateError> {
        Self::begin(config, None)
    }

    /// Starts a gate before two backends that obeys a register: it is held until that says which one is true. An attempt
    /// that it finds open has until `deadline` to be decided.
    ///
    /// # Errors
    /// As [`Gate::start`]; and when it has not two backends.
    pub fn start_with(config: Config, register: Arc<dyn Register>, deadline: Duration) -> Result<Arc<Self>, GateError> {
        if config.backends.len() != 2 {
            return Err(GateError::NotTwo(config.backends.len()));
        }
        Self::begin(config, Some((register, deadline)))
    }

    fn begin(config: Config, register: Option<(Arc<dyn Register>, Duration)>) -> Result<Arc<Self>, GateError> {
        if config.backends.is_empty() {
            return Err(GateError::NoBackend);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("gate-control")
            .enable_all()
            .build()
            .map_err(io("start a thread"))?;
        let routes: Result<Vec<Route>, GateError> = config
            .backends
            .iter()
            .enumerate()
            .map(|(index, settings)| {
                Ok(Route { index, settings: settings.clone(), tls: tls::connector(&settings.tls)? })
            })
            .collect();
        let routes = routes?;
        let acceptor = tls::acceptor(&config.tls)?;
        let offer = runtime.block_on(offer(&routes))?;
        let mut credentials = config.credentials.clone();
        if let Some(account) = &config.account {
            credentials.merge(runtime.block_on(stored_somewhere(&routes, account))?);
        }
        let shared = Arc::new(Shared::new(offer, routes, acceptor, credentials, config.connections));
        let holder = Arc::new(Holder::new(Arc::clone(&shared), register.as_ref().map(|(one, _)| Arc::clone(one))));
        if let Some((register, deadline)) = register
            && let Some(number) = holder.close(None, true)
        {
            runtime.spawn(Arc::clone(&holder).start(number, register, deadline));
        }
        let (stop, stopped) = watch::channel(false);
        let (leaving, leaves) = watch::channel(false);
        let (workers, queues) = start_workers(config.workers, &shared, &stopped)?;
        // Last of all, as the gate that it may be taken from serves until then.
        let given = match &config.control {
            Some(path) if config.take_over => handover::take(path, config.listen)?,
            _ => None,
        };
        let took_over = given.is_some();
        let listener = runtime.block_on(async { given.map_or_else(|| listen(config.listen), TcpListener::from_std) });
        let listener = listener.map_err(io(format!("listen on {}", config.listen)))?;
        let address = listener.local_addr().map_err(io("learn the listener's address"))?;
        let same = listener.as_fd().try_clone_to_owned().map_err(io("keep the listener"))?;
        runtime.spawn(accept(listener, queues, stopped.clone(), leaves));
        let gate = Self {
            shared,
            holder,
            address,
            account: config.account,
            given: config.credentials,
            control: Mutex::new(config.control.clone()),
            listener: same,
            took_over,
            runtime: Some(runtime),
            stop,
            leaving,
            workers,
        };
        let gate = Arc::new(gate);
        if let Some(path) = &config.control {
            let (path, weak) = (path.clone(), Arc::downgrade(&gate));
            gate.run(async move {
                let listening = control::listen(&path, weak, stopped).await;
                listening.map_err(io(format!("listen on {}", path.display())))
            })?;
        }
        Ok(gate)
    }

    /// Has the gate's own thread do something, and waits for it; the caller may be on any thread but the gate's.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, GateError>> + Send + 'static,
    ) -> Result<T, GateError> {
        let stopping = || GateError::Phase("the gate is stopping");
        let (done, outcome) = std::sync::mpsc::sync_channel(1);
        self.runtime.as_ref().ok_or_else(stopping)?.spawn(async move {
            // Whoever asked waits for it below.
            let _ = done.send(work.await);
        });
        outcome.recv().map_err(|_| stopping())?
    }

    /// Where clients connect; the port is real even where 0 was configured.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether its listener was another gate's.
    #[must_use]
    pub fn took_over(&self) -> bool {
        self.took_over
    }

    /// Tells, on a thread of the gate's own, what becomes of it once another has its listener.
    pub fn on_leaving(&self, tell: impl Fn(Leaving) + Send + 'static) {
        let (mut leaving, shared) = (self.leaving.subscribe(), Arc::clone(&self.shared));
        let Some(runtime) = &self.runtime else { return };
        runtime.spawn(async move {
            if leaving.wait_for(|leaving| *leaving).await.is_err() {
                return;
            }
            tell(Leaving::Begun { clients: shared.all_slots().len() });
            // Twice in a row: a client that was accepted last may not have its place yet.
            let mut quiet = 0;
            while quiet < 2 {
                tokio::time::sleep(LEFT_LOOK).await;
                quiet = if shared.all_slots().is_empty() { quiet + 1 } else { 0 };
            }
            tell(Leaving::Done);
        });
    }

    /// Makes way for another gate at the same address: its control socket's place becomes free. Gives the listener.
    pub(crate) fn make_way(&self, listen: SocketAddr) -> Result<OwnedFd, GateError> {
        if *self.leaving.borrow() {
            return Err(GateError::Phase("another gate has followed it already"));
        }
        if !self.shared.is_open() {
            return Err(GateError::Phase("it is held; a gate is followed while it is open"));
        }
        if listen != self.address {
            return Err(GateError::Phase("it listens at another address"));
        }
        self.rename_control(|path| {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(format!(".leaving-{}", std::process::id()));
            path.with_file_name(name)
        })?;
        self.listener.try_clone().map_err(io("give the listener away"))
    }

    /// Nobody has followed after all.
    pub(crate) fn stay(&self) {
        let back = self.rename_control(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            path.with_file_name(name.rsplit_once(".leaving-").map_or(name.as_str(), |(before, _)| before))
        });
        // Where it cannot be called as before, it answers at its other name.
        drop(back);
    }

    /// Accepts nobody any more.
    pub(crate) fn leave(&self) {
        self.leaving.send_replace(true);
    }

    fn rename_control(&self, to: impl FnOnce(&Path) -> PathBuf) -> Result<(), GateError> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = control.as_mut() {
            let renamed = to(path);
            std::fs::rename(&*path, &renamed).map_err(io(format!("rename {}", path.display())))?;
            *path = renamed;
        }
        Ok(())
    }

    /// Closes the gate and waits until open transactions have ended, or opens it again. Blocks its thread meanwhile.
    ///
    /// # Errors
    /// When the gate is held already or the target is unknown.
    pub fn hold(&self, options: &HoldOptions) -> Result<HoldReport, GateError> {
        let (holder, options) = (Arc::clone(&self.holder), options.clone());
        self.run(async move { holder.hold(&options).await })
    }

    pub(crate) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    /// Sends statements to another backend from now on; the gate stays held.
    ///
    /// # Errors
    /// When the gate is not held and drained, or the name is unknown.
    pub fn switch(&self, backend: &str) -> Result<u64, GateError> {
        self.holder.switch(backend)
    }

    /// Opens the gate; a hold that belongs to an attempt as the register has decided it.
    ///
    /// # Errors
    /// When it is not held, or its attempt is not decided.
    pub fn release(&self) -> Result<Opened, GateError> {
        let holder = Arc::clone(&self.holder);
        self.run(async move { holder.release().await })
    }

    /// Opens the gate to the old backend; a hold that belongs to an attempt asks the register to abort, and obeys.
    ///
    /// # Errors
    /// When it is not held, has switched, or nobody knows what was decided.
    pub fn abort(&self) -> Result<Opened, GateError> {
        let holder = Arc::clone(&self.holder);
        self.run(async move { holder.abort().await })
    }

    /// Holds and releases without switching: how long draining takes, and who blocks it.
    ///
    /// # Errors
    /// When the gate is held already.
    pub fn drill(&self, drain: Duration) -> Result<HoldReport, GateError> {
        let holder = Arc::clone(&self.holder);
        self.run(async move { control::drill(&holder, drain).await })
    }

    /// Who is pinned and who has a transaction open, without holding anything.
    #[must_use]
    pub fn look(&self) -> HoldReport {
        self.holder.look()
    }

    /// Which side is true, and how many wait.
    #[must_use]
    pub fn status(&self) -> Status {
        let slots = self.shared.all_slots();
        let count = |wanted: fn(&Slot) -> bool| slots.iter().filter(|slot| wanted(slot)).count();
        Status {
            epoch: self.shared.epoch(),
            backend: self.shared.route().settings.name.clone(),
            held: !self.shared.is_open(),
            clients: slots.len(),
            waiting: count(|slot| slot.standing() == Standing::Held),
            open_units: count(|slot| slot.standing().blocks()),
            pinned: count(|slot| !slot.pins().is_empty()),
            unchecked: self.shared.credentials().unchecked(),
            leaving: *self.leaving.borrow(),
            starting: self.holder.held().as_ref().is_some_and(|held| held.starting),
            why: self.holder.why(),
            last_hold: self.holder.last(),
        }
    }

    /// Sessions on the current backend that do not come through this gate: neither a client's nor its own. Replicas that read
    /// the log, and what the server runs by itself, are none.
    ///
    /// # Errors
    /// When the gate has no account of its own, or the backend cannot be asked.
    pub(crate) async fn outside(&self) -> Result<(String, Vec<Outsider>), GateError> {
        let account = self.account.as_ref().ok_or(GateError::Phase("it has no account of its own to ask with"))?;
        let route = self.shared.route();
        let name = route.settings.name.clone();
        let failed =
            |error: crate::error::BackendError| GateError::Backend { name: name.clone(), why: error.to_string() };
        let mut connection = Connection::own_of(route, account).await.map_err(failed)?;
        let rows = connection.rows(SESSIONS).await.map_err(failed)?;
        let inside: HashSet<u64> =
            self.shared.all_slots().iter().map(|slot| u64::from(slot.thread_id.load(Ordering::SeqCst))).collect();
        let text = |value: &crate::backend::Value| {
            String::from_utf8_lossy(value.1.as_deref().unwrap_or_default()).into_owned()
        };
        let outsider = |row: &Vec<crate::backend::Value>| match &row[..] {
            [id, user, host, age] => Some(Outsider {
                id: text(id).parse().ok()?,
                user: text(user),
                host: text(host),
                age_s: text(age).parse().unwrap_or_default(),
            }),
            _ => None,
        };
        let is_outside = |one: &Outsider| one.user != account.user && !inside.contains(&one.id);
        let outsiders = rows.iter().filter_map(outsider).filter(is_outside).collect();
        Ok((name, outsiders))
    }

    /// The gate's numbers in Prometheus's text form.
    #[must_use]
    pub fn metrics(&self) -> String {
        metrics::text(&self.shared)
    }

    /// Reads stored hashes again from the backend that is current.
    pub(crate) async fn reload(&self) -> Result<(), GateError> {
        let mut all = self.given.clone();
        if let Some(account) = &self.account {
            all.merge(stored(self.shared.route(), account).await?);
        }
        *self.shared.credentials.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
        Ok(())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for worker in self.workers.drain(..) {
            // A session's panic has been printed; the gate is going away all the same.
            let _ = worker.join();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        if let Some(path) = self.control.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A client with where it comes from, on its way to its thread.
type Arrival = (std::net::TcpStream, SocketAddr);

/// Threads, and the queue of each.
type Workers = (Vec<JoinHandle<()>>, Vec<mpsc::Sender<Arrival>>);

/// Starts the threads that serve clients; each has a queue of arrivals.
fn start_workers(wanted: usize, shared: &Arc<Shared>, stopped: &watch::Receiver<bool>) -> Result<Workers, GateError> {
    let count = match wanted {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    let (mut workers, mut queues) = (Vec::new(), Vec::new());
    for index in 0..count {
        let (queue, arrivals) = mpsc::channel(QUEUE);
        queues.push(queue);
        let (shared, stopped) = (Arc::clone(shared), stopped.clone());
        let thread = std::thread::Builder::new().name(format!("gate-{index}"));
        workers.push(thread.spawn(move || work(shared, arrivals, stopped)).map_err(io("start a thread"))?);
    }
    Ok((workers, queues))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes clients in and deals them out to the threads, which live as long as their queues do.
async fn accept(
    listener: TcpListener,
    queues: Vec<mpsc::Sender<Arrival>>,
    mut stopped: watch::Receiver<bool>,
    mut leaves: watch::Receiver<bool>,
) {
    for queue in queues.iter().cycle() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return,
            _ = leaves.wait_for(|leaves| *leaves) => break,
        };
        match accepted {
            Ok((stream, client)) => {
                let Ok(stream) = stream.into_std() else { continue };
                if queue.send((stream, client)).await.is_err() {
                    return;
                }
            }
            // Out of descriptors, or a client that left at once: the next one may have more luck, a little later.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    drop(listener);
    // An error is a gate that stops, too.
    drop(stopped.wait_for(|stop| *stop).await);
}

/// One thread with all its sessions: nothing of a session ever crosses threads.
fn work(shared: Arc<Shared>, mut arrivals: mpsc::Receiver<Arrival>, mut stopped: watch::Receiver<bool>) {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        loop {
            let arrival = tokio::select! {
                arrival = arrivals.recv() => arrival,
                _ = stopped.wait_for(|stop| *stop) => None,
            };
            let Some((stream, client)) = arrival else { return };
            if let Ok(stream) = TcpStream::from_std(stream) {
                tokio::spawn(session::serve(Arc::clone(&shared), stream, client));
            }
        }
    });
}

/// What all backends that answer have in common.
async fn offer(routes: &[Route]) -> Result<Offer, GateError> {
    let mut common: Option<Offer> = None;
    let (mut silent, mut mute) = (None, false);
    for route in routes {
        match backend::greeting(route).await {
            Ok(greeting) => {
                let has = (greeting.capabilities | cap::LONG_PASSWORD) & cap::OFFERABLE;
                match &mut common {
                    Some(offer) => offer.capabilities &= has,
                    None => {
                        common =
                            Some(Offer { version: greeting.version, capabilities: has, charset: greeting.charset });
                    }
                }
            }
            Err(error) => {
                mute = true;
                silent = Some(GateError::Backend { name: route.settings.name.clone(), why: error.to_string() });
            }
        }
    }
    if let Some(offer) = common.as_mut().filter(|_| mute) {
        // Whoever does not answer now may lack what older servers lack.
        offer.capabilities &= !(cap::DEPRECATE_EOF | cap::PS_MULTI_RESULTS);
    }
    common.ok_or_else(|| silent.unwrap_or(GateError::NoBackend))
}

/// Reads the accounts' stored hashes from the first backend that answers.
async fn stored_somewhere(routes: &[Route], account: &Account) -> Result<Credentials, GateError> {
    let mut silent = GateError::NoBackend;
    for route in routes {
        match stored(route, account).await {
            Ok(all) => return Ok(all),
            Err(error) => silent = error,
        }
    }
    Err(silent)
}

/// Reads the accounts' stored hashes from a backend.
async fn stored(route: &Route, account: &Account) -> Result<Credentials, GateError> {
    let failed = |error: crate::error::BackendError| GateError::Backend {
        name: route.settings.name.clone(),
        why: error.to_string(),
    };
    let mut connection = Connection::own_of(route, account).await.map_err(failed)?;
    let rows = connection.rows("SELECT user, plugin, authentication_string FROM mysql.user").await.map_err(failed)?;
    let mut all = Credentials::default();
    for row in rows {
        if let [user, plugin, hash] = &row[..] {
            let of = |value: &crate::backend::Value| value.1.clone().unwrap_or_default();
            all.add_stored(&of(user), &of(plugin), &of(hash));
        }
    }
    Ok(all)
}
