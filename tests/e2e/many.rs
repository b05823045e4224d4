//! Many short calls with transfers and conferences, after which every resource is released.
//!
//! ```text
//! parallel lanes, each: customer (a trunk of its own) ── Tandem ── two agents; one call after another
//! ```
//! `make test` makes about sixty calls, `make soak` 18,000. Not here: which parties hear each other (`parties`, `verbs`,
//! `transfer`).

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::api::Api;
use tests::desk::{Desk, Line};
use tests::office::{ANNA_HZ, BEN_HZ, CUSTOMER_HZ};
use tests::tandem::{Setup, Tandem};
use tests::{ports, soak};
use tokio::task::JoinSet;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);
/// Number of parallel lanes.
const LANES: usize = 4;
/// Permitted growth of the process's memory after the first third of the calls, apart from the SIP messages kept for traces.
const GROWTH_KB: u64 = 16 * 1024;

/// A customer and two agents who make one call after another.
struct Lane {
    api: Api,
    sip: SocketAddr,
    number: String,
    /// Id of the previous call.
    last: String,
    customer: Desk,
    anna: (Desk, String),
    ben: (Desk, String),
}

impl Lane {
    /// Lets the customer call and anna answer; returns the call's id and both lines.
    async fn talk(&mut self) -> (String, Line, Line) {
        let to = format!("1{}", self.anna.1);
        let (customer, anna) = tokio::join!(self.customer.call(&to, CUSTOMER_HZ, "", PATIENCE), async {
            let invite = self.anna.0.rings(PATIENCE).await;
            self.anna.0.answer(&invite, ANNA_HZ, PATIENCE).await
        });
        self.last = self.bridged().await;
        (self.last.clone(), customer.expect("anna answered"), anna)
    }

    /// Waits until this lane's call is bridged, and returns its id.
    async fn bridged(&self) -> String {
        let until = Instant::now() + PATIENCE;
        let mut again = tokio::time::interval(Duration::from_millis(20));
        loop {
            again.tick().await;
            let list = self.api.get("/api/calls?limit=20").await;
            let mut calls = list["calls"].as_array().expect("a list of calls").iter();
            let is_ours = |call: &&Value| {
                call["from"] == self.number.as_str() && call["status"] == "bridged" && call["id"] != self.last.as_str()
            };
            if let Some(call) = calls.find(is_ours) {
                return call["id"].as_str().expect("an id").to_owned();
            }
            assert!(Instant::now() < until, "the call is not bridged: {list:#}");
        }
    }

    async fn leg(&self, call: &str, peer: &str) -> u64 {
        let shown = self.api.get(&format!("/api/calls/{call}")).await;
        let mut legs = shown["legs"].as_array().expect("legs").iter();
        let leg = legs.find(|leg| leg["peer"] == peer).unwrap_or_else(|| panic!("no leg at {peer}: {shown:#}"));
        leg["leg"].as_u64().expect("a number")
    }

    async fn verb(&self, method: Method, call: &str, path: &str, body: Option<Value>) {
        let (status, answer) = self.api.ask(method, &format!("/api/calls/{call}/{path}"), body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
    }

    /// Transfers the customer to ben with anna's telephone.
    async fn transfers(&mut self) {
        let (_, mut customer, mut anna) = self.talk().await;
        self.anna.0.refer(&mut anna, &format!("sip:{}@{}", self.ben.1, self.sip), None, PATIENCE).await;
        let invite = self.ben.0.rings(PATIENCE).await;
        let ben = self.ben.0.answer(&invite, BEN_HZ, PATIENCE).await;
        self.anna.0.is_hung_up(&anna, PATIENCE).await;
        self.customer.hang_up(&mut customer, PATIENCE).await;
        self.ben.0.is_hung_up(&ben, PATIENCE).await;
    }

    /// Adds ben and drops anna, so that the call continues with two parties.
    async fn confers(&mut self) {
        let (call, customer, anna) = self.talk().await;
        self.verb(Method::POST, &call, "legs", Some(json!({ "agent": self.ben.1 }))).await;
        let invite = self.ben.0.rings(PATIENCE).await;
        let mut ben = self.ben.0.answer(&invite, BEN_HZ, PATIENCE).await;
        let leg = self.leg(&call, &self.anna.1).await;
        self.verb(Method::DELETE, &call, &format!("legs/{leg}"), None).await;
        self.anna.0.is_hung_up(&anna, PATIENCE).await;
        self.ben.0.hang_up(&mut ben, PATIENCE).await;
        self.customer.is_hung_up(&customer, PATIENCE).await;
    }

    /// Lets anna hold the customer, consult ben and transfer the customer to him.
    async fn consults(&mut self) {
        let (call, mut customer, mut anna) = self.talk().await;
        let leg = self.leg(&call, &self.number).await;
        self.verb(Method::POST, &call, &format!("legs/{leg}/hold"), None).await;
        self.verb(Method::POST, &call, "legs", Some(json!({ "agent": self.ben.1 }))).await;
        let invite = self.ben.0.rings(PATIENCE).await;
        let ben = self.ben.0.answer(&invite, BEN_HZ, PATIENCE).await;
        self.anna.0.hang_up(&mut anna, PATIENCE).await;
        self.customer.hang_up(&mut customer, PATIENCE).await;
        self.ben.0.is_hung_up(&ben, PATIENCE).await;
    }

    async fn calls(mut self, count: usize) -> Lane {
        for n in 0..count {
            match n % 3 {
                0 => self.transfers().await,
                1 => self.confers().await,
                _ => self.consults().await,
            }
        }
        self
    }
}

/// Lets each lane make `each` calls.
async fn all(lanes: Vec<Lane>, each: usize) -> Vec<Lane> {
    let mut going: JoinSet<Lane> = lanes.into_iter().map(|lane| lane.calls(each)).collect();
    let mut lanes = Vec::new();
    while let Some(lane) = going.join_next().await {
        lanes.push(lane.expect("a lane whose calls went well"));
    }
    lanes
}

/// Resident memory without the SIP messages kept for traces, which have a bound of their own.
async fn memory_kb(tandem: &Tandem) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", tandem.process().pid())).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line about memory");
    let resident: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number of kB");
    resident.saturating_sub(tandem.metric("tandem_sip_trace_bytes", "").await as u64 / 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_short_calls_with_transfers_and_conferences_release_every_resource() {
    let total = if soak() { 18_000 } else { 60 };
    let carriers = [2, 3, 4, 5].map(|host| SocketAddr::from(([127, 0, 0, host], ports::free())));
    let agents = ["anna0", "anna1", "anna2", "anna3", "ben0", "ben1", "ben2", "ben3"];
    let to: Vec<String> = agents.iter().map(|name| format!("agent:{name}")).collect();
    let patterns: Vec<String> = agents.iter().map(|name| format!("1{name}")).collect();
    let leak = |text: &String| -> &'static str { text.clone().leak() };
    let tandem = Tandem::start(&Setup {
        trunks: vec![("carrier", carriers.iter().map(ToString::to_string).collect())],
        routes: patterns.iter().map(leak).zip(to.iter().map(leak)).collect(),
        ..Setup::default()
    })
    .await;
    let api = tandem.api("acme").await;
    let mut lanes = Vec::new();
    for (n, carrier) in carriers.into_iter().enumerate().take(LANES) {
        let number = format!("+1555014{n}");
        let customer = Desk::start_at(carrier, tandem.sip(), &number).await;
        let (anna, ben) = (agents[n].to_owned(), agents[n + LANES].to_owned());
        let anna = (Desk::of_agent(&tandem, &anna).await.0, anna);
        let ben = (Desk::of_agent(&tandem, &ben).await.0, ben);
        lanes.push(Lane { api: api.clone(), sip: tandem.sip(), number, last: String::new(), customer, anna, ben });
    }
    let before = tandem.holdings().await;
    let third = total / 3 / LANES;
    let lanes = all(lanes, third).await;
    let early = memory_kb(&tandem).await;
    let lanes = all(lanes, total / LANES - third).await;
    tandem.gives_back(&before, PATIENCE).await;
    let late = memory_kb(&tandem).await;
    println!("{total} calls: {early} kB after a third, {late} kB at the end");
    assert!(late <= early + GROWTH_KB, "memory grows: {early} kB after a third, {late} kB after {total} calls");
    assert_eq!(tandem.metric("tandem_calls_total", "").await, (total / LANES * LANES) as f64);
    drop(lanes);
    tandem.stop().await;
}
