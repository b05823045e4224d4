//! The four state machines under virtual time.

use super::*;
use crate::units::test_epoch;

const UDP: Pace = Pace {
    timers: Timers { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) },
    reliable: false,
};
const TCP: Pace = Pace { reliable: true, ..UDP };

/// Runs a machine until it ends, driven only by its deadlines; returns when it sent, in milliseconds, and whether it
/// timed out.
fn run<S: Copy>(
    mut state: S,
    start: Instant,
    deadline: impl Fn(&S) -> Option<Instant>,
    on_timer: impl Fn(S, Instant) -> (Option<S>, Effects),
) -> (Vec<u128>, u128, bool) {
    let mut sent = Vec::new();
    let mut now = start;
    for _ in 0..1_000 {
        let Some(next) = deadline(&state) else { panic!("a state without deadline") };
        assert!(next >= now);
        now = next;
        let (following, effects) = on_timer(state, now);
        if effects.transmit {
            sent.push((now - start).as_millis());
        }
        match following {
            Some(following) => state = following,
            None => return (sent, (now - start).as_millis(), effects.timed_out),
        }
    }
    panic!("the machine never ends");
}

#[test]
fn an_unanswered_invite_is_sent_seven_times_and_given_up_after_32_seconds() {
    let start = test_epoch();
    let (sent, ended, timed_out) =
        run(ClientInvite::start(start, &UDP), start, |s| s.deadline(), |s, now| s.on_timer(now));
    assert_eq!(sent, [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!((ended, timed_out), (32_000, true));
    let (sent, ended, _) = run(ClientInvite::start(start, &TCP), start, |s| s.deadline(), |s, now| s.on_timer(now));
    assert_eq!((sent, ended), (vec![], 32_000), "over TCP it is sent once");
}

#[test]
fn an_unanswered_bye_is_sent_at_intervals_up_to_t2() {
    let start = test_epoch();
    let (sent, ended, timed_out) =
        run(ClientNonInvite::start(start, &UDP), start, |s| Some(s.deadline()), |s, now| s.on_timer(now, &UDP));
    assert_eq!(sent, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!((ended, timed_out), (32_000, true));
}

#[test]
fn a_provisional_answer_stops_invite_and_slows_the_others() {
    let start = test_epoch();
    let now = start + Duration::from_millis(100);
    let (state, effects) = ClientInvite::start(start, &UDP).on_response(StatusClass::Provisional, now, &UDP);
    assert_eq!((state, effects), (Some(ClientInvite::Proceeding), Effects::DELIVER));
    assert_eq!(ClientInvite::Proceeding.deadline(), None);
    let (state, _) = ClientNonInvite::start(start, &UDP).on_response(StatusClass::Provisional, now, &UDP);
    assert_eq!(state.unwrap().deadline(), now + UDP.timers.t2);
}

#[test]
fn every_2xx_reaches_the_user_for_64_t1() {
    let start = test_epoch();
    let (state, effects) = ClientInvite::Proceeding.on_response(StatusClass::Success, start, &UDP);
    assert_eq!(effects, Effects::DELIVER);
    let state = state.unwrap();
    assert_eq!(state.on_response(StatusClass::Success, start, &UDP), (Some(state), Effects::DELIVER));
    assert_eq!(state.on_response(StatusClass::Failure, start, &UDP), (Some(state), Effects::NONE));
    assert_eq!(state.deadline(), Some(start + Duration::from_secs(32)));
    assert_eq!(state.on_timer(start + Duration::from_secs(32)), (None, Effects::NONE));
}

#[test]
fn every_copy_of_a_failure_is_acknowledged_but_reported_once() {
    let start = test_epoch();
    let (state, effects) = ClientInvite::start(start, &UDP).on_response(StatusClass::Failure, start, &UDP);
    assert_eq!(effects, Effects { acknowledge: true, deliver: true, ..Effects::NONE });
    let state = state.unwrap();
    assert_eq!(state.on_response(StatusClass::Failure, start, &UDP), (Some(state), Effects::TRANSMIT));
    assert_eq!(state.on_timer(start + Duration::from_secs(32)).0, None);
    let (state, _) = ClientInvite::start(start, &TCP).on_response(StatusClass::Failure, start, &TCP);
    assert_eq!(state, None, "over TCP no copy can come");
}

#[test]
fn a_refused_invite_repeats_its_answer_until_the_ack() {
    let start = test_epoch();
    let (state, effects) = ServerInvite::Proceeding.on_answer(StatusClass::Failure, start, &UDP);
    assert_eq!(effects, Effects::TRANSMIT);
    let state = state.unwrap();
    let (sent, ended, timed_out) = run(state, start, |s| s.deadline(), |s, now| s.on_timer(now, &UDP));
    assert_eq!(sent, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!((ended, timed_out), (32_000, true));
    assert_eq!(state.on_request().1, Effects::TRANSMIT);
    let confirmed = state.on_ack(start, &UDP).0.unwrap();
    assert_eq!(confirmed, ServerInvite::Confirmed { until: start + UDP.timers.t4 });
    assert_eq!(confirmed.on_request().1, Effects::NONE);
    assert_eq!(confirmed.on_ack(start, &UDP).0, Some(confirmed));
    assert_eq!(confirmed.on_timer(start + UDP.timers.t4, &UDP).0, None);
    let refused = ServerInvite::Proceeding.on_answer(StatusClass::Failure, start, &TCP).0.unwrap();
    assert_eq!(refused.deadline(), Some(start + Duration::from_secs(32)), "timer H also over TCP");
    assert_eq!(refused.on_ack(start, &TCP).0, None);
}

#[test]
fn an_accepted_invite_absorbs_copies_for_64_t1() {
    let start = test_epoch();
    let state = ServerInvite::Proceeding.on_answer(StatusClass::Success, start, &UDP).0.unwrap();
    assert_eq!(state.on_request(), (Some(state), Effects::NONE));
    assert_eq!(state.on_answer(StatusClass::Failure, start, &UDP), (Some(state), Effects::NONE));
    assert_eq!(state.on_timer(start + Duration::from_secs(32), &UDP).0, None);
}

#[test]
fn a_request_is_answered_again_for_64_t1_over_udp_only() {
    let start = test_epoch();
    assert_eq!(ServerNonInvite::Trying.on_request(), (Some(ServerNonInvite::Trying), Effects::NONE));
    let (state, effects) = ServerNonInvite::Trying.on_answer(start, &UDP);
    assert_eq!(effects, Effects::TRANSMIT);
    let state = state.unwrap();
    assert_eq!(state.on_request(), (Some(state), Effects::TRANSMIT));
    assert_eq!(state.on_answer(start, &UDP), (Some(state), Effects::NONE), "one final answer only");
    assert_eq!(state.on_timer(start + Duration::from_secs(32)).0, None);
    assert_eq!(ServerNonInvite::Trying.on_answer(start, &TCP), (None, Effects::TRANSMIT));
}
