//! Services for call programs: sounds, caller IDs and further programs.
//!
//! ```text
//! number, POST /calls ─▶ Supply ─ Programs::of_call ─▶ CallProgram ─▶ engine
//! AmdConfig ─────────────────── Programs::amd_of_call ─▶ AmdSettings ─▶ engine
//!                                       └ a task per call ◀─ ProgramRequest ─┘
//!                                            media: store · identity: rules · fetch: client, signed
//! ```
//!
//! Invariant: a program can use only the resources of its organization. Not here: execution of programs, which is in the engine.

mod client;
mod signing;

use crate::config::is_emergency;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use uuid::Uuid;

pub(crate) use signing::{Secrets, replace_secret, secrets};

use crate::calls::caller_identity as identity;
use crate::config::Config;
use crate::engine::{
    AmdSettings, CallProgram, FetchFailure, HangupCause, Program, ProgramHost, ProgramLimits, ProgramRequest,
    ProgramStart, SampleRate, Variables, mask,
};
use crate::media::sound;
use crate::store::{NumberProgram, OrganizationId, Store, StoreError};
use crate::tenant::amd::AmdConfig;
use client::Client;

/// Time the store has to return a sound or a caller ID.
const STORE: Duration = Duration::from_secs(1);

/// Program with its fallback.
#[derive(Clone, Debug)]
pub(crate) struct Supply {
    /// Program to run.
    pub(crate) program: Program,
    /// Program to run once if another program cannot be fetched.
    pub(crate) fallback: Option<Program>,
}

/// Reason why a program is refused.
#[derive(Debug)]
pub(crate) struct NoProgram {
    /// Field of the request: `program`, `program_url` or that of the fallback.
    pub(crate) field: &'static str,
    /// Description of the problem and its position in the program.
    pub(crate) problem: String,
}

impl Supply {
    /// Reads a program or its URL, and the fallback. Returns `None` if there is neither.
    ///
    /// # Errors
    /// Returns [`NoProgram`] with the name of the wrong field; `fallback_field` is the name for the fallback.
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
                let problem = "expected `program` or `program_url` together with a fallback";
                return Err(refused(fallback_field, problem.into()));
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Supply { program, fallback }))
    }

    /// Returns the program of a number. It was checked when it was stored.
    pub(crate) fn of_number(kept: &NumberProgram) -> Option<Supply> {
        let program = (kept.program.as_deref(), kept.program_url.as_deref());
        match Supply::read(program, ("fallback", kept.fallback.as_deref())) {
            Ok(supply) => supply,
            Err(NoProgram { field, problem }) => {
                tracing::error!(number = %kept.number_id, field, problem, "cannot read the program of a number, so it is ignored");
                None
            }
        }
    }
}

/// Call that a program serves.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// Organization that the call belongs to.
    pub(crate) organization: OrganizationId,
    /// Id of the call.
    pub(crate) call: Uuid,
    /// Number of the caller, or of the party that this server has called.
    pub(crate) caller: String,
    /// Called number; empty if there is none.
    pub(crate) called: String,
}

impl Served {
    /// Returns what a program of the call starts with.
    fn start(&self, Supply { program, fallback }: Supply) -> ProgramStart {
        let mut variables = Variables::default();
        let call = self.call.to_string();
        for (name, value) in [("call", &call), ("caller", &self.caller), ("called", &self.called)] {
            if let Ok(name) = name.parse() {
                // Three variables never exceed the limit of 64.
                let _ = variables.set(name, value);
            }
        }
        ProgramStart { program, fallback, variables, limits: ProgramLimits::default() }
    }
}

/// Supplies call programs and their resources; clones share them.
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

    /// Returns a program for a call. Its requests are answered until the call ends.
    pub(crate) fn of_call(&self, served: Served, supply: Supply) -> Box<CallProgram> {
        let start = served.start(supply);
        Box::new(CallProgram { start, host: self.host(served) })
    }

    /// Returns the detection of what answers the customers of a call, or `None` if it is off. The programs that may follow a
    /// verdict share one host.
    pub(crate) fn amd_of_call(&self, served: &Served, config: &AmdConfig) -> Option<Box<AmdSettings>> {
        let mut host = None;
        let settings = config.settings(|program| {
            let host = host.get_or_insert_with(|| self.host(served.clone())).clone();
            CallProgram { start: served.start(Supply { program, fallback: None }), host }
        });
        settings.map(Box::new)
    }

    /// Starts to answer the requests of a call's programs, until the call has ended.
    fn host(&self, served: Served) -> ProgramHost {
        let (host, requests) = ProgramHost::channel();
        tokio::spawn(self.clone().serve(served, requests));
        host
    }

    /// Answers the program's requests until the call has ended.
    async fn serve(self, served: Served, mut requests: mpsc::Receiver<ProgramRequest>) {
        while let Some(request) = requests.recv().await {
            match request {
                // Errors here and below mean that the program no longer waits for the reply.
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
                        tracing::info!(call = %served.call, %why, "could not fetch a call program");
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
                tracing::warn!(call = %served.call, %error, "the store failed to return a sound");
                None
            }
            Err(_) => {
                tracing::warn!(call = %served.call, "the store was too slow to return a sound");
                None
            }
        };
        let Some(wav) = wav else {
            tracing::info!(call = %served.call, "a call program refers to a sound that its organization does not have");
            return None;
        };
        let heard = tokio::task::spawn_blocking(move || sound::read(&wav)).await.ok()?.ok()?;
        Some((heard.rate, heard.samples))
    }

    /// Returns the caller ID for a party that the program calls outside.
    async fn identity(&self, served: &Served, from: Option<String>, to: &str) -> Result<Option<String>, HangupCause> {
        // The choice of a caller ID never prevents an emergency call.
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
                tracing::info!(call = %served.call, from, "a call program may not show this caller ID on this call");
                Err(HangupCause::Rejected)
            }
            Ok(Err(_)) | Err(_) if from.is_none() => {
                tracing::warn!(call = %served.call, "the store did not return the caller ID of a call, so it shows none of its own");
                Ok(None)
            }
            Ok(Err(_)) | Err(_) => Err(HangupCause::Unreachable),
        }
    }

    async fn fetch(&self, served: &Served, url: &str, body: Vec<u8>) -> Result<Vec<u8>, FetchFailure> {
        let organization = served.organization;
        let fetched = async {
            let secrets = secrets(&self.store, organization).await.map_err(|error| {
                tracing::warn!(call = %served.call, %error, "cannot sign a request for a call program");
                FetchFailure::Unreachable
            })?;
            self.client.fetch(url, signing::headers(&secrets, served.call, &body), body).await
        };
        tokio::time::timeout(client::LONGEST, fetched).await.unwrap_or(Err(FetchFailure::Slow))
    }
}
