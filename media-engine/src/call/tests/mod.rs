//! How a call comes about, in the words of the machine; legs are numbered in the order in which they come.

mod losing;
mod model;
mod parking;
mod program;
mod recording;
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

/// A call and its clock.
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

    /// The effects of an input, but for who hears whom and how legs ended.
    pub(super) fn give(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = self.call.handle(input, self.now);
        effects.retain(|effect| !matches!(effect, Effect::Hearing(_) | Effect::Ended(..)));
        effects
    }

    /// How legs end by an input.
    pub(super) fn endings(&mut self, input: Input) -> Vec<(LegId, Ending)> {
        let effects = self.call.handle(input, self.now).into_iter();
        let ended = |effect| if let Effect::Ended(leg, ending) = effect { Some((leg, ending)) } else { None };
        effects.filter_map(ended).collect()
    }

    /// What happens when so much time has passed.
    pub(super) fn after(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.give(Input::Timeout)
    }

    /// The place of every leg that has one.
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
    assert_eq!(lab.places(), [], "nobody has media yet");
    let effects = lab.call.handle(Input::Answered(SECOND), lab.now);
    let joined = Effect::Hearing(lab.call.hearing());
    assert_eq!(effects, [Effect::Answer(FIRST), joined, BRIDGED], "who is told of the bridge finds it there");
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    let cause = HangupCause::Normal;
    let effects = lab.give(gone(FIRST, cause.clone()));
    assert_eq!(effects, [hangs_up(SECOND, Stage::Up, cause.clone()), over(cause, true)]);
}

#[test]
fn early_media_is_joined_once_and_goes_on_after_the_answer() {
    let mut lab = Lab::incoming(Plan::Join(customer()));
    assert_eq!(lab.give(Input::EarlyMedia(SECOND)), [], "nobody was called yet");
    lab.give(Input::Proceed);
    assert_eq!(lab.give(Input::EarlyMedia(FIRST)), []);
    assert_eq!(lab.give(Input::EarlyMedia(SECOND)), [Effect::AnswerEarly(FIRST), RINGING]);
    assert_eq!(lab.floor(), [FIRST, SECOND]);
    assert_eq!(lab.give(Input::EarlyMedia(SECOND)), [], "another branch of the callee");
    assert_eq!(lab.give(Input::Rang(SECOND)), [RINGING], "no ring-back over the callee's own");
    let effects = lab.call.handle(Input::Answered(SECOND), lab.now);
    assert_eq!(effects, [Effect::Answer(FIRST), BRIDGED], "they hear each other already");
    assert_eq!(lab.give(Input::EarlyMedia(SECOND)), [], "it is answered");
}

#[test]
fn early_media_of_a_callee_who_is_busy_after_all_is_refused_to_the_caller() {
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
fn a_direct_call_s_early_media_is_heard_by_whatever_listens() {
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
fn busy_agent_is_told_to_the_caller() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    lab.give(Input::Proceed);
    let busy = HangupCause::Busy;
    let effects = lab.give(gone(SECOND, busy.clone()));
    assert_eq!(effects, [hangs_up(FIRST, Stage::Offered, busy.clone()), over(busy, false)]);
}

#[test]
fn a_cause_of_one_leg_is_passed_on_to_the_others_and_its_words_are_not() {
    let mut lab = Lab::incoming(Plan::Join(customer()));
    lab.give(Input::Proceed);
    let ending = Ending { q850: Some(1), text: Some("No such number".into()), ..Ending::refused(404) };
    let told = Ending { sip_status: Some(404), q850: Some(1), ..HangupCause::NotFound.into() };
    assert_eq!(told.by, EndedBy::Tandem);
    let endings = lab.endings(Input::Gone(SECOND, ending.clone()));
    assert_eq!(endings, [(SECOND, ending), (FIRST, told)], "the caller was refused with 404");
}

#[test]
fn a_party_s_goodbye_ends_its_own_leg_and_tandem_the_other_one() {
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
    assert_eq!(lab.endings(Input::Drop(FIRST)), both, "whoever is left talks with nobody");
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
fn a_leg_that_leaves_others_talking_is_told_as_it_ended() {
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
fn each_of_two_legs_rings_as_long_as_it_was_given() {
    let (first, second) = (Duration::from_secs(7), Duration::from_secs(90));
    let timing = Timing { ring_first: Some(first), ring_second: Some(second), ..TIMING };
    let start = Start { legs: FIRST, timing, now: test_epoch() };
    let (call, _) = Call::outgoing(agent(), Plan::Join(customer()), LegRole::Agent, start);
    let mut lab = Lab { call, now: start.now };
    assert_eq!(lab.call.poll_timeout(), Some(lab.now + first));
    assert_eq!(lab.clone().after(first).last(), Some(&over(HangupCause::NoAnswer, false)));
    lab.give(Input::Answered(FIRST));
    assert_eq!(lab.call.poll_timeout(), Some(lab.now + second), "longer than any other leg may");
    assert_eq!(lab.after(second).last(), Some(&over(HangupCause::NoAnswer, false)));
}

#[test]
fn application_answers_at_once() {
    let mut lab = Lab::incoming(Plan::Application(App::Echo));
    assert_eq!(lab.give(Input::Proceed), [Effect::Answer(FIRST), BRIDGED]);
    assert_eq!(lab.places(), [(FIRST, Place::Scripted(App::Echo))]);
}

#[test]
fn a_call_on_which_nobody_decides_goes_on_after_two_seconds() {
    let mut lab = Lab::incoming(Plan::Join(agent()));
    assert_eq!(lab.after(TIMING.decision - Duration::from_millis(1)), []);
    let undecided = Effect::Tell(Notice::Undecided(None));
    assert_eq!(lab.after(Duration::from_millis(1)), [undecided, Effect::Ring(SECOND, agent())]);
    assert_eq!(lab.give(Input::Proceed), [], "the decision comes too late");
}

#[test]
fn a_call_ends_when_it_has_lasted_as_long_as_it_may_unless_somebody_is_in_need() {
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
fn a_call_names_no_more_legs_than_its_block_has() {
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
    assert_eq!(lab.floor(), [FIRST, SECOND], "the call goes on");
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
