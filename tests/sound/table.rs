//! Prints how calls sound as a section in Markdown, which `make bench` puts behind its results.

use tests::quality::{measure_promised, table};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let table = table(&measure_promised(1).await);
    print!(
        "\n## Sound\n\n\
         MOS-LQO by PESQ (P.862.1, P.862.2): eight synthesised prompts (espeak-ng, four male and four female voices, English \
         and Spanish, −26 dB) through the engine over real sockets, with independent losses of packets before it; the far \
         leg hears bare samples. Every call is spoken through the same switch under virtual time as well; one that the machine held \
         up by more than 3 ms over sockets counts as it sounded there. Run alone: `make pesq && cargo run --release -p tests --bin sound-table`.\n\n{table}"
    );
}
