//! Legs that are lost for a while.

use super::tests::{agent, over};
use super::tests_succession::{talking, transfer};
use super::*;
use Side::{First, Second, Third};

const DEAD: HangupCause = HangupCause::MediaTimeout;

fn holds(side: Side) -> Effect {
    Effect::Wait(side, WaitingSound::Hold)
}

#[test]
fn while_a_leg_is_lost_the_other_one_hears_that_it_waits() {
    let mut call = talking();
    assert_eq!(call.transition(Input::Lost(Second)), [holds(First), Effect::ArmLostTimer]);
    assert_eq!(call.transition(Input::Lost(Second)), [], "that was known");
    assert_eq!(call.transition(Input::Lost(First)), [], "nobody is there to wait");
    assert_eq!(call.transition(Input::Back(First)), []);
    assert_eq!(call.transition(Input::Back(Second)), [Effect::DisarmLostTimer, Effect::Join]);
    assert_eq!(call.transition(Input::LostTimeout), []);
    assert_eq!(call.transition(Input::Lost(First)), [holds(Second), Effect::ArmLostTimer]);
}

#[test]
fn a_lost_leg_that_does_not_come_back_is_the_call_s_end() {
    let mut call = talking();
    call.transition(Input::Lost(Second));
    assert_eq!(
        call.transition(Input::LostTimeout),
        [Effect::DisarmRingTimer, Effect::Release(First, DEAD), Effect::Release(Second, DEAD), over(DEAD, true)]
    );
}

#[test]
fn a_lost_leg_s_place_is_taken_by_its_party_s_next_call() {
    let mut call = talking();
    call.transition(Input::Lost(Second));
    assert_eq!(call.transition(transfer(First)), [Effect::TellTransfer(First, TransferState::Refused)]);
    assert!(!call.may_be_succeeded(First), "the other leg stays where it is");
    assert_eq!(call.transition(Input::Replace(Second)), [Effect::Accept(Third)]);
    assert_eq!(
        call.transition(Input::Answered(Third)),
        [
            Effect::DisarmRingTimer,
            Effect::Exchange(Second),
            Effect::DisarmLostTimer,
            Effect::Join,
            Effect::Listen(Second),
            Effect::Release(Third, HangupCause::Transferred),
            Effect::Forget(Third)
        ]
    );
    assert_eq!(call.transition(Input::LostTimeout), []);
    assert_eq!(call.transition(Input::Lost(Second)), [holds(First), Effect::ArmLostTimer], "it may be lost again");
}

#[test]
fn a_transferor_that_is_lost_leaves_the_ring_back_to_the_party_that_stays() {
    let mut call = talking();
    call.transition(transfer(Second));
    let mut answered = call.clone();
    assert_eq!(call.transition(Input::Lost(Second)), [Effect::ArmLostTimer]);
    assert_eq!(call.transition(Input::Failed(Third, HangupCause::Busy)).last(), Some(&holds(First)));
    answered.transition(Input::Lost(Second));
    assert!(answered.transition(Input::Answered(Third)).contains(&Effect::DisarmLostTimer));
    assert_eq!(answered.transition(Input::LostTimeout), []);
}

#[test]
fn only_legs_of_a_call_that_talks_can_be_lost() {
    let mut call = Call::incoming(Plan::Join(agent()));
    call.transition(Input::Proceed);
    assert_eq!(call.transition(Input::Lost(First)), []);
    assert_eq!(call.transition(Input::Lost(Third)), []);
    let mut echo = Call::incoming(Plan::Application(App::Echo));
    echo.transition(Input::Proceed);
    assert_eq!(echo.transition(Input::Lost(First)), [Effect::ArmLostTimer], "an application waits for nobody");
    assert_eq!(echo.transition(Input::Back(First)), [Effect::DisarmLostTimer]);
}

#[test]
fn a_goodbye_ends_the_call_at_once_whichever_of_media_and_goodbye_went_first() {
    let cause = HangupCause::Normal;
    let ends = [Effect::DisarmRingTimer, Effect::Release(First, cause.clone()), over(cause.clone(), true)];
    let mut media_first = talking();
    media_first.transition(Input::Lost(Second));
    assert_eq!(media_first.transition(Input::Gone(Second, cause.clone())), ends);
    assert_eq!(media_first.transition(Input::LostTimeout), [], "nobody waits any more");
    let mut goodbye_first = talking();
    assert_eq!(goodbye_first.transition(Input::Gone(Second, cause)), ends);
    assert_eq!(goodbye_first.transition(Input::Lost(Second)), []);
}
