//! What call programs need besides their calls: sounds, identities, further programs.
//!
//! ```text
//! number, POST /calls ─▶ Supply ─ Programs::of_call ─▶ CallProgram ─▶ engine
//!                                       └ a task per call ◀─ ProgramRequest ─┘
//!                                            media: store · identity: rules · fetch: client, signed
//! ```
//!
//! Invariant: a program reaches what its organization may use, and nothing else. Not here: what a program does (the engine).

mod client;
mod signing;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use uuid::Uuid;

pub(crate) use signing::secret;

use crate::config::Config;
use crate::engine::{
    CallProgram, FetchFailure, HangupCause, Program, ProgramHost, ProgramLimits, ProgramRequest, ProgramStart,
    SampleRate, Variables, is_emergency, mask,
};
use crate::store::{NumberProgram, OrganizationId, Store, StoreError};
use crate::{identity, sound};
use client::Client;

/// The store is given this long for a sound or an identity.
const STORE: Duration = Duration::from_secs(1);

/// What runs, and what runs when another program cannot be had.
#[derive(Clone, Debug)]
pub(crate) struct Supply {
    /// What runs.
    pub(crate) program: Program,
    /// What runs once instead of a program that cannot be had.
    pub(crate) fallback: Option<Program>,
}

/// Why a program is refused: the field of the request, and what was expected.
#[derive(Debug)]
pub(crate) struct NoProgram {
    /// `program`, `program_url` or the fallback's field.
    pub(crate) field: &'static str,
    /// What is wrong, and where in the program.
    pub(crate) problem: String,
}

impl Supply {
    /// Reads a program, or the address of one, and the fallback; `None`: there is neither.
    ///
    /// # Errors
    /// [`NoProgram`] names the field; `fallback`: that of the fallback.
    pub(crate) fn read(
        (program, url): (Option<&str>, Option<&str>),
        (fallback_field, fallback): (&'static str, Option<&str>),
    ) -> Result<Option<Supply>, NoProgram> {
        let refused = |field, problem: String| NoProgram { field, problem };
        let parsed =
            |field, text: &str| Program::parse(text.as_bytes()).map_err(|error| refused(field, error.to_string()));
        let fallback = fallback.map(|text| parsed(fallback_field, text)).transpose()?;
        let program = match (program, url) {
            (Some(text), None) => parsed("program", text)?,
            (None, Some(url)) => Program::at_url(url).map_err(|error| refused("program_url", error.problem))?,
            (Some(_), Some(_)) => {
                return Err(refused("program_url", "expected either `program` or `program_url`, not both".into()));
            }
            (None, None) if fallback.is_some() => {
                let problem = "expected `program` or `program_url`, to which this is the fallback";
                return Err(refused(fallback_field, problem.into()));
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Supply { program, fallback }))
    }

    /// The program of a number, which was read when it was put.
    pub(crate) fn of_number(kept: &NumberProgram) -> Option<Supply> {
        let program = (kept.program.as_deref(), kept.program_url.as_deref());
        match Supply::read(program, ("fallback", kept.fallback.as_deref())) {
            Ok(supply) => supply,
            Err(NoProgram { field, problem }) => {
                tracing::error!(number = %kept.number_id, field, problem, "the program of a number cannot be read: its calls go where they would go without it");
                None
            }
        }
    }
}

/// Whom a program serves.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// Whose call it is.
    pub(crate) organization: OrganizationId,
    /// The call.
    pub(crate) call: Uuid,
    /// The caller's number, or whoever was called by us.
    pub(crate) caller: String,
    /// The number that was called; empty: there is none.
    pub(crate) called: String,
}

/// Supplies call programs; clones share it.
#[derive(Clone)]
pub(crate) struct Programs {
    store: Store,
    config: Arc<Config>,
    client: Client,
}

impl Programs {
    pub(crate) fn new(store: Store, config: Arc<Config>) -> Programs {
        let client = Client::new(config.programs.networks.clone());
        Programs { store, config, client }
    }

    /// A program for a call. What it asks for is answered while the call lasts.
    pub(crate) fn of_call(&self, served: Served, supply: Supply) -> Box<CallProgram> {
        let Supply { program, fallback } = supply;
        let mut variables = Variables::default();
        let call = served.call.to_string();
        for (name, value) in [("call", &call), ("caller", &served.caller), ("called", &served.called)] {
            if let Ok(name) = name.parse() {
                // Three of 64.
                let _ = variables.set(name, value);
            }
        }
        let (host, requests) = ProgramHost::channel();
        tokio::spawn(self.clone().serve(served, requests));
        let start = ProgramStart { program, fallback, variables, limits: ProgramLimits::default() };
        Box::new(CallProgram { start, host })
    }

    /// Answers until the call has ended.
    async fn serve(self, served: Served, mut requests: mpsc::Receiver<ProgramRequest>) {
        while let Some(request) = requests.recv().await {
            match request {
                // Errors, here and below: nobody wants the answer any more.
                ProgramRequest::Media { name, reply } => {
                    let _ = reply.send(self.media(&served, name).await);
                }
                ProgramRequest::Identity { from, to, reply } => {
                    let _ = reply.send(self.identity(&served, from, &to).await);
                }
                ProgramRequest::Fetch { url, payload, mut reply } => {
                    let body = serde_json::to_vec(&payload).unwrap_or_default();
                    let fetched = tokio::select! {
                        fetched = self.fetch(&served, &url, body) => fetched,
                        () = reply.closed() => continue,
                    };
                    if let Err(why) = &fetched {
                        metrics::counter!("tandem_program_fetches_failed_total").increment(1);
                        tracing::info!(call = %served.call, %why, "a call program could not be fetched");
                    }
                    let _ = reply.send(fetched);
                }
            }
        }
    }

    async fn media(&self, served: &Served, name: String) -> Option<(SampleRate, Arc<[i16]>)> {
        let found = tokio::time::timeout(STORE, self.store.media_file_named(served.organization, &name)).await;
        let wav = match found {
            Ok(Ok(wav)) => wav,
            Ok(Err(error)) => {
                tracing::warn!(call = %served.call, %error, "the store failed to give a sound");
                None
            }
            Err(_) => {
                tracing::warn!(call = %served.call, "the store is slow to give a sound");
                None
            }
        };
        let Some(wav) = wav else {
            tracing::info!(call = %served.call, "a call program names a sound that its organization does not have");
            return None;
        };
        let heard = tokio::task::spawn_blocking(move || sound::read(&wav)).await.ok()?.ok()?;
        Some((heard.rate, heard.samples))
    }

    /// What somebody outside is shown whom the program calls.
    async fn identity(&self, served: &Served, from: Option<String>, to: &str) -> Result<Option<String>, HangupCause> {
        // Nobody in need is kept from calling by what is shown.
        if is_emergency(&self.config, to) {
            return Ok(None);
        }
        let (store, organization) = (&self.store, served.organization);
        let asked = async {
            match &from {
                None => identity::of_call(store, &self.config, organization, None, to).await.map(Some),
                Some(from) => {
                    let may = identity::may_show(store, &self.config, organization, (None, from), to).await?;
                    Ok::<_, StoreError>(may.then(|| Some(from.clone())))
                }
            }
        };
        match tokio::time::timeout(STORE, asked).await {
            Ok(Ok(Some(shown))) => Ok(shown),
            Ok(Ok(None)) => {
                let from = from.as_deref().map(mask);
                tracing::info!(call = %served.call, from, "a call program may not show this identity here");
                Err(HangupCause::Rejected)
            }
            Ok(Err(_)) | Err(_) if from.is_none() => {
                tracing::warn!(call = %served.call, "the store did not say which identity a call shows: it shows none of its own");
                Ok(None)
            }
            Ok(Err(_)) | Err(_) => Err(HangupCause::Unreachable),
        }
    }

    async fn fetch(&self, served: &Served, url: &str, body: Vec<u8>) -> Result<Vec<u8>, FetchFailure> {
        let organization = served.organization;
        let fetched = async {
            let secret = secret(&self.store, organization).await.map_err(|error| {
                tracing::warn!(call = %served.call, %error, "a request for a call program cannot be signed");
                FetchFailure::Unreachable
            })?;
            self.client.fetch(url, signing::headers(&secret, served.call, &body), body).await
        };
        tokio::time::timeout(client::LONGEST, fetched).await.unwrap_or(Err(FetchFailure::Slow))
    }
}
