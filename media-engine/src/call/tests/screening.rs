//! Customers that are screened: who hears them before the verdict, and what each verdict leads to.

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

fn screened(leg: LegId) -> Effect {
    Effect::Tell(Notice::Screened(leg))
}

fn verdict(leg: LegId, followed: Followed) -> Input {
    Input::Verdict { leg, followed }
}

/// Returns a call of an agent who waits for a customer.
fn agent_first() -> Lab {
    let (mut lab, _) = Lab::outgoing(agent(), Plan::Join(customer()));
    lab.give(Input::Screen(Some(LIMIT)));
    lab.give(Input::Answered(FIRST));
    lab
}

#[test]
fn the_agent_hears_ring_back_until_a_person_is_told() {
    let mut lab = agent_first();
    assert_eq!(lab.give(Input::Answered(SECOND)), [screened(SECOND)]);
    let apart = [(FIRST, Place::Aside(Sound::Ringback)), (SECOND, Place::Screened)];
    assert_eq!(lab.places(), apart);
    assert!(!lab.call.hearing().is_heard(SECOND), "nothing of the customer is recorded or recognised");
    assert_eq!(lab.give(verdict(SECOND, Followed::Connect)), [BRIDGED]);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    assert_eq!(lab.give(verdict(SECOND, Followed::HangUp(HangupCause::NotHuman))), [], "the verdict has been given");
}

#[test]
fn early_media_is_parted_at_the_answer_until_the_verdict() {
    let mut lab = agent_first();
    lab.give(Input::EarlyMedia(SECOND));
    assert_eq!(lab.floor(), [FIRST, SECOND], "the agent hears the carrier's announcements");
    lab.give(Input::Answered(SECOND));
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Ringback)), (SECOND, Place::Screened)]);
    lab.give(verdict(SECOND, Followed::Connect));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
}

#[test]
fn an_agent_who_dials_is_answered_by_the_verdict() {
    let now = test_epoch();
    let start = Start { legs: FIRST, timing: TIMING, now };
    let (call, _) = Call::incoming(Plan::Join(customer()), LegRole::Agent, start);
    let mut lab = Lab { call, now };
    lab.give(Input::Screen(Some(LIMIT)));
    lab.give(Input::Proceed);
    lab.give(Input::EarlyMedia(SECOND));
    assert_eq!(lab.give(Input::Answered(SECOND)), [screened(SECOND)]);
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Ringback)), (SECOND, Place::Screened)]);
    assert_eq!(lab.give(verdict(SECOND, Followed::Connect)), [Effect::Answer(FIRST), BRIDGED]);
}

#[test]
fn a_customer_who_is_called_first_meets_the_plan_after_the_verdict() {
    let (mut lab, _) = Lab::outgoing_customer(Plan::Join(agent()));
    lab.give(Input::Screen(Some(LIMIT)));
    assert_eq!(lab.give(Input::Answered(FIRST)), [ANSWERED, screened(FIRST)]);
    assert_eq!(lab.places(), [(FIRST, Place::Screened)]);
    assert_eq!(lab.give(verdict(FIRST, Followed::Connect)), [Effect::Ring(SECOND, agent())]);
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Ringback))]);
    assert_eq!(lab.give(Input::Answered(SECOND)), [BRIDGED]);
    let (mut alone, _) = Lab::outgoing_customer(Plan::Application(App::Program));
    alone.give(Input::Screen(Some(LIMIT)));
    alone.give(Input::Answered(FIRST));
    assert_eq!(alone.give(verdict(FIRST, Followed::Connect)), [BRIDGED]);
    assert_eq!(alone.places(), [(FIRST, Place::Scripted(App::Program))]);
}

#[test]
fn a_machine_is_hung_up_and_its_call_counts_as_answered() {
    let mut lab = agent_first();
    lab.give(Input::Answered(SECOND));
    let cause = HangupCause::NotHuman;
    let effects = lab.give(verdict(SECOND, Followed::HangUp(cause.clone())));
    let ends = [hangs_up(FIRST, Stage::Up, cause.clone()), hangs_up(SECOND, Stage::Up, cause.clone())];
    assert_eq!(effects, [&ends[..], &[over(cause, true)]].concat());
}

#[test]
fn a_program_takes_the_machine_and_frees_the_agent() {
    let mut lab = agent_first();
    lab.give(Input::Answered(SECOND));
    let effects = lab.give(verdict(SECOND, Followed::Program));
    let freed = hangs_up(FIRST, Stage::Up, HangupCause::NotHuman);
    assert_eq!(effects, [freed, Effect::Forget(FIRST), BRIDGED]);
    assert_eq!(lab.places(), [(SECOND, Place::Scripted(App::Program))]);
    let cause = HangupCause::Normal;
    assert_eq!(lab.give(gone(SECOND, cause.clone())), [over(cause, true)]);
}

#[test]
fn a_leg_is_judged_again_and_connected_when_its_time_ends() {
    let mut lab = agent_first();
    lab.give(Input::Answered(SECOND));
    assert_eq!(lab.give(verdict(SECOND, Followed::Again(3 * LIMIT))), []);
    assert_eq!(lab.after(2 * LIMIT), []);
    assert_eq!(lab.places()[1], (SECOND, Place::Screened));
    assert_eq!(lab.after(LIMIT), [BRIDGED], "without a verdict the parties are joined");
}

#[test]
fn agents_emergency_calls_and_calls_that_were_not_asked_are_not_screened() {
    let emergency = Destination::Emergency { trunk: "carrier".into(), user: "112".into() };
    for (to, screens) in [(agent(), true), (emergency, true), (customer(), false)] {
        let (mut lab, _) = Lab::outgoing(agent(), Plan::Join(to));
        lab.give(Input::Screen(screens.then_some(LIMIT)));
        assert_eq!(lab.give(Input::Answered(FIRST)).len(), 2, "the agent is not screened");
        let role = lab.call.role(SECOND);
        let effects = lab.give(Input::Answered(SECOND));
        assert_eq!(effects, [BRIDGED], "{role:?}");
    }
}

#[test]
fn a_busy_tone_before_the_answer_ends_the_leg_as_busy() {
    let mut lab = agent_first();
    lab.give(Input::EarlyMedia(SECOND));
    let busy = HangupCause::Busy;
    let effects = lab.give(Input::EarlyVerdict(SECOND, busy.clone()));
    assert_eq!(effects.last(), Some(&over(busy.clone(), false)));
    assert!(effects.contains(&hangs_up(SECOND, Stage::Dialling, busy)));
    let mut late = agent_first();
    late.give(Input::Answered(SECOND));
    assert_eq!(late.give(Input::EarlyVerdict(SECOND, HangupCause::Busy)), [], "the leg has answered");
}

#[test]
fn no_verb_reaches_a_screened_leg() {
    let mut lab = agent_first();
    lab.give(Input::Answered(SECOND));
    for input in [
        Input::Hold { leg: SECOND, on: true },
        Input::Park { by: FIRST, wait: LIMIT, back: None },
        Input::TransferTo { by: FIRST, to: vec![agent().into()], ring: None, if_fails: IfFails::Return, back: None },
    ] {
        assert!(lab.call.check(&input).is_err(), "{input:?}");
    }
    let hangs_up = lab.give(Input::Drop(SECOND));
    assert!(hangs_up.contains(&over(HangupCause::Requested, false)), "{hangs_up:?}");
}
