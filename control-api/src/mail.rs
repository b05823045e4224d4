//! Mail by SMTP, where it is configured.
//!
//! Invariants: a server that is not this machine gets nothing without TLS; an answer is waited for, but not for long; neither
//! addresses nor texts are logged.

use std::net::IpAddr;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config::MailConfig;

/// A server that takes longer has not taken it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The way to the mail server; clones share it.
#[derive(Clone)]
pub(crate) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    /// The configuration cannot be used.
    #[error("mail.url, mail.from: {0}")]
    Unusable(String),
    /// The receiver's address or the text cannot be sent.
    #[error("this mail cannot be made: {0}")]
    Message(String),
    /// The server did not take it.
    #[error("the mail server did not take it: {0}")]
    Refused(String),
}

impl Mail {
    /// The way that the configuration describes; nothing when there is none.
    pub(crate) fn new(config: &MailConfig) -> Result<Option<Mail>, MailError> {
        let (Some(url), Some(from)) = (&config.url, &config.from) else { return Ok(None) };
        // What lettre says of a URL may hold a password.
        let unusable = || MailError::Unusable("expected smtp://HOST or smtps://HOST, and an address".into());
        let (host, secure) = crate::config::smtp_url(url.reveal()).ok_or_else(unusable)?;
        let is_here = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let tls = if secure || is_here { "" } else { "?tls=required" };
        let url = format!("{}{tls}", url.reveal());
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).map_err(|_| unusable())?;
        let from = from.parse().map_err(|_| unusable())?;
        Ok(Some(Mail { transport: builder.timeout(Some(TIMEOUT)).build(), from }))
    }

    /// Sends a text; returns when the server has taken it.
    pub(crate) async fn send(&self, to: &str, subject: &str, text: String) -> Result<(), MailError> {
        let address: Address = to.parse().map_err(|_| MailError::Message("the receiver's address".into()))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(subject)
            .body(text)
            .map_err(|error| MailError::Message(error.to_string()))?;
        match tokio::time::timeout(TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                // The server's words may name the receiver.
                let code = error.status().map_or("no answer of its own".into(), |code| format!("code {code}"));
                Err(MailError::Refused(code))
            }
            Err(_) => Err(MailError::Refused(format!("nothing within {} s", TIMEOUT.as_secs()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_configuration_there_is_no_mail() {
        assert!(Mail::new(&MailConfig::default()).unwrap().is_none());
    }
}
