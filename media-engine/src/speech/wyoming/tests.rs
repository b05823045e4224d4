//! Tests with a server in the test that speaks the protocol over a real socket, including its failures.

use std::time::Duration;

use codecs::SampleRate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use wyoming::{Decoder, Event};

use super::Client;
use crate::config::SpeechProvider;
use crate::speech::{
    ProviderKind, ProviderState, ProviderStatus, SpeechError, Stt, SttInput, SttOutput, Translator, Tts,
};

/// A connection, seen from the server.
pub(in crate::speech) struct Peer {
    stream: TcpStream,
    decoder: Decoder,
}

impl Peer {
    pub(in crate::speech) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(Ok(event)) = self.decoder.poll_event() {
                return Some(event);
            }
            let mut piece = Vec::new();
            if self.stream.read_buf(&mut piece).await.unwrap_or(0) == 0 {
                return None;
            }
            self.decoder.push(&piece);
        }
    }

    pub(in crate::speech) async fn until(&mut self, kind: &str) -> Event {
        loop {
            let event = self.next().await.expect("the client is connected");
            if event.kind == kind {
                return event;
            }
            if event.kind == "describe" {
                self.send(&Event::new("info")).await;
            }
        }
    }

    pub(in crate::speech) async fn send(&mut self, event: &Event) {
        let mut bytes = Vec::new();
        event.write_to(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }
}

pub(in crate::speech) async fn accept(listener: &TcpListener) -> Peer {
    let (stream, _) = listener.accept().await.unwrap();
    Peer { stream, decoder: Decoder::new() }
}

pub(in crate::speech) async fn client(kind: ProviderKind) -> (Client, TcpListener, mpsc::Receiver<ProviderStatus>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (status_in, status) = mpsc::channel(16);
    let address = listener.local_addr().unwrap().to_string();
    (Client::start(kind, &SpeechProvider::Wyoming(address), status_in), listener, status)
}

pub(in crate::speech) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), future).await.expect("the future completes within 5 s")
}

#[tokio::test]
async fn a_missing_server_is_reported_with_a_remedy() {
    let (status_in, mut status) = mpsc::channel(16);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let client = Client::start(ProviderKind::Tts, &SpeechProvider::Wyoming(address.clone()), status_in);
    let Some(ProviderStatus { state: ProviderState::Down(text), .. }) = within(status.recv()).await else {
        panic!("the provider is down")
    };
    assert!(text.contains(&address) && text.contains("[speech]"), "{text}");
    assert!(matches!(client.speak("hola", "es").await, Err(SpeechError::Unavailable(_))));
}

#[tokio::test]
async fn a_missing_program_is_reported_with_a_remedy() {
    let (status_in, mut status) = mpsc::channel(16);
    let provider = SpeechProvider::Local(Some("/nonexistent/tandem-local-speech".into()));
    let _client = Client::start(ProviderKind::Translator, &provider, status_in);
    let Some(ProviderStatus { state: ProviderState::Down(text), .. }) = within(status.recv()).await else {
        panic!("the provider is down")
    };
    assert!(text.contains("make build"), "{text}");
}

#[tokio::test]
async fn after_a_process_dies_in_mid_segment_the_next_segment_works() {
    let (client, listener, mut status) = client(ProviderKind::Stt).await;
    let server = tokio::spawn(async move {
        let mut first = accept(&listener).await;
        first.until("audio-stop").await;
        drop(first);
        // The spare link and the replacement, in either order, are both served.
        loop {
            let mut next = accept(&listener).await;
            tokio::spawn(async move {
                next.until("audio-stop").await;
                next.send(&Event::new("transcript-partial").with("text", "thank")).await;
                next.send(&Event::new("transcript").with("text", "thank you")).await;
                while next.next().await.is_some() {}
            });
        }
    });
    assert_eq!(within(status.recv()).await.expect("states are reported").state, ProviderState::Up);
    let mut session = within(client.open("en", &[], SampleRate::HZ_8000)).await.unwrap();
    for input in [SttInput::Begin(1), SttInput::Audio(vec![0; 160]), SttInput::End(1)] {
        session.input.send(input).await.unwrap();
    }
    let ended = within(session.output.recv()).await;
    assert_eq!(ended, Some(SttOutput::Missed { segment: 1, begun: true }));
    // The replacement is ready when its state says so.
    loop {
        let status = within(status.recv()).await.expect("states are reported");
        if matches!(status.state, ProviderState::Restarting(_)) {
            break;
        }
    }
    while !matches!(within(status.recv()).await.expect("states are reported").state, ProviderState::Up) {}
    let mut segment = 2;
    loop {
        for input in [SttInput::Begin(segment), SttInput::End(segment)] {
            session.input.send(input).await.unwrap();
        }
        match within(session.output.recv()).await.expect("the session is running") {
            // Begun before the replacement was in use.
            SttOutput::Missed { .. } => segment += 1,
            SttOutput::Partial { text, .. } => assert_eq!(text, "thank"),
            SttOutput::Final { text, segment: told, .. } => {
                assert_eq!((text.as_str(), told), ("thank you", segment));
                break;
            }
        }
        if let Ok(Some(SttOutput::Final { text, .. })) =
            tokio::time::timeout(Duration::from_secs(2), session.output.recv()).await
            && text == "thank you"
        {
            break;
        }
    }
    server.abort();
}

#[tokio::test]
async fn a_refused_segment_is_missed_and_one_in_an_unknown_language_is_not() {
    let (client, listener, _status) = client(ProviderKind::Stt).await;
    let server = tokio::spawn(async move {
        let refusals = [Event::new("error").with("text", "out of memory"), unsupported("no Basque here")];
        loop {
            let mut peer = accept(&listener).await;
            let refusals = refusals.clone();
            tokio::spawn(async move {
                for refusal in &refusals {
                    peer.until("audio-stop").await;
                    peer.send(refusal).await;
                }
                while peer.next().await.is_some() {}
            });
        }
    });
    let mut session = within(client.open("eu", &[], SampleRate::HZ_8000)).await.unwrap();
    for expected in [
        SttOutput::Missed { segment: 1, begun: true },
        SttOutput::Final { segment: 2, text: String::new(), unrecognised: false },
    ] {
        let (SttOutput::Missed { segment, .. } | SttOutput::Final { segment, .. }) = expected else { unreachable!() };
        for input in [SttInput::Begin(segment), SttInput::End(segment)] {
            session.input.send(input).await.unwrap();
        }
        assert_eq!(within(session.output.recv()).await, Some(expected));
    }
    server.abort();
}

fn unsupported(text: &str) -> Event {
    Event::new("error").with("text", text).with("code", "unsupported-language")
}

#[tokio::test]
async fn an_idle_link_that_was_closed_is_replaced_without_a_failure() {
    let (client, listener, mut status) = client(ProviderKind::Translator).await;
    let server = tokio::spawn(async move {
        let mut first = accept(&listener).await;
        first.until("describe").await;
        first.send(&Event::new("info")).await;
        drop(first);
        let mut second = accept(&listener).await;
        let request = second.until("translate").await;
        assert_eq!(request.text("target_language"), "es");
        second.send(&Event::new("translation").with("text", "gracias")).await;
        second.next().await
    });
    assert_eq!(within(status.recv()).await.expect("states are reported").state, ProviderState::Up);
    assert_eq!(within(client.translate("thank you", "en", "es")).await.as_deref(), Ok("gracias"));
    drop(client);
    within(server).await.unwrap();
}

#[tokio::test]
async fn an_error_event_is_the_requests_error() {
    let (client, listener, _status) = client(ProviderKind::Translator).await;
    let server = tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        peer.until("translate").await;
        peer.send(&unsupported("no such pair")).await;
        peer.next().await
    });
    let result = within(client.translate("x", "en", "xx")).await;
    assert_eq!(result, Err(SpeechError::Unsupported("no such pair".into())));
    drop(client);
    within(server).await.unwrap();
}

#[tokio::test]
async fn speech_comes_in_chunks_of_any_size_and_malformed_ones_are_left_out() {
    let (client, listener, _status) = client(ProviderKind::Tts).await;
    let server = tokio::spawn(async move {
        let mut peer = accept(&listener).await;
        peer.until("synthesize").await;
        peer.send(&Event::new("audio-start").with("rate", 22_050)).await;
        peer.send(&Event::audio_chunk(22_050, &[1, 2, 3])).await;
        peer.send(&Event::audio_chunk(22_050, &[9, 9]).with("channels", 2)).await;
        let whole = Event::audio_chunk(22_050, &[4, 5]);
        for piece in [&whole.payload[..1], &whole.payload[1..]] {
            let mut event = whole.clone();
            event.payload = piece.to_vec();
            peer.send(&event).await;
        }
        peer.send(&Event::new("audio-stop")).await;
        peer.next().await
    });
    let mut chunks = within(client.speak("hola", "es")).await.unwrap();
    let mut samples = Vec::new();
    while let Some(chunk) = within(chunks.recv()).await {
        assert_eq!(chunk.rate_hz, 22_050);
        samples.extend(chunk.samples);
    }
    assert_eq!(samples, [1, 2, 3, 4, 5]);
    drop(client);
    within(server).await.unwrap();
}
