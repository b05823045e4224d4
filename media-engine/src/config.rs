//! What the engine needs to know at start. The control plane fills it from file and environment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use codecs::opus::OpusSettings;

use crate::sdp::{Codec, Srtp};
use crate::sip::TraceLevel;
pub use crate::sip::dial::DialConfig;
use crate::sip::trunk::TrunkSettings;

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
    /// Which numbers may be called.
    pub dial: DialConfig,
    /// Speech providers.
    pub speech: SpeechConfig,
    /// Folder of recordings.
    pub record_dir: PathBuf,
    /// How recordings are written.
    pub record: RecordConfig,
    /// How long a leg rings before the call fails.
    pub ring_timeout: Duration,
    /// After how long without media from a leg that is not on hold its call ends; `None`: never.
    pub media_timeout: Option<Duration>,
    /// How long a call may last; emergency calls may last longer. `None`: for ever.
    pub max_call: Option<Duration>,
}

/// How recordings are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordConfig {
    /// Longest file in whole seconds; a longer recording goes on in a next one.
    pub part: Duration,
    /// With fewer bytes free in the folder nothing is recorded; at most a tenth of the file system counts.
    pub min_free: u64,
    /// With fewer bytes free there is a warning; at most a fifth of the file system counts.
    pub warn_free: u64,
}

impl Default for RecordConfig {
    /// Six hours, which at 16 kHz are 1.4 GB; 500 MB; 2 GB.
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
    /// How TLS listeners shake hands, without ALPN. Its certificate resolver may change what it shows at any time.
    #[cfg(feature = "io")]
    pub tls: Option<std::sync::Arc<rustls::ServerConfig>>,
    /// PEM file of an authority that is believed beside the system's, when we connect by TLS.
    pub tls_ca: Option<PathBuf>,
    /// Who is asked for names of hosts.
    pub resolver: NameServer,
    /// `ADDRESS` or `HOST[:PORT]` that peers are to know us by, when it is not the listeners' own.
    pub advertise: Option<String>,
    /// How much of each call's messages is kept for `Command::Trace`.
    pub trace: TraceLevel,
    /// How agents' telephones are shown that they are on hold.
    pub hold: HoldShown,
    /// Which numbers a carrier may redirect a call to. The engine's start sets it to [`Config::dial`].
    pub dial: DialConfig,
}

/// Who is asked for names of hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameServer {
    /// Those in `/etc/resolv.conf`, after `/etc/hosts`.
    #[default]
    System,
    /// One server.
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

/// How media threads weigh delay against CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Low delay until a thread is half busy, then throughput.
    #[default]
    Auto,
    /// Packets gather for up to 1 ms before the thread wakes: about half the CPU.
    Throughput,
    /// The thread is woken by every packet that is relayed; what waits for a tick anyway gathers.
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
    /// Addresses where media is received: put into SDP and ICE candidates.
    pub addresses: Vec<IpAddr>,
    /// Addresses that a 1:1 NAT maps to those, port by port: they stand in SDP instead, and are further ICE candidates.
    pub advertise: Vec<IpAddr>,
    /// First and last UDP port for media, both inclusive.
    pub ports: (u16, u16),
    /// Number of media threads.
    pub workers: usize,
    /// CPUs to pin workers to, in order; empty: no pinning.
    pub cpus: Vec<usize>,
    /// How media threads weigh delay against CPU.
    pub profile: Profile,
    /// Run media threads before all others of the machine (SCHED_RR); needs the right to do so (CAP_SYS_NICE).
    pub realtime: bool,
    /// How Opus is encoded. `dtx` goes by what each far end asks for, copies against loss by the loss that is seen beyond
    /// `expected_loss_percent`; the effort sinks under load.
    pub opus: OpusSettings,
    /// Folder for captures of all that media threads take in and send out, which can be replayed; none: no captures.
    pub capture: Option<PathBuf>,
}

impl MediaConfig {
    /// What others are told instead of an address of ours: the advertised one of its family, if any.
    pub fn told(&self, own: IpAddr) -> IpAddr {
        self.advertise.iter().copied().find(|address| address.is_ipv4() == own.is_ipv4()).unwrap_or(own)
    }
}

/// Settings of Opus that a configuration chooses; the rest is for voice over the internet.
pub fn opus(bitrate: u32, complexity: u8) -> OpusSettings {
    OpusSettings { bitrate, complexity, expected_loss_percent: 0, ..OpusSettings::default() }
}

impl Default for MediaConfig {
    /// One thread on loopback.
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

/// A carrier's trunk: addresses from which calls are taken and to which calls go.
#[derive(Clone, Debug, Default)]
pub struct TrunkConfig {
    /// Name used in routes.
    pub name: String,
    /// Hosts as `host` or `host:port`, or one of these after `udp:`, `tcp:` or `tls:`. Calls are taken from all of them and go to
    /// the first that can be reached. A name without port is looked up as RFC 3263 says.
    pub hosts: Vec<String>,
    /// Media may come from behind NAT: its source is learnt from packets while the described address sends none.
    pub nat: bool,
    /// Codecs of its legs, in the order in which they are offered; empty: all, the widest band first.
    pub codecs: Vec<Codec>,
    /// Whether its media is encrypted.
    pub srtp: Srtp,
    /// How a leg of it is shown that it is on hold.
    pub hold: HoldShown,
    /// How keys are pressed towards it.
    pub dtmf: DtmfWay,
    /// How its signalling goes.
    pub sip: TrunkSettings,
}

/// How a leg is shown that it was set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HoldShown {
    /// It is not: it hears music, and that is all.
    #[default]
    Media,
    /// By an offer of `a=sendonly` (RFC 3264 section 8.4): it hears music, and need not send.
    SendOnly,
    /// By an offer of `a=inactive`: it plays a sound of its own, or none.
    Inactive,
}

/// How keys are pressed towards a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtmfWay {
    /// As telephone-events (RFC 4733) where it knows them, else as sound.
    #[default]
    Rfc4733,
    /// By SIP INFO, with `application/dtmf-relay`.
    Info,
    /// As sound.
    Inband,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum App {
    /// Sends your audio back.
    Echo,
    /// 1 kHz at −16 dBFS.
    Tone,
    /// Records you.
    Record,
    /// Ring-back, for who waits while somebody else is called: 425 Hz for one second in five (ITU-T E.180).
    Ringback,
    /// A soft sign of life, for who waits until somebody is back.
    Hold,
    /// A call program: silence, but for what it plays.
    Program,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_the_advertised_address_of_the_same_family() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let media = MediaConfig { advertise: vec![ip("203.0.113.9")], ..MediaConfig::default() };
        assert_eq!(media.told(ip("10.0.0.5")), ip("203.0.113.9"));
        assert_eq!(media.told(ip("2001:db8::5")), ip("2001:db8::5"));
        assert_eq!(MediaConfig::default().told(ip("10.0.0.5")), ip("10.0.0.5"));
    }

    #[test]
    fn a_name_server_is_the_system_s_or_an_address() {
        assert_eq!("system".parse(), Ok(NameServer::System));
        assert_eq!("[::1]:53".parse(), Ok(NameServer::At(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 53)))));
        assert!("192.0.2.53".parse::<NameServer>().is_err_and(|error| error.contains("system or ADDRESS:PORT")));
    }
}
