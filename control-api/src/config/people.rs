//! `[auth]`, `[mail]`, `[limits]`: sign-up, outgoing mail, and rates of requests.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::value::{self, Secret};

/// `[auth]`: accounts and sign-up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Group of people who may sign up.
    pub signup: Signup,
    /// Validity of an invitation in hours, 1 to 8760.
    pub invitation_hours: u32,
}

impl Default for AuthConfig {
    fn default() -> Self {
        AuthConfig { signup: Signup::Invitation, invitation_hours: 7 * 24 }
    }
}

/// Group of people who may sign up once there is an organization. The first user of a fresh installation always may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signup {
    /// Only people with an invitation.
    Invitation,
    /// Everybody, with an organization of their own.
    Open,
}

/// `[mail]`: outgoing mail by SMTP. Without `url` no mail is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailConfig {
    /// `smtp://[USER:PASSWORD@]HOST[:PORT]` (with STARTTLS unless the server is this machine) or `smtps://…`.
    pub url: Option<Secret>,
    /// Sender, such as `Tandem <tandem@example.com>`.
    pub from: Option<String>,
    /// Whether invitations are mailed even if everybody may sign up.
    pub open_invitations: bool,
}

/// `[limits]`: rates of requests. Requests over a limit get 429. `None` means no limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// All requests of a user or key, or of an address without either.
    #[serde(deserialize_with = "rate")]
    pub default: Option<Rate>,
    /// Requests that start calls, per user or key.
    #[serde(deserialize_with = "rate")]
    pub calls: Option<Rate>,
    /// Requests for synthesised speech, per user or key.
    #[serde(deserialize_with = "rate")]
    pub speech: Option<Rate>,
    /// Changes of the configuration, per user or key.
    #[serde(deserialize_with = "rate")]
    pub configuration: Option<Rate>,
    /// Changes of retention times, per user or key.
    #[serde(deserialize_with = "rate")]
    pub retention: Option<Rate>,
    /// Sign-up, log-in and invitations, per address.
    #[serde(deserialize_with = "rate")]
    pub entrance: Option<Rate>,
    /// Different limits for single organizations.
    pub organizations: Vec<OrganizationLimits>,
}

/// `[[limits.organizations]]`: limits of one organization. Those that are left out are taken from `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganizationLimits {
    /// Id of the organization. Names are not used, because organizations choose them.
    pub id: uuid::Uuid,
    /// All requests, as in `[limits]`.
    #[serde(default, deserialize_with = "own_rate")]
    pub default: Option<Option<Rate>>,
    /// Requests that start calls, as in `[limits]`.
    #[serde(default, deserialize_with = "own_rate")]
    pub calls: Option<Option<Rate>>,
    /// Requests for synthesised speech, as in `[limits]`.
    #[serde(default, deserialize_with = "own_rate")]
    pub speech: Option<Option<Rate>>,
    /// Changes of the configuration, as in `[limits]`.
    #[serde(default, deserialize_with = "own_rate")]
    pub configuration: Option<Option<Rate>>,
    /// Changes of retention times, as in `[limits]`.
    #[serde(default, deserialize_with = "own_rate")]
    pub retention: Option<Option<Rate>>,
}

/// Largest number of requests in a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Rate {
    /// Number of requests, at least 1.
    pub limit: u32,
    /// Length of the window in seconds, at least 1.
    pub window_s: u32,
}

impl Rate {
    const fn new(limit: u32, window_s: u32) -> Rate {
        Rate { limit, window_s }
    }

    /// Returns the length of the window.
    pub fn window(self) -> Duration {
        Duration::from_secs(self.window_s.into())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.limit, self.window_s)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let expected = || format!("`{text}`: expected NUMBER/TIME such as 600/1min or 20/300s, or off");
        let (limit, window) = text.split_once('/').ok_or_else(expected)?;
        let (count, unit) = match (window.strip_suffix("min"), window.strip_suffix('s')) {
            (Some(count), _) => (count, 60),
            (None, Some(count)) => (count, 1),
            (None, None) => return Err(expected()),
        };
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
        let limit = number(limit).ok_or_else(expected)?;
        let window_s = number(count).and_then(|count| count.checked_mul(unit));
        match window_s.filter(|window_s| *window_s <= 86_400) {
            Some(window_s) => Ok(Rate { limit, window_s }),
            None => Err(expected()),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig {
            default: Some(Rate::new(600, 60)),
            calls: Some(Rate::new(20, 300)),
            speech: Some(Rate::new(10, 300)),
            configuration: Some(Rate::new(10, 900)),
            retention: Some(Rate::new(5, 900)),
            entrance: Some(Rate::new(100, 900)),
            organizations: Vec::new(),
        }
    }
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
    rate_of(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn rate_of(text: &str) -> Result<Option<Rate>, String> {
    if text == "off" { Ok(None) } else { text.parse().map(Some) }
}

fn own_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Rate>>, D::Error> {
    rate(deserializer).map(Some)
}

impl AuthConfig {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        match self.invitation_hours {
            1..=8_760 => Ok(()),
            hours => Err(("invitation_hours", format!("`{hours}`: expected 1 to 8760 hours"))),
        }
    }
}

impl MailConfig {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        match (&self.url, &self.from) {
            (Some(_), None) => {
                return Err(("from", "expected together with `url`: the sender, such as tandem@example.com".into()));
            }
            (None, Some(_)) => {
                return Err(("url", "expected together with `from`: smtp://HOST or smtps://HOST".into()));
            }
            _ => {}
        }
        // The URL may contain a password, so it is not shown.
        let fine = |url: &Secret| value::smtp_url(url.reveal()).is_some();
        if self.url.as_ref().is_some_and(|url| !fine(url)) {
            let expected = "expected smtp://[USER:PASSWORD@]HOST[:PORT] or smtps://[USER:PASSWORD@]HOST[:PORT]";
            return Err(("url", expected.into()));
        }
        match &self.from {
            Some(from) if from.parse::<lettre::message::Mailbox>().is_err() => {
                Err(("from", format!("`{from}`: expected an address such as Tandem <tandem@example.com>")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_in_seconds_and_minutes() {
        for (text, rate) in [("600/1min", (600, 60)), ("20/300s", (20, 300)), ("1/1s", (1, 1)), ("5/15min", (5, 900))] {
            assert_eq!(text.parse::<Rate>(), Ok(Rate::new(rate.0, rate.1)), "{text}");
        }
        for text in ["", "600", "0/1min", "1/0s", "1/1h", "-1/1s", "1/2000min", "x/1s", "1/1"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
