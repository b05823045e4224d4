//! The engine's worker pool as the peer under test, with one media thread.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codecs::opus::OpusSettings;
use media_engine::config::{MediaConfig, Profile};
use media_engine::net::ports::PortRange;
use media_engine::sdp::{Audio, Codec, SrtpKeys};
use media_engine::srtp::MasterKey;
use media_engine::units::{ConferenceId, LegId};
use media_engine::worker::{Census, ConferenceRole, LegMedia, Pool, Worker, WorkerCommand, WorkerEvent, WorkerRequest};
use tokio::sync::{mpsc, oneshot};

use super::{FarEnd, Keys, SUITE, Setup, order, say};
use crate::plan::{Case, Link, Peer, Shape};
use crate::sound::payload_type;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PORTS: (u16, u16) = (24_000, 27_999);

/// Opus in the case `pcmu-opus-equal`: the bit rate of rtpengine's `opus/48000/1`, and the complexity and redundancy of its
/// encoder, which are libavcodec's defaults for libopus.
pub(crate) const EQUAL: OpusSettings =
    OpusSettings { bitrate: 24_000, complexity: 10, fec: false, dtx: false, expected_loss_percent: 0 };

/// Configuration under test: the defaults, except for settings of peer and case.
fn configuration(peer: Peer, case: Case) -> MediaConfig {
    let profile = if peer == Peer::TandemLowDelay { Profile::LowDelay } else { Profile::Throughput };
    let opus = if case == Case::PcmuOpusEqual { EQUAL } else { MediaConfig::default().opus };
    MediaConfig { addresses: vec![LOOPBACK], ports: PORTS, profile, opus, ..MediaConfig::default() }
}

pub(super) fn run(peer: Peer, case: Case) -> Result<()> {
    let pool = Pool::start(&configuration(peer, case))?;
    let mut calls = Calls {
        worker: pool.place(),
        range: PortRange::new(LOOPBACK, PORTS),
        peer,
        legs: Vec::new(),
        events: Vec::new(),
    };
    say(&"ready")?;
    if let Some(setup) = order()? {
        say(&calls.open(&setup)?)?;
        order()?;
    }
    calls.close()?;
    pool.shutdown();
    Ok(())
}

struct Calls {
    worker: Worker,
    range: PortRange,
    peer: Peer,
    legs: Vec<LegId>,
    /// Kept open and never read: the engine drops and counts events that do not fit.
    events: Vec<mpsc::Receiver<WorkerEvent>>,
}

impl Calls {
    /// Opens all legs and bridges them.
    fn open(&mut self, setup: &Setup) -> Result<Vec<FarEnd>> {
        let mut ends = Vec::new();
        for (index, offer) in setup.offers.iter().enumerate() {
            ends.push(self.open_leg(setup, index % 2, offer.as_deref())?);
            // Waits until the worker has executed the commands, so that its mailbox cannot overflow.
            self.census()?;
        }
        let calls = self.legs.len() / setup.case.legs();
        match setup.case.shape() {
            Shape::Bridge => self.bridge(self.legs.len())?,
            Shape::Overheard => {
                self.bridge(calls * 2)?;
                for (call, leg) in self.legs[calls * 2..].iter().enumerate() {
                    let of = self.legs[call * 2..call * 2 + 2].to_vec();
                    self.worker.send(WorkerCommand::Overhear { leg: *leg, of })?;
                    self.census()?;
                }
            }
            Shape::Conference(size) => {
                for (index, leg) in self.legs.iter().enumerate() {
                    let conference = ConferenceId((index / size) as u64 + 1);
                    let role = ConferenceRole::Participant;
                    self.worker.send(WorkerCommand::ConferenceJoin { conference, leg: *leg, role })?;
                    self.census()?;
                }
            }
        }
        Ok(ends)
    }

    /// Bridges the first `count` legs in pairs.
    fn bridge(&self, count: usize) -> Result<()> {
        for pair in self.legs[..count].chunks_exact(2) {
            let &[a, b] = pair else { bail!("a bridge has two legs") };
            self.worker.send(WorkerCommand::Bridge { a, b })?;
            self.census()?;
        }
        Ok(())
    }

    fn open_leg(&mut self, setup: &Setup, side: usize, offer: Option<&str>) -> Result<FarEnd> {
        let leg = LegId(self.legs.len() as u64 + 1);
        let (events, receiver) = mpsc::channel(64);
        self.legs.push(leg);
        self.events.push(receiver);
        let payload_type = payload_type(setup.case.codecs()[side]);
        match (setup.case.links(self.peer)[side], offer) {
            (link @ (Link::Rtp | Link::Sdes), _) => {
                let ports = self.range.lease()?;
                let address = SocketAddr::new(LOOPBACK, ports.rtp_port());
                let (srtp, keys) = if link == Link::Sdes { keys(leg)? } else { (None, None) };
                let audio = Some(Audio { srtp, ..audio(setup, setup.case.codecs()[side]) });
                self.worker.send(WorkerRequest::LegOpen {
                    leg,
                    media: LegMedia::Rtp { ports, audio, nat: false },
                    events,
                })?;
                Ok(FarEnd { address, payload_type, answer: None, keys })
            }
            (Link::Browser, Some(offer)) => {
                let (reply, answer) = oneshot::channel();
                let media = LegMedia::WebRtcOffered { offer: offer.into(), reply };
                self.worker.send(WorkerRequest::LegOpen { leg, media, events })?;
                let answer = answer.blocking_recv()??;
                // The media address is in the answer's candidates.
                Ok(FarEnd { address: SocketAddr::new(LOOPBACK, 0), payload_type, answer: Some(answer), keys: None })
            }
            (Link::Browser, None) => bail!("a browser leg without an offer"),
        }
    }

    /// Closes all calls and checks that every resource was released.
    fn close(&self) -> Result<()> {
        for leg in &self.legs {
            self.worker.send(WorkerCommand::LegClose { leg: *leg })?;
            self.census()?;
        }
        let census = self.census()?;
        ensure!(census.legs == 0 && self.range.leased() == 0, "legs or ports were not released: {census:?}");
        Ok(())
    }

    fn census(&self) -> Result<Census> {
        let (reply, answer) = oneshot::channel();
        self.worker.send(WorkerRequest::Census { reply })?;
        Ok(answer.blocking_recv()?)
    }
}

fn audio(setup: &Setup, codec: Codec) -> Audio {
    Audio { remote_rtcp: setup.rtcp, ..Audio::plain(codec, setup.generator) }
}

/// Keys of an SDES leg in the forms of the engine and of its far end. Secrecy does not matter on loopback.
fn keys(leg: LegId) -> Result<(Option<SrtpKeys>, Option<Keys>)> {
    let bytes = |from: u8| -> [u8; 30] { std::array::from_fn(|index| from ^ index as u8 ^ leg.0 as u8) };
    let (peer, generator) = (bytes(0x35), bytes(0xa2));
    let master = |bytes: &[u8]| MasterKey::new(SUITE, bytes).context("30 bytes are the suite's");
    let srtp = SrtpKeys { send: master(&peer)?, receive: master(&generator)? };
    let keys = Keys { generator: BASE64_STANDARD.encode(generator), peer: BASE64_STANDARD.encode(peer) };
    Ok((Some(srtp), Some(keys)))
}
