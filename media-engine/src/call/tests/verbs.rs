//! Verbs on a running call.
//!
//! Legs are added, held, muted, dropped, transferred and supervised in calls of two or three legs. Each test gives inputs to the
//! machine and compares its effects and the places of the legs.
//!
//! Not here: parking (`parking`), recordings (`recording`), random sequences (`model`).

use super::succession::{talking, transfer};
use super::*;

pub(super) fn add(supervises: Option<SuperviseMode>) -> Input {
    let role = if supervises.is_some() { LegRole::Supervisor } else { LegRole::Agent };
    Input::Add {
        to: agent(),
        role,
        supervises,
        ring: None,
        or_else: Vec::new(),
        if_fails: IfFails::Return,
        notice: false,
    }
}

/// Adds a leg, which the control plane allows.
fn ring(lab: &mut Lab, supervises: Option<SuperviseMode>) {
    let leg = lab.call.next_leg();
    assert_eq!(lab.give(add(supervises)), [Effect::Ask { leg, by: SECOND, to: agent() }]);
    assert_eq!(lab.give(Input::Allowed(leg)), [Effect::Ring(leg, agent())]);
}

fn hold(leg: LegId, on: bool) -> Input {
    Input::Hold { leg, on }
}

fn mute(leg: LegId, on: bool) -> Input {
    Input::Mute { leg, on }
}

fn drops(leg: LegId, stage: Stage, cause: HangupCause) -> [Effect; 2] {
    [hangs_up(leg, stage, cause), Effect::Forget(leg)]
}

/// Returns the report of a party's flags.
fn seat(leg: LegId, role: LegRole, (held, muted): (bool, bool)) -> Effect {
    Effect::Tell(Notice::Seat { leg, role, held, muted, holds: false, gain_db: 0, supervises: None })
}

/// Returns a call in which a customer (first), an agent (second) and another agent (third) talk.
fn conference() -> Lab {
    let mut lab = talking();
    ring(&mut lab, None);
    assert_eq!(lab.give(Input::Answered(THIRD)), []);
    assert_eq!(lab.floor(), [FIRST, SECOND, THIRD]);
    lab
}

/// Returns a call in which a customer (first) and an agent (second) talk, with a supervisor (third).
fn supervised(mode: SuperviseMode) -> Lab {
    let mut lab = talking();
    ring(&mut lab, Some(mode));
    let notice = Notice::Seat {
        leg: THIRD,
        role: LegRole::Supervisor,
        held: false,
        muted: false,
        holds: false,
        gain_db: 0,
        supervises: Some(mode),
    };
    assert_eq!(lab.give(Input::Answered(THIRD)), [Effect::Tell(notice)]);
    lab
}

#[test]
fn an_added_leg_rings_while_the_others_talk_and_joins_when_it_answers() {
    let mut lab = talking();
    ring(&mut lab, None);
    assert_eq!(lab.give(Input::Rang(THIRD)), []);
    assert_eq!(lab.give(Input::EarlyMedia(THIRD)), [], "the parties that talk do not hear announcements");
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    lab.give(Input::Answered(THIRD));
    assert_eq!(lab.floor(), [FIRST, SECOND, THIRD]);
    let normal = HangupCause::Normal;
    assert_eq!(lab.give(gone(SECOND, normal.clone())), [Effect::Forget(SECOND)], "the two others keep talking");
    assert_eq!(lab.floor(), [FIRST, THIRD]);
    assert_eq!(lab.give(gone(THIRD, normal.clone())), [hangs_up(FIRST, Stage::Up, normal.clone()), over(normal, true)]);
}

#[test]
fn an_added_leg_that_refuses_or_rings_too_long_leaves_the_others_alone() {
    let mut lab = talking();
    ring(&mut lab, None);
    assert_eq!(lab.give(gone(THIRD, HangupCause::Busy)), [Effect::Forget(THIRD)]);
    let ring = Some(Duration::from_secs(5));
    lab.give(Input::Add {
        to: customer(),
        role: LegRole::Customer,
        supervises: None,
        ring,
        or_else: Vec::new(),
        if_fails: IfFails::Return,
        notice: false,
    });
    lab.give(Input::Allowed(FOURTH));
    assert_eq!(lab.after(Duration::from_secs(4)), []);
    assert_eq!(lab.after(Duration::from_secs(1)), drops(FOURTH, Stage::Dialling, HangupCause::NoAnswer));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
}

#[test]
fn a_party_that_is_alone_hears_ring_back_of_the_added_leg() {
    let (mut lab, _) = Lab::outgoing(customer(), Plan::Hold);
    assert_eq!(lab.call.check(&add(None)), Err(Refused::NotTalking));
    lab.give(Input::Answered(FIRST));
    assert_eq!(lab.give(add(None)), [Effect::Ask { leg: SECOND, by: FIRST, to: agent() }]);
    lab.give(Input::Allowed(SECOND));
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Ringback))]);
    lab.give(Input::Answered(SECOND));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
}

#[test]
fn a_held_leg_hears_music_and_its_partner_hears_silence() {
    let mut lab = talking();
    assert_eq!(lab.give(hold(FIRST, true)), [seat(FIRST, LegRole::Customer, (true, false))]);
    assert_eq!(lab.give(hold(FIRST, true)), [], "the leg is already on hold");
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Hold)), (SECOND, Place::Aside(Sound::Silence))]);
    assert_eq!(lab.give(hold(FIRST, false)), [seat(FIRST, LegRole::Customer, (false, false))]);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
}

#[test]
fn a_consulted_colleague_gets_the_held_customer_when_the_agent_leaves() {
    let mut lab = talking();
    lab.give(hold(FIRST, true));
    ring(&mut lab, None);
    assert_eq!(lab.call.hearing().place(SECOND), Some(Place::Aside(Sound::Ringback)));
    lab.give(Input::Answered(THIRD));
    assert_eq!(lab.floor(), [SECOND, THIRD]);
    let released = seat(FIRST, LegRole::Customer, (false, false));
    let mut expected = drops(SECOND, Stage::Up, HangupCause::Requested).to_vec();
    expected.push(released);
    assert_eq!(lab.give(Input::Drop(SECOND)), expected);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
}

#[test]
fn a_held_customer_whose_call_is_transferred_talks_with_the_heir() {
    let mut lab = talking();
    lab.give(hold(FIRST, true));
    lab.give(transfer(SECOND));
    lab.give(Input::Allowed(THIRD));
    assert_eq!(lab.call.hearing().place(FIRST), Some(Place::Aside(Sound::Hold)));
    lab.give(Input::Answered(THIRD));
    assert_eq!(lab.floor(), [FIRST, THIRD]);
}

#[test]
fn a_muted_leg_hears_the_others_and_is_not_heard() {
    let mut lab = talking();
    assert_eq!(lab.give(mute(SECOND, true)), [seat(SECOND, LegRole::Agent, (false, true))]);
    let hearing = lab.call.hearing();
    assert_eq!(hearing.place(SECOND), Some(Place::Muted));
    assert!(!hearing.is_heard(SECOND) && hearing.is_heard(FIRST) && hearing.is_joined(SECOND));
    lab.give(hold(SECOND, true));
    assert_eq!(lab.call.hearing().place(SECOND), Some(Place::Aside(Sound::Hold)));
    lab.give(hold(SECOND, false));
    lab.give(mute(SECOND, false));
    assert!(lab.call.hearing().is_heard(SECOND));
}

#[test]
fn a_supervisor_listens_whispers_and_barges_in_without_being_a_party() {
    let mut lab = supervised(SuperviseMode::Listen);
    assert_eq!(lab.call.hearing().place(THIRD), Some(Place::Listening));
    assert_eq!(lab.floor(), [FIRST, SECOND], "the supervisor is not a party");
    let whisper = |to| Input::Supervise { leg: THIRD, mode: SuperviseMode::Whisper(to) };
    lab.give(whisper(None));
    assert_eq!(
        lab.call.hearing().place(THIRD),
        Some(Place::Whispering(SECOND)),
        "the supervisor whispers to the agent"
    );
    lab.give(whisper(Some(FIRST)));
    assert_eq!(lab.call.hearing().place(THIRD), Some(Place::Whispering(FIRST)));
    assert!(!lab.call.hearing().is_heard(THIRD));
    lab.give(hold(FIRST, true));
    assert_eq!(lab.call.hearing().place(THIRD), Some(Place::Listening), "a leg on hold hears no whisper");
    lab.give(hold(FIRST, false));
    lab.give(Input::Supervise { leg: THIRD, mode: SuperviseMode::Barge });
    assert_eq!(lab.floor(), [FIRST, SECOND, THIRD]);
}

#[test]
fn a_supervisor_neither_ends_a_call_nor_keeps_it_alive() {
    for mode in [SuperviseMode::Listen, SuperviseMode::Whisper(None), SuperviseMode::Barge] {
        let mut lab = supervised(mode);
        assert_eq!(lab.give(gone(THIRD, HangupCause::Normal)), [Effect::Forget(THIRD)]);
        assert_eq!(lab.floor(), [FIRST, SECOND]);
        let mut lab = supervised(mode);
        assert_eq!(lab.give(Input::MediaDead(THIRD)), drops(THIRD, Stage::Up, HangupCause::MediaTimeout));
        let mut lab = supervised(mode);
        let normal = HangupCause::Normal;
        let ends = [FIRST, THIRD].map(|leg| hangs_up(leg, Stage::Up, normal.clone()));
        let effects = lab.give(gone(SECOND, normal.clone()));
        assert_eq!(effects, [&ends[..], &[over(normal, true)]].concat());
    }
}

#[test]
fn a_supervisor_stays_through_a_transfer() {
    let mut lab = supervised(SuperviseMode::Listen);
    lab.give(transfer(SECOND));
    lab.give(Input::Allowed(FOURTH));
    assert_eq!(lab.call.hearing().place(THIRD), Some(Place::Listening));
    lab.give(Input::Answered(FOURTH));
    assert_eq!(lab.floor(), [FIRST, FOURTH]);
    assert_eq!(lab.call.hearing().place(THIRD), Some(Place::Listening));
}

#[test]
fn a_transferor_in_a_conference_leaves_and_the_others_keep_talking() {
    let mut lab = conference();
    lab.give(transfer(THIRD));
    lab.give(Input::Allowed(FOURTH));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    lab.give(Input::Answered(FOURTH));
    assert_eq!(lab.floor(), [FIRST, SECOND, FOURTH]);
}

#[test]
fn another_call_takes_no_party_out_of_a_conference() {
    let mut lab = conference();
    assert!(!lab.call.may_give_partner(SECOND));
    assert_eq!(lab.give(Input::Take(SECOND)), []);
    lab.give(Input::Drop(THIRD));
    assert!(lab.call.may_give_partner(SECOND));
}

#[test]
fn dropping_one_of_two_parties_ends_the_call_by_request() {
    let mut lab = talking();
    let cause = HangupCause::Requested;
    let ends = [FIRST, SECOND].map(|leg| hangs_up(leg, Stage::Up, cause.clone()));
    assert_eq!(lab.give(Input::Drop(SECOND)), [&ends[..], &[over(cause, true)]].concat());
}

#[test]
fn a_verb_that_does_not_fit_the_call_is_refused_and_changes_nothing() {
    let mut lab = supervised(SuperviseMode::Listen);
    let before = lab.call.clone();
    let nobody = LegId(9);
    let barge = SuperviseMode::Barge;
    for (input, refused) in [
        (hold(nobody, true), Refused::NoLeg),
        (mute(nobody, true), Refused::NoLeg),
        (Input::Drop(nobody), Refused::NoLeg),
        (hold(THIRD, true), Refused::Supervises),
        (Input::Supervise { leg: SECOND, mode: barge }, Refused::NoSupervisor),
        (Input::Supervise { leg: nobody, mode: barge }, Refused::NoLeg),
        (Input::Supervise { leg: THIRD, mode: SuperviseMode::Whisper(Some(THIRD)) }, Refused::NoListener),
        (add(Some(SuperviseMode::Whisper(Some(nobody)))), Refused::NoLeg),
    ] {
        assert_eq!(lab.call.check(&input), Err(refused), "{input:?}");
        assert_eq!(lab.give(input), []);
    }
    assert_eq!(lab.call, before);
    let mut lab = Lab::incoming(Plan::Application(App::Echo));
    lab.give(Input::Proceed);
    assert_eq!(lab.call.check(&hold(FIRST, true)), Err(Refused::Scripted));
    assert_eq!(lab.call.check(&mute(FIRST, true)), Err(Refused::Scripted));
    assert_eq!(lab.call.check(&add(None)), Err(Refused::NotTalking));
}

#[test]
fn a_call_has_a_bounded_number_of_legs_at_once() {
    let mut lab = talking();
    for _ in 2..LEGS_AT_ONCE {
        ring(&mut lab, None);
    }
    assert_eq!(lab.call.check(&add(None)), Err(Refused::Full));
    assert_eq!(lab.give(add(None)), []);
}

#[test]
fn an_added_leg_waits_for_the_control_plane_and_has_a_ring_time() {
    let mut lab = talking();
    let third = Input::Add {
        to: agent(),
        role: LegRole::Agent,
        supervises: None,
        ring: Some(Duration::from_secs(5)),
        or_else: Vec::new(),
        if_fails: IfFails::Return,
        notice: false,
    };
    lab.give(third.clone());
    assert_eq!(lab.give(Input::Denied(THIRD, HangupCause::Rejected.into())), [Effect::Forget(THIRD)]);
    let fourth = LegId(THIRD.0 + 1);
    lab.give(third.clone());
    assert_eq!(lab.give(Input::Drop(fourth)), [Effect::Forget(fourth)]);
    let fifth = LegId(THIRD.0 + 2);
    lab.give(third.clone());
    lab.now += TIMING.decision;
    assert!(lab.give(Input::Timeout).contains(&Effect::Forget(fifth)), "the control plane has not decided in time");
    let sixth = LegId(THIRD.0 + 3);
    lab.give(third);
    lab.give(Input::Allowed(sixth));
    lab.now += Duration::from_secs(5);
    assert_eq!(lab.give(Input::Timeout), drops(sixth, Stage::Dialling, HangupCause::NoAnswer));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
}

#[test]
fn targets_are_called_in_turn_until_one_answers() {
    let mut lab = talking();
    let or_else = vec![customer().into(), agent().into()];
    let role = LegRole::Agent;
    lab.give(Input::Add {
        to: agent(),
        role,
        supervises: None,
        ring: None,
        or_else,
        if_fails: IfFails::HangUp,
        notice: false,
    });
    lab.give(Input::Allowed(THIRD));
    let next = Effect::Ask { leg: FOURTH, by: SECOND, to: customer() };
    assert_eq!(lab.give(gone(THIRD, HangupCause::Busy)), [Effect::Forget(THIRD), next]);
    assert_eq!(lab.call.role(FOURTH), Some(LegRole::Customer));
    let fifth = LegId(FOURTH.0 + 1);
    let effects = lab.give(Input::Denied(FOURTH, HangupCause::Rejected.into()));
    assert_eq!(effects, [Effect::Forget(FOURTH), Effect::Ask { leg: fifth, by: SECOND, to: agent() }]);
    let mut answers = lab.clone();
    answers.give(Input::Allowed(fifth));
    answers.give(Input::Answered(fifth));
    assert_eq!(answers.floor(), [FIRST, SECOND, fifth]);
    assert_eq!(
        answers.give(gone(fifth, HangupCause::Normal)),
        [Effect::Forget(fifth)],
        "the leg had answered: the others keep talking"
    );
    let mut called_off = lab.clone();
    assert_eq!(called_off.give(Input::Drop(fifth)), [Effect::Forget(fifth)]);
    assert!(!called_off.call.is_over());
    let busy = HangupCause::Busy;
    assert_eq!(
        lab.give(gone(fifth, busy.clone())).last(),
        Some(&over(busy, true)),
        "no target answers, which ends the call"
    );
}

#[test]
fn a_hold_by_a_telephone_plays_music_or_its_own_sound_to_the_other() {
    let mut lab = talking();
    let holds = |holding| Input::Holds { leg: SECOND, holding };
    let notice = |holds| {
        let role = LegRole::Agent;
        Effect::Tell(Notice::Seat { leg: SECOND, role, held: false, muted: false, holds, gain_db: 0, supervises: None })
    };
    assert_eq!(lab.give(holds(Holding::Sounding)), [notice(true)]);
    assert_eq!(lab.floor(), [FIRST, SECOND], "the telephone sends a sound of its own");
    assert_eq!(lab.give(holds(Holding::Silent)), [], "the hold state has not changed");
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Hold)), (SECOND, Place::Aside(Sound::Silence))]);
    assert_eq!(lab.give(holds(Holding::No)), [notice(false)]);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
}

#[test]
fn a_leg_is_made_louder_or_softer_within_bounds() {
    let mut lab = talking();
    let gain = |db| Input::Gain { leg: FIRST, db };
    let notice = |gain_db| {
        let role = LegRole::Customer;
        Effect::Tell(Notice::Seat {
            leg: FIRST,
            role,
            held: false,
            muted: false,
            holds: false,
            gain_db,
            supervises: None,
        })
    };
    assert_eq!(lab.give(gain(-12)), [notice(-12)]);
    assert_eq!(lab.give(gain(-12)), []);
    assert_eq!(lab.give(gain(0)), [notice(0)]);
    assert_eq!(lab.call.check(&gain(21)), Err(Refused::Gain));
    assert_eq!(lab.call.check(&Input::Gain { leg: LegId(9), db: 1 }), Err(Refused::NoLeg));
}

#[test]
fn parties_hear_a_supervision_notice_at_once_and_every_minute_if_wanted() {
    let mut lab = talking();
    let role = LegRole::Supervisor;
    let (or_else, supervises) = (Vec::new(), Some(SuperviseMode::Listen));
    lab.give(Input::Add {
        to: agent(),
        role,
        supervises,
        ring: None,
        or_else,
        if_fails: IfFails::Return,
        notice: true,
    });
    lab.give(Input::Allowed(THIRD));
    let heard = Effect::Notify(vec![FIRST, SECOND]);
    assert_eq!(lab.give(Input::Answered(THIRD)).last(), Some(&heard));
    for _ in 0..3 {
        assert_eq!(lab.after(Duration::from_secs(59)), []);
        assert_eq!(lab.after(Duration::from_secs(1)), std::slice::from_ref(&heard));
    }
    lab.give(hold(FIRST, true));
    assert_eq!(lab.after(Duration::from_secs(60)), [], "there is no conversation to supervise");
    lab.give(hold(FIRST, false));
    assert_eq!(lab.after(Duration::from_secs(60)), [heard]);
    lab.give(gone(THIRD, HangupCause::Normal));
    assert_eq!(lab.after(Duration::from_secs(60)), []);
}
