//! Lost legs, and legs whose media dies.

use super::succession::{talking, transfer};
use super::*;

const DEAD: HangupCause = HangupCause::MediaTimeout;

fn waits(lab: &Lab, leg: LegId, sound: Sound) -> bool {
    lab.call.hearing().place(leg) == Some(Place::Aside(sound))
}

#[test]
fn while_a_leg_is_lost_its_partner_hears_music_on_hold() {
    let mut lab = talking();
    assert_eq!(lab.give(Input::Lost(SECOND)), [Effect::Tell(Notice::Lost(SECOND))]);
    assert!(waits(&lab, FIRST, Sound::Hold) && waits(&lab, SECOND, Sound::Silence));
    assert_eq!(lab.give(Input::Lost(SECOND)), [], "the leg is known to be lost");
    assert_eq!(lab.give(Input::Lost(FIRST)), [], "no other leg is left to wait");
    assert_eq!(lab.give(Input::Back(FIRST)), []);
    assert!(waits(&lab, FIRST, Sound::Hold));
    lab.give(Input::Back(SECOND));
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    assert_eq!(lab.after(TIMING.lost), []);
    lab.give(Input::Lost(FIRST));
    assert!(waits(&lab, SECOND, Sound::Hold));
}

#[test]
fn a_lost_leg_that_does_not_come_back_ends_the_call() {
    let mut lab = talking();
    lab.give(Input::Lost(SECOND));
    let ends = [hangs_up(FIRST, Stage::Up, DEAD), hangs_up(SECOND, Stage::Up, DEAD), over(DEAD, true)];
    assert_eq!(lab.after(TIMING.lost), ends);
}

#[test]
fn the_next_call_of_its_party_replaces_a_lost_leg() {
    let mut lab = talking();
    lab.give(Input::Lost(SECOND));
    let refused = Notice::Transfer { by: FIRST, role: LegRole::Customer, heir: None, state: TransferState::Refused };
    assert_eq!(lab.give(transfer(FIRST)), [Effect::Tell(refused)]);
    assert!(!lab.call.may_be_succeeded(FIRST), "the other leg cannot be transferred meanwhile");
    assert_eq!(lab.give(Input::Replace(SECOND)), [Effect::Answer(THIRD)]);
    let moved = hangs_up(SECOND, Stage::Up, HangupCause::Transferred);
    assert_eq!(lab.give(Input::Answered(THIRD)), [moved, Effect::Forget(SECOND)]);
    assert_eq!(lab.floor(), [FIRST, THIRD]);
    assert_eq!(lab.after(TIMING.lost), []);
    lab.give(Input::Lost(THIRD));
    assert!(waits(&lab, FIRST, Sound::Hold), "the new leg may be lost in turn");
}

#[test]
fn a_lost_transferor_does_not_interrupt_the_ring_back_of_the_other_party() {
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
fn only_legs_of_a_talking_call_can_be_lost() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    assert_eq!(lab.give(Input::Lost(FIRST)), []);
    assert_eq!(lab.give(Input::Lost(THIRD)), []);
    let mut echo = Lab::incoming(Plan::Application(App::Echo));
    echo.give(Input::Proceed);
    echo.give(Input::Lost(FIRST));
    assert_eq!(echo.places(), [(FIRST, Place::Scripted(App::Echo))], "an application does not wait for a lost leg");
    echo.give(Input::Back(FIRST));
    assert_eq!(echo.after(TIMING.lost), []);
}

#[test]
fn a_bye_ends_the_call_at_once_before_or_after_the_end_of_the_media() {
    let cause = HangupCause::Normal;
    let ends = [hangs_up(FIRST, Stage::Up, cause.clone()), over(cause.clone(), true)];
    for media in [Input::Lost(SECOND), Input::MediaGone(SECOND)] {
        let mut media_first = talking();
        media_first.give(media.clone());
        assert_eq!(media_first.give(gone(SECOND, cause.clone())), ends);
        assert_eq!(media_first.after(TIMING.lost), [], "no time-out is left");
        let mut goodbye_first = talking();
        assert_eq!(goodbye_first.give(gone(SECOND, cause.clone())), ends);
        assert_eq!(goodbye_first.give(media), []);
    }
}

#[test]
fn a_leg_whose_media_has_gone_has_one_second_for_its_bye() {
    let mut lab = talking();
    lab.give(Input::MediaGone(SECOND));
    lab.now += TIMING.goodbye / 2;
    lab.give(Input::MediaGone(SECOND));
    assert_eq!(lab.after(TIMING.goodbye / 2).last(), Some(&over(DEAD, true)), "the time runs from the first report");
}

#[test]
fn broken_early_media_of_a_callee_is_reported_as_a_media_timeout() {
    let mut lab = Lab::incoming(Plan::Join(customer()));
    lab.give(Input::Proceed);
    lab.give(Input::EarlyMedia(SECOND));
    lab.give(Input::MediaGone(SECOND));
    assert_eq!(lab.after(TIMING.goodbye).last(), Some(&over(DEAD, false)));
}

#[test]
fn a_dead_party_ends_the_call_but_a_dead_leg_beside_it_does_not() {
    let mut lab = talking();
    lab.give(transfer(SECOND));
    lab.give(Input::Allowed(THIRD));
    assert_eq!(lab.give(Input::MediaDead(THIRD)), [], "a ringing leg ends only by its own time-out");
    let mut first = lab.clone();
    assert_eq!(first.give(Input::MediaDead(FIRST)).last(), Some(&over(DEAD, true)));
    lab.give(Input::Answered(THIRD));
    assert_eq!(lab.give(Input::MediaDead(SECOND)), [], "the leg is leaving already");
    assert_eq!(lab.give(Input::MediaDead(THIRD)).last(), Some(&over(DEAD, true)));
}
