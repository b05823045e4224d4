//! Plan of the measurements: cases, peers, and the number of calls of each.
//!
//! Legs of a measurement, in their order:
//! ```text
//! bridges       a b  a b  a b …
//! overheard     a b  a b  a b …  s s s …      supervisor n overhears call n
//! conferences   1 … n  1 … n …
//! ```

use std::fmt;

use media_engine::sdp::Codec;
use serde::{Deserialize, Serialize};

/// Codecs and topology of a call's legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// Two PCMU legs.
    PcmuPcmu,
    /// A PCMU leg and a PCMA leg.
    PcmuPcma,
    /// Two PCMU legs, one over SRTP keyed by SDES.
    PcmuSrtp,
    /// PCMU and Opus, with each peer's default settings.
    PcmuOpus,
    /// PCMU and Opus with equal settings: mono, 24 kbit/s, complexity 10, no redundancy.
    PcmuOpusEqual,
    /// PCMU and Opus over SRTP: keyed by DTLS where the peer has browser legs, otherwise by SDES.
    PcmuWebrtc,
    /// Two browser legs with Opus.
    WebrtcWebrtc,
    /// Two PCMU legs, and a PCMU supervisor who overhears them.
    PcmuOverheard,
    /// A conference of three PCMU legs.
    Conference3,
    /// A conference of eight PCMU legs.
    Conference8,
    /// A conference of fifty PCMU legs.
    Conference50,
    /// A conference of eight Opus legs.
    ConferenceOpus8,
}

/// Topology of the legs of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Two parties hear each other.
    Bridge,
    /// Two parties hear each other, and a third overhears both.
    Overheard,
    /// This number of parties hear one another.
    Conference(usize),
}

/// Transport between a leg and its far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// RTP without encryption.
    Rtp,
    /// SRTP keyed by SDES.
    Sdes,
    /// WebRTC: ICE, DTLS, SRTP.
    Browser,
}

impl Case {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Case::PcmuPcmu => "pcmu-pcmu",
            Case::PcmuPcma => "pcmu-pcma",
            Case::PcmuSrtp => "pcmu-srtp",
            Case::PcmuOpus => "pcmu-opus",
            Case::PcmuOpusEqual => "pcmu-opus-equal",
            Case::PcmuWebrtc => "pcmu-webrtc",
            Case::WebrtcWebrtc => "webrtc-webrtc",
            Case::PcmuOverheard => "pcmu-overheard",
            Case::Conference3 => "conference-3-pcmu",
            Case::Conference8 => "conference-8-pcmu",
            Case::Conference50 => "conference-50-pcmu",
            Case::ConferenceOpus8 => "conference-8-opus",
        }
    }

    pub(crate) fn shape(self) -> Shape {
        match self {
            Case::PcmuOverheard => Shape::Overheard,
            Case::Conference3 => Shape::Conference(3),
            Case::Conference8 | Case::ConferenceOpus8 => Shape::Conference(8),
            Case::Conference50 => Shape::Conference(50),
            _ => Shape::Bridge,
        }
    }

    /// Number of legs of a call.
    pub(crate) fn legs(self) -> usize {
        match self.shape() {
            Shape::Bridge => 2,
            Shape::Overheard => 3,
            Shape::Conference(legs) => legs,
        }
    }

    /// Codecs of legs with even and with odd numbers.
    pub(crate) fn codecs(self) -> [Codec; 2] {
        match self {
            Case::PcmuPcmu
            | Case::PcmuSrtp
            | Case::PcmuOverheard
            | Case::Conference3
            | Case::Conference8
            | Case::Conference50 => [Codec::Pcmu; 2],
            Case::PcmuPcma => [Codec::Pcmu, Codec::Pcma],
            Case::PcmuOpus | Case::PcmuOpusEqual | Case::PcmuWebrtc => [Codec::Pcmu, Codec::Opus],
            Case::WebrtcWebrtc | Case::ConferenceOpus8 => [Codec::Opus; 2],
        }
    }

    /// Links of legs with even and with odd numbers for this peer.
    pub(crate) fn links(self, peer: Peer) -> [Link; 2] {
        match self {
            Case::PcmuSrtp => [Link::Rtp, Link::Sdes],
            Case::PcmuWebrtc if peer == Peer::Rtpengine => [Link::Rtp, Link::Sdes],
            Case::PcmuWebrtc => [Link::Rtp, Link::Browser],
            Case::WebrtcWebrtc => [Link::Browser; 2],
            _ => [Link::Rtp; 2],
        }
    }

    /// Returns whether payloads pass between bridged legs unaltered.
    pub(crate) fn relayed(self) -> bool {
        self.codecs()[0] == self.codecs()[1] && !matches!(self.shape(), Shape::Conference(_))
    }
}

/// Program that joins the legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// Tandem's media worker, profile `throughput`.
    Tandem,
    /// Tandem's media worker, profile `low-delay`.
    TandemLowDelay,
    /// rtpengine in user space.
    Rtpengine,
    /// A bare epoll forwarder.
    Floor,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Tandem => "tandem",
            Peer::TandemLowDelay => "tandem-low-delay",
            Peer::Rtpengine => "rtpengine",
            Peer::Floor => "floor",
        }
    }
}

/// One measurement of each repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) case: Case,
    pub(crate) peer: Peer,
    pub(crate) calls: usize,
}

impl Entry {
    /// Number of legs of all calls.
    pub(crate) fn legs(self) -> usize {
        self.calls * self.case.legs()
    }

    /// Returns whether leg `index` receives the payloads of leg `index ^ 1`.
    pub(crate) fn is_relayed(self, index: usize) -> bool {
        self.case.relayed() && index < self.calls * 2
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.case.name(), self.peer.name(), self.calls)
    }
}

/// Parses the arguments of a peer's process.
pub(crate) fn known(peer: &str, case: &str) -> Option<(Peer, Case)> {
    let mut all = plan().into_iter().chain(more_than_two());
    all.find(|entry| entry.peer.name() == peer && entry.case.name() == case).map(|entry| (entry.peer, entry.case))
}

/// Returns all measurements of calls with more than two legs, in order; the relay of the same number of calls without supervisors
/// comes next to the one with them.
pub(crate) fn more_than_two() -> Vec<Entry> {
    use Case::{Conference3, Conference8, Conference50, ConferenceOpus8, PcmuOverheard, PcmuPcmu};
    use Peer::{Tandem, TandemLowDelay};
    [
        (PcmuPcmu, Tandem, 100),
        (PcmuOverheard, Tandem, 100),
        (PcmuPcmu, TandemLowDelay, 100),
        (PcmuOverheard, TandemLowDelay, 100),
        (Conference3, Tandem, 33),
        (Conference8, Tandem, 12),
        (Conference50, Tandem, 2),
        (ConferenceOpus8, Tandem, 2),
        (Conference3, Tandem, 333),
        (Conference50, Tandem, 20),
    ]
    .into_iter()
    .map(|(case, peer, calls)| Entry { case, peer, calls })
    .collect()
}

/// Returns all measurements of calls with two legs, in order. Rivals in a case are adjacent.
pub(crate) fn plan() -> Vec<Entry> {
    use Case::{PcmuOpus, PcmuOpusEqual, PcmuPcma, PcmuPcmu, PcmuSrtp, PcmuWebrtc, WebrtcWebrtc};
    use Peer::{Floor, Rtpengine, Tandem, TandemLowDelay};
    let rows: [(Case, usize, &[Peer]); 10] = [
        (PcmuPcmu, 200, &[Floor, Rtpengine, Tandem, TandemLowDelay]),
        (PcmuPcmu, 500, &[Floor, Rtpengine, Tandem, TandemLowDelay]),
        (PcmuPcma, 200, &[Rtpengine, Tandem]),
        (PcmuSrtp, 200, &[Rtpengine, Tandem]),
        (PcmuOpus, 18, &[Rtpengine, Tandem, TandemLowDelay]),
        (PcmuOpusEqual, 18, &[Rtpengine, Tandem]),
        (PcmuWebrtc, 18, &[Rtpengine, Tandem]),
        (WebrtcWebrtc, 100, &[Tandem]),
        // For the memory of a call: rtpengine would need more than one CPU for so many calls.
        (PcmuOpus, 100, &[Tandem]),
        (PcmuWebrtc, 100, &[Tandem]),
    ];
    rows.into_iter()
        .flat_map(|(case, calls, peers)| peers.iter().map(move |&peer| Entry { case, peer, calls }))
        .collect()
}
