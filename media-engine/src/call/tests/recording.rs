//! The legs that a recording takes.

use super::verbs::add;
use super::*;

/// Returns a call in which a customer and an agent talk.
fn talking() -> Lab {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    lab.give(Input::Answered(SECOND));
    lab
}

fn recorded(number: u32, legs: &[LegId]) -> Recorded {
    Recorded { number, of: None, heard: false, paused: false, legs: legs.to_vec() }
}

#[test]
fn a_recording_takes_the_legs_that_are_heard() {
    let mut lab = talking();
    assert_eq!(lab.call.next_recording(), 1);
    let both = Effect::Record(vec![recorded(1, &[FIRST, SECOND])]);
    assert_eq!(lab.give(Input::Record { leg: None, heard: false }), std::slice::from_ref(&both));
    let effects = lab.give(Input::Hold { leg: FIRST, on: true });
    assert_eq!(effects.last(), Some(&Effect::Record(vec![recorded(1, &[])])), "legs that wait are not recorded");
    assert_eq!(lab.give(Input::Hold { leg: FIRST, on: false }).last(), Some(&both));
    let effects = lab.give(Input::Mute { leg: SECOND, on: true });
    assert_eq!(effects.last(), Some(&Effect::Record(vec![recorded(1, &[FIRST])])));
    lab.give(Input::Mute { leg: SECOND, on: false });
    lab.give(add(None));
    lab.give(Input::Allowed(THIRD));
    let effects = lab.give(Input::Answered(THIRD));
    assert_eq!(effects.last(), Some(&Effect::Record(vec![recorded(1, &[FIRST, SECOND, THIRD])])));
}

#[test]
fn a_second_start_is_a_second_recording_and_a_stop_ends_one_of_them() {
    let mut lab = talking();
    lab.give(Input::Record { leg: None, heard: false });
    assert_eq!(lab.call.next_recording(), 2);
    let of_first = Recorded { number: 2, of: Some(FIRST), heard: false, paused: false, legs: vec![FIRST] };
    let effects = lab.give(Input::Record { leg: Some(FIRST), heard: false });
    assert_eq!(effects, [Effect::Record(vec![recorded(1, &[FIRST, SECOND]), of_first.clone()])]);
    let paused = Recorded { paused: true, ..of_first.clone() };
    let effects = lab.give(Input::RecordPause { number: 2, on: true });
    assert_eq!(effects, [Effect::Record(vec![recorded(1, &[FIRST, SECOND]), paused])]);
    assert_eq!(
        lab.give(Input::RecordPause { number: 2, on: true }),
        [],
        "a recording that is already paused is not reported again"
    );
    assert_eq!(lab.give(Input::RecordStop { number: 1 }).len(), 1);
    assert_eq!(lab.call.check(&Input::RecordStop { number: 1 }), Err(Refused::NoRecording));
    assert_eq!(lab.give(Input::RecordPause { number: 2, on: false }), [Effect::Record(vec![of_first])]);
    assert_eq!(lab.give(Input::RecordStop { number: 2 }), [Effect::Record(vec![])]);
    assert_eq!(lab.call.next_recording(), 3, "no number is used twice");
}

#[test]
fn a_recording_of_one_leg_ends_with_it() {
    let mut lab = talking();
    lab.give(add(None));
    lab.give(Input::Allowed(THIRD));
    lab.give(Input::Answered(THIRD));
    lab.give(Input::Record { leg: Some(THIRD), heard: false });
    let effects = lab.give(gone(THIRD, HangupCause::Normal));
    assert_eq!(effects.last(), Some(&Effect::Record(vec![])));
}

#[test]
fn a_recording_that_is_not_possible_is_refused_with_a_reason() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    let check = |lab: &Lab, leg| lab.call.check(&Input::Record { leg, heard: false });
    assert_eq!(check(&lab, None), Err(Refused::NotTalking));
    assert_eq!(check(&lab, Some(FOURTH)), Err(Refused::NoLeg));
    assert_eq!(check(&lab, Some(SECOND)), Err(Refused::NotConnected));
    lab.give(Input::Answered(SECOND));
    for _ in 0..RECORDINGS_AT_ONCE {
        assert_eq!(check(&lab, Some(FIRST)), Ok(()));
        lab.give(Input::Record { leg: Some(FIRST), heard: false });
    }
    assert_eq!(check(&lab, None), Err(Refused::Recordings));
    let listens = Some(SuperviseMode::Listen);
    lab.give(add(listens));
    lab.give(Input::Allowed(THIRD));
    lab.give(Input::Answered(THIRD));
    assert_eq!(check(&lab, Some(THIRD)), Err(Refused::Supervises));
}
