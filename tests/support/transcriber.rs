//! A server of OpenAI's transcription API that recognises by script, and fails as such servers do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::program_server::{Asked, read_request};

/// Capacity of the queue of received requests.
const KEPT: usize = 64;

/// Answer to one request for a transcription.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with a JSON object that holds this text.
    Text(&'static str),
    /// 200 with this text as it is.
    Plain(&'static str),
    /// This status with this body.
    Status(u16, &'static str),
    /// The connection is closed without an answer.
    Close,
}

/// The server. It answers requests for transcriptions in the order of its script, then with empty texts. The list of models is empty.
pub struct Transcriber {
    address: SocketAddr,
    asked: mpsc::Receiver<Asked>,
    task: JoinHandle<()>,
}

impl Drop for Transcriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Transcriber {
    /// Key that every request must carry.
    pub const KEY: &'static str = "key-of-the-test";

    /// Starts a server on 127.0.0.1.
    pub async fn start(script: &[Reply]) -> Transcriber {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let (asked_in, asked) = mpsc::channel(KEPT);
        let script = Arc::new(Mutex::new(script.iter().cloned().collect::<VecDeque<_>>()));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Errors of a connection concern its client only.
                drop(tokio::spawn(serve(stream, Arc::clone(&script), asked_in.clone())));
            }
        });
        Transcriber { address, asked, task }
    }

    /// Returns the value of `[speech] stt`.
    pub fn provider(&self) -> String {
        format!("openai:http://{}/v1", self.address)
    }

    /// Waits for the next request for a transcription and returns it. Panics when none arrives before the deadline.
    pub async fn asked(&mut self, deadline: Duration) -> Asked {
        let asked = tokio::time::timeout(deadline, self.asked.recv()).await;
        asked.unwrap_or_else(|_| panic!("no request within {deadline:?}")).expect("the server runs")
    }
}

async fn serve(
    stream: TcpStream,
    script: Arc<Mutex<VecDeque<Reply>>>,
    asked: mpsc::Sender<Asked>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let request = read_request(&mut stream).await?;
    let is_known = request.header("authorization") == format!("Bearer {}", Transcriber::KEY);
    let reply = match request.path.as_str() {
        _ if !is_known => Reply::Status(401, "{\"error\": {\"message\": \"Incorrect API key provided\"}}"),
        "/v1/models" => Reply::Status(200, "{\"object\": \"list\", \"data\": []}"),
        "/v1/audio/transcriptions" => {
            // The receiver may have been dropped.
            let _ = asked.send(request).await;
            script.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(Reply::Text(""))
        }
        _ => Reply::Status(404, ""),
    };
    let (status, body) = match reply {
        Reply::Text(text) => {
            (200, format!("{{\"text\": {text:?}, \"usage\": {{\"type\": \"duration\", \"seconds\": 3}}}}"))
        }
        Reply::Plain(text) => (200, text.to_owned()),
        Reply::Status(status, body) => (status, body.to_owned()),
        Reply::Close => return stream.shutdown().await,
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
