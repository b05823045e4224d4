//! Tests of a call's session: segments, their clauses and their lag.
//!
//! Frames come with a decision of voice activity instead of sound, results of providers are given directly, and effects are compared.
//! Time is virtual: an epoch and multiples of 20 ms.
//!
//! Not here: random inputs (`tests_session`), and what the conversation decides (`tests_conversation`).

mod echo;

use std::time::{Duration, Instant};

use super::clauses::Lengths;
use super::exchange::{ClauseId, Voice};
use super::schedule::{BUDGET, Level};
use super::*;
use crate::units::test_epoch;

const FRAME: Duration = Duration::from_millis(20);
const CUSTOMER: Speaker = Speaker::Customer;

/// Returns a session in which both sides talk; short sentences stay whole.
fn session(translate: bool, voice: bool) -> Session {
    session_of(translate, voice, Some(Lengths::of_phrases()))
}

fn session_of(translate: bool, voice: bool, lengths: Option<Lengths>) -> Session {
    let hears = if voice { Hears::Ducked } else { Hears::Original };
    let listeners = ["en", "es"].map(|language| Listener::new(language, hears));
    let params = SessionParams {
        listeners,
        translate,
        budget: BUDGET,
        lengths,
        glossary: Default::default(),
        epoch: test_epoch(),
    };
    let mut session = Session::new(params);
    session.set_presence([Presence::JOINED; 2], test_epoch());
    assert!(matches!(effects(&mut session)[..], [Effect::Listeners(_)]));
    session
}

fn effects(session: &mut Session) -> Vec<Effect> {
    std::iter::from_fn(|| session.poll_effect()).collect()
}

/// Feeds frames according to `pattern`, which has runs of (speech, frames).
fn feed(session: &mut Session, mut at: Instant, pattern: &[(bool, usize)]) -> Instant {
    for &(speech, frames) in pattern {
        for _ in 0..frames {
            at += FRAME;
            session.handle_frame(CUSTOMER, &[1; 160], speech, at);
        }
    }
    at
}

/// Returns the source texts of the clauses to be translated.
fn clauses(effects: &[Effect]) -> Vec<String> {
    let text = |effect: &Effect| if let Effect::Translate(request) = effect { Some(request.text()) } else { None };
    effects.iter().filter_map(text).collect()
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
        &[(false, 50), (true, 40), (false, 10), (true, 20), (false, 60), (true, 30), (false, 60)],
    );
    let effects = effects(&mut session);
    let bounds: Vec<String> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Begin(_, number) => Some(format!("begin {number}")),
            Effect::End(_, number) => Some(format!("end {number}")),
            _ => None,
        })
        .collect();
    assert_eq!(bounds, ["begin 1", "end 1", "begin 2", "end 2"]);
    let Effect::Audio(_, pre_roll) = &effects[1] else { panic!("audio follows the beginning") };
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
    feed(&mut session, test_epoch(), &[(true, 1_600)]);
    assert!(effects(&mut session).contains(&Effect::End(CUSTOMER, 1)));
}

#[test]
fn lag_is_stamped_at_every_hop_from_the_end_of_speech() {
    let mut session = session(true, true);
    let start = test_epoch();
    feed(&mut session, start, &[(true, 50), (false, 60)]);
    let spoken_until = start + FRAME * 50;
    effects(&mut session);
    session.handle_partial(1, "thank", spoken_until);
    session.handle_final(1, "thank you", false, spoken_until + Duration::from_millis(500));
    let translated = spoken_until + Duration::from_millis(520);
    session.handle_translation(ClauseId(0), 0, Some("gracias"), translated);
    session.handle_voice(ClauseId(0), 0, Voice::Begun, translated);
    let spoken = spoken_until + Duration::from_millis(580);
    session.handle_play_started(ClauseId(0), spoken, spoken);
    let effects = effects(&mut session);
    let requests: Vec<String> = clauses(&effects);
    assert_eq!(requests, ["thank you"]);
    assert!(effects.contains(&Effect::Speak {
        speaker: CUSTOMER,
        clause: ClauseId(0),
        revision: 0,
        text: "gracias".into(),
        language: "es".into(),
    }));
    assert!(effects.contains(&Effect::Play(Speaker::Agent, ClauseId(0), 1.0)));
    let events = published(&effects);
    assert!(!events[0].is_final && events[1].is_final);
    let last = events.last().expect("events");
    assert_eq!(last.lag_ms, LagMs { stt: Some(500), translate: Some(20), tts: Some(60), total: Some(580) });
    assert_eq!((last.clauses.len(), last.clauses[0].heard), (1, ClauseHeard::Voice));
    assert_eq!(last.translation.as_deref(), Some("gracias"));
}

#[test]
fn results_after_the_final_text_change_nothing() {
    let mut session = session(true, false);
    let now = test_epoch();
    session.handle_typed(CUSTOMER, "hola", now);
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
    feed(&mut session, start, &[(true, 50), (false, 60)]);
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
    session.handle_typed(CUSTOMER, "buenos días", now);
    session.handle_translation(ClauseId(0), 0, Some("good morning"), now + Duration::from_millis(7));
    let effects = effects(&mut session);
    let last = *published(&effects).last().expect("events");
    assert_eq!((last.lag_ms.total, last.clauses[0].heard), (Some(7), ClauseHeard::Text));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Speak { .. })));
}

#[test]
fn old_segments_are_forgotten() {
    let mut session = session(false, false);
    let now = test_epoch();
    for _ in 0..SEGMENTS_MAX * 3 {
        session.handle_typed(CUSTOMER, "x", now);
    }
    effects(&mut session);
    session.handle_partial(1, "too late", now);
    assert_eq!(effects(&mut session), []);
}

#[test]
fn silence_taken_for_speech_is_not_published_unless_words_were_shown() {
    let mut session = session(true, true);
    let now = feed(&mut session, test_epoch(), &[(true, 20), (false, 60), (true, 20), (false, 60)]);
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
    let now = feed(&mut session, now, &[(false, 60)]);
    effects(&mut session);
    let last = now + Duration::from_millis(333);
    session.handle_final(1, "thank you", false, last);
    assert_eq!(event_times(&mut session, last, start), (Some(FRAME * 50), Some(FRAME * 92)));
}

#[test]
fn audio_from_before_the_onset_is_not_counted_as_speech() {
    let mut session = session(false, false);
    let start = test_epoch();
    let now = feed(&mut session, start, &[(false, 20), (true, 10), (false, 60)]);
    let Some(Effect::Audio(_, pre_roll)) = effects(&mut session).into_iter().nth(1) else { panic!("audio follows") };
    // It contains two frames of the onset, and eight from before.
    assert_eq!(pre_roll.len(), 10 * 160);
    session.handle_final(1, "yes", false, now);
    assert_eq!(event_times(&mut session, now, start), (Some(FRAME * 20), Some(FRAME * 30)));
}

#[test]
fn endless_speech_is_cut_into_adjacent_segments() {
    let mut session = session(false, false);
    let start = test_epoch();
    let now = feed(&mut session, start, &[(true, 1_600), (false, 60)]);
    effects(&mut session);
    session.handle_final(1, "on and on", false, now);
    // 30 s after the third frame, with which the onset was certain.
    assert_eq!(event_times(&mut session, now, start), (Some(Duration::ZERO), Some(FRAME * 1_503)));
    session.handle_final(2, "and on", false, now);
    assert_eq!(event_times(&mut session, now, start), (Some(FRAME * 1_503), Some(FRAME * 1_600)));
}

#[test]
fn long_speech_is_cut_where_no_word_is() {
    let mut session = session(false, false);
    let start = test_epoch();
    feed(&mut session, start, &[(true, 1_100), (false, 2), (true, 50)]);
    let effects = effects(&mut session);
    let at = |wanted: Effect| effects.iter().position(|effect| *effect == wanted).expect("the effect");
    assert_eq!(audio(&effects[..at(Effect::End(CUSTOMER, 1))]), 1_100);
    // The frames of the gap and of the next onset are in the next segment.
    assert_eq!(audio(&effects[at(Effect::Begin(CUSTOMER, 2))..]), 52);
}

/// Returns the number of frames that the recogniser gets.
fn audio(effects: &[Effect]) -> usize {
    effects.iter().map(|effect| if let Effect::Audio(_, samples) = effect { samples.len() / 160 } else { 0 }).sum()
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
    session.handle_typed(CUSTOMER, "hola", now);
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
    let told = effects(&mut session);
    assert!(matches!(told[..], [Effect::Listeners(_)]), "the speech goes on: {told:?}");
    let now = feed(&mut session, now, &[(false, 60)]);
    let told = effects(&mut session);
    let events = published(&told);
    let [event] = events.as_slice() else { panic!("expected one event: {events:?}") };
    assert!(event.missed && event.is_final && !event.unrecognised && event.text.is_empty(), "{event:?}");
    assert_eq!(event.lag_ms, LagMs::default());
    assert_eq!(event.began_ms_ago.zip(event.ended_ms_ago).map(|(began, ended)| began - ended), Some(600));
    session.handle_missed(1, now);
    assert_eq!(effects(&mut session), []);
}

#[test]
fn after_the_end_of_the_recogniser_unfinished_segments_are_missed() {
    let mut session = session(true, false);
    let now = feed(&mut session, test_epoch(), &[(true, 20), (false, 60), (true, 20), (false, 60), (true, 20)]);
    session.handle_final(1, "yes", false, now);
    effects(&mut session);
    session.handle_recogniser_gone(CUSTOMER, now);
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
    session.handle_typed(CUSTOMER, "hola", now);
    let told = effects(&mut session);
    let event = published(&told)[0];
    let written = serde_json::to_value(event).unwrap();
    for key in ["missed", "unrecognised", "began_ms_ago", "ended_ms_ago", "corrections", "clauses"] {
        assert!(written.get(key).is_none(), "{written}");
    }
    assert_eq!(&serde_json::from_value::<TranslationEvent>(written).unwrap(), event);
}

#[test]
fn a_long_sentence_is_translated_and_played_before_its_end() {
    let mut session = session_of(true, true, None);
    let mut now = feed(&mut session, test_epoch(), &[(true, 20)]);
    effects(&mut session);
    let text = "yesterday we met the new owner of the house in London and talked about the price of the garden";
    let words: Vec<&str> = text.split(' ').collect();
    let (mut told, mut played) = (Vec::new(), Vec::new());
    for count in 1..=words.len() {
        now = feed(&mut session, now, &[(true, 15)]);
        session.handle_partial(1, &words[..count].join(" "), now);
        while let Some(effect) = session.poll_effect() {
            match &effect {
                Effect::Translate(request) => session.handle_translation(request.clause, 0, Some("traducido"), now),
                Effect::Speak { clause, revision, .. } => session.handle_voice(*clause, *revision, Voice::Begun, now),
                Effect::Play(Speaker::Agent, clause, _) => {
                    played.push(clause.0);
                    session.handle_played(Speaker::Agent, *clause, now);
                }
                _ => {}
            }
            told.push(effect);
        }
    }
    assert!(played.len() >= 3 && played.is_sorted(), "clauses before the end: {played:?}");
    now = feed(&mut session, now, &[(false, 100)]);
    session.handle_final(1, text, false, now);
    told.extend(effects(&mut session));
    assert_eq!(clauses(&told).join(" "), text, "each word is in one clause");
    let event = *published(&told).last().expect("events");
    assert_eq!(event.committed as usize, words.len());
}

#[test]
fn a_clause_waits_for_the_end_of_the_one_before_it() {
    let mut session = session(true, true);
    let now = test_epoch();
    for (n, text) in ["one", "two"].into_iter().enumerate() {
        session.handle_typed(Speaker::Agent, text, now);
        session.handle_translation(ClauseId(n as u64), 0, Some("spoken"), now);
        session.handle_voice(ClauseId(n as u64), 0, Voice::Begun, now);
    }
    let played = |told: &[Effect]| -> Vec<u64> {
        told.iter()
            .filter_map(|told| if let Effect::Play(_, clause, _) = told { Some(clause.0) } else { None })
            .collect()
    };
    assert_eq!(played(&effects(&mut session)), [0]);
    session.handle_played(CUSTOMER, ClauseId(0), now + FRAME * 50);
    assert_eq!(played(&effects(&mut session)), [1]);
}

#[test]
fn what_is_said_aside_is_neither_recognised_nor_carried_over() {
    let mut session = session(true, true);
    let now = feed(&mut session, test_epoch(), &[(true, 30)]);
    session.handle_partial(1, "my number is", now);
    effects(&mut session);
    let aside = [Presence::default(), Presence { is_heard: true, is_spoken_to: false }];
    session.set_presence(aside, now);
    assert!(effects(&mut session).contains(&Effect::End(CUSTOMER, 1)), "the segment is finished");
    let now = feed(&mut session, now, &[(true, 100), (false, 60)]);
    assert_eq!(effects(&mut session), [], "the side is not recognised");
    session.set_presence([Presence::JOINED; 2], now);
    session.handle_final(1, "my number is secret", false, now);
    let told = effects(&mut session);
    assert_eq!(clauses(&told), Vec::<String>::new(), "words of the time before are not translated for the time after");
    assert_eq!(published(&told)[0].text, "my number is secret");
}

#[test]
fn a_listener_that_is_set_aside_hears_no_more_of_a_clause() {
    let mut session = session(true, true);
    let now = test_epoch();
    session.handle_typed(Speaker::Agent, "hola", now);
    session.handle_translation(ClauseId(0), 0, Some("hello"), now);
    session.handle_voice(ClauseId(0), 0, Voice::Begun, now);
    effects(&mut session);
    session.set_presence([Presence::default(), Presence::JOINED], now);
    assert!(effects(&mut session).contains(&Effect::Stop(CUSTOMER, ClauseId(0))));
    assert!(!session.is_remembered(ClauseId(0)));
}

#[test]
fn without_a_listener_clauses_are_translated_as_text() {
    let mut session = session(true, true);
    let start = test_epoch();
    session.set_presence([Presence { is_heard: true, is_spoken_to: true }, Presence::default()], start);
    let now = feed(&mut session, start, &[(true, 30), (false, 60)]);
    session.handle_final(1, "the number has changed", false, now);
    session.handle_translation(ClauseId(0), 0, Some("el número ha cambiado"), now);
    let told = effects(&mut session);
    assert!(!told.iter().any(|effect| matches!(effect, Effect::Speak { .. } | Effect::Play(..))), "{told:?}");
    let last = *published(&told).last().expect("events");
    assert_eq!(
        (last.translation.as_deref(), last.clauses[0].heard),
        (Some("el número ha cambiado"), ClauseHeard::Text)
    );
}

#[test]
fn a_changed_number_is_reported_with_its_clause() {
    let mut session = session(true, true);
    session.handle_typed(CUSTOMER, "it costs 15 euros", test_epoch());
    session.handle_translation(ClauseId(0), 0, Some("cuesta 50 euros"), test_epoch());
    let told = effects(&mut session);
    let last = *published(&told).last().expect("events");
    assert_eq!(last.clauses[0].differences, ["15 euros → 50 euros"]);
}

#[test]
fn a_failed_translation_leaves_the_original() {
    let mut session = session(true, true);
    session.handle_typed(CUSTOMER, "good morning", test_epoch());
    session.handle_translation(ClauseId(0), 0, None, test_epoch());
    let told = effects(&mut session);
    let last = *published(&told).last().expect("events");
    assert_eq!((last.clauses[0].heard, last.translation.as_deref()), (ClauseHeard::Original, None));
}

#[test]
fn what_a_side_said_before_it_was_muted_is_still_translated_and_spoken() {
    let mut session = session(true, true);
    session.handle_typed(CUSTOMER, "good morning", test_epoch());
    session.handle_translation(ClauseId(0), 0, Some("buenos días"), test_epoch());
    session.handle_voice(ClauseId(0), 0, Voice::Begun, test_epoch());
    let now = feed(&mut session, test_epoch(), &[(true, 50)]);
    session.handle_partial(1, "I have", now);
    effects(&mut session);
    let muted = Presence { is_heard: false, is_spoken_to: true };
    session.set_presence([muted, Presence::JOINED], now);
    let told = effects(&mut session);
    assert!(told.contains(&Effect::End(CUSTOMER, 2)), "{told:?}");
    assert!(!told.iter().any(|effect| matches!(effect, Effect::Stop(..))), "a voice is not interrupted: {told:?}");
    let now = feed(&mut session, now, &[(true, 100)]);
    assert!(!effects(&mut session).iter().any(|effect| matches!(effect, Effect::Begin(..) | Effect::Audio(..))));
    session.handle_final(2, "I have a question", false, now);
    assert_eq!(clauses(&effects(&mut session)), ["I have a question"]);
    session.handle_translation(ClauseId(1), 0, Some("tengo una pregunta"), now);
    session.handle_voice(ClauseId(1), 0, Voice::Begun, now);
    session.handle_played(Speaker::Agent, ClauseId(0), now);
    let plays = |effect: &Effect| matches!(effect, Effect::Play(Speaker::Agent, ClauseId(1), _));
    assert!(effects(&mut session).iter().any(plays));
}

#[test]
fn a_side_that_is_muted_in_mid_word_does_not_seem_to_speak_for_ever() {
    let mut session = session_of(true, true, None);
    let start = test_epoch();
    let talk = |session: &mut Session, speaker, mut at: Instant, speech, frames| {
        for _ in 0..frames {
            at += FRAME;
            session.handle_frame(speaker, &[1; 160], speech, at);
        }
        at
    };
    let now = talk(&mut session, Speaker::Agent, start, true, 30);
    let muted = Presence { is_heard: false, is_spoken_to: true };
    session.set_presence([Presence::JOINED, muted], now);
    let now = now + Duration::from_secs(5);
    session.handle_timeout(now);
    let now = talk(&mut session, CUSTOMER, now, true, 20);
    let now = talk(&mut session, CUSTOMER, now, false, 60);
    session.handle_final(2, "yes", false, now);
    assert_eq!(clauses(&effects(&mut session)), ["yes"], "an answer is no back-channel");
}

#[test]
fn a_clause_in_translation_when_its_listener_is_set_aside_becomes_text() {
    let mut session = session(true, true);
    let now = feed(&mut session, test_epoch(), &[(true, 30), (false, 60)]);
    session.handle_final(1, "good morning", false, now);
    effects(&mut session);
    session.set_presence([Presence::JOINED, Presence::default()], now);
    let told = effects(&mut session);
    assert_eq!(published(&told).last().expect("events").clauses[0].heard, ClauseHeard::Text);
    session.handle_translation(ClauseId(0), 0, Some("buenos días"), now);
    let told = effects(&mut session);
    assert!(!told.iter().any(|effect| matches!(effect, Effect::Speak { .. })), "{told:?}");
    assert_eq!(published(&told).last().expect("events").translation.as_deref(), Some("buenos días"));
}

#[test]
fn a_clause_that_was_to_be_text_and_is_not_translated_is_the_original() {
    let mut session = session(true, true);
    session.handle_typed(CUSTOMER, "good morning", test_epoch());
    effects(&mut session);
    // Later than any voice is waited for.
    let late = test_epoch() + Duration::from_secs(6);
    session.handle_timeout(late);
    let told = effects(&mut session);
    assert_eq!(published(&told).last().expect("events").clauses[0].heard, ClauseHeard::Text);
    session.handle_translation(ClauseId(0), 0, None, late);
    let told = effects(&mut session);
    assert_eq!(published(&told).last().expect("events").clauses[0].heard, ClauseHeard::Original);
}

#[test]
fn an_unfinished_segment_is_missed_before_it_is_forgotten() {
    let mut session = session(false, false);
    let now = feed(&mut session, test_epoch(), &[(true, 30), (false, 60)]);
    session.handle_partial(1, "good", now);
    effects(&mut session);
    for _ in 0..SEGMENTS_MAX {
        session.handle_typed(Speaker::Agent, "hola", now);
    }
    let told = effects(&mut session);
    let missed: Vec<u64> = published(&told).iter().filter(|event| event.missed).map(|event| event.segment).collect();
    assert_eq!(missed, [1]);
}

#[test]
fn a_missed_segment_does_not_keep_an_earlier_one_from_being_translated() {
    let mut session = session(true, true);
    let now = feed(&mut session, test_epoch(), &[(true, 30), (false, 60), (true, 30), (false, 60)]);
    effects(&mut session);
    session.handle_missed(2, now);
    session.handle_final(1, "good morning", false, now);
    assert_eq!(clauses(&effects(&mut session)), ["good morning"]);
}

#[test]
fn the_words_of_a_late_final_were_captured_within_the_speech() {
    let mut session = session_of(true, true, None);
    let start = test_epoch();
    let now = feed(&mut session, start, &[(true, 200), (false, 60)]);
    let late = now + Duration::from_secs(2);
    session.handle_final(1, "we met the owner and she sold the house, but he never came", false, late);
    let told = effects(&mut session);
    let event = *published(&told).last().expect("events");
    let lags: Vec<u32> = event.clauses.iter().map(|clause| clause.lag_ms.stt.expect("a lag")).collect();
    // The last word ended 3.2 s before the final, the first clause more than a second earlier.
    assert!(lags.is_sorted_by(|a, b| a > b) && lags[0] > 4_200, "{lags:?}");
    assert_eq!(lags.last(), Some(&3_200));
}

fn choice(language: Option<&str>, hears: Option<Hears>) -> ListenerPatch {
    ListenerPatch { language: language.map(str::to_owned), hears }
}

/// Translates a clause, and reports its voice as begun.
fn answer(session: &mut Session, clause: u64, now: Instant) {
    session.handle_translation(ClauseId(clause), 0, Some("traducido"), now);
    session.handle_voice(ClauseId(clause), 0, Voice::Begun, now);
}

fn plays(effects: &[Effect]) -> Vec<u64> {
    let clause = |effect: &Effect| if let Effect::Play(_, clause, _) = effect { Some(clause.0) } else { None };
    effects.iter().filter_map(clause).collect()
}

#[test]
fn a_state_that_brings_only_words_that_may_change_is_passing() {
    let mut session = session(true, true);
    let now = feed(&mut session, test_epoch(), &[(true, 30)]);
    let states = |session: &mut Session| -> Vec<(u32, bool)> {
        published(&effects(session)).iter().map(|event| (event.revision, event.is_passing)).collect()
    };
    for (revision, text) in [(1, "good"), (2, "good mor")] {
        session.handle_partial(1, text, now);
        assert_eq!(states(&mut session), [(revision, true)]);
    }
    let now = feed(&mut session, now, &[(false, 60)]);
    assert_eq!(states(&mut session), [], "no word has come");
    session.handle_final(1, "good morning", false, now);
    assert_eq!(states(&mut session), [(3, false)]);
    answer(&mut session, 0, now);
    assert!(states(&mut session).iter().all(|(revision, is_passing)| *revision > 3 && !is_passing));
}

#[test]
fn a_listener_that_wants_the_original_hears_no_voice_until_it_wants_it_again() {
    let mut session = session(true, true);
    let now = test_epoch();
    for text in ["good morning", "how are you"] {
        session.handle_typed(CUSTOMER, text, now);
    }
    answer(&mut session, 0, now);
    assert_eq!(plays(&effects(&mut session)), [0]);
    session.set_listening([ListenerPatch::default(), choice(None, Some(Hears::Original))], now);
    let told = effects(&mut session);
    assert!(told.contains(&Effect::Stop(Speaker::Agent, ClauseId(0))), "{told:?}");
    assert_eq!(session.listeners()[1].hears, Hears::Original);
    answer(&mut session, 1, now);
    let told = effects(&mut session);
    assert_eq!(plays(&told), [0; 0]);
    let last = published(&told).last().copied().expect("events");
    assert_eq!((last.clauses[0].heard, last.translation.as_deref()), (ClauseHeard::Text, Some("traducido")));
    session.set_listening([ListenerPatch::default(), choice(None, Some(Hears::Translation))], now);
    session.handle_typed(CUSTOMER, "good bye", now);
    answer(&mut session, 2, now);
    assert_eq!(plays(&effects(&mut session)), [2]);
}

#[test]
fn a_language_changes_with_the_next_segment_of_each_speaker() {
    let mut session = session(true, true);
    let now = feed(&mut session, test_epoch(), &[(true, 30)]);
    effects(&mut session);
    session.set_listening([choice(Some("fr"), None), ListenerPatch::default()], now);
    let told = effects(&mut session);
    // The agent is silent, and translated for the customer into its new language at once.
    session.handle_typed(Speaker::Agent, "hola", now);
    let request = |effects: &[Effect]| {
        let of = |effect: &Effect| if let Effect::Translate(request) = effect { Some(request.clone()) } else { None };
        effects.iter().find_map(of).map(|request| (request.from, request.to)).expect("a request")
    };
    assert_eq!(request(&effects(&mut session)), ("es".into(), "fr".into()));
    assert!(!told.iter().any(|effect| matches!(effect, Effect::Recognise(..))), "the customer is speaking: {told:?}");
    let now = feed(&mut session, now, &[(false, 60)]);
    effects(&mut session);
    session.handle_final(1, "good morning", false, now);
    let told = effects(&mut session);
    assert_eq!(request(&told), ("en".into(), "es".into()), "what was said before");
    assert!(told.contains(&Effect::Recognise(CUSTOMER)), "{told:?}");
    assert_eq!(session.language(CUSTOMER), "fr");
    let event = published(&told).last().copied().expect("events");
    assert_eq!((event.source_language.as_str(), event.target_language.as_str()), ("en", "es"));
    let now = feed(&mut session, now, &[(true, 30), (false, 60)]);
    session.handle_final(3, "bonjour", false, now);
    let told = effects(&mut session);
    assert_eq!(request(&told), ("fr".into(), "es".into()));
    assert_eq!(published(&told).last().expect("events").source_language, "fr");
    answer(&mut session, 2, now);
    let spoken = |effect: &Effect| matches!(effect, Effect::Speak { language, .. } if language == "es");
    assert!(effects(&mut session).iter().any(spoken));
}

#[test]
fn a_new_language_ends_a_long_speech_between_two_words() {
    let mut session = session(true, true);
    let now = feed(&mut session, test_epoch(), &[(true, 30)]);
    session.set_listening([choice(None, None), choice(Some("fr"), None)], now);
    let now = feed(&mut session, now, &[(true, 30), (false, 4), (true, 10)]);
    assert!(!effects(&mut session).contains(&Effect::End(CUSTOMER, 1)), "80 ms may be within a word");
    let now = feed(&mut session, now, &[(false, 5)]);
    assert!(effects(&mut session).contains(&Effect::End(CUSTOMER, 1)));
    session.handle_final(1, "good morning", false, now);
    session.handle_typed(CUSTOMER, "good bye", now);
    let last = published(&effects(&mut session)).last().map(|event| event.target_language.clone());
    assert_eq!(last.as_deref(), Some("fr"));
}

#[test]
fn a_language_that_both_sides_share_is_not_translated() {
    let mut session = session(true, true);
    let now = test_epoch();
    session.set_listening([choice(Some("es-MX"), None), ListenerPatch::default()], now);
    let now = feed(&mut session, now, &[(true, 30), (false, 60)]);
    session.handle_final(1, "buenos días", false, now);
    let told = effects(&mut session);
    assert_eq!(clauses(&told), [""; 0]);
    let event = *published(&told).last().expect("events");
    assert_eq!((event.text.as_str(), event.clauses.len()), ("buenos días", 0));
    // A third change within the same silence does not outrun the numbers of the segments.
    for language in ["en", "fr", "en"] {
        session.set_listening([choice(Some(language), None), ListenerPatch::default()], now);
    }
    let now = feed(&mut session, now, &[(true, 30), (false, 60)]);
    session.handle_final(2, "good morning", false, now);
    assert_eq!(clauses(&effects(&mut session)), ["good morning"]);
}

#[test]
fn text_typed_in_the_language_of_its_listener_is_spoken_as_it_is() {
    let mut session = session(true, true);
    let now = test_epoch();
    session.set_listening([choice(Some("es"), None), ListenerPatch::default()], now);
    session.handle_typed(Speaker::Agent, "su código es 1 2 3", now);
    let told = effects(&mut session);
    assert_eq!(clauses(&told), [""; 0], "nothing is to be translated");
    let spoken = |effect: &Effect| matches!(effect, Effect::Speak { text, .. } if text == "su código es 1 2 3");
    assert!(told.iter().any(spoken), "{told:?}");
    session.handle_voice(ClauseId(0), 0, Voice::Begun, now);
    assert_eq!(plays(&effects(&mut session)), [0]);
}

#[test]
fn a_listener_gets_the_original_while_the_other_side_is_not_recognised() {
    let mut session = session(true, true);
    let now = feed(&mut session, test_epoch(), &[(true, 30), (false, 60), (true, 30)]);
    effects(&mut session);
    session.handle_missed(1, now);
    let levels = |effects: &[Effect]| -> Vec<[Level; 2]> {
        let of = |effect: &Effect| {
            if let Effect::Listeners(both) = effect { Some([both[0].level, both[1].level]) } else { None }
        };
        effects.iter().filter_map(of).collect()
    };
    assert_eq!(levels(&effects(&mut session)), [[Level::Voice, Level::Original]]);
    session.handle_partial(2, "good", now);
    assert_eq!(levels(&effects(&mut session)), [[Level::Voice; 2]]);
}

#[test]
fn a_clause_that_is_later_than_a_small_budget_is_text() {
    let listeners = ["en", "es"].map(|language| Listener::new(language, Hears::Ducked));
    let budget = Duration::from_secs(1);
    let lengths = Some(Lengths::of_phrases());
    let epoch = test_epoch();
    let mut session = Session::new(SessionParams {
        listeners,
        translate: true,
        budget,
        lengths,
        glossary: Default::default(),
        epoch,
    });
    session.set_presence([Presence::JOINED; 2], epoch);
    session.handle_typed(CUSTOMER, "good morning", epoch);
    session.handle_timeout(epoch + Duration::from_millis(900));
    answer(&mut session, 0, epoch + Duration::from_millis(900));
    assert_eq!(plays(&effects(&mut session)), [0]);
    session.handle_played(Speaker::Agent, ClauseId(0), epoch + Duration::from_secs(1));
    session.handle_typed(CUSTOMER, "good bye", epoch + Duration::from_secs(1));
    let late = epoch + Duration::from_millis(2_600);
    answer(&mut session, 1, late);
    let told = effects(&mut session);
    assert_eq!((plays(&told), published(&told).last().expect("events").clauses[0].heard), (vec![], ClauseHeard::Text));
}
