//! The scripted agent: a SIP phone that answers when no person does, and measures what it hears.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::{Codec, Noticed, Party, TapReader};

/// Time limit for the registration.
const REGISTER: Duration = Duration::from_secs(5);
/// Interval between two reads of received audio.
const LISTEN: Duration = Duration::from_millis(20);
/// Received frames that are kept until the report takes them: two minutes.
const HEARD: usize = 6_000;

/// Loudness of one received frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Loudness {
    pub(super) at: Instant,
    pub(super) dbfs: f32,
}

/// A running scripted agent.
pub(super) struct ScriptedAgent {
    page_open: Arc<AtomicBool>,
    heard: mpsc::Receiver<Loudness>,
    stop: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

impl ScriptedAgent {
    /// Registers, then answers every call that has rung for `patience` while no person's page is open.
    pub(super) async fn start(
        address: IpAddr,
        tandem: SocketAddr,
        user: &str,
        password: &str,
        patience: Duration,
    ) -> Result<ScriptedAgent> {
        let mut party = Party::start(address, tandem, vec![Codec::Pcmu, Codec::Pcma]).await?;
        party.register(user, password)?;
        let registered = async {
            loop {
                match party.next().await {
                    Some(Noticed::Registered(true)) => return Ok(()),
                    Some(Noticed::Registered(false)) => bail!("the scripted agent's registration was refused"),
                    Some(_) => {}
                    None => bail!("the scripted agent's SIP stack stopped"),
                }
            }
        };
        match tokio::time::timeout(REGISTER, registered).await {
            Ok(result) => result?,
            Err(_) => bail!("the scripted agent could not register within 5 s"),
        }
        let page_open = Arc::new(AtomicBool::new(false));
        let (heard_in, heard) = mpsc::channel(HEARD);
        let (stop, stopped) = mpsc::channel(1);
        let task = tokio::spawn(run(party, patience, page_open.clone(), heard_in, stopped));
        Ok(ScriptedAgent { page_open, heard, stop, task })
    }

    /// Sets whether a person's page is open to answer the next call.
    pub(super) fn set_page_open(&self, open: bool) {
        self.page_open.store(open, Ordering::Relaxed);
    }

    /// Takes the loudness of the frames received since the last call; empty if a person answered.
    pub(super) fn take_loudness(&mut self) -> Vec<Loudness> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    pub(super) async fn stop(self) {
        // A task that has ended needs no signal.
        let _gone = self.stop.send(()).await;
        if self.task.await.is_err() {
            tracing::error!("the scripted agent panicked");
        }
    }
}

async fn run(
    mut party: Party,
    patience: Duration,
    page_open: Arc<AtomicBool>,
    heard: mpsc::Sender<Loudness>,
    mut stopped: mpsc::Receiver<()>,
) {
    let mut answer_at: Option<tokio::time::Instant> = None;
    let mut ears: Option<TapReader> = None;
    let mut listen = tokio::time::interval(LISTEN);
    loop {
        let patience_ends = async {
            match answer_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stopped.recv() => return party.stop().await,
            noticed = party.next() => match noticed {
                Some(Noticed::Rings { .. }) => answer_at = Some(tokio::time::Instant::now() + patience),
                Some(Noticed::Over) => (answer_at, ears) = (None, None),
                Some(_) => {}
                None => return,
            },
            () = patience_ends => {
                answer_at = None;
                if page_open.load(Ordering::Relaxed) {
                    continue;
                }
                match party.answer().and_then(|()| party.heard()) {
                    Ok(reader) => ears = Some(reader),
                    Err(error) => tracing::error!(%error, "the scripted agent cannot answer"),
                }
            }
            _ = listen.tick(), if ears.is_some() => {
                let Some(reader) = &mut ears else { continue };
                while let Some(item) = reader.pop() {
                    let dbfs = crate::engine::level_dbfs(item.frame.samples());
                    // The channel holds more than the report needs, so frames that do not fit may be dropped.
                    if heard.try_send(Loudness { at: item.frame.at, dbfs }).is_err() {
                        tracing::debug!("a received frame does not fit into the report");
                    }
                }
            }
        }
    }
}
