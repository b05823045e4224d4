//! The set-up of calls, as the machine sees it; legs are numbered in the order in which they come.
//!
//! `Lab` is a call with a virtual clock: `give` takes an input and returns its effects, `after` lets time pass.
//!
//! Further files test one subject each: lost legs (`losing`), parking, call programs (`program`), recordings, screening,
//! successions, verbs,
//! and random inputs (`model`).

mod losing;
mod model;
mod parking;
mod program;
mod recording;
mod screening;
mod succession;
mod verbs;

use super::*;
use crate::config::{RouteConfig, RouteTarget};
use crate::units::test_epoch;

pub(super) const FIRST: LegId = LegId(1);
pub(super) const SECOND: LegId = LegId(2);
pub(super) const THIRD: LegId = LegId(3);
pub(super) const FOURTH: LegId = LegId(4);

pub(super) const TIMING: Timing = Timing {
    decision: Duration::from_secs(2),
    ring: Duration::from_secs(60),
    ring_first: None,
    ring_second: None,
    lost: Duration::from_secs(15),
    leave: Duration::from_secs(2),
    goodbye: Duration::from_secs(1),
    longest: Some(Duration::from_secs(3_600)),
};

/// A call with its virtual clock.
#[derive(Clone)]
pub(super) struct Lab {
    pub(super) call: Call,
    pub(super) now: Instant,
}

impl Lab {
    pub(super) fn incoming(plan: Plan) -> Lab {
        let now = test_epoch();
        let (call, first) = Call::incoming(plan, LegRole::Customer, Start { legs: FIRST, timing: TIMING, now });
        assert_eq!(first, FIRST);
        Lab { call, now }
    }

    pub(super) fn outgoing(to: Destination, plan: Plan) -> (Lab, Vec<Effect>) {
        let now = test_epoch();
        let (call, effects) = Call::outgoing(to, plan, LegRole::Agent, Start { legs: FIRST, timing: TIMING, now });
        (Lab { call, now }, effects)
    }

    /// Creates a call that dials a customer first.
    pub(super) fn outgoing_customer(plan: Plan) -> (Lab, Vec<Effect>) {
        let now = test_epoch();
        let start = Start { legs: FIRST, timing: TIMING, now };
        let (call, effects) = Call::outgoing(customer(), plan, LegRole::Customer, start);
        (Lab { call, now }, effects)
    }

    /// Returns the effects of an input, except topologies and endings of legs.
    pub(super) fn give(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = self.call.handle(input, self.now);
        effects.retain(|effect| !matches!(effect, Effect::Hearing(_) | Effect::Ended(..)));
        effects
    }

    /// Returns the endings of legs that an input causes.
    pub(super) fn endings(&mut self, input: Input) -> Vec<(LegId, Ending)> {
        let effects = self.call.handle(input, self.now).into_iter();
        let ended = |effect| if let Effect::Ended(leg, ending) = effect { Some((leg, ending)) } else { None };
        effects.filter_map(ended).collect()
    }

    /// Lets time pass, and returns the effects of the time-out.
    pub(super) fn after(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.give(Input::Timeout)
    }

    /// Returns the place of every leg that has media.
    pub(super) fn places(&self) -> Vec<(LegId, Place)> {
        self.call.hearing().places().collect()
    }

    pub(super) fn floor(&self) -> Vec<LegId> {
        self.call.hearing().floor().collect()
    }
}

pub(super) fn agent() -> Destination {
    Destination::Agent("ana".into())
}

pub(super) fn customer() -> Destination {
    Destination::Trunk { trunk: "carrier".into(), user: "+15555550142".into() }
}

pub(super) fn over(cause: HangupCause, answered: bool) -> Effect {
    Effect::Tell(Notice::Over { cause, answered })
}

pub(super) fn gone(leg: LegId, cause: HangupCause) -> Input {
    Input::Gone(leg, cause.into())
}

pub(super) fn hangs_up(leg: LegId, stage: Stage, cause: HangupCause) -> Effect {
    Effect::HangUp { leg, stage, cause }
}

const RINGING: Effect = Effect::Tell(Notice::Ringing);
const ANSWERED: Effect = Effect::Tell(Notice::Answered);
const BRIDGED: Effect = Effect::Tell(Notice::Bridged);

#[test]
fn incoming_call_is_joined_when_the_agent_answers() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    assert_eq!(lab.give(Input::Proceed), [Effect::Ring(SECOND, agent())]);
    assert_eq!(lab.give(Input::Rang(SECOND)), [Effect::Alert(FIRST), RINGING]);
    assert_eq!(lab.places(), [], "no leg has media yet");
    let effects = lab.call.handle(Input::Answered(SECOND), lab.now);
    let joined = Effect::Hearing(lab.call.hearing());
    assert_eq!(effects, [Effect::Answer(FIRST), joined, BRIDGED], "the bridge is in place before it is reported");
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    let cause = HangupCause::Normal;
    let effects = lab.give(gone(FIRST, cause.clone()));
    assert_eq!(effects, [hangs_up(SECOND, Stage::Up, cause.clone()), over(cause, true)]);
}

#[test]
fn early_media_is_joined_once_and_continues_after_the_answer() {
    let mut lab = Lab::incoming(Plan::Join(customer()));
    assert_eq!(lab.give(Input::EarlyMedia(SECOND)), [], "no leg has been called yet");
    lab.give(Input::Proceed);
    assert_eq!(lab.give(Input::EarlyMedia(FIRST)), []);
    assert_eq!(lab.give(Input::EarlyMedia(SECOND)), [Effect::AnswerEarly(FIRST), RINGING]);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    assert_eq!(lab.give(Input::EarlyMedia(SECOND)), [], "another branch of the callee");
    assert_eq!(lab.give(Input::Rang(SECOND)), [RINGING], "the callee's own ring-back is not covered by ours");
    let effects = lab.call.handle(Input::Answered(SECOND), lab.now);
    assert_eq!(effects, [Effect::Answer(FIRST), BRIDGED], "the legs hear each other already");
    assert_eq!(lab.give(Input::EarlyMedia(SECOND)), [], "the leg has been answered");
}

#[test]
fn a_callee_who_is_busy_after_early_media_is_reported_busy_to_the_caller() {
    let mut lab = Lab::incoming(Plan::Join(customer()));
    lab.give(Input::Proceed);
    lab.give(Input::EarlyMedia(SECOND));
    let busy = HangupCause::Busy;
    let effects = lab.give(gone(SECOND, busy.clone()));
    assert_eq!(effects, [hangs_up(FIRST, Stage::Offered, busy.clone()), over(busy, false)]);
}

#[test]
fn an_agent_who_waits_hears_ring_back_and_then_the_customer_s_early_media() {
    let (mut lab, _) = Lab::outgoing(agent(), Plan::Join(customer()));
    lab.give(Input::Answered(FIRST));
    assert_eq!(lab.places(), [(FIRST, Place::Aside(Sound::Ringback))]);
    assert_eq!(lab.give(Input::EarlyMedia(SECOND)), []);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    assert_eq!(lab.give(Input::Answered(SECOND)), [BRIDGED]);
}

#[test]
fn early_media_of_a_direct_call_is_available_to_consumers() {
    let (mut lab, _) = Lab::outgoing(customer(), Plan::Application(App::Record));
    assert_eq!(lab.give(Input::EarlyMedia(FIRST)), [RINGING, Effect::Tell(Notice::EarlyMedia)]);
    assert_eq!(lab.places(), [(FIRST, Place::Floor)]);
    assert_eq!(lab.give(Input::EarlyMedia(FIRST)), []);
    assert_eq!(lab.give(Input::Answered(FIRST)), [BRIDGED]);
    assert_eq!(lab.places(), [(FIRST, Place::Scripted(App::Record))]);
    let (mut bridge, _) = Lab::outgoing(agent(), Plan::Join(customer()));
    assert_eq!(bridge.give(Input::EarlyMedia(FIRST)), [RINGING]);
    assert_eq!(bridge.places(), [], "the customer is not there yet");
}

#[test]
fn caller_who_gives_up_cancels_the_agent() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    let cause = HangupCause::Cancelled;
    let effects = lab.give(gone(FIRST, cause.clone()));
    assert_eq!(effects, [hangs_up(SECOND, Stage::Dialling, cause.clone()), over(cause, false)]);
}

#[test]
fn a_busy_agent_is_reported_to_the_caller() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    let busy = HangupCause::Busy;
    let effects = lab.give(gone(SECOND, busy.clone()));
    assert_eq!(effects, [hangs_up(FIRST, Stage::Offered, busy.clone()), over(busy, false)]);
}

#[test]
fn the_cause_of_one_leg_is_passed_on_to_the_others_but_its_text_is_not() {
    let mut lab = Lab::incoming(Plan::Join(customer()));
    lab.give(Input::Proceed);
    let ending = Ending { q850: Some(1), text: Some("No such number".into()), ..Ending::refused(404) };
    let passed_on = Ending { sip_status: Some(404), q850: Some(1), ..HangupCause::NotFound.into() };
    assert_eq!(passed_on.by, EndedBy::Tandem);
    let endings = lab.endings(Input::Gone(SECOND, ending.clone()));
    assert_eq!(endings, [(SECOND, ending), (FIRST, passed_on)], "the caller was refused with 404");
}

#[test]
fn a_party_that_hangs_up_ends_its_own_leg_and_tandem_ends_the_other() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    lab.give(Input::Answered(SECOND));
    let goodbye = Ending { q850: Some(31), ..Ending::far_end(HangupCause::Normal) };
    let other = Ending { by: EndedBy::Tandem, ..goodbye.clone() };
    assert_eq!(lab.clone().endings(Input::Gone(FIRST, goodbye.clone())), [(FIRST, goodbye), (SECOND, other)]);
    let requested: Ending = HangupCause::Requested.into();
    assert_eq!(requested.by, EndedBy::Request);
    let both = [(FIRST, requested.clone()), (SECOND, requested)];
    assert_eq!(lab.clone().endings(Input::HangUp(HangupCause::Requested)), both);
    assert_eq!(lab.endings(Input::Drop(FIRST)), both, "the party that is left has no partner");
}

#[test]
fn a_leg_that_rings_too_long_is_ended_by_tandem() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    lab.now += TIMING.ring;
    let late: Ending = HangupCause::NoAnswer.into();
    let refused = Ending { sip_status: Some(480), ..late.clone() };
    assert_eq!(lab.endings(Input::Timeout), [(FIRST, refused), (SECOND, late)]);
}

#[test]
fn the_ending_of_a_leg_is_reported_when_the_others_keep_talking() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    lab.give(Input::Answered(SECOND));
    lab.give(Input::Add {
        to: customer(),
        role: LegRole::Customer,
        supervises: None,
        ring: None,
        or_else: Vec::new(),
        if_fails: IfFails::Return,
        notice: false,
    });
    let denied: Ending = HangupCause::Rejected.into();
    assert_eq!(lab.clone().endings(Input::Denied(THIRD, denied.clone())), [(THIRD, denied)]);
    lab.give(Input::Allowed(THIRD));
    assert_eq!(lab.endings(Input::Drop(THIRD)), [(THIRD, HangupCause::Requested.into())]);
}

#[test]
fn bridge_calls_the_agent_then_the_customer_then_joins() {
    let (mut lab, effects) = Lab::outgoing(agent(), Plan::Join(customer()));
    assert_eq!(effects, [Effect::Ring(FIRST, agent())]);
    assert_eq!(lab.give(Input::Rang(FIRST)), [RINGING]);
    assert_eq!(lab.give(Input::Answered(FIRST)), [ANSWERED, Effect::Ring(SECOND, customer())]);
    assert_eq!(lab.call.role(FIRST), Some(LegRole::Agent));
    assert_eq!(lab.call.role(SECOND), Some(LegRole::Customer));
    assert_eq!(lab.give(Input::Rang(SECOND)), []);
    assert_eq!(lab.give(Input::Answered(SECOND)), [BRIDGED]);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
}

#[test]
fn customer_without_answer_releases_the_agent_and_counts_as_failed() {
    let (mut lab, _) = Lab::outgoing(agent(), Plan::Join(customer()));
    lab.give(Input::Answered(FIRST));
    let cause = HangupCause::NoAnswer;
    assert_eq!(lab.call.poll_timeout(), Some(lab.now + TIMING.ring));
    let effects = lab.after(TIMING.ring);
    let ends = [FIRST, SECOND].map(|leg| {
        let stage = if leg == FIRST { Stage::Up } else { Stage::Dialling };
        hangs_up(leg, stage, cause.clone())
    });
    assert_eq!(effects[..2], ends);
    assert_eq!(effects[2..], [over(cause, false)]);
}

#[test]
fn each_of_two_legs_has_its_own_ring_time() {
    let (first, second) = (Duration::from_secs(7), Duration::from_secs(90));
    let timing = Timing { ring_first: Some(first), ring_second: Some(second), ..TIMING };
    let start = Start { legs: FIRST, timing, now: test_epoch() };
    let (call, _) = Call::outgoing(agent(), Plan::Join(customer()), LegRole::Agent, start);
    let mut lab = Lab { call, now: start.now };
    assert_eq!(lab.call.poll_timeout(), Some(lab.now + first));
    assert_eq!(lab.clone().after(first).last(), Some(&over(HangupCause::NoAnswer, false)));
    lab.give(Input::Answered(FIRST));
    assert_eq!(
        lab.call.poll_timeout(),
        Some(lab.now + second),
        "the second leg has a longer ring time than the default"
    );
    assert_eq!(lab.after(second).last(), Some(&over(HangupCause::NoAnswer, false)));
}

#[test]
fn application_answers_at_once() {
    let mut lab = Lab::incoming(Plan::Application(App::Echo));
    assert_eq!(lab.give(Input::Proceed), [Effect::Answer(FIRST), BRIDGED]);
    assert_eq!(lab.places(), [(FIRST, Place::Scripted(App::Echo))]);
}

#[test]
fn an_undecided_call_proceeds_after_two_seconds() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    assert_eq!(lab.after(TIMING.decision - Duration::from_millis(1)), []);
    let undecided = Effect::Tell(Notice::Undecided(None));
    assert_eq!(lab.after(Duration::from_millis(1)), [undecided, Effect::Ring(SECOND, agent())]);
    assert_eq!(lab.give(Input::Proceed), [], "the decision comes too late");
}

#[test]
fn a_call_ends_after_its_maximum_duration_unless_it_is_an_emergency_call() {
    let mut lab = Lab::incoming(Plan::Hold);
    lab.give(Input::Proceed);
    let cause = HangupCause::MaxDuration;
    let ends = [Effect::Tell(Notice::TooLong), hangs_up(FIRST, Stage::Up, cause.clone()), over(cause, true)];
    assert_eq!(lab.after(Duration::from_secs(3_600)), ends);
    let emergency = Destination::Emergency { trunk: "carrier".into(), user: "112".into() };
    let mut urgent = Lab::incoming(Plan::Join(emergency));
    urgent.give(Input::Proceed);
    urgent.give(Input::Answered(SECOND));
    assert_eq!(urgent.call.poll_timeout(), None);
}

#[test]
fn a_call_has_no_more_legs_than_ids_in_its_block() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    lab.give(Input::Answered(SECOND));
    for _ in 2..LEGS {
        let heir = lab.call.next_leg();
        lab.give(Input::Transfer { by: SECOND, to: Some(customer()) });
        lab.give(Input::Denied(heir, HangupCause::Rejected.into()));
    }
    let refused = Notice::Transfer { by: SECOND, role: LegRole::Agent, heir: None, state: TransferState::Refused };
    assert_eq!(lab.give(Input::Transfer { by: SECOND, to: Some(customer()) }), [Effect::Tell(refused)]);
    assert_eq!(lab.floor(), [FIRST, SECOND], "the call continues");
}

#[test]
fn first_matching_route_wins() {
    let routes = [
        RouteConfig { pattern: "echo".into(), to: RouteTarget::App(App::Echo) },
        RouteConfig { pattern: "+1555*".into(), to: RouteTarget::Agent("ana".into()) },
        RouteConfig { pattern: "*".into(), to: RouteTarget::Trunk("out".into()) },
    ];
    assert_eq!(route(&routes, "echo"), Some(&RouteTarget::App(App::Echo)));
    assert_eq!(route(&routes, "+15555550142"), Some(&RouteTarget::Agent("ana".into())));
    assert_eq!(route(&routes, "+34910000000"), Some(&RouteTarget::Trunk("out".into())));
    assert_eq!(route(&routes[..2], "other"), None);
}

#[test]
fn patterns_match_runs_and_single_characters() {
    for (pattern, text, fits) in [
        ("", "", true),
        ("*", "", true),
        ("a*c", "abbbc", true),
        ("a*c", "abbb", false),
        ("?", "", false),
        ("1??", "123", true),
        ("*9*", "129", true),
        ("*ab", "aab", true),
    ] {
        assert_eq!(pattern_matches(pattern, text), fits, "{pattern} {text}");
    }
}
