//! Chooses a listener's path, relayed or generated, again whenever something around the leg changes.
//!
//! ```text
//! relay, when   same codec (PCMU and PCMA: mapped by a table) and ptime on both sides (Opus: any ptime), the source's comfort
//!               noise known to the listener, the source unmuted and without gain, both directions open, and the listener
//!               has nothing else to hear (Play, keys, tone)
//! generate      in every other case, if packets may be sent to the listener: from the source's frames, a conference, a tone, or
//!               silence
//! ```
//!
//! A tap or an overhearing leg does not change the path: it reads a playout beside the relay, and adds no delay for the
//! listener. A tap on what the listener of a relay hears reads the playout of its source, and is as late as that one.
//!
//! ptime: `a=ptime` is the packet length that the far end prefers to receive (RFC 3264 section 5.1, RFC 8866 section
//! 6.4), and it has to accept any length. Cutting samples again costs little, so a G.711, G.722 or L16 listener gets the
//! length that it asked for. Opus packets state their own length, and cutting them again would cost quality and an
//! encoder, so they are relayed unchanged.
//!
//! ```text
//! relay → generate   nothing is sent until playout has reached the end of the relay, then frames from there: the
//!                    listener misses nothing and hears nothing twice; its own buffer sees later packets
//! generate → relay   samples that playout has not played are sent at once, cut to whole packets by one cross-fade of at most
//!                    10 ms; then packets as they come
//! ```
//!
//! With G.711 and L16 the seam is inaudible. Decoders of G.722 and Opus adapt to one encoder's past output, and ours is
//! another encoder: they take some milliseconds to settle.

use std::time::{Duration, Instant};

use codecs::opus::OpusSettings;

use super::leg::{Entry, Exit, Format, Leg, Path, Source};
use super::relay::table_between;
use super::{Slot, Switch};
use crate::config::App;
use crate::sdp::Codec;
use crate::units::SampleRate;

/// A source that was relayed within this time is expected to continue: packets of 60 ms and their jitter.
const RELAYED_LATELY: Duration = Duration::from_millis(120);
/// Time for which the listener is sent nothing if its source does not continue.
const ENTRY_WAITS: Duration = Duration::from_millis(200);

impl Switch {
    /// Updates the paths of the leg and its peer. Off the packet path: may create codecs.
    pub(super) fn refresh(&mut self, slot: Slot, now: Instant) {
        let leg = self.legs.get(slot.index()).and_then(Option::as_ref);
        let (peer, seat) = leg.map_or((None, None), |leg| (leg.peer, leg.seat));
        if let Some(seat) = seat {
            self.fit_conference(seat.conference(), Some(slot), now);
        }
        for listener in [Some(slot), peer].into_iter().flatten() {
            self.choose_path(listener, now);
        }
        for slot in [Some(slot), peer].into_iter().flatten() {
            self.fit_codecs(slot, now);
        }
    }

    pub(super) fn choose_path(&mut self, listener: Slot, now: Instant) {
        let Some(Some(leg)) = self.legs.get(listener.index()) else { return };
        // A leg in a conference is heard only by the members of the conference; its bridge is suspended.
        let seated = |slot: &Slot| self.legs[slot.index()].as_ref().is_some_and(|other| other.seat.is_some());
        let source = match (leg.hearing.app, leg.peer) {
            (Some(App::Echo), _) => Source::Leg(listener),
            (Some(App::Tone), _) => Source::Tone,
            (Some(App::Record | App::Program), _) => Source::Silence,
            (Some(App::Ringback), _) => Source::Ringback,
            (Some(App::Hold), _) if leg.hearing.music.is_some() => Source::Music,
            (Some(App::Hold), _) => Source::Hold,
            (None, _) if leg.seat.is_some() => Source::Mix,
            (None, None) if leg.hearing.ears.is_some() => Source::Overheard,
            (None, peer) => peer.filter(|peer| !seated(peer)).map_or(Source::Silence, Source::Leg),
        };
        let path = match source {
            Source::Leg(from) if leg.may_be_relayed_to(now) => match self.legs[from.index()].as_deref() {
                Some(other) if can_relay(other, leg) => Path::Relay(from),
                _ => Path::Generate(source),
            },
            _ => Path::Generate(source),
        };
        let ready = leg.hearing.send.as_ref().map(|send| send.rate());
        let drains = |from: Slot| {
            let source = self.legs[from.index()].as_deref();
            from != listener
                && source.is_some_and(|source| source.speech.is_decoded() && ready == Some(source.speech.frame.rate))
        };
        let exit = match (leg.hearing.path, path) {
            (Path::Generate(Source::Leg(before)), Path::Relay(from)) if before == from && drains(from) => {
                Some(Exit { from })
            }
            _ => None,
        };
        let leg = self.leg_mut(listener);
        leg.hearing.exit = exit;
        if source != Source::Silence {
            leg.settling = 0;
        }
        if exit.is_none() && leg.hearing.path != path {
            leg.hearing.entry = match (leg.hearing.path, path) {
                (Path::Relay(before), Path::Generate(Source::Leg(from))) if before == from => entry(leg, now),
                _ => None,
            };
            leg.hearing.path = path;
        }
        if !matches!(source, Source::Leg(from) if from != listener) {
            leg.hearing.keys.let_go();
        }
    }

    /// Creates the decoder and encoder that the leg needs for its part in the paths.
    pub(super) fn fit_codecs(&mut self, slot: Slot, now: Instant) {
        let Some(Some(leg)) = self.legs.get(slot.index()) else { return };
        let mixed = leg.seat.and_then(|seat| seat.rate());
        let heard = mixed.is_some()
            || leg.hearing.path == Path::Generate(Source::Leg(slot))
            || leg.peer.is_some_and(|peer| {
                self.legs[peer.index()]
                    .as_ref()
                    .is_some_and(|other| other.hearing.path == Path::Generate(Source::Leg(slot)))
            });
        let peer = leg.peer.and_then(|peer| self.legs[peer.index()].as_ref());
        let is_relayed = |other: &Leg| other.hearing.path == Path::Relay(slot) && !other.hearing.taps.is_empty();
        let is_copied = is_relayed(leg) || peer.is_some_and(|peer| is_relayed(peer));
        let other = peer.and_then(|peer| peer.format);
        let goes_on = peer.is_some_and(|peer| peer.hearing.entry.is_some());
        self.guarded(slot, now, |switch, leg| {
            let Some(format) = leg.format else { return };
            let taps = is_copied || !leg.speech.taps.is_empty() || !leg.speech.overheard.is_empty();
            let mut made = Ok(());
            if heard || taps {
                let rate = mixed.unwrap_or_else(|| decoded_rate(&format, other.as_ref(), taps));
                made = leg.speech.want_samples(&format, rate, goes_on.then(|| leg.transport.jitter()));
            } else {
                leg.speech.drop_samples();
            }
            let rate = mixed.unwrap_or_else(|| encoded_rate(&format, other.as_ref()));
            if matches!(leg.hearing.path, Path::Generate(_)) {
                leg.reporting.loss.at_least = switch.opus.expected_loss_percent;
                let expected_loss_percent = switch.opus.expected_loss_percent.max(leg.reporting.expected_loss());
                let opus =
                    OpusSettings { complexity: switch.effort, dtx: format.dtx, expected_loss_percent, ..switch.opus };
                made = made.and_then(|()| leg.hearing.want_encoder(&format, rate, opus));
            } else {
                leg.hearing.drop_encoder();
            }
            leg.hearing.play.prepare(rate);
            if let Some(music) = &mut leg.hearing.music {
                music.prepare(rate);
            }
            if let Err(error) = made {
                leg.over = Some(format!("its codec could not be created: {error}"));
            }
            switch.rests[slot.index()] = leg.rests();
        });
    }
}

fn can_relay(source: &Leg, listener: &Leg) -> bool {
    let (Some(from), Some(to)) = (&source.format, &listener.format) else { return false };
    let lengths_suit = from.ptime == to.ptime || from.codec == Codec::Opus;
    let pauses_suit = from.noise.is_none() || to.noise.is_some();
    let codecs_suit = from.codec == to.codec || table_between(from.codec, to.codec).is_some();
    codecs_suit && lengths_suit && pauses_suit && from.receives && to.sends && source.speech.is_as_it_comes()
}

/// Returns where a leg that was relayed to continues with frames; `None` if nothing arrived lately.
fn entry(leg: &Leg, now: Instant) -> Option<Entry> {
    let (ssrc, timestamp, at) = leg.hearing.outgoing.relayed_to()?;
    let lately = now.saturating_duration_since(at) <= RELAYED_LATELY;
    let tick = leg.format.map(|format| format.tick()).unwrap_or_default();
    lately.then(|| Entry { ssrc, timestamp, tick, until: now + ENTRY_WAITS })
}

/// Returns the rate at which a leg's audio is decoded: the rate that its listener sends, so that Opus does the
/// conversion itself; at least 16 kHz when a tap listens too.
fn decoded_rate(format: &Format, other: Option<&Format>, tapped: bool) -> SampleRate {
    if format.has_free_rate() {
        match other {
            Some(other) if !other.has_free_rate() => {
                let rate = other.codec_rate();
                if tapped { rate.max(SampleRate::HZ_16000) } else { rate }
            }
            _ => SampleRate::HZ_48000,
        }
    } else {
        format.codec_rate()
    }
}

/// Returns the rate of the samples that a leg's encoder takes: Opus beside a narrowband leg is encoded from 8 kHz.
fn encoded_rate(format: &Format, other: Option<&Format>) -> SampleRate {
    match other {
        Some(other) if format.has_free_rate() && !other.has_free_rate() => other.codec_rate(),
        _ => format.codec_rate(),
    }
}
