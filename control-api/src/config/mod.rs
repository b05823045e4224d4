//! The configuration: one TOML file. Every key can also be set by an environment variable, `TANDEM_SECTION__KEY`.
//!
//! ```text
//! file ─▶ TOML syntax ─┬─▶ figment ─▶ Config (serde) ─▶ check: values that must fit together ─▶ Config
//! environment ─────────┘
//! ```
//!
//! Invariants: an unknown key is refused, with the nearest known one as a hint. Every error is one sentence that names the key,
//! and no error contains a secret. `tandem.example.toml` explains every key; a test reads it.
//!
//! Not here: types that TOML lacks (`value`), texts of errors (`problem`), accounts, mail and limits (`people`).

mod engine;
mod log;
mod people;
mod problem;
mod value;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::Deserialize;

use crate::engine::{
    Advertise, Codec, DtmfWay, HoldShown, HostRule, NameServer, NumberFormat, Profile, RecordConfig, RouteTarget,
    SpeechProvider, Srtp, TraceLevel, knows_country,
};

use crate::store::{SealKey, StorePlace};

pub use engine::{dialled_number, engine_settings, is_emergency, speech_config};
pub use log::{LogConfig, LogFormat, LogLevel};
pub use people::{AuthConfig, LimitsConfig, MailConfig, OrganizationLimits, Rate, Signup};
pub use problem::ConfigError;
pub(crate) use value::smtp_url;
pub use value::{Network, PublicUrl, Secret, StoreUrl, SttAddress, Tls};

/// The whole configuration, by section.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[http]`: web pages and API.
    pub http: HttpConfig,
    /// `[metrics]`: listener for Prometheus.
    pub metrics: MetricsConfig,
    /// `[sip]`: SIP listeners and addresses.
    pub sip: SipConfig,
    /// `[media]`: media threads, addresses and ports.
    pub media: MediaConfig,
    /// `[turn]`: relays for browsers that cannot reach this server by UDP.
    pub turn: TurnConfig,
    /// `[store]`: database and folder of recordings.
    pub store: StoreConfig,
    /// `[recording]`: size of files and free disk space.
    pub recording: RecordingConfig,
    /// `[auth]`: accounts and sign-up.
    pub auth: AuthConfig,
    /// `[mail]`: outgoing mail by SMTP.
    pub mail: MailConfig,
    /// `[limits]`: limits of request rates.
    pub limits: LimitsConfig,
    /// `[dial]`: numbers that may be called.
    pub dial: DialConfig,
    /// `[[trunks]]`: trunks of carriers.
    pub trunks: Vec<TrunkConfig>,
    /// `[[routes]]`: destinations of incoming numbers. The first match is used.
    pub routes: Vec<RouteConfig>,
    /// `[programs]`: servers that supply call programs.
    pub programs: ProgramsConfig,
    /// `[speech]`: speech providers.
    pub speech: SpeechConfig,
    /// `[log]`: messages on standard error.
    pub log: LogConfig,
    /// `[debug]`: captures for debugging.
    pub debug: DebugConfig,
}

/// `[http]`: web pages and API.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port of the listener.
    pub listen: SocketAddr,
    /// Plain HTTP, certificate files, or a self-signed certificate.
    pub tls: Tls,
    /// URL under which clients reach the pages. All URLs that the server hands out begin with it.
    pub public_url: Option<PublicUrl>,
    /// Proxies whose headers about the client's address are trusted.
    #[serde(deserialize_with = "value::list")]
    pub trusted_proxies: Vec<Network>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls: Tls::Off,
            public_url: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// `[programs]`: servers that supply call programs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProgramsConfig {
    /// Networks from which programs may be fetched although they are not public.
    #[serde(deserialize_with = "value::list")]
    pub networks: Vec<Network>,
}

/// `[metrics]`: listener for Prometheus.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Address and port of the listener; `None` means no listener.
    #[serde(deserialize_with = "value::address_or_off")]
    pub listen: Option<SocketAddr>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        MetricsConfig { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))) }
    }
}

/// `[sip]`: listeners, and the addresses by which peers and this server find each other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SipConfig {
    /// Listeners such as `udp:127.0.0.1:5060`, `tcp:[::1]:5060`, `tls:0.0.0.0:5061`.
    #[serde(deserialize_with = "value::list")]
    pub listen: Vec<String>,
    /// Seconds that running calls have to end by themselves after SIGTERM.
    pub drain_s: u32,
    /// Longest duration of a call in seconds; 0 means unlimited. Emergency calls may last longer.
    pub max_call_s: u32,
    /// Certificate of TLS listeners. Defaults to that of the pages, or to a self-signed one if they have none.
    pub tls: Option<Tls>,
    /// PEM file of an authority that is trusted, in addition to the system's, for outgoing TLS connections.
    pub tls_ca: Option<PathBuf>,
    /// `system`, or the address of a name server.
    #[serde(deserialize_with = "value::parsed")]
    pub resolver: NameServer,
    /// `ADDRESS` or `HOST[:PORT]` that peers are given for this server.
    #[serde(deserialize_with = "value::advertise")]
    pub advertise: Option<Advertise>,
    /// `off`, `headers` or `full`: the part of the calls' messages that is kept in memory for traces.
    #[serde(deserialize_with = "value::parsed")]
    pub trace: TraceLevel,
    /// `media`, `sendonly` or `inactive`: the way in which agents' phones are told that they are on hold.
    #[serde(deserialize_with = "value::hold")]
    pub hold: HoldShown,
}

impl Default for SipConfig {
    fn default() -> Self {
        SipConfig {
            listen: vec!["udp:127.0.0.1:5060".into()],
            drain_s: 30,
            // Four hours, a common limit of carriers.
            max_call_s: 14_400,
            tls: None,
            tls_ca: None,
            resolver: NameServer::System,
            advertise: None,
            trace: TraceLevel::Full,
            hold: HoldShown::Media,
        }
    }
}

impl SipConfig {
    /// Returns whether any listener uses TLS.
    pub fn has_tls(&self) -> bool {
        self.listen.iter().any(|listener| listener.starts_with("tls:"))
    }
}

/// `[media]`: threads, addresses and ports.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaConfig {
    /// Addresses on which media is received. They are put into SDP and ICE candidates.
    #[serde(deserialize_with = "value::list")]
    pub address: Vec<IpAddr>,
    /// Public addresses that a 1:1 NAT maps to those. Callers are given only these, browsers both.
    #[serde(deserialize_with = "value::list")]
    pub advertise: Vec<IpAddr>,
    /// First and last UDP port for media, both inclusive.
    #[serde(deserialize_with = "value::ports")]
    pub ports: (u16, u16),
    /// Number of media threads, 1 to 1024.
    pub workers: usize,
    /// CPUs to which the threads are pinned, in order. Empty means no pinning.
    #[serde(deserialize_with = "value::list")]
    pub cpus: Vec<usize>,
    /// `auto`, `throughput` or `low-delay`.
    #[serde(deserialize_with = "value::parsed")]
    pub profile: Profile,
    /// Whether media threads have real-time priority (SCHED_RR).
    pub realtime: bool,
    /// Bit rate of outgoing Opus in bits per second, 6000 to 510000.
    pub opus_bitrate: u32,
    /// Effort of the Opus encoder, 0 to 10.
    pub opus_complexity: u8,
    /// Seconds without media after which a leg is dead and its call ends; 0 means never.
    pub timeout_s: u32,
}

impl Default for MediaConfig {
    fn default() -> Self {
        MediaConfig {
            address: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            advertise: Vec::new(),
            ports: (20_000, 39_999),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            cpus: Vec::new(),
            profile: Profile::Auto,
            realtime: false,
            opus_bitrate: 24_000,
            opus_complexity: 5,
            timeout_s: 60,
        }
    }
}

/// `[turn]`: relays for browsers that cannot reach this server by UDP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TurnConfig {
    /// URIs of TURN servers, such as `turn:turn.example.com:3478?transport=tcp`. Empty means none.
    #[serde(deserialize_with = "value::list")]
    pub uris: Vec<String>,
    /// Secret shared with the TURN servers. It signs the credentials that browsers get.
    pub secret: Option<Secret>,
    /// Validity of such credentials in seconds, 60 to 3600.
    pub ttl_s: u32,
}

impl Default for TurnConfig {
    fn default() -> Self {
        // Such credentials cannot be revoked, so they outlive the right to call by minutes only. Pages request new ones in time,
        // and a relay in use is not affected.
        TurnConfig { uris: Vec::new(), secret: None, ttl_s: 600 }
    }
}

impl TurnConfig {
    /// Checks the values. Returns the key and the problem of the first one that cannot be used.
    fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(uri) = self.uris.iter().find(|uri| !is_relay_uri(uri)) {
            let expected =
                "expected turn:HOST[:PORT] or turns:HOST[:PORT], optionally with ?transport=udp or ?transport=tcp";
            return Err(("uris", format!("`{uri}`: {expected}")));
        }
        let secret = self.secret.as_ref().map(|secret| secret.reveal());
        match (self.uris.is_empty(), secret) {
            (false, None | Some("")) => {
                return Err(("secret", "expected together with `uris`: the server's static-auth-secret".into()));
            }
            (true, Some(_)) => {
                return Err(("uris", "expected together with `secret`: the URI of the TURN server".into()));
            }
            _ => {}
        }
        match self.ttl_s {
            60..=3_600 => Ok(()),
            ttl => Err(("ttl_s", format!("`{ttl}`: expected 60 to 3600 seconds"))),
        }
    }
}

/// Returns whether the text is a URI of RFC 7065 with a valid host and port.
fn is_relay_uri(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("turn:").or_else(|| uri.strip_prefix("turns:")) else { return false };
    let (host, transport) = rest.split_once('?').map_or((rest, None), |(host, query)| (host, Some(query)));
    host.parse::<axum::http::uri::Authority>().is_ok_and(|host| !host.host().is_empty() && !rest.contains('@'))
        && matches!(transport, None | Some("transport=udp" | "transport=tcp"))
}

/// `[store]`: database and folder of recordings.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `sqlite:PATH`, where a relative path is in the data folder; `postgres://USER:PASSWORD@HOST:PORT/DATABASE`; or `none`,
    /// which stores nothing.
    pub url: StoreUrl,
    /// For PostgreSQL, the URL for the role that owns and migrates the schema.
    pub migrate_url: Option<StoreUrl>,
    /// Folder of recordings. A relative path is in the data folder.
    pub record: PathBuf,
    /// File of the key that seals secrets in the database. Defaults to `seal.key` in the data folder.
    pub seal_key_file: Option<PathBuf>,
    /// The key itself, 64 hexadecimal digits, for use in the environment.
    pub seal_key: Option<Secret>,
    /// Disk space in megabytes (2^20 bytes) reserved for events while the database is unavailable, 1 to 65536.
    pub spool_mb: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        StoreConfig {
            url: "sqlite:tandem.db".into(),
            migrate_url: None,
            record: "recordings".into(),
            seal_key_file: None,
            seal_key: None,
            spool_mb: 128,
        }
    }
}

impl StoreConfig {
    /// Returns the source of the key that seals secrets. A relative path is in `data`.
    pub fn seal_key(&self, data: &Path) -> SealKey {
        match (&self.seal_key, &self.seal_key_file) {
            (Some(key), _) => SealKey::Given(key.reveal().to_owned()),
            (None, Some(file)) => SealKey::File(data.join(file)),
            (None, None) => SealKey::in_folder(data),
        }
    }

    /// Returns the size in bytes of the file that holds events while the database is unavailable.
    pub fn spool_bytes(&self) -> u64 {
        u64::from(self.spool_mb) << 20
    }

    /// Returns the location of the store. A relative path is in `data`.
    pub fn place<'a>(&'a self, data: &'a Path) -> StorePlace<'a> {
        let migrate_url = self.migrate_url.as_ref().map(StoreUrl::reveal);
        StorePlace { url: self.url.reveal(), migrate_url, folder: data }
    }
}

/// `[recording]`: size of files and free disk space.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordingConfig {
    /// Seconds of audio per file, 1 to 57600. A longer recording continues in another file.
    pub part_s: u32,
    /// Free space in megabytes (2^20 bytes) below which nothing is recorded, but at most a tenth of the file system.
    pub min_free_mb: u32,
    /// Free space in megabytes below which a warning is logged, but at most a fifth of the file system.
    pub warn_free_mb: u32,
}

impl Default for RecordingConfig {
    fn default() -> Self {
        let RecordConfig { part, min_free, warn_free } = RecordConfig::default();
        let whole = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        RecordingConfig {
            part_s: whole(part.as_secs()),
            min_free_mb: whole(min_free >> 20),
            warn_free_mb: whole(warn_free >> 20),
        }
    }
}

impl RecordingConfig {
    /// Checks the values. Returns the key and the problem of the first one that cannot be used.
    fn check(&self) -> Result<(), (&'static str, String)> {
        // 16 hours at 16 kHz are 3.7 GB; a WAV file cannot exceed 4 GiB.
        if !(1..=57_600).contains(&self.part_s) {
            return Err(("part_s", format!("`{}`: expected 1 to 57600 seconds", self.part_s)));
        }
        if self.warn_free_mb < self.min_free_mb {
            return Err(("warn_free_mb", "expected at least `min_free_mb`".into()));
        }
        Ok(())
    }
}

/// `[dial]`: numbers that may be called through trunks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DialConfig {
    /// Prefixes of numbers that may be called. Empty means all except satellite and premium numbers.
    #[serde(deserialize_with = "value::list")]
    pub allow: Vec<String>,
    /// Whether satellite networks may be called.
    pub satellite: bool,
    /// Whether premium numbers may be called.
    pub premium: bool,
    /// Countries whose emergency numbers are known, in addition to 112, 911 and 999.
    #[serde(deserialize_with = "value::list")]
    pub countries: Vec<String>,
    /// Name of the trunk that carries emergency calls.
    pub emergency_trunk: Option<String>,
    /// Hosts other than trunks that may be called by URI, such as `sip.example.com`, `*.example.com`, `192.0.2.0/24`.
    #[serde(deserialize_with = "value::list")]
    pub uris: Vec<String>,
    /// Begin of what a telephone dials to pick up a parked call, followed by the number of its slot. Empty means that parked calls
    /// are not picked up by dialling.
    pub pickup: String,
    /// Largest number of simultaneous calls started by the people and programs of one organization, including legs of transfers;
    /// 0 means no limit.
    pub calls: u32,
    /// Largest number of calls that they start per second; 0 means no limit.
    pub calls_per_second: u32,
    /// Largest number of simultaneous emergency calls of one organization; 0 means no limit.
    pub emergency_calls: u32,
    /// Largest number of emergency calls that one organization starts per minute; 0 means no limit.
    pub emergency_calls_per_minute: u32,
}

impl Default for DialConfig {
    fn default() -> Self {
        DialConfig {
            allow: Vec::new(),
            satellite: false,
            premium: false,
            countries: Vec::new(),
            emergency_trunk: None,
            uris: Vec::new(),
            pickup: "*7".into(),
            calls: 500,
            calls_per_second: 20,
            emergency_calls: 10,
            emergency_calls_per_minute: 30,
        }
    }
}

/// `[[trunks]]`: connection to a carrier.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkConfig {
    /// Name by which routes refer to the trunk.
    pub name: String,
    /// `host` or `host:port`, optionally after `udp:`, `tcp:` or `tls:`. Calls are accepted from all of them and sent to the
    /// first one that can be reached.
    #[serde(deserialize_with = "value::list")]
    pub hosts: Vec<String>,
    /// Whether the carrier's media comes from behind a NAT.
    #[serde(default)]
    pub nat: bool,
    /// User name at the carrier. Requires `password`.
    pub user: Option<String>,
    /// Password at the carrier. Requires `user`.
    pub password: Option<Secret>,
    /// Whether to register at the carrier, so that it knows this server's address.
    #[serde(default)]
    pub register: bool,
    /// Seconds between OPTIONS probes of the hosts, 5 to 3600; 0 means none.
    #[serde(default = "options_s")]
    pub options_s: u32,
    /// Format in which the carrier writes numbers.
    #[serde(default, deserialize_with = "value::numbers")]
    pub numbers: NumberFormat,
    /// Country code to which the carrier's national numbers belong, such as `34`.
    pub country: Option<String>,
    /// Digits before national numbers. Defaults to those of the country.
    pub national_prefix: Option<String>,
    /// Digits before international numbers. Defaults to those of the country, or to `00` and `011` without a country.
    #[serde(default, deserialize_with = "value::list")]
    pub international_prefixes: Vec<String>,
    /// Number shown by calls that have no caller ID of their own.
    pub from: Option<String>,
    /// Host in the From header of outgoing calls.
    pub from_host: Option<String>,
    /// Whether P-Asserted-Identity is sent and trusted.
    #[serde(default)]
    pub assert_identity: bool,
    /// Headers that are passed to and from the leg that a call is connected to.
    #[serde(default, deserialize_with = "value::list")]
    pub pass_headers: Vec<String>,
    /// Codecs in the order of the offer. Empty means all.
    #[serde(default, deserialize_with = "value::codecs")]
    pub codecs: Vec<Codec>,
    /// Encryption of the carrier's media.
    #[serde(default, deserialize_with = "value::srtp")]
    pub srtp: Srtp,
    /// `media`, `sendonly` or `inactive`: the way in which the carrier's legs are told that they are on hold.
    #[serde(default, deserialize_with = "value::hold")]
    pub hold: HoldShown,
    /// `rfc4733`, `info` or `inband`: the way in which keys are sent to the carrier.
    #[serde(default, deserialize_with = "value::dtmf")]
    pub dtmf: DtmfWay,
    /// Largest number of simultaneous calls; 0 means no limit.
    #[serde(default)]
    pub channels: u32,
    /// Largest number of outgoing calls per second; 0 means no limit.
    #[serde(default)]
    pub calls_per_second: u32,
}

fn options_s() -> u32 {
    20
}

/// `[[routes]]`: rule for incoming numbers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// Pattern for the user part: `*` matches any text, `?` one character.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Destination of matching calls.
    #[serde(deserialize_with = "value::route_target")]
    pub to: RouteTarget,
}

/// `[speech]`: speech providers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpeechConfig {
    /// Provider of speech recognition.
    #[serde(deserialize_with = "value::stt_provider")]
    pub stt: SttAddress,
    /// Model of a provider of OpenAI's transcription API.
    pub stt_model: String,
    /// Key of a provider of OpenAI's transcription API. `None`: it needs none.
    pub stt_key: Option<Secret>,
    /// Provider of translation.
    #[serde(deserialize_with = "value::speech_provider")]
    pub translator: SpeechProvider,
    /// Provider of speech synthesis.
    #[serde(deserialize_with = "value::speech_provider")]
    pub tts: SpeechProvider,
}

impl Default for SpeechConfig {
    fn default() -> Self {
        SpeechConfig {
            stt: SttAddress::Wyoming(SpeechProvider::Local(None)),
            stt_model: "whisper-1".into(),
            stt_key: None,
            translator: SpeechProvider::Local(None),
            tts: SpeechProvider::Local(None),
        }
    }
}

/// `[debug]`: captures for debugging.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DebugConfig {
    /// Folder for captures of all packets that media threads receive and send; see `tandem replay FILE`.
    pub capture: Option<PathBuf>,
}

impl DialConfig {
    /// Checks the values. Returns the key and the problem of the first one that cannot be used.
    fn check(&self, trunks: &[TrunkConfig]) -> Result<(), (&'static str, String)> {
        let is_prefix = |text: &String| {
            let digits = text.strip_prefix('+').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if let Some(text) = self.allow.iter().find(|text| !is_prefix(text)) {
            return Err(("allow", format!("`{text}`: expected the first digits of numbers, such as +34")));
        }
        if let Some(code) = self.countries.iter().find(|code| !knows_country(code)) {
            let problem = "the emergency numbers of this country are not known; expected an ISO 3166-1 code such as ES";
            return Err(("countries", format!("`{code}`: {problem}")));
        }
        if let Some(problem) = self.uris.iter().find_map(|rule| rule.parse::<HostRule>().err()) {
            return Err(("uris", problem));
        }
        let is_key = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'*' | b'#');
        let is_code = self.pickup.starts_with(['*', '#']) && self.pickup.len() <= 8 && self.pickup.bytes().all(is_key);
        if !self.pickup.is_empty() && !is_code {
            let problem = "expected * or # and up to seven further keys, such as *7, or an empty text";
            return Err(("pickup", format!("`{}`: {problem}", self.pickup)));
        }
        match &self.emergency_trunk {
            Some(name) if !trunks.iter().any(|trunk| trunk.name == *name) => {
                Err(("emergency_trunk", format!("there is no trunk `{name}`")))
            }
            _ => Ok(()),
        }
    }
}

impl TrunkConfig {
    /// Checks that the values fit together. Returns the key and the problem of the first one that does not.
    fn check(&self) -> Result<(), (&'static str, String)> {
        match (&self.user, &self.password) {
            (Some(_), None) => return Err(("password", "expected together with `user`".into())),
            (None, Some(_)) => return Err(("user", "expected together with `password`".into())),
            (None, None) if self.register => return Err(("user", "expected with `register = true`".into())),
            _ => {}
        }
        if self.options_s != 0 && !(5..=3600).contains(&self.options_s) {
            return Err(("options_s", format!("`{}`: expected 5 to 3600 seconds, or 0 for none", self.options_s)));
        }
        let digits = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(code) =
            self.country.as_ref().filter(|code| !digits(code) || code.starts_with('0') || code.len() > 3)
        {
            return Err(("country", format!("`{code}`: expected a country code such as 34")));
        }
        if let Some(prefix) = self.national_prefix.as_ref().filter(|prefix| !prefix.is_empty() && !digits(prefix)) {
            return Err(("national_prefix", format!("`{prefix}`: expected digits such as 0, or an empty text")));
        }
        if let Some(prefix) = self.international_prefixes.iter().find(|prefix| !digits(prefix)) {
            return Err(("international_prefixes", format!("`{prefix}`: expected digits such as 00")));
        }
        if let Some(from) = self.from.as_ref().filter(|from| from.is_empty() || from.chars().any(char::is_control)) {
            return Err(("from", format!("{from:?}: expected a number such as +34910000001")));
        }
        match self.pass_headers.iter().find(|name| !is_header_name(name)) {
            Some(name) => Err(("pass_headers", format!("`{name}`: expected the name of a header such as X-Account"))),
            None => Ok(()),
        }
    }
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Environment variables for lists at the root, which belong to no section.
const ROOT_LISTS: [&str; 2] = ["trunks", "routes"];

impl Config {
    /// Reads a file, if one is named, and then the environment, which takes precedence.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or if a key or value cannot be used. The text is one sentence that names the key; show it
    /// to the operator.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let mut figment = Figment::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::unreadable(path, &source))?;
            // Parsed separately first, so that a syntax error names its line and not a key.
            toml_syntax(path, &text)?;
            figment = figment.merge(Toml::file_exact(path));
        }
        Config::extract(&figment.merge(environment()))
    }

    /// Reads only this TOML text, without file or environment.
    ///
    /// # Errors
    ///
    /// Fails as [`Config::load`] does.
    pub fn from_toml(text: &str) -> Result<Config, ConfigError> {
        toml_syntax(Path::new("configuration"), text)?;
        Config::extract(&Figment::from(Toml::string(text)))
    }

    fn extract(figment: &Figment) -> Result<Config, ConfigError> {
        let config: Config = figment.extract().map_err(ConfigError::from)?;
        config.check()?;
        Ok(config)
    }

    /// Checks values that can be parsed but do not fit together.
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: String, problem: String| Err(ConfigError::Value { key, problem });
        if let Some(room) = self.log.unknown_room() {
            return wrong(
                format!("log.rooms.{room}"),
                format!("unknown room; expected one of {}", log::ROOMS.join(", ")),
            );
        }
        for (n, listener) in self.sip.listen.iter().enumerate() {
            let fine = listener.split_once(':').is_some_and(|(transport, address)| {
                matches!(transport, "udp" | "tcp" | "tls") && address.parse::<SocketAddr>().is_ok()
            });
            if !fine {
                let problem = format!("`{listener}`: expected udp:ADDRESS:PORT, tcp:ADDRESS:PORT or tls:ADDRESS:PORT");
                return wrong(format!("sip.listen[{n}]"), problem);
            }
        }
        if self.sip.tls == Some(Tls::Off) {
            let problem =
                "expected \"self-signed\" or { cert = \"FILE\", key = \"FILE\" }; it is used only with a tls: listener";
            return wrong("sip.tls".into(), problem.into());
        }
        if self.media.address.is_empty() {
            return wrong("media.address".into(), "expected at least one address where media is received".into());
        }
        if let Some(address) = self.media.address.iter().find(|address| address.is_unspecified()) {
            let problem = format!("`{address}` is not an address that others can send to; use this machine's own");
            return wrong("media.address".into(), problem);
        }
        for address in &self.media.advertise {
            let same_family = |own: &IpAddr| own.is_ipv4() == address.is_ipv4();
            if address.is_unspecified() || !self.media.address.iter().any(same_family) {
                let problem =
                    format!("`{address}`: expected a public address of the same family as one in media.address");
                return wrong("media.advertise".into(), problem);
            }
        }
        // Only one address is advertised to all peers, so a second one would never be used.
        for v4 in [true, false] {
            let mut same = self.media.advertise.iter().filter(|address| address.is_ipv4() == v4);
            if let (Some(first), Some(second)) = (same.next(), same.next()) {
                let problem = format!("`{first}` and `{second}`: expected at most one address of each family");
                return wrong("media.advertise".into(), problem);
            }
        }
        if self.media.workers == 0 || self.media.workers > 1024 {
            return wrong("media.workers".into(), "expected 1 to 1024 threads".into());
        }
        if !(6_000..=510_000).contains(&self.media.opus_bitrate) {
            return wrong("media.opus_bitrate".into(), "expected 6000 to 510000 bits per second".into());
        }
        if self.media.opus_complexity > 10 {
            return wrong("media.opus_complexity".into(), "expected 0 to 10".into());
        }
        for (n, trunk) in self.trunks.iter().enumerate() {
            if trunk.name.is_empty() {
                return wrong(format!("trunks[{n}].name"), "expected a name".into());
            }
            if self.trunks[..n].iter().any(|other| other.name == trunk.name) {
                return wrong(format!("trunks[{n}].name"), format!("`{}` is used twice", trunk.name));
            }
            if let Err((key, problem)) = trunk.check() {
                return wrong(format!("trunks[{n}].{key}"), problem);
            }
            if trunk.hosts.is_empty() {
                return wrong(format!("trunks[{n}].hosts"), "expected at least one `host` or `host:port`".into());
            }
        }
        if let Err((key, problem)) = self.dial.check(&self.trunks) {
            return wrong(format!("dial.{key}"), problem);
        }
        if self.store.seal_key.is_some() && self.store.seal_key_file.is_some() {
            return wrong("store.seal_key".into(), "expected either `seal_key` or `seal_key_file`, not both".into());
        }
        if !(1..=65_536).contains(&self.store.spool_mb) {
            return wrong("store.spool_mb".into(), format!("`{}`: expected 1 to 65536", self.store.spool_mb));
        }
        if let Err((key, problem)) = self.recording.check() {
            return wrong(format!("recording.{key}"), problem);
        }
        if let Err((key, problem)) = self.turn.check() {
            return wrong(format!("turn.{key}"), problem);
        }
        if let Err((key, problem)) = self.auth.check() {
            return wrong(format!("auth.{key}"), problem);
        }
        if let Err((key, problem)) = self.mail.check() {
            return wrong(format!("mail.{key}"), problem);
        }
        for (n, route) in self.routes.iter().enumerate() {
            if route.pattern.is_empty() {
                return wrong(format!("routes[{n}].match"), "expected a pattern such as `+1555*`".into());
            }
            if let RouteTarget::Trunk(name) | RouteTarget::Amd(name) = &route.to
                && !self.trunks.iter().any(|trunk| trunk.name == *name)
            {
                let known: Vec<&str> = self.trunks.iter().map(|trunk| trunk.name.as_str()).collect();
                let problem = format!("there is no trunk `{name}`; known: {}", known.join(", "));
                return wrong(format!("routes[{n}].to"), problem);
            }
        }
        Ok(())
    }

    /// Returns the digest realm and domain of agents' addresses: the host of `public_url`, or else of the listener.
    pub fn sip_domain(&self) -> String {
        match &self.http.public_url {
            Some(url) => url.host().to_owned(),
            None if self.http.listen.ip().is_unspecified() => "localhost".into(),
            None => match self.http.listen.ip() {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            },
        }
    }

    /// Returns the folder of recordings. A relative path is in `data`.
    pub fn record_dir(&self, data: &Path) -> PathBuf {
        data.join(&self.store.record)
    }
}

fn toml_syntax(path: &Path, text: &str) -> Result<(), ConfigError> {
    use figment::Provider;
    match Toml::string(text).data() {
        Ok(_) => Ok(()),
        Err(error) => Err(ConfigError::syntax(path, &error)),
    }
}

/// Returns the variables `TANDEM_SECTION__KEY`, `TANDEM_TRUNKS` and `TANDEM_ROUTES`. Other variables that begin with `TANDEM_`
/// are ignored.
fn environment() -> Env {
    Env::prefixed("TANDEM_")
        .filter(|key| {
            let key = key.as_str().to_ascii_lowercase();
            key.contains("__") || ROOT_LISTS.contains(&key.as_str())
        })
        .split("__")
}

#[cfg(test)]
mod tests;
