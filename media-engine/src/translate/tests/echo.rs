//! Segments of a party on a loudspeaker telephone, whose recogniser hears the translations that the party is played.

use super::*;

const PLAYED: &str = "we deliver the new meter on monday";

/// Returns a session in which the customer is played a translation of what the agent typed, and the time at which that began.
fn playing() -> (Session, Instant) {
    let mut session = session(true, true);
    let now = test_epoch();
    session.handle_typed(Speaker::Agent, "le entregamos el nuevo contador el lunes", now);
    session.handle_translation(ClauseId(0), 0, Some(PLAYED), now);
    session.handle_voice(ClauseId(0), 0, Voice::Begun, now);
    session.handle_play_started(ClauseId(0), now, now);
    assert!(effects(&mut session).contains(&Effect::Play(CUSTOMER, ClauseId(0), 1.0)));
    (session, now)
}

#[test]
fn a_translation_that_comes_back_while_it_is_played_is_no_segment() {
    let (mut session, now) = playing();
    let now = feed(&mut session, now, &[(false, 10), (true, 60)]);
    session.handle_partial(2, "we deliver the", now);
    session.handle_partial(2, "we deliver the new meter", now);
    let now = feed(&mut session, now, &[(true, 20), (false, 60)]);
    effects(&mut session);
    session.handle_final(2, "we deliver the new metre on monday", false, now);
    let told = effects(&mut session);
    assert!(told.contains(&Effect::Echo(CUSTOMER, 2)), "{told:?}");
    assert!(clauses(&told).is_empty() && published(&told).is_empty(), "{told:?}");
}

#[test]
fn words_that_were_shown_before_the_echo_was_known_are_taken_back() {
    let (mut session, now) = playing();
    let now = feed(&mut session, now, &[(false, 10), (true, 60)]);
    session.handle_partial(2, "we deliver", now);
    session.handle_final(2, PLAYED, false, now);
    let told = effects(&mut session);
    let last = published(&told).last().copied().expect("an event").clone();
    assert!(last.is_final && last.text.is_empty() && clauses(&told).is_empty(), "{told:?}");
}

#[test]
fn a_party_that_repeats_or_answers_what_it_heard_is_recognised() {
    // It repeats the sentence after its end.
    let (mut session, now) = playing();
    let ended = now + FRAME * 100;
    session.handle_played(CUSTOMER, ClauseId(0), ended);
    let now = feed(&mut session, ended, &[(false, 15), (true, 60), (false, 60)]);
    session.handle_final(2, PLAYED, false, now);
    assert_eq!(clauses(&effects(&mut session)), [PLAYED]);

    // It repeats it long after a voice that was stopped.
    let (mut session, now) = playing();
    let original = ListenerPatch { hears: Some(Hears::Original), ..ListenerPatch::default() };
    session.set_listening([original, ListenerPatch::default()], now);
    assert!(effects(&mut session).contains(&Effect::Stop(CUSTOMER, ClauseId(0))));
    let now = feed(&mut session, now, &[(false, 100), (true, 60), (false, 60)]);
    session.handle_final(2, PLAYED, false, now);
    assert_eq!(clauses(&effects(&mut session)), [PLAYED]);

    // It answers while the voice goes on.
    let (mut session, now) = playing();
    let now = feed(&mut session, now, &[(false, 10), (true, 60), (false, 60)]);
    session.handle_final(2, "on monday i am not at home", false, now);
    assert_eq!(clauses(&effects(&mut session)), ["on monday i am not at home"]);
}
