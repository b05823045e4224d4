//! Calls of more than two parties, and the time until a verb is heard.
//!
//! ```text
//! generator ── packets of all legs ─▶ media thread: relay beside supervisors, conferences          (rooms)
//! telephones ─ SIP, RTP ─▶ the whole product ◀─ HTTP: hold, mute, whisper, barge                   (changes)
//! callers ── SIP, digits ─▶ the whole product ── prompts of their call programs ─▶ callers         (scripts)
//! ```
//!
//! rooms are measured like the packet path, by the same generator. changes and scripts: the binary, its store and its HTTP. page:
//! output.

mod changes;
mod page;
mod scripts;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::peer::Place;
use crate::sound::Recordings;
use crate::{Terms, generator, measure_calmly, plan};
use page::{Room, Row, Verb};

/// Measures supervisors, conferences, and the time from a verb's request to its sound.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Folder of results.json and RESULTS.md, whose section about verbs is replaced; without it results are only printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Number of repetitions of rooms.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Duration of one measurement of rooms, in seconds.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Number of requests of each verb.
    #[arg(long, default_value_t = 300)]
    verbs: usize,
    /// Number of digit collections of each call program.
    #[arg(long, default_value_t = 10)]
    collections: usize,
    /// Only cases whose name contains one of these: relayed, overheard, conference, verb, scripts (several with commas).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Run generator and peer with priority over everything else on the machine (SCHED_RR); by default where the system permits
    /// it.
    #[arg(long)]
    realtime: Option<bool>,
    /// CPU of the peer under test.
    #[arg(long, default_value_t = 0)]
    peer_cpu: usize,
    /// CPU of its far ends.
    #[arg(long, default_value_t = 1)]
    generator_cpu: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let terms = Terms {
        span: Duration::from_secs(arguments.seconds.max(1)),
        peer: Place { cpu: arguments.peer_cpu, realtime: crate::realtime(arguments.realtime) },
        generator_cpu: arguments.generator_cpu,
    };
    let _alone = crate::alone()?;
    let asked =
        |case: &str| arguments.only.is_empty() || arguments.only.iter().any(|part| case.contains(part.as_str()));
    let mut rows = Vec::new();
    let mut add = |row: Row| {
        println!("{row}");
        rows.push(row);
    };
    let mut rooms = plan::more_than_two();
    rooms.retain(|&entry| asked(page::name(entry.case)));
    if !rooms.is_empty() {
        let sounds = Arc::new(Recordings::new(generator::recorded_packets(terms.span))?);
        for run in 1..=arguments.repetitions.max(1) {
            for &entry in &rooms {
                let (measured, memory_kb, _) =
                    measure_calmly(entry, terms, &sounds).with_context(|| entry.to_string())?;
                add(Row::Room(Room::new(entry, run, &measured, memory_kb)));
            }
        }
    }
    if asked("verb") {
        for (verb, latencies) in changes::measure(terms, arguments.verbs)? {
            add(Row::Verb(Verb::new(verb, latencies)));
        }
    }
    if asked("scripts") {
        let scripts::Waits { latencies, lost } = scripts::measure(terms, arguments.collections)?;
        add(Row::Verb(Verb::of_scripts(latencies, lost)));
    }
    page::write(arguments, terms.peer.realtime, rows)
}
