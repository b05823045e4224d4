//! Server-sent events: a reader that pulls from the bus at the pace of its client.
//!
//! ```text
//! bus ─ page ─▶ Reader ─ own calls? ─▶ SSE ─▶ client
//!  └─ passing ─▶┘    └─ every 2.5 s: may the client still listen?
//! ```
//!
//! Invariants: a slow client holds at most one page of events in memory and delays nobody else. A look-up of rights or an end of
//! a call never delays an event. A reader ends when its key or session becomes invalid, when the server stops, or when the store
//! fails; the client then reconnects with its last id.
//!
//! Not here: storage of events (`bus`) and limits of streams (`listeners`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, Stream};
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::bus::{Bus, Passing};
use super::listeners::Listening;
use super::own_calls::OwnCalls;
use crate::store::{StoreError, StoredEvent, StreamFilter, TAIL};

/// Number of events fetched at a time, which is what a slow reader holds in memory.
const PAGE: usize = 128;
/// Interval of comments by which proxies and browsers notice that the connection is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Interval of checks of the key or session. A stream ends within this time plus the two seconds for which a look-up is cached.
const LOOK_EVERY: Duration = Duration::from_millis(2500);
/// Time for which the transcript of an ended call may still arrive. Its stream ends after that.
pub const STREAM_END_QUIET: Duration = Duration::from_secs(10);

/// Time for which a listener who leaves a call still receives its last words.
const LEAVING: Duration = TAIL.unsigned_abs();

/// Event stream of one listener.
pub struct Reader {
    bus: Bus,
    filter: StreamFilter,
    cursor: i64,
    page: VecDeque<StoredEvent>,
    latest: watch::Receiver<i64>,
    passing: Option<broadcast::Receiver<Passing>>,
    /// Calls that the listener may see, if not all of the organization.
    own: Option<OwnCalls>,
    first: VecDeque<Event>,
    /// Looks up whether the call has ended.
    ends: Option<Question>,
    /// Time without events after which the end of the call is checked, and the time of that check.
    quiet: Duration,
    ends_at: Instant,
    /// Time at which the listener gets the `left` event; `None` if the listener is in the call or may see every call.
    leaves_at: Option<Instant>,
    over: bool,
    /// Looks up whether the listener may still listen.
    allowed: Question,
    next_look: Instant,
    /// Pending look-up. Events are sent meanwhile, so that a slow store delays none.
    looking: Option<BoxFuture<'static, bool>>,
    stopping: CancellationToken,
    /// Counts the stream as open while it is held.
    _listening: Listening,
}

/// Look-up that a reader repeats from time to time.
type Question = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

impl Reader {
    /// Creates a reader of the events after `after`, for as long as `allowed` returns `true`.
    pub fn new(
        bus: &Bus,
        filter: StreamFilter,
        after: i64,
        stopping: CancellationToken,
        listening: Listening,
        allowed: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Reader {
        let latest = bus.watch();
        let newest = *latest.borrow();
        let mut first = VecDeque::new();
        // The client knows an event that does not exist here: the store has been replaced.
        if after > newest {
            first.push_back(gap(None));
        }
        Reader {
            bus: bus.clone(),
            filter,
            cursor: after.min(newest),
            page: VecDeque::new(),
            latest,
            passing: None,
            own: None,
            first,
            ends: None,
            quiet: STREAM_END_QUIET,
            ends_at: Instant::now() + STREAM_END_QUIET,
            leaves_at: None,
            over: false,
            allowed: Box::new(allowed),
            next_look: Instant::now() + LOOK_EVERY,
            looking: None,
            stopping,
            _listening: listening,
        }
    }

    /// Adds unsettled words, which are not stored.
    pub fn with_unsettled_words(mut self) -> Reader {
        self.passing = Some(self.bus.passing());
        self
    }

    /// Adds transient states: first the current state of the providers, then every change.
    pub fn with_passing(mut self) -> Reader {
        self.passing = Some(self.bus.passing());
        let filter = self.filter;
        let states =
            self.bus.providers().into_iter().map(|provider| passing_event(&Passing::Provider(provider), filter));
        self.first.extend(states);
        self
    }

    /// Restricts the stream to these calls, and for each call to the time that the listener is in it.
    pub fn of_own(mut self, own: Option<OwnCalls>) -> Reader {
        self.own = own;
        self
    }

    /// With `has_left`, ends the stream with a `left` event as soon as all events for the listener have been read, unless the
    /// call has ended.
    pub fn of_one_who_left(mut self, has_left: bool) -> Reader {
        self.leaves_at = has_left.then(Instant::now);
        self
    }

    /// Ends the stream with an `end` event once `over` returns `true` and no event has come for [`STREAM_END_QUIET`]; with
    /// `told`, as soon as all stored events have been read.
    pub fn ending_when(
        mut self,
        told: bool,
        over: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Reader {
        self.ends = Some(Box::new(over));
        if told {
            self.quiet = Duration::ZERO;
            self.ends_at = Instant::now();
        }
        self
    }

    /// Returns the next event, or `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.over {
                return None;
            }
            if self.looking.is_none() && Instant::now() >= self.next_look {
                self.looking = Some((self.allowed)());
            }
            if let Some(allowed) = self.looking.as_mut().and_then(FutureExt::now_or_never) {
                self.on_looked(allowed);
                continue;
            }
            if let Some(event) = self.first.pop_front() {
                return Some(event);
            }
            if let Some(event) = self.page.pop_front() {
                match self.hears(&event).await {
                    Ok(true) => return Some(self.stored_event(&event)),
                    Ok(false) => continue,
                    Err(error) => return failed(&error),
                }
            }
            self.latest.mark_unchanged();
            match self.bus.page(&self.filter, self.cursor, PAGE).await {
                Ok((events, seen)) => {
                    self.cursor = seen;
                    if !events.is_empty() {
                        self.ends_at = Instant::now() + self.quiet;
                        self.page = events.into();
                        continue;
                    }
                }
                Err(error) => return failed(&error),
            }
            match self.wait().await {
                Wake::More => {}
                Wake::Passing(passing) => {
                    let heard = match &mut self.own {
                        Some(own) => own.hears(&passing).await,
                        None => Ok(true),
                    };
                    match heard {
                        Ok(true) => return Some(passing_event(&passing, self.filter)),
                        Ok(false) => {}
                        Err(error) => return failed(&error),
                    }
                }
                Wake::Missed(missed) => return Some(gap(Some(missed))),
                Wake::End => {
                    self.over = true;
                    return Some(Event::default().event("end").data("{}"));
                }
                Wake::Left(call) => {
                    self.over = true;
                    let body = json!({"type": "left", "call_id": call});
                    return Some(Event::default().event("left").data(body.to_string()));
                }
                Wake::Looked(allowed) => self.on_looked(allowed),
                Wake::Stop => return None,
            }
        }
    }

    fn on_looked(&mut self, allowed: bool) {
        self.looking = None;
        self.next_look = Instant::now() + LOOK_EVERY;
        self.over |= !allowed;
    }

    /// Returns whether the listener may receive an event. A listener who leaves the call of this stream continues for a moment,
    /// to receive its last words.
    async fn hears(&mut self, event: &StoredEvent) -> Result<bool, StoreError> {
        let Some(own) = &mut self.own else { return Ok(true) };
        let heard = own.hears_event(event).await?;
        let StreamFilter::Translations { call, .. } = self.filter else { return Ok(heard) };
        if !event.is_of_people() {
            return Ok(heard);
        }
        self.leaves_at = match own.has_left(call).await? {
            true => self.leaves_at.or(Some(Instant::now() + LEAVING)),
            false => None,
        };
        Ok(false)
    }

    async fn wait(&mut self) -> Wake {
        let is_looking = self.looking.is_some();
        let (ends_at, next_look, leaves_at) = (self.ends_at, self.next_look, self.leaves_at);
        tokio::select! {
            changed = self.latest.changed() => if changed.is_ok() { Wake::More } else { Wake::Stop },
            wake = next_passing(&mut self.passing, self.filter) => wake,
            () = tokio::time::sleep_until(ends_at), if self.ends.is_some() => {
                let over = match &self.ends {
                    Some(over) => over().await,
                    None => false,
                };
                self.ends_at = Instant::now() + STREAM_END_QUIET;
                if over { Wake::End } else { Wake::More }
            }
            () = tokio::time::sleep_until(leaves_at.unwrap_or(next_look)), if leaves_at.is_some() => {
                self.leaves_at = None;
                let over = match &self.ends {
                    Some(over) => over().await,
                    None => false,
                };
                match self.filter {
                    // The call has ended, so the stream ends normally after its last words.
                    StreamFilter::Translations { call, .. } if !over => Wake::Left(call),
                    _ => Wake::More,
                }
            }
            allowed = look(&mut self.looking) => Wake::Looked(allowed),
            () = tokio::time::sleep_until(next_look), if !is_looking => Wake::More,
            () = self.stopping.cancelled() => Wake::Stop,
        }
    }

    fn stored_event(&self, event: &StoredEvent) -> Event {
        Event::default().id(event.id.to_string()).event(name(&event.kind, self.filter)).data(&*event.body)
    }

    /// Returns the reader as a stream of SSE events.
    pub fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut reader| async move { reader.next().await.map(|event| (Ok(event), reader)) })
    }
}

enum Wake {
    More,
    Passing(Passing),
    Missed(u64),
    End,
    /// The listener has left this call.
    Left(Uuid),
    /// Result of the look-up whether the listener may still listen.
    Looked(bool),
    Stop,
}

/// Waits for the pending look-up. Never returns if there is none.
async fn look(looking: &mut Option<BoxFuture<'static, bool>>) -> bool {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

/// Returns the name under which a stream sends an event of this kind.
fn name(kind: &str, filter: StreamFilter) -> &str {
    match filter {
        StreamFilter::Translations { .. } => kind.strip_prefix("translation.").unwrap_or(kind),
        StreamFilter::Organization { .. } => kind,
    }
}

/// Waits for the next transient state that the filter selects. Never returns if none are wanted.
async fn next_passing(passing: &mut Option<broadcast::Receiver<Passing>>, filter: StreamFilter) -> Wake {
    let Some(receiver) = passing else { return std::future::pending().await };
    let of_organization = match filter {
        StreamFilter::Organization { organization, .. } => Some(organization),
        StreamFilter::Translations { .. } => None,
    };
    loop {
        match receiver.recv().await {
            Ok(Passing::Provider(_)) if of_organization.is_none() => {}
            Ok(Passing::Registration { organization, .. }) if Some(organization) != of_organization => {}
            Ok(Passing::LegReport(report)) if !filter.passes(&report) => {}
            Ok(passing) => return Wake::Passing(passing),
            // Words that are missed are part of the next state of their segment.
            Err(broadcast::error::RecvError::Lagged(_)) if of_organization.is_none() => {}
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                metrics::counter!("tandem_sse_gaps_total").increment(1);
                return Wake::Missed(missed);
            }
            // Readers hold the bus, so it lives as long as they do.
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// Ends the stream after an error. The client reconnects with its last id.
fn failed(error: &StoreError) -> Option<Event> {
    tracing::warn!(%error, "an event stream ends because the store failed");
    None
}

/// Returns a gap marker: states were missed, and the client should request them again.
fn gap(missed: Option<u64>) -> Event {
    Event::default().event("gap").data(json!({"type": "gap", "missed": missed}).to_string())
}

fn passing_event(passing: &Passing, filter: StreamFilter) -> Event {
    match passing {
        Passing::Provider(provider) => {
            let body = json!({"type": "provider", "provider": provider});
            Event::default().event("provider").data(body.to_string())
        }
        Passing::Registration { agent, contacts, .. } => {
            let body = json!({"type": "registration", "agent": agent, "contacts": contacts});
            Event::default().event("registration").data(body.to_string())
        }
        Passing::LegReport(report) => Event::default().event(name(report.kind, filter)).data(&*report.body),
    }
}

/// Returns the HTTP response that carries a reader.
pub fn sse_response(reader: Reader) -> Response {
    let mut response = Sse::new(reader.into_stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // nginx buffers responses unless this header forbids it.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;
    use crate::store::{Store, StorePlace};

    #[tokio::test]
    async fn a_slow_look_up_of_rights_delays_no_event_and_a_refusal_ends_the_stream() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StorePlace::new("sqlite:t.db", folder.path())).await.unwrap();
        let organization = store.organization_create("acme").await.unwrap().id;
        let bus = Bus::start(store).await.unwrap();
        let filter = StreamFilter::Organization { organization, translations: false };
        let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let allowed = {
            let (asked, answer) = (asked.clone(), answer.clone());
            move || {
                let (asked, answer) = (asked.clone(), answer.clone());
                async move {
                    asked.notify_one();
                    answer.notified().await;
                    false
                }
                .boxed()
            }
        };
        let stopping = CancellationToken::new();
        let mut reader = Reader::new(&bus, filter, 0, stopping, Listening::of_a_test(), allowed).with_passing();
        reader.next_look = Instant::now();
        let told = tokio::spawn(async move {
            let event = reader.next().await;
            (event.is_some(), reader)
        });
        asked.notified().await;
        bus.pass(Passing::Registration { organization, agent: "anna".into(), contacts: 1 });
        let told = tokio::time::timeout(KEEP_ALIVE, told).await.expect("the event does not wait for the look-up");
        let (is_told, mut reader) = told.unwrap();
        assert!(is_told, "the event is sent while the look-up is pending");
        answer.notify_one();
        assert!(reader.next().await.is_none(), "a listener without rights receives nothing more");
    }
}
