//! An application's use of the API: places a call and waits for its end.
//!
//! `TANDEM_KEY=… cargo run -p examples --bin place_call -- http://127.0.0.1:8080 sip:echo@127.0.0.1:5060`
//!
//! The key comes from `tandem apikey create --org NAME --data DIR`.

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(base), Some(to)) = (args.next(), args.next()) else { bail!("usage: place_call BASE_URL TO") };
    let key = std::env::var("TANDEM_KEY").context("set TANDEM_KEY to an API key")?;
    let http = reqwest::Client::new();

    // Subscribe first, so that no event of the call is missed.
    let events = http.get(format!("{base}/api/events")).bearer_auth(&key).send().await?.error_for_status()?;
    let answer = http
        .post(format!("{base}/api/calls"))
        .bearer_auth(&key)
        .json(&json!({ "mode": "direct", "to": to }))
        .send()
        .await?;
    let status = answer.status();
    let call: Value = answer.json().await?;
    if !status.is_success() {
        bail!("refused: {} ({})", call["detail"], call["field"]);
    }
    let id = call["id"].as_str().context("the answer has an id")?.to_owned();
    println!("call {id} {}", call["status"]);

    let mut bytes = events.bytes_stream();
    let mut text = String::new();
    while let Some(chunk) = bytes.next().await {
        text.push_str(&String::from_utf8_lossy(&chunk?));
        while let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            let Some(data) = event.lines().find_map(|line| line.strip_prefix("data:")) else { continue };
            let data: Value = serde_json::from_str(data.trim())?;
            if data["call_id"] == id.as_str() && data["status"].is_string() {
                println!("{}", data["status"]);
                if matches!(data["status"].as_str(), Some("ended" | "failed")) {
                    return Ok(());
                }
            }
        }
    }
    bail!("the event stream ended before the call did")
}
