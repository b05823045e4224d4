//! Administration socket: a Unix socket in the data folder, mode 0600. A request is one line of JSON, and so is its reply.
//!
//! ```text
//! tandem apikey create ─▶ admin.sock ─▶ running server ─▶ store
//!                    └──── no server: opens the store itself
//! ```
//!
//! Invariants: secrets cross this socket once and are not logged. Only the owner of the data folder can connect. A request and
//! its reply are bounded in size and time.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::auth::{AccountError, KeyTerms, NewAccount, Passwords, account_create, api_key_create, password_reset};
use crate::calls::phones;
use crate::calls::trace::Ladder;
use crate::config::Config;
use crate::engine::{self, CallId, Command, CommandError, Engine, PlaceStatus, Supervisor, TrunkStatus};
use crate::store::{Assigned, By, Job, OrganizationId, Place, Role, Store, StoreError};
use crate::tail::Tail;
use crate::tenant::number::is_e164;

/// Size limit of a request, in bytes.
const REQUEST_MAX: u64 = 64 * 1024;
/// Size limit of a reply, in bytes: more than the trace of any call, whose messages the engine limits.
const REPLY_MAX: u64 = 16 * 1024 * 1024;
/// Time limit for a request with its reply.
const TURN: Duration = Duration::from_secs(10);
/// Number of jobs listed for each organization.
const JOBS_MAX: u32 = 20;
/// Number of phone numbers listed for each organization.
const NUMBERS_MAX: u32 = 10_000;
/// Name of the socket in the data folder.
const SOCKET: &str = "admin.sock";

/// Reason why an operator's command failed. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The socket cannot be created or used.
    #[error("{}: {source}", path.display())]
    Socket {
        /// Path of the socket.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The path is longer than the system allows.
    #[error("{}: too long for a Unix socket; choose a folder with a shorter path with --data", .0.display())]
    PathTooLong(PathBuf),
    /// There is neither a server nor a store.
    #[error("{}: there is no tandem data here; use --data with the folder of `tandem serve`", .0.display())]
    NoData(PathBuf),
    /// Only a running server can answer.
    #[error("{}: no server is running on this data folder; start it with `tandem serve`, or use another folder with --data", .0.display())]
    NotRunning(PathBuf),
    /// The server refused the command; the text is the reason.
    #[error("{0}")]
    Refused(String),
    /// The store cannot be opened or has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The account cannot be created.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// Command of an operator.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Creates an API key, and the organization if it does not exist.
    ApikeyCreate {
        /// Name of the organization.
        organization: String,
        /// Name that says what the key is for.
        name: String,
        /// Scopes; `None` grants everything a key may do.
        #[serde(default)]
        scopes: Option<Vec<String>>,
        /// Days until the key expires; `None` means never.
        #[serde(default)]
        expires_in_days: Option<u32>,
    },
    /// Creates a user, and the organization if it does not exist.
    UserCreate {
        /// Name of the organization.
        organization: String,
        /// E-mail address, with which the user logs in.
        email: String,
        /// Display name of the user.
        name: String,
        /// Role that is granted.
        role: Role,
        /// SIP user name of the user.
        sip_name: String,
    },
    /// Gives a user a new password.
    UserPassword {
        /// E-mail address of the user.
        email: String,
    },
    /// Assigns a number to an organization, which then receives its calls and may show it.
    NumberAssign {
        /// Name or id of the organization.
        organization: String,
        /// Phone number in E.164 format.
        number: String,
    },
    /// Lists every organization and its numbers.
    NumberList,
    /// Removes a number from the organization that has proven it.
    NumberRemove {
        /// Phone number in E.164 format.
        number: String,
    },
    /// Makes a supervised task or thread panic. For tests, not in release builds.
    #[cfg(debug_assertions)]
    Panic {
        /// Name of the task or thread.
        name: String,
    },
    /// Lists background jobs.
    Jobs,
    /// Returns what has happened in a call since the last look.
    Tail {
        /// Id of the call.
        call: String,
        /// Owning organization, once it is known.
        organization: Option<OrganizationId>,
        /// Id of the latest event that was read, 0 at first.
        after: i64,
    },
    /// Returns the state of trunks, which only a running server knows.
    Trunks,
    /// Returns the SIP messages of a call, which only a running server knows.
    Trace {
        /// Id of the call.
        call: String,
        /// Whether to include full numbers and the texts of messages.
        full: bool,
    },
}

impl Request {
    /// Returns whether only a running server can answer the command.
    fn needs_server(&self) -> bool {
        matches!(self, Request::Trunks | Request::Trace { .. })
    }
}

/// Reply to an operator's command.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// New API key, shown only here.
    Apikey {
        /// Name of the organization.
        organization: String,
        /// Whether the organization was created for the key.
        made: bool,
        /// The API key in full.
        key: String,
    },
    /// New password of a user, shown only here.
    Password {
        /// E-mail address of the user.
        email: String,
        /// The password in full.
        password: String,
    },
    /// Numbers of organizations.
    Numbers {
        /// The organizations, including those without numbers.
        organizations: Vec<Numbers>,
    },
    /// Background jobs of all organizations.
    Jobs {
        /// Name of each organization, with its newest jobs.
        jobs: Vec<(String, Vec<Job>)>,
    },
    /// New events of a call.
    Tail {
        /// New lines, and where the next look begins.
        tail: Tail,
    },
    /// State of all trunks.
    Trunks {
        /// The trunks, in the order of the configuration.
        trunks: Vec<Trunk>,
    },
    /// SIP messages of a call.
    Trace {
        /// Messages as a ladder diagram.
        ladder: Ladder,
    },
    /// The command was refused.
    Refused {
        /// Reason in one sentence.
        why: String,
    },
}

/// Numbers of an organization.
#[derive(Clone, Serialize, Deserialize)]
pub struct Numbers {
    /// Id of the organization.
    pub id: OrganizationId,
    /// Name of the organization, which it chooses itself.
    pub name: String,
    /// Each number, and whether it is proven.
    pub numbers: Vec<(String, bool)>,
}

/// State of a trunk.
#[derive(Clone, Serialize, Deserialize)]
pub struct Trunk {
    /// Name of the trunk.
    pub name: String,
    /// Number of calls that it carries now.
    pub calls: u32,
    /// Whether this server is registered there; `None` if it does not have to be.
    pub registered: Option<bool>,
    /// Addresses such as `udp 192.0.2.1:5060 (sip.example.com)`, and whether calls are sent there.
    pub places: Vec<(String, bool)>,
    /// Last error, if there was one.
    pub last_error: Option<String>,
}

impl From<TrunkStatus> for Trunk {
    fn from(status: TrunkStatus) -> Trunk {
        let place = |place: PlaceStatus| {
            let transport = place.transport.via_token().to_ascii_lowercase();
            let host =
                if place.host == place.address.ip().to_string() { String::new() } else { format!(" ({})", place.host) };
            (format!("{transport} {}{host}", place.address), place.healthy)
        };
        Trunk {
            name: status.name,
            calls: status.calls,
            registered: status.registered,
            places: status.places.into_iter().map(place).collect(),
            last_error: status.last_error,
        }
    }
}

/// Sends a command to the server that runs on this data folder. Without a server, executes it on the store.
///
/// # Errors
///
/// Fails if the command is refused, if it needs a running server and there is none, or if the socket or store cannot be used. The
/// text says what to do.
pub async fn ask(config: &Config, data: &Path, request: Request) -> Result<Reply, AdminError> {
    let path = data.join(SOCKET);
    let reply = match UnixStream::connect(&path).await {
        Ok(stream) => turn(stream, &request).await.map_err(|source| AdminError::Socket { path, source })?,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            if !data.is_dir() {
                return Err(AdminError::NoData(data.to_owned()));
            }
            if request.needs_server() {
                return Err(AdminError::NotRunning(data.to_owned()));
            }
            let store = Store::open_sealed(&config.store.place(data), &config.store.seal_key(data)).await?;
            let reply = answer(&store, &Passwords::new(), None, request).await;
            store.close().await;
            reply?
        }
        Err(source) => return Err(AdminError::Socket { path, source }),
    };
    match reply {
        Reply::Refused { why } => Err(AdminError::Refused(why)),
        reply => Ok(reply),
    }
}

async fn turn(stream: UnixStream, request: &Request) -> std::io::Result<Reply> {
    let mut stream = BufReader::new(stream.take(REPLY_MAX));
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let exchange = async {
        stream.get_mut().get_mut().write_all(&line).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        if !answer.ends_with('\n') && stream.get_ref().limit() == 0 {
            return Err(std::io::Error::new(ErrorKind::InvalidData, "the server's reply is longer than 16 MiB"));
        }
        Ok(serde_json::from_str(&answer)?)
    };
    timeout(TURN, exchange).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// Executes a command on the store. `engine` is that of the running server, if there is one.
async fn answer(
    store: &Store,
    passwords: &Passwords,
    engine: Option<&Engine>,
    request: Request,
) -> Result<Reply, AccountError> {
    Ok(match request {
        Request::ApikeyCreate { organization, name, scopes, expires_in_days } => {
            let terms = KeyTerms { scopes, expires_in_days };
            let (organization, made, key) = api_key_create(store, &organization, &name, &terms).await?;
            Reply::Apikey { organization: organization.name, made, key: key.reveal().to_owned() }
        }
        Request::UserCreate { organization, email, name, role, sip_name } => {
            let account = NewAccount { organization, email, name, role, sip_name, password: None };
            let (user, _membership, password) = account_create(store, passwords, account).await?;
            Reply::Password { email: user.email, password: password.reveal().to_owned() }
        }
        Request::UserPassword { email } => {
            let (user, password) = password_reset(store, passwords, &email).await?;
            if let Some(engine) = engine {
                phones::end_of(engine, store, user).await?;
            }
            Reply::Password { email, password: password.reveal().to_owned() }
        }
        Request::NumberAssign { organization, number } => number_assign(store, &organization, &number).await?,
        Request::NumberRemove { number } => number_remove(store, &number).await?,
        Request::NumberList => {
            let mut organizations = Vec::new();
            for id in store.organization_list().await? {
                organizations.push(numbers(store, id).await?);
            }
            Reply::Numbers { organizations }
        }
        Request::Jobs => {
            let mut jobs = Vec::new();
            for organization in store.organization_list().await? {
                let name = store.organization_by_id(organization).await?.map_or_else(String::new, |known| known.name);
                jobs.push((name, store.job_list(organization, JOBS_MAX).await?));
            }
            Reply::Jobs { jobs }
        }
        Request::Tail { call, organization, after } => {
            let unknown = || Reply::Refused { why: format!("there is no call `{call}`") };
            let Ok(id) = call.parse() else { return Ok(unknown()) };
            Tail::read(store, (organization, id), after).await?.map_or_else(unknown, |tail| Reply::Tail { tail })
        }
        Request::Trunks | Request::Trace { .. } => Reply::Refused { why: "no server is running".into() },
        #[cfg(debug_assertions)]
        Request::Panic { .. } => Reply::Refused { why: "no server is running".into() },
    })
}

async fn number_assign(store: &Store, organization: &str, number: &str) -> Result<Reply, AccountError> {
    let refused = |why: String| Ok(Reply::Refused { why });
    if !is_e164(number) {
        return refused(format!("`{number}`: expected a number in E.164 form such as +15555550142"));
    }
    let id = match organization.parse().map(OrganizationId) {
        Ok(id) => store.organization_by_id(id).await?,
        Err(_) => store.organization_by_name(organization).await?,
    };
    let Some(organization) = id else {
        return refused(format!("there is no organization `{organization}`; `tandem number list` lists them"));
    };
    match store.caller_id_number_assign(organization.id, number, &By::system("operator")).await? {
        Assigned::Done(_) => Ok(Reply::Numbers { organizations: vec![numbers(store, organization.id).await?] }),
        Assigned::Elsewhere(other) => refused(format!(
            "{number} belongs to organization {other}; remove it first with `tandem number remove {number}`"
        )),
    }
}

async fn number_remove(store: &Store, number: &str) -> Result<Reply, AccountError> {
    let Some(organization) = store.caller_id_number_organization(number).await? else {
        return Ok(Reply::Refused { why: format!("no organization has proven {number}") });
    };
    store.caller_id_number_remove(organization, number, &By::system("operator")).await?;
    Ok(Reply::Numbers { organizations: vec![numbers(store, organization).await?] })
}

async fn numbers(store: &Store, id: OrganizationId) -> Result<Numbers, StoreError> {
    let name = store.organization_by_id(id).await?.map_or_else(String::new, |known| known.name);
    let listed = store.caller_id_number_list(id, Place::FIRST, NUMBERS_MAX).await?;
    let numbers = listed.into_iter().map(|number| (number.number, number.proven_at.is_some())).collect();
    Ok(Numbers { id, name, numbers })
}

/// State from which commands are answered.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) store: Store,
    pub(crate) passwords: Passwords,
    pub(crate) engine: Engine,
    pub(crate) supervisor: Supervisor,
}

/// Server side of the socket. It is removed when dropped.
pub struct Listener {
    path: PathBuf,
    socket: Option<UnixListener>,
    task: Option<JoinHandle<()>>,
}

impl Listener {
    /// Creates the socket, replacing one that a killed server left behind. The lock of the data folder must be held.
    ///
    /// # Errors
    ///
    /// Fails if the path is too long or the socket cannot be created.
    pub fn bind(data: &Path) -> Result<Listener, AdminError> {
        let path = data.join(SOCKET);
        // sun_path has 108 bytes, the last of which is 0.
        if path.as_os_str().len() > 107 {
            return Err(AdminError::PathTooLong(path));
        }
        let failed = |source| AdminError::Socket { path: path.clone(), source };
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(failed(source)),
        }
        // The folder has mode 0700, so no other user can reach the socket before its mode is set.
        let socket = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Listener { path, socket: Some(socket), task: None })
    }

    /// Starts answering commands until `stopping`.
    pub(crate) fn serve(&mut self, served: Served, stopping: CancellationToken) {
        let Some(socket) = self.socket.take() else { return };
        let supervisor = served.supervisor.clone();
        self.task = Some(supervisor.spawn("admin socket", async move {
            loop {
                let stream = tokio::select! {
                    accepted = socket.accept() => accepted,
                    () = stopping.cancelled() => return,
                };
                match stream {
                    Ok((stream, _)) => {
                        let served = served.clone();
                        tokio::spawn(async move {
                            let served = timeout(TURN, answer_one(stream, &served)).await;
                            if !matches!(served, Ok(Ok(()))) {
                                tracing::warn!("an operator's command was not completed");
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the admin socket cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }));
    }

    /// Stops answering and removes the socket.
    pub(crate) async fn close(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _aborted = task.await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It does not matter if the file is gone already.
        let _gone = std::fs::remove_file(&self.path);
    }
}

async fn trace(engine: &Engine, call: &str, full: bool) -> Reply {
    let call = match call.parse::<CallId>() {
        Ok(call) => call,
        Err(error) => return Reply::Refused { why: format!("`{call}`: {error}") },
    };
    match engine.command(Command::Trace { call }).await {
        Ok(engine::Reply::Trace(trace)) => {
            let ladder = Ladder::new(*trace, full);
            Reply::Trace { ladder: if full { ladder } else { ladder.masked() } }
        }
        Ok(_) | Err(CommandError::NotFound) => {
            let why =
                format!("{call}: no messages of this call are stored; those of the oldest calls are dropped first");
            Reply::Refused { why }
        }
        Err(error) => Reply::Refused { why: error.to_string() },
    }
}

async fn answer_one(stream: UnixStream, served: &Served) -> std::io::Result<()> {
    let Served { store, passwords, engine, .. } = served;
    let mut stream = BufReader::new(stream.take(REQUEST_MAX));
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let reply = match serde_json::from_str(&line) {
        Ok(Request::Trunks) => match engine.command(Command::Trunks).await {
            Ok(engine::Reply::Trunks(trunks)) => {
                Reply::Trunks { trunks: trunks.into_iter().map(Trunk::from).collect() }
            }
            Ok(_) => Reply::Refused { why: "the engine has no trunks".into() },
            Err(error) => Reply::Refused { why: error.to_string() },
        },
        Ok(Request::Trace { call, full }) => trace(engine, &call, full).await,
        #[cfg(debug_assertions)]
        Ok(Request::Panic { name }) => {
            served.supervisor.provoke(&name);
            Reply::Refused { why: format!("{name} will panic") }
        }
        Ok(request) => {
            let reply = answer(store, passwords, Some(engine), request).await;
            reply.unwrap_or_else(|error| Reply::Refused { why: error.to_string() })
        }
        Err(error) => Reply::Refused { why: format!("the command is not understood: {error}") },
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    stream.get_mut().get_mut().write_all(&line).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a client reads when the server sends `reply` to `Trunks`.
    async fn read_reply(reply: Vec<u8>) -> std::io::Result<Reply> {
        let (client, mut server) = UnixStream::pair().unwrap();
        let serving = tokio::spawn(async move {
            // A client that has read enough closes the socket.
            let _gone = server.write_all(&reply).await;
            server
        });
        let answer = turn(client, &Request::Trunks).await;
        drop(serving.await);
        answer
    }

    #[tokio::test]
    async fn a_reply_may_be_much_longer_than_a_request() {
        let error = "x".repeat(5 << 20);
        let mut reply = serde_json::to_vec(&Reply::Refused { why: error.clone() }).unwrap();
        reply.push(b'\n');
        let Ok(Reply::Refused { why }) = read_reply(reply).await else { panic!("no reply") };
        assert!(why == error, "{} bytes", why.len());
    }

    #[tokio::test]
    async fn a_reply_without_an_end_is_not_read_forever() {
        let endless = vec![b'x'; REPLY_MAX as usize + (1 << 20)];
        let error = read_reply(endless).await.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("the server's reply is longer than 16 MiB"));
    }
}
