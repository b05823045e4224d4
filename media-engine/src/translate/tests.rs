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

/// Feeds frames according to `pattern`, which has runs of (speech, frames).
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
fn one_segment_per_pause_including_the_audio_just_before_it() {
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
    session.handle_partial(1, "thank", spoken_until);
    session.handle_final(1, "thank you", false, spoken_until + Duration::from_millis(500));
    session.handle_translation(1, "gracias", spoken_until + Duration::from_millis(520));
    let spoken = spoken_until + Duration::from_millis(580);
    session.handle_spoken(1, spoken, spoken);
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
fn results_after_the_final_text_change_nothing() {
    let mut session = session(true, false);
    let now = test_epoch();
    session.handle_typed("hola", now);
    effects(&mut session);
    session.handle_partial(1, "stale", now);
    session.handle_final(1, "other", false, now);
    session.handle_partial(99, "unknown segment", now);
    assert_eq!(effects(&mut session), []);
}

#[test]
fn unrecognised_words_are_published_and_not_translated() {
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
fn without_voice_the_lag_ends_with_the_translated_text() {
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
fn silence_taken_for_speech_is_not_published_unless_words_were_shown() {
    let mut session = session(true, true);
    let now = feed(&mut session, test_epoch(), &[(true, 20), (false, 30), (true, 20), (false, 30)]);
    session.handle_partial(2, "I lost", now);
    effects(&mut session);
    session.handle_final(1, "", false, now);
    assert_eq!(effects(&mut session), []);
    session.handle_final(2, "", false, now);
    let effects = effects(&mut session);
    let events = published(&effects);
    assert!(matches!(events.as_slice(), [event] if event.is_final && event.text.is_empty()), "{events:?}");
}

/// Returns the beginning and end of the speech in the only event among the effects, on the clock of `at`.
fn event_times(session: &mut Session, at: Instant, origin: Instant) -> (Option<Duration>, Option<Duration>) {
    let effects = effects(session);
    let events = published(&effects);
    let [event] = events.as_slice() else { panic!("expected one event: {events:?}") };
    let time = |ago: Option<u64>| ago.map(|ago| at - Duration::from_millis(ago) - origin);
    (time(event.began_ms_ago), time(event.ended_ms_ago))
}

#[test]
fn speech_began_with_its_first_frame_and_ended_before_the_pause() {
    let mut session = session(false, false);
    let start = test_epoch();
    // 50 quiet frames; a frame of speech, a short gap, then speech: the onset is the first of them.
    let now = feed(&mut session, start, &[(false, 50), (true, 1), (false, 1), (true, 40)]);
    effects(&mut session);
    let partial = now + Duration::from_millis(7);
    session.handle_partial(1, "thank", partial);
    assert_eq!(event_times(&mut session, partial, start), (Some(FRAME * 50), None), "speech goes on");
    let now = feed(&mut session, now, &[(false, 30)]);
    effects(&mut session);
    let last = now + Duration::from_millis(333);
    session.handle_final(1, "thank you", false, last);
    assert_eq!(event_times(&mut session, last, start), (Some(FRAME * 50), Some(FRAME * 92)));
    // A later event has the same times.
    let later = last + Duration::from_secs(2);
    session.handle_translation(1, "gracias", later);
    assert_eq!(event_times(&mut session, later, start), (Some(FRAME * 50), Some(FRAME * 92)));
}

#[test]
fn audio_from_before_the_onset_is_not_counted_as_speech() {
    let mut session = session(false, false);
    let start = test_epoch();
    let now = feed(&mut session, start, &[(false, 20), (true, 10), (false, 25)]);
    let Some(Effect::Audio(pre_roll)) = effects(&mut session).into_iter().nth(1) else { panic!("audio follows") };
    // It contains two frames of the onset, and eight from before.
    assert_eq!(pre_roll.len(), 10 * 160);
    session.handle_final(1, "yes", false, now);
    assert_eq!(event_times(&mut session, now, start), (Some(FRAME * 20), Some(FRAME * 30)));
}

#[test]
fn endless_speech_is_cut_into_adjacent_segments() {
    let mut session = session(false, false);
    let start = test_epoch();
    let now = feed(&mut session, start, &[(true, 650), (false, 30)]);
    effects(&mut session);
    session.handle_final(1, "on and on", false, now);
    // 12 s after the third frame, with which the onset was certain.
    assert_eq!(event_times(&mut session, now, start), (Some(Duration::ZERO), Some(FRAME * 603)));
    session.handle_final(2, "and on", false, now);
    assert_eq!(event_times(&mut session, now, start), (Some(FRAME * 603), Some(FRAME * 650)));
}

#[test]
fn the_end_of_the_call_ends_speech_with_its_last_frame() {
    let mut session = session(false, false);
    let start = test_epoch();
    let now = feed(&mut session, start, &[(true, 30), (false, 5)]);
    session.finish(now);
    effects(&mut session);
    session.handle_final(1, "good", false, now);
    assert_eq!(event_times(&mut session, now, start), (Some(Duration::ZERO), Some(FRAME * 30)));
}

#[test]
fn typed_text_has_no_speech_times() {
    let mut session = session(false, false);
    let now = test_epoch();
    session.handle_typed("hola", now);
    assert_eq!(event_times(&mut session, now, now), (None, None));
}

#[test]
fn a_missed_segment_is_published_once_its_speech_has_ended() {
    let mut session = session(true, true);
    let start = test_epoch();
    let now = feed(&mut session, start, &[(true, 30)]);
    session.handle_partial(1, "thank", now);
    effects(&mut session);
    session.handle_missed(1, now);
    // Later results of a broken recogniser are ignored.
    session.handle_partial(1, "thank you", now);
    session.handle_final(1, "", false, now);
    assert_eq!(effects(&mut session), [], "the speech goes on");
    let now = feed(&mut session, now, &[(false, 23)]);
    let told = effects(&mut session);
    let events = published(&told);
    let [event] = events.as_slice() else { panic!("expected one event: {events:?}") };
    assert!(event.missed && event.is_final && !event.unrecognised && event.text.is_empty(), "{event:?}");
    assert_eq!(event.lag_ms, LagMs::default());
    let ago = |at: Instant| Some((now - at).as_millis() as u64);
    assert_eq!((event.began_ms_ago, event.ended_ms_ago), (ago(start), ago(start + FRAME * 30)));
    session.handle_missed(1, now);
    assert_eq!(effects(&mut session), []);
}

#[test]
fn after_the_end_of_the_recogniser_unfinished_segments_are_missed() {
    let mut session = session(true, false);
    let now = feed(&mut session, test_epoch(), &[(true, 20), (false, 30), (true, 20), (false, 30), (true, 20)]);
    session.handle_final(1, "yes", false, now);
    effects(&mut session);
    session.handle_recogniser_gone(now);
    let of = |told: &[Effect]| -> Vec<(u64, bool)> {
        published(told).iter().map(|event| (event.segment, event.missed)).collect()
    };
    assert_eq!(of(&effects(&mut session)), [(2, true)]);
    session.finish(now);
    assert_eq!(of(&effects(&mut session)), [(3, true)]);
}

#[test]
fn unknown_values_are_omitted_and_old_events_can_be_read() {
    let mut session = session(false, false);
    let now = test_epoch();
    session.handle_typed("hola", now);
    let told = effects(&mut session);
    let event = published(&told)[0];
    let written = serde_json::to_value(event).unwrap();
    for key in ["missed", "unrecognised", "began_ms_ago", "ended_ms_ago"] {
        assert!(written.get(key).is_none(), "{written}");
    }
    assert_eq!(&serde_json::from_value::<TranslationEvent>(written).unwrap(), event);
}
