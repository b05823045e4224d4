//! rtpengine as the peer under test: in user space, one worker thread, otherwise default settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use media_engine::sdp::Codec;

use super::{FarEnd, Keys, Place, Process, SUITE, Setup, spawn};
use crate::ng::{Client, Value};
use crate::plan::{Case, Link, Peer};
use crate::sound;

const PORTS: (u16, u16) = (20_000, 23_999);
/// Key and salt that the generator's SDES legs announce: 30 bytes in base64. Secrecy does not matter on loopback.
const GENERATOR_KEY: &str = "dGFuZGVtIGJlbmNoIGdlbmVyYXRvciBrZXkgMDEh";

/// Control connection to the daemon.
pub(super) struct Control {
    client: Client,
}

/// Version as reported by `rtpengine --version`.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("rtpengine").arg("--version").output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .find(|line| line.contains("ersion"))
        .map(|line| line.trim().trim_start_matches("Version:").trim().to_owned())
}

pub(super) fn start(place: Place) -> Result<(Process, Control)> {
    let ng = {
        // The port is free now, and the bench starts no other program meanwhile.
        let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        probe.local_addr()?
    };
    let mut command = Command::new("rtpengine");
    command
        .args(["--config-file=none", "--table=-1", "--foreground", "--log-stderr", "--log-level=3"])
        .args(["--num-threads=1", "--interface=127.0.0.1"])
        .arg(format!("--listen-ng={ng}"))
        .arg(format!("--port-min={}", PORTS.0))
        .arg(format!("--port-max={}", PORTS.1))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let process = spawn(command, place).context("install it with `scripts/setup.sh bench`")?;
    let mut client = Client::new(ng)?;
    client.ask(&Value::dictionary([("command", Value::text("ping"))]), Duration::from_secs(10))?;
    Ok((process, Control { client }))
}

impl Control {
    /// Offers and answers every call.
    pub(super) fn open(&mut self, setup: &Setup) -> Result<Vec<FarEnd>> {
        let mut ends = Vec::new();
        for call in 0..setup.offers.len() / 2 {
            ends.extend(self.open_call(setup, call)?);
        }
        Ok(ends)
    }

    fn open_call(&mut self, setup: &Setup, call: usize) -> Result<[FarEnd; 2]> {
        let [codec_a, codec_b] = setup.case.codecs();
        let sdes = setup.case.links(Peer::Rtpengine)[1] == Link::Sdes;
        let id = format!("bench-{call}");
        let map = |codec: Codec| {
            let channels = if codec == Codec::Opus { "/2" } else { "" };
            format!("{}/{}{channels}", codec.name(), codec.clock().0)
        };
        let first = description(setup, sound::payload_type(codec_a), &map(codec_a), None);
        let to_b = self.client.ask_for_sdp(&offer(setup.case, &id, &first))?;
        let offered = Description::parse(&to_b, codec_b).with_context(|| format!("rtpengine's offer: {to_b}"))?;
        let key =
            if sdes { Some(offered.crypto.clone().with_context(|| format!("not the suite in {to_b}"))?) } else { None };
        let second = description(setup, offered.payload_type, &offered.map, key.as_ref().map(|(tag, _)| tag.as_str()));
        let to_a = self.client.ask_for_sdp(&answer(&id, &second))?;
        let answered = Description::parse(&to_a, codec_a).with_context(|| format!("rtpengine's answer: {to_a}"))?;
        let end = |description: &Description, keys| FarEnd {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), description.port),
            payload_type: description.payload_type,
            answer: None,
            keys,
        };
        let keys = key.map(|(_, peer)| Keys { generator: GENERATOR_KEY.into(), peer });
        Ok([end(&answered, None), end(&offered, keys)])
    }
}

/// Offer of A's side, with the codec and transport that B's side gets.
fn offer(case: Case, call: &str, sdp: &str) -> Value {
    let transcode: &[&str] = match case {
        Case::PcmuPcmu
        | Case::PcmuSrtp
        | Case::PcmuOverheard
        | Case::Conference3
        | Case::Conference8
        | Case::Conference50
        | Case::ConferenceOpus8 => &[],
        Case::PcmuPcma => &["PCMA"],
        Case::PcmuOpus | Case::PcmuWebrtc | Case::WebrtcWebrtc => &["opus"],
        Case::PcmuOpusEqual => &["opus/48000/1"],
    };
    // The original codec is removed from the offer, so that the answer has no choice.
    let codec = if transcode.is_empty() {
        Value::dictionary([])
    } else {
        Value::dictionary([("transcode", Value::list(transcode)), ("mask", Value::list(&["PCMU"]))])
    };
    let sdes = case.links(Peer::Rtpengine)[1] == Link::Sdes;
    Value::dictionary([
        ("command", Value::text("offer")),
        ("call-id", Value::text(call)),
        ("from-tag", Value::text("a")),
        ("sdp", Value::text(sdp)),
        ("ICE", Value::text("remove")),
        ("DTLS", Value::text("off")),
        ("rtcp-mux", Value::list(&["demux"])),
        ("transport-protocol", Value::text(if sdes { "RTP/SAVP" } else { "RTP/AVP" })),
        ("codec", codec),
    ])
}

/// Answer of B's side.
fn answer(call: &str, sdp: &str) -> Value {
    Value::dictionary([
        ("command", Value::text("answer")),
        ("call-id", Value::text(call)),
        ("from-tag", Value::text("a")),
        ("to-tag", Value::text("b")),
        ("sdp", Value::text(sdp)),
        ("ICE", Value::text("remove")),
        ("rtcp-mux", Value::list(&["demux"])),
    ])
}

/// SDP of one of the generator's far ends; `crypto_tag` selects one of the offered suites.
fn description(setup: &Setup, payload_type: u8, map: &str, crypto_tag: Option<&str>) -> String {
    let (profile, crypto) = match crypto_tag {
        Some(tag) => ("RTP/SAVP", format!("a=crypto:{tag} {} inline:{GENERATOR_KEY}\r\n", SUITE.name())),
        None => ("RTP/AVP", String::new()),
    };
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {} {profile} {payload_type}\r\na=rtpmap:{payload_type} {map}\r\na=rtcp:{}\r\na=ptime:20\r\n{crypto}",
        setup.generator.port(),
        setup.rtcp.port(),
    )
}

/// Relevant parts of rtpengine's SDP.
#[derive(Debug)]
struct Description {
    port: u16,
    payload_type: u8,
    map: String,
    /// Tag and key of the measured suite.
    crypto: Option<(String, String)>,
}

impl Description {
    fn parse(sdp: &str, codec: Codec) -> Option<Description> {
        let value = |prefix: &'static str| sdp.lines().filter_map(move |line| line.trim().strip_prefix(prefix));
        let media: Vec<&str> = value("m=audio ").next()?.split(' ').collect();
        let (port, first): (u16, u8) = (media.first()?.parse().ok()?, media.get(2)?.parse().ok()?);
        let named = value("a=rtpmap:")
            .filter_map(|line| line.split_once(' '))
            .find(|(_, map)| map.split('/').next().is_some_and(|name| name.eq_ignore_ascii_case(codec.name())));
        let (payload_type, map) = match named {
            Some((payload_type, map)) => (payload_type.parse().ok()?, map.to_owned()),
            // Static payload types need no rtpmap.
            None => (codec.static_payload_type().filter(|&known| known == first)?, format!("{}/8000", codec.name())),
        };
        let crypto = value("a=crypto:").find_map(|line| {
            let mut words = line.split(' ');
            let (tag, suite, key) = (words.next()?, words.next()?, words.next()?);
            let key = key.strip_prefix("inline:")?.split('|').next()?;
            (suite == SUITE.name()).then(|| (tag.to_owned(), key.to_owned()))
        });
        Some(Description { port, payload_type, map, crypto })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offer_is_parsed_with_its_dynamic_payload_type_and_the_right_key() {
        let sdp = "v=0\r\nm=audio 20004 RTP/SAVP 96\r\na=rtpmap:96 opus/48000/2\r\n\
                   a=crypto:1 AEAD_AES_256_GCM inline:AAAA\r\na=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:BBBB|2^31\r\n";
        let read = Description::parse(sdp, Codec::Opus).unwrap();
        assert_eq!((read.port, read.payload_type, read.map.as_str()), (20_004, 96, "opus/48000/2"));
        assert_eq!(read.crypto, Some(("5".to_owned(), "BBBB".to_owned())));
    }

    #[test]
    fn static_payload_type_needs_no_rtpmap_but_must_be_offered() {
        let sdp = "m=audio 20006 RTP/AVP 8\r\n";
        assert_eq!(Description::parse(sdp, Codec::Pcma).unwrap().payload_type, 8);
        assert!(Description::parse(sdp, Codec::Pcmu).is_none());
        assert!(Description::parse("m=audio 99999 RTP/AVP 8\r\n", Codec::Pcma).is_none());
    }
}
