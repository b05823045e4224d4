//! Legs with a call program.

use super::*;
use crate::config::App;

const WITH_PROGRAM: Place = Place::Scripted(App::Program);

/// Returns the call of a caller with a program.
fn lab() -> Lab {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    assert_eq!(lab.give(Input::ProceedWithProgram), [Effect::Answer(FIRST), BRIDGED]);
    assert_eq!(lab.places(), [(FIRST, WITH_PROGRAM)]);
    lab
}

/// Calls a leg into the call.
fn add(lab: &mut Lab) {
    let add = Input::Add {
        to: agent(),
        role: LegRole::Agent,
        supervises: None,
        ring: None,
        or_else: Vec::new(),
        if_fails: IfFails::Return,
        notice: false,
    };
    assert_eq!(lab.call.check(&add), Ok(()));
    let leg = lab.call.next_leg();
    assert_eq!(lab.give(add), [Effect::Ask { leg, by: FIRST, to: agent() }]);
    assert_eq!(lab.give(Input::Allowed(leg)), [Effect::Ring(leg, agent())]);
}

#[test]
fn a_caller_returns_to_the_program_after_talking_with_the_dialled_party() {
    let mut lab = lab();
    add(&mut lab);
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Ringback))]);
    lab.give(Input::Answered(SECOND));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    lab.give(Input::Mute { leg: FIRST, on: true });
    let effects = lab.give(gone(SECOND, HangupCause::Normal));
    let unmuted = Notice::Seat {
        leg: FIRST,
        role: LegRole::Customer,
        held: false,
        muted: false,
        holds: false,
        gain_db: 0,
        supervises: None,
    };
    assert_eq!(effects, [Effect::Forget(SECOND), Effect::Tell(unmuted)]);
    assert_eq!(lab.places(), [(FIRST, WITH_PROGRAM)]);
    assert_eq!(lab.give(gone(FIRST, HangupCause::Normal)), [over(HangupCause::Normal, true)]);
}

#[test]
fn a_dialled_leg_that_does_not_answer_leaves_the_caller_with_the_program() {
    let mut lab = lab();
    add(&mut lab);
    assert_eq!(lab.give(gone(SECOND, HangupCause::Busy)), [Effect::Forget(SECOND)]);
    assert_eq!(lab.places(), [(FIRST, WITH_PROGRAM)]);
}

#[test]
fn a_call_whose_program_has_ended_ends_with_its_conversation() {
    let mut lab = lab();
    add(&mut lab);
    lab.give(Input::Answered(SECOND));
    lab.give(Input::ProgramOver(FIRST));
    let effects = lab.give(gone(SECOND, HangupCause::Normal));
    assert_eq!(effects, [hangs_up(FIRST, Stage::Up, HangupCause::Normal), over(HangupCause::Normal, true)]);
}

#[test]
fn a_caller_who_hangs_up_ends_the_call_for_the_dialled_party() {
    let mut lab = lab();
    add(&mut lab);
    lab.give(Input::Answered(SECOND));
    let effects = lab.give(gone(FIRST, HangupCause::Normal));
    assert_eq!(effects, [hangs_up(SECOND, Stage::Up, HangupCause::Normal), over(HangupCause::Normal, true)]);
}

#[test]
fn a_failed_transfer_returns_the_caller_to_the_program() {
    let mut lab = lab();
    add(&mut lab);
    lab.give(Input::Answered(SECOND));
    lab.give(Input::TransferTo {
        by: SECOND,
        to: vec![agent().into()],
        ring: None,
        if_fails: IfFails::Return,
        back: None,
    });
    lab.give(Input::Allowed(THIRD));
    lab.give(gone(SECOND, HangupCause::Normal));
    assert!(lab.floor().is_empty(), "the caller hears ring-back");
    let effects = lab.give(gone(THIRD, HangupCause::NoAnswer));
    assert!(effects.contains(&Effect::Forget(THIRD)) && !lab.call.is_over(), "{effects:?}");
    assert_eq!(lab.places(), [(FIRST, WITH_PROGRAM)]);
}

#[test]
fn a_party_is_handed_to_a_call_program_if_no_target_answers() {
    let mut lab = super::succession::talking();
    let to = vec![customer().into()];
    lab.give(Input::TransferTo { by: SECOND, to, ring: None, if_fails: IfFails::Program, back: Some(agent()) });
    lab.give(Input::Allowed(THIRD));
    let mut gone_before = lab.clone();
    let effects = lab.give(gone(THIRD, HangupCause::Busy));
    let hangs_up = hangs_up(SECOND, Stage::Up, HangupCause::Transferred);
    let notice = Effect::Tell(Notice::WithProgram(FIRST));
    assert_eq!(effects[effects.len() - 3..], [hangs_up, Effect::Forget(SECOND), notice.clone()]);
    assert_eq!(lab.places(), [(FIRST, Place::Scripted(App::Program))]);
    gone_before.give(gone(SECOND, HangupCause::Normal));
    assert_eq!(gone_before.give(gone(THIRD, HangupCause::Busy)).last(), Some(&notice));
    assert_eq!(gone_before.places(), [(FIRST, Place::Scripted(App::Program))]);
}
