//! Parked parties, and the legs that come for them.

use super::succession::{talking, transfer};
use super::*;

const WAIT: Duration = Duration::from_secs(60);

fn park(back: Option<Destination>) -> Input {
    Input::Park { by: SECOND, wait: WAIT, back }
}

fn pick_up() -> Input {
    Input::PickUp { to: agent(), ring: None }
}

fn unparked_notice(why: Unparked) -> Effect {
    Effect::Tell(Notice::Unparked { leg: FIRST, why })
}

/// Returns a call in which the agent (second) has parked the customer (first).
fn parked(back: Option<Destination>) -> Lab {
    let mut lab = talking();
    let expected = [
        hangs_up(SECOND, Stage::Up, HangupCause::Requested),
        Effect::Forget(SECOND),
        Effect::Tell(Notice::Parked { leg: FIRST, by: SECOND, wait: WAIT }),
    ];
    assert_eq!(lab.give(park(back)), expected);
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Hold))]);
    lab
}

/// Calls a leg (third) for the customer.
fn comes(lab: &mut Lab, by: Input) {
    assert_eq!(lab.give(by), [Effect::Ask { leg: THIRD, by: FIRST, to: agent() }]);
    assert_eq!(lab.give(Input::Allowed(THIRD)), [Effect::Ring(THIRD, agent())]);
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Hold))], "the party hears music until the answer");
}

#[test]
fn a_parked_party_hears_music_until_it_is_picked_up() {
    let mut lab = parked(None);
    comes(&mut lab, pick_up());
    assert_eq!(lab.give(Input::Answered(THIRD)), [unparked_notice(Unparked::PickedUp)]);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
    assert_eq!(lab.call.role(THIRD), Some(LegRole::Agent), "the new leg has the parker's role");
    let normal = HangupCause::Normal;
    let ends = [hangs_up(FIRST, Stage::Up, normal.clone()), over(normal.clone(), true)];
    assert_eq!(lab.give(gone(THIRD, normal)), ends);
}

#[test]
fn the_first_of_two_pick_ups_wins_and_the_other_is_refused_with_a_reason() {
    let mut lab = parked(None);
    comes(&mut lab, pick_up());
    assert_eq!(lab.call.check(&pick_up()), Err(Refused::PickedUp));
    assert_eq!(lab.give(pick_up()), []);
    assert_eq!(lab.give(gone(THIRD, HangupCause::Busy)), [Effect::Forget(THIRD)], "the party keeps waiting");
    assert_eq!(lab.call.check(&pick_up()), Ok(()), "another agent may pick it up");
    lab.give(pick_up());
    lab.give(Input::Allowed(FOURTH));
    lab.give(Input::Answered(FOURTH));
    assert_eq!(lab.call.check(&pick_up()), Err(Refused::NotParked));
}

#[test]
fn a_telephone_that_dials_the_slot_is_answered_and_joined() {
    let mut lab = parked(None);
    assert_eq!(lab.give(Input::PickUpByCaller), [Effect::Answer(THIRD)]);
    assert_eq!(lab.call.check(&Input::PickUpByCaller), Err(Refused::PickedUp));
    assert_eq!(lab.call.check(&pick_up()), Err(Refused::PickedUp));
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Hold))], "the party hears music until the telephone is up");
    assert_eq!(lab.give(Input::Answered(THIRD)), [unparked_notice(Unparked::PickedUp)]);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
    assert_eq!(lab.call.role(THIRD), Some(LegRole::Agent), "the new leg has the parker's role");
    assert_eq!(lab.call.check(&Input::PickUpByCaller), Err(Refused::NotParked));
}

#[test]
fn a_telephone_that_gives_up_before_it_is_joined_leaves_the_party_parked() {
    let mut lab = parked(None);
    lab.give(Input::PickUpByCaller);
    assert_eq!(lab.give(gone(THIRD, HangupCause::Cancelled)), [Effect::Forget(THIRD)]);
    assert_eq!(lab.call.check(&Input::PickUpByCaller), Ok(()));
    lab.give(Input::PickUpByCaller);
    let normal = HangupCause::Normal;
    let ends = [
        unparked_notice(Unparked::Ended),
        hangs_up(FOURTH, Stage::Offered, normal.clone()),
        over(normal.clone(), true),
    ];
    assert_eq!(lab.give(gone(FIRST, normal)), ends, "a telephone that was not answered yet is refused");
}

#[test]
fn a_party_that_is_not_picked_up_returns_to_the_parker() {
    let mut lab = parked(Some(agent()));
    assert_eq!(lab.after(WAIT - Duration::from_secs(1)), []);
    lab.now += Duration::from_secs(1);
    comes(&mut lab, Input::Timeout);
    assert_eq!(lab.call.check(&pick_up()), Err(Refused::Returns));
    assert_eq!(lab.give(Input::Answered(THIRD)), [unparked_notice(Unparked::Returned)]);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
}

#[test]
fn the_call_ends_if_no_leg_picks_up_and_the_parker_does_not_answer() {
    let cause = HangupCause::NoAnswer;
    let ends = [unparked_notice(Unparked::GivenUp), hangs_up(FIRST, Stage::Up, cause.clone()), over(cause, true)];
    let mut lab = parked(None);
    assert_eq!(lab.after(WAIT), ends);
    let mut lab = parked(Some(agent()));
    lab.now += WAIT;
    comes(&mut lab, Input::Timeout);
    let mut expected = vec![hangs_up(THIRD, Stage::Dialling, HangupCause::NoAnswer), Effect::Forget(THIRD)];
    expected.extend(ends);
    assert_eq!(lab.after(Duration::from_secs(30)), expected);
}

#[test]
fn the_time_of_a_parked_party_does_not_end_while_a_leg_is_on_its_way() {
    let mut lab = parked(None);
    lab.after(WAIT - Duration::from_secs(1));
    comes(&mut lab, pick_up());
    assert_eq!(lab.after(Duration::from_secs(30)), []);
    lab.give(Input::Answered(THIRD));
    assert_eq!(lab.floor(), [FIRST, THIRD]);
    assert!(lab.call.is_talking());
}

#[test]
fn a_parked_party_that_hangs_up_ends_the_call() {
    let mut lab = parked(Some(agent()));
    let normal = HangupCause::Normal;
    assert_eq!(lab.give(gone(FIRST, normal.clone())), [unparked_notice(Unparked::Ended), over(normal.clone(), true)]);
    let mut lab = parked(Some(agent()));
    comes(&mut lab, pick_up());
    let ends = [
        unparked_notice(Unparked::Ended),
        hangs_up(THIRD, Stage::Dialling, normal.clone()),
        over(normal.clone(), true),
    ];
    assert_eq!(lab.give(gone(FIRST, normal)), ends, "the leg that was called for it is cancelled");
}

#[test]
fn a_party_with_a_call_program_returns_to_it_if_it_is_not_picked_up() {
    let mut lab = Lab::incoming(Plan::Application(App::Program));
    lab.give(Input::Proceed);
    lab.give(Input::Answered(FIRST));
    lab.give(Input::Add {
        to: agent(),
        role: LegRole::Agent,
        supervises: None,
        ring: None,
        or_else: Vec::new(),
        if_fails: IfFails::Return,
        notice: false,
    });
    lab.give(Input::Allowed(SECOND));
    lab.give(Input::Answered(SECOND));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    lab.give(park(None));
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Hold))], "the party is parked, not with its program");
    assert_eq!(lab.after(WAIT), [unparked_notice(Unparked::GivenUp)]);
    assert_eq!(lab.places(), [(FIRST, Place::Scripted(App::Program))]);
}

#[test]
fn verbs_that_do_not_fit_a_parked_call_are_refused() {
    let mut lab = talking();
    assert_eq!(lab.call.check(&pick_up()), Err(Refused::NotParked));
    lab.give(transfer(SECOND));
    assert_eq!(lab.call.check(&park(None)), Err(Refused::NotAlone), "another leg is on its way in");
    let mut lab = talking();
    lab.give(Input::Add {
        to: agent(),
        role: LegRole::Agent,
        supervises: None,
        ring: None,
        or_else: Vec::new(),
        if_fails: IfFails::Return,
        notice: false,
    });
    assert_eq!(lab.call.check(&park(None)), Err(Refused::NotAlone), "another leg is being called beside them");
    let lab = parked(None);
    for input in [Input::Hold { leg: FIRST, on: true }, Input::Park { by: FIRST, wait: WAIT, back: None }] {
        assert_eq!(lab.call.check(&input), Err(Refused::Parked), "{input:?}");
    }
    let add = Input::Add {
        to: agent(),
        role: LegRole::Agent,
        supervises: None,
        ring: None,
        or_else: Vec::new(),
        if_fails: IfFails::Return,
        notice: false,
    };
    assert_eq!(lab.call.check(&add), Err(Refused::Parked));
}
