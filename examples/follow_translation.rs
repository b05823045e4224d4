//! A supervisor's terminal: follows the translation of one call and resumes after a lost connection.
//!
//! `TANDEM_KEY=… cargo run -p examples --bin follow_translation -- http://127.0.0.1:8080 CALL_ID`

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(base), Some(call)) = (args.next(), args.next()) else {
        bail!("usage: follow_translation BASE_URL CALL_ID")
    };
    let key = std::env::var("TANDEM_KEY").context("set TANDEM_KEY to an API key")?;
    let http = reqwest::Client::new();
    let url = format!("{base}/api/calls/{call}/translations/stream");
    let mut last_id: Option<String> = None;
    loop {
        let mut request = http.get(&url).bearer_auth(&key);
        if let Some(id) = &last_id {
            // The server continues after this event, so none is lost or repeated.
            request = request.header("Last-Event-ID", id);
        }
        let mut bytes = request.send().await?.error_for_status()?.bytes_stream();
        let mut text = String::new();
        while let Some(Ok(chunk)) = bytes.next().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some(end) = text.find("\n\n") {
                let event: String = text.drain(..end + 2).collect();
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let Some(id) = field("id:") {
                    last_id = Some(id.to_owned());
                }
                if field("event:") == Some("end") {
                    return Ok(());
                }
                if let Some(data) = field("data:") {
                    show(&serde_json::from_str(data)?);
                }
            }
        }
    }
}

fn show(segment: &Value) {
    if segment["final"] == true && segment["translation"].is_string() {
        println!(
            "{:>3} {}\n    {}   {}",
            segment["segment"], segment["text"], segment["translation"], segment["lag_ms"]
        );
    }
}
