//! A browser's network that lets no UDP through, built from network namespaces.
//!
//! ```text
//!  this namespace          namespace "gate"                       namespace "inside"
//!  Tandem, the test ─veth─ forwards TCP, drops UDP ─────── veth ─ the browser
//!   .1              .2     Turn listens on .2      .5             .6
//! ```
//!
//! UDP to and from the browser is dropped silently, as by a firewall. Routing rules do this, which every kernel has, with or
//! without packet filters. Between gate and Tandem everything passes.
//!
//! Invariant: the namespaces are deleted with this value, also when the test fails.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use crate::netns::{forward, ip, take_away};

/// Deadline for a packet through two namespaces, on a busy machine.
const PASSES: Duration = Duration::from_secs(5);
/// Time after which a missing datagram counts as dropped; a datagram that passes takes less than a millisecond.
const DROPPED: Duration = Duration::from_millis(300);

/// The namespaces and the connections between them.
pub struct Wall {
    name: String,
    /// Third byte of all addresses, in 198.18.0.0/16, which RFC 2544 reserves for tests.
    net: u8,
}

impl Wall {
    /// Creates the namespaces, and proves that UDP is dropped and TCP passes.
    pub async fn build() -> Wall {
        let pid = std::process::id();
        let wall = Wall { name: format!("td{}", pid % 100_000), net: (pid % 251) as u8 };
        let Wall { name, net } = &wall;
        let at = |host: u8| format!("198.18.{net}.{host}/30");
        let (gate, inside) = (wall.gate(), wall.inside());
        for line in [
            format!("netns add {gate}"),
            format!("netns add {inside}"),
            format!("link add {name}a type veth peer name {name}b netns {gate}"),
            format!("-n {gate} link add {name}c type veth peer name {name}d netns {inside}"),
            // A link-local IPv6 address would appear a second later, and Chromium would abandon what it is loading then.
            format!("link set {name}a addrgenmode none"),
            format!("-n {inside} link set {name}d addrgenmode none"),
            format!("addr add {} dev {name}a", at(1)),
            format!("link set {name}a up"),
            format!("-n {gate} addr add {} dev {name}b", at(2)),
            format!("-n {gate} link set {name}b up"),
            format!("-n {gate} addr add {} dev {name}c", at(5)),
            format!("-n {gate} link set {name}c up"),
            format!("-n {gate} link set lo up"),
            format!("-n {inside} addr add {} dev {name}d", at(6)),
            format!("-n {inside} link set {name}d up"),
            format!("-n {inside} link set lo up"),
            format!("-n {inside} route add default via {}", wall.address(5)),
            format!("route add {} via {}", at(4), wall.address(2)),
            // The rules apply to packets for the gate itself too.
            format!("-n {gate} rule add pref 100 lookup local"),
            format!("-n {gate} rule del pref 0"),
            format!("-n {gate} rule add pref 10 iif {name}c ipproto udp blackhole"),
            format!("-n {gate} rule add pref 11 iif {name}b to {} ipproto udp blackhole", at(4)),
        ] {
            ip(&line);
        }
        forward(&gate);
        wall.stands().await;
        wall
    }

    /// Address of this namespace as the browser reaches it.
    pub fn outside(&self) -> IpAddr {
        self.address(1)
    }

    /// Address of the gate as this namespace reaches it.
    pub fn relay(&self) -> IpAddr {
        self.address(2)
    }

    /// Name of the relay's namespace.
    pub fn gate(&self) -> String {
        format!("{}gate", self.name)
    }

    /// Name of the browser's namespace.
    pub fn inside(&self) -> String {
        format!("{}in", self.name)
    }

    fn address(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(198, 18, self.net, host).into()
    }

    async fn stands(&self) {
        let udp = UdpSocket::bind((self.outside(), 0)).await.expect("a UDP port of our own");
        let tcp = TcpListener::bind((self.outside(), 0)).await.expect("a TCP port of our own");
        let mut buffer = [0; 16];
        self.say("udp", &self.gate(), udp.local_addr().expect("a port")).await;
        let from_gate = timeout(PASSES, udp.recv_from(&mut buffer)).await;
        assert!(from_gate.is_ok(), "UDP does not pass between the relay's namespace and this one");
        self.say("udp", &self.inside(), udp.local_addr().expect("a port")).await;
        let from_inside = timeout(DROPPED, udp.recv_from(&mut buffer)).await;
        assert!(from_inside.is_err(), "UDP passes the wall: the browser could do without a relay");
        self.say("tcp", &self.inside(), tcp.local_addr().expect("a port")).await;
        let (mut stream, _) = timeout(PASSES, tcp.accept()).await.expect("TCP passes").expect("a connection");
        stream.read_exact(&mut buffer[..2]).await.expect("a line through the wall");
    }

    /// Sends one line from a namespace.
    async fn say(&self, transport: &str, namespace: &str, to: SocketAddr) {
        let script = format!("echo x >/dev/{transport}/{}/{}", to.ip(), to.port());
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", namespace, "bash", "-c", &script]);
        assert!(command.status().await.expect("bash runs").success(), "{script} in {namespace}");
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        // Deleting a namespace deletes its interfaces, and those delete their peers.
        take_away(&format!("netns del {}", self.inside()));
        take_away(&format!("netns del {}", self.gate()));
        take_away(&format!("link del {}a", self.name));
    }
}
