//! One leg takes another's place: every branch, and every order of inputs.

use super::tests::{agent, customer, over};
use super::*;
use Side::{First, Second, Third};

const BUSY: HangupCause = HangupCause::Busy;
const NORMAL: HangupCause = HangupCause::Normal;
const MOVED: HangupCause = HangupCause::Transferred;

fn other_agent() -> Destination {
    Destination::Agent("ben".into())
}

/// A customer (first) talks with an agent (second).
pub(super) fn talking() -> Call {
    let mut call = Call::incoming(Plan::Join(agent()));
    call.transition(Input::Proceed);
    call.transition(Input::Answered(Second));
    assert!(call.is_talking());
    call
}

fn told(by: Side, state: TransferState) -> Effect {
    Effect::TellTransfer(by, state)
}

pub(super) fn transfer(by: Side) -> Input {
    Input::Transfer { by, to: Some(other_agent()) }
}

/// The agent has asked for a transfer.
fn transferring() -> Call {
    let mut call = talking();
    assert_eq!(
        call.transition(transfer(Second)),
        [
            told(Second, TransferState::Started),
            Effect::Wait(First, WaitingSound::Ringback),
            Effect::Dial(Third, other_agent()),
            Effect::ArmRingTimer
        ]
    );
    call
}

/// What becomes of an answer that puts the third leg into the second one's place.
fn handed_over() -> [Effect; 6] {
    [
        Effect::DisarmRingTimer,
        told(Second, TransferState::Done),
        Effect::Exchange(Second),
        Effect::Join,
        Effect::Listen(Second),
        Effect::ArmLeaveTimer,
    ]
}

#[test]
fn a_blind_transfer_puts_the_new_leg_into_the_transferor_s_place_and_lets_the_transferor_hang_up() {
    let mut call = transferring();
    assert_eq!(call.partner(Third), First);
    assert_eq!(call.transition(Input::Ringing(Third)), [told(Second, TransferState::Ringing)]);
    assert_eq!(call.transition(Input::Answered(Third)), handed_over());
    assert!(!call.takes_part(Third), "nobody hears who was replaced");
    assert_eq!(call.transition(Input::Gone(Third, NORMAL)), [Effect::Forget(Third)]);
    assert_eq!(call.transition(Input::LeaveTimeout), [], "it has gone");
    assert_eq!(
        call.transition(Input::Gone(Second, NORMAL)),
        [Effect::DisarmRingTimer, Effect::Release(First, NORMAL), over(NORMAL, true)]
    );
}

#[test]
fn the_first_leg_transfers_as_well_as_the_second() {
    let mut call = talking();
    assert!(call.transition(transfer(First)).contains(&Effect::Wait(Second, WaitingSound::Ringback)));
    assert_eq!(call.partner(Third), Second);
    assert!(call.transition(Input::Answered(Third)).contains(&Effect::Exchange(First)));
}

#[test]
fn a_transferor_that_does_not_hang_up_is_hung_up() {
    let mut call = transferring();
    call.transition(Input::Answered(Third));
    assert_eq!(call.transition(Input::LeaveTimeout), [Effect::Release(Third, MOVED), Effect::Forget(Third)]);
    assert_eq!(call.transition(Input::Gone(Third, NORMAL)), []);
    assert!(call.is_talking());
}

#[test]
fn a_failed_transfer_joins_both_again() {
    let mut call = transferring();
    assert_eq!(
        call.transition(Input::Failed(Third, BUSY)),
        [Effect::DisarmRingTimer, told(Second, TransferState::Failed(BUSY)), Effect::Forget(Third), Effect::Join]
    );
    assert!(call.may_be_succeeded(Second), "another try may follow");
}

#[test]
fn a_transfer_that_rings_too_long_is_cancelled_and_joins_both_again() {
    let mut call = transferring();
    assert_eq!(
        call.transition(Input::RingTimeout),
        [
            Effect::DisarmRingTimer,
            told(Second, TransferState::Failed(HangupCause::NoAnswer)),
            Effect::Cancel(Third),
            Effect::Forget(Third),
            Effect::Join
        ]
    );
    assert_eq!(call.transition(Input::RingTimeout), []);
}

#[test]
fn a_transferor_that_hangs_up_leaves_the_transfer_running() {
    let mut call = transferring();
    assert_eq!(call.transition(Input::Gone(Second, NORMAL)), [Effect::Forget(Second)]);
    assert_eq!(
        call.transition(Input::Answered(Third)),
        [
            Effect::DisarmRingTimer,
            told(Second, TransferState::Done),
            Effect::Exchange(Second),
            Effect::Join,
            Effect::Listen(Second)
        ]
    );
    assert!(call.may_be_succeeded(Second));
    assert_eq!(call.transition(Input::LeaveTimeout), []);
}

#[test]
fn when_the_transferor_has_gone_a_failed_transfer_is_the_call_s_end() {
    for (input, cancelled) in [(Input::Failed(Third, BUSY), false), (Input::RingTimeout, true)] {
        let mut call = transferring();
        call.transition(Input::Gone(Second, NORMAL));
        let cause = if cancelled { HangupCause::NoAnswer } else { BUSY };
        let effects = call.transition(input);
        assert_eq!(effects.contains(&Effect::Cancel(Third)), cancelled);
        assert_eq!(
            effects[effects.len() - 3..],
            [Effect::DisarmRingTimer, Effect::Release(First, cause.clone()), over(cause, true)]
        );
    }
}

#[test]
fn when_the_party_that_stays_hangs_up_the_transfer_is_over_with_the_call() {
    let mut call = transferring();
    assert_eq!(
        call.transition(Input::Gone(First, NORMAL)),
        [
            Effect::DisarmRingTimer,
            told(Second, TransferState::Failed(NORMAL)),
            Effect::Release(Second, NORMAL),
            Effect::Cancel(Third),
            over(NORMAL, true)
        ]
    );
}

#[test]
fn everybody_is_hung_up_when_a_call_ends_whatever_stage_a_transfer_is_in() {
    let mut leaving = transferring();
    leaving.transition(Input::Answered(Third));
    let released = |side| Effect::Release(side, HangupCause::Requested);
    let end = || over(HangupCause::Requested, true);
    assert_eq!(
        leaving.transition(Input::Hangup(HangupCause::Requested)),
        [Effect::DisarmRingTimer, released(First), released(Second), released(Third), end()]
    );
    let mut abandoned = transferring();
    abandoned.transition(Input::Gone(Second, NORMAL));
    assert_eq!(
        abandoned.transition(Input::Hangup(HangupCause::Requested)),
        [
            Effect::DisarmRingTimer,
            told(Second, TransferState::Failed(HangupCause::Requested)),
            released(First),
            Effect::Cancel(Third),
            end()
        ]
    );
}

#[test]
fn early_media_of_the_new_leg_is_heard_by_the_party_that_stays() {
    let mut call = transferring();
    assert_eq!(
        call.transition(Input::EarlyMedia(Third)),
        [Effect::JoinThird(First), told(Second, TransferState::Ringing)]
    );
    assert_eq!(call.transition(Input::EarlyMedia(Third)), []);
    let mut busy = call.clone();
    assert!(!call.transition(Input::Answered(Third)).contains(&Effect::Join), "it is joined already");
    assert_eq!(busy.transition(Input::Failed(Third, BUSY)).last(), Some(&Effect::Join));
}

#[test]
fn one_transfer_at_a_time_and_only_while_two_parties_talk() {
    let refused = |by| [told(by, TransferState::Refused)];
    let mut call = transferring();
    assert_eq!(call.transition(transfer(First)), refused(First));
    assert_eq!(call.transition(transfer(Second)), refused(Second));
    assert_eq!(call.transition(Input::Replace(First)), []);
    assert_eq!(call.transition(Input::Take(First)), []);

    let (mut waits, _) = Call::outgoing(agent(), Plan::Join(customer()));
    waits.transition(Input::Answered(First));
    assert_eq!(waits.transition(transfer(First)), refused(First));
    let mut echo = Call::incoming(Plan::Application(App::Echo));
    echo.transition(Input::Proceed);
    assert_eq!(echo.transition(transfer(First)), refused(First), "an application cannot be called away");
}

#[test]
fn a_second_transfer_hangs_up_whoever_still_leaves() {
    let mut call = transferring();
    call.transition(Input::Answered(Third));
    let effects = call.transition(transfer(First));
    assert_eq!(
        effects[..3],
        [Effect::Release(Third, MOVED), Effect::Forget(Third), told(First, TransferState::Started)]
    );
    assert!(call.transition(Input::Answered(Third)).contains(&Effect::Exchange(First)));
}

#[test]
fn a_fetched_leg_takes_the_transferor_s_place_without_anybody_waiting() {
    let mut call = talking();
    let fetch = Input::Transfer { by: Second, to: None };
    assert_eq!(call.transition(fetch.clone()), [told(Second, TransferState::Started)]);
    let mut gone = call.clone();
    assert_eq!(call.transition(Input::Answered(Third)), handed_over());
    // A transferor may hang up as soon as its REFER was accepted.
    assert_eq!(gone.transition(Input::Gone(Second, NORMAL)), [Effect::Forget(Second)]);
    assert!(gone.transition(Input::Answered(Third)).contains(&Effect::Exchange(Second)));

    let mut lost = talking();
    lost.transition(fetch);
    assert_eq!(
        lost.transition(Input::Failed(Third, HangupCause::NotFound)),
        [Effect::DisarmRingTimer, told(Second, TransferState::Failed(HangupCause::NotFound)), Effect::Forget(Third)],
        "nobody was parted"
    );
}

#[test]
fn the_call_that_a_leg_is_fetched_from_ends_once_as_transferred() {
    let mut call = talking();
    assert_eq!(
        call.transition(Input::Take(First)),
        [Effect::Give(Second), Effect::DisarmRingTimer, Effect::Release(First, MOVED), over(MOVED, true)]
    );
    assert_eq!(call.transition(Input::Gone(First, NORMAL)), []);
}

#[test]
fn a_caller_that_replaces_a_leg_is_accepted_before_that_leg_is_hung_up() {
    let mut call = talking();
    assert_eq!(call.transition(Input::Replace(Second)), [Effect::Accept(Third)]);
    let mut refused = call.clone();
    assert_eq!(
        call.transition(Input::Answered(Third)),
        [
            Effect::DisarmRingTimer,
            Effect::Exchange(Second),
            Effect::Join,
            Effect::Listen(Second),
            Effect::Release(Third, MOVED),
            Effect::Forget(Third)
        ]
    );
    assert_eq!(
        refused.transition(Input::Failed(Third, HangupCause::Incompatible)),
        [Effect::DisarmRingTimer, Effect::Forget(Third)],
        "the call goes on as it was"
    );
    assert_eq!(
        refused.transition(Input::Gone(First, NORMAL)),
        [Effect::DisarmRingTimer, Effect::Release(Second, NORMAL), over(NORMAL, true)]
    );
}

/// Every sequence of inputs, up to five long from any stage of a transfer, ends a call at most once, opens nothing that is not
/// ended, and leaves no leg standing after the end.
#[test]
fn a_call_ends_exactly_once_whatever_happens_in_whatever_order() {
    let inputs = [
        Input::Proceed,
        Input::Hangup(HangupCause::Requested),
        Input::Ringing(Third),
        Input::EarlyMedia(Third),
        Input::Answered(First),
        Input::Answered(Second),
        Input::Answered(Third),
        Input::Failed(Second, BUSY),
        Input::Failed(Third, BUSY),
        Input::Gone(First, NORMAL),
        Input::Gone(Second, NORMAL),
        Input::Gone(Third, NORMAL),
        Input::RingTimeout,
        Input::LeaveTimeout,
        transfer(First),
        transfer(Second),
        Input::Transfer { by: Second, to: None },
        Input::Replace(First),
        Input::Take(Second),
        Input::Lost(First),
        Input::Lost(Second),
        Input::Back(First),
        Input::LostTimeout,
    ];
    let starts = [
        Call::incoming(Plan::Join(agent())),
        Call::incoming(Plan::Application(App::Tone)),
        Call::outgoing(agent(), Plan::Join(customer())).0,
        Call::outgoing(customer(), Plan::Hold).0,
        talking(),
        transferring(),
    ];
    let count = inputs.len();
    for start in &starts {
        for code in 0..count.pow(4) {
            let (mut call, mut ends, mut digits) = (start.clone(), 0, code);
            for _ in 0..4 {
                let effects = call.transition(inputs[digits % count].clone());
                ends += effects.iter().filter(|effect| matches!(effect, Effect::TellOver { .. })).count();
                digits /= count;
            }
            assert!(ends <= 1, "{start:?}");
            assert_eq!(ends == 1, call.is_over());
            if call.is_over() {
                for side in Side::ALL {
                    assert!(call.leg(side).is_none_or(|leg| leg == LegPhase::Over), "{side:?} {code} {start:?}");
                }
            }
        }
    }
}

/// Whoever is called, accepted or fetched beside the two has exactly one end: it takes a place, or it is forgotten.
#[test]
fn the_third_leg_always_takes_a_place_or_is_given_back() {
    let inputs = [
        Input::Answered(Third),
        Input::Failed(Third, BUSY),
        Input::Gone(First, NORMAL),
        Input::Gone(Second, NORMAL),
        Input::RingTimeout,
        Input::LeaveTimeout,
        transfer(First),
        transfer(Second),
        Input::Replace(Second),
    ];
    let count = inputs.len();
    for code in 0..count.pow(5) {
        let (mut call, mut occupied, mut digits) = (talking(), false, code);
        for _ in 0..5 {
            for effect in call.transition(inputs[digits % count].clone()) {
                match effect {
                    Effect::Dial(Third, _) | Effect::Accept(Third) => {
                        assert!(!occupied, "the place beside is taken: {code}");
                        occupied = true;
                    }
                    // Whoever was replaced stands there now, if it has not gone.
                    Effect::Exchange(_) => occupied = call.leg(Third).is_some(),
                    Effect::Forget(Third) => occupied = false,
                    _ => {}
                }
            }
            digits /= count;
        }
        assert!(call.is_over() || occupied == call.leg(Third).is_some(), "{code}");
    }
}
