use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::*;
use crate::units::test_epoch;

const FRAME: Duration = Duration::from_millis(20);

fn session(translate: bool, voice: bool) -> Session {
    Session::new(SessionParams {
        leg: "customer".into(),
        source_language: "en".into(),
        target_language: "es".into(),
        translate,
        voice,
        segments: Arc::new(AtomicU64::new(1)),
    })
}

fn effects(session: &mut Session) -> Vec<Effect> {
    std::iter::from_fn(|| session.poll_effect()).collect()
}

/// `pattern`: runs of (speech, frames).
fn feed(session: &mut Session, mut at: Instant, pattern: &[(bool, usize)]) -> Instant {
    for &(speech, frames) in pattern {
        for _ in 0..frames {
            at += FRAME;
            session.handle_frame(&[1; 160], speech, at);
        }
    }
    at
}

fn published(effects: &[Effect]) -> Vec<&TranslationEvent> {
    effects.iter().filter_map(|effect| if let Effect::Publish(event) = effect { Some(event) } else { None }).collect()
}

#[test]
fn one_segment_per_pause_with_what_came_just_before_it() {
    let mut session = session(true, true);
    let start = test_epoch();
    feed(
        &mut session,
        start,
        &[(false, 50), (true, 40), (false, 10), (true, 20), (false, 30), (true, 30), (false, 30)],
    );
    let effects = effects(&mut session);
    let bounds: Vec<String> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Begin(number) => Some(format!("begin {number}")),
            Effect::End(number) => Some(format!("end {number}")),
            _ => None,
        })
        .collect();
    assert_eq!(bounds, ["begin 1", "end 1", "begin 2", "end 2"]);
    let Effect::Audio(pre_roll) = &effects[1] else { panic!("audio follows the beginning") };
    assert_eq!(pre_roll.len(), 10 * 160);
}

#[test]
fn a_click_is_no_segment() {
    let mut session = session(true, true);
    feed(&mut session, test_epoch(), &[(false, 20), (true, 2), (false, 60)]);
    assert_eq!(effects(&mut session), []);
}

#[test]
fn endless_speech_is_cut() {
    let mut session = session(true, true);
    feed(&mut session, test_epoch(), &[(true, 650)]);
    assert!(effects(&mut session).contains(&Effect::End(1)));
}

#[test]
fn lag_is_stamped_at_every_hop_from_the_end_of_speech() {
    let mut session = session(true, true);
    let start = test_epoch();
    feed(&mut session, start, &[(true, 50), (false, 23)]);
    let spoken_until = start + FRAME * 50;
    effects(&mut session);
    session.handle_partial(1, "thank");
    session.handle_final(1, "thank you", false, spoken_until + Duration::from_millis(500));
    session.handle_translation(1, "gracias", spoken_until + Duration::from_millis(520));
    session.handle_spoken(1, spoken_until + Duration::from_millis(580));
    let effects = effects(&mut session);
    assert!(effects.contains(&Effect::Translate(1, "thank you".into())));
    assert!(effects.contains(&Effect::Speak(1, "gracias".into())));
    let events = published(&effects);
    assert_eq!(events.len(), 4);
    assert!(!events[0].is_final && events[1].is_final);
    let last = events[3];
    assert_eq!(last.lag_ms, LagMs { stt: Some(500), translate: Some(20), tts: Some(60), total: Some(580) });
    assert_eq!(last.translation.as_deref(), Some("gracias"));
}

#[test]
fn what_comes_after_the_final_changes_nothing() {
    let mut session = session(true, false);
    let now = test_epoch();
    session.handle_typed("hola", now);
    effects(&mut session);
    session.handle_partial(1, "stale");
    session.handle_final(1, "other", false, now);
    session.handle_partial(99, "unknown segment");
    assert_eq!(effects(&mut session), []);
}

#[test]
fn unrecognised_words_are_told_and_not_translated() {
    let mut session = session(true, true);
    let start = test_epoch();
    feed(&mut session, start, &[(true, 50), (false, 23)]);
    effects(&mut session);
    session.handle_final(1, "nonsense", true, start);
    let effects = effects(&mut session);
    assert_eq!(effects.len(), 1);
    let event = published(&effects)[0];
    assert!(event.unrecognised && event.is_final && event.text.is_empty());
}

#[test]
fn without_voice_the_translated_text_is_the_end() {
    let mut session = session(true, false);
    let now = test_epoch();
    session.handle_typed("buenos días", now);
    session.handle_translation(1, "good morning", now + Duration::from_millis(7));
    let effects = effects(&mut session);
    assert_eq!(published(&effects)[1].lag_ms.total, Some(7));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Speak(..))));
}

#[test]
fn old_segments_are_forgotten() {
    let mut session = session(false, false);
    let now = test_epoch();
    for _ in 0..SEGMENTS_MAX * 3 {
        session.handle_typed("x", now);
    }
    effects(&mut session);
    session.handle_translation(1, "too late", now);
    assert_eq!(effects(&mut session), []);
}

#[test]
fn silence_taken_for_speech_is_told_to_nobody_unless_words_were_shown() {
    let mut session = session(true, true);
    let now = feed(&mut session, test_epoch(), &[(true, 20), (false, 30), (true, 20), (false, 30)]);
    session.handle_partial(2, "I lost");
    effects(&mut session);
    session.handle_final(1, "", false, now);
    assert_eq!(effects(&mut session), []);
    session.handle_final(2, "", false, now);
    let effects = effects(&mut session);
    let events = published(&effects);
    assert!(matches!(events.as_slice(), [event] if event.is_final && event.text.is_empty()), "{events:?}");
}
