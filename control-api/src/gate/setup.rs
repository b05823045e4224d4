//! Setup of a fresh installation: who may sign up first, and under which names the server answers until then.
//!
//! ```text
//! start, no organization yet ─▶ can others reach it? ─▶ code: printed, and in DATA/signup-code (0600)
//! request while there is none ─▶ known Host? ─▶ if not, 421
//! first sign-up ─▶ correct code? ─▶ organization; the file is removed
//! ```
//!
//! Invariants: a person who reaches a fresh server over a network can own it only with the code printed on its terminal. A page
//! of another site whose name resolves to this machine (DNS rebinding) gets no answer.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Gate;
use crate::auth::{Secret, token_hash};
use crate::config::Config;
use crate::http::client::Client;
use crate::http::problem::Problem;

/// Name of the file with the code in the data folder.
const FILE: &str = "signup-code";
/// Number of bytes that are read from it at most.
const CODE_MAX: u64 = 256;
/// Paths of probes, which may use any host name.
const PROBES: [&str; 3] = ["/health", "/readyz", "/api/health"];

/// Rules that apply until there is an organization.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    listener: IpAddr,
    code: Option<Code>,
}

#[derive(Clone, Debug)]
struct Code {
    secret: Secret,
    file: PathBuf,
}

impl Setup {
    /// Creates the rules for a server that listens at `listener`. A code is required if other machines can reach it. A code that
    /// was printed earlier stays valid.
    pub(crate) fn begin(config: &Config, listener: SocketAddr, data: &Path) -> io::Result<Setup> {
        let public = config.http.public_url.as_ref().is_some_and(|url| !is_local(url.host()));
        let reachable = !listener.ip().is_loopback() || public || !config.http.trusted_proxies.is_empty();
        let file = data.join(FILE);
        let code = if reachable { Some(Code { secret: kept_code(&file)?, file }) } else { None };
        Ok(Setup { listener: listener.ip(), code })
    }

    /// Returns the code, to print it on the terminal.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_ref().map(|code| code.secret.reveal())
    }

    /// Returns whether `given` allows the first sign-up.
    pub(crate) fn lets_in(&self, given: Option<&str>) -> bool {
        let Some(code) = &self.code else { return true };
        let given = token_hash(given.unwrap_or_default().trim());
        aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), code.secret.hash().as_bytes()).is_ok()
    }

    /// Removes the code after the first sign-up.
    pub(crate) fn done(&self) {
        if let Some(code) = &self.code
            && let Err(error) = fs::remove_file(&code.file)
        {
            tracing::warn!(%error, file = %code.file.display(), "cannot remove the file of the used sign-up code");
        }
    }

    /// Returns whether a request for this `host[:port]` is meant for this server.
    fn knows(&self, config: &Config, host: &str) -> bool {
        let host = host_of(host);
        let own = config.http.public_url.as_ref().is_some_and(|url| same_host(url.host(), host));
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        own || same_host(host, "localhost")
            || literal.is_ok_and(|address| {
                self.listener.is_unspecified()
                    || address == self.listener
                    || (address.is_loopback() && self.listener.is_loopback())
            })
    }
}

/// Returns the code in `file`, or writes a new one.
fn kept_code(file: &Path) -> io::Result<Secret> {
    match OpenOptions::new().read(true).open(file) {
        Ok(open) => {
            let mut text = String::new();
            open.take(CODE_MAX).read_to_string(&mut text)?;
            // An empty file is the result of a full disk.
            if let Some(secret) = Some(text.trim()).filter(|text| !text.is_empty()) {
                return Ok(Secret::typed(secret.to_owned()));
            }
            fs::remove_file(file)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret = Secret::password();
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(open, "{}", secret.reveal())?;
    open.sync_all()?;
    Ok(secret)
}

/// Removes an unused code once there is an organization.
pub(crate) fn forget(data: &Path) {
    match fs::remove_file(data.join(FILE)) {
        Ok(()) => tracing::info!("the sign-up code is no longer needed; its file was removed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "cannot remove the file of the sign-up code"),
    }
}

/// Returns the host of `host[:port]`.
fn host_of(authority: &str) -> &str {
    let end = authority.rfind(']').map_or(0, |end| end + 1);
    let host = authority[end..].rfind(':').map_or(authority, |colon| &authority[..end + colon]);
    host.strip_suffix('.').unwrap_or(host)
}

fn same_host(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn is_local(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    same_host(host, "localhost") || literal.is_ok_and(|address| address.is_loopback())
}

/// Refuses requests for host names that are not those of this server, until there is an organization.
pub(crate) async fn known_host(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Some(setup) = gate.setup.as_ref().filter(|_| !PROBES.contains(&request.uri().path())) else {
        return next.run(request).await;
    };
    let peer = request.extensions().get::<axum::extract::ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let client = Client::of(&gate.auth.config, peer, request.headers());
    // HTTP/2 names the host in the request itself.
    let host = request.uri().authority().map_or(client.host.as_str(), |authority| authority.as_str());
    if setup.knows(&gate.auth.config, host) || !gate.is_fresh().await.unwrap_or(true) {
        return next.run(request).await;
    }
    metrics::counter!("tandem_hosts_refused_total").increment(1);
    tracing::warn!(peer = %client.address, "a request for an unknown host is refused until the first user has signed up");
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "unknown-host",
        "Unknown host name",
        "until the first sign-up, this server answers only as localhost, its own address, and the host of http.public_url",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn setup(config: &str, listener: &str) -> (Config, tempfile::TempDir, Setup) {
        let (config, data) = (Config::from_toml(config).unwrap(), tempfile::tempdir().unwrap());
        let setup = Setup::begin(&config, listener.parse().unwrap(), data.path()).unwrap();
        (config, data, setup)
    }

    #[test]
    fn a_code_is_required_if_others_can_reach_the_server() {
        let public = "[http]\npublic_url = \"https://voice.example.com\"";
        for (config, listener, needed) in [
            ("", "127.0.0.1:8080", false),
            ("", "[::1]:8080", false),
            ("[http]\npublic_url = \"http://localhost:8080\"", "127.0.0.1:8080", false),
            ("", "0.0.0.0:8080", true),
            ("", "192.0.2.7:8080", true),
            (public, "127.0.0.1:8080", true),
            ("[http]\ntrusted_proxies = [\"127.0.0.1\"]", "127.0.0.1:8080", true),
        ] {
            let (_, _data, setup) = setup(config, listener);
            assert_eq!(setup.code().is_some(), needed, "{config} {listener}");
            assert_eq!(setup.lets_in(None), !needed);
        }
    }

    #[test]
    fn the_code_survives_a_restart_and_is_removed_when_used() {
        let (config, data, first) = setup("", "0.0.0.0:1");
        let file = data.path().join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let second = Setup::begin(&config, "0.0.0.0:1".parse().unwrap(), data.path()).unwrap();
        let code = first.code().unwrap();
        assert_eq!(second.code(), Some(code));
        assert!(second.lets_in(Some(&format!(" {code}\n"))));
        assert!(!second.lets_in(Some("wrong")) && !second.lets_in(Some("")) && !second.lets_in(None));
        second.done();
        assert!(!file.exists());
    }

    #[test]
    fn only_host_names_of_this_server_are_known() {
        let (config, _data, local) = setup("[http]\npublic_url = \"https://Voice.example.com:8443\"", "127.0.0.1:80");
        for (host, known) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("voice.example.com", true),
            ("voice.example.com.:8443", true),
            ("192.0.2.7", false),
            ("evil.example", false),
            ("evil.example:8080", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("voice.example.com@evil.example", false),
            ("", false),
            ("[", false),
            ("]:1", false),
        ] {
            assert_eq!(local.knows(&config, host), known, "{host}");
        }
        let (config, _data, everywhere) = setup("", "0.0.0.0:80");
        assert!(everywhere.knows(&config, "192.0.2.7:80") && everywhere.knows(&config, "[2001:db8::1]"));
        assert!(!everywhere.knows(&config, "evil.example"));
    }
}
