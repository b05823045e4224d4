//! Fuzz target of the parser: a plain function over bytes.

use std::time::{Duration, Instant};

use super::{
    DialOutcome, Effect, GatherEnd, Input, Limits, MessageEnd, PROGRAM_BYTES, PlayEnd, Program, RecordEnd, Script,
    Start, Variables,
};

/// Maximum length of an error's path or text in characters: several times the length of any real one.
const ERROR_MAX: usize = 512;

/// Parses bytes as a program. A refused program must have an error that names its place; an accepted program is run to its end,
/// with every effect answered at once.
///
/// # Panics
/// Panics when the parser or the interpreter breaks an invariant.
pub fn fuzz_program(bytes: &[u8], now: Instant) {
    let program = match Program::parse(bytes) {
        Ok(program) => program,
        Err(error) => {
            let is_placed = error.path == "program" || error.path.starts_with("steps[");
            assert!(is_placed, "{error:?} does not name its place");
            for text in [&error.path, &error.problem] {
                assert!((1..=ERROR_MAX).contains(&text.chars().count()), "{error:?} is too long or empty");
                assert!(!text.chars().any(char::is_control), "{error:?} has control characters");
            }
            return;
        }
    };
    assert!(bytes.len() <= PROGRAM_BYTES && program.steps() > 0);
    run(program, now);
}

fn run(program: Program, mut now: Instant) {
    let limits = Limits { steps: 500, ..Limits::default() };
    let start = Start { program: program.clone(), fallback: Some(program), variables: Variables::default(), limits };
    let (mut script, mut effects) = Script::new(start, now);
    // A step has one answer, except a dial, which has two.
    for n in 0..=2 * limits.steps {
        let Some(last) = effects.last() else { panic!("the script returned no effect for an answer") };
        if matches!(last, Effect::Done(_)) {
            assert!(script.is_over() && script.poll_timeout().is_none());
            return;
        }
        let answer = effects.iter().rev().find_map(|effect| answer(effect, n)).unwrap_or(Input::Timeout);
        now = match answer {
            Input::Timeout => script.poll_timeout().expect("a script without an open effect has a time-out"),
            _ => now + Duration::from_millis(100),
        };
        let ticket = match answer {
            Input::Dialled(ticket, DialOutcome::Answered) => Some(ticket),
            _ => None,
        };
        effects = script.handle(answer, now);
        if let Some(ticket) = ticket.filter(|_| !script.is_over()) {
            effects = script.handle(Input::Dialled(ticket, DialOutcome::Ended), now);
        }
    }
    panic!("the script does not end within its limit of steps");
}

/// Returns the answer of a caller who presses 1 whenever a key is wanted.
fn answer(effect: &Effect, n: u32) -> Option<Input> {
    Some(match *effect {
        Effect::Play { ticket, .. } => Input::Played(ticket, PlayEnd::Done),
        Effect::Gather { ticket, .. } => Input::Gathered { ticket, digits: "1".into(), end: GatherEnd::Length },
        Effect::RecordMessage { ticket, .. } => {
            Input::RecordEnded { ticket, end: RecordEnd::Silence, duration: Duration::from_secs(3) }
        }
        Effect::LeaveMessage { ticket, for_machine: true, .. } => Input::MessageLeft(ticket, MessageEnd::Human),
        Effect::LeaveMessage { ticket, .. } => Input::MessageLeft(ticket, MessageEnd::Left),
        Effect::Dial { ticket, .. } if n.is_multiple_of(2) => Input::Dialled(ticket, DialOutcome::Answered),
        Effect::Dial { ticket, .. } => Input::Dialled(ticket, DialOutcome::Failed(crate::error::HangupCause::Busy)),
        Effect::Transfer { ticket, .. } => Input::Transferred(ticket, Err(crate::error::HangupCause::Busy)),
        Effect::Fetch { ticket, .. } => Input::Fetched(ticket, Ok(b"[]".to_vec())),
        _ => return None,
    })
}
