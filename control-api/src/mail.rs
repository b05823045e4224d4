//! Mail by SMTP, if it is configured.
//!
//! Invariants: nothing is sent without TLS to a server that is not this machine. The server's reply is awaited, but only for a
//! limited time. Neither addresses nor texts are logged.

use std::net::IpAddr;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config::MailConfig;

/// Time after which a mail is considered not accepted.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Client of the mail server; clones share its connections.
#[derive(Clone)]
pub(crate) struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Reason why a mail was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    /// The configuration cannot be used.
    #[error("mail.url, mail.from: {0}")]
    Unusable(String),
    /// The recipient's address or the text cannot be sent.
    #[error("cannot compose the mail: {0}")]
    Message(String),
    /// The server did not accept the mail.
    #[error("the mail server did not accept the mail: {0}")]
    Refused(String),
}

impl Mail {
    /// Creates the client that the configuration describes, or `None` if no mail is configured.
    pub(crate) fn new(config: &MailConfig) -> Result<Option<Mail>, MailError> {
        let (Some(url), Some(from)) = (&config.url, &config.from) else { return Ok(None) };
        // lettre's error about a URL may contain the password.
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

    /// Sends a text and returns when the server has accepted it.
    pub(crate) async fn send(&self, to: &str, subject: &str, text: String) -> Result<(), MailError> {
        let address: Address = to.parse().map_err(|_| MailError::Message("invalid address of the recipient".into()))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(subject)
            .body(text)
            .map_err(|error| MailError::Message(error.to_string()))?;
        match tokio::time::timeout(TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                // The server's message may contain the recipient's address.
                let code = error.status().map_or("no status code".into(), |code| format!("code {code}"));
                Err(MailError::Refused(code))
            }
            Err(_) => Err(MailError::Refused(format!("no reply within {} s", TIMEOUT.as_secs()))),
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
