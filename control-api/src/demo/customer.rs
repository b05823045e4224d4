//! The scripted customer: calls, speaks line by line, and waits until each line has been translated and spoken.

use crate::config::speech_config;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::watch::Watch;
use crate::config::SpeechConfig;
use crate::engine::{Codec, Command, Noticed, Party, Providers, SampleRate, call_id};
use crate::state::AppState;

/// Number of the customer.
const NUMBER: &str = "+15555550142";
/// Number that the customer calls.
const CALLED: &str = "+34910000001";
/// Time limit for an answer: 15 s for a person and 60 s for the page.
const ANSWER: Duration = Duration::from_secs(75);
/// Time limit for speaking a line.
const SPEAK: Duration = Duration::from_secs(10);
/// Interval between two looks for a person's page while the scripted agent waits.
const LOOK_FOR_PAGE: Duration = Duration::from_millis(200);
/// Silence before the first line, so that the agent hears all of it.
const SETTLE: Duration = Duration::from_millis(600);

/// One sentence and its translation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) said: &'static str,
    pub(super) meant: &'static str,
}

/// A running scripted customer.
pub(super) struct Customer {
    party: Party,
    clips: Vec<(SampleRate, Vec<i16>)>,
}

impl Customer {
    /// Synthesises the lines with the local synthesiser and starts the phone.
    pub(super) async fn start(tandem: SocketAddr, speech: &SpeechConfig, script: &[Line]) -> Result<Customer> {
        let (status, _states) = tokio::sync::mpsc::channel(8);
        let providers = Providers::start(&speech_config(speech), status);
        let mut clips = Vec::with_capacity(script.len());
        for line in script {
            let clip = providers.utterance(line.said, "en").await;
            clips.push(clip.with_context(|| format!("the customer's line `{}` could not be synthesised", line.said))?);
        }
        let party = Party::start(IpAddr::V4(Ipv4Addr::LOCALHOST), tandem, vec![Codec::Pcmu]).await?;
        Ok(Customer { party, clips })
    }

    /// Calls until the call is answered. Returns `false` if a person's page opened in the meantime: this call was then
    /// cancelled, so that the next one rings at the page.
    pub(super) async fn ring(&mut self, agent: &str, page_is_open: bool, watch: &mut Watch) -> Result<bool> {
        self.party.call(NUMBER, CALLED)?;
        let answered = self.until_answered(agent, page_is_open, watch).await?;
        if !answered {
            self.party.hang_up();
            watch.until_ended().await?;
        }
        Ok(answered)
    }

    /// Speaks the script with the agent's reply in between, then hangs up.
    pub(super) async fn speak(
        &mut self,
        script: &[Line],
        reply: &Line,
        state: &AppState,
        watch: &mut Watch,
    ) -> Result<()> {
        tokio::time::sleep(SETTLE).await;
        let clips = std::mem::take(&mut self.clips);
        for (number, ((rate, samples), line)) in clips.iter().zip(script).enumerate() {
            self.party.say(number as u64, *rate, samples)?;
            self.until_said(number as u64, watch).await?;
            watch.until_spoken("customer").await.with_context(|| format!("line `{}`", line.said))?;
            if number == 1 {
                let call = watch.call().context("the server sent no event of the call")?;
                let say = Command::CallSay { call: call_id(call), text: reply.said.to_owned() };
                state.engine.command(say).await.context("the agent's typed reply was refused")?;
                watch.until_spoken("agent").await.context("the agent's typed reply")?;
            }
        }
        self.party.hang_up();
        Ok(())
    }

    pub(super) async fn stop(self) {
        self.party.stop().await;
    }

    async fn until_answered(&mut self, agent: &str, page_is_open: bool, watch: &mut Watch) -> Result<bool> {
        let deadline = tokio::time::Instant::now() + ANSWER;
        let mut look_for_page = tokio::time::interval(LOOK_FOR_PAGE);
        loop {
            tokio::select! {
                noticed = self.party.next() => match noticed {
                    Some(Noticed::Answered) => return Ok(true),
                    Some(Noticed::Failed(status)) => bail!("the call failed with SIP status {status}"),
                    Some(_) => {}
                    None => bail!("the customer's SIP stack stopped"),
                },
                () = watch.read_events() => {}
                _ = look_for_page.tick(), if !page_is_open => {
                    if watch.agent_devices(agent) > 1 {
                        return Ok(false);
                    }
                }
                () = tokio::time::sleep_until(deadline) => bail!("the call was not answered within {} s", ANSWER.as_secs()),
            }
        }
    }

    async fn until_said(&mut self, clip: u64, watch: &mut Watch) -> Result<()> {
        let deadline = tokio::time::Instant::now() + SPEAK;
        loop {
            tokio::select! {
                noticed = self.party.next() => match noticed {
                    Some(Noticed::Said(done)) if done == clip => return Ok(()),
                    Some(Noticed::Over) => bail!("the agent hung up"),
                    Some(_) => {}
                    None => bail!("the customer's SIP stack stopped"),
                },
                () = watch.read_events() => {}
                () = tokio::time::sleep_until(deadline) => bail!("a line was not spoken within {} s", SPEAK.as_secs()),
            }
        }
    }
}
