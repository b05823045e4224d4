//! The shipped programs and those of the documentation.

use super::*;
use crate::error::HangupCause;

pub(super) const EXAMPLES: [(&str, &str); 3] = [
    ("menu", include_str!("../../../../../examples/programs/menu.json")),
    ("survey", include_str!("../../../../../examples/programs/survey.json")),
    ("voicemail", include_str!("../../../../../examples/programs/voicemail.json")),
];

fn example(wanted: &str) -> (Lab, Vec<Effect>) {
    let (_, text) = EXAMPLES.iter().find(|(name, _)| *name == wanted).unwrap();
    let program = Program::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{wanted}: {error}"));
    Lab::new(Start { program, fallback: None, variables: Variables::default(), limits: Limits::default() })
}

fn agent(name: &str) -> Target {
    Target::Agent(name.into())
}

#[test]
fn every_program_in_the_documentation_is_valid() {
    let text = include_str!("../../../../../docs/programs.md");
    let blocks: Vec<&str> = text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 10, "{} programs", blocks.len());
    for block in blocks {
        if let Err(error) = Program::parse(block.as_bytes()) {
            panic!("{error} in\n{block}");
        }
    }
    let verbs = "label play speak gather record dial transfer set_language pause hangup jump webhook";
    for verb in verbs.split(' ') {
        assert!(text.contains(&format!("## `{verb}`")), "{verb} is not described");
    }
}

#[test]
fn the_menu_has_two_levels_and_star_returns_to_the_first() {
    let (mut lab, effects) = example("menu");
    assert!(spoken(&effects).starts_with("Welcome."));
    assert!(spoken(&lab.pressed("1")).starts_with("For a new booking"));
    assert!(spoken(&lab.pressed("*")).starts_with("Welcome."));
    lab.pressed("1");
    assert_eq!(spoken(&lab.pressed("1")), "We connect you.");
    let effects = lab.played();
    let [Effect::Dial { targets, ring, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((&targets[..], *ring), (&[agent("ana"), agent("ben")][..], Some(20 * SECOND)));
    let effects = lab.dialled(DialOutcome::Failed(HangupCause::NoAnswer));
    assert_eq!(spoken(&effects), "Please leave a message after the tone.");
    assert!(matches!(lab.played()[..], [Effect::RecordMessage { .. }]));
    assert!(spoken(&lab.recorded(RecordEnd::FinishKey, 7 * SECOND)).ends_with("Goodbye."));
    assert_eq!(ended(&lab.played()), &Ended::HungUp);
}

#[test]
fn the_menu_asks_three_times_and_then_says_goodbye_if_no_key_is_pressed() {
    let (mut lab, _) = example("menu");
    for keys in ["", "9"] {
        assert!(spoken(&lab.pressed(keys)).starts_with("Welcome."));
    }
    assert!(spoken(&lab.pressed("")).ends_with("Goodbye."));
}

#[test]
fn the_menu_repeats_the_number_of_the_booking() {
    let (mut lab, _) = example("menu");
    lab.pressed("1");
    lab.pressed("2");
    assert_eq!(spoken(&lab.pressed("12")), "A booking has at least four digits.");
    lab.played();
    assert_eq!(spoken(&lab.pressed("12345")), "You want to change booking 12345. We connect you.");
}

#[test]
fn the_survey_starts_when_the_agent_has_hung_up() {
    let (mut lab, _) = example("survey");
    assert!(matches!(lab.played()[..], [Effect::Dial { .. }]));
    assert_eq!(lab.dialled(DialOutcome::Answered), []);
    assert_eq!(lab.after(2 * 3_600 * SECOND), [], "the conversation does not count as the program's time");
    assert!(spoken(&lab.dialled(DialOutcome::Ended)).starts_with("How satisfied"));
    assert!(spoken(&lab.pressed("7")).starts_with("How satisfied"));
    assert!(spoken(&lab.pressed("4")).starts_with("Have we solved"));
    assert_eq!(spoken(&lab.pressed("1")), "Thank you. Goodbye.");
    let known: Vec<(&str, &str)> = lab.script.variables().iter().collect();
    assert_eq!(known, [("dial", "answered"), ("satisfaction", "4"), ("solved", "1")]);
    assert_eq!(lab.played(), [Effect::HangUp(HangupCause::Normal), Effect::Done(Ended::HungUp)]);
}

#[test]
fn voicemail_records_after_a_beep_until_silence_or_a_key() {
    let (mut lab, effects) = example("voicemail");
    assert_eq!(effects, []);
    assert!(spoken(&lab.after(SECOND / 2)).contains("leave a message"));
    let rules = MessageRules { longest: 180 * SECOND, silence: 5 * SECOND, finish: Some('#'), beep: true };
    let effects = lab.played();
    assert_eq!(effects, [Effect::RecordMessage { ticket: lab.ticket, rules }]);
    assert!(spoken(&lab.recorded(RecordEnd::Silence, 12 * SECOND)).starts_with("Thank you"));
    assert_eq!(lab.script.variables().value("message_s"), "12");
    assert_eq!(ended(&lab.played()), &Ended::HungUp);
}
