//! Legs that are lost for a while, and legs whose media dies.

use super::succession::{talking, transfer};
use super::*;

const DEAD: HangupCause = HangupCause::MediaTimeout;

fn waits(lab: &Lab, leg: LegId, sound: Sound) -> bool {
    lab.call.hearing().place(leg) == Some(Place::Aside(sound))
}

#[test]
fn while_a_leg_is_lost_the_other_one_hears_that_it_waits() {
    let mut lab = talking();
    assert_eq!(lab.give(Input::Lost(SECOND)), [Effect::Tell(Notice::Lost(SECOND))]);
    assert!(waits(&lab, FIRST, Sound::Hold) && waits(&lab, SECOND, Sound::Silence));
    assert_eq!(lab.give(Input::Lost(SECOND)), [], "that was known");
    assert_eq!(lab.give(Input::Lost(FIRST)), [], "nobody is there to wait");
    assert_eq!(lab.give(Input::Back(FIRST)), []);
    assert!(waits(&lab, FIRST, Sound::Hold));
    lab.give(Input::Back(SECOND));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    assert_eq!(lab.after(TIMING.lost), []);
    lab.give(Input::Lost(FIRST));
    assert!(waits(&lab, SECOND, Sound::Hold));
}

#[test]
fn a_lost_leg_that_does_not_come_back_is_the_call_s_end() {
    let mut lab = talking();
    lab.give(Input::Lost(SECOND));
    let ends = [hangs_up(FIRST, Stage::Up, DEAD), hangs_up(SECOND, Stage::Up, DEAD), over(DEAD, true)];
    assert_eq!(lab.after(TIMING.lost), ends);
}

#[test]
fn a_lost_leg_s_place_is_taken_by_its_party_s_next_call() {
    let mut lab = talking();
    lab.give(Input::Lost(SECOND));
    let refused = Notice::Transfer { by: FIRST, role: LegRole::Customer, heir: None, state: TransferState::Refused };
    assert_eq!(lab.give(transfer(FIRST)), [Effect::Tell(refused)]);
    assert!(!lab.call.may_be_succeeded(FIRST), "the other leg stays where it is");
    assert_eq!(lab.give(Input::Replace(SECOND)), [Effect::Answer(THIRD)]);
    let moved = hangs_up(SECOND, Stage::Up, HangupCause::Transferred);
    assert_eq!(lab.give(Input::Answered(THIRD)), [moved, Effect::Forget(SECOND)]);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
    assert_eq!(lab.after(TIMING.lost), []);
    lab.give(Input::Lost(THIRD));
    assert!(waits(&lab, FIRST, Sound::Hold), "it may be lost again");
}

#[test]
fn a_transferor_that_is_lost_leaves_the_ring_back_to_the_party_that_stays() {
    let mut lab = talking();
    lab.give(transfer(SECOND));
    lab.give(Input::Allowed(THIRD));
    lab.give(Input::Lost(SECOND));
    assert!(waits(&lab, FIRST, Sound::Wait));
    let mut answered = lab.clone();
    lab.give(gone(THIRD, HangupCause::Busy));
    assert!(waits(&lab, FIRST, Sound::Hold));
    answered.give(Input::Answered(THIRD));
    assert_eq!(answered.floor(), [FIRST, THIRD]);
    assert!(!answered.after(TIMING.lost).iter().any(|effect| matches!(effect, Effect::Tell(Notice::Over { .. }))));
}

#[test]
fn only_legs_of_a_call_that_talks_can_be_lost() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    assert_eq!(lab.give(Input::Lost(FIRST)), []);
    assert_eq!(lab.give(Input::Lost(THIRD)), []);
    let mut echo = Lab::incoming(Plan::Application(App::Echo));
    echo.give(Input::Proceed);
    echo.give(Input::Lost(FIRST));
    assert_eq!(echo.places(), [(FIRST, Place::Scripted(App::Echo))], "an application waits for nobody");
    echo.give(Input::Back(FIRST));
    assert_eq!(echo.after(TIMING.lost), []);
}

#[test]
fn a_goodbye_ends_the_call_at_once_whichever_of_media_and_goodbye_went_first() {
    let cause = HangupCause::Normal;
    let ends = [hangs_up(FIRST, Stage::Up, cause.clone()), over(cause.clone(), true)];
    for media in [Input::Lost(SECOND), Input::MediaGone(SECOND)] {
        let mut media_first = talking();
        media_first.give(media.clone());
        assert_eq!(media_first.give(gone(SECOND, cause.clone())), ends);
        assert_eq!(media_first.after(TIMING.lost), [], "nobody waits any more");
        let mut goodbye_first = talking();
        assert_eq!(goodbye_first.give(gone(SECOND, cause.clone())), ends);
        assert_eq!(goodbye_first.give(media), []);
    }
}

#[test]
fn a_leg_whose_media_has_gone_has_a_second_for_its_goodbye() {
    let mut lab = talking();
    lab.give(Input::MediaGone(SECOND));
    lab.now += TIMING.goodbye / 2;
    lab.give(Input::MediaGone(SECOND));
    assert_eq!(lab.after(TIMING.goodbye / 2).last(), Some(&over(DEAD, true)), "the first time counts");
}

#[test]
fn a_callee_whose_early_media_breaks_has_not_failed_to_answer() {
    let mut lab = Lab::incoming(Plan::Join(customer()));
    lab.give(Input::Proceed);
    lab.give(Input::EarlyMedia(SECOND));
    lab.give(Input::MediaGone(SECOND));
    assert_eq!(lab.after(TIMING.goodbye).last(), Some(&over(DEAD, false)));
}

#[test]
fn a_dead_party_is_the_call_s_end_and_a_dead_leg_beside_it_is_not() {
    let mut lab = talking();
    lab.give(transfer(SECOND));
    lab.give(Input::Allowed(THIRD));
    assert_eq!(lab.give(Input::MediaDead(THIRD)), [], "its own clock decides about a leg that rings");
    let mut first = lab.clone();
    assert_eq!(first.give(Input::MediaDead(FIRST)).last(), Some(&over(DEAD, true)));
    lab.give(Input::Answered(THIRD));
    assert_eq!(lab.give(Input::MediaDead(SECOND)), [], "it is about to leave");
    assert_eq!(lab.give(Input::MediaDead(THIRD)).last(), Some(&over(DEAD, true)));
}
