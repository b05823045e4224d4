//! Binary `tandem`: reads the configuration, starts engine and server, and stops them; and the commands of the operator.
//!
//! ```text
//! serve ─▶ Config ─▶ serve::serve ─▶ signal ─▶ drain (SIGTERM only) ─▶ stop
//! apikey, user, number, trunks, trace, jobs ─▶ admin socket of the running server, or the store
//! amd, translate, replay ─▶ files
//! migrate, seal, restore ─▶ lock of the data folder ─▶ store
//! ```
//!
//! Invariants: secrets are printed once, to standard output only. A second signal ends the process without waiting.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use control_api::admin::{self, Numbers, Reply, Request, Trunk};
use control_api::config::{Config, LogConfig, LogFormat, LogLevel, speech_config};
use control_api::demo::{self, DemoArgs};
use control_api::engine::{self, Difference};
use control_api::events::{refused_clear, refused_list};
use control_api::serve::private;
use control_api::serve::{self, Running};
use control_api::store::{self, Job, Role};
use control_api::translate::{self, TranslateArgs};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Real-time voice media engine: calls, translation, recording.
#[derive(Parser)]
#[command(name = "tandem", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until SIGTERM or Ctrl-C.
    Serve(Place),
    /// Show a translated call on this machine.
    Demo(DemoArgs),
    /// Create API keys of organizations.
    #[command(subcommand)]
    Apikey(ApikeyCommand),
    /// Replay a capture of media (media-*.jsonl) or of calls (calls-*.jsonl) and compare the results.
    Replay {
        /// File written by `[debug] capture = "DIR"`.
        file: PathBuf,
    },
    /// Apply, revert or list the store's schema steps. The server must not be running.
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Show the SIP messages of a call of the running server as a ladder diagram.
    Trace {
        /// Id of the call, as shown by the API and the log.
        call: String,
        /// Show full numbers and the text of each message, but no passwords and keys.
        #[arg(long)]
        full: bool,
        /// Continue until the call has ended.
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Follow a call in the terminal: its words, its states and whether its sound flows, until it has ended.
    Tail {
        /// Id of the call, as shown by the API and the log.
        call: String,
        #[command(flatten)]
        place: Place,
    },
    /// Tell what answered in files of sound (WAV, FLAC) that begin with the answer: a person, a machine, a tone.
    Amd {
        /// Files to read.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// How soon a verdict is given.
        #[arg(long, value_enum, default_value = "balanced")]
        mode: AmdModeWord,
        /// Print a line of JSON for each file.
        #[arg(long)]
        json: bool,
        /// Show what the detector hears every 200 ms, and the features at the verdict.
        #[arg(long, conflicts_with = "json")]
        explain: bool,
    },
    /// Translate what a file says, as in a call: a line of JSON for each clause. Or study simultaneous translation over a trace.
    Translate(TranslateArgs),
    /// Show the newest background jobs of each organization and their results.
    Jobs {
        #[command(flatten)]
        place: Place,
    },
    /// Show events that the store refused permanently. They are only in a file, not in the store.
    Refused {
        /// Remove the events after showing them.
        #[arg(long)]
        clear: bool,
        /// Folder of database, recordings and admin socket.
        #[arg(long, value_name = "DIR", default_value = "tandem-data")]
        data: PathBuf,
    },
    /// Copy the store to a file, even while the server is running. Recordings are separate files.
    Backup {
        /// File to create.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Restore a backup into a data folder without a database or into an empty PostgreSQL database.
    Restore {
        /// File created by `tandem backup`.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Manage numbers of organizations. A number receives calls for its organization and may be shown once it is assigned here or
    /// proven by a call to it.
    #[command(subcommand)]
    Number(NumberCommand),
    /// Manage the key that seals secrets in the store. The server must not be running.
    #[command(subcommand)]
    Seal(SealCommand),
    /// Show the trunks of the running server: health, registration, calls, last error.
    Trunks {
        #[command(flatten)]
        place: Place,
    },
    /// Manage users who may log in.
    #[command(subcommand)]
    User(UserCommand),
}

/// Time limit for closing everything after a part of the server has failed.
const GIVE_UP: Duration = Duration::from_secs(15);
/// Time limit at the end of the process for work outside the runtime, such as writing a file.
const LAST_WORK: Duration = Duration::from_secs(5);
/// Interval at which a followed call is queried.
const FOLLOW: Duration = Duration::from_millis(300);

/// Location of configuration and data.
#[derive(Args)]
struct Place {
    /// Configuration file. Without it the defaults and the environment are used.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of database, recordings and admin socket.
    #[arg(long, value_name = "DIR", default_value = "tandem-data")]
    data: PathBuf,
}

#[derive(Subcommand)]
enum ApikeyCommand {
    /// Create a key and print it once. The organization is created if it does not exist.
    Create {
        /// Name of the organization.
        #[arg(long, value_name = "NAME")]
        org: String,
        /// Name that says what the key is for.
        #[arg(long, value_name = "TEXT", default_value = "command line")]
        name: String,
        /// Permission of the key, such as calls.read; can be repeated. Without it the key has all permissions of an admin.
        /// docs/permissions.md lists the permissions.
        #[arg(long = "scope", value_name = "PERMISSION")]
        scopes: Vec<String>,
        /// Days until the key expires, 1 to 3650. Without it the key never expires.
        #[arg(long, value_name = "DAYS")]
        expires_in_days: Option<u32>,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Subcommand)]
enum MigrateCommand {
    /// Apply all missing steps.
    Up(Place),
    /// Revert the newest step, or all steps above a number. The data of these steps is lost.
    Down {
        /// Newest step to keep; 0 reverts all steps.
        #[arg(long, value_name = "NUMBER")]
        to: Option<i64>,
        #[command(flatten)]
        place: Place,
    },
    /// List all steps, and whether they are applied.
    Status(Place),
}

#[derive(Subcommand)]
enum NumberCommand {
    /// Assign a number to an organization.
    Assign {
        /// Name or id of the organization.
        #[arg(long, value_name = "NAME|ID")]
        org: String,
        /// Number in E.164 format, such as +15555550142.
        number: String,
        #[command(flatten)]
        place: Place,
    },
    /// List every organization with its id and numbers.
    List(Place),
    /// Remove a number and its rules from the organization that has proven it.
    Remove {
        /// Number in E.164 format.
        number: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Subcommand)]
enum SealCommand {
    /// Seal all secrets with a new key. The old key is kept in a separate file, because older backups need it.
    Rotate(Place),
    /// Remove secrets whose key is lost. Signed URLs stop working; all other data is kept.
    Forget(Place),
}

#[derive(Subcommand)]
enum UserCommand {
    /// Create a user and print a password once. The organization is created if it does not exist.
    Create {
        /// Name of the organization.
        #[arg(long, value_name = "NAME")]
        org: String,
        /// E-mail address, with which the user logs in.
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        /// Display name. Defaults to the e-mail address.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// Role: owner, admin, supervisor, agent, compliance or viewer.
        #[arg(long, default_value = "admin")]
        role: Role,
        /// SIP user name, as in `to = "agent:NAME"`. Defaults to the part of the e-mail address before the @.
        #[arg(long, value_name = "NAME")]
        sip_name: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Give a user a new password and print it once. The user's sessions end.
    Password {
        /// E-mail address of the user.
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        #[command(flatten)]
        place: Place,
    },
}

fn main() -> ExitCode {
    private::by_default();
    engine::memory::keep_heap_small();
    let cli = Cli::parse();
    start_log(&cli.command);
    raise_descriptor_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tandem: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(cli.command));
    runtime.shutdown_timeout(LAST_WORK);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error as `[log]` says; commands other than `serve` log warnings and errors only.
fn start_log(command: &Command) {
    let log = match command {
        // `serve` reads the configuration again and reports what is wrong with it.
        Command::Serve(place) => Config::load(place.config.as_deref()).map(|config| config.log).unwrap_or_default(),
        _ => LogConfig { level: LogLevel::Warn, ..LogConfig::default() },
    };
    let filter = match std::env::var("TANDEM_LOG").map(EnvFilter::try_new) {
        Ok(Ok(filter)) => filter,
        Ok(Err(error)) => {
            eprintln!(
                "tandem: TANDEM_LOG is ignored: {error}; expected levels such as info,media_engine::sip_io=debug"
            );
            EnvFilter::new(log.directives())
        }
        Err(_) => EnvFilter::new(log.directives()),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => subscriber.with_ansi(wants_colour()).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}

/// Returns whether to print colour codes: on terminals, unless `NO_COLOR` is set and not empty (no-color.org).
fn wants_colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Raises the limit of file descriptors to the system's maximum. Calls, recordings and connections need them.
fn raise_descriptor_limit() {
    if let Err(error) = engine::descriptor_limit_raise() {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(place) => serve(&place).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Migrate(command) => migrate(command).await,
        Command::Replay { file } => replay(&file),
        Command::Apikey(ApikeyCommand::Create { org, name, scopes, expires_in_days, place }) => {
            let scopes = (!scopes.is_empty()).then_some(scopes);
            ask(&place, Request::ApikeyCreate { organization: org, name, scopes, expires_in_days }).await
        }
        Command::User(UserCommand::Create { org, email, name, role, sip_name, place }) => {
            let sip_name = sip_name.unwrap_or_else(|| email.split('@').next().unwrap_or_default().to_lowercase());
            let name = name.unwrap_or_else(|| email.clone());
            ask(&place, Request::UserCreate { organization: org, email, name, role, sip_name }).await
        }
        Command::Trace { call, full, follow, place } => trace(&place, &call, full, follow).await,
        Command::Tail { call, place } => tail(&place, &call).await,
        Command::Amd { files, mode, json, explain } => amd(&files, mode, (json, explain)),
        Command::Translate(arguments) => {
            let config = Config::load(arguments.config.as_deref())?;
            translate::translate(&arguments, &speech_config(&config.speech)).await
        }
        Command::Jobs { place } => ask(&place, Request::Jobs).await,
        Command::Refused { clear, data } => refused(&data, clear),
        Command::Backup { to, place } => {
            let config = Config::load(place.config.as_deref())?;
            store::backup(&config.store.place(&place.data), &to).await?;
            println!("the store was copied to {}; recordings are separate files", to.display());
            Ok(())
        }
        Command::Restore { from, place } => {
            let config = Config::load(place.config.as_deref())?;
            let _lock = serve::claim(&place.data)?;
            let key = config.store.seal_key(&place.data);
            let left_out = store::restore(&config.store.place(&place.data), &from, &key).await?;
            println!("the store was restored from {}", from.display());
            if let Some(id) = left_out {
                println!("without its secrets: they are sealed with key {id}, which is not at {key};");
                println!(
                    "signed URLs that were given out no longer work, unless you restore again with that key in its place"
                );
            }
            Ok(())
        }
        Command::Number(NumberCommand::Assign { org, number, place }) => {
            ask(&place, Request::NumberAssign { organization: org, number }).await
        }
        Command::Number(NumberCommand::List(place)) => ask(&place, Request::NumberList).await,
        Command::Number(NumberCommand::Remove { number, place }) => ask(&place, Request::NumberRemove { number }).await,
        Command::Seal(command) => seal(command).await,
        Command::Trunks { place } => ask(&place, Request::Trunks).await,
        Command::User(UserCommand::Password { email, place }) => ask(&place, Request::UserPassword { email }).await,
    }
}

fn print_numbers(organizations: &[Numbers]) {
    for Numbers { id, name, numbers } in organizations {
        println!("{id}  {name}");
        for (number, proven) in numbers {
            println!("  {number}  {}", if *proven { "proven" } else { "not proven" });
        }
    }
}

/// Prints refused events, one per line as JSON.
fn refused(data: &Path, clear: bool) -> anyhow::Result<()> {
    for event in refused_list(data)? {
        println!("{}", serde_json::to_string(&event)?);
    }
    if clear {
        refused_clear(data)?;
    }
    Ok(())
}

fn print_jobs(jobs: &[(String, Vec<Job>)]) {
    for (organization, jobs) in jobs {
        println!("{organization}");
        for job in jobs {
            let told = job.error.as_deref().or(job.result.as_deref()).unwrap_or("");
            println!("  {:8} {:18} {:14} attempts {}  {told}", job.state, job.kind, job.slot, job.attempts);
        }
    }
}

/// Seals the store's secrets with another key, or removes them.
async fn seal(command: SealCommand) -> anyhow::Result<()> {
    let (SealCommand::Rotate(place) | SealCommand::Forget(place)) = &command;
    let config = Config::load(place.config.as_deref())?;
    let _lock = serve::claim(&place.data)?;
    let (store, key) = (config.store.place(&place.data), config.store.seal_key(&place.data));
    match command {
        SealCommand::Rotate(_) => {
            let (old, new) = store::seal_rotate(&store, &key).await?;
            println!("all secrets are sealed with key {new} in {key}");
            println!(
                "key {old} is kept in {key}.old-{old}: earlier backups need it; keep it apart from them, or remove it"
            );
        }
        SealCommand::Forget(_) => {
            let lost = store::seal_forget(&store, &key).await?;
            println!("the secrets sealed with key {lost} were removed; the next start uses {key}");
        }
    }
    Ok(())
}

/// Applies or reverts schema steps and prints the state of the store.
async fn migrate(command: MigrateCommand) -> anyhow::Result<()> {
    let (place, to) = match &command {
        MigrateCommand::Up(place) | MigrateCommand::Status(place) => (place, None),
        MigrateCommand::Down { to, place } => (place, *to),
    };
    let config = Config::load(place.config.as_deref())?;
    let store = config.store.place(&place.data);
    match command {
        MigrateCommand::Status(_) => {}
        MigrateCommand::Up(_) => {
            let _lock = serve::claim(&place.data)?;
            store::schema_up(&store).await?;
        }
        MigrateCommand::Down { .. } => {
            let _lock = serve::claim(&place.data)?;
            let applied = store::schema_status(&store).await?.into_iter().filter(|step| step.applied);
            let before_newest =
                applied.map(|step| step.version).collect::<Vec<_>>().into_iter().rev().nth(1).unwrap_or(0);
            store::schema_down(&store, to.unwrap_or(before_newest)).await?;
        }
    }
    for step in store::schema_status(&store).await? {
        println!("{:04}  {:8} {}", step.version, if step.applied { "applied" } else { "missing" }, step.name);
    }
    Ok(())
}

/// Runs the server until a signal. A second signal ends the process without waiting.
async fn serve(place: &Place) -> anyhow::Result<()> {
    let config = Config::load(place.config.as_deref())?;
    // Handled from the beginning, so that a signal during the start also ends in an orderly way.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut running = serve::serve(config, &place.data).await?;
    greet(&running, &place.data).await;
    let drain = tokio::select! {
        _ = terminate.recv() => true,
        _ = interrupt.recv() => false,
        fault = running.fault() => return give_up(running, fault).await,
    };
    if drain {
        tracing::info!(drain_s = running.state.config.sip.drain_s, "draining: no new calls; running calls may end");
        let drained = tokio::select! {
            drained = running.drain() => drained,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        };
        if let Err(fault) = drained {
            return give_up(running, fault).await;
        }
    }
    tracing::info!("stopping: ending calls and closing files");
    tokio::select! {
        () = running.stop() => Ok(()),
        _ = terminate.recv() => anyhow::bail!("stopped before everything was closed"),
        _ = interrupt.recv() => anyhow::bail!("stopped before everything was closed"),
    }
}

/// Stops after a necessary part of the server has ended: saves what can be saved and returns an error, so that the supervisor of
/// the process restarts it.
async fn give_up(running: Running, fault: engine::Fault) -> anyhow::Result<()> {
    tracing::error!(%fault, "stopping: a part of the server has failed; ending calls and closing files");
    if tokio::time::timeout(GIVE_UP, running.stop()).await.is_err() {
        tracing::error!("not everything could be closed in time");
    }
    anyhow::bail!("a part of the server has failed: {fault}")
}

/// Prints all addresses, and how to sign up if there is no user yet.
async fn greet(running: &Running, data: &Path) {
    println!("pages and API  {}", running.url());
    if let Some(address) = running.metrics {
        println!("metrics        http://{address}/metrics");
    }
    let sip: Vec<String> = running.sip.iter().map(ToString::to_string).collect();
    println!("SIP            {}", sip.join(", "));
    println!("data           {}", data.display());
    if matches!(running.state.store.user_exists().await, Ok(false)) {
        println!("Nobody can log in yet. Sign up at {}/signup, or in another terminal:", running.url());
        println!("  tandem user create --org NAME --email ADDRESS --data {}", data.display());
        if let Some(code) = running.signup_code().await {
            println!("sign-up code   {code}");
            tracing::info!(file = %data.join("signup-code").display(), "the first sign-up requires the printed code, also in this file");
        }
    }
    // One line for programs that start the server, with the actual addresses.
    let metrics = running.metrics.map(|address| format!("http://{address}"));
    println!("ready {}", serde_json::json!({ "http": running.url(), "sip": sip, "metrics": metrics }));
}

/// Prints the result of a replay. A difference is a failure.
fn replay(file: &Path) -> anyhow::Result<()> {
    let open = || std::fs::File::open(file).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()));
    // Captures of calls have this prefix, and each of their lines names a call.
    if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("calls-")) {
        let replay = engine::replay_calls(std::io::BufReader::new(open()?))
            .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
        return tell_calls(&replay);
    }
    let report = engine::replay(std::io::BufReader::new(open()?))
        .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    println!("span        {:.3} s", report.span.as_secs_f64());
    println!("inputs      {}", report.inputs);
    println!("datagrams   {} the same, byte for byte", report.datagrams);
    println!("events      {} the same", report.events);
    if report.uncompared > 0 {
        println!("left out    {} outputs: browser legs and outputs after a gap cannot be replayed", report.uncompared);
    }
    if report.missing_blocks > 0 {
        println!(
            "gap         {} blocks of the capture are missing; nothing was compared after the first",
            report.missing_blocks
        );
    }
    match report.difference {
        None => Ok(()),
        Some(Difference { line, written, replayed }) => {
            let place = if line == 0 { "the output after the last line".into() } else { format!("line {line}") };
            anyhow::bail!("{place} differs\n  written:  {written}\n  replayed: {replayed}")
        }
    }
}

/// How soon a verdict about an answer is given.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum AmdModeWord {
    /// Sooner, with more errors.
    Fast,
    /// Between the two.
    Balanced,
    /// Later, with fewer errors.
    Careful,
}

/// Prints what answered in each file.
fn amd(files: &[PathBuf], mode: AmdModeWord, (json, explain): (bool, bool)) -> anyhow::Result<()> {
    let mode = match mode {
        AmdModeWord::Fast => engine::AmdMode::Fast,
        AmdModeWord::Balanced => engine::AmdMode::Balanced,
        AmdModeWord::Careful => engine::AmdMode::Careful,
    };
    let mut unread = 0;
    for file in files {
        if explain {
            match control_api::amd::explain(file, mode) {
                Ok(text) => println!("{text}"),
                Err(error) => {
                    eprintln!("tandem: {error:#}");
                    unread += 1;
                }
            }
            continue;
        }
        let heard = match control_api::amd::hear(file, mode) {
            Ok(heard) => heard,
            Err(error) => {
                eprintln!("tandem: {error:#}");
                unread += 1;
                continue;
            }
        };
        if json {
            println!("{}", serde_json::to_string(&heard)?);
            continue;
        }
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        let beep = heard.beep_at_ms.map(|at| format!(", beep at {:.2} s", seconds(at))).unwrap_or_default();
        let revised = heard.revised.map(|answer| format!(", revised to {answer}")).unwrap_or_default();
        println!(
            "{}: {} after {:.2} s ({:.0} %, by {}){revised}{beep}",
            file.display(),
            heard.verdict,
            seconds(heard.decided_at_ms),
            heard.probability * 100.0,
            heard.ground
        );
    }
    anyhow::ensure!(unread == 0, "{unread} of {} files could not be judged", files.len());
    Ok(())
}

/// Prints the result of a replay of calls.
fn tell_calls(replay: &engine::Replay) -> anyhow::Result<()> {
    println!("calls       {}", replay.calls);
    println!("inputs      {}", replay.inputs);
    println!("effects     {} the same", replay.effects);
    if replay.broken > 0 {
        println!("gaps        {} calls lack inputs; they were compared up to the gap", replay.broken);
    }
    match &replay.difference {
        None => Ok(()),
        Some((line, written, came)) => {
            anyhow::bail!("line {line} differs\n  written:  {written}\n  replayed: {came}")
        }
    }
}

fn print_trunks(trunks: &[Trunk]) {
    if trunks.is_empty() {
        println!("no trunk is configured; add one under [[trunks]]");
    }
    for Trunk { name, calls, registered, places, last_error } in trunks {
        let registered = match registered {
            Some(true) => ", registered",
            Some(false) => ", NOT registered",
            None => "",
        };
        println!("{name}  {calls} calls{registered}");
        for (place, healthy) in places {
            println!("  {}  {place}", if *healthy { "up  " } else { "DOWN" });
        }
        if places.is_empty() {
            println!("  DOWN  no address: its name does not resolve");
        }
        if let Some(error) = last_error {
            println!("  last error: {error}");
        }
    }
}

/// Draws the ladder of a call. With `follow`, draws additions until the call has ended.
async fn trace(place: &Place, call: &str, full: bool, follow: bool) -> anyhow::Result<()> {
    let config = Config::load(place.config.as_deref())?;
    let (mut drawn, mut parties) = (0, 0);
    let mut look = tokio::time::interval(FOLLOW);
    loop {
        look.tick().await;
        let request = Request::Trace { call: call.to_owned(), full };
        let Reply::Trace { ladder } = admin::ask(&config, &place.data, request).await? else {
            anyhow::bail!("the server sent an unexpected reply; it may be another version");
        };
        // A new party requires a new head.
        if ladder.parties.len() != parties {
            parties = ladder.parties.len();
            print!("{}", ladder.head());
        }
        print!("{}", ladder.rungs(drawn));
        drawn = ladder.steps.last().map_or(drawn, |step| step.number);
        if !follow || !ladder.running {
            return Ok(());
        }
    }
}

async fn tail(place: &Place, call: &str) -> anyhow::Result<()> {
    let config = Config::load(place.config.as_deref())?;
    let (mut organization, mut after, mut flows) = (None, 0, BTreeMap::new());
    let mut look = tokio::time::interval(FOLLOW);
    loop {
        look.tick().await;
        let request = Request::Tail { call: call.to_owned(), organization, after };
        let tail = match admin::ask(&config, &place.data, request).await? {
            Reply::Tail { tail } => tail,
            Reply::Refused { why } => anyhow::bail!(why),
            _ => anyhow::bail!("the server sent an unexpected reply; it may be another version"),
        };
        tail.lines.iter().for_each(|line| println!("{line}"));
        for (leg, flow) in tail.flows {
            if flows.get(&leg) != Some(&flow) {
                println!("             sound of leg {leg}: {flow}");
                flows.insert(leg, flow);
            }
        }
        (organization, after) = (Some(tail.organization), tail.latest);
        if !tail.running {
            return Ok(());
        }
    }
}

/// Sends a command to the running server or the store. Only the secret is printed to standard output.
async fn ask(place: &Place, request: Request) -> anyhow::Result<()> {
    let config = Config::load(place.config.as_deref())?;
    match admin::ask(&config, &place.data, request).await? {
        Reply::Apikey { organization, made, key } => {
            if made {
                eprintln!("organization `{organization}` did not exist and was created");
            }
            eprintln!("key for `{organization}`, shown only once:");
            println!("{key}");
        }
        Reply::Password { email, password } => {
            eprintln!("password of {email}, shown only once:");
            println!("{password}");
        }
        Reply::Numbers { organizations } => print_numbers(&organizations),
        Reply::Trunks { trunks } => print_trunks(&trunks),
        Reply::Jobs { jobs } => print_jobs(&jobs),
        Reply::Tail { tail } => tail.lines.iter().for_each(|line| println!("{line}")),
        Reply::Trace { ladder } => print!("{}{}", ladder.head(), ladder.rungs(0)),
        Reply::Refused { why } => anyhow::bail!(why),
    }
    Ok(())
}
