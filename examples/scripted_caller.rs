//! A SIP party of your own: calls a number at Tandem, sends a tone for two seconds and reports the audio that it received.
//!
//! `cargo run -p examples --bin scripted_caller -- 127.0.0.1:5060 echo`

use std::time::Duration;

use anyhow::{Result, bail};
use codecs::SampleRate;
use codecs::tones::{self, Sine};
use media_engine::party::{Noticed, Party};
use media_engine::sdp::Codec;

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(tandem), Some(number)) = (args.next(), args.next()) else {
        bail!("usage: scripted_caller SIP_ADDRESS NUMBER")
    };
    let mut party = Party::start("127.0.0.1".parse()?, tandem.parse()?, vec![Codec::Pcmu]).await?;
    party.call("+15555550142", &number)?;
    loop {
        match party.next().await {
            Some(Noticed::Answered) => break,
            Some(Noticed::Failed(status)) => bail!("the call failed with SIP status {status}"),
            Some(noticed) => println!("{noticed:?}"),
            None => bail!("the SIP stack stopped"),
        }
    }
    let mut heard = party.heard()?;
    let mut tone = vec![0; SampleRate::HZ_8000.samples_in_ms(2_000)];
    Sine::new(SampleRate::HZ_8000, 440.0, -16.0).fill(&mut tone);
    party.say(1, SampleRate::HZ_8000, &tone)?;
    let said = async { while !matches!(party.next().await, Some(Noticed::Said(1)) | None) {} };
    tokio::time::timeout(Duration::from_secs(5), said).await?;
    let mut samples = Vec::new();
    while let Some(item) = heard.pop() {
        samples.extend_from_slice(&item.frame.samples[..usize::from(item.frame.len)]);
    }
    let level = tones::goertzel_dbfs(&samples, SampleRate::HZ_8000, 440.0);
    let loudest = samples.chunks(160).map(tones::level_dbfs).fold(f32::NEG_INFINITY, f32::max);
    println!("heard {} samples, loudest 20 ms at {loudest:.1} dBFS, 440 Hz at {level:.1} dBFS over all", samples.len());
    party.stop().await;
    Ok(())
}
