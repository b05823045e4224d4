//! An office: a server with two agents at their phones, and a customer whose calls arrive through a carrier.
//!
//! ```text
//! customer (trunk, 127.0.0.2) ── Tandem ── anna, ben (registered, 127.0.0.1)
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::api::Api;
use crate::desk::{Desk, Line, hear_each_other};
use crate::ports;
use crate::tandem::{Holdings, Setup, Tandem, binary};

/// Deadline of every wait.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Frequency of the customer's tone, in Hz.
pub const CUSTOMER_HZ: f32 = 440.0;
/// Frequency of Anna's tone, in Hz.
pub const ANNA_HZ: f32 = 600.0;
/// Frequency of Ben's tone, in Hz.
pub const BEN_HZ: f32 = 800.0;

/// A server with two registered agents and a customer.
pub struct Office {
    /// The running server.
    pub tandem: Tandem,
    /// API client of the organization.
    pub api: Api,
    before: Holdings,
    captures: tempfile::TempDir,
    /// Phone of the agent to whom calls to 100 are routed.
    pub anna: Desk,
    /// Phone of the second agent.
    pub ben: Desk,
    /// Phone of the customer and of every other number of the carrier.
    pub customer: Desk,
}

impl Office {
    /// Starts the server and registers both agents.
    pub async fn open() -> Office {
        let Setup { trunk_settings, sip_settings, .. } = Setup::default();
        Office::open_with(trunk_settings, sip_settings).await
    }

    /// Like [`Office::open`], with further keys of every trunk and of `[sip]`, as TOML lines.
    pub async fn open_with(trunk_settings: &'static str, sip_settings: &'static str) -> Office {
        let carrier = SocketAddr::from(([127, 0, 0, 2], ports::free()));
        let captures = tempfile::tempdir().expect("an empty folder");
        let further = format!("[dial]\nallow = [\"+1555\"]\n[debug]\ncapture = {:?}\n", captures.path());
        let tandem = Tandem::start(&Setup {
            trunks: vec![("carrier", vec![carrier.to_string()])],
            routes: vec![("+*", "trunk:carrier"), ("ben", "agent:ben"), ("100", "agent:anna")],
            further: further.leak(),
            trunk_settings,
            sip_settings,
            ..Setup::default()
        })
        .await;
        let api = tandem.api("acme").await;
        let (anna, _) = Desk::of_agent(&tandem, "anna").await;
        let (ben, _) = Desk::of_agent(&tandem, "ben").await;
        let customer = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
        let before = tandem.holdings().await;
        Office { tandem, api, before, captures, anna, ben, customer }
    }

    /// Lets the customer call and anna answer, and asserts that both hear each other.
    pub async fn talk(&mut self) -> (Line, Line) {
        let (customer, anna) = tokio::join!(self.customer.call("100", CUSTOMER_HZ, "", PATIENCE), async {
            let invite = self.anna.rings(PATIENCE).await;
            self.anna.answer(&invite, ANNA_HZ, PATIENCE).await
        });
        let (mut customer, mut anna) = (customer.expect("anna answered"), anna);
        hear_each_other((&mut customer, CUSTOMER_HZ), (&mut anna, ANNA_HZ)).await;
        (customer, anna)
    }

    /// SIP URI of a user of this server.
    pub fn sip_uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.tandem.sip())
    }

    /// Asserts that every resource was released, that every call ended once with these causes, and that every capture replays;
    /// then stops.
    pub async fn close(self, causes: &[&str]) {
        self.tandem.gives_back(&self.before, Duration::from_secs(10)).await;
        let calls = self.api.get("/api/calls").await;
        let mut ended: Vec<String> = Vec::new();
        for call in calls["calls"].as_array().expect("a list of calls") {
            assert_eq!(call["status"], "ended", "{call}");
            ended.push(call["ended_reason"].as_str().expect("a cause").to_owned());
            let shown = self.api.get(&format!("/api/calls/{}", call["id"].as_str().expect("an id"))).await;
            let legs = shown["legs"].as_array().expect("legs");
            assert!(legs.iter().all(|leg| leg["state"] == "ended"), "{shown:#}");
        }
        ended.sort();
        assert_eq!(ended, causes);
        self.tandem.stop().await;
        let files =
            std::fs::read_dir(self.captures.path()).expect("the captures").map(|file| file.expect("a file").path());
        let is_of_calls =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("calls-"));
        let of_calls = files.into_iter().find(is_of_calls).expect("a capture of calls");
        let replayed = Command::new(binary("tandem")).arg("replay").arg(of_calls).output().await.expect("tandem runs");
        let told = String::from_utf8_lossy(&replayed.stdout);
        assert!(replayed.status.success(), "{told}{}", String::from_utf8_lossy(&replayed.stderr));
        assert!(told.contains(&format!("calls       {}\n", causes.len())), "{told}");
    }

    /// Waits until the newest call is bridged, and returns its id.
    pub async fn bridged(&self) -> String {
        self.api.call_becomes("bridged", PATIENCE).await["id"].as_str().expect("an id").to_owned()
    }

    /// Waits for a leg of a call whose other end is `peer`, that has not ended and for which `is_so` is true; returns it.
    pub async fn leg(&self, call: &str, peer: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            again.tick().await;
            let shown = self.api.get(&format!("/api/calls/{call}")).await;
            let mut legs = shown["legs"].as_array().expect("legs").iter();
            if let Some(leg) = legs.find(|leg| leg["peer"] == peer && leg["state"] != "ended" && is_so(leg)) {
                return leg.clone();
            }
            assert!(tokio::time::Instant::now() < until, "{peer}'s leg is not so within {PATIENCE:?}: {shown:#}");
        }
    }
}
