//! Reads the registers of all backends and tries the abort, over connections of the gate's own.
//!
//! Owns those connections; one that did not answer in time is never used again. Never commits.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::table::{RegisterRead, RegisterRow, RegisterState, RegisterTable, decided, truth};
use super::{Answer, Attempt, Decision, Register, Truth};
use crate::backend::{Connection, Route, Value};
use crate::config::{Account, Backend};
use crate::error::{BackendError, GateError};
use crate::tls;

/// A register answers within this, or is not asked over that connection again.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Statements of a register's connection, before any other: its writes stay out of the binary log, which is being followed.
const SETTINGS: &str = "SET SESSION sql_log_bin = 0, SESSION autocommit = 1, SESSION innodb_lock_wait_timeout = 1";
const NO_DATABASE: u16 = 1049;
const NO_TABLE: u16 = 1146;

/// One backend and the connection to its register.
struct Place {
    route: Route,
    connection: Mutex<Option<Connection>>,
}

/// The registers of all backends.
pub struct SqlRegister {
    places: Vec<Place>,
    account: Account,
    table: RegisterTable,
}

impl std::fmt::Debug for SqlRegister {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlRegister").field("table", &self.table).finish_non_exhaustive()
    }
}

impl SqlRegister {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When TLS towards a backend cannot be set up.
    pub fn new(backends: &[Backend], account: Account, table: RegisterTable) -> Result<Self, GateError> {
        let route = |(index, settings): (usize, &Backend)| {
            let route = Route { index, settings: settings.clone(), tls: tls::connector(&settings.tls)? };
            Ok(Place { route, connection: Mutex::new(None) })
        };
        let places = backends.iter().enumerate().map(route).collect::<Result<_, GateError>>()?;
        Ok(Self { places, account, table })
    }

    fn place(&self, name: &str) -> Result<&Place, String> {
        let place = self.places.iter().find(|place| place.route.settings.name == name);
        place.ok_or_else(|| format!("no backend is called {name}"))
    }

    /// The rows on one backend; none where there is no table.
    async fn read(&self, place: &Place) -> Result<Vec<RegisterRow>, String> {
        let rows = match self.ask(place, &[self.table.read()]).await {
            Err(BackendError::Said { code: NO_DATABASE | NO_TABLE, .. }) => Vec::new(),
            other => other.map_err(|error| format!("the register of {}: {error}", place.route.settings.name))?,
        };
        rows.into_iter().map(row).collect()
    }

    /// The rows on every backend, asked at the same time.
    pub(crate) async fn read_all(&self) -> Vec<RegisterRead> {
        // Two backends are the usual case: the second is asked while the first one is.
        let mut all = Vec::new();
        for pair in self.places.chunks(2) {
            let second = async {
                match pair.get(1) {
                    Some(place) => Some(self.read(place).await),
                    None => None,
                }
            };
            let (first, second) = tokio::join!(self.read(&pair[0]), second);
            let read = |place: &Place, rows| RegisterRead { backend: place.route.settings.name.clone(), rows };
            all.push(read(&pair[0], first));
            all.extend(second.map(|rows| read(&pair[1], rows)));
        }
        all
    }

    /// Runs statements on one backend's connection and gives the rows of the last.
    async fn ask(&self, place: &Place, statements: &[String]) -> Result<Vec<Vec<Value>>, BackendError> {
        let mut kept = place.connection.lock().await;
        // Taken out meanwhile: a connection whose answer nobody waited for is dropped with it.
        let connection = kept.take();
        let work = async {
            let mut connection = match connection {
                Some(connection) => connection,
                None => self.connect(place).await?,
            };
            let mut rows = Ok(Vec::new());
            for statement in statements {
                rows = connection.rows(statement).await;
                if rows.is_err() {
                    break;
                }
            }
            if matches!(rows, Ok(_) | Err(BackendError::Said { .. })) {
                *kept = Some(connection);
            }
            rows
        };
        timeout(ANSWER_TIME, work).await.map_err(|_| BackendError::Late)?
    }

    async fn connect(&self, place: &Place) -> Result<Connection, BackendError> {
        let mut connection = Connection::own_of(&place.route, &self.account).await?;
        connection.rows(SETTINGS).await?;
        Ok(connection)
    }

    /// A register that loses decisions is none.
    async fn see_that_it_is_flushed(&self, place: &Place) -> Result<(), String> {
        let asked = "SELECT @@global.innodb_flush_log_at_trx_commit".to_owned();
        let rows = self.ask(place, &[asked]).await.map_err(|error| error.to_string())?;
        match rows.first().and_then(|row| row.first()) {
            Some((_, Some(value))) if value == b"1" => Ok(()),
            _ => {
                Err(format!("{} does not flush at commit (innodb_flush_log_at_trx_commit)", place.route.settings.name))
            }
        }
    }

    async fn abort(&self, attempt: &Attempt) -> Result<Decision, String> {
        let place = self.place(&attempt.source)?;
        self.see_that_it_is_flushed(place).await?;
        let [insert, update] = self.table.abort(attempt.epoch, attempt.number);
        let statements = [insert, update, self.table.read()];
        let mut rows = self.ask(place, &statements).await;
        if let Err(BackendError::Said { code: NO_DATABASE | NO_TABLE, .. }) = rows {
            let [schema, table] = self.table.create();
            self.ask(place, &[schema, table]).await.map_err(|error| error.to_string())?;
            rows = self.ask(place, &statements).await;
        }
        let rows = rows.map_err(|error| format!("the register of {}: {error}", attempt.source))?;
        let rows: Vec<_> = rows.into_iter().map(row).collect::<Result<_, _>>()?;
        decided(&rows, attempt).ok_or_else(|| "the register took no abort".to_owned())
    }

    /// Where the source does not answer, the target may have the commit already; it never has an abort.
    async fn elsewhere(&self, attempt: &Attempt, why: String) -> Result<Option<Decision>, String> {
        for place in self.places.iter().filter(|place| place.route.settings.name != attempt.source) {
            if let Ok(rows) = self.read(place).await
                && let Some(row) =
                    rows.iter().find(|row| row.epoch == attempt.epoch && row.state == RegisterState::Committed)
            {
                return Ok(Some(Decision::Committed(row.side.clone())));
            }
        }
        Err(why)
    }
}

impl Register for SqlRegister {
    fn decided<'a>(&'a self, attempt: &'a Attempt) -> Answer<'a, Option<Decision>> {
        Box::pin(async move {
            match self.read(self.place(&attempt.source)?).await {
                Ok(rows) => Ok(decided(&rows, attempt)),
                Err(why) => self.elsewhere(attempt, why).await,
            }
        })
    }

    fn try_abort<'a>(&'a self, attempt: &'a Attempt) -> Answer<'a, Decision> {
        Box::pin(self.abort(attempt))
    }

    fn truth(&self) -> Answer<'_, Truth> {
        Box::pin(async {
            let all = self.read_all().await;
            truth(&all)
        })
    }
}

fn row(values: Vec<Value>) -> Result<RegisterRow, String> {
    let mut values = values.into_iter().map(|(_, value)| value.and_then(|value| String::from_utf8(value).ok()));
    let mut next = || values.next().flatten().ok_or_else(|| "a row of the register that is none".to_owned());
    let number = |text: String| text.parse().map_err(|_| format!("a number of the register: {text:?}"));
    let (epoch, attempt) = (number(next()?)?, number(next()?)?);
    let state = match next()?.as_str() {
        "open" => RegisterState::Open,
        "aborted" => RegisterState::Aborted,
        "committed" => RegisterState::Committed,
        other => return Err(format!("a state of the register that nobody knows: {other:?}")),
    };
    Ok(RegisterRow { epoch, attempt, state, side: next()? })
}

/// Reads the registers of all backends once, with no gate needed. Blocks its thread.
///
/// # Errors
/// When TLS cannot be set up or no thread can be started; a backend that does not answer is in the list with its error.
pub fn read_registers(
    backends: &[Backend],
    account: &Account,
    table: &RegisterTable,
) -> Result<Vec<RegisterRead>, GateError> {
    let registers = SqlRegister::new(backends, account.clone(), table.clone())?;
    let failed = |source| GateError::Io { what: "start a thread".to_owned(), source };
    // On a thread of its own: whoever asks may have a runtime already.
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(registers.read_all()))
        });
        asked.join().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())).map_err(failed)
    })
}
