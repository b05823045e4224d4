//! Usage of an organization by day.

use axum::Json;
use axum::extract::State;
use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Actor;
use crate::http::body::QueryPairs;
use crate::http::problem::Problem;
use crate::state::AppState;
use crate::store::{Usage, day_of, now};
use crate::tenant::rbac::Action;

/// Default number of days before the last day.
const DAYS_DEFAULT: i64 = 29;
/// Largest number of days in one response.
const DAYS_MAX: i32 = 366;

/// Usage of an organization by day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct UsageReport {
    /// Days with usage, oldest first.
    days: Vec<UsageDay>,
    /// Sum over all days.
    total: Usage,
}

/// Usage of one day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct UsageDay {
    /// Day in UTC. A call counts on the day on which it ended.
    #[schema(value_type = String, format = Date, example = "2026-01-31")]
    day: Date,
    #[serde(flatten)]
    usage: Usage,
}

/// Returns the organization's usage by day. By default the last 30 days.
#[utoipa::path(get, path = "/usage", tag = "usage", security(("key" = []), ("session" = [])),
    params(("from" = Option<String>, Query, description = "First day, YYYY-MM-DD"),
           ("to" = Option<String>, Query, description = "Last day, YYYY-MM-DD")),
    responses((status = 200, body = UsageReport)))]
pub(super) async fn usage_show(
    State(state): State<AppState>,
    actor: Actor,
    query: QueryPairs,
) -> Result<Json<UsageReport>, Problem> {
    actor.may(Action::UsageRead)?;
    let [from, to] = query.take(["from", "to"])?;
    let day = |name: &str, text: Option<String>| match text.map(|text| text.parse::<Date>()) {
        None => Ok(None),
        // The store compares days as texts with years of four digits.
        Some(Ok(day)) if (1970..=9998).contains(&day.year()) => Ok(Some(day)),
        Some(_) => Err(Problem::field(name, "expected a date such as 2026-01-31")),
    };
    let (from, to) = (day("from", from)?, day("to", to)?);
    let to = to.unwrap_or_else(|| day_of(now()).max(from.unwrap_or(Date::MIN)));
    let from = from.unwrap_or_else(|| to.saturating_sub(DAYS_DEFAULT.days()));
    let length = from.until(to).map_or(i32::MAX, |span| span.get_days());
    if to < from {
        return Err(Problem::field("to", "expected a date that is not before `from`"));
    }
    if length >= DAYS_MAX {
        return Err(Problem::field("from", format!("expected at most {DAYS_MAX} days at once")));
    }
    let used = state.store.usage_list(actor.organization, from, to).await?;
    let mut total = Usage::default();
    let mut days = Vec::with_capacity(used.len());
    for (day, usage) in used {
        total.add(usage);
        days.push(UsageDay { day, usage });
    }
    Ok(Json(UsageReport { days, total }))
}
