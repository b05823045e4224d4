//! The effects of each step, and the ends of a script.
//!
//! Each test runs a short program: it answers the effects as a driver would, and compares the effects that follow.
//!
//! Not here: invalid programs (`parsing`), the shipped programs (`examples`), random inputs (`model`).

use super::*;
use crate::error::HangupCause;

const DONE: PlayEnd = PlayEnd::Done;

fn gather(fields: Value) -> Value {
    let mut gather = json!({"max_digits": 1});
    gather.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({ "gather": gather })
}

fn labelled(label: &str) -> [Value; 3] {
    [json!({ "label": label }), say(label), json!({"hangup": {}})]
}

/// Returns the reports, in order.
fn reports(effects: &[Effect]) -> Vec<&Notice> {
    effects.iter().filter_map(|effect| if let Effect::Tell(notice) = effect { Some(notice) } else { None }).collect()
}

#[test]
fn the_language_of_the_caller_is_set_before_anybody_is_called() {
    let steps = json!([{"set_language": {"language": "fr"}}, {"dial": {"targets": [{"agent": "ana"}]}}]);
    let (_, effects) = Lab::new(start(&steps));
    let set = effects.iter().position(|effect| *effect == Effect::SetLanguage("fr".into()));
    let dialled = effects.iter().position(|effect| matches!(effect, Effect::Dial { .. }));
    assert!(set.is_some() && set < dialled, "{effects:?}");
}

#[test]
fn steps_follow_one_another_and_the_caller_is_hung_up_after_the_last() {
    let steps =
        json!([{"play": {"media": "hello"}}, {"play": {"tone": {"hz": [440], "duration_ms": 100}}}, say("Bye")]);
    let (mut lab, effects) = Lab::new(start(&steps));
    assert_eq!(effects, [Effect::Play { ticket: Ticket(1), sound: Sound::Media("hello".into()) }]);
    let sound = Sound::Tone { hz: vec![440], duration_ms: 100 };
    assert_eq!(lab.played(), [Effect::Play { ticket: Ticket(2), sound }]);
    // The program continues after a sound that cannot be played.
    assert_eq!(spoken(&lab.give(Input::Played(Ticket(2), PlayEnd::Failed))), "Bye");
    assert_eq!(lab.played(), [Effect::HangUp(HangupCause::Normal), Effect::Done(Ended::Finished)]);
    assert_eq!(lab.give(Input::FarEndGone), [], "no effect follows the end");
}

#[test]
fn each_step_is_reported_with_its_place_and_its_result() {
    let steps = json!([{"label": "a"}, say("Hello"), gather(json!({})), {"hangup": {"cause": "busy"}}]);
    let (mut script, effects) = Script::new(start(&steps), test_epoch());
    let at = |step, verb| StepAt { program: 0, step, verb };
    assert_eq!(reports(&effects), [&Notice::Started(at(1, Verb::Speak))]);
    let effects = script.handle(Input::Played(Ticket(1), DONE), test_epoch());
    let ended = Notice::Ended(at(1, Verb::Speak), StepEnd::Completed);
    assert_eq!(reports(&effects), [&ended, &Notice::Started(at(2, Verb::Gather))]);
    let input = Input::Gathered { ticket: Ticket(2), digits: "7".into(), end: GatherEnd::Length };
    let effects = script.handle(input, test_epoch());
    let gathered = StepEnd::Gathered { branch: GatherBranch::Digits, digits: Some("7".into()) };
    let hangup = at(3, Verb::Hangup);
    assert_eq!(
        effects,
        [
            Effect::Tell(Notice::Ended(at(2, Verb::Gather), gathered)),
            Effect::Tell(Notice::Started(hangup)),
            Effect::Tell(Notice::Ended(hangup, StepEnd::Completed)),
            Effect::HangUp(HangupCause::Busy),
            Effect::Done(Ended::HungUp),
        ]
    );
}

#[test]
fn digits_lead_to_their_branch() {
    let branches = json!({"max_digits": 3, "min_digits": 2, "finish": "#",
        "on_digits": {"12": "twelve", "123": "more"}, "on_timeout": "timeout", "on_invalid": "invalid"});
    let mut steps = vec![gather(branches)];
    steps.extend(["twelve", "more", "timeout", "invalid"].into_iter().flat_map(labelled));
    let steps = Value::Array(steps);
    for (digits, end, heard, kept) in [
        ("12", GatherEnd::FinishKey, "twelve", "12"),
        ("12", GatherEnd::Timeout, "twelve", "12"),
        ("123", GatherEnd::Length, "more", "123"),
        ("", GatherEnd::Timeout, "timeout", ""),
        ("", GatherEnd::Stopped, "timeout", ""),
        ("", GatherEnd::FinishKey, "invalid", ""),
        ("1", GatherEnd::Timeout, "invalid", "1"),
        ("34", GatherEnd::FinishKey, "invalid", "34"),
        // Digits that these rules cannot have collected are dropped.
        ("1234", GatherEnd::Length, "invalid", ""),
        ("1x", GatherEnd::Length, "invalid", ""),
        ("1#", GatherEnd::Length, "invalid", ""),
        ("é", GatherEnd::Length, "invalid", ""),
    ] {
        let (mut lab, _) = Lab::new(start(&steps));
        let effects = lab.give(Input::Gathered { ticket: lab.ticket, digits: digits.into(), end });
        assert_eq!(spoken(&effects), heard, "{digits} {end:?}");
        assert_eq!(lab.script.variables().value("digits"), kept, "{digits} {end:?}");
    }
}

#[test]
fn a_gather_without_branches_continues_with_the_next_step() {
    for keys in ["", "5"] {
        let (mut lab, effects) = Lab::new(start(&json!([gather(json!({"into": "key"})), say("You pressed ${key}.")])));
        let rules = GatherRules { min: 1, max: 1, finish: None, first: 5 * SECOND, between: 3 * SECOND };
        assert_eq!(
            effects,
            [Effect::Gather { ticket: Ticket(1), rules, prompts: vec![], barge_in: true, secret: false }]
        );
        assert_eq!(spoken(&lab.pressed(keys)), format!("You pressed {keys}."));
    }
}

#[test]
fn secret_digits_are_stored_but_not_reported() {
    let steps = json!([gather(json!({"secret": true})), {"webhook": {"url": "https://a.example/"}}]);
    let (mut script, _) = Script::new(start(&steps), test_epoch());
    let input = Input::Gathered { ticket: Ticket(1), digits: "7".into(), end: GatherEnd::Length };
    let effects = script.handle(input, test_epoch());
    let gathered = StepEnd::Gathered { branch: GatherBranch::Digits, digits: None };
    assert!(matches!(reports(&effects)[0], Notice::Ended(_, end) if *end == gathered));
    let Some(Effect::Fetch { payload, .. }) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(payload["digits"], "7");
}

#[test]
fn a_text_without_words_is_not_spoken() {
    let steps = json!([say("${nothing}"), gather(json!({"prompts": [say(" ${nothing} "), say("Press a key.")]}))]);
    let (_, effects) = Lab::new(start(&steps));
    let [Effect::Gather { prompts, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((prompts.len(), spoken(&effects)), (1, "Press a key."));
}

#[test]
fn a_jump_is_taken_as_often_as_its_limit_allows() {
    let (mut lab, effects) =
        Lab::new(start(&json!([{"label": "a"}, say("a"), {"jump": {"to": "a", "times": 2}}, say("b")])));
    assert_eq!(spoken(&effects), "a");
    let heard: Vec<String> = (0..3).map(|_| spoken(&lab.played()).to_owned()).collect();
    assert_eq!(heard, ["a", "a", "b"]);
}

#[test]
fn a_pause_lasts_as_long_as_it_says() {
    let (mut lab, effects) = Lab::new(start(&json!([{"pause": {"ms": 1_500}}, say("Hello")])));
    assert_eq!((effects, lab.script.poll_timeout()), (vec![], Some(lab.now + 3 * SECOND / 2)));
    assert_eq!(lab.after(SECOND), []);
    assert_eq!(spoken(&lab.after(SECOND / 2)), "Hello");
}

#[test]
fn a_recording_continues_beside_the_program_and_a_second_start_replaces_it() {
    let steps = json!([
        {"record": {"action": "resume"}}, {"record": {"action": "start"}}, {"record": {"action": "pause"}},
        {"record": {"action": "pause"}}, {"record": {"action": "resume"}}, {"record": {"action": "start"}}, say("Hello")
    ]);
    let (mut lab, effects) = Lab::new(start(&steps));
    let (first, second) = (Ticket(1), Ticket(2));
    let before = [
        Effect::Record(first),
        Effect::PauseRecording { ticket: first, on: true },
        Effect::PauseRecording { ticket: first, on: false },
        Effect::Stop(first),
        Effect::Record(second),
    ];
    assert_eq!(effects[..5], before);
    assert_eq!(spoken(&effects), "Hello");
    let hung_up = Effect::HangUp(HangupCause::Normal);
    assert_eq!(lab.played(), [Effect::Stop(second), hung_up, Effect::Done(Ended::Finished)]);
}

#[test]
fn a_recording_that_has_ended_by_itself_is_not_stopped_again() {
    let (mut lab, _) = Lab::new(start(&json!([{"record": {"action": "start"}}, say("Hello")])));
    let end = Input::RecordEnded { ticket: Ticket(1), end: RecordEnd::Failed, duration: SECOND };
    let effects = lab.script.handle(end, lab.now);
    assert!(matches!(reports(&effects)[..], [Notice::Ended(StepAt { step: 0, .. }, StepEnd::Recorded { .. })]));
    assert_eq!(lab.played(), [Effect::HangUp(HangupCause::Normal), Effect::Done(Ended::Finished)]);
}

#[test]
fn a_message_of_a_caller_who_hangs_up_is_reported_with_its_length() {
    let (mut lab, _) = Lab::new(start(&json!([{"record": {"action": "message"}}, say("Thank you")])));
    let end = Input::RecordEnded { ticket: Ticket(1), end: RecordEnd::FarEndGone, duration: 9 * SECOND };
    let effects = lab.script.handle(end, lab.now);
    let recorded = StepEnd::Recorded { end: RecordEnd::FarEndGone, duration: 9 * SECOND };
    assert!(matches!(reports(&effects)[..], [Notice::Ended(_, end)] if *end == recorded));
    assert_eq!(ended(&effects), &Ended::FarEndGone);
}

fn dial(fields: Value) -> Value {
    let mut dial = json!({"targets": [{"agent": "ana"}]});
    dial.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({ "dial": dial })
}

#[test]
fn a_dial_that_fails_continues_at_its_branch_with_its_cause() {
    let mut steps = vec![dial(json!({"on_failed": "failed", "into": "why", "from": "+15555550100"})), say("next")];
    steps.extend([json!({"label": "failed"}), say("${why}")]);
    for (cause, why) in [
        (HangupCause::Busy, "busy"),
        (HangupCause::NoAnswer, "no_answer"),
        (HangupCause::NotFound, "not_found"),
        (HangupCause::Unreachable, "failed"),
    ] {
        let (mut lab, effects) = Lab::new(start(&Value::Array(steps.clone())));
        let targets = vec![Target::Agent("ana".into())];
        let from = Some("+15555550100".into());
        assert_eq!(effects, [Effect::Dial { ticket: Ticket(1), targets, ring: None, from }]);
        assert_eq!(spoken(&lab.dialled(DialOutcome::Failed(cause))), why);
    }
}

#[test]
fn a_conversation_has_no_time_limit_and_the_program_continues_after_it() {
    let mut start = start(&json!([dial(json!({})), say("How was it?")]));
    start.limits.time = 60 * SECOND;
    let (mut lab, _) = Lab::new(start);
    lab.now += 20 * SECOND;
    assert_eq!(lab.dialled(DialOutcome::Answered), []);
    assert_eq!(lab.script.poll_timeout(), None);
    assert_eq!(lab.after(7_200 * SECOND), []);
    assert_eq!(spoken(&lab.dialled(DialOutcome::Ended)), "How was it?");
    assert_eq!(lab.script.poll_timeout(), Some(lab.now + 40 * SECOND));
}

#[test]
fn while_the_caller_talks_recordings_run_and_everything_else_waits() {
    let mut steps = vec![dial(json!({"on_answered": "talking"})), say("next")];
    steps.extend([json!({"label": "talking"}), json!({"record": {"action": "start"}}), say("after")]);
    let (mut lab, _) = Lab::new(start(&Value::Array(steps)));
    assert_eq!(lab.dialled(DialOutcome::Answered), [Effect::Record(Ticket(2))]);
    assert_eq!(lab.after(SECOND), []);
    assert_eq!(
        spoken(&lab.give(Input::Dialled(Ticket(1), DialOutcome::Ended))),
        "after",
        "the program continues where it waited"
    );
    assert_eq!(lab.give(Input::Dialled(Ticket(1), DialOutcome::Ended)), [], "the conversation ends only once");
}

#[test]
fn a_party_that_answers_and_leaves_at_once_has_talked() {
    let (mut lab, _) = Lab::new(start(
        &json!([dial(json!({"on_failed": "failed"})), say("next"), {"label": "failed"}, say("failed")]),
    ));
    assert_eq!(spoken(&lab.dialled(DialOutcome::Ended)), "next");
}

#[test]
fn a_transfer_ends_the_program_and_does_not_hang_up() {
    let steps = json!([{"transfer": {"targets": [{"to": "+15555550142"}], "on_failed": "failed"}}, {"label": "failed"}, say("failed")]);
    let (mut lab, effects) = Lab::new(start(&steps));
    assert!(matches!(effects[..], [Effect::Transfer { .. }]));
    assert_eq!(lab.give(Input::Transferred(lab.ticket, Ok(()))), [Effect::Done(Ended::Transferred)]);
    let (mut lab, _) = Lab::new(start(&steps));
    assert_eq!(spoken(&lab.give(Input::Transferred(lab.ticket, Err(HangupCause::Busy)))), "failed");
}

#[test]
fn no_ticket_is_open_after_the_caller_has_gone() {
    let steps = json!([{"record": {"action": "start"}}, say("Hello")]);
    for (input, why) in [(Input::FarEndGone, Ended::FarEndGone), (Input::Withdrawn, Ended::Withdrawn)] {
        let (mut lab, _) = Lab::new(start(&steps));
        assert_eq!(lab.give(input), [Effect::Stop(Ticket(2)), Effect::Stop(Ticket(1)), Effect::Done(why)]);
        assert_eq!(lab.script.poll_timeout(), None);
    }
    let (mut lab, _) = Lab::new(start(&json!([dial(json!({}))])));
    lab.dialled(DialOutcome::Answered);
    assert_eq!(lab.give(Input::FarEndGone), [Effect::Stop(Ticket(1)), Effect::Done(Ended::FarEndGone)]);
}

#[test]
fn answers_to_other_tickets_have_no_effect() {
    let (mut lab, _) = Lab::new(start(&json!([say("one"), say("two")])));
    lab.played();
    let open = lab.ticket;
    for stale in [
        Input::Played(Ticket(1), DONE),
        Input::Played(Ticket(99), DONE),
        Input::Gathered { ticket: open, digits: "1".into(), end: GatherEnd::Length },
        Input::RecordEnded { ticket: open, end: RecordEnd::Silence, duration: SECOND },
        Input::Dialled(open, DialOutcome::Answered),
        Input::Dialled(open, DialOutcome::Ended),
        Input::Transferred(open, Ok(())),
        Input::Fetched(open, Err(FetchFailure::Unreachable)),
        Input::Timeout,
    ] {
        assert_eq!(lab.script.handle(stale.clone(), lab.now), [], "{stale:?}");
    }
    assert_eq!(ended(&lab.played()), &Ended::Finished);
}

fn webhook(fields: Value) -> Value {
    let mut webhook = json!({"url": "https://programs.example/next"});
    webhook.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({ "webhook": webhook })
}

#[test]
fn the_answer_of_a_webhook_is_the_next_program_and_keeps_the_variables() {
    let steps = json!([gather(json!({})), webhook(json!({"payload": {"key": "pressed ${digits}"}})), say("never")]);
    let (mut lab, _) = Lab::new(start(&steps));
    let effects = lab.pressed("7");
    let [Effect::Fetch { url, payload, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(
        (url.as_str(), payload.len(), payload["key"].as_str()),
        ("https://programs.example/next", 1, "pressed 7")
    );
    assert_eq!(spoken(&lab.fetched(&json!([say("You said ${digits}.")]))), "You said 7.");
    assert_eq!(ended(&lab.played()), &Ended::Finished);
}

#[test]
fn a_program_server_that_is_slow_wrong_huge_or_gone_leads_to_the_fallback_once() {
    let steps = json!([webhook(json!({}))]);
    let with_fallback =
        || Start { fallback: Some(program(&json!([say("fallback"), webhook(json!({}))]))), ..start(&steps) };
    let answers: [(&str, Result<Vec<u8>, FetchFailure>); 6] = [
        ("gone", Err(FetchFailure::Unreachable)),
        ("wrong status", Err(FetchFailure::Status(500))),
        ("forbidden", Err(FetchFailure::Forbidden)),
        ("no program", Ok(b"<html>".to_vec())),
        ("a faulty program", Ok(b"[{\"jump\": {\"to\": \"nowhere\"}}]".to_vec())),
        ("huge", Ok(vec![b' '; PROGRAM_BYTES + 1])),
    ];
    for (name, answer) in answers {
        let (mut lab, _) = Lab::new(with_fallback());
        assert_eq!(spoken(&lab.give(Input::Fetched(lab.ticket, answer.clone()))), "fallback", "{name}");
        assert!(matches!(lab.played()[..], [Effect::Fetch { .. }]));
        let effects = lab.give(Input::Fetched(lab.ticket, answer));
        assert!(matches!(ended(&effects), Ended::NotFetched(_)), "{name}: {effects:?}");
        assert_eq!(effects[0], Effect::HangUp(HangupCause::Internal), "{name}");
    }
    let (mut lab, _) = Lab::new(with_fallback());
    assert_eq!(lab.after(2 * SECOND - Duration::from_millis(1)), []);
    let slow = lab.ticket;
    let effects = lab.after(Duration::from_millis(1));
    assert_eq!((&effects[0], spoken(&effects)), (&Effect::Stop(slow), "fallback"));
    assert_eq!(lab.give(Input::Fetched(slow, Ok(b"[{\"hangup\": {}}]".to_vec()))), [], "the answer came too late");
    let (mut lab, _) = Lab::new(start(&steps));
    let effects = lab.after(2 * SECOND);
    assert_eq!(ended(&effects), &Ended::NotFetched(FetchFailure::Slow), "without a fallback the script ends");
}

#[test]
fn an_answer_that_is_delivered_after_the_time_out_is_ignored() {
    let (mut lab, _) = Lab::new(start(&json!([webhook(json!({}))])));
    lab.now += 3 * SECOND;
    assert_eq!(ended(&lab.fetched(&json!([say("Hello")]))), &Ended::NotFetched(FetchFailure::Slow));
}

#[test]
fn a_refused_answer_names_its_field() {
    let (mut script, _) = Script::new(start(&json!([webhook(json!({}))])), test_epoch());
    let answer = json!([{"pause": {"ms": 0}}]).to_string().into_bytes();
    let effects = script.handle(Input::Fetched(Ticket(1), Ok(answer)), test_epoch());
    let Some(Effect::Done(Ended::NotFetched(why))) = effects.last() else { panic!("{effects:?}") };
    assert!(why.to_string().contains("steps[0].pause.ms: expected a whole number from 1 to 60000"), "{why}");
}

#[test]
fn a_loop_in_which_no_time_passes_is_ended() {
    let steps = json!([{"label": "a"}, {"jump": {"to": "a"}}]);
    let (_, effects) = Lab::new(start(&steps));
    let hung_up = Effect::HangUp(HangupCause::Internal);
    assert_eq!(effects, [hung_up, Effect::Done(Ended::Bound(Bound::Burst))]);
}

#[test]
fn a_program_ends_with_its_steps_its_time_or_its_fetches() {
    let steps = json!([{"label": "a"}, {"pause": {"ms": 1_000}}, {"jump": {"to": "a"}}]);
    let limits = Limits { steps: 100, ..Limits::default() };
    let (mut lab, _) = Lab::new(Start { limits, ..start(&steps) });
    let last = (0..100).map(|_| lab.after(SECOND)).find(|effects| !effects.is_empty()).unwrap();
    assert_eq!(ended(&last), &Ended::Bound(Bound::Steps));
    let limits = Limits { time: 10 * SECOND, ..Limits::default() };
    let (mut lab, _) = Lab::new(Start { limits, ..start(&json!([{"play": {"media": "for ever"}}])) });
    assert_eq!(lab.script.poll_timeout(), Some(lab.now + 10 * SECOND));
    let effects = lab.after(10 * SECOND);
    let hung_up = Effect::HangUp(HangupCause::MaxDuration);
    assert_eq!(effects, [Effect::Stop(Ticket(1)), hung_up, Effect::Done(Ended::Bound(Bound::Time))]);
    let limits = Limits { fetches: 1, ..Limits::default() };
    let (mut lab, _) = Lab::new(Start { limits, ..start(&json!([webhook(json!({}))])) });
    assert_eq!(ended(&lab.fetched(&json!([webhook(json!({}))]))), &Ended::Bound(Bound::Fetches));
}

#[test]
fn a_program_with_too_many_variables_is_ended() {
    let mut variables = Variables::default();
    for n in 0..VARIABLES_MAX {
        variables.set(format!("v{n}").parse().unwrap(), "1").unwrap();
    }
    let (mut lab, _) = Lab::new(Start { variables, ..start(&json!([gather(json!({"into": "one_more"}))])) });
    assert_eq!(ended(&lab.pressed("1")), &Ended::Bound(Bound::Variables));
}

#[test]
fn inputs_and_effects_survive_serialisation() {
    let (_, effects) = Script::new(start(&json!([{"record": {"action": "start"}}, say("Hello")])), test_epoch());
    let text = serde_json::to_string(&effects).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Effect>>(&text).unwrap(), effects);
    for input in [
        Input::Played(Ticket(1), DONE),
        Input::Transferred(Ticket(1), Err(HangupCause::Busy)),
        Input::Fetched(Ticket(1), Err(FetchFailure::Status(503))),
        Input::FarEndGone,
    ] {
        let text = serde_json::to_string(&input).unwrap();
        assert_eq!(serde_json::from_str::<Input>(&text).unwrap(), input);
    }
}

#[test]
fn a_message_is_left_and_a_person_who_speaks_meanwhile_takes_the_branch() {
    let steps = json!([
        {"leave_message": {"play": {"media": "hello"}, "beep_s": 7, "into": "left", "on_human": "person"}},
        {"speak": {"text": "${left}", "language": "en"}},
        {"hangup": {}},
        {"label": "person"},
        {"dial": {"targets": [{"agent": "ana"}]}},
    ]);
    let (lab, effects) = Lab::new(start(&steps));
    let sound = Sound::Media("hello".into());
    let leave = Effect::LeaveMessage { ticket: Ticket(1), sound, beep: 7 * SECOND, for_machine: true };
    assert_eq!(effects, [leave]);
    for (end, word) in [(MessageEnd::Left, "left"), (MessageEnd::Stopped, "stopped"), (MessageEnd::Failed, "failed")] {
        let mut lab = Lab { script: lab.script.clone(), ..lab };
        let effects = lab.give(Input::MessageLeft(Ticket(1), end));
        let spoken = Sound::Speech { text: word.into(), language: "en".into() };
        assert_eq!(effects, [Effect::Play { ticket: Ticket(2), sound: spoken }]);
    }
    let mut spoken_to = Lab { script: lab.script.clone(), ..lab };
    assert!(matches!(spoken_to.give(Input::MessageLeft(Ticket(1), MessageEnd::Human))[..], [Effect::Dial { .. }]));
    let mut stopped = lab;
    assert_eq!(stopped.give(Input::Withdrawn), [Effect::Stop(Ticket(1)), Effect::Done(Ended::Withdrawn)]);
}

#[test]
fn a_message_for_whoever_is_there_is_played_to_its_end() {
    let (_, effects) = Lab::new(start(&json!([{"leave_message": {"speak": {"text": "Hi", "language": "en"}}}])));
    assert!(matches!(effects[..], [Effect::LeaveMessage { for_machine: false, beep, .. }] if beep == 5 * SECOND));
}
