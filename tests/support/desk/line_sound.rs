//! Audio of a line: a tone, clips and keys to the server, and what comes back.
//!
//! ```text
//! keys, clips, else the tone ─ every 20 ms ─▶ socket ─▶ server
//! until_…, hears… ◀─ bounded buffer ◀─ PCMU ◀─ socket ◀─┘
//! ```
//!
//! Not here: what a sound consists of (`tests::sound`).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use codecs::dtmf::DtmfGenerator;
use codecs::g711::{ulaw_decode, ulaw_encode};
use codecs::tones::{SILENCE_DBFS, level_dbfs};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::{LEVEL_DBFS, RATE};
use crate::sound;

/// Samples in 20 ms.
const FRAME: usize = 160;
/// Received frames that are buffered per line: ten seconds. Newer frames are dropped while the buffer is full.
const KEPT_FRAMES: usize = 500;
/// Frames of clips or keys that may wait to be sent: two minutes.
const WAITING_FRAMES: usize = 6_000;

/// Audio that a line sends and receives. Sending stops when the value is dropped.
pub struct Sound {
    pub(super) port: u16,
    pub(super) to: watch::Sender<Option<SocketAddr>>,
    heard: mpsc::Receiver<Vec<i16>>,
    keys: mpsc::Sender<[u8; FRAME]>,
    clips: mpsc::Sender<[u8; FRAME]>,
    said: watch::Receiver<Option<Instant>>,
    lost: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Sound {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sound {
    pub(super) async fn start(address: IpAddr, hertz: f32) -> Sound {
        let socket = UdpSocket::bind((address, 0)).await.expect("a socket for media");
        let port = socket.local_addr().expect("its address").port();
        let (to, target) = watch::channel(None);
        let (heard_in, heard) = mpsc::channel(KEPT_FRAMES);
        let (keys, mut pressed) = mpsc::channel::<[u8; FRAME]>(WAITING_FRAMES);
        let (clips, mut clip) = mpsc::channel::<[u8; FRAME]>(WAITING_FRAMES);
        let (said_in, said) = watch::channel(None);
        let lost = Arc::new(AtomicUsize::new(0));
        let dropped = Arc::clone(&lost);
        let task = tokio::spawn(async move {
            // A frequency of zero is silence.
            let level = if hertz > 0.0 { LEVEL_DBFS } else { SILENCE_DBFS };
            let tone: Vec<u8> = sound::tone(RATE, hertz, level, 1.0).into_iter().map(ulaw_encode).collect();
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            let mut buffer = [0; 2048];
            let mut n: u16 = 0;
            // One packet in a hundred is lost while keys are pressed.
            let mut line = SmallRng::seed_from_u64(7);
            loop {
                tokio::select! {
                    _ = pace.tick() => {
                        let to: Option<SocketAddr> = *target.borrow();
                        let Some(to) = to else { continue };
                        let mut packet = vec![0x80, 0];
                        packet.extend(n.to_be_bytes());
                        packet.extend((u32::from(n) * FRAME as u32).to_be_bytes());
                        packet.extend(u32::from(port).to_be_bytes());
                        // The tone has a whole number of periods per second, so it repeats without a seam.
                        let at = usize::from(n) * FRAME % tone.len();
                        n = n.wrapping_add(1);
                        if let Ok(frame) = clip.try_recv() {
                            packet.extend(frame);
                            said_in.send_replace(Some(Instant::now()));
                            let _ = socket.send_to(&packet, to).await;
                            continue;
                        }
                        match pressed.try_recv() {
                            Ok(_) if line.random_ratio(1, 100) => {
                                dropped.fetch_add(1, Ordering::Relaxed);
                                continue;
                            }
                            Ok(frame) => packet.extend(frame),
                            Err(_) => packet.extend(&tone[at..at + FRAME]),
                        }
                        // The port may have been closed meanwhile.
                        let _ = socket.send_to(&packet, to).await;
                    }
                    received = socket.recv(&mut buffer) => {
                        let Ok(length) = received else { continue };
                        if length > 12 && buffer[1] & 0x7f == 0 {
                            let samples = buffer[12..length].iter().map(|&code| ulaw_decode(code)).collect();
                            if let Err(TrySendError::Closed(_)) = heard_in.try_send(samples) {
                                return;
                            }
                        }
                    }
                }
            }
        });
        Sound { port, to, heard, keys, clips, said, lost, task }
    }

    /// Sends a clip in place of the line's tone, after the clips before it.
    pub fn say(&self, samples: &[i16]) {
        for frame in samples.chunks(FRAME) {
            let mut codes = [ulaw_encode(0); FRAME];
            codes.iter_mut().zip(frame).for_each(|(code, &sample)| *code = ulaw_encode(sample));
            self.clips.try_send(codes).expect("the line is open, and the clip is shorter than two minutes");
        }
    }

    /// Returns the time at which the last frame of a clip was sent, if one was.
    pub fn said(&self) -> Option<Instant> {
        *self.said.borrow()
    }

    /// Waits for a frame that is louder than `dbfs`, and returns the time at which it arrived.
    pub async fn until_loud(&mut self, dbfs: f32, deadline: Duration) -> Instant {
        let until = Instant::now() + deadline;
        self.forget();
        loop {
            match timeout_at(until, self.heard.recv()).await {
                Ok(Some(samples)) if level_dbfs(&samples) > dbfs => return Instant::now(),
                Ok(Some(_)) => {}
                _ => panic!("nothing louder than {dbfs} dBFS arrived within {deadline:?}"),
            }
        }
    }

    /// Waits until nothing louder than `dbfs` was heard for `seconds`.
    pub async fn until_quiet(&mut self, dbfs: f32, seconds: f32, deadline: Duration) {
        let until = Instant::now() + deadline;
        loop {
            if level_dbfs(&self.hears(seconds, deadline).await) <= dbfs {
                return;
            }
            assert!(Instant::now() < until, "sound louder than {dbfs} dBFS goes on");
        }
    }

    /// Presses keys in band, each for 100 ms followed by 100 ms of pause, in place of the line's tone. One packet in a hundred is
    /// lost.
    pub fn press(&self, keys: &str) {
        for key in keys.chars() {
            let mut samples = vec![0; 10 * FRAME];
            let key = DtmfGenerator::new(RATE, key, 100, DtmfGenerator::LEVEL_DBFS);
            key.expect("a key").fill(&mut samples);
            for frame in samples.chunks_exact(FRAME) {
                let codes: Vec<u8> = frame.iter().map(|&sample| ulaw_encode(sample)).collect();
                self.keys.try_send(codes.try_into().expect("a frame")).expect("the line is open");
            }
        }
    }

    /// Number of packets that were lost while keys were pressed.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// Returns the samples of the next packet. Panics when none arrives before the deadline.
    pub async fn next(&mut self, deadline: Duration) -> Vec<i16> {
        match timeout_at(Instant::now() + deadline, self.heard.recv()).await {
            Ok(Some(samples)) => samples,
            _ => panic!("no packet arrived within {deadline:?}"),
        }
    }

    /// Discards the audio that has been received and not read.
    pub fn forget(&mut self) {
        while self.heard.try_recv().is_ok() {}
    }

    /// Discards what has been received and returns the next `seconds` of audio.
    pub async fn hears(&mut self, seconds: f32, deadline: Duration) -> Vec<i16> {
        self.forget();
        let wanted = (seconds * RATE.hz() as f32) as usize;
        let until = Instant::now() + deadline;
        let mut heard = Vec::with_capacity(wanted + FRAME);
        while heard.len() < wanted {
            match timeout_at(until, self.heard.recv()).await {
                Ok(Some(samples)) => heard.extend(samples),
                _ => panic!("only {} of {wanted} samples arrived within {deadline:?}", heard.len()),
            }
        }
        heard
    }

    /// Asserts that no audio arrives for `length`, except for packets in flight during the first 100 ms.
    pub async fn hears_nothing(&mut self, what: &str, length: Duration) {
        let until = Instant::now() + length;
        let under_way = Instant::now() + Duration::from_millis(100);
        while let Ok(Some(_)) = timeout_at(until, self.heard.recv()).await {
            assert!(Instant::now() < under_way, "{what}: audio arrives");
        }
    }

    /// Waits until a tone of `hertz` has been heard for 200 ms without a break.
    pub async fn until_tone(&mut self, hertz: f32, deadline: Duration) {
        let until = Instant::now() + deadline;
        let mut heard: VecDeque<i16> = VecDeque::new();
        self.forget();
        loop {
            let Ok(Some(samples)) = timeout_at(until, self.heard.recv()).await else {
                panic!("no {hertz} Hz within {deadline:?}: {:?}", sound::find(heard.make_contiguous(), RATE, hertz));
            };
            heard.extend(samples);
            while heard.len() > 10 * FRAME {
                heard.pop_front();
            }
            let found = sound::find(heard.make_contiguous(), RATE, hertz);
            if heard.len() == 10 * FRAME && found.tone_dbfs > -40.0 && found.total_dbfs - found.tone_dbfs < 1.5 {
                return;
            }
        }
    }

    /// Asserts that the other end's tone of `hertz`, and nothing else, is heard for one second.
    pub async fn hears_tone(&mut self, what: &str, hertz: f32, deadline: Duration) {
        self.until_tone(hertz, deadline).await;
        let heard = self.hears(1.0, deadline).await;
        sound::assert_tone(what, &heard, RATE, hertz, LEVEL_DBFS, 1.0);
    }
}
