//! A conversation between a page and a customer: each must hear the tone of the other and nothing else.

use std::time::Duration;

use codecs::SampleRate;

use crate::browser::Browser;
use crate::ears::FarEnd;
use crate::sound;

/// Level of both tones, in dBFS.
pub const LEVEL_DBFS: f32 = -12.0;
/// Tolerance of a level in dB, because Opus does not preserve levels exactly.
pub const TOLERANCE_DB: f32 = 1.5;
/// Upper limit of silence through codecs and comfort noise.
const SILENCE_DBFS: f32 = -55.0;
const PATIENCE: Duration = Duration::from_secs(10);

/// Asserts that audio flows both ways, one direction after the other, so that no side passes by hearing itself. `page_hz` is the
/// tone of the browser's microphone; the customer sends its tone only here.
pub async fn sound_flows_both_ways(far: &mut FarEnd, browser: &mut Browser, page_hz: f32, customer_hz: f32) {
    let (rate, heard) = far.hear_samples(1.0, 1.0).await;
    sound::assert_tone("the browser's tone at the customer", &heard, rate, page_hz, LEVEL_DBFS, TOLERANCE_DB);
    let page = browser.hear(0.5).await;
    let found = sound::find(&page, SampleRate::HZ_48000, page_hz);
    assert!(found.total_dbfs < SILENCE_DBFS, "the customer is silent, but the page plays {found:?}");

    browser.click("#mute").await;
    browser.attribute("#mute", "aria-pressed", "true", PATIENCE).await;
    let tone = sound::tone(SampleRate::HZ_8000, customer_hz, LEVEL_DBFS, 4.0);
    far.party.say(1, SampleRate::HZ_8000, &tone).expect("a clip to send");
    let page = browser.hear(1.0).await;
    let rate = SampleRate::HZ_48000;
    sound::assert_tone("the customer's tone in the page", &page, rate, customer_hz, LEVEL_DBFS, TOLERANCE_DB);
    let (rate, heard) = far.hear_samples(0.2, 0.5).await;
    let found = sound::find(&heard, rate, page_hz);
    assert!(found.total_dbfs < SILENCE_DBFS, "the page is muted, but the customer hears {found:?}");
    browser.click("#mute").await;
    browser.attribute("#mute", "aria-pressed", "false", PATIENCE).await;
}
