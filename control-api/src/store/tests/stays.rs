//! Stays in calls, and the calls and recordings that participants find, on both databases.

use super::*;
use crate::engine::TransferStage;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap()
}

fn leg(call: Uuid, leg: u64, agent: Option<&str>, state: LegState, ms: i64) -> Change {
    let role = if agent.is_some() { LegRole::Agent } else { LegRole::Customer };
    let (peer, agent) = (agent.unwrap_or("+15550142").to_owned(), agent.map(str::to_owned));
    Change::Leg { call, leg, role, state, peer, agent, codec: None, ending: None, at: at(ms) }
}

fn transferred(call: Uuid, leg: u64, ms: i64) -> Change {
    let (role, stage) = (LegRole::Agent, TransferStage::Done);
    Change::Transfer { call, leg, role, to: "ben".into(), stage, cause: None, other: None, at: at(ms) }
}

fn status(call: Uuid, status: CallStatus, ms: i64) -> Change {
    Change::CallStatus { call, status, cause: None, at: at(ms) }
}

/// Returns words that were said from `began` to `ended`.
fn said(call: Uuid, segment: u64, text: &str, (began, ended): (i64, i64)) -> Change {
    let mut change = super::words(call, segment, text, true);
    if let Change::Translation { event, at: told, .. } = &mut change {
        *told = at(ended);
        event.began_ms_ago = Some(u64::try_from(ended - began).unwrap());
        event.ended_ms_ago = Some(0);
    }
    change
}

/// Returns a call in which Anna talks to a customer from 1 s on and is replaced by Ben at 10 s; it ends at 20 s.
fn transfer(organization: OrganizationId) -> (Uuid, Vec<Change>) {
    let new = NewCall { direction: "inbound", mode: None, ..new_call(organization) };
    let call = new.id;
    let part = |part, state, ms, duration_ms| {
        let (path, note) = (format!("/r{part}.wav"), None);
        let file = PartId { number: 1, part };
        Change::Recording { call, file, of_leg: None, channels: Vec::new(), path, state, note, duration_ms, at: at(ms) }
    };
    let changes = vec![
        Change::CallCreated { call: new, at: at(0) },
        leg(call, 1, None, LegState::Ringing, 0),
        leg(call, 2, Some("anna"), LegState::Ringing, 100),
        leg(call, 2, Some("anna"), LegState::Answered, 1_000),
        leg(call, 1, None, LegState::Answered, 1_000),
        status(call, CallStatus::Bridged, 1_000),
        part(1, "started", 1_100, 0),
        said(call, 1, "apple", (2_000, 3_000)),
        leg(call, 3, Some("ben"), LegState::Ringing, 8_000),
        part(1, "finished", 9_900, 8_800),
        leg(call, 3, Some("ben"), LegState::Answered, 10_000),
        transferred(call, 2, 10_010),
        leg(call, 2, Some("anna"), LegState::Ended, 12_000),
        part(2, "started", 10_500, 0),
        said(call, 2, "banana", (13_000, 14_000)),
        said(call, 3, "apple banana", (15_000, 16_000)),
        part(2, "finished", 19_900, 9_400),
    ];
    (call, changes)
}

pub(super) async fn stays_follow_legs(store: Store) {
    let mine = store.organization_create("mine").await.unwrap().id;
    let theirs = store.organization_create("theirs").await.unwrap().id;
    let (call, changes) = transfer(mine);
    let people = async || store.call_show(mine, call).await.unwrap().unwrap().people;
    store.changes_record(&changes[..3]).await.unwrap();
    assert_eq!(people().await, ["anna"], "the agent of the call is in it from the beginning");
    let written = store.changes_record(&changes[3..11]).await.unwrap();
    let kinds: Vec<&str> = written.events.iter().map(|event| &*event.kind).collect();
    let joined = ["call.joined", "call.leg"];
    assert_eq!((&kinds[..2], &kinds[kinds.len() - 2..]), (&joined[..], &joined[..]), "{kinds:?}");
    let told: serde_json::Value = serde_json::from_str(&written.events[kinds.len() - 2].body).unwrap();
    assert_eq!(
        (&told["agent"], &told["leg"], &told["call"]["id"]),
        (&"ben".into(), &3.into(), &call.to_string().into())
    );
    assert_eq!(people().await, ["anna", "ben"]);
    let written = store.changes_record(&changes[11..13]).await.unwrap();
    let kinds: Vec<&str> = written.events.iter().map(|event| &*event.kind).collect();
    assert_eq!(kinds, ["call.transfer", "call.left", "call.leg"], "an agent leaves once, when the transfer is done");
    assert_eq!(people().await, ["ben"]);
    // A repeated change, by a re-INVITE or a spool, has no effect.
    let written = store.changes_record(&[leg(call, 3, Some("ben"), LegState::Answered, 12_500)]).await.unwrap();
    assert_eq!(written.events.len(), 1);
    store.changes_record(&changes[13..]).await.unwrap();
    store.changes_record(&[status(call, CallStatus::Ended, 20_000)]).await.unwrap();
    assert_eq!(people().await, [""; 0]);
    let stay = |leg, agent: &str, joined, left| Stay {
        leg,
        agent: agent.into(),
        joined_at: at(joined),
        left_at: Some(at(left)),
    };
    let stays = store.stay_list(mine, call).await.unwrap();
    assert_eq!(stays, [stay(2, "anna", 0, 10_010), stay(3, "ben", 10_000, 20_000)]);
    let legs: Vec<(u64, Option<String>, Option<Timestamp>)> =
        store.leg_list(mine, call).await.unwrap().into_iter().map(|leg| (leg.leg, leg.agent, leg.left_at)).collect();
    let expected =
        [(1, None, None), (2, Some("anna".into()), Some(at(10_010))), (3, Some("ben".into()), Some(at(20_000)))];
    assert_eq!(legs, expected);
    // No agent joins a call that has ended.
    let late = store.changes_record(&[leg(call, 4, Some("cleo"), LegState::Answered, 21_000)]).await.unwrap();
    assert_eq!((late.events.len(), store.stay_list(mine, call).await.unwrap().len()), (1, 2));
    // Another tenant sees none of it.
    assert!(store.stay_list(theirs, call).await.unwrap().is_empty());
    assert!(store.stay_list_of(theirs, "anna", &[call]).await.unwrap().is_empty());
}

pub(super) async fn participants_find_the_call(store: Store) {
    let mine = store.organization_create("mine").await.unwrap().id;
    let (call, mut changes) = transfer(mine);
    let (running, without) = transfer(mine);
    changes.push(status(call, CallStatus::Ended, 20_000));
    changes.extend(without.into_iter().take(9));
    store.changes_record(&changes).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    let none = CallFilter::default;
    let (both, one) = (vec![running, call], vec![call]);
    for (filter, expected) in [
        (CallFilter { agent: text("anna"), ..none() }, &both),
        (CallFilter { agent: text("ben"), ..none() }, &one),
        (CallFilter { seen_by: text("ben"), ..none() }, &one),
        (CallFilter { agent: text("cleo"), ..none() }, &vec![]),
        (CallFilter { agent: text("ben"), number: text("1555"), ..none() }, &one),
        (CallFilter { agent: text("ben"), words: text("apple"), ..none() }, &one),
        // By the words that they may read, and by no others.
        (CallFilter { seen_by: text("anna"), words: text("apple"), ..none() }, &both),
        (CallFilter { seen_by: text("anna"), words: text("banana"), ..none() }, &vec![]),
        (CallFilter { seen_by: text("anna"), words: text("apple"), limit: 1, ..none() }, &vec![running]),
        (CallFilter { seen_by: text("ben"), words: text("banana apple"), ..none() }, &one),
        (CallFilter { words: text("banana"), ..none() }, &one),
    ] {
        let mut found: Vec<Uuid> = store.call_list(mine, &filter).await.unwrap().iter().map(|call| call.id).collect();
        // Both began in the same millisecond, so their order is that of their identities.
        found.sort_by_key(|id| *id == call);
        if filter.limit == 1 {
            assert!(found.len() == 1 && both.contains(&found[0]), "{filter:?}: {found:?}");
        } else {
            assert_eq!(found, *expected, "{filter:?}");
        }
    }
    let parts = async |agent: Option<&str>| {
        let listed = store.recording_list(mine, agent, Place::LAST, 10).await.unwrap();
        let mut parts: Vec<u32> =
            listed.iter().filter(|listed| listed.call_id == call).map(|listed| listed.part).collect();
        parts.sort_unstable();
        parts
    };
    assert_eq!(parts(None).await, [1, 2]);
    assert_eq!((parts(Some("anna")).await, parts(Some("ben")).await), (vec![1], vec![2]));
    assert_eq!(parts(Some("cleo")).await, [0; 0]);
}

pub(super) async fn a_crash_ends_stays(store: Store) {
    let mine = store.organization_create("mine").await.unwrap().id;
    let (call, changes) = transfer(mine);
    store.changes_record(&changes[..9]).await.unwrap();
    assert_eq!(store.calls_close_left_open().await.unwrap(), 1);
    let stays = store.stay_list(mine, call).await.unwrap();
    assert!(stays.len() == 1 && stays.iter().all(|stay| stay.left_at.is_some()), "{stays:?}");
}
