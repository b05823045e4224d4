//! A speech server of the Wyoming protocol that recognises, translates and speaks by rule.
//!
//! ```text
//! audio-chunk (every 300 ms of sound) ─▶ transcript-partial, one word more
//! translate "we met" ─▶ "WE MET"        synthesize ─▶ 0.4 s of a tone, higher each time
//! ```
//!
//! Stands in for paid recognisers, translators and synthesisers: what is said, meant and heard is known in advance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use codecs::SampleRate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use wyoming::{AudioFormat, Decoder, Event};

use crate::sound;

/// Frequency of the first tone, in Hz.
pub const FIRST_HZ: f32 = 500.0;
/// Difference between the frequencies of one tone and the next, in Hz.
pub const STEP_HZ: f32 = 150.0;
/// Number of tones before the first one comes again: those below 4 kHz.
pub const TONES: usize = 22;
/// Level of the tones, in dBFS.
pub const LEVEL_DBFS: f32 = -12.0;
/// Length of a tone, in seconds.
const SECONDS: f32 = 0.4;
/// Sound for a word, in milliseconds.
const WORD_MS: usize = 300;
/// Words of a speaker, from the first segment on.
const WORDS: &str = "yesterday we met the new owner of the house in London and talked about the price of the garden because \
                     nobody wants to pay so much for a place that is far from the city and very cold in the winter";

/// A running server. Dropping it ends it.
pub struct Interpreter {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Interpreter {
    /// Starts the server on a free port.
    pub async fn start() -> Interpreter {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let spoken = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&spoken)));
            }
        });
        Interpreter { address, task }
    }

    /// Returns the section `[speech]` of a configuration that uses this server for everything.
    pub fn section(&self) -> String {
        let stt = format!("stt = {:?}\n", self.uri());
        self.section_with(&stt)
    }

    /// Returns the section `[speech]` of a configuration with these settings of recognition, and this server for the rest.
    pub fn section_with(&self, stt: &str) -> String {
        let uri = self.uri();
        format!("[speech]\n{stt}translator = {uri:?}\ntts = {uri:?}\n")
    }

    fn uri(&self) -> String {
        format!("wyoming://{}", self.address)
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// State of one recognition.
#[derive(Default)]
struct Heard {
    /// Words of earlier segments.
    from: usize,
    words: usize,
    ms: usize,
}

impl Heard {
    fn text(&self) -> String {
        WORDS.split(' ').cycle().skip(self.from).take(self.words).collect::<Vec<_>>().join(" ")
    }
}

async fn serve(mut stream: TcpStream, spoken: Arc<AtomicUsize>) {
    let (mut decoder, mut heard) = (Decoder::new(), Heard::default());
    let mut piece = Vec::new();
    loop {
        while let Some(Ok(event)) = decoder.poll_event() {
            for answer in answers(&event, &mut heard, &spoken) {
                let mut bytes = Vec::new();
                answer.write_to(&mut bytes);
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
        piece.clear();
        if stream.read_buf(&mut piece).await.unwrap_or(0) == 0 {
            return;
        }
        decoder.push(&piece);
    }
}

fn answers(event: &Event, heard: &mut Heard, spoken: &AtomicUsize) -> Vec<Event> {
    match event.kind.as_str() {
        "describe" => vec![Event::new("info")],
        "audio-start" => {
            *heard = Heard { from: heard.from + heard.words, ..Heard::default() };
            Vec::new()
        }
        "audio-chunk" => {
            let rate = AudioFormat::of(event).map_or(8_000, |format| format.rate) as usize;
            heard.ms += event.payload.len() / 2 * 1_000 / rate;
            let words = heard.ms / WORD_MS;
            if words == heard.words {
                return Vec::new();
            }
            heard.words = words;
            vec![Event::new("transcript-partial").with("text", heard.text())]
        }
        "audio-stop" => vec![Event::new("transcript").with("text", heard.text())],
        "translate" => vec![Event::new("translation").with("text", event.text("text").to_uppercase())],
        "synthesize" => {
            let number = spoken.fetch_add(1, Ordering::Relaxed) % TONES;
            let hertz = FIRST_HZ + STEP_HZ * number as f32;
            let samples = sound::tone(SampleRate::HZ_16000, hertz, LEVEL_DBFS, SECONDS);
            let chunk = Event::audio_chunk(16_000, &samples);
            vec![Event::audio_start(AudioFormat::mono(16_000)), chunk, Event::new("audio-stop")]
        }
        _ => Vec::new(),
    }
}
