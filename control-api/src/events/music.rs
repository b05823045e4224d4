//! Hold music: read when the first party of a call is put on hold, and shared between the calls that need it.
//!
//! ```text
//! MusicWanted ─▶ setting ─▶ still in memory for another call? ─ no ─▶ file ─▶ samples ─▶ CallMusic
//! ```
//!
//! Invariant: receiving events never waits for music. While the store is unavailable, or if no music is set, the call plays the
//! soft tone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::engine::{Command, Engine, Group, SampleRate, call_id};
use crate::media::sound;
use crate::store::{OrganizationId, Store, StoreError};

/// Number of files that are read at the same time.
const READING: usize = 2;
/// Number of calls that may wait for their music. Further calls keep the soft tone.
const WAITING: usize = 1_000;

/// Samples by the sound's id. They stay in memory for as long as a call uses them.
type Read = HashMap<Uuid, (SampleRate, Weak<[i16]>)>;

/// Supplies calls with hold music; clones share the samples.
#[derive(Clone)]
pub(super) struct HoldMusic {
    store: Store,
    engine: Engine,
    shared: Arc<Shared>,
}

struct Shared {
    read: Mutex<Read>,
    reading: Semaphore,
    waiting: Arc<Semaphore>,
}

impl HoldMusic {
    pub(super) fn new(store: Store, engine: Engine) -> HoldMusic {
        let waiting = Arc::new(Semaphore::new(WAITING));
        let shared = Shared { read: Mutex::default(), reading: Semaphore::new(READING), waiting };
        HoldMusic { store, engine, shared: Arc::new(shared) }
    }

    /// Supplies a call with its music when a party is put on hold for the first time.
    pub(super) fn bring(&self, call: Uuid, group: Group) {
        let Ok(place) = Arc::clone(&self.shared.waiting).try_acquire_owned() else {
            metrics::counter!("tandem_hold_music_missed_total").increment(1);
            return;
        };
        let music = self.clone();
        tokio::spawn(async move {
            let _place = place;
            match music.of(OrganizationId(Uuid::from_u128(group.0))).await {
                Ok(Some((rate, samples))) => {
                    let command = Command::CallMusic { call: call_id(call), rate, samples };
                    if let Err(error) = music.engine.command(command).await {
                        tracing::debug!(%call, %error, "the hold music arrived after the end of the call");
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%call, %error, "cannot read the hold music of a call"),
            }
        });
    }

    async fn of(&self, organization: OrganizationId) -> Result<Option<(SampleRate, Arc<[i16]>)>, StoreError> {
        if !self.store.keeps() {
            return Ok(None);
        }
        let Some(id) = self.store.hold_music_show(organization).await? else { return Ok(None) };
        if let Some(read) = self.read_before(id) {
            return Ok(Some(read));
        }
        // The semaphore is never closed.
        let _reading = self.shared.reading.acquire().await;
        if let Some(read) = self.read_before(id) {
            return Ok(Some(read));
        }
        let Some(wav) = self.store.media_file_read(organization, id).await? else { return Ok(None) };
        let heard = tokio::task::spawn_blocking(move || sound::read(&wav)).await;
        let Ok(Ok(sound::Heard { rate, samples, .. })) = heard else { return Ok(None) };
        let mut known = self.known();
        known.retain(|_, (_, samples)| samples.strong_count() > 0);
        known.insert(id, (rate, Arc::downgrade(&samples)));
        Ok(Some((rate, samples)))
    }

    fn read_before(&self, id: Uuid) -> Option<(SampleRate, Arc<[i16]>)> {
        let known = self.known();
        let (rate, samples) = known.get(&id)?;
        Some((*rate, samples.upgrade()?))
    }

    fn known(&self) -> MutexGuard<'_, Read> {
        self.shared.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
