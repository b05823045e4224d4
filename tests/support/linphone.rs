//! linphonec, a SIP phone on the console: SIP over TLS, media with keys in the SDP, audio from and to files.
//!
//! ```text
//! tone.wav ─▶ linphonec ─ TLS, SRTP ─▶ Tandem        heard-n.wav ◀─ audio received since the last recording began
//! ```
//! While it holds a call it plays another tone as music on hold.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use codecs::SampleRate;
use tempfile::TempDir;

use crate::process::Process;
use crate::{ports, sound};

const INSTALL: &str = "install Debian's linphone-cli (`make setup-test`)";
const READY: Duration = Duration::from_secs(10);
/// Sample rate of the files that it plays and of the audio that it receives in PCMU.
const RATE: SampleRate = SampleRate::HZ_8000;
/// Duration of its files, in seconds. They are played only once, so they are longer than any test.
const TONE_S: f32 = 60.0;
/// Length of the header of its WAV files, in bytes.
const WAV_HEADER: usize = 44;

/// A running linphonec. It is stopped when the value is dropped.
pub struct Linphone {
    process: Process,
    folder: TempDir,
    /// Number of output lines consumed so far.
    read: usize,
    /// Number of recordings of received audio.
    files: u32,
}

impl Linphone {
    /// Starts a phone whose microphone is a tone of `hertz` at `dbfs` and whose music on hold is a tone of `held_hertz`. It
    /// refuses calls that are not encrypted.
    pub async fn start(hertz: f32, held_hertz: f32, dbfs: f32) -> Linphone {
        let folder = tempfile::tempdir().expect("a folder for linphone");
        let media = ports::free();
        // Certificate verification is not under test here. PCMU comes first, and every remaining codec has the same rate. Without
        // the migration mark linphonec switches IPv6 on again.
        let config = format!(
            "[sip]\nsip_port=0\nsip_tcp_port=0\nsip_tls_port=-2\nverify_server_certs=0\nverify_server_cn=0\n\
             use_ipv6=0\nipv6_migration_done=1\nmedia_encryption=srtp\nmedia_encryption_mandatory=1\n\
             use_rfc2833=1\nuse_info=0\n\
             [sound]\nechocancellation=0\necholimiter=0\n[misc]\ntone_indications=0\n\
             [rtp]\nbind_address=127.0.0.1\naudio_rtp_port={media}\naudio_adaptive_jitt_comp_enabled=0\n\
             [audio_codec_0]\nmime=PCMU\nrate=8000\nchannels=1\nenabled=1\n\
             [audio_codec_1]\nmime=opus\nrate=48000\nchannels=2\nenabled=0\n\
             [audio_codec_2]\nmime=speex\nrate=16000\nchannels=1\nenabled=0\n"
        );
        let file = folder.path().join("linphonerc");
        std::fs::write(&file, config).expect("its configuration written");
        // linphonec does not start without a folder for its database.
        std::fs::create_dir_all(folder.path().join(".local/share/linphone")).expect("a folder for its database");
        for (name, hertz) in [("tone.wav", hertz), ("held.wav", held_hertz)] {
            sound::write_wav(&folder.path().join(name), RATE, &sound::tone(RATE, hertz, dbfs, TONE_S));
        }
        let mut command = Command::new("linphonec");
        command.arg("-c").arg(&file).current_dir(folder.path()).env("HOME", folder.path());
        let process = Process::start("linphonec", INSTALL, &mut command);
        let mut phone = Linphone { process, folder, read: 0, files: 0 };
        phone.process.write_line("soundcard use files");
        phone.until("Using wav files", READY).await;
        phone.plays("tone.wav");
        phone
    }

    /// Waits until these keys have been received, in this order, in output that has not been consumed yet.
    pub async fn until_keys(&mut self, keys: &str, deadline: Duration) {
        for key in keys.chars() {
            self.until(&format!("Receiving tone {key}"), deadline).await;
        }
    }

    /// Dials and waits until media is flowing.
    pub async fn dial(&mut self, uri: &str, deadline: Duration) {
        self.process.write_line(&format!("call {uri}"));
        self.until("Media streams established", deadline).await;
    }

    /// Puts the call on hold and waits for the answer.
    pub async fn hold(&mut self, deadline: Duration) {
        self.plays("held.wav");
        self.process.write_line("pause");
        self.until("is now paused", deadline).await;
    }

    /// Resumes the call and waits for the answer.
    pub async fn resume(&mut self, deadline: Duration) {
        self.plays("tone.wav");
        self.process.write_line("resume");
        self.until("Media streams established", deadline).await;
    }

    /// Presses keys in turn, as telephone-events (RFC 4733) or by SIP INFO.
    pub fn press(&mut self, keys: &str) {
        self.process.write_line(keys);
    }

    /// Sends later keys by SIP INFO.
    pub fn press_by_info(&mut self) {
        self.process.write_line("param sip use_rfc2833 0");
        self.process.write_line("param sip use_info 1");
    }

    /// Records and returns the next `seconds` of received audio.
    pub async fn hears(&mut self, seconds: f32, deadline: Duration) -> (SampleRate, Vec<i16>) {
        self.files += 1;
        let file = self.folder.path().join(format!("heard-{}.wav", self.files));
        self.process.write_line(&format!("record {}", file.display()));
        let wanted = (RATE.hz() as f32 * seconds) as usize;
        let mut heard = Vec::new();
        let wait = async {
            let mut look = tokio::time::interval(Duration::from_millis(50));
            while heard.len() < wanted {
                look.tick().await;
                heard = samples(&file);
            }
        };
        let in_time = tokio::time::timeout(deadline, wait).await.is_ok();
        assert!(in_time, "linphone heard {} of {wanted} samples within {deadline:?}", heard.len());
        heard.truncate(wanted);
        (RATE, heard)
    }

    /// Hangs up and waits until the call has ended.
    pub async fn hang_up(&mut self, deadline: Duration) {
        self.process.write_line("terminate");
        self.until(" ended (", deadline).await;
    }

    /// Stops the process and waits for its end.
    pub async fn stop(mut self) {
        self.process.write_line("quit");
        self.process.exited(READY).await;
    }

    fn plays(&mut self, file: &str) {
        let file: PathBuf = self.folder.path().join(file);
        self.process.write_line(&format!("play {}", file.display()));
    }

    /// Waits for a new output line that contains `text`.
    async fn until(&mut self, text: &str, deadline: Duration) {
        let find = |line: &str| line.contains(text).then_some(());
        self.process.line_from(&mut self.read, text, deadline, find).await;
    }
}

/// Samples of a WAV file that is still written. The header is written at the end; the samples are written continuously.
fn samples(file: &std::path::Path) -> Vec<i16> {
    let bytes = std::fs::read(file).unwrap_or_default();
    let samples = bytes.get(WAV_HEADER..).unwrap_or_default();
    samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}
