//! Hand-over between relayed packets and played sound: the playout position, and the packets that have not been played.
//!
//! A relay forwards packets when they arrive, whereas playout plays them later. A leg that changes from one to the other
//! has to know the position of each in the stream, so that nothing is heard twice or left out.

use std::time::{Duration, Instant};

use super::admit::extend32;
use super::playout::{Playout, State, Stream};
use super::slots::{Content, SLOTS};

/// A playout time further ahead than this belongs to no stream that is being played.
const FARTHEST: Duration = Duration::from_secs(1);

/// The packet that follows the samples decoded so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// SSRC of the stream.
    pub ssrc: u32,
    /// Sequence number of that packet.
    pub sequence: u16,
    /// RTP time stamp of that packet.
    pub timestamp: u32,
}

impl Playout {
    /// Returns the SSRC of the stream and the time stamp after the last pulled frame; `None` while no sound is played.
    pub fn played_to(&self) -> Option<(u32, u32)> {
        let stream = self.stream.as_ref().filter(|stream| stream.state == State::Playing)?;
        let position = stream.decoded_to + stream.owed as i64 - self.fifo.len() as i64;
        Some((stream.ssrc, self.time_stamp_at(position, stream)))
    }

    /// Declares that the first sound continues sound that was heard by another path: it is not faded in, and the transits
    /// of its packets are expected to differ by `spread`.
    pub fn goes_on(&mut self, spread: Duration) {
        self.goes_on = true;
        self.delay.expect(spread);
    }

    /// Decodes the packets that have arrived without a gap. Returns `None` while no sound is played, or during concealment,
    /// when the following packet is not known.
    pub fn decode_ahead(&mut self) -> Option<Next> {
        let mut stream = self.stream.filter(|stream| stream.state == State::Playing && stream.owed == 0)?;
        while let Some(head) = self.next_packet(&mut stream) {
            let fits = self.fifo.room() >= self.scratch.len();
            if head.position != stream.decoded_to || head.content != Content::Voice || !fits {
                break;
            }
            self.decode(&mut stream, head);
        }
        self.stream = Some(stream);
        let (sequence, timestamp) = ((stream.done + 1) as u16, self.time_stamp_at(stream.decoded_to, &stream));
        Some(Next { ssrc: stream.ssrc, sequence, timestamp })
    }

    /// Returns the decoded samples that have not been pulled yet.
    pub fn ahead(&self) -> &[i16] {
        self.fifo.samples()
    }

    /// Returns number, time stamp and payload of each packet that waits undecoded, in order.
    pub fn waiting(&self) -> impl Iterator<Item = (Next, &[u8])> {
        self.stream.iter().flat_map(move |stream| {
            let numbers = (stream.done + 1..=stream.highest_sequence).take(SLOTS as usize);
            numbers.filter_map(move |number| {
                let head = self.slots.head(number).filter(|head| head.content == Content::Voice)?;
                let (sequence, timestamp) = (number as u16, self.time_stamp_at(head.position, stream));
                Some((Next { ssrc: stream.ssrc, sequence, timestamp }, self.slots.payload(head)))
            })
        })
    }

    /// Returns the time stamp of a packet at `position`. If the clock runs faster than the samples, packets keep a constant
    /// offset from whole samples.
    fn time_stamp_at(&self, position: i64, stream: &Stream) -> u32 {
        let here = self.timestamp(self.position(stream.highest_timestamp));
        let beside = (stream.highest_timestamp as u32).wrapping_sub(here);
        self.timestamp(position).wrapping_add(beside)
    }

    /// Returns the time at which the sound of a time stamp is or was due; `None` when nothing has been played yet.
    pub fn plays_at(&self, timestamp: u32, now: Instant) -> Option<Instant> {
        let (stream, played_us) = (self.stream.as_ref()?, self.played_us?);
        let position = self.position(extend32(stream.highest_timestamp, timestamp));
        let ahead_us = self.media_us(position) + played_us - self.micros(now);
        let ahead = Duration::from_micros(u64::try_from(ahead_us).unwrap_or(0));
        (ahead <= FARTHEST).then(|| now + ahead)
    }
}
