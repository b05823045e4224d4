//! Pages of lists. A cursor names the last entry of a page. It is valid only for the list, tenant and filters for which it was
//! created.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::http::problem::Problem;
use crate::store::{OrganizationId, Place};

/// Default number of entries of a page.
const LIMIT_DEFAULT: u32 = 50;
/// Largest number of entries of a page.
pub(crate) const LIMIT_MAX: u32 = 200;

/// Number of bytes of a cursor: time, id, and a mark of its list and filters.
const BYTES: usize = 8 + 16 + MARK;
/// Number of bytes of the mark.
const MARK: usize = 8;

/// Number of characters of a cursor.
pub(crate) const LENGTH: usize = (BYTES * 4).div_ceil(3);
/// Pattern of a cursor, for the API's description.
pub(crate) const PATTERN: &str = "^[A-Za-z0-9_-]{43}$";

/// Position and length of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Entry after which the page begins; `None` for the first page.
    pub(crate) after: Option<Place>,
    /// Largest number of entries.
    pub(crate) limit: u32,
    scope: String,
}

impl Page {
    /// Reads `cursor` and `limit` of a request for a list. `filters` contains all other parameters of the request.
    pub(crate) fn read(
        list: &str,
        organization: OrganizationId,
        filters: &str,
        cursor: Option<&str>,
        limit: Option<&str>,
    ) -> Result<Page, Problem> {
        let limit = match limit.map(str::parse) {
            None => LIMIT_DEFAULT,
            Some(Ok(limit @ 1..=LIMIT_MAX)) => limit,
            Some(_) => return Err(Problem::field("limit", format!("expected a number from 1 to {LIMIT_MAX}"))),
        };
        let scope = format!("{list}\0{organization}\0{filters}");
        let after = cursor.map(|text| {
            decode(&scope, text).ok_or_else(|| {
                Problem::field(
                    "cursor",
                    "expected the `next_cursor` of a response for the same list with the same filters",
                )
            })
        });
        Ok(Page { after: after.transpose()?, limit, scope })
    }

    /// Does the same for a list with these filters, in their order.
    pub(crate) fn filtered(
        list: &str,
        organization: OrganizationId,
        filters: &[Option<String>],
        cursor: Option<&str>,
        limit: Option<&str>,
    ) -> Result<Page, Problem> {
        let told: Vec<&str> = filters.iter().map(|value| value.as_deref().unwrap_or_default()).collect();
        Page::read(list, organization, &told.join("\0"), cursor, limit)
    }

    /// Returns the number of entries to fetch: one more than the page has, which tells whether there is a next page.
    pub(crate) fn fetch(&self) -> u32 {
        self.limit + 1
    }

    /// Truncates the fetched entries to the page. Returns the cursor of the next page, if there is one.
    pub(crate) fn cut<T>(&self, entries: &mut Vec<T>, place: impl Fn(&T) -> Place) -> Option<String> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if entries.len() <= limit {
            return None;
        }
        entries.truncate(limit);
        entries.last().map(|last| encode(&self.scope, place(last)))
    }
}

fn mark(scope: &str, place: &[u8]) -> [u8; MARK] {
    let digest = Sha256::new().chain_update(scope).chain_update([0]).chain_update(place).finalize();
    let mut mark = [0; MARK];
    mark.copy_from_slice(&digest[..MARK]);
    mark
}

fn encode(scope: &str, place: Place) -> String {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend(place.at.to_be_bytes());
    bytes.extend(place.id.as_bytes());
    let mark = mark(scope, &bytes);
    bytes.extend(mark);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(scope: &str, text: &str) -> Option<Place> {
    let bytes: [u8; BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (place, told) = bytes.split_at(BYTES - MARK);
    if mark(scope, place) != told {
        return None;
    }
    let (at, id) = place.split_at(8);
    Some(Place { at: i64::from_be_bytes(at.try_into().ok()?), id: Uuid::from_slice(id).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_valid_only_for_its_own_list() {
        let ours = OrganizationId(Uuid::now_v7());
        let page = |organization, filters: &str, cursor: Option<&str>| {
            Page::read("calls", organization, filters, cursor, Some("1"))
        };
        let place = |id: &Uuid| Place { at: 7, id: *id };
        let ids = vec![Uuid::now_v7(), Uuid::now_v7()];
        let mut fetched = ids.clone();
        let cursor = page(ours, "a", None).unwrap().cut(&mut fetched, place).unwrap();
        assert_eq!(fetched, ids[..1]);
        assert_eq!(page(ours, "a", Some(&cursor)).unwrap().after, Some(place(&ids[0])));
        let foreign = page(OrganizationId(Uuid::now_v7()), "a", Some(&cursor));
        let filtered = page(ours, "b", Some(&cursor));
        let listed = Page::read("notes", ours, "a", Some(&cursor), None);
        for refused in [foreign, filtered, listed] {
            assert_eq!(refused.unwrap_err().field.as_deref(), Some("cursor"));
        }
        for garbage in ["", "x", "' OR 1=1 --", "../../etc/passwd", &cursor[1..], &"A".repeat(43), &"A".repeat(10_000)]
        {
            assert_eq!(page(ours, "a", Some(garbage)).unwrap_err().field.as_deref(), Some("cursor"), "{garbage}");
        }
        assert_eq!(page(ours, "a", None).unwrap().cut(&mut ids[..1].to_vec(), place), None);
    }
}
