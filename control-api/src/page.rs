//! Lists in pages: `limit` and an opaque `cursor`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::problem::Problem;

/// Rows in a page unless asked otherwise.
pub(crate) const LIMIT_DEFAULT: u32 = 50;
/// Rows in a page at most.
pub(crate) const LIMIT_MAX: u32 = 200;

/// The `limit` of a query.
pub(crate) fn limit(text: Option<String>) -> Result<u32, Problem> {
    match text.map(|text| text.parse()) {
        None => Ok(LIMIT_DEFAULT),
        Some(Ok(limit @ 1..=LIMIT_MAX)) => Ok(limit),
        Some(_) => Err(Problem::field("limit", format!("expected a number from 1 to {LIMIT_MAX}"))),
    }
}

/// What a cursor hides: the key of the last row that was shown.
pub(crate) fn cursor_of(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// The key in the `cursor` of a query; `read` makes it what it was.
pub(crate) fn cursor<T>(text: Option<String>, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let key = URL_SAFE_NO_PAD.decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let expected = || Problem::field("cursor", "expected the `next_cursor` of an earlier answer");
    key.and_then(|key| read(&key)).map(Some).ok_or_else(expected)
}

/// Cuts what was read, one row more than is shown, to a page; the cursor after it when there are more.
pub(crate) fn cut<T>(rows: &mut Vec<T>, limit: u32, key: impl FnOnce(&T) -> String) -> Option<String> {
    let limit = limit as usize;
    if rows.len() <= limit {
        return None;
    }
    rows.truncate(limit);
    rows.last().map(|row| cursor_of(&key(row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_where_the_next_begins_while_there_is_one() {
        let mut rows = vec![1, 2, 3];
        let next = cut(&mut rows, 2, i32::to_string).unwrap();
        assert_eq!(rows, [1, 2]);
        assert_eq!(cursor(Some(next), |key| key.parse::<i32>().ok()).unwrap(), Some(2));
        assert_eq!(cut(&mut rows, 2, i32::to_string), None);
    }

    #[test]
    fn what_is_no_cursor_or_limit_is_refused_by_name() {
        for text in ["x", "!!!", "w7w"] {
            let problem = cursor(Some(text.into()), |key| key.parse::<i32>().ok()).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some("cursor"), "{text}");
        }
        for text in ["0", "201", "-1", "x"] {
            assert_eq!(limit(Some(text.into())).unwrap_err().field.as_deref(), Some("limit"), "{text}");
        }
    }
}
