//! Time from a verb's request to the changed packet: the whole product, with simulated telephones.
//!
//! ```text
//! HTTP request ─▶ rights, store ─▶ the call's machine ─▶ media thread ─▶ packet at the listener
//! |◀──────────────────────────── measured ───────────────────────────▶|
//! ```
//! Every party sends a tone. In 20 ms, tones at multiples of 50 Hz are orthogonal, so one packet suffices to see whether a tone
//! has appeared or disappeared: the limit is half its amplitude.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use codecs::SampleRate;
use codecs::tones::goertzel_dbfs;
use reqwest::Method;
use serde_json::{Value, json};
use tests::api::Api;
use tests::desk::{Desk, LEVEL_DBFS, Line, Sound};
use tests::ports;
use tests::tandem::{Setup, Tandem};

use crate::Terms;
use crate::cpu;
use crate::latencies::Latencies;

const CUSTOMER_HZ: f32 = 400.0;
const AGENT_HZ: f32 = 600.0;
const SUPERVISOR_HZ: f32 = 1_000.0;
/// Half the amplitude of a tone.
const HALF_DBFS: f32 = LEVEL_DBFS - 6.0;
/// Deadline of every wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// Number of calls with verbs at the same time.
const CALLS: usize = 4;
/// Number of packets with the expected audio before the next verb is requested.
const SETTLED: usize = 4;

/// The measured changes and their reversals.
pub(super) const VERBS: [&str; 8] = ["hold", "resume", "mute", "unmute", "whisper", "listen", "barge", "listen-again"];

/// Requests each verb `times` times, in [`CALLS`] calls at once.
pub(super) fn measure(terms: Terms, times: usize) -> Result<Vec<(&'static str, Latencies)>> {
    let clients = std::thread::spawn(move || {
        cpu::pin(terms.generator_cpu);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let office = Office::open(terms).await?;
            // Only from here on, so that the programs started before keep their own scheduling.
            if terms.peer.realtime {
                cpu::run_before_others()?;
            }
            office.measure(times).await
        })
    });
    clients.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the telephones' thread panicked")))
}

struct Office {
    tandem: Tandem,
    calls: Vec<Call>,
}

/// A call with a supervisor, and its three telephones.
struct Call {
    api: Api,
    id: String,
    customer: (Desk, Line),
    agent: (Desk, Line),
    supervisor: (Desk, Line),
    legs: Legs,
}

/// Numbers of the call's legs.
struct Legs {
    customer: u64,
    agent: u64,
    supervisor: u64,
}

impl Office {
    async fn open(terms: Terms) -> Result<Office> {
        let carriers: Vec<SocketAddr> =
            (0..CALLS).map(|n| SocketAddr::from(([127, 0, 0, 10 + n as u8], ports::free()))).collect();
        let agents = ["agent0", "agent1", "agent2", "agent3"];
        let routes =
            vec![("100", "agent:agent0"), ("101", "agent:agent1"), ("102", "agent:agent2"), ("103", "agent:agent3")];
        let trunks = vec![("carrier", carriers.iter().map(ToString::to_string).collect())];
        let tandem = Tandem::start(&Setup { trunks, routes, ..Setup::default() }).await;
        cpu::place(tandem.process().pid(), terms.peer.cpu, terms.peer.realtime)?;
        let api = tandem.api("acme").await;
        let mut calls = Vec::new();
        for (n, carrier) in carriers.into_iter().enumerate() {
            let (agent, _) = Desk::of_agent(&tandem, agents[n]).await;
            let supervisor = format!("supervisor{n}");
            let (desk, _) = Desk::of_agent(&tandem, &supervisor).await;
            let customer = Desk::start_at(carrier, tandem.sip(), &format!("+1555014{n}")).await;
            calls.push(Call::begin(&api, customer, agent, (desk, &supervisor), &format!("10{n}")).await?);
        }
        Ok(Office { tandem, calls })
    }

    async fn measure(mut self, times: usize) -> Result<Vec<(&'static str, Latencies)>> {
        let each = times.div_ceil(CALLS);
        let [a, b, c, d] = &mut self.calls[..] else { anyhow::bail!("there are {CALLS} calls") };
        let all = tokio::join!(a.measure(each), b.measure(each), c.measure(each), d.measure(each));
        let mut sums: Vec<(&'static str, Latencies)> = VERBS.iter().map(|verb| (*verb, Latencies::default())).collect();
        for of_call in [all.0?, all.1?, all.2?, all.3?] {
            for ((_, sum), latencies) in sums.iter_mut().zip(of_call) {
                sum.merge(latencies);
            }
        }
        for call in &mut self.calls {
            call.customer.0.hang_up(&mut call.customer.1, PATIENCE).await;
            let (desk, line) = &mut call.supervisor;
            desk.is_hung_up(line, PATIENCE).await;
        }
        self.tandem.stop().await;
        Ok(sums)
    }
}

impl Call {
    /// Sets up a call: a customer calls, the agent answers, and a supervisor listens.
    async fn begin(
        api: &Api,
        mut customer: Desk,
        mut agent: Desk,
        (mut supervisor, name): (Desk, &str),
        number: &str,
    ) -> Result<Call> {
        let (of_customer, of_agent) = tokio::join!(customer.call(number, CUSTOMER_HZ, "", PATIENCE), async {
            let invite = agent.rings(PATIENCE).await;
            agent.answer(&invite, AGENT_HZ, PATIENCE).await
        });
        let of_customer = of_customer.map_err(|status| anyhow::anyhow!("the call was refused with {status}"))?;
        let id = api.call_becomes("bridged", PATIENCE).await["id"].as_str().context("no id")?.to_owned();
        let body = json!({ "mode": "listen", "agent": name });
        let (status, made) = api.ask(Method::POST, &format!("/api/calls/{id}/supervise"), Some(body)).await;
        ensure!(status.is_success(), "supervise: {status} {made}");
        let invite = supervisor.rings(PATIENCE).await;
        let mut of_supervisor = supervisor.answer(&invite, SUPERVISOR_HZ, PATIENCE).await;
        // The supervisor hears both parties, so her leg has joined.
        until(&mut of_supervisor.sound, CUSTOMER_HZ, true, 1).await?;
        let shown = api.get(&format!("/api/calls/{id}")).await;
        let legs = shown["legs"].as_array().context("no legs")?;
        let leg = |is: &dyn Fn(&Value) -> bool| {
            legs.iter().find(|leg| is(leg)).and_then(|leg| leg["leg"].as_u64()).context("a leg is missing")
        };
        let legs = Legs {
            customer: leg(&|leg| leg["role"] == "customer")?,
            agent: leg(&|leg| leg["role"] == "agent" && leg["peer"] != name)?,
            supervisor: leg(&|leg| leg["peer"] == name)?,
        };
        let api = api.clone();
        let [customer, agent, supervisor] = [(customer, of_customer), (agent, of_agent), (supervisor, of_supervisor)];
        Ok(Call { api, id, customer, agent, supervisor, legs })
    }

    async fn measure(&mut self, times: usize) -> Result<Vec<Latencies>> {
        let mut latencies: Vec<Latencies> = VERBS.iter().map(|_| Latencies::default()).collect();
        for round in 0..times {
            for (index, verb) in VERBS.iter().enumerate() {
                let took = self.change(verb).await.with_context(|| format!("{verb}, round {round}"))?;
                latencies[index].add(took);
            }
        }
        Ok(latencies)
    }

    /// Requests a verb; returns the time until the first packet in which it is heard.
    async fn change(&mut self, verb: &str) -> Result<Duration> {
        let Legs { customer, agent, supervisor } = self.legs;
        let leg = |leg: u64, verb: &str| (Method::POST, format!("legs/{leg}/{verb}"), None);
        let mode = |mode: &str| (Method::PUT, format!("supervise/{supervisor}"), Some(json!({ "mode": mode })));
        let (to_customer, to_agent) = (&mut self.customer.1.sound, &mut self.agent.1.sound);
        let ((method, path, body), sound, hertz, comes) = match verb {
            "hold" => (leg(customer, "hold"), to_agent, CUSTOMER_HZ, false),
            "resume" => (leg(customer, "resume"), to_agent, CUSTOMER_HZ, true),
            "mute" => (leg(agent, "mute"), to_customer, AGENT_HZ, false),
            "unmute" => (leg(agent, "unmute"), to_customer, AGENT_HZ, true),
            "whisper" => (mode("whisper"), to_agent, SUPERVISOR_HZ, true),
            "listen" => (mode("listen"), to_agent, SUPERVISOR_HZ, false),
            "barge" => (mode("barge"), to_customer, SUPERVISOR_HZ, true),
            _ => (mode("listen"), to_customer, SUPERVISOR_HZ, false),
        };
        // The opposite state is verified before the request, and requests must not synchronise with packets.
        until(sound, hertz, !comes, SETTLED).await?;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..20_000))).await;
        sound.forget();
        let path = format!("/api/calls/{}/{path}", self.id);
        let asked = Instant::now();
        let ((status, answer), changed) =
            tokio::join!(self.api.ask(method, &path, body), until(sound, hertz, comes, 1));
        ensure!(status.is_success(), "{path}: {status} {answer}");
        Ok(changed? - asked)
    }
}

/// Waits until a tone is heard, or is not, in this number of consecutive packets; returns the arrival time of the last of them.
async fn until(sound: &mut Sound, hertz: f32, heard: bool, packets: usize) -> Result<Instant> {
    let until = Instant::now() + PATIENCE;
    let mut seen = 0;
    while Instant::now() < until {
        let packet = sound.next(PATIENCE).await;
        let at = Instant::now();
        let is_heard = goertzel_dbfs(&packet, SampleRate::HZ_8000, hertz) > HALF_DBFS;
        seen = if is_heard == heard { seen + 1 } else { 0 };
        if seen == packets {
            return Ok(at);
        }
    }
    anyhow::bail!("{hertz} Hz did not {} within {PATIENCE:?}", if heard { "come" } else { "go" })
}
