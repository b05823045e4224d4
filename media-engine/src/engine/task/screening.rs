//! Detection of what answered a customer's leg, and what follows the verdict.
//!
//! ```text
//!   Screened ─▶ Screening ─ Found::Verdict ─▶ action ─┬─ connect, hang up, program ─▶ Input::Verdict
//!                  ▲                                  └─ reply ─▶ play ─ played ─┐
//!                  └──────────────── judge again ◀───────────────────────────────┘
//!
//!   leave_message ─▶ sound is made, and the moment is awaited ─▶ play ─ played ─▶ left      a person speaks ─▶ the play fades
//! ```
//!
//! Invariants: every verdict that is acted upon, and every message, is reported once; a leg that leaves the call takes its
//! listener with it. Not here: the detector (`crate::amd`), reading the tap (`engine::screening`), who hears whom
//! (`call::screening`).

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::CallTask;
use super::program::{Asking, Doing};
use super::prompts::Owner;
use crate::amd::{Answer, MessageAfter, MessageCue, Mode, Verdict};
use crate::call::script::{self, MessageEnd, Ticket};
use crate::call::{Ending, Followed, Input};
use crate::engine::amd::{AmdAction, AmdEvidence, AmdNews, AmdSettings, AmdVerdict};
use crate::engine::event::{EventKind, LegRole};
use crate::engine::leg::Leg;
use crate::engine::prompt::{PlayId, PlayState, Sound};
use crate::engine::screening::{Finding, Found, Order, Screening, Watch, findings, hertz};
use crate::error::HangupCause;
use crate::net::clock;
use crate::sip::DialogId;
use crate::units::LegId;

/// Time after a reply to a call assistant within which what follows is judged.
const AFTER_REPLY: Duration = Duration::from_secs(30);
/// Longest time for a reply to be spoken.
const REPLY: Duration = Duration::from_secs(60);
/// Time limit of a verdict behind the application `amd`.
const APP_LIMIT: Duration = Duration::from_secs(10);
/// Header of the answer that the application `amd` gives its caller.
const HEADER: &str = "X-Tandem-AMD";
/// Content type of the INFO requests to that caller: the news in the form of the API's events.
const INFORMED: &str = "application/json";
/// Margin of the call's own time limit over that of the detector, whose sound comes later by the jitter buffer.
const MARGIN: Duration = Duration::from_secs(3);

/// Listeners of a call, and what they have found.
pub(super) struct Screenings {
    running: Vec<Running>,
    found_in: mpsc::Sender<Finding>,
    found: mpsc::Receiver<Finding>,
    /// News for the caller of the application `amd`, which has not been answered.
    unsent: Vec<String>,
}

struct Running {
    screening: Screening,
    answered: Instant,
    /// The reply to a call assistant that is being played.
    reply: Option<PlayId>,
    has_replied: bool,
}

/// A message that is to be left.
pub(super) struct Leaving {
    /// The message, once it has been made.
    pub(super) sound: Option<Sound>,
    /// The moment has come.
    after: Option<MessageAfter>,
    /// The play of the message.
    play: Option<PlayId>,
    /// Plays that were cut to begin anew.
    cut: Vec<PlayId>,
    has_begun: bool,
    /// The request for the sound.
    _asking: Asking,
}

impl Screenings {
    pub(super) fn new() -> Screenings {
        let (found_in, found) = findings();
        Screenings { running: Vec::new(), found_in, found, unsent: Vec::new() }
    }

    /// Returns the next finding.
    pub(super) async fn next(&mut self) -> Option<Finding> {
        self.found.recv().await
    }

    fn of(&mut self, leg: LegId) -> Option<&mut Running> {
        self.running.iter_mut().find(|running| running.screening.leg == leg)
    }

    /// Ends the listener of a leg.
    pub(super) fn end(&mut self, leg: LegId) {
        self.running.retain(|running| running.screening.leg != leg);
    }
}

impl CallTask {
    /// Returns the input that tells the machine whether customers are screened.
    pub(super) fn screen(&self) -> Option<Input> {
        self.settings.amd.as_ref().map(|amd| Input::Screen(Some(amd.limit + MARGIN)))
    }

    /// Completes the settings of a call behind the application `amd`: every verdict connects, since the caller decides.
    pub(super) fn settings_of_amd(&mut self) {
        if self.tells_amd && self.settings.amd_app && self.settings.amd.is_none() {
            let (mode, limit, actions) = (Mode::Balanced, APP_LIMIT, Vec::new());
            self.settings.amd = Some(Box::new(AmdSettings { mode, limit, actions }));
        }
    }

    /// Listens to a leg that has answered.
    pub(super) fn begin_screening(&mut self, leg: LegId) {
        let Some((mode, limit)) = self.settings.amd.as_deref().map(|amd: &AmdSettings| (amd.mode, amd.limit)) else {
            return;
        };
        self.tell_amd(leg, AmdNews::Listening { mode });
        if !self.listen_to(leg, Watch::Answer(mode, limit)) {
            tracing::error!(call = %self.id, %leg, "what answered cannot be detected: the media worker is overloaded");
            metrics::counter!("tandem_amd_failures_total").increment(1);
            let verdict = AmdVerdict {
                verdict: Answer::Unknown,
                probability: 0.0,
                decided_at_ms: 0,
                action: AmdAction::Connect.as_str().into(),
                evidence: AmdEvidence { ground: "failure".into(), ..AmdEvidence::default() },
            };
            self.tell_amd(leg, AmdNews::Verdict(verdict));
            self.pending.push_back(Input::Verdict { leg, followed: Followed::Connect });
        }
    }

    /// Listens for tones in the early media of a leg that will be screened.
    pub(super) fn screen_early(&mut self, leg: LegId) {
        let is_customer = self.leg(leg).is_some_and(|leg| leg.role == LegRole::Customer);
        if self.settings.amd.is_some() && is_customer && self.call.check_connected(leg).is_err() {
            self.listen_to(leg, Watch::Early);
        }
    }

    fn listen_to(&mut self, leg: LegId, watch: Watch) -> bool {
        let Some(media) = self.leg(leg).and_then(Leg::media) else { return false };
        let now = clock::now();
        let known =
            self.screenings.of(leg).map(|running| running.answered).filter(|_| !matches!(watch, Watch::Answer(..)));
        let answered = known.unwrap_or(now);
        self.screenings.end(leg);
        let (before, found) = (now.saturating_duration_since(answered), self.screenings.found_in.clone());
        let Some(screening) = Screening::start(&self.worker, (leg, media), (watch, before), found) else {
            return false;
        };
        self.screenings.running.push(Running { screening, answered, reply: None, has_replied: false });
        true
    }

    fn tell_amd(&mut self, leg: LegId, news: AmdNews) {
        let role = self.call.role(leg).unwrap_or(LegRole::Customer);
        self.inform_caller(&news);
        self.shared.tell(Some(self.id), EventKind::Amd { leg, role, news });
    }

    /// Tells the caller of the application `amd` what was found: in the answer if it is a verdict before the answer, and by INFO.
    fn inform_caller(&mut self, news: &AmdNews) {
        let is_told = !matches!(news, AmdNews::Listening { .. } | AmdNews::Heard(_));
        if !self.tells_amd || !is_told {
            return;
        }
        let Some((first, dialog)) = self.legs.first().and_then(|leg| Some((leg.id, leg.dialog?))) else { return };
        if let AmdNews::Verdict(verdict) = news {
            let AmdVerdict { verdict, probability, decided_at_ms, .. } = verdict;
            // Rounded down: no verdict is certain.
            let percent = (probability * 100.0).clamp(0.0, 99.0) as u8;
            let value = format!("{};probability=0.{percent:02};at={decided_at_ms}", verdict.as_str());
            self.signals().answer_header(dialog, HEADER, value);
        }
        match serde_json::to_string(news) {
            Ok(body) if self.call.check_connected(first).is_ok() => self.signals().inform(dialog, INFORMED, body),
            // A caller can be informed once it has been answered.
            Ok(body) => self.screenings.unsent.push(body),
            Err(error) => tracing::error!(call = %self.id, %error, "news of the detection cannot be written"),
        }
    }

    /// Sends a caller that has just been answered what was found before.
    pub(super) fn inform_answered(&mut self, dialog: DialogId) {
        for body in std::mem::take(&mut self.screenings.unsent) {
            self.signals().inform(dialog, INFORMED, body);
        }
    }

    pub(super) async fn on_found(&mut self, leg: LegId, found: Found) {
        match found {
            Found::Strip(strip) => self.tell_amd(leg, AmdNews::Heard(strip)),
            Found::Verdict(verdict, evidence) => self.on_amd_verdict(leg, verdict, evidence).await,
            Found::Revised(verdict, evidence) => {
                let revised = told(&verdict, "", evidence);
                tracing::info!(call = %self.id, %leg, verdict = revised.verdict.as_str(), "what answered is judged differently now");
                self.tell_amd(leg, AmdNews::Revised(revised));
            }
            Found::GreetingEnd(at) => self.tell_amd(leg, AmdNews::GreetingEnd { at_ms: millis(at) }),
            Found::Beep(beep) => {
                let (start_ms, end_ms) = (beep.start_ms.into(), beep.end_ms.into());
                self.tell_amd(leg, AmdNews::Beep { start_ms, end_ms, hz: hertz(&beep) });
            }
            Found::Message(cue) => self.on_message_cue(cue),
            Found::Early(answer, at, evidence) => {
                if self.call.check_connected(leg).is_ok() {
                    return;
                }
                self.screenings.end(leg);
                let verdict = AmdVerdict {
                    verdict: answer,
                    probability: 0.99,
                    decided_at_ms: millis(at),
                    action: AmdAction::HangUp.as_str().into(),
                    evidence,
                };
                tracing::info!(call = %self.id, %leg, verdict = answer.as_str(), "a tone before the answer ends the leg");
                self.tell_amd(leg, AmdNews::Verdict(verdict));
                self.handle(Input::EarlyVerdict(leg, cause_of(answer))).await;
            }
        }
    }

    async fn on_amd_verdict(&mut self, leg: LegId, verdict: Verdict, evidence: AmdEvidence) {
        let Some(settings) = &mut self.settings.amd else { return };
        let Some(running) = self.screenings.running.iter_mut().find(|running| running.screening.leg == leg) else {
            return;
        };
        let answer = verdict.answer;
        // After its reply, an assistant rings its owner: only a person, a machine or the end of the time tells more.
        let rings_owner = matches!(answer, Answer::Screening | Answer::Ringback | Answer::Music | Answer::Silence);
        if running.has_replied && rings_owner && self.call.is_screened(leg) {
            running.screening.order(Order::Again(AFTER_REPLY));
            return;
        }
        let mut action = settings.action(answer).clone();
        // A leg is answered once; one whose time had ended is connected already.
        let is_late = !self.call.is_screened(leg);
        if is_late || running.has_replied && matches!(action, AmdAction::Reply(_)) {
            action = AmdAction::Connect;
        }
        let (decided_at_ms, probability) = (millis(verdict.at), verdict.probability);
        tracing::info!(call = %self.id, %leg, verdict = answer.as_str(), probability, decided_at_ms,
            ground = evidence.ground, action = action.as_str(), "what answered");
        metrics::counter!("tandem_amd_verdicts_total", "verdict" => answer.as_str()).increment(1);
        metrics::histogram!("tandem_amd_decision_seconds", "verdict" => answer.as_str())
            .record(verdict.at.as_secs_f64());
        self.tell_amd(leg, AmdNews::Verdict(told(&verdict, action.as_str(), evidence)));
        if is_late {
            return;
        }
        let followed = match action {
            AmdAction::Connect => Followed::Connect,
            AmdAction::HangUp | AmdAction::RetryLater => Followed::HangUp(cause_of(answer)),
            AmdAction::Program { program, .. } => {
                self.settings.program = Some(program);
                Followed::Program
            }
            AmdAction::Reply(sound) => match self.play(Some(leg), sound, Owner::Screening) {
                Ok(play) => {
                    if let Some(running) = self.screenings.of(leg) {
                        (running.reply, running.has_replied) = (Some(play), true);
                    }
                    Followed::Again(REPLY)
                }
                Err(error) => {
                    tracing::warn!(call = %self.id, %leg, %error, "a call assistant cannot be answered");
                    Followed::Connect
                }
            },
        };
        self.handle(Input::Verdict { leg, followed }).await;
    }

    /// Judges what follows a reply, which has been played or could not be.
    pub(super) fn reply_played(&mut self, play: PlayId) {
        let replied = |running: &&mut Running| running.reply == Some(play);
        let Some(running) = self.screenings.running.iter_mut().find(replied) else { return };
        running.reply = None;
        running.screening.order(Order::Again(AFTER_REPLY));
        let leg = running.screening.leg;
        self.pending.push_back(Input::Verdict { leg, followed: Followed::Again(AFTER_REPLY + MARGIN) });
    }

    /// Reports the outcome of a leg that could not be reached, as its signalling tells it.
    pub(super) fn judge_ending(&mut self, leg: LegId, ending: &Ending) {
        let is_customer = self.leg(leg).is_some_and(|leg| leg.role == LegRole::Customer);
        let answer = match ending.q850.and_then(HangupCause::from_q850).unwrap_or_else(|| ending.cause.clone()) {
            HangupCause::Busy => Answer::Busy,
            HangupCause::NotFound => Answer::Sit,
            _ => return,
        };
        if self.settings.amd.is_some() && is_customer && ending.sip_status.is_some() {
            let evidence = AmdEvidence { ground: "signalling".into(), ..AmdEvidence::default() };
            let (probability, action) = (1.0, AmdAction::HangUp.as_str().into());
            let verdict = AmdVerdict { verdict: answer, probability, decided_at_ms: 0, action, evidence };
            self.tell_amd(leg, AmdNews::Verdict(verdict));
        }
    }

    /// Waits for the moment of a message, and for its sound.
    pub(super) fn await_message(
        &mut self,
        ticket: Ticket,
        leg: LegId,
        (beep, for_machine): (Duration, bool),
        asking: Asking,
    ) {
        let order = Order::Message { beep, for_machine };
        let is_heard = self.screenings.of(leg).is_some_and(|running| running.screening.order(order));
        let is_watched = is_heard
            || self.listen_to(leg, Watch::Message)
                && self.screenings.of(leg).is_some_and(|running| running.screening.order(order));
        let after = if is_watched { None } else { Some(MessageAfter::Limit) };
        let leaving = Leaving { sound: None, after, play: None, cut: Vec::new(), has_begun: false, _asking: asking };
        self.programs.open(ticket, Doing::Leave(Box::new(leaving)));
    }

    /// Takes the sound of a message; `None`: it could not be made.
    pub(super) fn on_message_sound(&mut self, ticket: Ticket, sound: Option<Sound>) {
        let Some(leaving) = self.programs.leaving() else { return };
        match sound {
            Some(sound) => {
                leaving.sound = Some(sound);
                if leaving.after.is_some() {
                    self.play_message(ticket);
                }
            }
            None => self.end_message(ticket, MessageEnd::Failed),
        }
    }

    fn on_message_cue(&mut self, cue: MessageCue) {
        let Some(ticket) = self.programs.ticket_of_leaving() else { return };
        let Some(leaving) = self.programs.leaving() else { return };
        match cue {
            MessageCue::Begin(after) => {
                leaving.after = Some(after);
                if let Some(play) = leaving.play.take() {
                    leaving.cut.push(play);
                    self.stop_play(play);
                }
                if self.programs.leaving().is_some_and(|leaving| leaving.sound.is_some()) {
                    self.play_message(ticket);
                }
            }
            MessageCue::Human => {
                let play = leaving.play.take();
                self.end_message(ticket, MessageEnd::Human);
                if let Some(play) = play {
                    self.stop_play(play);
                }
            }
        }
    }

    fn play_message(&mut self, ticket: Ticket) {
        let Some(leg) = self.programs.leg() else { return };
        let Some(sound) = self.programs.leaving().and_then(|leaving| leaving.sound.clone()) else { return };
        match self.play(Some(leg), sound, Owner::Program) {
            Ok(play) => {
                if let Some(leaving) = self.programs.leaving() {
                    leaving.play = Some(play);
                }
            }
            Err(error) => {
                tracing::warn!(call = %self.id, %leg, %error, "a message cannot be played");
                self.end_message(ticket, MessageEnd::Failed);
            }
        }
    }

    /// Reports the first sample of a message.
    pub(super) fn message_started(&mut self, play: PlayId, at: Instant) {
        let Some(leg) = self.programs.leg() else { return };
        let Some(leaving) = self.programs.leaving().filter(|leaving| leaving.play == Some(play)) else { return };
        let (after, again) = (leaving.after.unwrap_or(MessageAfter::Limit), leaving.has_begun);
        leaving.has_begun = true;
        let at_ms = self.since_answer(leg, at);
        tracing::info!(call = %self.id, %leg, at_ms, ?after, again, "a message has begun");
        self.tell_amd(leg, AmdNews::MessageBegun { at_ms, after });
    }

    /// Handles the end of a play; `false`: it is not a message.
    pub(super) fn message_played(&mut self, play: PlayId, state: &PlayState) -> bool {
        let Some(ticket) = self.programs.ticket_of_leaving() else { return false };
        let Some(leaving) = self.programs.leaving() else { return false };
        if let Some(at) = leaving.cut.iter().position(|known| *known == play) {
            leaving.cut.swap_remove(at);
            return true;
        }
        if leaving.play != Some(play) {
            return false;
        }
        let end = match state {
            PlayState::Started => return true,
            PlayState::Done => MessageEnd::Left,
            PlayState::Stopped => MessageEnd::Stopped,
            PlayState::Failed(_) => MessageEnd::Failed,
        };
        self.end_message(ticket, end);
        true
    }

    fn end_message(&mut self, ticket: Ticket, end: MessageEnd) {
        self.programs.close(ticket);
        self.tell_message_end(end);
        self.programs.push(script::Input::MessageLeft(ticket, end));
    }

    /// Stops a message whose ticket is closed.
    pub(super) fn program_stops_message(&mut self, leaving: &Leaving) {
        if let Some(play) = leaving.play {
            self.stop_play(play);
        }
        self.tell_message_end(MessageEnd::Stopped);
    }

    /// Reports the end of a message.
    pub(super) fn tell_message_end(&mut self, end: MessageEnd) {
        let Some(leg) = self.programs.leg() else { return };
        let at_ms = self.since_answer(leg, clock::now());
        tracing::info!(call = %self.id, %leg, at_ms, ?end, "a message has ended");
        self.tell_amd(leg, AmdNews::MessageLeft { at_ms, end });
        self.screenings.end(leg);
    }

    fn since_answer(&mut self, leg: LegId, at: Instant) -> u64 {
        self.screenings.of(leg).map_or(0, |running| millis(at.saturating_duration_since(running.answered)))
    }
}

/// Returns the verdict in the form of events.
fn told(verdict: &Verdict, action: &str, evidence: AmdEvidence) -> AmdVerdict {
    let Verdict { answer, probability, at, .. } = *verdict;
    AmdVerdict { verdict: answer, probability, decided_at_ms: millis(at), action: action.into(), evidence }
}

/// Returns the cause with which a call ends after this verdict.
fn cause_of(answer: Answer) -> HangupCause {
    match answer {
        Answer::Busy => HangupCause::Busy,
        Answer::Sit => HangupCause::NotFound,
        _ => HangupCause::NotHuman,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
