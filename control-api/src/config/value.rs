//! Values for which TOML has no type. Each is read from a string and refused with a text that says what was expected.
//!
//! Lists are also read from one text with commas, so that environment variables can hold them.
//!
//! Invariants: [`Secret`] and [`StoreUrl`] never print a password. Every error repeats the value, unless it may be a secret
//! (`problem` decides), and names the expected form.
//!
//! Sources: RFC 7065 for TURN URIs is in `config`; ranges of addresses are in CIDR notation.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use hyper::Uri;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::engine::{Advertise, Codec, DtmfWay, HoldShown, NumberFormat, RouteTarget, SpeechProvider, Srtp};
use crate::tenant::text::without_password;

/// Encryption of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// No TLS: plain HTTP.
    Off,
    /// Self-signed certificate, created at the first start and stored in the data folder.
    SelfSigned,
    /// PEM files, which are reloaded when they change.
    Files {
        /// File of the certificate chain.
        cert: PathBuf,
        /// File of the private key.
        key: PathBuf,
    },
}

impl Tls {
    /// Returns whether TLS is used at all.
    pub fn is_on(&self) -> bool {
        *self != Tls::Off
    }
}

impl<'de> Deserialize<'de> for Tls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TlsVisitor;

        impl<'de> Visitor<'de> for TlsVisitor {
            type Value = Tls;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"off\", \"self-signed\" or { cert = \"FILE\", key = \"FILE\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Tls, E> {
                match text {
                    "off" => Ok(Tls::Off),
                    "self-signed" => Ok(Tls::SelfSigned),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tls, A::Error> {
                #[derive(serde::Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Files {
                    cert: PathBuf,
                    key: PathBuf,
                }
                let files = Files::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Tls::Files { cert: files.cert, key: files.key })
            }
        }

        deserializer.deserialize_any(TlsVisitor)
    }
}

/// URL `http(s)://host[:port]` without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    secure: bool,
    authority: String,
    host: String,
}

impl PublicUrl {
    /// Returns the host without the port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the `Origin` that browsers send from pages under this URL.
    pub fn origin(&self) -> String {
        let default_port = if self.secure { ":443" } else { ":80" };
        let url = self.to_string();
        url.strip_suffix(default_port).map_or(url.clone(), str::to_owned)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}`: expected a URL without path such as https://voice.example.com");
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(expected()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        let uri: axum::http::uri::Authority = authority.parse().map_err(|_| expected())?;
        if authority.contains(['/', '?', '#', '@']) || uri.host().is_empty() {
            return Err(expected());
        }
        Ok(PublicUrl { secure, host: uri.host().to_owned(), authority })
    }
}

impl<'de> Deserialize<'de> for PublicUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// Network range such as `10.0.0.0/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Returns whether the address is in the range. An IPv4 address seen through an IPv6 socket counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                ours.to_bits() & mask == theirs.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}`: expected an address or a range such as 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| expected())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| expected())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        if prefix > longest {
            return Err(expected());
        }
        Ok(Network { address, prefix })
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// Reads a string with `FromStr`.
pub(super) fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

/// Reads a list, a single value, or one text with commas (for environment variables).
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct ListVisitor<T>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list, or values separated by commas")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items
                .map(|item| match item.parse::<u64>() {
                    Ok(number) => T::deserialize(de::value::U64Deserializer::new(number)),
                    Err(_) => T::deserialize(de::value::StrDeserializer::new(item)),
                })
                .collect()
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(de::value::U64Deserializer::new(number))?])
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(de::value::I64Deserializer::new(number))?])
        }
    }

    deserializer.deserialize_any(ListVisitor(std::marker::PhantomData))
}

/// Reads a range of ports such as `"20000-39999"`.
pub(super) fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(u16, u16), D::Error> {
    let text = String::deserialize(deserializer)?;
    let range = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?)));
    match range {
        // At least one RTP port and its RTCP port.
        Some((first, last)) if first >= 1024 && last > first => Ok((first, last)),
        _ => Err(de::Error::custom(format!("`{text}`: expected FIRST-LAST from 1024 to 65535, such as 20000-39999"))),
    }
}

/// Reads an address with port, or `off`.
pub(super) fn address_or_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "off" {
        return Ok(None);
    }
    let expected = || de::Error::custom(format!("`{text}`: expected ADDRESS:PORT such as 127.0.0.1:9090, or off"));
    text.parse().map(Some).map_err(|_| expected())
}

/// Reads `ADDRESS` or `HOST[:PORT]`.
pub(super) fn advertise<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Advertise>, D::Error> {
    parsed(deserializer).map(Some)
}

/// Reads `agent:NAME`, `trunk:NAME`, `app:echo`, `app:tone` or `app:record`.
pub(super) fn route_target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RouteTarget, D::Error> {
    parsed(deserializer)
}

/// URL of the store. `Debug` hides the password of a PostgreSQL URL.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// Returns the URL with its password, for connecting.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for StoreUrl {
    fn from(url: &str) -> StoreUrl {
        StoreUrl(url.to_owned())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

/// Secret from the configuration. `Debug` never prints it.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Returns the secret itself, for its intended use.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads `as-is`, `+e164`, `e164`, or `national:COUNTRY:PREFIX`.
pub(super) fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NumberFormat, D::Error> {
    let text = String::deserialize(deserializer)?;
    let expected = || {
        de::Error::custom(format!(
            "`{text}`: expected as-is, +e164, e164, or national:COUNTRY:PREFIX such as national:44:0 (the prefix may be empty)"
        ))
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    Ok(match text.as_str() {
        "as-is" => NumberFormat::AsIs,
        "+e164" => NumberFormat::PlusE164,
        "e164" => NumberFormat::E164,
        other => {
            let (country, prefix) =
                other.strip_prefix("national:").and_then(|rest| rest.split_once(':')).ok_or_else(expected)?;
            if country.is_empty() || !digits(country) || !digits(prefix) {
                return Err(expected());
            }
            NumberFormat::National { country: country.to_owned(), prefix: prefix.to_owned() }
        }
    })
}

/// Reads names of codecs such as `pcmu`.
pub(super) fn codecs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Codec>, D::Error> {
    let names: Vec<String> = list(deserializer)?;
    let codec = |name: &String| match name.to_ascii_lowercase().as_str() {
        "pcmu" => Ok(Codec::Pcmu),
        "pcma" => Ok(Codec::Pcma),
        "g722" => Ok(Codec::G722),
        "opus" => Ok(Codec::Opus),
        _ => Err(de::Error::custom(format!("`{name}`: expected pcmu, pcma, g722 or opus"))),
    };
    names.iter().map(codec).collect()
}

/// Reads `off`, `optional` or `required`.
pub(super) fn srtp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Srtp, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "off" => Ok(Srtp::Off),
        "optional" => Ok(Srtp::Optional),
        "required" => Ok(Srtp::Required),
        other => Err(de::Error::custom(format!("`{other}`: expected off, optional or required"))),
    }
}

/// Reads `media`, `sendonly` or `inactive`.
pub(super) fn hold<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HoldShown, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "media" => Ok(HoldShown::Media),
        "sendonly" => Ok(HoldShown::SendOnly),
        "inactive" => Ok(HoldShown::Inactive),
        other => Err(de::Error::custom(format!("`{other}`: expected media, sendonly or inactive"))),
    }
}

/// Reads `rfc4733`, `info` or `inband`.
pub(super) fn dtmf<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DtmfWay, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "rfc4733" => Ok(DtmfWay::Rfc4733),
        "info" => Ok(DtmfWay::Info),
        "inband" => Ok(DtmfWay::Inband),
        other => Err(de::Error::custom(format!("`{other}`: expected rfc4733, info or inband"))),
    }
}

/// Address of a provider of speech recognition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SttAddress {
    /// A provider of the Wyoming protocol.
    Wyoming(SpeechProvider),
    /// Address of OpenAI's transcription API, without a slash at its end.
    OpenAi(String),
}

/// Reads a provider as [`speech_provider`] does, or `openai:URL`.
pub(super) fn stt_provider<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SttAddress, D::Error> {
    let text = String::deserialize(deserializer)?;
    let Some(address) = text.strip_prefix("openai:") else {
        let expected = "local, local:PROGRAM, wyoming://HOST:PORT or openai:URL";
        return provider_of(&text).map(SttAddress::Wyoming).ok_or_else(|| expected_provider(&text, expected));
    };
    let is_fine = |url: &Uri| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    };
    match address.parse().ok().filter(is_fine) {
        Some(_) if !address.contains(['@', '?', '#']) => {
            Ok(SttAddress::OpenAi(address.trim_end_matches('/').to_owned()))
        }
        // The address may contain a key, and is not repeated.
        _ => Err(de::Error::custom("expected openai:http://HOST[:PORT]/v1 or https, without user, query and fragment")),
    }
}

/// Reads `local`, `local:PROGRAM` or `wyoming://HOST:PORT`.
pub(super) fn speech_provider<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SpeechProvider, D::Error> {
    let text = String::deserialize(deserializer)?;
    provider_of(&text).ok_or_else(|| expected_provider(&text, "local, local:PROGRAM or wyoming://HOST:PORT"))
}

fn expected_provider<E: de::Error>(text: &str, expected: &str) -> E {
    E::custom(format!("`{text}`: expected {expected}"))
}

fn provider_of(text: &str) -> Option<SpeechProvider> {
    if text == "local" {
        return Some(SpeechProvider::Local(None));
    }
    if let Some(path) = text.strip_prefix("local:").filter(|path| !path.is_empty()) {
        return Some(SpeechProvider::Local(Some(PathBuf::from(path))));
    }
    let server = text.strip_prefix("wyoming://").map(|server| server.strip_suffix('/').unwrap_or(server));
    let fine = |server: &&str| {
        server.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
            && !server.contains(['/', '@', '?', '#', ' '])
    };
    server.filter(fine).map(|server| SpeechProvider::Wyoming(server.to_owned()))
}

/// Splits `smtp://[USER:PASSWORD@]HOST[:PORT]` or `smtps://…` into the host and whether the connection begins with TLS.
pub(crate) fn smtp_url(text: &str) -> Option<(&str, bool)> {
    let (rest, secure) = match (text.strip_prefix("smtp://"), text.strip_prefix("smtps://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return None,
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let authority: axum::http::uri::Authority = rest.parse().ok()?;
    let host = &rest[rest.rfind('@').map_or(0, |at| at + 1)..];
    let host = host.strip_suffix(authority.port().map(|port| format!(":{port}")).as_deref().unwrap_or_default())?;
    (!host.is_empty()).then_some((host, secure))
}
