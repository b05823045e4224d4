//! Which way a listener's audio takes: relayed or generated, decided anew whenever something around the leg changes.
//!
//! ```text
//! relay, when   same codec and ptime on both sides, the source unmuted and untapped, both directions open,
//!               and the listener has nothing else to hear (Play, keys, tone)
//! generate      in every other case in which the listener may be sent to: from the source's frames, a tone, or silence
//! ```

use std::time::Instant;

use super::leg::{Format, Leg, Path, Source};
use super::{Slot, Switch};
use crate::config::App;
use crate::units::SampleRate;

impl Switch {
    /// Brings the leg and its peer up to date. Off the packet path: may make codecs.
    pub(super) fn refresh(&mut self, slot: Slot, now: Instant) {
        let peer = self.legs.get(slot.index()).and_then(|leg| leg.as_ref()?.peer);
        for listener in [Some(slot), peer].into_iter().flatten() {
            self.choose_path(listener, now);
        }
        for slot in [Some(slot), peer].into_iter().flatten() {
            self.fit_codecs(slot, now);
        }
    }

    fn choose_path(&mut self, listener: Slot, now: Instant) {
        let Some(Some(leg)) = self.legs.get(listener.index()) else { return };
        let source = match (leg.app, leg.peer) {
            (Some(App::Echo), _) => Source::Leg(listener),
            (Some(App::Tone), _) => Source::Tone,
            (Some(App::Record), _) | (None, None) => Source::Silence,
            (None, Some(peer)) => Source::Leg(peer),
        };
        let path = match source {
            Source::Leg(from) if leg.may_be_relayed_to(now) => match self.legs[from.index()].as_deref() {
                Some(other) if relays(other, leg) => Path::Relay(from),
                _ => Path::Generate(source),
            },
            _ => Path::Generate(source),
        };
        self.leg_mut(listener).path = path;
    }

    /// Gives the leg the decoder and encoder that its part in the paths needs.
    fn fit_codecs(&mut self, slot: Slot, now: Instant) {
        let Some(Some(leg)) = self.legs.get(slot.index()) else { return };
        let heard = leg.path == Path::Generate(Source::Leg(slot))
            || leg.peer.is_some_and(|peer| {
                self.legs[peer.index()].as_ref().is_some_and(|other| other.path == Path::Generate(Source::Leg(slot)))
            });
        let other = leg.peer.and_then(|peer| self.legs[peer.index()].as_ref()?.format);
        self.guarded(slot, now, |_, leg| {
            let Some(format) = leg.format else { return };
            let taps = !leg.taps.is_empty();
            let mut made = Ok(());
            if heard || taps {
                made = leg.want_samples(decoded_rate(&format, other.as_ref(), taps));
            } else {
                leg.drop_samples();
            }
            let rate = encoded_rate(&format, other.as_ref());
            if matches!(leg.path, Path::Generate(_)) {
                made = made.and_then(|()| leg.want_encoder(rate));
            }
            leg.play.prepare(rate);
            if let Err(error) = made {
                leg.over = Some(format!("its codec could not be made: {error}"));
            }
        });
    }
}

fn relays(source: &Leg, listener: &Leg) -> bool {
    let (Some(from), Some(to)) = (&source.format, &listener.format) else { return false };
    from.codec == to.codec
        && from.ptime == to.ptime
        && from.receives
        && to.sends
        && !source.muted
        && source.taps.is_empty()
}

/// Rate at which a leg's audio is decoded: what its listener sends, so that Opus does the conversion itself; at least 16 kHz
/// when somebody else listens too.
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

/// Rate of the samples that a leg's encoder takes: Opus beside a narrowband leg is encoded from 8 kHz.
fn encoded_rate(format: &Format, other: Option<&Format>) -> SampleRate {
    match other {
        Some(other) if format.has_free_rate() && !other.has_free_rate() => other.codec_rate(),
        _ => format.codec_rate(),
    }
}
