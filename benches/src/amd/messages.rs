//! How often a person is heard while a message plays: when one speaks, and when none does.
//!
//! ```text
//! clip of a machine ─▶ greeting, beep ─▶ MessageWatch says: begin
//!   silent line       noise + echo of the message                      a person heard is a false alarm
//!   person            noise + echo + the first words of a person       time from the first word to the finding
//! ```
//!
//! The message is the speech of another clip. Its echo comes 40 to 300 ms later, 20 to 45 dB below it; noise is 70 to 45 dB below
//! full scale. All is drawn by a seed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use codecs::SampleRate;
use control_api::amd::samples;
use media_engine::amd::{AmdEvent, Detector, MessageCue, MessageWatch, Mode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

/// Number of messages of each kind.
const MESSAGES: usize = 400;
/// Length of a message.
const LENGTH: Duration = Duration::from_secs(12);
/// Time into the message at which a person speaks.
const SPEAKS: Duration = Duration::from_secs(3);
/// Time that is waited for a beep after the last word.
const BEEP: Duration = Duration::from_secs(5);
const FRAME: usize = 160;

/// Findings about many messages.
pub(super) struct Messages {
    /// Messages that began.
    pub(super) begun: usize,
    /// Messages without a person in which one was heard.
    pub(super) false_alarms: usize,
    /// Messages in which a person spoke.
    pub(super) spoken: usize,
    /// Times from the first word of a person to the finding, sorted, in milliseconds.
    pub(super) noticed_ms: Vec<f64>,
}

impl Messages {
    /// Returns the figures as a sentence for the results.
    pub(super) fn words(&self) -> String {
        let share = |part: usize, of: usize| 100.0 * part as f64 / of.max(1) as f64;
        let within = self.noticed_ms.iter().filter(|ms| **ms <= 1_500.0).count();
        let at = |share: f64| {
            let last = self.noticed_ms.len().saturating_sub(1);
            self.noticed_ms.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
        };
        format!(
            "Messages: in {} without a person one was heard in {:.1} % (target ≤ 1). Of {} persons who spoke, {:.0} % were noticed, \
             {:.0} % within 1.5 s of the first word (p50 {:.0} ms, p95 {:.0} ms).",
            self.begun,
            share(self.false_alarms, self.begun),
            self.spoken,
            share(self.noticed_ms.len(), self.spoken),
            share(within, self.spoken),
            at(0.5),
            at(0.95)
        )
    }
}

/// A clip with what its truth says.
struct Clip {
    rate: SampleRate,
    sound: Vec<i16>,
    /// First sample of speech, and the one after the last.
    speech: (usize, usize),
}

/// Leaves messages on the machines among the clips of a folder.
pub(super) fn leave(folder: &Path, truth: &[Value]) -> Result<Messages> {
    let (machines, persons) = (clips(folder, truth, "machine")?, clips(folder, truth, "human")?);
    let mut random = StdRng::seed_from_u64(15);
    let mut found = Messages { begun: 0, false_alarms: 0, spoken: 0, noticed_ms: Vec::new() };
    for n in 0..MESSAGES {
        let machine = &machines[n % machines.len()];
        let message = &machines[(n * 7 + 3) % machines.len()];
        let line = Line::draw(&mut random, machine, message);
        if let Some(heard) = line.hear(&mut random, None) {
            found.begun += 1;
            found.false_alarms += usize::from(heard.is_some());
        }
        let person = &persons[n % persons.len()];
        if let Some(heard) = line.hear(&mut random, Some(person)) {
            found.spoken += 1;
            found.noticed_ms.extend(heard.map(|at| at.saturating_sub(SPEAKS).as_secs_f64() * 1_000.0));
        }
    }
    found.noticed_ms.sort_by(f64::total_cmp);
    Ok(found)
}

/// A line on which a message is left.
struct Line<'a> {
    machine: &'a Clip,
    /// Message as its echo comes back.
    echo: Vec<f32>,
    noise: f32,
}

impl Line<'_> {
    fn draw<'a>(random: &mut StdRng, machine: &'a Clip, message: &Clip) -> Line<'a> {
        let gain = 10_f32.powf(-random.random_range(20.0..45.0) / 20.0);
        let delay = machine.rate.samples_in_ms(random.random_range(40..300));
        let speech = &message.sound[message.speech.0..message.speech.1];
        let echo = std::iter::repeat_n(0.0, delay).chain(speech.iter().map(|sample| f32::from(*sample) * gain));
        let noise = 32_768.0 * 10_f32.powf(-random.random_range(45.0..70.0) / 20.0);
        Line { machine, echo: echo.collect(), noise }
    }

    /// Leaves the message; `None`: it did not begin. Returns the time into the message at which a person was heard, if one was.
    fn hear(&self, random: &mut StdRng, person: Option<&Clip>) -> Option<Option<Duration>> {
        let rate = self.machine.rate;
        let mut detector = Detector::new(rate, Mode::Balanced);
        let mut watch = MessageWatch::new(rate, (Duration::ZERO, None, None), (BEEP, true));
        let voice = person.map_or(&[][..], |person| &person.sound[person.speech.0..]);
        let speaks = rate.samples_in_ms(u32::try_from(SPEAKS.as_millis()).unwrap_or(u32::MAX));
        let (mut begun, mut at): (Option<usize>, usize) = (None, 0);
        // The clip up to its end, then quiet until the message has been played.
        while begun.is_none_or(|begun| at - begun < rate.samples_in_ms(LENGTH.as_millis() as u32)) {
            let frame: Vec<i16> = (at..at + FRAME)
                .map(|n| {
                    let mut sample = f32::from(self.machine.sound.get(n).copied().unwrap_or_default());
                    sample += random.random_range(-1.0..1.0_f32) * self.noise;
                    if let Some(played) = begun.map(|begun| n - begun) {
                        sample += self.echo.get(played).copied().unwrap_or_default();
                        let said = played.checked_sub(speaks).and_then(|n| voice.get(n));
                        sample += f32::from(said.copied().unwrap_or_default());
                    }
                    sample.clamp(-32_768.0, 32_767.0) as i16
                })
                .collect();
            at += FRAME;
            detector.push(&frame, |event| {
                if let AmdEvent::Beep(beep) = event {
                    watch.on_beep(&beep);
                }
            });
            match watch.push(&frame) {
                Some(MessageCue::Begin(_)) => begun = Some(at),
                Some(MessageCue::Human) => {
                    let played = (at - begun.unwrap_or(at)) as f64 / f64::from(rate.hz());
                    return Some(Some(Duration::from_secs_f64(played)));
                }
                None => {}
            }
            if begun.is_none() && at > self.machine.sound.len() + rate.samples_in_ms(20_000) {
                return None;
            }
        }
        Some(None)
    }
}

/// Reads the clips of a class that hold speech.
fn clips(folder: &Path, truth: &[Value], class: &str) -> Result<Vec<Clip>> {
    let mut clips = Vec::new();
    for row in truth.iter().filter(|row| row["class"] == class) {
        let (Some(onset), Some(end)) = (row["speech_onset_ms"].as_u64(), row["greeting_end_ms"].as_u64()) else {
            continue;
        };
        let name = row["clip"].as_str().context("a clip without a name")?;
        let (rate, sound) = samples(&folder.join("clips").join(format!("{name}.flac")))?;
        let sample = |ms: u64| rate.samples_in_ms(u32::try_from(ms).unwrap_or(u32::MAX)).min(sound.len());
        let speech = (sample(onset), sample(end));
        clips.push(Clip { rate, sound, speech });
    }
    Ok(clips)
}
