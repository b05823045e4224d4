//! An SMTP server on a real socket that can refuse a conversation at any step.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Number of mails that a test may leave unread; the server waits before it takes another one.
const MAILS: usize = 16;

/// Step at which the server refuses one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Greeting,
    Login,
    Receiver,
    Text,
    /// The server closes the connection instead of answering `DATA`.
    HangUp,
}

/// A mail that the server accepted.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    pub from: String,
    pub to: String,
    /// Decoded credentials of AUTH PLAIN (RFC 4616); `None` if the client did not log in.
    pub login: Option<String>,
    /// Headers and body, with CRLF line ends.
    pub text: String,
}

/// A running server on 127.0.0.1.
pub struct Smtp {
    pub port: u16,
    mails: mpsc::Receiver<Mail>,
    refusal: Arc<Mutex<Option<Refusal>>>,
}

impl Smtp {
    /// Starts the server on a free port. It serves one conversation at a time.
    pub async fn start() -> Smtp {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (taken, mails) = mpsc::channel(MAILS);
        let refusal: Arc<Mutex<Option<Refusal>>> = Arc::default();
        let refuses = Arc::clone(&refusal);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let refusal = refuses.lock().unwrap().take();
                // A client that disconnects ends its own conversation only.
                let _ended = talk(stream, refusal, &taken).await;
            }
        });
        Smtp { port, mails, refusal }
    }

    /// Refuses the next conversation at the step `at`.
    pub fn refuse(&self, at: Refusal) {
        *self.refusal.lock().unwrap() = Some(at);
    }

    /// Returns the next mail. Panics if none comes within 10 s.
    pub async fn mail(&mut self) -> Mail {
        tokio::time::timeout(Duration::from_secs(10), self.mails.recv())
            .await
            .expect("no mail came within 10 s")
            .unwrap()
    }

    /// Returns whether no mail is waiting and none comes within 300 ms.
    pub async fn nothing_more(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(300), self.mails.recv()).await.is_err()
    }
}

async fn talk(stream: TcpStream, refusal: Option<Refusal>, taken: &mpsc::Sender<Mail>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut mail = Mail::default();
    if refusal == Some(Refusal::Greeting) {
        return stream.write_all(b"421 not now\r\n").await;
    }
    stream.write_all(b"220 double ready\r\n").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let upper = line.trim_end().to_ascii_uppercase();
        let rest = |prefix: &str| line.trim_end()[prefix.len()..].to_owned();
        let answer = if upper.starts_with("EHLO") {
            "250-double\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n"
        } else if upper.starts_with("AUTH PLAIN ") {
            let login = STANDARD.decode(rest("AUTH PLAIN ")).unwrap();
            mail.login = Some(String::from_utf8(login).unwrap());
            if refusal == Some(Refusal::Login) { "535 no\r\n" } else { "235 welcome\r\n" }
        } else if upper.starts_with("MAIL FROM:") {
            mail.from = rest("MAIL FROM:").split(' ').next().unwrap().to_owned();
            "250 ok\r\n"
        } else if upper.starts_with("RCPT TO:") {
            mail.to = rest("RCPT TO:");
            if refusal == Some(Refusal::Receiver) { "550 nobody of this name\r\n" } else { "250 ok\r\n" }
        } else if upper == "DATA" {
            if refusal == Some(Refusal::HangUp) {
                return Ok(());
            }
            stream.write_all(b"354 go on\r\n").await?;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
                    break;
                }
                mail.text.push_str(&line);
            }
            if refusal == Some(Refusal::Text) {
                "554 not this\r\n"
            } else {
                let _test_has_ended = taken.send(std::mem::take(&mut mail)).await;
                "250 taken\r\n"
            }
        } else if upper == "QUIT" {
            return stream.write_all(b"221 bye\r\n").await;
        } else {
            "250 ok\r\n"
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}
