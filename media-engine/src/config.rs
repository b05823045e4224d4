//! What the engine needs to know at start. The control plane fills it from file and environment.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The engine's whole configuration, assembled from its rooms'.
#[derive(Clone, Debug)]
pub struct Config {
    /// SIP listeners and identity.
    pub sip: SipConfig,
    /// Media threads, addresses and ports.
    pub media: MediaConfig,
    /// Carriers' trunks by name.
    pub trunks: Vec<TrunkConfig>,
    /// Where incoming numbers go; the first match wins.
    pub routes: Vec<RouteConfig>,
    /// Speech providers.
    pub speech: SpeechConfig,
    /// Folder of recordings.
    pub record_dir: PathBuf,
    /// How long a leg rings before the call fails.
    pub ring_timeout: Duration,
}

/// SIP listeners and identity.
#[derive(Clone, Debug, Default)]
pub struct SipConfig {
    /// Listeners such as `udp:127.0.0.1:5060`, `tcp:[::1]:5060`.
    pub listen: Vec<String>,
    /// Digest realm and the domain of agents' addresses; the host of `public_url` by default.
    pub domain: String,
}

/// Media threads, addresses and ports.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Addresses where media is received: put into SDP and ICE candidates.
    pub addresses: Vec<IpAddr>,
    /// First and last UDP port for media, both inclusive.
    pub ports: (u16, u16),
    /// Number of media threads.
    pub workers: usize,
    /// CPUs to pin workers to, in order; empty: no pinning.
    pub cpus: Vec<usize>,
}

/// A carrier's trunk: addresses from which calls are taken and to which calls go.
#[derive(Clone, Debug)]
pub struct TrunkConfig {
    /// Name used in routes.
    pub name: String,
    /// Hosts as `address` or `address:port`; the first is where calls go (port 5060 by default).
    pub hosts: Vec<String>,
    /// Media from behind NAT: learn the source of the first valid packet.
    pub nat: bool,
}

/// One rule: which user parts go where.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// Pattern on the user part: literal text in which `*` stands for any run and `?` for one character.
    pub pattern: String,
    /// Where the call goes.
    pub to: RouteTarget,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// A registered agent by SIP user name.
    Agent(String),
    /// On through a trunk, with the same user part.
    Trunk(String),
    /// A built-in application.
    App(App),
}

/// Built-in applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Sends your audio back.
    Echo,
    /// 1 kHz at −16 dBFS.
    Tone,
    /// Records you.
    Record,
}

impl std::str::FromStr for RouteTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}`: expected agent:NAME, trunk:NAME, app:echo, app:tone or app:record");
        let (kind, name) = text.split_once(':').ok_or_else(expected)?;
        match (kind, name) {
            ("agent", name) if !name.is_empty() => Ok(RouteTarget::Agent(name.to_owned())),
            ("trunk", name) if !name.is_empty() => Ok(RouteTarget::Trunk(name.to_owned())),
            ("app", "echo") => Ok(RouteTarget::App(App::Echo)),
            ("app", "tone") => Ok(RouteTarget::App(App::Tone)),
            ("app", "record") => Ok(RouteTarget::App(App::Record)),
            _ => Err(expected()),
        }
    }
}

/// Speech providers. All speak the Wyoming protocol in this version.
#[derive(Clone, Debug)]
pub struct SpeechConfig {
    /// Recognition.
    pub stt: SpeechProvider,
    /// Translation.
    pub translator: SpeechProvider,
    /// Synthesis.
    pub tts: SpeechProvider,
}

/// How a speech provider is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeechProvider {
    /// The local child process; `None`: `tandem-local-speech` beside the running binary, then in PATH.
    Local(Option<PathBuf>),
    /// A Wyoming server at `host:port`.
    Wyoming(String),
}
