//! A switch and the phones at its legs, under virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use codecs::opus::OpusSettings;
use codecs::{Decoder, Encoder, SampleRate};
use media_engine::audio::tap::{TapPoint, TapWriter};
use media_engine::leg::rtp::Component;
use media_engine::leg::{make_decoder, make_encoder};
use media_engine::rtp::{RtpHeader, RtpPacket, is_rtcp};
use media_engine::sdp::{Audio, Codec, ComfortNoiseFormat, TelephoneEventFormat};
use media_engine::units::{LegId, Ptime};
use media_engine::worker::switch::{Input, Slot, Socket, Switch};
use media_engine::worker::{Output, WorkerCommand, WorkerEvent};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const EVENT: u8 = 101;

/// The switch, and all its output by leg.
pub(crate) struct Lab {
    pub(crate) switch: Switch,
    pub(crate) now: Instant,
    pub(crate) sent: Vec<Sent>,
    pub(crate) events: Vec<WorkerEvent>,
}

/// One RTP packet to a phone.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) slot: Slot,
    pub(crate) at: Instant,
    pub(crate) header: RtpHeader,
    pub(crate) payload: Vec<u8>,
}

/// The far end of a leg. It sends a sine of 440 Hz at −12 dBFS by media time, so that the phase shows the position of a sample in
/// the stream.
pub(crate) struct Phone {
    pub(crate) id: LegId,
    pub(crate) slot: Slot,
    pub(crate) audio: Audio,
    pub(crate) encoder: Box<dyn Encoder>,
    pub(crate) sequence: u16,
    /// RTP timestamp of media time zero.
    pub(crate) timestamp: u32,
    /// Number of samples sent.
    pub(crate) said: u64,
    pub(crate) packet_ms: u32,
    pub(crate) hertz: f64,
    pub(crate) silent: bool,
}

pub(crate) fn audio(codec: Codec, port: u16, ptime_ms: u64) -> Audio {
    Audio {
        telephone_event: Some(TelephoneEventFormat {
            payload_type: EVENT,
            receive_payload_type: EVENT,
            clock: codec.clock(),
        }),
        ptime: Ptime(MS * ptime_ms as u32),
        ..Audio::plain(codec, SocketAddr::from(([192, 0, 2, 1], port)))
    }
}

pub(crate) fn noise() -> Option<ComfortNoiseFormat> {
    Some(ComfortNoiseFormat { payload_type: 13, receive_payload_type: 13 })
}

impl Lab {
    #[allow(clippy::disallowed_methods, reason = "one base instant for virtual time")]
    pub(crate) fn new(seed: u64) -> Lab {
        let now = Instant::now() + Duration::from_secs(1_000);
        let switch = Switch::new(seed, Vec::new(), now, UNIX_EPOCH);
        Lab { switch, now, sent: Vec::new(), events: Vec::new() }
    }

    pub(crate) fn tell(&mut self, command: WorkerCommand) {
        self.switch.handle(command.into(), self.now);
    }

    /// Copies the phone's audio into a tap.
    pub(crate) fn tap(&mut self, id: LegId, writer: TapWriter) {
        self.switch.handle(Input::tap(id, TapPoint::Speech, writer), self.now);
    }

    /// Removes the taps of the phone whose readers are gone.
    pub(crate) fn untap(&mut self, leg: LegId) {
        let taps = self.switch.deserted_taps(leg);
        self.switch.handle(Input::Untap { leg, taps }, self.now);
    }

    pub(crate) fn phone(&mut self, audio: Audio) -> Phone {
        let id = LegId(u64::from(audio.remote_rtp.port()));
        let slot =
            self.switch.handle(Input::Open { leg: id, audio: Some(audio), nat: false }, self.now).slot().unwrap();
        let encoder = make_encoder(audio.codec, audio.codec.sample_rate(), OpusSettings::default()).unwrap();
        let packet_ms = audio.ptime.0.as_millis() as u32;
        Phone {
            id,
            slot,
            audio,
            encoder,
            sequence: 65_500,
            timestamp: u32::MAX - 20_000,
            said: 0,
            packet_ms,
            hertz: 440.0,
            silent: false,
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit { slot, socket, bytes, .. } => {
                    if socket == Socket::Rtp && !is_rtcp(bytes) {
                        let packet = RtpPacket::parse(bytes).unwrap();
                        let payload = packet.payload().to_vec();
                        self.sent.push(Sent { slot, at: self.now, header: packet.header(), payload });
                    }
                }
                Output::Event(_, event) => self.events.push(event),
            }
        }
    }

    /// Advances to `end`, millisecond by millisecond.
    pub(crate) fn until(&mut self, end: Instant) {
        while self.now < end {
            self.now = (self.now + MS).min(end);
            if self.switch.poll_timeout().is_some_and(|at| at <= self.now) {
                self.switch.handle(Input::Timeout, self.now);
            }
            self.drain();
        }
    }

    pub(crate) fn advance(&mut self, span: Duration) {
        self.until(self.now + span);
    }

    pub(crate) fn deliver(&mut self, phone: &Phone, header: &RtpHeader, payload: &[u8]) {
        let mut bytes = vec![0; 12];
        header.write_to(&mut bytes).unwrap();
        bytes.extend_from_slice(payload);
        self.switch.handle(Input::datagram(phone.slot, Component::Rtp, phone.audio.remote_rtp, &mut bytes), self.now);
        self.drain();
    }

    /// Lets the phone send this number of packets in real time.
    pub(crate) fn talk(&mut self, phone: &mut Phone, packets: u32) {
        for _ in 0..packets {
            let (header, payload) = phone.say();
            self.deliver(phone, &header, &payload);
            self.advance(MS * phone.packet_ms);
        }
    }

    /// Returns the packets sent to the phone since the last call.
    pub(crate) fn heard(&mut self, phone: &Phone) -> Vec<Sent> {
        let (mine, others) = std::mem::take(&mut self.sent).into_iter().partition(|sent| sent.slot == phone.slot);
        self.sent = others;
        mine
    }
}

impl Phone {
    /// Returns the next audio packet. Panics for a length that the codec does not support.
    pub(crate) fn say(&mut self) -> (RtpHeader, Vec<u8>) {
        let rate = self.audio.codec.sample_rate();
        let count = rate.samples_in_ms(self.packet_ms);
        let pcm: Vec<i16> = (self.said..self.said + count as u64).map(|at| self.sample(at, rate)).collect();
        let mut payload = vec![0; 6_000];
        let length = self.encoder.encode(&pcm, &mut payload).unwrap();
        payload.truncate(length);
        let header = self.header(self.audio.payload_type, self.now_stamp());
        self.said += count as u64;
        (header, payload)
    }

    fn sample(&self, at: u64, rate: SampleRate) -> i16 {
        let angle = std::f64::consts::TAU * self.hertz * at as f64 / f64::from(rate.hz());
        if self.silent { 0 } else { (8_231.0 * angle.sin()) as i16 }
    }

    /// RTP timestamp of the next packet.
    pub(crate) fn now_stamp(&self) -> u32 {
        let codec = self.audio.codec;
        let ticks = self.said * u64::from(codec.clock().0) / u64::from(codec.sample_rate().hz());
        self.timestamp.wrapping_add(ticks as u32)
    }

    /// Returns a header with the next sequence number.
    pub(crate) fn header(&mut self, payload_type: u8, timestamp: u32) -> RtpHeader {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let ssrc = 0x5000 + self.id.0 as u32;
        RtpHeader { payload_type, marker: false, sequence, timestamp, ssrc }
    }

    /// Converts milliseconds to RTP clock ticks.
    pub(crate) fn ticks(&self, ms: u32) -> u32 {
        self.audio.codec.clock().0 / 1_000 * ms
    }

    /// Decodes the packets sent to the phone, each at its time; gaps are zero.
    pub(crate) fn listen(&self, heard: &[Sent]) -> Vec<i16> {
        let rate = self.audio.codec.sample_rate();
        let mut decoder: Box<dyn Decoder> = make_decoder(self.audio.codec, rate).unwrap();
        let audio = heard.iter().filter(|sent| sent.header.payload_type == self.audio.payload_type);
        let Some(first) = audio.clone().next() else { return Vec::new() };
        let (mut samples, mut pcm) = (Vec::new(), [0; 5_760]);
        for sent in audio {
            let ticks = u64::from(sent.header.timestamp.wrapping_sub(first.header.timestamp));
            let at = (ticks * u64::from(rate.hz()) / u64::from(self.audio.codec.clock().0)) as usize;
            let count = decoder.decode(&sent.payload, &mut pcm).unwrap();
            samples.resize(samples.len().max(at + count), 0);
            samples[at..at + count].copy_from_slice(&pcm[..count]);
        }
        samples
    }
}

/// Checks that the packets form one stream to a phone: one SSRC, each number once and in order.
pub(crate) fn is_one_stream(heard: &[Sent]) -> Result<(), String> {
    for pair in heard.windows(2) {
        let (before, after) = (&pair[0].header, &pair[1].header);
        if after.ssrc != before.ssrc || after.sequence != before.sequence.wrapping_add(1) {
            return Err(format!("{before:?} then {after:?}"));
        }
    }
    Ok(())
}

/// Length of a packet in ticks, for codecs with a fixed number of bytes per sample, and for the Opus packets of these tests.
pub(crate) fn ticks_of(codec: Codec, payload: &[u8]) -> u32 {
    match codec {
        Codec::L16 { .. } => payload.len() as u32 / 2,
        Codec::Opus => {
            let mut pcm = [0; 5_760];
            let mut decoder = make_decoder(codec, SampleRate::HZ_48000).unwrap();
            decoder.decode(payload, &mut pcm).unwrap() as u32
        }
        _ => payload.len() as u32,
    }
}
