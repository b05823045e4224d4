//! Prints the audio quality of calls as a Markdown section, which `make bench` puts in its results.

use tests::quality::{measure_promised, table};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let table = table(&measure_promised(1).await);
    print!(
        "\n## Sound\n\n\
         MOS-LQO by PESQ (P.862.1, P.862.2): eight synthesised prompts (espeak-ng, four male and four female voices, English \
         and Spanish, −26 dB) through the engine over real sockets, with independent packet losses before it; the far leg \
         receives bare samples. Every call also runs through the same switch under virtual time; if the machine delayed it by more \
         than 3 ms over sockets, its score is taken from there. To run only this: `make pesq && cargo run --release -p tests --bin sound-table`.\n\n{table}"
    );
}
