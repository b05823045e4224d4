//! Lists of calls by every filter, among 100,000 calls with words, of five tenants.

use std::time::Instant;

use anyhow::Result;
use control_api::store::{CallFilter, OrganizationId, Store, StorePlace, now};
use tests::seed;

use super::{Kept, Measured};
use crate::latencies::Latencies;

/// Number of calls in the store.
pub(super) const CALLS: u32 = 100_000;
/// Number of times that each list is read.
const ROUNDS: usize = 50;

/// Fills a store and reads lists from it in sequence.
pub(super) async fn search(kept: &Kept) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let place = match kept {
        Kept::Sqlite => StorePlace::new("sqlite:t.db", folder.path()),
        Kept::Postgres(database) => {
            StorePlace { url: &database.url, migrate_url: Some(&database.migrate_url), folder: folder.path() }
        }
    };
    Store::open(&place).await?.close().await;
    match kept {
        Kept::Sqlite => seed::sqlite(&folder.path().join("t.db"), CALLS).await,
        Kept::Postgres(database) => seed::postgres(&database.admin_url, CALLS).await,
    }
    let store = Store::open(&place).await?;
    let (mut latencies, mut failed) = (Latencies::default(), 0);
    let begin = Instant::now();
    for round in 0..ROUNDS {
        let tenant = OrganizationId(seed::ORGANIZATIONS[round % seed::ORGANIZATIONS.len()].parse()?);
        for filter in filters(round) {
            let begun = Instant::now();
            failed += u64::from(store.call_list(tenant, &filter).await.is_err());
            latencies.add(begun.elapsed());
        }
    }
    let rate = latencies.len() as f64 / begin.elapsed().as_secs_f64();
    store.close().await;
    Ok((rate, latencies, failed))
}

/// Typical queries: the newest calls, a time, an agent, a number, an outcome, and words that occur in every call, in few, in one,
/// in none.
fn filters(round: usize) -> Vec<CallFilter> {
    let none = CallFilter::default;
    let text = |text: String| Some(text);
    let day_ago = now().as_millisecond() - 24 * 3_600_000;
    let agent = format!("agent{}", round % 40);
    vec![
        none(),
        CallFilter { since: Some(day_ago), until: Some(day_ago + 3_600_000), ..none() },
        CallFilter { agent: text(agent.clone()), ..none() },
        CallFilter { status: text("ended".into()), direction: text("inbound".into()), ..none() },
        CallFilter { number: text(format!("+155555010{:02}", round % 40)), ..none() },
        CallFilter { number: text(format!("12{:03}", round % 700)), ..none() },
        CallFilter { outcome: text("callback".into()), ..none() },
        CallFilter { agent: text(agent.clone()), outcome: text("sale".into()), since: Some(day_ago), ..none() },
        CallFilter { words: text("hello".into()), ..none() },
        CallFilter { words: text(format!("item{}", round % 200)), ..none() },
        CallFilter { words: text(format!("hola order{}", round * 31)), ..none() },
        CallFilter { words: text(format!("call{}", round * 1_999)), ..none() },
        CallFilter { words: text("nowhere".into()), ..none() },
        CallFilter { words: text("hello".into()), agent: text(agent), ..none() },
    ]
}
