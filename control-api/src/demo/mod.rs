//! `tandem demo`: a server with a temporary data folder, and a scripted call through it.
//!
//! ```text
//! scripted customer ─ SIP, RTP on loopback ─▶ server ─▶ a person at /agent, or the scripted agent
//!                                               └─▶ /live, this terminal, the store
//! ```
//!
//! Everything is real except the people: both parties are SIP user agents on sockets of their own, and the local
//! synthesiser speaks the customer's lines. At the end every step is checked against the script.

mod agent;
mod customer;
mod report;
mod watch;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::sync::mpsc;

use crate::auth::{NewAccount, account_create};
use crate::config::Config;
use crate::engine::{Command, group};
use crate::serve::{self, Running};
use crate::store::{By, OrganizationId, Role};
use crate::tenant::voice_config::VoiceConfig;

use agent::ScriptedAgent;
use customer::Line;

/// Sentences that the customer says, and the translations that the agent hears.
const SCRIPT: [Line; 4] = [
    Line { said: "Good morning.", meant: "Buenos días." },
    Line { said: "I am calling about my order.", meant: "Llamo por mi pedido." },
    Line { said: "My package has not arrived yet.", meant: "Mi paquete no ha llegado todavía." },
    Line { said: "Thank you for your help.", meant: "Gracias por su ayuda." },
];
/// Reply that the scripted agent types in between, and the translation that the customer hears.
const REPLY: Line = Line { said: "¿En qué puedo ayudarle hoy?", meant: "How can I help you today?" };
/// SIP user name of the demo's agent.
const AGENT: &str = "ana";
/// Log-in name of the demo's administrator, who is also the agent.
const EMAIL: &str = "admin@demo.example";
/// Time for a person to open the page and answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Configuration of the demo; environment variables override it.
const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:8080"

[sip]
listen = ["udp:127.0.0.1:5060"]

[media]
address = ["127.0.0.1"]

[[trunks]]
name = "this-machine"
hosts = ["127.0.0.1"]

[[routes]]
match = "echo"
to = "app:echo"

[[routes]]
match = "tone"
to = "app:tone"

[[routes]]
match = "record"
to = "app:record"

[[routes]]
match = "*"
to = "agent:ana"
"#;

/// Arguments of `tandem demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Show one call, answered by a scripted agent, then exit; the status is non-zero if any step failed.
    #[arg(long)]
    pub once: bool,
    /// Folder for the database and recordings; a new temporary folder by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// State that the calls of one demonstration share.
struct Stage {
    running: Running,
    organization: OrganizationId,
    /// The server's first UDP listener.
    sip: SocketAddr,
    agent: ScriptedAgent,
}

/// Runs the demonstration until Ctrl-C, or with `--once` for one call.
///
/// # Errors
/// When the server does not start, or with `--once` a step of the call failed. The text names the step.
pub async fn run(args: DemoArgs) -> Result<()> {
    let data = match &args.data {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("tandem-demo-{}", std::process::id())),
    };
    let mut interrupted = Box::pin(tokio::signal::ctrl_c());
    let mut stage = set_up(&data, args.once).await?;
    let outcome = tokio::select! {
        outcome = play(&mut stage, args.once) => outcome,
        _ = &mut interrupted => {
            println!("\nEnding calls and closing files.");
            Ok(())
        }
    };
    stage.agent.stop().await;
    stage.running.stop().await;
    outcome
}

/// Shows one call, then, without `--once`, another at every Enter.
async fn play(stage: &mut Stage, once: bool) -> Result<()> {
    let first = show_call(stage, once).await;
    if once {
        return first;
    }
    print_failure(first);
    let mut lines = entered_lines();
    loop {
        println!("\nEnter starts another call, Ctrl-C ends.");
        match lines.recv().await {
            Some(()) => print_failure(show_call(stage, once).await),
            // Without a terminal, run until the signal.
            None => std::future::pending().await,
        }
    }
}

/// Returns a channel with one item per line of standard input. A detached thread reads, because tokio's own reader
/// would keep the process from exiting until Enter is pressed.
fn entered_lines() -> mpsc::Receiver<()> {
    let (entered, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if line.is_err() || entered.blocking_send(()).is_err() {
                return;
            }
        }
    });
    lines
}

fn print_failure(outcome: Result<()>) {
    if let Err(error) = outcome {
        println!("\nThis call failed: {error:#}");
    }
}

async fn set_up(data: &Path, once: bool) -> Result<Stage> {
    std::fs::create_dir_all(data).with_context(|| format!("{}: cannot be created", data.display()))?;
    let file = data.join("tandem.toml");
    std::fs::write(&file, CONFIG).with_context(|| format!("{}: cannot be written", file.display()))?;
    let config = Config::load(Some(&file))?;
    let running = serve::serve(config, data).await?;
    let sip = running.sip.first().context("sip.listen: the demo needs a UDP listener")?.address;
    let account = NewAccount {
        organization: "Demo".into(),
        email: EMAIL.into(),
        name: "Ana".into(),
        role: Role::Admin,
        sip_name: AGENT.into(),
        password: None,
    };
    let (_user, membership, password) =
        account_create(&running.state.store, &running.state.auth.passwords, account).await?;
    let organization = membership.organization;
    let voice = VoiceConfig { live_translate: true, voice_to_voice: true, record: true, ..VoiceConfig::default() };
    running.state.store.voice_config_put(organization, &VoiceConfig::default(), &voice, &By::system("demo")).await?;

    println!("Tandem is up. On this machine:");
    println!("  {}/agent   answer calls in the browser", running.url());
    println!("  {}/live    follow every call", running.url());
    println!("  log in as {EMAIL} with {}", password.reveal());
    println!("  SIP phones call sip:echo@{sip}, sip:tone@{sip}, sip:record@{sip}");
    println!("  data {}", data.display());
    let agent = join_agent(&running, organization, sip, once).await?;
    Ok(Stage { running, organization, sip, agent })
}

/// Registers the scripted agent beside the browser's page.
async fn join_agent(
    running: &Running,
    organization: OrganizationId,
    sip: SocketAddr,
    once: bool,
) -> Result<ScriptedAgent> {
    let password = crate::auth::Secret::random("");
    let credential = Command::CredentialSet {
        user: AGENT.into(),
        password: password.reveal().to_owned(),
        valid_for: Duration::from_secs(24 * 3600),
        group: Some(group(organization.0)),
    };
    running.state.engine.command(credential).await?;
    let patience = if once { Duration::ZERO } else { PATIENCE };
    ScriptedAgent::start(IpAddr::V4(Ipv4Addr::LOCALHOST), sip, AGENT, password.reveal(), patience).await
}

/// Runs one scripted call, from ringing to the report.
async fn show_call(stage: &mut Stage, once: bool) -> Result<()> {
    println!("\nA customer calls +34 910 000 001.");
    if !once {
        println!(
            "Answer at {}/agent within {} s, or a scripted agent answers.",
            stage.running.url(),
            PATIENCE.as_secs()
        );
    }
    let speech = stage.running.state.config.speech.clone();
    let mut customer = customer::Customer::start(stage.sip, &speech, &SCRIPT).await?;
    let mut watch = watch::Watch::new(&stage.running.state, stage.organization);
    let mut page_is_open = watch.agent_devices(AGENT) > 1;
    stage.agent.set_page_open(page_is_open);
    while !customer.ring(AGENT, page_is_open, &mut watch).await? {
        println!("The agent's page is open: the customer calls again, and it rings there.");
        page_is_open = true;
        stage.agent.set_page_open(page_is_open);
        watch = watch::Watch::new(&stage.running.state, stage.organization);
    }
    let spoken = customer.speak(&SCRIPT, &REPLY, &stage.running.state, &mut watch).await;
    customer.stop().await;
    spoken?;
    let call = watch.call().context("the server sent no event of the call")?;
    watch.until_ended().await?;
    let heard = stage.agent.take_loudness();
    let report = report::Report::make(&stage.running.state, stage.organization, call, &watch, heard).await?;
    report.print();
    let failures = report.failures(&SCRIPT, &REPLY);
    if !failures.is_empty() {
        bail!(failures.join("; "));
    }
    Ok(())
}
