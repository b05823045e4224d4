use super::*;
use crate::config::{RouteConfig, RouteTarget};

pub(super) fn agent() -> Destination {
    Destination::Agent("ana".into())
}

pub(super) fn customer() -> Destination {
    Destination::Trunk { trunk: "carrier".into(), user: "+15555550142".into() }
}

pub(super) fn over(cause: HangupCause, answered: bool) -> Effect {
    Effect::TellOver { cause, answered }
}

#[test]
fn incoming_call_is_joined_when_the_agent_answers() {
    let mut call = Call::incoming(Plan::Join(agent()));
    assert_eq!(call.transition(Input::Proceed), [Effect::Dial(Side::Second, agent()), Effect::ArmRingTimer]);
    assert_eq!(call.transition(Input::Ringing(Side::Second)), [Effect::Alert(Side::First), Effect::TellRinging]);
    assert_eq!(
        call.transition(Input::Answered(Side::Second)),
        [Effect::DisarmRingTimer, Effect::Accept(Side::First), Effect::Join, Effect::TellBridged]
    );
    assert_eq!(
        call.transition(Input::Gone(Side::First, HangupCause::Normal)),
        [Effect::DisarmRingTimer, Effect::Release(Side::Second, HangupCause::Normal), over(HangupCause::Normal, true)]
    );
}

#[test]
fn early_media_is_joined_once_and_goes_on_after_the_answer() {
    let mut call = Call::incoming(Plan::Join(customer()));
    assert_eq!(call.transition(Input::EarlyMedia(Side::Second)), [], "nobody was called yet");
    call.transition(Input::Proceed);
    assert_eq!(call.transition(Input::EarlyMedia(Side::First)), []);
    assert_eq!(
        call.transition(Input::EarlyMedia(Side::Second)),
        [Effect::AnswerEarly(Side::First), Effect::Join, Effect::TellRinging]
    );
    assert_eq!(call.transition(Input::EarlyMedia(Side::Second)), [], "another branch of the callee");
    assert_eq!(
        call.transition(Input::Ringing(Side::Second)),
        [Effect::TellRinging],
        "no ring-back over the callee's own"
    );
    assert_eq!(
        call.transition(Input::Answered(Side::Second)),
        [Effect::DisarmRingTimer, Effect::Accept(Side::First), Effect::TellBridged]
    );
    assert_eq!(call.transition(Input::EarlyMedia(Side::Second)), [], "it is answered");
}

#[test]
fn early_media_of_a_callee_who_is_busy_after_all_is_refused_to_the_caller() {
    let mut call = Call::incoming(Plan::Join(customer()));
    call.transition(Input::Proceed);
    call.transition(Input::EarlyMedia(Side::Second));
    assert_eq!(
        call.transition(Input::Failed(Side::Second, HangupCause::Busy)),
        [Effect::DisarmRingTimer, Effect::Reject(Side::First, HangupCause::Busy), over(HangupCause::Busy, false)]
    );
}

#[test]
fn an_agent_who_waits_hears_the_customer_s_early_media() {
    let (mut call, _) = Call::outgoing(agent(), Plan::Join(customer()));
    call.transition(Input::Answered(Side::First));
    assert_eq!(call.transition(Input::EarlyMedia(Side::Second)), [Effect::Join]);
    assert_eq!(call.transition(Input::Answered(Side::Second)), [Effect::DisarmRingTimer, Effect::TellBridged]);
}

#[test]
fn caller_who_gives_up_cancels_the_agent() {
    let mut call = Call::incoming(Plan::Join(agent()));
    call.transition(Input::Proceed);
    assert_eq!(
        call.transition(Input::Gone(Side::First, HangupCause::Cancelled)),
        [Effect::DisarmRingTimer, Effect::Cancel(Side::Second), over(HangupCause::Cancelled, false)]
    );
}

#[test]
fn busy_agent_is_told_to_the_caller() {
    let mut call = Call::incoming(Plan::Join(agent()));
    call.transition(Input::Proceed);
    assert_eq!(
        call.transition(Input::Failed(Side::Second, HangupCause::Busy)),
        [Effect::DisarmRingTimer, Effect::Reject(Side::First, HangupCause::Busy), over(HangupCause::Busy, false)]
    );
}

#[test]
fn bridge_calls_the_agent_then_the_customer_then_joins() {
    let (mut call, effects) = Call::outgoing(agent(), Plan::Join(customer()));
    assert_eq!(effects, [Effect::Dial(Side::First, agent()), Effect::ArmRingTimer]);
    assert_eq!(call.transition(Input::Ringing(Side::First)), [Effect::TellRinging]);
    assert_eq!(
        call.transition(Input::Answered(Side::First)),
        [Effect::TellAnswered, Effect::Dial(Side::Second, customer()), Effect::ArmRingTimer]
    );
    assert_eq!(call.transition(Input::Ringing(Side::Second)), []);
    assert_eq!(
        call.transition(Input::Answered(Side::Second)),
        [Effect::DisarmRingTimer, Effect::Join, Effect::TellBridged]
    );
}

#[test]
fn customer_without_answer_releases_the_agent_and_counts_as_failed() {
    let (mut call, _) = Call::outgoing(agent(), Plan::Join(customer()));
    call.transition(Input::Answered(Side::First));
    assert_eq!(
        call.transition(Input::RingTimeout),
        [
            Effect::DisarmRingTimer,
            Effect::Release(Side::First, HangupCause::NoAnswer),
            Effect::Cancel(Side::Second),
            over(HangupCause::NoAnswer, false)
        ]
    );
}

#[test]
fn application_answers_at_once() {
    let mut call = Call::incoming(Plan::Application(App::Echo));
    assert_eq!(
        call.transition(Input::Proceed),
        [Effect::Accept(Side::First), Effect::Run(Side::First, App::Echo), Effect::TellBridged]
    );
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
