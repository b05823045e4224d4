//! Audio quality of calls under packet loss: the project's promised scores, measured by PESQ on synthesised speech.
//!
//! Needs espeak-ng, sox and the PESQ package (`make pesq`). With `TANDEM_SOAK` every prompt is spoken three times with different
//! losses.

use tests::quality::{broken_promises, measure_promised, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_meet_their_mos_target_at_every_loss_rate() {
    let judged = measure_promised(if tests::soak() { 3 } else { 1 }).await;
    println!("{}", table(&judged));
    for judged in &judged {
        let (name, loss) = (judged.condition.spoken.name(), judged.condition.loss_percent);
        println!(
            "{name} {loss} %: {:.2?}, under virtual time {:.2?}, codec alone {:.2?}",
            judged.heard, judged.simulated, judged.bare
        );
    }
    let broken = broken_promises(&judged);
    assert!(broken.is_empty(), "{}\n{}", table(&judged), broken.join("\n"));
}
