//! The scripted agent: a SIP phone that answers when nobody else does, and listens.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::{Codec, Noticed, Party, TapReader};

/// How long the registration may take.
const REGISTER: Duration = Duration::from_secs(5);
/// How often what is heard is looked at.
const LISTEN: Duration = Duration::from_millis(20);
/// Frames heard that are kept until the report asks for them: two minutes.
const HEARD: usize = 6_000;

/// How loud one frame was.
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
    /// Registers, then answers every call that rings for `patience` while no person's page is open.
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
        let task = tokio::spawn(work(party, patience, page_open.clone(), heard_in, stopped));
        Ok(ScriptedAgent { page_open, heard, stop, task })
    }

    /// Whether a person's page is there to answer the next call.
    pub(super) fn page_is_open(&self, open: bool) {
        self.page_open.store(open, Ordering::Relaxed);
    }

    /// What was heard since the last time; empty when a person answered.
    pub(super) fn take_heard(&mut self) -> Vec<Loudness> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    pub(super) async fn stop(self) {
        // A task that has ended needs no telling.
        let _gone = self.stop.send(()).await;
        if self.task.await.is_err() {
            tracing::error!("the scripted agent panicked");
        }
    }
}

async fn work(
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
                    // The report looks at the newest minutes only: what does not fit is not missed.
                    if heard.try_send(Loudness { at: item.frame.at, dbfs }).is_err() {
                        tracing::debug!("the report has heard enough");
                    }
                }
            }
        }
    }
}
