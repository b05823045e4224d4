//! What is measured: cases, peers, how many calls each.

use std::fmt;

use media_engine::sdp::Codec;
use serde::{Deserialize, Serialize};

/// Two legs that are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// Both legs PCMU.
    PcmuPcmu,
    /// PCMU and PCMA.
    PcmuPcma,
    /// PCMU and PCMU over SRTP keyed by SDES.
    PcmuSrtp,
    /// PCMU and Opus, each peer as it is by default.
    PcmuOpus,
    /// PCMU and Opus, set alike: mono, 24 kbit/s, complexity 10, no redundancy.
    PcmuOpusEqual,
    /// PCMU and Opus over SRTP: keyed by DTLS where the peer has browser legs, else by SDES.
    PcmuWebrtc,
    /// Two browser legs, Opus.
    WebrtcWebrtc,
}

/// How a leg's far end reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Plain RTP.
    Rtp,
    /// SRTP keyed by SDES.
    Sdes,
    /// ICE, DTLS, SRTP.
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
        }
    }

    /// Codecs of legs A and B.
    pub(crate) fn codecs(self) -> [Codec; 2] {
        match self {
            Case::PcmuPcmu | Case::PcmuSrtp => [Codec::Pcmu; 2],
            Case::PcmuPcma => [Codec::Pcmu, Codec::Pcma],
            Case::PcmuOpus | Case::PcmuOpusEqual | Case::PcmuWebrtc => [Codec::Pcmu, Codec::Opus],
            Case::WebrtcWebrtc => [Codec::Opus; 2],
        }
    }

    /// Links of legs A and B with this peer.
    pub(crate) fn links(self, peer: Peer) -> [Link; 2] {
        match self {
            Case::PcmuSrtp => [Link::Rtp, Link::Sdes],
            Case::PcmuWebrtc if peer == Peer::Rtpengine => [Link::Rtp, Link::Sdes],
            Case::PcmuWebrtc => [Link::Rtp, Link::Browser],
            Case::WebrtcWebrtc => [Link::Browser; 2],
            Case::PcmuPcmu | Case::PcmuPcma | Case::PcmuOpus | Case::PcmuOpusEqual => [Link::Rtp; 2],
        }
    }

    /// Whether a leg's payload reaches the other unaltered.
    pub(crate) fn relayed(self) -> bool {
        self.codecs()[0] == self.codecs()[1]
    }
}

/// Who bridges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// Tandem's media worker, profile `throughput`.
    Tandem,
    /// The same, profile `low-delay`.
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

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.case.name(), self.peer.name(), self.calls)
    }
}

/// All measurements of a repetition, in their order. Rivals in a case follow one another.
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
        // For the memory of a call: rtpengine would need more than one CPU for so many.
        (PcmuOpus, 100, &[Tandem]),
        (PcmuWebrtc, 100, &[Tandem]),
    ];
    rows.into_iter()
        .flat_map(|(case, calls, peers)| peers.iter().map(move |&peer| Entry { case, peer, calls }))
        .collect()
}
