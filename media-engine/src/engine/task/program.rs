//! Drives a call program: its effects become verbs of the call, and their results become inputs of the program.
//!
//! ```text
//!   Bridged ─▶ begin_program ─▶ Script ─ effects ─▶ play, gather, add_leg, hang up
//!                                ▲  ▲                     │
//!   host (media, identity, fetch)┘  └─ inputs ◀─ played, gathered, topology, legs that have gone
//! ```
//!
//! Inputs are queued, and [`CallTask::run_program`] takes them once the call's own machine has settled, so that neither machine
//! is entered from within the other. If a caller is joined with a leg that the program has not called, the program is withdrawn.
//!
//! Invariants: every open ticket is either answered or stopped once; the program's last news is its end. Not here: the program's
//! next step (`call::script`), when a leg has a program (`call::program`), what an organization may use (the control plane).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::CallTask;
use super::messages::Message;
use super::prompts::Owner;
use super::screening::Leaving;
use crate::call::script::{
    DialOutcome, Effect, Ended, FetchFailure, GatherEnd, GatherRules, Input, MessageRules, PlayEnd, Script, Sound,
    Target, Ticket,
};
use crate::call::{self, EndedBy, Gathered, IfFails, Place};
use crate::config::App;
use crate::engine::command::{CallProgram, Callee, CommandError, NewLeg, ProgramHost, ProgramRequest};
use crate::engine::event::{EventKind, ProgramNews};
use crate::engine::leg::Leg;
use crate::engine::prompt::{self, GatherId, NewGather, PlayId, PlayState};
use crate::error::HangupCause;
use crate::net::clock;
use crate::units::LegId;

/// Capacity of the host's answers: a program asks one question at a time.
const ANSWERS: usize = 4;

/// The program of a call, and the inputs that wait for it.
pub(super) struct Programs {
    running: Option<Running>,
    /// The first effects, which wait until the call's machine has settled.
    first: Vec<Effect>,
    inputs: VecDeque<Input>,
    /// Dial whose target could not be reached, so that the next one is called.
    failed: Option<Ticket>,
    /// Message whose beep has ended, so that its recording starts.
    beeped: Option<(Ticket, MessageRules)>,
    answers_in: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
}

/// A running program.
struct Running {
    script: Script,
    /// Leg that the program runs for.
    leg: LegId,
    host: ProgramHost,
    /// Actions of its open tickets.
    open: Vec<(Ticket, Doing)>,
}

/// An action that is in progress for a program.
pub(super) enum Doing {
    Play(PlayId),
    Gather(GatherId),
    /// A question to the host.
    Ask {
        _asking: Asking,
    },
    Dial(Dialling),
    /// The beep before a message, with the message's rules.
    Beep {
        play: PlayId,
        rules: MessageRules,
    },
    Message(Box<Message>),
    /// A message that is to be left.
    Leave(Box<Leaving>),
    /// Number of a recording.
    Recording(u32),
}

impl Doing {
    /// Returns the number of its recording.
    fn recording(&self) -> Option<u32> {
        match self {
            Doing::Message(message) => Some(message.number()),
            Doing::Recording(number) => Some(*number),
            _ => None,
        }
    }
}

/// A question to the host; dropping it withdraws the question.
pub(super) struct Asking(AbortHandle);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A dial or a transfer in progress.
pub(super) struct Dialling {
    /// The caller is handed to the target that answers.
    is_transfer: bool,
    /// Targets that are called next.
    targets: VecDeque<Target>,
    ring: Option<Duration>,
    from: Option<String>,
    stage: Stage,
    /// Cause for which the last target could not be reached.
    cause: HangupCause,
}

enum Stage {
    /// The next target is about to be called.
    Next,
    /// The host is asked for the identity that the target is shown.
    Asking {
        to: String,
        _asking: Asking,
    },
    Calling(LegId),
    /// The target and the caller talk.
    Answered,
}

/// Answer of the host to a ticket's question.
pub(super) struct Answer {
    ticket: Ticket,
    answer: Answered,
}

enum Answered {
    /// Sound to play.
    Sound(Option<prompt::Sound>),
    /// Message to leave.
    Message(Option<prompt::Sound>),
    /// Collection to start.
    Gather(NewGather),
    Identity(Result<Option<String>, HangupCause>),
    Fetched(Result<Vec<u8>, FetchFailure>),
}

impl Programs {
    pub(super) fn new() -> Programs {
        let (answers_in, answers) = mpsc::channel(ANSWERS);
        Programs {
            running: None,
            first: Vec::new(),
            inputs: VecDeque::new(),
            failed: None,
            beeped: None,
            answers_in,
            answers,
        }
    }

    /// Returns the host's next answer.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }

    /// Returns when the program's time-out is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.running.as_ref().and_then(|running| running.script.poll_timeout())
    }

    /// Closes a ticket, and returns its action.
    pub(super) fn close(&mut self, ticket: Ticket) -> Option<Doing> {
        let open = &mut self.running.as_mut()?.open;
        let at = open.iter().position(|(known, _)| *known == ticket)?;
        Some(open.swap_remove(at).1)
    }

    pub(super) fn open(&mut self, ticket: Ticket, doing: Doing) {
        if let Some(running) = &mut self.running {
            running.open.push((ticket, doing));
        }
    }

    fn ticket_of(&self, is_it: impl Fn(&Doing) -> bool) -> Option<Ticket> {
        let open = &self.running.as_ref()?.open;
        open.iter().find(|(_, doing)| is_it(doing)).map(|(ticket, _)| *ticket)
    }

    /// Queues an input of the program.
    pub(super) fn push(&mut self, input: Input) {
        self.inputs.push_back(input);
    }

    /// Returns the message that is being recorded.
    pub(super) fn message(&mut self) -> Option<&mut Message> {
        let open = &mut self.running.as_mut()?.open;
        open.iter_mut().find_map(|(_, doing)| match doing {
            Doing::Message(message) => Some(&mut **message),
            _ => None,
        })
    }

    /// Returns the message that is to be left.
    pub(super) fn leaving(&mut self) -> Option<&mut Leaving> {
        let open = &mut self.running.as_mut()?.open;
        open.iter_mut().find_map(|(_, doing)| match doing {
            Doing::Leave(leaving) => Some(&mut **leaving),
            _ => None,
        })
    }

    pub(super) fn ticket_of_leaving(&self) -> Option<Ticket> {
        self.ticket_of(|doing| matches!(doing, Doing::Leave(_)))
    }

    /// Returns the leg that the program runs for.
    pub(super) fn leg(&self) -> Option<LegId> {
        self.running.as_ref().map(|running| running.leg)
    }

    /// Returns when the message's tap is due to be emptied.
    pub(super) fn next_look(&mut self) -> Option<Instant> {
        self.message().and_then(|message| message.next_look())
    }

    /// Returns the number of the recording that a ticket stands for.
    pub(super) fn recording(&self, ticket: Ticket) -> Option<u32> {
        let open = &self.running.as_ref()?.open;
        open.iter().find(|(known, _)| *known == ticket).and_then(|(_, doing)| doing.recording())
    }

    pub(super) fn ticket_of_recording(&self, number: u32) -> Option<Ticket> {
        self.ticket_of(|doing| doing.recording() == Some(number))
    }

    fn dialling(&mut self, ticket: Ticket) -> Option<&mut Dialling> {
        let open = &mut self.running.as_mut()?.open;
        open.iter_mut().find_map(|(known, doing)| match doing {
            Doing::Dial(dialling) if *known == ticket => Some(dialling),
            _ => None,
        })
    }

    /// Returns the dial or transfer in progress.
    fn dial(&mut self) -> Option<(Ticket, &mut Dialling)> {
        let open = &mut self.running.as_mut()?.open;
        open.iter_mut().find_map(|(ticket, doing)| match doing {
            Doing::Dial(dialling) => Some((*ticket, dialling)),
            _ => None,
        })
    }

    /// Asks the host in a separate task; its answer comes back under the ticket.
    fn ask(&self, ticket: Ticket, answer: impl Future<Output = Answered> + Send + 'static) -> Asking {
        let answers = self.answers_in.clone();
        let task = tokio::spawn(async move {
            let answer = answer.await;
            // An error means that the call has ended.
            let _ = answers.send(Answer { ticket, answer }).await;
        });
        Asking(task.abort_handle())
    }
}

impl CallTask {
    /// Starts the program of the first leg.
    pub(super) fn begin_program(&mut self) {
        let is_there = |(_, place): &(LegId, Place)| *place == Place::Scripted(App::Program);
        let Some((leg, _)) = self.topology.places().find(is_there) else { return };
        let Some(program) = self.settings.program.take() else { return };
        let CallProgram { start, host } = *program;
        let steps = start.program.steps();
        tracing::info!(call = %self.id, %leg, steps, "a call program has started");
        self.tell_program(leg, ProgramNews::Began { steps });
        let (script, effects) = Script::new(start, clock::now());
        self.programs.running = Some(Running { script, leg, host, open: Vec::new() });
        self.programs.first = effects;
    }

    /// Gives the program its inputs, and carries out its effects.
    pub(super) async fn run_program(&mut self) {
        let first = std::mem::take(&mut self.programs.first);
        self.carry_out_program(first).await;
        loop {
            if let Some(ticket) = self.programs.failed.take() {
                self.dial_next(ticket).await;
            } else if let (Some((ticket, rules)), Some(Running { leg, .. })) =
                (self.programs.beeped.take(), &self.programs.running)
            {
                let leg = *leg;
                self.record_message(ticket, leg, rules).await;
            } else if let Some(number) = self.programs.message().and_then(Message::take_end) {
                // An error means that the recording has ended already.
                let _ = self.record_stop(number).await;
            } else if let Some(input) = self.programs.inputs.pop_front() {
                let Some(running) = &mut self.programs.running else { return self.programs.inputs.clear() };
                let effects = running.script.handle(input, clock::now());
                self.carry_out_program(effects).await;
            } else {
                return;
            }
        }
    }

    /// Queues the program's time-out.
    pub(super) fn program_due(&mut self) {
        self.programs.inputs.push_back(Input::Timeout);
    }

    async fn carry_out_program(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let Some(Running { leg, .. }) = self.programs.running else { return };
            match effect {
                Effect::Play { ticket, sound } => self.program_plays(ticket, leg, sound),
                Effect::Gather { ticket, rules, prompts, barge_in, secret } => {
                    self.program_gathers(ticket, leg, (rules, barge_in, secret), prompts);
                }
                Effect::Dial { ticket, targets, ring, from } => {
                    self.program_dials(ticket, (targets, ring, from), false).await
                }
                Effect::Transfer { ticket, targets, ring, from } => {
                    self.program_dials(ticket, (targets, ring, from), true).await
                }
                Effect::Fetch { ticket, url, payload } => {
                    let Some(Running { host, .. }) = &self.programs.running else { return };
                    let host = host.clone();
                    let asking = self.programs.ask(ticket, async move {
                        let fetched = host.ask(|reply| ProgramRequest::Fetch { url, payload, reply }).await;
                        Answered::Fetched(fetched.unwrap_or(Err(FetchFailure::Unreachable)))
                    });
                    self.programs.open(ticket, Doing::Ask { _asking: asking });
                }
                Effect::RecordMessage { ticket, rules } => self.program_takes_message(ticket, leg, rules).await,
                Effect::LeaveMessage { ticket, sound, beep, for_machine } => {
                    self.program_leaves_message(ticket, leg, sound, (beep, for_machine));
                }
                Effect::Record(ticket) => self.program_records(ticket).await,
                Effect::PauseRecording { ticket, on } => self.program_pauses_recording(ticket, on).await,
                Effect::SetLanguage(language) => {
                    if let Some(role) = self.leg(leg).map(|leg| leg.role) {
                        self.set_language(role, language).await;
                    }
                }
                Effect::Stop(ticket) => self.program_stops(ticket).await,
                Effect::HangUp(cause) => self.handle(call::Input::HangUp(cause)).await,
                Effect::Tell(notice) => self.tell_program(leg, ProgramNews::Step(notice)),
                Effect::Done(ended) => self.program_ends(leg, ended).await,
            }
        }
    }

    fn tell_program(&self, leg: LegId, news: ProgramNews) {
        self.shared.tell(Some(self.id), EventKind::Program { leg, news });
    }

    /// Carries out the program's last effect.
    async fn program_ends(&mut self, leg: LegId, ended: Ended) {
        tracing::info!(call = %self.id, %leg, ?ended, "a call program has ended");
        self.programs.running = None;
        self.programs.inputs.clear();
        self.tell_program(leg, ProgramNews::Ended(ended));
        if self.over.is_none() {
            self.handle(call::Input::ProgramOver(leg)).await;
        }
    }

    fn program_plays(&mut self, ticket: Ticket, leg: LegId, sound: Sound) {
        match sound {
            Sound::Media(name) => {
                let Some(Running { host, .. }) = &self.programs.running else { return };
                let host = host.clone();
                let asking = self.programs.ask(ticket, async move { Answered::Sound(media(&host, name).await) });
                self.programs.open(ticket, Doing::Ask { _asking: asking });
            }
            Sound::Tone { hz, duration_ms } => {
                self.play_for_program(ticket, leg, prompt::Sound::Tone { hz, duration_ms });
            }
            Sound::Speech { text, language } => {
                self.play_for_program(ticket, leg, prompt::Sound::Speech { text, language });
            }
        }
    }

    /// Leaves a message: its sound is made while the moment is awaited.
    fn program_leaves_message(&mut self, ticket: Ticket, leg: LegId, sound: Sound, wait: (Duration, bool)) {
        let Some(Running { host, .. }) = &self.programs.running else { return };
        let (host, tts) = (host.clone(), self.shared.providers.clone());
        let asking = self.programs.ask(ticket, async move {
            Answered::Message(match sound {
                Sound::Media(name) => media(&host, name).await,
                Sound::Tone { hz, duration_ms } => {
                    let (rate, samples) = prompt::tone(&hz, duration_ms);
                    Some(prompt::Sound::Samples { rate, samples })
                }
                Sound::Speech { text, language } => match prompt::spoken(&tts, &text, &language).await {
                    Ok((rate, samples)) => Some(prompt::Sound::Samples { rate, samples }),
                    Err(why) => {
                        tracing::warn!(%leg, why, "a message could not be spoken");
                        None
                    }
                },
            })
        });
        self.await_message(ticket, leg, wait, asking);
    }

    fn play_for_program(&mut self, ticket: Ticket, leg: LegId, sound: prompt::Sound) {
        match self.play(Some(leg), sound, Owner::Program) {
            Ok(play) if self.prompts.is_playing(play) => self.programs.open(ticket, Doing::Play(play)),
            Ok(_) => self.programs.inputs.push_back(Input::Played(ticket, PlayEnd::Stopped)),
            Err(error) => {
                tracing::warn!(call = %self.id, %leg, %error, "a sound of a call program cannot be played");
                self.programs.inputs.push_back(Input::Played(ticket, PlayEnd::Failed));
            }
        }
    }

    /// Handles the end of a program's sound.
    pub(super) fn program_played(&mut self, play: PlayId, state: &PlayState) {
        let is_beep = |doing: &Doing| matches!(doing, Doing::Beep { play: known, .. } if *known == play);
        if let Some(ticket) = self.programs.ticket_of(is_beep)
            && let Some(Doing::Beep { rules, .. }) = self.programs.close(ticket)
        {
            self.programs.beeped = Some((ticket, rules));
            return;
        }
        if self.message_played(play, state) {
            return;
        }
        // The prompts of a collection are not steps.
        let is_it = |doing: &Doing| matches!(doing, Doing::Play(known) if *known == play);
        let Some(ticket) = self.programs.ticket_of(is_it) else { return };
        self.programs.close(ticket);
        let end = match state {
            PlayState::Started => return,
            PlayState::Done => PlayEnd::Done,
            PlayState::Stopped => PlayEnd::Stopped,
            PlayState::Failed(_) => PlayEnd::Failed,
        };
        self.programs.inputs.push_back(Input::Played(ticket, end));
    }

    fn program_gathers(
        &mut self,
        ticket: Ticket,
        leg: LegId,
        (rules, barge_in, secret): (GatherRules, bool, bool),
        prompts: Vec<Sound>,
    ) {
        let GatherRules { min, max, finish, first, between } = rules;
        let rules = call::GatherRules { min, max, finish, first, between };
        let Some(Running { host, .. }) = &self.programs.running else { return };
        let host = host.clone();
        let is_here = |sound: &Sound| !matches!(sound, Sound::Media(_));
        if prompts.iter().all(is_here) {
            let prompts = prompts.into_iter().filter_map(own_sound).collect();
            return self.gather_for_program(ticket, leg, NewGather { rules, prompts, barge_in, secret });
        }
        let asking = self.programs.ask(ticket, async move {
            let mut sounds = Vec::with_capacity(prompts.len());
            for sound in prompts {
                sounds.extend(match sound {
                    Sound::Media(name) => media(&host, name).await,
                    sound => own_sound(sound),
                });
            }
            Answered::Gather(NewGather { rules, prompts: sounds, barge_in, secret })
        });
        self.programs.open(ticket, Doing::Ask { _asking: asking });
    }

    fn gather_for_program(&mut self, ticket: Ticket, leg: LegId, new: NewGather) {
        match self.gather(leg, new, Owner::Program) {
            Ok((gather, _)) => self.programs.open(ticket, Doing::Gather(gather)),
            Err(error) => {
                tracing::warn!(call = %self.id, %leg, %error, "a call program cannot collect digits");
                let (digits, end) = (String::new(), GatherEnd::Stopped);
                self.programs.inputs.push_back(Input::Gathered { ticket, digits, end });
            }
        }
    }

    /// Handles the end of a program's collection.
    pub(super) fn program_gathered(&mut self, gather: GatherId, gathered: Gathered) {
        let is_it = |doing: &Doing| matches!(doing, Doing::Gather(known) if *known == gather);
        let Some(ticket) = self.programs.ticket_of(is_it) else { return };
        self.programs.close(ticket);
        let Gathered { digits, end, .. } = gathered;
        let end = match end {
            call::GatherEnd::Length => GatherEnd::Length,
            call::GatherEnd::FinishKey => GatherEnd::FinishKey,
            call::GatherEnd::Timeout => GatherEnd::Timeout,
            call::GatherEnd::Stopped => GatherEnd::Stopped,
            call::GatherEnd::LegGone => GatherEnd::FarEndGone,
        };
        self.programs.inputs.push_back(Input::Gathered { ticket, digits, end });
    }

    /// Handles the host's answer.
    pub(super) async fn on_program_answer(&mut self, Answer { ticket, answer }: Answer) {
        let Some(Running { leg, .. }) = self.programs.running else { return };
        if let Answered::Identity(identity) = answer {
            return self.on_identity(ticket, identity).await;
        }
        if let Answered::Message(sound) = answer {
            return self.on_message_sound(ticket, sound);
        }
        let is_asked = |doing: &Doing| matches!(doing, Doing::Ask { .. });
        // The question was withdrawn meanwhile.
        if self.programs.ticket_of(is_asked) != Some(ticket) {
            return;
        }
        self.programs.close(ticket);
        match answer {
            Answered::Sound(Some(sound)) => self.play_for_program(ticket, leg, sound),
            Answered::Sound(None) => self.programs.inputs.push_back(Input::Played(ticket, PlayEnd::Failed)),
            Answered::Gather(new) => self.gather_for_program(ticket, leg, new),
            Answered::Fetched(fetched) => self.programs.inputs.push_back(Input::Fetched(ticket, fetched)),
            Answered::Identity(_) | Answered::Message(_) => {}
        }
    }

    /// Stops a ticket's action, without an answer.
    async fn program_stops(&mut self, ticket: Ticket) {
        match self.programs.close(ticket) {
            Some(Doing::Play(play)) => drop(self.stop_play(play)),
            Some(Doing::Gather(gather)) => drop(self.stop_gather(gather)),
            Some(Doing::Dial(Dialling { stage: Stage::Calling(leg), .. })) => {
                self.handle(call::Input::Drop(leg)).await;
            }
            Some(Doing::Beep { play, .. }) => drop(self.stop_play(play)),
            Some(Doing::Leave(leaving)) => self.program_stops_message(&leaving),
            Some(Doing::Message(message)) => self.program_stops_recording(message.number(), Some(message)).await,
            Some(Doing::Recording(number)) => self.program_stops_recording(number, None).await,
            // A party that talks with the caller stays, or is hung up with the call.
            Some(Doing::Dial(_) | Doing::Ask { .. }) | None => {}
        }
    }

    async fn program_dials(
        &mut self,
        ticket: Ticket,
        (targets, ring, from): (Vec<Target>, Option<Duration>, Option<String>),
        is_transfer: bool,
    ) {
        let (targets, stage, cause) = (targets.into(), Stage::Next, HangupCause::NoAnswer);
        self.programs.open(ticket, Doing::Dial(Dialling { is_transfer, targets, ring, from, stage, cause }));
        self.dial_next(ticket).await;
    }

    /// Calls the next target that can be called.
    async fn dial_next(&mut self, ticket: Ticket) {
        loop {
            let Some(Running { host, .. }) = &self.programs.running else { return };
            let host = host.clone();
            let Some(dialling) = self.programs.dialling(ticket) else { return };
            let from = dialling.from.clone();
            let Some(target) = dialling.targets.pop_front() else {
                let (cause, is_transfer) = (dialling.cause.clone(), dialling.is_transfer);
                self.programs.close(ticket);
                return self.programs.inputs.push_back(match is_transfer {
                    true => Input::Transferred(ticket, Err(cause)),
                    false => Input::Dialled(ticket, DialOutcome::Failed(cause)),
                });
            };
            match target {
                Target::Agent(user) => {
                    if self.dial_leg(ticket, Callee::Agent(user), None).await {
                        return;
                    }
                }
                Target::To(to) => {
                    let asked = to.clone();
                    let asking = self.programs.ask(ticket, async move {
                        let identity = host.ask(|reply| ProgramRequest::Identity { from, to: asked, reply }).await;
                        Answered::Identity(identity.unwrap_or(Err(HangupCause::Unreachable)))
                    });
                    if let Some(dialling) = self.programs.dialling(ticket) {
                        dialling.stage = Stage::Asking { to, _asking: asking };
                    }
                    return;
                }
            }
        }
    }

    async fn on_identity(&mut self, ticket: Ticket, identity: Result<Option<String>, HangupCause>) {
        let Some(dialling) = self.programs.dialling(ticket) else { return };
        let Stage::Asking { to, .. } = std::mem::replace(&mut dialling.stage, Stage::Next) else { return };
        let is_called = match identity {
            Ok(shown) => self.dial_leg(ticket, Callee::Number(to), shown).await,
            Err(cause) => {
                dialling.cause = cause;
                false
            }
        };
        if !is_called {
            self.dial_next(ticket).await;
        }
    }

    /// Calls a target; `false`: it cannot be called.
    async fn dial_leg(&mut self, ticket: Ticket, to: Callee, from: Option<String>) -> bool {
        let leg = self.call.next_leg();
        let Some(dialling) = self.programs.dialling(ticket) else { return true };
        dialling.stage = Stage::Calling(leg);
        let (or_else, if_fails) = (Vec::new(), IfFails::Return);
        let new = NewLeg { to, supervises: None, from, ring: dialling.ring, or_else, if_fails, notice: false };
        let Err(error) = self.add_leg(new).await else { return true };
        tracing::info!(call = %self.id, %error, "a target of a call program cannot be called");
        if let Some(dialling) = self.programs.dialling(ticket) {
            dialling.stage = Stage::Next;
            dialling.cause = match error {
                CommandError::Invalid { .. } => HangupCause::NotFound,
                CommandError::Forbidden(_) => HangupCause::Rejected,
                _ => HangupCause::Unreachable,
            };
        }
        false
    }

    /// Derives the program's inputs from a changed topology.
    pub(super) fn program_hears(&mut self) {
        let Some(Running { leg, .. }) = self.programs.running else { return };
        let Some(place) = self.topology.place(leg) else { return };
        let floor: Vec<LegId> = self.topology.floor().collect();
        let is_talking = floor.contains(&leg);
        let dial = self.programs.dial();
        let input = match dial {
            Some((ticket, dialling)) => match dialling.stage {
                Stage::Calling(called) if floor.contains(&called) && is_talking => {
                    dialling.stage = Stage::Answered;
                    match dialling.is_transfer {
                        true => {
                            self.programs.close(ticket);
                            Input::Transferred(ticket, Ok(()))
                        }
                        false => Input::Dialled(ticket, DialOutcome::Answered),
                    }
                }
                Stage::Answered if place == Place::Scripted(App::Program) => {
                    self.programs.close(ticket);
                    Input::Dialled(ticket, DialOutcome::Ended)
                }
                Stage::Answered => return,
                _ if is_talking => Input::Withdrawn,
                _ => return,
            },
            None if is_talking => Input::Withdrawn,
            None => return,
        };
        self.programs.inputs.push_back(input);
    }

    /// Handles a leg that has left the call.
    pub(super) fn program_forgets(&mut self, gone: &Leg) {
        let Some(Running { leg, .. }) = self.programs.running else { return };
        if gone.id == leg {
            return self.programs.inputs.push_back(Input::FarEndGone);
        }
        let called = |dialling: &Dialling| matches!(dialling.stage, Stage::Calling(called) if called == gone.id);
        if let Some((ticket, dialling)) = self.programs.dial()
            && called(dialling)
        {
            dialling.stage = Stage::Next;
            let cause = gone.ending.as_ref().map_or(HangupCause::Unreachable, |ending| ending.cause.clone());
            dialling.cause = cause;
            self.programs.failed = Some(ticket);
        }
    }

    /// Returns whether the leg's party has left by itself.
    pub(super) fn has_hung_up(&self, leg: LegId) -> bool {
        self.leg(leg).is_none_or(|leg| leg.ending.as_ref().is_some_and(|ending| ending.by == EndedBy::FarEnd))
    }

    /// Ends the program with the call, and reports its last steps.
    pub(super) fn end_program(&mut self) {
        let Some(Running { leg, .. }) = self.programs.running else { return };
        let has_hung_up = self.has_hung_up(leg);
        // Keys and messages up to the end count; other inputs were meant for a caller who has gone.
        let counts = |input: &Input| matches!(input, Input::Gathered { .. } | Input::RecordEnded { .. });
        self.programs.inputs.retain(|input| has_hung_up && counts(input));
        self.programs.inputs.push_back(if has_hung_up { Input::FarEndGone } else { Input::Withdrawn });
        while let Some(input) = self.programs.inputs.pop_front() {
            let Some(running) = &mut self.programs.running else { break };
            for effect in running.script.handle(input, clock::now()) {
                match effect {
                    Effect::Tell(notice) => self.tell_program(leg, ProgramNews::Step(notice)),
                    Effect::Done(ended) => self.tell_program(leg, ProgramNews::Ended(ended)),
                    // The call has ended, so no other effect can be carried out.
                    _ => {}
                }
            }
        }
        self.programs.running = None;
    }
}

/// Converts a sound that does not need the host.
fn own_sound(sound: Sound) -> Option<prompt::Sound> {
    match sound {
        Sound::Media(_) => None,
        Sound::Tone { hz, duration_ms } => Some(prompt::Sound::Tone { hz, duration_ms }),
        Sound::Speech { text, language } => Some(prompt::Sound::Speech { text, language }),
    }
}

/// Fetches a file of the media store from the host.
async fn media(host: &ProgramHost, name: String) -> Option<prompt::Sound> {
    let found = host.ask(|reply| ProgramRequest::Media { name, reply }).await.flatten();
    found.map(|(rate, samples)| prompt::Sound::Samples { rate, samples })
}
