//! A party that is parked, and whoever comes for it.

use super::succession::{talking, transfer};
use super::*;

const WAIT: Duration = Duration::from_secs(60);

fn park(back: Option<Destination>) -> Input {
    Input::Park { by: SECOND, wait: WAIT, back }
}

fn pick_up() -> Input {
    Input::PickUp { to: agent(), ring: None }
}

fn told_unparked(why: Unparked) -> Effect {
    Effect::Tell(Notice::Unparked { leg: FIRST, why })
}

/// The agent (second) has parked the customer (first).
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

/// Somebody (third) is called for the customer.
fn comes(lab: &mut Lab, by: Input) {
    assert_eq!(lab.give(by), [Effect::Ask { leg: THIRD, by: FIRST, to: agent() }]);
    assert_eq!(lab.give(Input::Allowed(THIRD)), [Effect::Ring(THIRD, agent())]);
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Hold))], "it hears music until the answer");
}

#[test]
fn a_parked_party_hears_music_and_talks_with_whoever_picks_it_up() {
    let mut lab = parked(None);
    comes(&mut lab, pick_up());
    assert_eq!(lab.give(Input::Answered(THIRD)), [told_unparked(Unparked::PickedUp)]);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
    assert_eq!(lab.call.role(THIRD), Some(LegRole::Agent), "it has the parker's role");
    let normal = HangupCause::Normal;
    let ends = [hangs_up(FIRST, Stage::Up, normal.clone()), over(normal.clone(), true)];
    assert_eq!(lab.give(gone(THIRD, normal)), ends);
}

#[test]
fn of_two_pickups_the_first_one_wins_and_the_other_is_told_why() {
    let mut lab = parked(None);
    comes(&mut lab, pick_up());
    assert_eq!(lab.call.check(&pick_up()), Err(Refused::PickedUp));
    assert_eq!(lab.give(pick_up()), []);
    assert_eq!(lab.give(gone(THIRD, HangupCause::Busy)), [Effect::Forget(THIRD)], "the party waits on");
    assert_eq!(lab.call.check(&pick_up()), Ok(()), "and somebody else may come");
    lab.give(pick_up());
    lab.give(Input::Allowed(FOURTH));
    lab.give(Input::Answered(FOURTH));
    assert_eq!(lab.call.check(&pick_up()), Err(Refused::NotParked));
}

#[test]
fn nobody_picks_it_up_and_the_parker_has_it_back() {
    let mut lab = parked(Some(agent()));
    assert_eq!(lab.after(WAIT - Duration::from_secs(1)), []);
    lab.now += Duration::from_secs(1);
    comes(&mut lab, Input::Timeout);
    assert_eq!(lab.call.check(&pick_up()), Err(Refused::Returns));
    assert_eq!(lab.give(Input::Answered(THIRD)), [told_unparked(Unparked::Returned)]);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
}

#[test]
fn nobody_picks_it_up_and_the_parker_is_away_or_not_to_be_called() {
    let cause = HangupCause::NoAnswer;
    let ends = [told_unparked(Unparked::GivenUp), hangs_up(FIRST, Stage::Up, cause.clone()), over(cause, true)];
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
fn its_time_does_not_end_while_somebody_is_on_the_way() {
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
    assert_eq!(lab.give(gone(FIRST, normal.clone())), [told_unparked(Unparked::Ended), over(normal.clone(), true)]);
    let mut lab = parked(Some(agent()));
    comes(&mut lab, pick_up());
    let ends =
        [told_unparked(Unparked::Ended), hangs_up(THIRD, Stage::Dialling, normal.clone()), over(normal.clone(), true)];
    assert_eq!(lab.give(gone(FIRST, normal)), ends, "and whoever comes for it is called no more");
}

#[test]
fn a_party_of_a_call_program_goes_back_to_it_when_nobody_comes() {
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
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Hold))], "it is parked, and not with its program");
    assert_eq!(lab.after(WAIT), [told_unparked(Unparked::GivenUp)]);
    assert_eq!(lab.places(), [(FIRST, Place::Scripted(App::Program))]);
}

#[test]
fn what_does_not_fit_a_parked_call_is_refused() {
    let mut lab = talking();
    assert_eq!(lab.call.check(&pick_up()), Err(Refused::NotParked));
    lab.give(transfer(SECOND));
    assert_eq!(lab.call.check(&park(None)), Err(Refused::NotAlone), "somebody is on the way in");
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
    assert_eq!(lab.call.check(&park(None)), Err(Refused::NotAlone), "somebody is called beside them");
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
