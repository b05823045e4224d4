//! baresip, a SIP phone that sends a tone and records the received audio in WAV files.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use codecs::SampleRate;
use tempfile::TempDir;

use crate::ports;
use crate::process::Process;

const INSTALL: &str = "install Debian's baresip (`make setup-test`)";
const READY: Duration = Duration::from_secs(10);

/// A running baresip. It is stopped when the value is dropped.
pub struct Baresip {
    process: Process,
    folder: TempDir,
}

impl Baresip {
    /// Starts a phone that offers only `codec` (baresip's name of it) and whose microphone is a tone of `hertz`.
    pub async fn start(codec: &str, hertz: u32) -> Baresip {
        Baresip::start_with(codec, hertz, "").await
    }

    /// Like [`start`](Self::start), with calls that must be encrypted by keys in the SDP (RFC 4568).
    pub async fn start_encrypted(codec: &str, hertz: u32) -> Baresip {
        Baresip::start_with(codec, hertz, ";mediaenc=srtp-mand").await
    }

    /// Like [`start_encrypted`](Self::start_encrypted), with signalling over TLS.
    pub async fn start_secure(codec: &str, hertz: u32) -> Baresip {
        Baresip::start_with(codec, hertz, ";mediaenc=srtp-mand;transport=tls").await
    }

    async fn start_with(codec: &str, hertz: u32, account: &str) -> Baresip {
        let folder = tempfile::tempdir().expect("a folder for baresip");
        let (sip, media) = (ports::free(), ports::free());
        let path = folder.path().display();
        // aubridge with an otherwise unused name is a loudspeaker that needs no sound card.
        let config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{sip}\nnet_interface 127.0.0.1\nrtp_ports {media}-{}\n\
             module_path /usr/lib/baresip/modules\n\
             module stdio.so\nmodule g711.so\nmodule opus.so\nmodule ausine.so\nmodule aubridge.so\nmodule sndfile.so\nmodule srtp.so\n\
             module_app account.so\nmodule_app menu.so\n\
             audio_player aubridge,nowhere\naudio_source ausine,{hertz}\naudio_alert aubridge,nowhere\n\
             ausrc_srate 48000\nausrc_channels 2\nauplay_srate 48000\n\
             ausrc_format s16\nauplay_format s16\nauenc_format s16\naudec_format s16\n\
             opus_bitrate 32000\nsnd_path {path}\n",
            media + 20,
        );
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file of baresip's");
        write("config", &config);
        write("accounts", &format!("<sip:phone@127.0.0.1>;regint=0;audio_codecs={codec}{account}\n"));
        write("contacts", "\n");
        let mut command = Command::new("baresip");
        command.arg("-f").arg(folder.path()).current_dir(folder.path());
        let process = Process::start("baresip", INSTALL, &mut command);
        process.line("baresip is ready", READY, |line| line.contains("baresip is ready").then_some(())).await;
        Baresip { process, folder }
    }

    /// Dials and waits until the call is established.
    pub async fn dial(&mut self, uri: &str, deadline: Duration) {
        self.process.write_line(&format!("/dial {uri}"));
        self.process.line("Call established", deadline, |line| line.contains("Call established").then_some(())).await;
    }

    /// Returns whether its output contains `text`.
    pub fn printed(&self, text: &str) -> bool {
        self.process.output().contains(text)
    }

    /// Waits until `length` of the received audio has been recorded.
    pub async fn hears(&self, length: Duration, beyond: Duration) {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let wait = async {
            loop {
                look.tick().await;
                if self.kept("dec").is_some_and(|kept| kept >= length) {
                    return;
                }
            }
        };
        let heard = tokio::time::timeout(length + beyond, wait).await;
        assert!(heard.is_ok(), "baresip heard {:?} of {length:?}", self.kept("dec").unwrap_or_default());
    }

    /// Duration of the audio recorded so far in a direction.
    fn kept(&self, direction: &str) -> Option<Duration> {
        let (rate, samples) = self.samples(direction)?;
        Some(Duration::from_secs_f64(samples.len() as f64 / f64::from(rate.hz())))
    }

    /// Audio recorded so far in a direction. The header is completed at the end of the call; the samples are written continuously.
    fn samples(&self, direction: &str) -> Option<(SampleRate, Vec<i16>)> {
        let bytes = std::fs::read(self.find_sound(direction)?).ok()?;
        // RIFF: in a plain header the channels are at byte 22 and the rate at byte 24.
        let channels = usize::from(u16::from_le_bytes(bytes.get(22..24)?.try_into().ok()?));
        let rate = SampleRate::from_hz(u32::from_le_bytes(bytes.get(24..28)?.try_into().ok()?))?;
        let samples = bytes.get(44..)?.chunks_exact(2 * channels.max(1));
        Some((rate, samples.map(|one| i16::from_le_bytes([one[0], one[1]])).collect()))
    }

    /// Returns the next `length` of the received audio.
    pub async fn hears_next(&self, length: Duration, beyond: Duration) -> (SampleRate, Vec<i16>) {
        let before = self.kept("dec").unwrap_or_default();
        self.hears(before + length, beyond).await;
        let (rate, samples) = self.samples("dec").expect("just looked at");
        let from = (before.as_secs_f64() * f64::from(rate.hz())) as usize;
        (rate, samples[from..].to_vec())
    }

    /// Puts the call on hold. baresip continues to send and plays nothing.
    pub async fn hold(&mut self, deadline: Duration) {
        self.asks("/hold", "call: hold", deadline).await;
    }

    /// Resumes the call. This version of baresip plays no received audio afterwards.
    pub async fn resume(&mut self, deadline: Duration) {
        self.asks("/resume", "call: resume", deadline).await;
    }

    /// Sends a command that changes the session, and waits for the other end's answer.
    async fn asks(&mut self, command: &str, said: &str, deadline: Duration) {
        let mut from = self.process.output().lines().count();
        self.process.write_line(command);
        for text in [said, "stream: update"] {
            let find = |line: &str| line.contains(text).then_some(());
            self.process.line_from(&mut from, text, deadline, find).await;
        }
    }

    /// Waits until telephone-events for these keys have been received, in this order, since the start.
    pub async fn until_keys(&self, keys: &str, deadline: Duration) {
        let mut from = 0;
        for key in keys.chars() {
            let text = format!("received event: '{key}' (end=1)");
            self.process.line_from(&mut from, &text, deadline, |line| line.contains(&text).then_some(())).await;
        }
    }

    /// Presses keys in turn, as telephone-events (RFC 4733).
    pub fn press(&mut self, keys: &str) {
        for key in keys.chars() {
            self.process.write_line(&key.to_string());
        }
    }

    /// Asks the other end to transfer to `uri` (REFER).
    pub fn transfer(&mut self, uri: &str) {
        self.process.write_line(&format!("/transfer {uri}"));
    }

    /// Hangs up and waits until the call has ended.
    pub async fn hang_up(&mut self, deadline: Duration) {
        self.process.write_line("/hangup");
        let over = |line: &str| line.contains("terminated (duration").then_some(());
        self.process.line("the call terminated", deadline, over).await;
    }

    /// WAV file of the call's direction, `dec` (received) or `enc` (sent); its header is complete once the call has ended.
    pub fn sound(&self, direction: &str) -> PathBuf {
        self.find_sound(direction).unwrap_or_else(|| panic!("baresip recorded no audio `{direction}`"))
    }

    /// WAV file of the newest call, if it exists.
    fn find_sound(&self, direction: &str) -> Option<PathBuf> {
        let ending = format!("-{direction}.wav");
        let files = std::fs::read_dir(self.folder.path()).expect("baresip's folder");
        let paths = files.filter_map(|entry| Some(entry.ok()?.path()));
        let sounds = paths.filter(|path| path.to_string_lossy().ends_with(&ending));
        sounds.max_by_key(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
    }

    /// Stops the process and waits for its end.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}
