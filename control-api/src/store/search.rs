//! Lists a tenant's calls by filters, newest first, page by page.
//!
//! ```text
//! words?    ──▶ search index, newest call first ──▶ other filters
//! number?   ──▶ few calls have it: its indexes ──▶ other filters, sort
//!           └─▶ many calls have it: as below
//! otherwise ──▶ the index of one filter, newest call first ──▶ other filters
//! ```
//!
//! Invariant: every path starts from an index that begins with the tenant and ends in the order of the list, or reads
//! at most [`FEW`] entries; a test checks the query plans.
//!
//! A person who may see only the calls in which they took part finds them by the words that they may read (`sight`),
//! and by no others.
//!
//! Not here: validation of requests (`routes`).

use std::collections::HashSet;

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::call::{Call, call};
use super::db::{Db, Value};
use super::{OrganizationId, Place, Sight, Store, StoreError};

/// Selects the calls to list. An absent field matches every call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFilter {
    /// Only calls in this status.
    pub status: Option<String>,
    /// Only calls of this direction, `inbound` or `outbound`.
    pub direction: Option<String>,
    /// Only calls in which the agent with this SIP user name took part.
    pub agent: Option<String>,
    /// Like `agent`, and `words` are searched only among those that this agent may read.
    pub seen_by: Option<String>,
    /// Only calls of which one number begins with these digits, given with or without `+`.
    pub number: Option<String>,
    /// Only calls that have this outcome.
    pub outcome: Option<String>,
    /// Only calls of which this was the newest verdict on what answered.
    pub amd: Option<String>,
    /// Only calls that began at or after this time, in milliseconds since 1970 UTC.
    pub since: Option<i64>,
    /// Only calls that began before this time, in milliseconds since 1970 UTC.
    pub until: Option<i64>,
    /// Only calls in which all these words were said or shown as a translation.
    pub words: Option<String>,
    /// Only calls that come after this place in the list.
    pub after: Place,
    /// Largest number of calls to return, 50 by default.
    pub limit: u32,
}

impl Default for CallFilter {
    /// Returns a filter for the newest 50 calls.
    fn default() -> CallFilter {
        CallFilter {
            status: None,
            direction: None,
            agent: None,
            seen_by: None,
            number: None,
            outcome: None,
            amd: None,
            since: None,
            until: None,
            words: None,
            after: Place::LAST,
            limit: 50,
        }
    }
}

impl CallFilter {
    /// Returns the agent who must have taken part, by either field.
    fn person(&self) -> Option<&str> {
        self.seen_by.as_deref().or(self.agent.as_deref())
    }
}

/// Up to this number of matches, sorting the calls with a number costs less than walking through the tenant's calls.
const FEW: u32 = 1_000;

/// A statement that is built up together with its values.
struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    fn new(sql: &str) -> Statement {
        Statement { sql: sql.to_owned(), values: Vec::new() }
    }

    /// Binds a value and returns the name of its parameter.
    fn value(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    fn push(&mut self, text: &str) {
        self.sql.push_str(text);
    }
}

/// Returns the half-open ranges of texts that begin with a number: `+1555` up to `+1556`, and the same without `+`
/// unless one was given.
fn ranges(number: &str) -> Vec<(String, String)> {
    let digits = number.strip_prefix('+').unwrap_or(number);
    let plus = format!("+{digits}");
    let beginnings = if number.starts_with('+') { vec![plus] } else { vec![plus, digits.to_owned()] };
    // The character after '9' is ':'.
    let follows = |text: &str| {
        let (head, last) = text.split_at(text.len() - 1);
        last.bytes().next().map(|last| format!("{head}{}", char::from(last + 1)))
    };
    beginnings.into_iter().filter_map(|from| follows(&from).map(|until| (from, until))).collect()
}

/// Splits a search into words as both databases do: at every character other than letters and digits.
fn words_of(text: &str) -> Vec<String> {
    all_words_of(text).take(WORDS_MAX).collect()
}

fn all_words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Words of a search beyond this number are ignored.
const WORDS_MAX: usize = 16;

/// Returns the number columns, as the indexes of this database collate them.
fn number_columns(db: &Db) -> [&'static str; 2] {
    match db {
        Db::Sqlite { .. } => ["c.from_address", "c.to_address"],
        Db::Postgres(_) => ["c.from_address COLLATE \"C\"", "c.to_address COLLATE \"C\""],
    }
}

impl Store {
    /// Returns a tenant's calls that match the filter, newest first.
    ///
    /// # Errors
    /// When the database fails; retry if [`StoreError::is_transient`].
    pub async fn call_list(&self, organization: OrganizationId, filter: &CallFilter) -> Result<Vec<Call>, StoreError> {
        let mut calls = match (&filter.seen_by, &filter.words) {
            (Some(agent), Some(words)) => self.call_list_readable(organization, filter, agent, words).await?,
            _ => self.call_list_matching(organization, filter).await?,
        };
        self.people_fill(organization, &mut calls).await?;
        Ok(calls)
    }

    /// Lists the calls of which the agent may read the words, page by page until there are enough.
    async fn call_list_readable(
        &self,
        organization: OrganizationId,
        filter: &CallFilter,
        agent: &str,
        words: &str,
    ) -> Result<Vec<Call>, StoreError> {
        let limit = filter.limit as usize;
        let (mut filter, words) = (filter.clone(), words_of(words));
        let mut read = Vec::new();
        loop {
            let found = self.call_list_matching(organization, &filter).await?;
            let (is_last, last) = (found.len() < limit, found.last().map(|last| Place::of(last.created_at, last.id)));
            let ids: Vec<Uuid> = found.iter().map(|call| call.id).collect();
            let stays = self.stay_list_of(organization, agent, &ids).await?;
            for call in found {
                let Some(sight) = stays.get(&call.id).and_then(|stays| Sight::of(stays)) else { continue };
                if self.call_words_readable(organization, &call, &sight, &words).await? {
                    read.push(call);
                }
            }
            match last {
                Some(last) if !is_last && read.len() < limit => filter.after = last,
                _ => {
                    read.truncate(limit);
                    return Ok(read);
                }
            }
        }
    }

    /// Returns whether all these words are readable in a call that contains them all.
    async fn call_words_readable(
        &self,
        organization: OrganizationId,
        call: &Call,
        sight: &Sight,
        words: &[String],
    ) -> Result<bool, StoreError> {
        if sight.covers(call.created_at, call.ended_at) {
            return Ok(true);
        }
        let mut said = HashSet::new();
        for segment in self.transcript_list(organization, call.id).await? {
            if sight.reads(segment.started_at, segment.ended_at) {
                for text in [Some(&segment.text), segment.translation.as_ref()].into_iter().flatten() {
                    said.extend(all_words_of(text));
                }
            }
        }
        Ok(words.iter().all(|word| said.contains(word)))
    }

    async fn call_list_matching(
        &self,
        organization: OrganizationId,
        filter: &CallFilter,
    ) -> Result<Vec<Call>, StoreError> {
        let Some(statement) = self.call_statement(organization, filter).await? else { return Ok(Vec::new()) };
        let rows = self.db.rows(organization, AssertSqlSafe(statement.sql), &statement.values).await?;
        rows.iter().map(call).collect()
    }

    /// Builds the statement of the list. `None` if a search has no word, which matches no call.
    async fn call_statement(
        &self,
        organization: OrganizationId,
        filter: &CallFilter,
    ) -> Result<Option<Statement>, StoreError> {
        Ok(Some(match &filter.words {
            Some(text) => {
                let words = words_of(text);
                if words.is_empty() {
                    return Ok(None);
                }
                match &self.db {
                    Db::Sqlite { .. } => self.by_words_sqlite(organization, filter, &words).await?,
                    Db::Postgres(_) => by_words_postgres(organization, filter, &words),
                }
            }
            None => {
                let few = match &filter.number {
                    Some(number) if self.calls_with_number(organization, number).await? <= u64::from(FEW) => {
                        Some(number)
                    }
                    _ => None,
                };
                match few {
                    Some(number) => self.by_number(organization, filter, number),
                    None => self.by_time(organization, filter),
                }
            }
        }))
    }

    /// Counts a tenant's addresses that begin with the number, up to a little over [`FEW`].
    async fn calls_with_number(&self, organization: OrganizationId, number: &str) -> Result<u64, StoreError> {
        let mut statement = Statement::new("SELECT CAST(COUNT(*) AS BIGINT) AS calls FROM (");
        let mut first = true;
        for (from, until) in ranges(number) {
            for column in number_columns(&self.db) {
                let organization = statement.value(organization);
                let (from, until) = (statement.value(&from), statement.value(&until));
                let limit = statement.value(FEW + 1);
                // In the order of the index, so that PostgreSQL uses it instead of scanning the table.
                statement.push(if first { "" } else { " UNION ALL " });
                statement.push(&format!(
                    "SELECT id FROM (SELECT c.id FROM calls c WHERE c.organization_id = {organization} \
                     AND {column} >= {from} AND {column} < {until} ORDER BY {column} LIMIT {limit}) AS part"
                ));
                first = false;
            }
        }
        statement.push(") AS hits");
        let row = self.db.row(organization, AssertSqlSafe(statement.sql), &statement.values).await?;
        row.map_or(Ok(0), |row| row.count("calls"))
    }

    /// Finds the calls of each address that begins with the number, by its own index; each part leaves out the calls of
    /// those before.
    fn by_number(&self, organization: OrganizationId, filter: &CallFilter, number: &str) -> Statement {
        let mut statement = Statement::new(&format!("SELECT {} FROM (", Call::columns("found")));
        let others = CallFilter { number: None, ..filter.clone() };
        let plus = self.db.pick("+", "");
        let mut before = String::new();
        for (from, until) in ranges(number) {
            for column in number_columns(&self.db) {
                let (from, until) = (statement.value(&from), statement.value(&until));
                statement.push(if before.is_empty() { "" } else { " UNION ALL " });
                statement.push(&format!(
                    "SELECT {} FROM calls c WHERE {column} >= {from} AND {column} < {until} {before}",
                    Call::columns("c")
                ));
                self.push_filters(&mut statement, organization, &others, None, true);
                // An unknown address begins with no number.
                before.push_str(&format!(
                    "AND NOT COALESCE({plus}{column} >= {from} AND {plus}{column} < {until}, FALSE) "
                ));
            }
        }
        statement.push(") AS found ");
        push_order(&mut statement, "found.created_at DESC, found.id DESC", filter.limit);
        statement
    }

    fn by_time(&self, organization: OrganizationId, filter: &CallFilter) -> Statement {
        if let Some(agent) = filter.person() {
            return self.by_person(organization, filter, agent);
        }
        let mut statement = Statement::new(&format!("SELECT {} FROM calls c WHERE TRUE ", Call::columns("c")));
        let leads = [
            ("outcome", filter.outcome.is_some()),
            ("amd", filter.amd.is_some()),
            ("status", filter.status.is_some()),
            ("direction", filter.direction.is_some()),
        ];
        let lead = leads.into_iter().find(|(_, given)| *given).map_or("", |(name, _)| name);
        self.push_filters(&mut statement, organization, filter, Some(lead), true);
        push_order(&mut statement, ORDER, filter.limit);
        statement
    }

    /// Uses the index of participants, which is in the order of the list. SQLite joins the tables in the order given
    /// here.
    fn by_person(&self, organization: OrganizationId, filter: &CallFilter, agent: &str) -> Statement {
        let join = self.db.pick("CROSS JOIN", "JOIN");
        let mut statement = Statement::new(&format!(
            "SELECT {} FROM call_stays p {join} calls c ON c.organization_id = p.organization_id AND c.id = p.call_id \
             WHERE p.is_first ",
            Call::columns("c")
        ));
        let (tenant, agent) = (statement.value(organization), statement.value(agent));
        statement.push(&format!("AND p.organization_id = {tenant} AND p.agent = {agent} "));
        let others = CallFilter { agent: None, seen_by: None, ..filter.clone() };
        self.push_filters(&mut statement, organization, &others, None, false);
        push_place(&mut statement, filter, ("p.call_at", "p.call_id"));
        push_order(&mut statement, "p.call_at DESC, p.call_id DESC", filter.limit);
        statement
    }

    /// Adds the conditions of all filters but words. `lead` is the filter whose index SQLite is to use, as it has no
    /// statistics about them; PostgreSQL has. `place` adds the time and the beginning of the page.
    fn push_filters(
        &self,
        statement: &mut Statement,
        organization: OrganizationId,
        filter: &CallFilter,
        lead: Option<&str>,
        place: bool,
    ) {
        let organization = statement.value(organization);
        statement.push(&format!("AND c.organization_id = {organization} "));
        let equal = [
            ("status", &filter.status),
            ("direction", &filter.direction),
            ("outcome", &filter.outcome),
            ("amd", &filter.amd),
        ];
        for (name, wanted) in equal {
            let Some(wanted) = wanted else { continue };
            let wanted = statement.value(wanted);
            // A unary plus keeps SQLite from using an index for this condition.
            let plus = if lead == Some(name) { "" } else { self.db.pick("+", "") };
            statement.push(&format!("AND {plus}c.{name} = {wanted} "));
        }
        if let Some(agent) = filter.person() {
            let (agent, plus) = (statement.value(agent), self.db.pick("+", ""));
            statement.push(&format!(
                "AND EXISTS (SELECT 1 FROM call_stays p WHERE p.organization_id = c.organization_id \
                 AND p.call_id = c.id AND {plus}p.agent = {agent} AND p.is_first) "
            ));
        }
        if let Some(number) = &filter.number {
            let mut either = Vec::new();
            for (from, until) in ranges(number) {
                let (from, until) = (statement.value(from), statement.value(until));
                let plus = self.db.pick("+", "");
                for column in number_columns(&self.db) {
                    either.push(format!("({plus}{column} >= {from} AND {plus}{column} < {until})"));
                }
            }
            statement.push(&format!("AND ({}) ", either.join(" OR ")));
        }
        if place {
            push_place(statement, filter, ("c.created_at", "c.id"));
        }
    }

    /// Uses the search index, which is in the order of `call_texts.id` and so of time, and holds tenants and agents as
    /// words too.
    async fn by_words_sqlite(
        &self,
        organization: OrganizationId,
        filter: &CallFilter,
        words: &[String],
    ) -> Result<Statement, StoreError> {
        let mut wanted = format!("tenant:\"o{}\"", organization.0.simple());
        if let Some(agent) = filter.person() {
            let hex: String = agent.bytes().map(|byte| format!("{byte:02x}")).collect();
            wanted.push_str(&format!(" AND tenant:\"a{hex}\""));
        }
        for word in words {
            wanted.push_str(&format!(" AND words:\"{word}\""));
        }
        let mut statement = Statement::new(&format!(
            "SELECT {} FROM call_search CROSS JOIN call_texts t ON t.id = call_search.rowid \
             CROSS JOIN calls c ON c.id = t.call_id AND c.organization_id = t.organization_id WHERE ",
            Call::columns("c")
        ));
        let wanted = statement.value(wanted);
        statement.push(&format!("call_search MATCH {wanted} "));
        let after = self.place_in_words(organization, filter.after).await?;
        let bounds = [
            (">=", filter.since.map(first_text_id)),
            ("<", filter.until.map(first_text_id)),
            ("<", (filter.after != Place::LAST).then_some(after)),
        ];
        for (comparison, bound) in bounds {
            if let Some(bound) = bound {
                let bound = statement.value(bound);
                statement.push(&format!("AND call_search.rowid {comparison} {bound} "));
            }
        }
        // Participants are among the indexed words.
        let others = CallFilter { agent: None, seen_by: None, ..filter.clone() };
        self.push_filters(&mut statement, organization, &others, None, false);
        push_order(&mut statement, "call_search.rowid DESC", filter.limit);
        Ok(statement)
    }

    /// Returns where a page begins in the order of the search index. For a removed call it is the call's millisecond.
    async fn place_in_words(&self, organization: OrganizationId, place: Place) -> Result<i64, StoreError> {
        let sql = "SELECT id FROM call_texts WHERE organization_id = $1 AND call_id = $2";
        let row = self.db.row(organization, sql, &[organization.into(), place.id.into()]).await?;
        row.map_or(Ok(first_text_id(place.at)), |row| row.int("id"))
    }
}

/// Order of the list.
const ORDER: &str = "c.created_at DESC, c.id DESC";

/// Returns the first `call_texts.id` of a millisecond.
fn first_text_id(at: i64) -> i64 {
    at.clamp(0, i64::MAX >> 20) << 20
}

/// Adds the conditions on the time and on the beginning of the page, for these columns.
fn push_place(statement: &mut Statement, filter: &CallFilter, (began, call): (&str, &str)) {
    for (comparison, bound) in [(">=", filter.since), ("<", filter.until)] {
        if let Some(bound) = bound {
            let bound = statement.value(bound);
            statement.push(&format!("AND {began} {comparison} {bound} "));
        }
    }
    if filter.after != Place::LAST {
        let (at, id) = (statement.value(filter.after.at), statement.value(filter.after.id));
        statement.push(&format!("AND ({began}, {call}) < ({at}, {id}) "));
    }
}

fn push_order(statement: &mut Statement, order: &str, limit: u32) {
    let limit = statement.value(limit);
    statement.push(&format!("ORDER BY {order} LIMIT {limit}"));
}

/// Uses the function `look_up_words`, which finds the identities of a page, for common words by walking back from the
/// newest call; the rows are joined to them.
fn by_words_postgres(organization: OrganizationId, filter: &CallFilter, words: &[String]) -> Statement {
    let mut statement = Statement::new("");
    let numbers = filter.number.as_deref().map(ranges).unwrap_or_default();
    let begins = |at: usize| numbers.get(at).or(numbers.first()).map(|(from, _)| from.as_str());
    let after = (filter.after != Place::LAST).then_some(filter.after);
    let parameters = [
        statement.value(words.join(" ")),
        statement.value(&filter.status),
        statement.value(&filter.direction),
        statement.value(filter.person()),
        statement.value(&filter.outcome),
        statement.value(&filter.amd),
        statement.value(begins(0)),
        statement.value(begins(1)),
        statement.value(filter.since),
        statement.value(filter.until),
        statement.value(after.map(|after| after.at)),
        statement.value(after.map(|after| after.id)),
        statement.value(filter.limit),
    ]
    .join(", ");
    let organization = statement.value(organization);
    statement.push(&format!(
        "SELECT {} FROM look_up_words({parameters}) s JOIN calls c ON c.organization_id = {organization} \
         AND c.id = s.call_id ORDER BY {ORDER}",
        Call::columns("c")
    ));
    statement
}

#[cfg(test)]
impl Store {
    /// Returns SQLite's query plan for a list, step by step.
    pub(super) async fn call_plan(&self, organization: OrganizationId, filter: &CallFilter) -> Vec<String> {
        let statement = self.call_statement(organization, filter).await.unwrap().unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
        let rows = self.db.rows(organization, AssertSqlSafe(sql), &statement.values).await.unwrap();
        rows.iter().map(|row| row.text("detail").unwrap()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_prefix() {
        assert_eq!(ranges("+1555"), [("+1555".to_owned(), "+1556".to_owned())]);
        let both = [("+349".to_owned(), "+34:".to_owned()), ("349".to_owned(), "34:".to_owned())];
        assert_eq!(ranges("349"), both);
    }

    #[test]
    fn a_search_consists_of_words_only() {
        assert_eq!(words_of("Hello, wörld! e-mail"), ["hello", "wörld", "e", "mail"]);
        assert_eq!(words_of("\" OR tenant:x* NEAR(a) '; --"), ["or", "tenant", "x", "near", "a"]);
        assert!(words_of("\"'*--").is_empty());
    }
}
