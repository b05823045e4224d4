//! Output of verbs: rows in `results.json`, and a section of `RESULTS.md`.
//!
//! Rooms are grouped by case, peer and number of calls; tables show medians over the runs. The cost of a supervisor is the
//! difference to the relay without supervisors in the same run.
//!
//! Invariants: rows of other benches stay unchanged; rows of cases that were not measured again stay in the tables. Not here:
//! measurement (`changes`, `scripts`, and the generator).

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Arguments;
use crate::latencies::Latencies;
use crate::plan::{Case, Entry, Shape, more_than_two};
use crate::report::{self, Stored};
use crate::score::Measured;
use crate::{compare, page as machine};

/// Heading of this module's section.
const HEADING: &str = "## Calls of more than two";

/// Name of a case in this section: the relay beside supervisors is measured separately.
pub(super) fn name(case: Case) -> &'static str {
    if case == Case::PcmuPcmu { "relayed" } else { case.name() }
}

/// Result of one measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Row {
    Room(Room),
    Verb(Verb),
}

/// Result of a relay, a relay with supervisors, or a conference.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Room {
    case: String,
    peer: String,
    calls: usize,
    parties: usize,
    cpu_ms_per_call_s: f64,
    cpu_ms_per_party_s: f64,
    /// Delay of the parties' packets; `None` in a conference.
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
    /// Deviation of a conference's packet intervals from 20 ms.
    beat_off_p99_us: Option<f64>,
    loss_pct: f64,
    rss_kb_per_party: f64,
    generator_lag_p99_us: f64,
    attempts: usize,
    run: usize,
    commit: String,
}

/// Time from a verb's request to its effect in the audio.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Verb {
    case: String,
    count: usize,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    most_ms: f64,
    /// Number of collections that lost a digit; for call programs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<usize>,
    commit: String,
}

impl Row {
    fn case(&self) -> &str {
        match self {
            Row::Room(room) => &room.case,
            Row::Verb(verb) => &verb.case,
        }
    }

    fn commit(&self) -> &str {
        match self {
            Row::Room(room) => &room.commit,
            Row::Verb(verb) => &verb.commit,
        }
    }
}

impl Room {
    pub(super) fn new(entry: Entry, run: usize, measured: &Measured, memory_kb: f64) -> Room {
        let per_party = entry.calls as f64 / entry.legs() as f64;
        let mixed = matches!(entry.case.shape(), Shape::Conference(_));
        let delay = |us: f64| (!mixed).then(|| rounded(us, 1));
        Room {
            case: name(entry.case).into(),
            peer: entry.peer.name().into(),
            calls: entry.calls,
            parties: entry.legs(),
            cpu_ms_per_call_s: rounded(measured.cpu_ms_per_call_s, 4),
            cpu_ms_per_party_s: rounded(measured.cpu_ms_per_call_s * per_party, 4),
            p50_us: delay(measured.p50_us),
            p99_us: delay(measured.p99_us),
            p999_us: delay(measured.p999_us),
            beat_off_p99_us: mixed.then(|| rounded(measured.p99_us, 1)),
            loss_pct: rounded(measured.loss_pct, 4),
            rss_kb_per_party: rounded(memory_kb * per_party, 1),
            generator_lag_p99_us: rounded(measured.lag_p99_us, 1),
            attempts: measured.attempts,
            run,
            commit: report::commit(),
        }
    }
}

impl Verb {
    pub(super) fn new(verb: &str, mut latencies: Latencies) -> Verb {
        let mut at = |percent| rounded(latencies.percentile(percent), 2);
        let (p50_ms, p95_ms, p99_ms, most_ms) = (at(50.0), at(95.0), at(99.0), at(100.0));
        let case = format!("verb-{verb}");
        Verb { case, count: latencies.len(), p50_ms, p95_ms, p99_ms, most_ms, lost: None, commit: report::commit() }
    }

    /// Result of call programs from their waits and the number of collections that lost a digit.
    pub(super) fn of_scripts(latencies: Latencies, lost: usize) -> Verb {
        Verb { lost: Some(lost), ..Verb::new("gather-to-prompt", latencies) }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Row::Room(room) => {
                let Room { case, peer, parties, cpu_ms_per_party_s, loss_pct, generator_lag_p99_us, .. } = room;
                write!(f, "{case:<17} {peer:<16} {parties:>4} legs: {cpu_ms_per_party_s:.3} ms CPU a leg, ")?;
                match (room.p50_us, room.p99_us, room.beat_off_p99_us) {
                    (Some(p50), Some(p99), _) => write!(f, "delay {p50:.0} / {p99:.0} µs, ")?,
                    (.., Some(off)) => write!(f, "beat off by {off:.0} µs, ")?,
                    _ => {}
                }
                write!(f, "loss {loss_pct:.3} %, generator p99 {generator_lag_p99_us:.0} µs late")
            }
            Row::Verb(Verb { case, count, p50_ms, p95_ms, p99_ms, most_ms, .. }) => {
                write!(
                    f,
                    "{case:<18} {count} times: p50 {p50_ms:.1}, p95 {p95_ms:.1}, p99 {p99_ms:.1}, most {most_ms:.1} ms"
                )
            }
        }
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    (value * 10_f64.powi(digits)).round() / 10_f64.powi(digits)
}

/// Prints the tables and, if requested, updates this module's part of both files. Rows of cases that were not measured this time
/// stay unchanged.
pub(super) fn write(arguments: &Arguments, realtime: bool, measured: Vec<Row>) -> Result<()> {
    let Some(out) = &arguments.out else {
        println!("\n{}", part(realtime, &measured));
        return Ok(());
    };
    let stored = Stored::read(out)?;
    let rows = stored.rows_with(measured.clone(), is_own, |row| row.case().to_owned())?;
    let part = part(realtime, &rows);
    println!("\n{part}");
    stored.write(&rows, is_own, &report::with_part(&stored.page, HEADING, &part))?;
    compare::print(&stored.rows, &measured)
}

/// Returns whether a row of `results.json` belongs to this module.
fn is_own(case: &str) -> bool {
    case.starts_with("verb-") || more_than_two().iter().any(|entry| name(entry.case) == case)
}

fn part(realtime: bool, rows: &[Row]) -> String {
    let scheduling =
        if realtime { "far ends and peer have real-time priority (SCHED_RR)" } else { "without real-time scheduling" };
    let Sorted { rooms, verbs } = &Sorted::of(rows);
    let mut commits: Vec<&str> = rows.iter().map(Row::commit).collect();
    commits.dedup();
    let runs = rooms.iter().map(|room| room.run).max().unwrap_or(1);
    let mut text = format!(
        "{HEADING}\n\n{}, {}. Commit {}. {runs} repetitions; {scheduling}. `make bench`.\n\n",
        machine::date(),
        machine::machine(),
        commits.join(", "),
    );
    if !rooms.is_empty() {
        text += &room_table(rooms);
    }
    if !verbs.is_empty() {
        text += "| verb | times | p50, ms | p95, ms | p99, ms | most, ms |\n|---|---:|---:|---:|---:|---:|\n";
        for Verb { case, count, p50_ms, p95_ms, p99_ms, most_ms, .. } in verbs {
            let verb = case.trim_start_matches("verb-");
            text += &format!("| {verb} | {count} | {p50_ms:.1} | {p95_ms:.1} | {p99_ms:.1} | {most_ms:.1} |\n");
        }
        text += "\n";
    }
    text += "| case | target | measured | |\n|---|---|---|---|\n";
    for (case, target, measured, reached) in verdicts(&Sorted::of(rows)) {
        let verdict = if reached { "reached" } else { "**not reached**" };
        text += &format!("| {case} | {target} | {measured} | {verdict} |\n");
    }
    text + "\n" + WHAT
}

/// Rows by their kind.
#[derive(Default)]
struct Sorted<'a> {
    rooms: Vec<&'a Room>,
    verbs: Vec<&'a Verb>,
}

impl<'a> Sorted<'a> {
    fn of(rows: &'a [Row]) -> Sorted<'a> {
        let mut sorted = Sorted::default();
        for row in rows {
            match row {
                Row::Room(room) => sorted.rooms.push(room),
                Row::Verb(verb) => sorted.verbs.push(verb),
            }
        }
        sorted
    }
}

fn room_table(rooms: &[&Room]) -> String {
    let mut text = String::from(
        "| case | peer | calls | legs | CPU, ms per call-second | CPU, ms per leg-second | share of a core, % | p50, µs | p99, µs | p99.9, µs \
         | beat off, p99, µs | loss, % | memory, kB per leg | generator late, p99, µs |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for entry in more_than_two() {
        let group = Group::find(rooms, name(entry.case), entry.peer.name(), entry.calls);
        let Some(first) = group.0.first() else { continue };
        let figure = |pick: fn(&Room) -> Option<f64>| match pick(first) {
            Some(_) => format!("{:.0}", group.median(|room| pick(room).unwrap_or(f64::NAN))),
            None => "–".into(),
        };
        text += &format!(
            "| {} | {} | {} | {} | {} | {:.3} | {:.1} | {} | {} | {} | {} | {:.3} | {:.1} | {:.0} |\n",
            first.case,
            first.peer,
            first.calls,
            first.parties,
            group.spread(|room| room.cpu_ms_per_call_s),
            group.median(|room| room.cpu_ms_per_party_s),
            group.median(core_percent),
            figure(|room| room.p50_us),
            figure(|room| room.p99_us),
            figure(|room| room.p999_us),
            figure(|room| room.beat_off_p99_us),
            group.median(|room| room.loss_pct),
            group.median(|room| room.rss_kb_per_party),
            group.median(|room| room.generator_lag_p99_us),
        );
    }
    text + "\n"
}

/// Percentage of one core that all calls of a measurement take.
fn core_percent(room: &Room) -> f64 {
    room.cpu_ms_per_call_s * room.calls as f64 / 10.0
}

/// The measurements of one case, peer and number of calls.
struct Group<'a>(Vec<&'a Room>);

impl<'a> Group<'a> {
    fn find(rooms: &[&'a Room], case: &str, peer: &str, calls: usize) -> Group<'a> {
        let is_it = |room: &&&Room| room.case == case && room.peer == peer && room.calls == calls;
        Group(rooms.iter().filter(is_it).copied().collect())
    }

    fn values(&self, pick: impl Fn(&Room) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.0.iter().map(|room| pick(room)).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, pick: impl Fn(&Room) -> f64) -> f64 {
        median(&self.values(pick))
    }

    fn spread(&self, pick: impl Fn(&Room) -> f64) -> String {
        match &self.values(pick)[..] {
            [] => "–".into(),
            [one] => format!("{one:.3}"),
            all => format!("{:.3} ({:.3}–{:.3})", median(all), all[0], all[all.len() - 1]),
        }
    }

    /// Median over runs of a comparison between this group and another one in the same run.
    fn beside(&self, other: &Group<'_>, compare: impl Fn(&Room, &Room) -> Option<f64>) -> Option<f64> {
        let pairs = self.0.iter().filter_map(|room| Some((room, other.0.iter().find(|other| other.run == room.run)?)));
        let mut values: Vec<f64> = pairs.filter_map(|(room, other)| compare(room, other)).collect();
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then(|| median(&values))
    }
}

/// Median of sorted values; the upper one of two middle values.
fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Difference in p99 above which one is larger: two equal runs differ by less.
const SAME_US: f64 = 100.0;

/// Case, target, measured value, and whether it is reached.
fn verdicts(sorted: &Sorted<'_>) -> Vec<(String, String, String, bool)> {
    let Sorted { rooms, verbs } = sorted;
    let mut verdicts = Vec::new();
    let mut add = |case: &str, target: &str, measured: String, reached: bool| {
        verdicts.push((case.to_owned(), target.to_owned(), measured, reached));
    };
    for peer in ["tandem", "tandem-low-delay"] {
        let [bare, overheard] = ["relayed", "pcmu-overheard"].map(|case| Group::find(rooms, case, peer, 100));
        let case = format!("pcmu-overheard, {peer}");
        let ratio = overheard.beside(&bare, |ours, bare| Some(ours.cpu_ms_per_call_s / bare.cpu_ms_per_call_s));
        if let Some(ratio) = ratio {
            add(&case, "CPU per call-second ≤ 1.6 × the relay's", format!("{ratio:.2} ×"), ratio <= 1.6);
        }
        if let Some(more) = overheard.beside(&bare, |ours, bare| Some(ours.p99_us? - bare.p99_us?)) {
            let target = format!("the parties' p99 as without (at most {SAME_US:.0} µs more)");
            add(&case, &target, format!("{more:+.0} µs"), more <= SAME_US);
        }
    }
    for (case, calls) in [("conference-3-pcmu", 333), ("conference-50-pcmu", 20)] {
        let group = Group::find(rooms, case, "tandem", calls);
        let Some(first) = group.0.first() else { continue };
        let (core, loss) = (group.median(core_percent), group.values(|room| room.loss_pct).pop().unwrap_or(f64::NAN));
        let case = format!("{case}, {} parties", first.parties);
        add(&case, "1,000 mixed on one core, no packet lost", format!("{core:.0} % of a core, {loss:.4} % lost"), {
            core < 100.0 && loss == 0.0
        });
    }
    let lost = rooms.iter().filter(|room| room.parties <= 300).map(|room| room.loss_pct).reduce(f64::max);
    if let Some(lost) = lost {
        add("all others", "no packet lost", format!("at worst {lost:.4} %"), lost == 0.0);
    }
    for verb in verbs
        .iter()
        .filter(|verb| ["hold", "mute", "whisper", "barge"].iter().any(|name| verb.case.ends_with(&format!("-{name}"))))
    {
        let target = "p99 ≤ 60 ms from the request to the changed packet";
        add(verb.case.trim_start_matches("verb-"), target, format!("{:.1} ms", verb.p99_ms), verb.p99_ms <= 60.0);
    }
    for verb in verbs {
        let Some(lost) = verb.lost else { continue };
        let target = "no digit lost, p99 ≤ 50 ms from the last digit to the next prompt's first packet";
        let measured = format!("{lost} lost of {}, {:.1} ms", verb.count + lost, verb.p99_ms);
        add(verb.case.trim_start_matches("verb-"), target, measured, lost == 0 && verb.p99_ms <= 50.0);
    }
    verdicts
}

const WHAT: &str = "\
Rooms: the packet path's process with one media thread, pinned to one CPU, and its generator on the other; every leg sends 50 packets \
of speech a second all the time, including supervisors and all parties of a conference. `relayed`: two PCMU legs only, measured right \
before the same with one supervisor for each call (`pcmu-overheard`); ratios and differences are within one repetition. \
`conference-N`: rooms of N parties.

A supervisor is a third leg with the packets that it sends and receives, and with playout, decoding and mixing of both parties for it. \
`tandem` reads packets in batches, which makes the relay cheaper but not the third leg; `tandem-low-delay` is the default behaviour of \
a thread until it has used half a CPU.

- **p50, p99, p99.9**: delay of the parties' packets through the relay, as above.
- **beat off**: deviation from 20 ms of the interval between two packets of a conference. The voices in a mix cannot be separated, so \
its packets have no delay.
- **loss**: packets of the window without an output; for supervisors and conferences, output packets missing from one every 20 ms. \
Each listener must have heard something.

Verbs: the whole product (the binary `tandem`, SQLite, limits off) on one CPU, and on the other the telephones of four calls, each \
with a customer, an agent and a supervisor who send distinct tones. A request is sent over a keep-alive connection at a random moment; \
the time ends with the first packet at the listener in which the tone has appeared or disappeared (half its amplitude is the limit), \
and includes that packet's 20 ms. `hold` and `resume` of the customer are heard by the agent; `mute` and `unmute` of the agent by the \
customer; the supervisor's `whisper` is heard by the agent, `barge` by the customer, and `listen` after either.

gather-to-prompt: 1,000 call programs at once, each of which repeatedly plays a tone of 100 ms and collects four digits (RFC 4733, 80 \
ms each) from a caller who sends 50 packets a second all the time. The time is from the packet that ends the last digit to the \
kernel's timestamp of the first packet of the next prompt. A collection is lost when no prompt arrives within 2 s.
";

#[cfg(test)]
mod tests {
    use super::super::changes::VERBS;
    use super::*;
    use crate::plan::Peer;

    fn room(case: Case, calls: usize, run: usize, cpu: f64, p99_us: f64, loss_pct: f64) -> Row {
        let measured = Measured {
            cpu_ms_per_call_s: cpu,
            p50_us: 50.0,
            p99_us,
            p999_us: 900.0,
            audio_delay_us: None,
            audio_delays_us: None,
            loss_pct,
            lag_p99_us: 10.0,
            lag_p999_us: 20.0,
            attempts: 1,
        };
        Row::Room(Room::new(Entry { case, peer: Peer::Tandem, calls }, run, &measured, 90.0))
    }

    fn judged(rows: &[Row]) -> Vec<(String, String, bool)> {
        let verdicts = verdicts(&Sorted::of(rows)).into_iter();
        verdicts.map(|(case, _, measured, reached)| (case, measured, reached)).collect()
    }

    #[test]
    fn stored_rows_of_rooms_and_verbs_are_read_again() {
        let mut latencies = Latencies::default();
        latencies.add(std::time::Duration::from_millis(30));
        let stored = [room(Case::Conference50, 2, 1, 1.0, 1.0, 0.0), Row::Verb(Verb::of_scripts(latencies, 1))];
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join("results.json"), serde_json::to_string(&stored).unwrap()).unwrap();
        let stored = Stored::read(out.path()).unwrap();
        let new = vec![room(Case::Conference3, 33, 1, 2.0, 1.0, 0.0)];
        let all = stored.rows_with(new, is_own, |row| row.case().to_owned()).unwrap();
        let cases: Vec<&str> = all.iter().map(Row::case).collect();
        assert_eq!(cases, ["conference-50-pcmu", "verb-gather-to-prompt", "conference-3-pcmu"]);
        assert!(matches!(&all[1], Row::Verb(verb) if verb.lost == Some(1)));
    }

    #[test]
    fn the_cost_of_a_supervisor_comes_from_the_same_run() {
        // The second run was disturbed: both needed twice as much.
        let mut rows = Vec::new();
        for (run, factor) in [(1, 1.0), (2, 2.0), (3, 1.0)] {
            rows.push(room(Case::PcmuPcmu, 100, run, factor, 400.0, 0.0));
            rows.push(room(Case::PcmuOverheard, 100, run, 1.5 * factor, 520.0, 0.0));
        }
        let judged = judged(&rows);
        assert_eq!(judged[0], ("pcmu-overheard, tandem".into(), "1.50 ×".into(), true));
        assert_eq!(judged[1], ("pcmu-overheard, tandem".into(), "+120 µs".into(), false));
    }

    #[test]
    fn a_thousand_parties_fit_on_one_core_only_without_loss() {
        let rows = |loss| [room(Case::Conference50, 20, 1, 30.0, 100.0, loss)];
        let place = "conference-50-pcmu, 1000 parties".to_owned();
        assert_eq!(judged(&rows(0.0))[0], (place.clone(), "60 % of a core, 0.0000 % lost".into(), true));
        assert_eq!(judged(&rows(0.01))[0], (place, "60 % of a core, 0.0100 % lost".into(), false));
    }

    #[test]
    fn call_programs_are_judged_by_their_p99_and_their_losses() {
        let judged_with = |ms, lost| {
            let mut latencies = Latencies::default();
            (0..100).for_each(|_| latencies.add(std::time::Duration::from_millis(ms)));
            judged(&[Row::Verb(Verb::of_scripts(latencies, lost))]).remove(0)
        };
        assert_eq!(judged_with(50, 0), ("gather-to-prompt".into(), "0 lost of 100, 50.0 ms".into(), true));
        assert!(!judged_with(51, 0).2);
        assert_eq!(judged_with(20, 1), ("gather-to-prompt".into(), "1 lost of 101, 20.0 ms".into(), false));
    }

    #[test]
    fn four_verbs_are_judged_by_their_p99() {
        let of = |verb, slow: u64| {
            let mut latencies = Latencies::default();
            (0..100).for_each(|n| latencies.add(std::time::Duration::from_millis(if n < 98 { 30 } else { slow })));
            Row::Verb(Verb::new(verb, latencies))
        };
        let all: Vec<Row> = VERBS.iter().map(|verb| of(verb, if *verb == "barge" { 61 } else { 59 })).collect();
        let reached: Vec<(String, bool)> = judged(&all).into_iter().map(|(case, _, reached)| (case, reached)).collect();
        let wanted = [("hold", true), ("mute", true), ("whisper", true), ("barge", false)];
        assert_eq!(reached, wanted.map(|(case, reached)| (case.to_owned(), reached)));
    }
}
