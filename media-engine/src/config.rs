//! Configuration of the engine. The control plane fills it from a file and the environment before the engine starts.
//!
//! [`Config`] holds one structure for each area: [`SipConfig`], [`MediaConfig`], [`TrunkConfig`], [`RouteConfig`],
//! [`SpeechConfig`], [`RecordConfig`] and [`DialConfig`]. The `FromStr` implementations parse the textual values of a
//! configuration file, and their errors name the expected form. The engine checks at its start what cannot be checked
//! by parsing, such as addresses and folders.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use codecs::opus::OpusSettings;

use crate::sdp::{Codec, Srtp};
use crate::sip::TraceLevel;
pub use crate::sip::dial::DialConfig;
use crate::sip::trunk::TrunkSettings;

/// The whole configuration of the engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// SIP listeners and identity.
    pub sip: SipConfig,
    /// Media threads, addresses and ports.
    pub media: MediaConfig,
    /// Carriers' trunks by name.
    pub trunks: Vec<TrunkConfig>,
    /// Destinations of incoming numbers; the first rule that matches is used.
    pub routes: Vec<RouteConfig>,
    /// Numbers that may be called.
    pub dial: DialConfig,
    /// Speech providers for recognition, translation and synthesis.
    pub speech: SpeechConfig,
    /// Folder in which recordings are written.
    pub record_dir: PathBuf,
    /// File length and disk space limits of recordings.
    pub record: RecordConfig,
    /// Time for which a leg rings before the call fails.
    pub ring_timeout: Duration,
    /// Time without media from a leg that is not on hold, after which its call ends; `None` disables the limit.
    pub media_timeout: Option<Duration>,
    /// Maximum duration of a call; emergency calls may last longer. `None` disables the limit.
    pub max_call: Option<Duration>,
}

/// File length and disk space limits of recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordConfig {
    /// Longest file, in whole seconds; a longer recording continues in the next file.
    pub part: Duration,
    /// Free bytes in the folder below which nothing is recorded; capped at a tenth of the file system.
    pub min_free: u64,
    /// Free bytes in the folder below which a warning is logged; capped at a fifth of the file system.
    pub warn_free: u64,
}

impl Default for RecordConfig {
    /// Returns six hours (1.4 GB at 16 kHz), 500 MB and 2 GB.
    fn default() -> RecordConfig {
        RecordConfig { part: Duration::from_secs(6 * 3_600), min_free: 500 << 20, warn_free: 2_000 << 20 }
    }
}

/// SIP listeners and identity.
#[derive(Clone, Debug, Default)]
pub struct SipConfig {
    /// Listeners such as `udp:127.0.0.1:5060`, `tcp:[::1]:5060`, `tls:0.0.0.0:5061`.
    pub listen: Vec<String>,
    /// Digest realm and the domain of agents' addresses; the host of `public_url` by default.
    pub domain: String,
    /// Handshake settings of TLS listeners, without ALPN. The certificate resolver may change its certificate at any time.
    #[cfg(feature = "io")]
    pub tls: Option<std::sync::Arc<rustls::ServerConfig>>,
    /// PEM file of an authority that is trusted in addition to the system's for outgoing TLS connections.
    pub tls_ca: Option<PathBuf>,
    /// Name server that resolves host names.
    pub resolver: NameServer,
    /// `ADDRESS` or `HOST[:PORT]` under which peers reach the engine, if it differs from the listeners' addresses.
    pub advertise: Option<String>,
    /// Detail in which the messages of each call are kept for `Command::Trace`.
    pub trace: TraceLevel,
    /// Way in which the telephones of agents are informed that they are on hold.
    pub hold: HoldShown,
    /// Numbers to which a carrier may redirect a call. The engine sets this to [`Config::dial`] when it starts.
    pub dial: DialConfig,
}

/// Name server that resolves host names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameServer {
    /// The servers in `/etc/resolv.conf`, after `/etc/hosts`.
    #[default]
    System,
    /// The server at this address.
    At(SocketAddr),
}

impl std::str::FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "system" {
            return Ok(NameServer::System);
        }
        text.parse().map(NameServer::At).map_err(|_| format!("`{text}`: expected system or ADDRESS:PORT"))
    }
}

/// Trade-off of media threads between delay and CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Low delay until a thread is half busy, then throughput.
    #[default]
    Auto,
    /// Packets are collected for up to 1 ms before the thread wakes; this takes about half the CPU.
    Throughput,
    /// Every relayed packet wakes the thread; packets that wait for a tick anyway are collected.
    LowDelay,
}

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Profile::Auto),
            "throughput" => Ok(Profile::Throughput),
            "low-delay" => Ok(Profile::LowDelay),
            _ => Err(format!("`{text}`: expected auto, throughput or low-delay")),
        }
    }
}

/// Media threads, addresses and ports.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Local addresses that receive media, listed in SDP and ICE candidates.
    pub addresses: Vec<IpAddr>,
    /// Addresses that a 1:1 NAT maps to `addresses`, port by port. They replace those in SDP and are additional ICE candidates.
    pub advertise: Vec<IpAddr>,
    /// First and last UDP port for media, both inclusive.
    pub ports: (u16, u16),
    /// Number of media threads.
    pub workers: usize,
    /// CPUs to pin workers to, in order; empty: no pinning.
    pub cpus: Vec<usize>,
    /// Trade-off between delay and CPU.
    pub profile: Profile,
    /// Whether media threads run before all other threads of the machine (SCHED_RR); this needs CAP_SYS_NICE.
    pub realtime: bool,
    /// Opus encoder settings. `dtx` follows the request of each far end. Redundant copies follow the observed loss beyond
    /// `expected_loss_percent`. The encoder's effort decreases under load.
    pub opus: OpusSettings,
    /// Folder for captures of everything that media threads receive and send, which can be replayed; `None` disables captures.
    pub capture: Option<PathBuf>,
}

impl MediaConfig {
    /// Returns the address to give to peers in place of a local one: the advertised address of the same family, if any.
    pub fn advertised_for(&self, own: IpAddr) -> IpAddr {
        self.advertise.iter().copied().find(|address| address.is_ipv4() == own.is_ipv4()).unwrap_or(own)
    }
}

/// Returns Opus settings with the values that a configuration chooses; the others suit voice over the internet.
pub fn opus(bitrate: u32, complexity: u8) -> OpusSettings {
    OpusSettings { bitrate, complexity, expected_loss_percent: 0, ..OpusSettings::default() }
}

impl Default for MediaConfig {
    /// Returns a configuration with one thread on the loopback address.
    fn default() -> MediaConfig {
        MediaConfig {
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            advertise: Vec::new(),
            ports: (20_000, 39_999),
            workers: 1,
            cpus: Vec::new(),
            profile: Profile::Auto,
            realtime: false,
            opus: opus(24_000, 5),
            capture: None,
        }
    }
}

/// Trunk of a carrier: the addresses from which calls are accepted and to which calls are sent.
#[derive(Clone, Debug, Default)]
pub struct TrunkConfig {
    /// Name by which routes refer to the trunk.
    pub name: String,
    /// Hosts as `host` or `host:port`, optionally preceded by `udp:`, `tcp:` or `tls:`. Calls are accepted from all of them
    /// and sent to the first that can be reached. A name without a port is resolved according to RFC 3263.
    pub hosts: Vec<String>,
    /// Whether media may come from behind NAT: its source is then learnt from packets while the described address sends none.
    pub nat: bool,
    /// Codecs of its legs, in the order in which they are offered. If empty, all codecs, the widest band first.
    pub codecs: Vec<Codec>,
    /// Whether media is encrypted.
    pub srtp: Srtp,
    /// Way in which a leg of the trunk is informed that it is on hold.
    pub hold: HoldShown,
    /// Way in which key presses are sent to the trunk.
    pub dtmf: DtmfWay,
    /// Signalling settings such as credentials and registration.
    pub sip: TrunkSettings,
}

/// Way in which a leg is informed that it is on hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HoldShown {
    /// The leg is not informed: it only hears music.
    #[default]
    Media,
    /// An offer of `a=sendonly` (RFC 3264 section 8.4): the leg hears music and need not send.
    SendOnly,
    /// An offer of `a=inactive`: the leg plays a sound of its own, or none.
    Inactive,
}

/// Way in which key presses are sent to a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtmfWay {
    /// Telephone-events (RFC 4733) if the leg supports them, else tones in the audio.
    #[default]
    Rfc4733,
    /// SIP INFO with `application/dtmf-relay`.
    Info,
    /// Tones in the audio.
    Inband,
}

/// Rule that sends calls to matching user parts to one destination.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// Pattern for the user part: literal text in which `*` matches any run of characters and `?` matches one.
    pub pattern: String,
    /// Destination of the call.
    pub to: RouteTarget,
}

/// Destination of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// A registered agent, by SIP user name.
    Agent(String),
    /// A trunk, by name; the user part stays the same.
    Trunk(String),
    /// A built-in application.
    App(App),
    /// The application `amd`: the call goes to this trunk, and its caller is told what answered.
    Amd(String),
}

/// Built-in applications that can answer a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum App {
    /// Sends the caller's audio back.
    Echo,
    /// Plays 1 kHz at −16 dBFS.
    Tone,
    /// Records the caller.
    Record,
    /// Plays ring-back to a party while another is called: 425 Hz for one second in five (ITU-T E.180).
    Ringback,
    /// Plays a soft sound to a party on hold, as a sign that the call still exists.
    Hold,
    /// Runs a call program: the party hears silence except for the sounds that the program plays.
    Program,
}

impl std::str::FromStr for RouteTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("`{text}`: expected agent:NAME, trunk:NAME, app:echo, app:tone, app:record or app:amd:TRUNK");
        let (kind, name) = text.split_once(':').ok_or_else(expected)?;
        match (kind, name) {
            ("agent", name) if !name.is_empty() => Ok(RouteTarget::Agent(name.to_owned())),
            ("trunk", name) if !name.is_empty() => Ok(RouteTarget::Trunk(name.to_owned())),
            ("app", "echo") => Ok(RouteTarget::App(App::Echo)),
            ("app", "tone") => Ok(RouteTarget::App(App::Tone)),
            ("app", "record") => Ok(RouteTarget::App(App::Record)),
            ("app", name) if name.strip_prefix("amd:").is_some_and(|trunk| !trunk.is_empty()) => {
                Ok(RouteTarget::Amd(name["amd:".len()..].to_owned()))
            }
            _ => Err(expected()),
        }
    }
}

/// Providers of recognition, translation and synthesis.
#[derive(Clone, Debug)]
pub struct SpeechConfig {
    /// Provider of recognition.
    pub stt: SttProvider,
    /// Provider of translation.
    pub translator: SpeechProvider,
    /// Provider of synthesis.
    pub tts: SpeechProvider,
}

/// Way in which a speech provider is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeechProvider {
    /// A local child process; `None` means `tandem-local-speech` next to the running binary, then in PATH.
    Local(Option<PathBuf>),
    /// A Wyoming server at `host:port`.
    Wyoming(String),
}

/// Way in which a provider of recognition is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SttProvider {
    /// By the Wyoming protocol.
    Wyoming(SpeechProvider),
    /// By OpenAI's transcription API.
    Transcriptions(TranscriptionServer),
}

impl From<SpeechProvider> for SttProvider {
    fn from(provider: SpeechProvider) -> SttProvider {
        SttProvider::Wyoming(provider)
    }
}

/// Server of OpenAI's transcription API.
#[derive(Clone, PartialEq, Eq)]
pub struct TranscriptionServer {
    /// Address of the API without a slash at its end, such as `https://api.openai.com/v1`.
    pub url: String,
    /// Name of the model.
    pub model: String,
    /// API key; `None`: the server needs none.
    pub key: Option<String>,
}

impl std::fmt::Debug for TranscriptionServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays secret.
        f.debug_struct("TranscriptionServer")
            .field("url", &self.url)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_receive_the_advertised_address_of_the_same_family() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let media = MediaConfig { advertise: vec![ip("203.0.113.9")], ..MediaConfig::default() };
        assert_eq!(media.advertised_for(ip("10.0.0.5")), ip("203.0.113.9"));
        assert_eq!(media.advertised_for(ip("2001:db8::5")), ip("2001:db8::5"));
        assert_eq!(MediaConfig::default().advertised_for(ip("10.0.0.5")), ip("10.0.0.5"));
    }

    #[test]
    fn a_name_server_is_that_of_the_system_or_an_address() {
        assert_eq!("system".parse(), Ok(NameServer::System));
        assert_eq!("[::1]:53".parse(), Ok(NameServer::At(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 53)))));
        assert!("192.0.2.53".parse::<NameServer>().is_err_and(|error| error.contains("system or ADDRESS:PORT")));
    }
}
