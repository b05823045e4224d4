//! A real SIP phone against the built-in applications.

use std::time::Duration;

use codecs::SampleRate;
use tests::baresip::Baresip;
use tests::sound;
use tests::tandem::{Setup, Tandem};

const HERTZ: f32 = 440.0;
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls `echo`, listens for three seconds, and finds its own tone there.
async fn echo(codec: &str, decoder: &str, tolerance_db: f32) {
    echo_for(|| Baresip::start(codec, HERTZ as u32), codec, decoder, tolerance_db).await;
}

async fn echo_for<F: Future<Output = Baresip>>(
    start: impl FnOnce() -> F,
    codec: &str,
    decoder: &str,
    tolerance_db: f32,
) {
    let tandem = Tandem::start(&Setup::default()).await;
    echo_at(&tandem, &format!("sip:echo@{}", tandem.sip()), start().await, codec, decoder, tolerance_db).await;
    tandem.stop().await;
}

async fn echo_at(tandem: &Tandem, uri: &str, mut phone: Baresip, codec: &str, decoder: &str, tolerance_db: f32) {
    let before = tandem.holdings().await;
    phone.dial(uri, PATIENCE).await;
    phone.hears(Duration::from_secs(3), PATIENCE).await;
    phone.hang_up(PATIENCE).await;
    assert!(phone.said(&format!("Set audio decoder: {decoder}")), "the call did not use {decoder}");

    let last_two_seconds = |direction: &str| {
        let (rate, channels) = sound::read_wav(&phone.sound(direction)).expect("baresip's WAV file");
        let samples = channels[0].clone();
        assert!(samples.len() > rate.hz() as usize * 5 / 2, "{direction}: {} samples at {rate}", samples.len());
        (rate, samples[samples.len() - 2 * rate.hz() as usize..].to_vec())
    };
    let (rate, spoken): (SampleRate, Vec<i16>) = last_two_seconds("enc");
    let (_, heard) = last_two_seconds("dec");
    let level = sound::find(&spoken, rate, HERTZ).tone_dbfs;
    assert!(level > -30.0, "baresip sent no tone: {level} dBFS");
    sound::assert_tone(&format!("echo over {codec}"), &heard, rate, HERTZ, level, tolerance_db);

    phone.stop().await;
    tandem.gives_back(&before, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_hears_its_echo_in_pcmu() {
    echo("PCMU", "PCMU 8000Hz", 0.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_hears_its_echo_in_opus() {
    echo("opus/48000/2", "opus 48000Hz", 1.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_hears_its_echo_encrypted() {
    echo_for(|| Baresip::start_encrypted("PCMU", HERTZ as u32), "PCMU over SRTP", "PCMU 8000Hz", 0.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_hears_its_echo_over_tls_encrypted() {
    let tandem = Tandem::start(&Setup { sip: vec!["udp:127.0.0.1:0", "tls:127.0.0.1:0"], ..Setup::default() }).await;
    let phone = Baresip::start_secure("PCMU", HERTZ as u32).await;
    let uri = format!("sip:echo@{};transport=tls", tandem.sip[1]);
    echo_at(&tandem, &uri, phone, "PCMU over SRTP and TLS", "PCMU 8000Hz", 0.5).await;
    tandem.stop().await;
}
