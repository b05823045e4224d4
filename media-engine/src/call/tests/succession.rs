//! How one leg takes another's place: every branch, and every order of inputs.
//!
//! A customer (first leg) and an agent (second leg) talk, and a third leg takes the place of one of them: dialled, fetched from
//! another call, or by INVITE with Replaces. Each side may hang up, fail or be refused at every stage.
//!
//! Not here: the SIP messages of a transfer (the engine).

use super::*;

const BUSY: HangupCause = HangupCause::Busy;
const NORMAL: HangupCause = HangupCause::Normal;
const MOVED: HangupCause = HangupCause::Transferred;

fn other_agent() -> Destination {
    Destination::Agent("ben".into())
}

/// Returns a call in which a customer (first) talks with an agent (second).
pub(in crate::call) fn talking() -> Lab {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    lab.give(Input::Answered(SECOND));
    assert!(lab.call.is_talking());
    lab
}

fn transfer_notice(by: LegId, heir: LegId, state: TransferState) -> Effect {
    Effect::Tell(Notice::Transfer { by, role: LegRole::Agent, heir: Some(heir), state })
}

fn failed(cause: HangupCause) -> TransferState {
    TransferState::Failed(cause.into())
}

pub(in crate::call) fn transfer(by: LegId) -> Input {
    Input::Transfer { by, to: Some(other_agent()) }
}

/// Returns a call in which the agent has asked for a transfer and the new leg is being called.
fn transferring() -> Lab {
    let mut lab = talking();
    let asks = Effect::Ask { leg: THIRD, by: SECOND, to: other_agent() };
    assert_eq!(lab.give(transfer(SECOND)), [asks, transfer_notice(SECOND, THIRD, TransferState::Started)]);
    assert_eq!(lab.give(Input::Allowed(THIRD)), [Effect::Ring(THIRD, other_agent())]);
    lab
}

/// Returns the places while a leg is called for the transferor: it is not heard, and the party that stays hears ring-back.
fn parted() -> [(LegId, Place); 2] {
    [(FIRST, Place::Aside(Sound::Wait)), (SECOND, Place::Aside(Sound::Silence))]
}

/// Returns the effects of an answer that puts the third leg into the second one's place.
fn handed_over() -> [Effect; 2] {
    [transfer_notice(SECOND, THIRD, TransferState::Done), Effect::Retire(SECOND)]
}

#[test]
fn a_blind_transfer_replaces_the_transferor_which_may_hang_up_by_itself() {
    let mut lab = transferring();
    assert_eq!(lab.places(), parted());
    assert_eq!((lab.call.partner(THIRD), lab.call.role(THIRD)), (Some(FIRST), Some(LegRole::Agent)));
    assert_eq!(lab.give(Input::Rang(THIRD)), [transfer_notice(SECOND, THIRD, TransferState::Ringing)]);
    assert_eq!(lab.give(Input::Answered(THIRD)), handed_over());
    assert_eq!(lab.places(), [(FIRST, Place::Floor), (THIRD, Place::Floor)], "the replaced leg is not heard");
    assert_eq!(lab.give(gone(SECOND, NORMAL)), [Effect::Forget(SECOND)]);
    assert_eq!(lab.after(TIMING.leave), [], "the transferor has gone already");
    assert_eq!(lab.give(gone(THIRD, NORMAL)), [hangs_up(FIRST, Stage::Up, NORMAL), over(NORMAL, true)]);
}

#[test]
fn the_first_leg_transfers_as_well_as_the_second() {
    let mut lab = talking();
    lab.give(transfer(FIRST));
    assert_eq!(lab.call.hearing().place(SECOND), Some(Place::Aside(Sound::Wait)));
    assert_eq!(lab.call.partner(THIRD), Some(SECOND));
    lab.give(Input::Allowed(THIRD));
    lab.give(Input::Answered(THIRD));
    assert_eq!(lab.floor(), [SECOND, THIRD]);
}

#[test]
fn a_transferor_that_does_not_hang_up_is_hung_up() {
    let mut lab = transferring();
    lab.give(Input::Answered(THIRD));
    assert_eq!(lab.after(TIMING.leave), [hangs_up(SECOND, Stage::Up, MOVED), Effect::Forget(SECOND)]);
    assert_eq!(lab.give(gone(SECOND, NORMAL)), []);
    assert!(lab.call.is_talking());
}

#[test]
fn a_failed_transfer_joins_both_again_and_reports_the_original_status() {
    let mut lab = transferring();
    let ending = Ending { cause: BUSY, ..Ending::refused(600) };
    let effects = lab.give(Input::Gone(THIRD, ending.clone()));
    assert_eq!(effects, [transfer_notice(SECOND, THIRD, TransferState::Failed(ending)), Effect::Forget(THIRD)]);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    assert!(lab.call.may_be_succeeded(SECOND), "another transfer may follow");
}

#[test]
fn a_transfer_that_rings_too_long_is_cancelled_and_joins_both_again() {
    let mut lab = transferring();
    let cause = HangupCause::NoAnswer;
    let ends = [
        hangs_up(THIRD, Stage::Dialling, cause.clone()),
        transfer_notice(SECOND, THIRD, failed(cause)),
        Effect::Forget(THIRD),
    ];
    assert_eq!(lab.after(TIMING.ring), ends);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    assert_eq!(lab.after(TIMING.ring), []);
}

#[test]
fn a_leg_that_is_refused_or_left_undecided_is_not_called() {
    let mut lab = talking();
    lab.give(transfer(SECOND));
    let mut silent = lab.clone();
    let rejected = HangupCause::Rejected;
    let ends = [transfer_notice(SECOND, THIRD, failed(rejected.clone())), Effect::Forget(THIRD)];
    assert_eq!(lab.give(Input::Denied(THIRD, rejected.clone().into())), ends);
    assert_eq!(lab.give(Input::Allowed(THIRD)), [], "the leg was refused");
    let ending = Ending { sip_status: Some(503), ..HangupCause::Unreachable.into() };
    let ends = [
        Effect::Tell(Notice::Undecided(Some(THIRD))),
        transfer_notice(SECOND, THIRD, TransferState::Failed(ending)),
        Effect::Forget(THIRD),
    ];
    assert_eq!(silent.after(TIMING.decision), ends);
    let mut urgent = talking();
    let emergency = Destination::Emergency { trunk: "carrier".into(), user: "112".into() };
    urgent.give(Input::Transfer { by: SECOND, to: Some(emergency.clone()) });
    let rings = [Effect::Tell(Notice::Undecided(Some(THIRD))), Effect::Ring(THIRD, emergency)];
    assert_eq!(urgent.after(TIMING.decision), rings, "an emergency number is called all the same");
    assert_eq!(urgent.give(Input::Denied(THIRD, rejected.into())), [], "the refusal comes too late");
}

#[test]
fn a_transferor_that_hangs_up_leaves_the_transfer_running() {
    let mut lab = transferring();
    assert_eq!(lab.give(gone(SECOND, NORMAL)), [Effect::Forget(SECOND)]);
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Wait))]);
    assert_eq!(lab.give(Input::Answered(THIRD)), [transfer_notice(SECOND, THIRD, TransferState::Done)]);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
    assert!(lab.call.may_be_succeeded(THIRD));
    assert_eq!(lab.after(TIMING.leave), []);
}

#[test]
fn a_failed_transfer_ends_the_call_when_the_transferor_has_gone() {
    for is_cancelled in [false, true] {
        let mut lab = transferring();
        lab.give(gone(SECOND, NORMAL));
        let cause = if is_cancelled { HangupCause::NoAnswer } else { BUSY };
        let effects = if is_cancelled { lab.after(TIMING.ring) } else { lab.give(gone(THIRD, BUSY)) };
        let cancels = hangs_up(THIRD, Stage::Dialling, cause.clone());
        assert_eq!(effects.contains(&cancels), is_cancelled);
        let ends = [Effect::Forget(THIRD), hangs_up(FIRST, Stage::Up, cause.clone()), over(cause, true)];
        assert_eq!(effects[effects.len() - 3..], ends);
    }
}

#[test]
fn the_transfer_and_the_call_end_when_the_party_that_stays_hangs_up() {
    let mut lab = transferring();
    let ends = [
        transfer_notice(SECOND, THIRD, failed(NORMAL)),
        hangs_up(SECOND, Stage::Up, NORMAL),
        hangs_up(THIRD, Stage::Dialling, NORMAL),
        over(NORMAL, true),
    ];
    assert_eq!(lab.give(gone(FIRST, NORMAL)), ends);
}

#[test]
fn all_legs_are_hung_up_when_a_call_ends_at_any_stage_of_a_transfer() {
    let mut leaving = transferring();
    leaving.give(Input::Answered(THIRD));
    let requested = HangupCause::Requested;
    let released = |leg| hangs_up(leg, Stage::Up, HangupCause::Requested);
    let end = || over(HangupCause::Requested, true);
    let ends = [released(FIRST), released(SECOND), released(THIRD), end()];
    assert_eq!(leaving.give(Input::HangUp(requested.clone())), ends);
    let mut abandoned = transferring();
    abandoned.give(gone(SECOND, NORMAL));
    let ends = [
        transfer_notice(SECOND, THIRD, failed(requested.clone())),
        released(FIRST),
        hangs_up(THIRD, Stage::Dialling, requested.clone()),
        end(),
    ];
    assert_eq!(abandoned.give(Input::HangUp(requested)), ends);
}

#[test]
fn early_media_of_the_new_leg_is_heard_by_the_party_that_stays() {
    let mut lab = transferring();
    assert_eq!(lab.give(Input::EarlyMedia(THIRD)), [transfer_notice(SECOND, THIRD, TransferState::Ringing)]);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
    assert_eq!(lab.call.hearing().place(SECOND), Some(Place::Aside(Sound::Silence)));
    assert_eq!(lab.give(Input::EarlyMedia(THIRD)), []);
    lab.give(gone(THIRD, BUSY));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
}

#[test]
fn one_transfer_at_a_time_and_only_while_two_parties_talk() {
    let refused = |by| {
        let role = if by == FIRST { LegRole::Customer } else { LegRole::Agent };
        [Effect::Tell(Notice::Transfer { by, role, heir: None, state: TransferState::Refused })]
    };
    let mut lab = transferring();
    assert_eq!(lab.give(transfer(FIRST)), refused(FIRST));
    assert_eq!(lab.give(transfer(SECOND)), refused(SECOND));
    assert_eq!(lab.give(transfer(THIRD)), refused(THIRD));
    assert_eq!(lab.give(Input::Replace(FIRST)), []);
    assert_eq!(lab.give(Input::Take(FIRST)), []);

    let (mut waits, _) = Lab::outgoing(agent(), Plan::Join(customer()));
    waits.give(Input::Answered(FIRST));
    assert_eq!(waits.give(transfer(FIRST)).len(), 1);
    let mut echo = Lab::incoming(Plan::Application(App::Echo));
    echo.give(Input::Proceed);
    assert_eq!(echo.give(transfer(FIRST)), refused(FIRST), "a leg cannot be transferred away from an application");
}

#[test]
fn a_second_transfer_hangs_up_a_leg_that_is_still_leaving() {
    let mut lab = transferring();
    lab.give(Input::Answered(THIRD));
    let effects = lab.give(transfer(FIRST));
    assert_eq!(effects[..2], [hangs_up(SECOND, Stage::Up, MOVED), Effect::Forget(SECOND)]);
    lab.give(Input::Allowed(FOURTH));
    lab.give(Input::Answered(FOURTH));
    assert_eq!(lab.floor(), [THIRD, FOURTH]);
}

#[test]
fn a_fetched_leg_replaces_the_transferor_while_both_keep_talking() {
    let other = LegId(9_001);
    let fetch = Input::Transfer { by: SECOND, to: None };
    let arrives = Input::Fetched { heir: THIRD, leg: other };
    let mut lab = talking();
    assert_eq!(lab.give(fetch.clone()), [Effect::Await(THIRD), transfer_notice(SECOND, THIRD, TransferState::Started)]);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    let (mut gone_before, mut lost) = (lab.clone(), lab.clone());
    assert_eq!(
        lab.give(arrives.clone()),
        [transfer_notice(SECOND, other, TransferState::Done), Effect::Retire(SECOND)]
    );
    assert_eq!(lab.floor(), [FIRST, other]);
    // A transferor may hang up as soon as its REFER was accepted.
    assert_eq!(gone_before.give(gone(SECOND, NORMAL)), [Effect::Forget(SECOND)]);
    gone_before.give(arrives);
    assert_eq!(gone_before.floor(), [FIRST, other]);

    let cause = HangupCause::NotFound;
    let ends = [transfer_notice(SECOND, THIRD, failed(cause.clone())), Effect::Forget(THIRD)];
    assert_eq!(lost.give(gone(THIRD, cause)), ends);
    assert_eq!(lost.floor(), [FIRST, SECOND], "both parties kept talking");
}

#[test]
fn the_call_that_a_leg_is_fetched_from_ends_once_as_transferred() {
    let mut lab = talking();
    let ends = [Effect::Give(SECOND), hangs_up(FIRST, Stage::Up, MOVED), over(MOVED, true)];
    assert_eq!(lab.give(Input::Take(FIRST)), ends);
    assert_eq!(lab.give(gone(FIRST, NORMAL)), []);
}

#[test]
fn a_caller_that_replaces_a_leg_is_accepted_before_that_leg_is_hung_up() {
    let mut lab = talking();
    assert_eq!(lab.call.next_leg(), THIRD);
    assert_eq!(lab.give(Input::Replace(SECOND)), [Effect::Answer(THIRD)]);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    let mut refused = lab.clone();
    assert_eq!(lab.give(Input::Answered(THIRD)), [hangs_up(SECOND, Stage::Up, MOVED), Effect::Forget(SECOND)]);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
    let incompatible = HangupCause::Incompatible;
    assert_eq!(refused.give(gone(THIRD, incompatible)), [Effect::Forget(THIRD)], "the call continues as before");
    assert_eq!(refused.give(gone(FIRST, NORMAL)), [hangs_up(SECOND, Stage::Up, NORMAL), over(NORMAL, true)]);
}

#[test]
fn targets_of_a_transfer_are_called_in_turn_until_one_answers_or_all_fail() {
    let mut lab = talking();
    let to = vec![other_agent(), customer(), agent()];
    let ring = Some(Duration::from_secs(7));
    let targets: Vec<Target> = to.iter().cloned().map(Target::from).collect();
    let transfer = Input::TransferTo { by: SECOND, to: targets, ring, if_fails: IfFails::Return, back: None };
    let mut effects = lab.give(transfer.clone());
    for (n, to) in (0..).zip(to) {
        let heir = LegId(THIRD.0 + n);
        assert!(effects.contains(&Effect::Ask { leg: heir, by: SECOND, to: to.clone() }), "{effects:?}");
        assert_eq!(lab.call.hearing().place(FIRST), Some(Place::Aside(Sound::Wait)));
        assert!(lab.give(Input::Allowed(heir)).contains(&Effect::Ring(heir, to)));
        lab.now += Duration::from_secs(6);
        assert_eq!(lab.give(Input::Timeout), [], "the target may ring for seven seconds");
        lab.now += Duration::from_secs(2);
        effects = lab.give(Input::Timeout);
        let failed = transfer_notice(SECOND, heir, TransferState::Failed(HangupCause::NoAnswer.into()));
        assert!(effects.contains(&failed), "{effects:?}");
    }
    assert_eq!(lab.floor(), [FIRST, SECOND]);

    // The second one answers; a target that is dropped ends the whole transfer.
    lab.give(transfer.clone());
    let first = LegId(THIRD.0 + 3);
    lab.give(Input::Denied(first, HangupCause::Rejected.into()));
    let second = LegId(first.0 + 1);
    assert!(lab.give(Input::Drop(second)).contains(&Effect::Forget(second)));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    assert_eq!(
        lab.call.check(&Input::TransferTo { by: SECOND, to: Vec::new(), ring, if_fails: IfFails::Return, back: None }),
        Err(Refused::Targets)
    );
    lab.give(transfer.clone());
    assert_eq!(lab.call.check(&transfer), Err(Refused::NotNow));
}

#[test]
fn a_transfer_that_reaches_no_target_ends_the_call_if_requested() {
    let mut lab = talking();
    let ring = Some(Duration::from_secs(7));
    let own = Target { to: other_agent(), ring: Some(Duration::from_secs(3)) };
    let to = vec![own, customer().into()];
    lab.give(Input::TransferTo { by: SECOND, to, ring, if_fails: IfFails::HangUp, back: None });
    lab.give(Input::Allowed(THIRD));
    lab.now += Duration::from_secs(3);
    let effects = lab.give(Input::Timeout);
    assert!(
        effects.contains(&Effect::Ask { leg: FOURTH, by: SECOND, to: customer() }),
        "the target has its own ring time: {effects:?}"
    );
    let busy = HangupCause::Busy;
    let effects = lab.give(gone(FOURTH, busy.clone()));
    for expected in [FIRST, SECOND].map(|leg| hangs_up(leg, Stage::Up, busy.clone())) {
        assert!(effects.contains(&expected), "{effects:?}");
    }
    assert_eq!(effects.last(), Some(&over(busy, true)));
}

#[test]
fn a_transferor_who_has_hung_up_is_called_again_if_no_target_answers() {
    let mut lab = talking();
    let back = Some(other_agent());
    lab.give(Input::TransferTo {
        by: SECOND,
        to: vec![customer().into()],
        ring: None,
        if_fails: IfFails::Return,
        back,
    });
    lab.give(Input::Allowed(THIRD));
    assert_eq!(lab.give(gone(SECOND, NORMAL)), [Effect::Forget(SECOND)]);
    let effects = lab.give(gone(THIRD, HangupCause::Busy));
    assert!(effects.contains(&Effect::Ask { leg: FOURTH, by: SECOND, to: other_agent() }), "{effects:?}");
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Wait))]);
    lab.give(Input::Allowed(FOURTH));
    let mut away = lab.clone();
    lab.give(Input::Answered(FOURTH));
    assert_eq!(lab.floor(), [FIRST, FOURTH]);
    let busy = HangupCause::Busy;
    assert_eq!(
        away.give(gone(FOURTH, busy.clone())).last(),
        Some(&over(busy, true)),
        "the transferor is called only once"
    );
}
