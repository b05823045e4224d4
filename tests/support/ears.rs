//! A SIP user agent with deadlines: a wrapper of `media_engine::party::Party`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use codecs::SampleRate;
use media_engine::audio::tap::{TapFrame, TapReader};
use media_engine::party::{Noticed, Party};
use media_engine::sdp::Codec;
use tokio::time::{interval, timeout};

/// A user agent on 127.0.0.1.
pub struct FarEnd {
    /// The wrapped user agent.
    pub party: Party,
    /// Keys received so far.
    pub keys: String,
}

impl FarEnd {
    /// Starts a user agent that sends its requests to the SIP listener `tandem`.
    pub async fn start(tandem: SocketAddr, codecs: Vec<Codec>) -> FarEnd {
        let party = Party::start(IpAddr::V4(Ipv4Addr::LOCALHOST), tandem, codecs).await.expect("a party starts");
        FarEnd { party, keys: String::new() }
    }

    /// Places a call and waits for the answer.
    pub async fn call(&mut self, from: &str, to: &str, deadline: Duration) {
        self.party.call(from, to).expect("a call placed");
        self.until(deadline, |noticed| matches!(noticed, Noticed::Answered)).await;
    }

    /// Waits for an event that `wanted` accepts. Keys received meanwhile are stored.
    pub async fn until(&mut self, deadline: Duration, wanted: impl Fn(&Noticed) -> bool) -> Noticed {
        let mut seen = Vec::new();
        let wait = async {
            loop {
                let noticed = self.party.next().await.expect("the party is running");
                if let Noticed::Dtmf(key) = noticed {
                    self.keys.push(key);
                }
                if wanted(&noticed) {
                    return noticed;
                }
                assert!(!matches!(noticed, Noticed::Failed(_)), "the call failed: {noticed:?}");
                seen.push(noticed);
            }
        };
        let found = timeout(deadline, wait).await;
        found.unwrap_or_else(|_| panic!("not noticed within {deadline:?}; seen: {seen:?}"))
    }

    /// Waits until exactly these keys have been received.
    pub async fn until_keys(&mut self, keys: &str, deadline: Duration) {
        while !self.keys.ends_with(keys) {
            self.until(deadline, |noticed| matches!(noticed, Noticed::Dtmf(_))).await;
        }
    }

    /// Returns `seconds` of received audio as tap frames, after skipping the first `skip` seconds.
    pub async fn hear(&self, skip: f32, seconds: f32) -> Vec<(TapFrame, SampleRate)> {
        let reader = self.party.heard().expect("a tap");
        let frames = ((skip + seconds) * 50.0) as usize;
        let heard = frames_of(reader, frames, Duration::from_secs_f32(skip + seconds) + Duration::from_secs(5)).await;
        heard.into_iter().skip((skip * 50.0) as usize).map(|frame| (frame.clone(), frame.rate)).collect()
    }

    /// Like [`FarEnd::hear`], as samples with one rate.
    pub async fn hear_samples(&self, skip: f32, seconds: f32) -> (SampleRate, Vec<i16>) {
        let frames = self.hear(skip, seconds).await;
        let rate = frames.first().map_or(SampleRate::HZ_8000, |(_, rate)| *rate);
        (rate, frames.iter().flat_map(|(frame, _)| frame.samples().to_vec()).collect())
    }
}

/// Reads the next `count` frames of a tap.
async fn frames_of(mut reader: TapReader, count: usize, deadline: Duration) -> Vec<TapFrame> {
    let mut frames = Vec::with_capacity(count);
    // A tap does not wake its reader, so it is polled at the frame rate.
    let mut look = interval(Duration::from_millis(20));
    let read = async {
        while frames.len() < count {
            look.tick().await;
            while let Some(item) = reader.pop() {
                frames.push(item.frame);
            }
        }
    };
    let in_time = timeout(deadline, read).await.is_ok();
    assert!(in_time, "only {} of {count} frames arrived within {deadline:?}", frames.len());
    frames.truncate(count);
    frames
}
