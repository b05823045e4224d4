//! Routes of incoming numbers.

use crate::config::{RouteConfig, RouteTarget};

/// Returns the target of the first route whose pattern matches the user part.
pub fn route<'a>(routes: &'a [RouteConfig], user: &str) -> Option<&'a RouteTarget> {
    routes.iter().find(|route| pattern_matches(&route.pattern, user)).map(|route| &route.to)
}

/// Returns whether `text` matches `pattern`: `*` stands for any run of characters, `?` for one, and every other character for
/// itself.
pub fn pattern_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Position of the last `*`, and how much text it has matched so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}
