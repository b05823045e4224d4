//! Client of a request, and the address by which it reached this server.
//!
//! Invariant: `X-Forwarded-For`, `-Proto` and `-Host` are used only if the peer is in `http.trusted_proxies`. The client is then
//! the right-most address that is not a trusted proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::request::Parts;

use crate::config::Config;
use crate::http::problem::Problem;

/// Client of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// Address of the client.
    pub(crate) address: SocketAddr,
    /// Whether the client used TLS.
    pub(crate) secure: bool,
    /// `host[:port]` that the client used for this server.
    pub(crate) host: String,
}

impl Client {
    /// Determines the client from the peer's address and the headers.
    pub(crate) fn of(config: &Config, peer: Option<SocketAddr>, headers: &HeaderMap) -> Client {
        // In-process requests (tests) have no socket. They come from an address that is never trusted.
        let peer = peer.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let mut client =
            Client { address: peer, secure: config.http.tls.is_on(), host: header_text(headers, HOST.as_str()) };
        let trusted = |address: IpAddr| config.http.trusted_proxies.iter().any(|proxy| proxy.contains(address));
        if !trusted(peer.ip()) {
            return client;
        }
        let forwarded: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
        let hops = forwarded.iter().flat_map(|line| line.split(','));
        for hop in hops.rev() {
            let Some(address) = forwarded_address(hop) else { break };
            client.address = SocketAddr::new(address, 0);
            if !trusted(address) {
                break;
            }
        }
        match header_text(headers, "x-forwarded-proto").as_str() {
            "https" => client.secure = true,
            "http" => client.secure = false,
            _ => {}
        }
        let host = header_text(headers, "x-forwarded-host");
        if !host.is_empty() {
            client.host = host;
        }
        client
    }

    /// Returns the base URL of the pages for this client, without a final slash: `public_url`, or else the URL that the client
    /// used.
    pub(crate) fn base_url(&self, config: &Config) -> String {
        match &config.http.public_url {
            Some(url) => url.to_string(),
            None => format!("{}://{}", if self.secure { "https" } else { "http" }, self.host),
        }
    }

    /// Returns whether `Origin` is that of a page of this server.
    pub(crate) fn is_own_origin(&self, config: &Config, origin: &str) -> bool {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let by_host = !self.host.is_empty() && host.is_some_and(|host| host.eq_ignore_ascii_case(&self.host));
        by_host || config.http.public_url.as_ref().is_some_and(|url| url.origin().eq_ignore_ascii_case(origin))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client
where
    Arc<Config>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        Ok(Client::of(&Arc::<Config>::from_ref(state), peer, &parts.headers))
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim().to_owned()
}

/// Parses `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

/// Returns the address, or for IPv6 the network of its subscriber.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_toml(text).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_trusted_proxies_set_the_clients_address() {
        let config = config("[http]\ntrusted_proxies = [\"10.0.0.0/8\"]");
        let forwarded = headers(&[
            ("x-forwarded-for", "1.1.1.1, 203.0.113.9"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-proto", "https"),
            ("host", "inner:8080"),
        ]);
        let stranger = Client::of(&config, Some("198.51.100.7:1000".parse().unwrap()), &forwarded);
        assert_eq!((stranger.address.ip().to_string().as_str(), stranger.secure), ("198.51.100.7", false));
        let proxied = Client::of(&config, Some("10.0.0.1:1000".parse().unwrap()), &forwarded);
        assert_eq!((proxied.address.ip().to_string().as_str(), proxied.secure), ("203.0.113.9", true));
    }

    #[test]
    fn garbage_in_forwarded_for_ends_the_walk() {
        let config = config("[http]\ntrusted_proxies = \"127.0.0.1\"");
        let forwarded = headers(&[("x-forwarded-for", "9.9.9.9, <script>")]);
        let client = Client::of(&config, Some("127.0.0.1:1000".parse().unwrap()), &forwarded);
        assert_eq!(client.address.ip().to_string(), "127.0.0.1");
    }

    #[test]
    fn public_url_is_the_base_of_urls_and_its_origin_is_accepted() {
        let config = config("[http]\npublic_url = \"https://voice.example.com/\"");
        let client = Client::of(&config, None, &headers(&[("host", "127.0.0.1:8080")]));
        assert_eq!(client.base_url(&config), "https://voice.example.com");
        assert!(client.is_own_origin(&config, "https://voice.example.com"));
        assert!(client.is_own_origin(&config, "http://127.0.0.1:8080"));
        assert!(!client.is_own_origin(&config, "https://evil.example.com"));
        assert!(!client.is_own_origin(&config, "null"));
    }
}
