//! Parties on IPv6, and calls between them and parties on IPv4.

use std::net::SocketAddr;
use std::time::Duration;

use tests::desk::{Desk, hear_each_other};
use tests::ports;
use tests::sip::Wire;
use tests::tandem::{Setup, Tandem};

const PATIENCE: Duration = Duration::from_secs(10);
const AGENT_HZ: f32 = 600.0;
const CUSTOMER_HZ: f32 = 440.0;

/// Asserts that a message contains only addresses of this family where a peer reads them.
fn names_only(message: &str, family: &str, address: &str) {
    let told = ["Via:", "Contact:", "o=", "c="];
    let places: Vec<&str> = message.lines().filter(|line| told.iter().any(|place| line.starts_with(place))).collect();
    assert!(places.iter().all(|line| line.contains(address)), "expected only {address} in {places:#?}");
    assert!(message.contains(&format!("c=IN {family} ")), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_on_ipv6_and_a_carrier_on_ipv4_call_each_other() {
    let carrier = SocketAddr::from(([127, 0, 0, 2], ports::free()));
    let tandem = Tandem::start(&Setup {
        sip: vec!["udp:127.0.0.1:0", "udp:[::1]:0", "tcp:[::1]:0"],
        addresses: vec!["127.0.0.1".into(), "::1".into()],
        trunks: vec![("carrier", vec![carrier.to_string()])],
        routes: vec![("+*", "trunk:carrier"), ("100", "agent:anna")],
        further: "[dial]\nallow = [\"+1555\"]\n",
        ..Setup::default()
    })
    .await;
    let (mut anna, _) = Desk::of_agent_at(&tandem, "::1", tandem.sip[1], "anna").await;
    let mut customer = Desk::start_at(carrier, tandem.sip(), "+15550142").await;
    let before = tandem.holdings().await;

    let (called, mut line) = tokio::join!(anna.call("+15550142", AGENT_HZ, "", PATIENCE), async {
        let invite = customer.rings(PATIENCE).await;
        names_only(&invite, "IP4", "127.0.0.1");
        customer.answer(&invite, CUSTOMER_HZ, PATIENCE).await
    });
    let mut called = called.expect("the customer answered");
    hear_each_other((&mut called, AGENT_HZ), (&mut line, CUSTOMER_HZ)).await;
    anna.redirect(&mut called, "inactive", PATIENCE).await;
    anna.redirect(&mut called, "sendrecv", PATIENCE).await;
    hear_each_other((&mut called, AGENT_HZ), (&mut line, CUSTOMER_HZ)).await;
    customer.hang_up(&mut line, PATIENCE).await;
    anna.is_hung_up(&called, PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;

    let (called, mut line) = tokio::join!(customer.call("100", CUSTOMER_HZ, "", PATIENCE), async {
        let invite = anna.rings(PATIENCE).await;
        names_only(&invite, "IP6", "::1");
        anna.answer(&invite, AGENT_HZ, PATIENCE).await
    });
    let mut called = called.expect("anna answered");
    hear_each_other((&mut called, CUSTOMER_HZ), (&mut line, AGENT_HZ)).await;
    anna.hang_up(&mut line, PATIENCE).await;
    customer.is_hung_up(&called, PATIENCE).await;
    tandem.gives_back(&before, PATIENCE).await;

    assert_eq!(Wire::tcp(tandem.sip[2]).await.options(PATIENCE).await, Some(200));
    tandem.stop().await;
}
