//! The queue of events to the control plane: it is bounded, and only ends of calls wait for room.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::event::Event;

/// Sender of events to the control plane.
pub(super) struct Outlet {
    events: mpsc::Sender<Event>,
}

impl Outlet {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Outlet {
        Outlet { events }
    }

    /// Returns whether the next event would be dropped.
    pub(super) fn is_full(&self) -> bool {
        self.events.capacity() == 0
    }

    /// Sends an event. A full queue drops and counts it; the caller never waits.
    pub(super) fn tell(&self, event: Event) {
        if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
            metrics::counter!("tandem_engine_events_dropped_total").increment(1);
            tracing::error!(call = ?event.call, "event dropped: the control plane is too slow");
        }
    }

    /// Sends the end of a call, which must not be lost; waits while the queue is full.
    pub(super) async fn tell_end(&self, event: Event) {
        let Err(TrySendError::Full(event)) = self.events.try_send(event) else { return };
        metrics::counter!("tandem_engine_ends_delayed_total").increment(1);
        tracing::warn!(call = ?event.call, "the end of a call waits for room: the control plane is too slow");
        // An error means that the receiver has gone and counts no calls any more.
        let _ = self.events.send(event).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::engine::{CallStatus, EventKind};
    use crate::error::HangupCause;
    use crate::net::clock;
    use crate::units::CallId;

    #[tokio::test]
    async fn the_end_of_a_call_waits_for_room_and_other_events_do_not() {
        let (sender, mut events) = mpsc::channel(2);
        let outlet = Outlet::new(sender);
        let event = |call, kind| Event { at: clock::system_now(), call: Some(CallId(call)), kind };
        let rings = || EventKind::CallStatus { status: CallStatus::Ringing, cause: None };
        let ended = EventKind::CallStatus { status: CallStatus::Ended, cause: Some(HangupCause::Normal) };
        for call in 1..=3 {
            outlet.tell(event(call, rings()));
        }
        assert!(outlet.is_full());
        let mut end = pin!(outlet.tell_end(event(4, ended)));
        assert!(end.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "the end waits for room");
        let mut received = Vec::new();
        received.push(events.recv().await.unwrap());
        end.await;
        events.close();
        while let Some(event) = events.recv().await {
            received.push(event);
        }
        let calls: Vec<u128> = received.iter().map(|event| event.call.unwrap().0).collect();
        assert_eq!(calls, [1, 2, 4]);
    }
}
