//! What a translation must not change: numbers, amounts, percentages, times of day, e-mail addresses, names and glossary terms.
//!
//! ```text
//! source ─▶ facts ─┐
//!                  ├▶ compared without order ─▶ differences: kind, text and place in source and translation
//! translation ─▶ facts
//! ```
//!
//! Numbers are compared by value, in digits by the conventions of each language or in words (`numerals`); dates by their numbers,
//! because their order and the names of months differ. A name is a capitalised word within a sentence, and counts as kept when a
//! word of the translation begins alike ("London", "Londres"). German sources have no names here, because all nouns are
//! capitalised. A difference is a hint for people: it changes neither text nor sound. Not here: the meaning of the rest.

use std::fmt;

use super::lexicon::{self, Class, Lexicon, normalised};
use super::numerals;

/// Maximum number of words of a text that are compared.
const WORDS_MAX: usize = 400;

/// Kind of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Number without a known unit, also that of a date.
    Number,
    /// Number with a currency.
    Amount,
    /// Number with a percent sign or its words.
    Percent,
    /// Time of day with minutes.
    Time,
    /// E-mail address, compared without case.
    Email,
    /// Capitalised word within a sentence.
    Name,
    /// Term that the glossary translates.
    Term,
}

/// Text of a fact and the position of its first word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Words as they stand in the text.
    pub text: String,
    /// Position of the first word, counted from 0.
    pub word: usize,
}

/// Fact that source and translation do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Kind of the fact.
    pub kind: Kind,
    /// Fact of the source; `None` when the translation added it.
    pub source: Option<Place>,
    /// Fact of the translation that stands in its place; `None` when it is missing.
    pub translation: Option<Place>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |place: &Option<Place>| place.as_ref().map_or("missing".to_owned(), |place| place.text.clone());
        write!(f, "{} → {}", text(&self.source), text(&self.translation))
    }
}

/// Term with its prescribed translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Term in the source language.
    pub source: String,
    /// Term in the target language.
    pub translation: String,
}

/// Text with its BCP 47 tag.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// Words, separated by white space.
    pub text: &'a str,
    /// BCP 47 tag of the language.
    pub language: &'a str,
}

#[derive(Clone, Debug)]
struct Fact {
    kind: Kind,
    value: String,
    place: Place,
}

/// Returns what differs between a source and its translation.
pub fn compare(source: Text<'_>, translation: Text<'_>, glossary: &[Term]) -> Vec<Difference> {
    let mut added = facts(translation);
    let mut missing = facts(source);
    missing.retain(|fact| {
        let same = added.iter().position(|other| other.kind == fact.kind && other.value == fact.value);
        same.map(|at| added.remove(at)).is_none()
    });
    let mut differences = Vec::new();
    for fact in missing {
        // The same value with another unit is the likelier partner.
        let partner = added.iter().position(|other| other.value == fact.value);
        let partner = partner.or_else(|| added.iter().position(|other| other.kind == fact.kind));
        let other = partner.map(|at| added.remove(at).place);
        differences.push(Difference { kind: fact.kind, source: Some(fact.place), translation: other });
    }
    let added = added.into_iter();
    differences.extend(added.map(|fact| Difference { kind: fact.kind, source: None, translation: Some(fact.place) }));
    differences.extend(names(source, translation));
    differences.extend(terms(source, translation, glossary));
    differences
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().take(WORDS_MAX).collect()
}

/// Returns the numbers, amounts, percentages, times and addresses of a text.
fn facts(Text { text, language }: Text<'_>) -> Vec<Fact> {
    let words = words(text);
    let language = lexicon::primary(language).to_lowercase();
    let mut facts = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let (fact, taken) = fact(&words[at..], &language);
        if let Some((kind, value)) = fact {
            let text = words[at..at + taken].join(" ");
            let place = Place { text: trim(&text).to_owned(), word: at };
            facts.push(Fact { kind, value, place });
        }
        at += taken.max(1);
    }
    facts
}

/// Returns the fact at the beginning of words and the number of words that it takes.
fn fact(words: &[&str], language: &str) -> (Option<(Kind, String)>, usize) {
    let Some(word) = words.first().map(|word| trim(word)) else { return (None, 0) };
    if is_email(word) {
        return (Some((Kind::Email, word.to_lowercase())), 1);
    }
    if let Some(time) = time(word) {
        return (Some((Kind::Time, time)), 1);
    }
    if let Some(date) = date(word) {
        return (Some((Kind::Number, date)), 1);
    }
    let digits = digits(words, language);
    let Some((mut value, mut taken)) = digits.or_else(|| {
        let (value, taken) = numerals::parse(words, language)?;
        Some((value as f64, taken))
    }) else {
        return (None, 1);
    };
    // 1.5 million, 20 mil.
    if digits.is_some()
        && let Some((scale @ (1_000 | 1_000_000), 1)) =
            words.get(taken).and_then(|word| numerals::parse(&[word], language))
    {
        value *= scale as f64;
        taken += 1;
    }
    let (kind, unit_words) = unit(words, taken, language);
    // One is an article in most languages.
    if kind == Kind::Number && value == 1.0 {
        return (None, taken);
    }
    let currency = if kind == Kind::Amount { currency(words, taken) } else { "" };
    (Some((kind, format!("{}{currency}", plain(value)))), taken + unit_words)
}

/// Returns the unit of a number of `taken` words and the number of further words that it takes.
fn unit(words: &[&str], taken: usize, language: &str) -> (Kind, usize) {
    let last = words.get(taken - 1).map_or("", |word| trim(word));
    if last.ends_with('%') {
        return (Kind::Percent, 0);
    }
    let normal = |at: usize| words.get(at).map(|word| normalised(word)).unwrap_or_default();
    let (next, second) = (normal(taken), normal(taken + 1));
    let percent = match language {
        "es" => ["por", "ciento"],
        "fr" => ["pour", "cent"],
        "it" => ["per", "cento"],
        "pt" => ["por", "cento"],
        _ => ["per", "cent"],
    };
    if [next.as_str(), second.as_str()] == percent {
        return (Kind::Percent, 2);
    }
    if next == "%" || next == "percent" || next == "prozent" {
        return (Kind::Percent, 1);
    }
    if currency(words, taken).is_empty() {
        return (Kind::Number, 0);
    }
    (Kind::Amount, usize::from(CURRENCIES.iter().any(|(form, _)| *form == next)))
}

/// Words and signs of currencies with their codes.
const CURRENCIES: [(&str, &str); 22] = [
    ("€", "EUR"),
    ("euro", "EUR"),
    ("euros", "EUR"),
    ("eur", "EUR"),
    ("$", "USD"),
    ("dollar", "USD"),
    ("dollars", "USD"),
    ("dólar", "USD"),
    ("dólares", "USD"),
    ("dollari", "USD"),
    ("usd", "USD"),
    ("£", "GBP"),
    ("pound", "GBP"),
    ("pounds", "GBP"),
    ("libras", "GBP"),
    ("pfund", "GBP"),
    ("livres", "GBP"),
    ("sterline", "GBP"),
    ("gbp", "GBP"),
    ("franken", "CHF"),
    ("francs", "CHF"),
    ("chf", "CHF"),
];

/// Returns the code of the currency at a number of `taken` words: a sign on it, or the word after it.
fn currency(words: &[&str], taken: usize) -> &'static str {
    let sign = |word: &&str| CURRENCIES.iter().find(|(form, _)| !form.is_ascii() && word.contains(form));
    let dollar = |word: &&str| CURRENCIES.iter().find(|(form, _)| *form == "$" && word.contains('$'));
    let number = words[..taken.min(words.len())].iter();
    let on_it = number.clone().find_map(sign).or_else(|| number.clone().find_map(dollar));
    let next = words.get(taken).map(|word| normalised(word));
    let after = || CURRENCIES.iter().find(|(form, _)| next.as_deref() == Some(*form));
    on_it.or_else(after).map_or("", |(_, code)| code)
}

/// Reads a number in digits, with groups that white space separates. Returns its value and its number of words.
fn digits(words: &[&str], language: &str) -> Option<(f64, usize)> {
    let bare = |word: &str| -> String {
        trim(word).trim_matches(['€', '$', '£', '%', '+', '-', '(', ')', 'º', 'ª', '°']).to_owned()
    };
    let mut number = bare(words.first()?);
    for ordinal in ["st", "nd", "rd", "th", "er", "ème", "e"] {
        if let Some(rest) = number.strip_suffix(ordinal).filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())) {
            number = rest.to_owned();
        }
    }
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut taken = 1;
    if language != "en" && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit()) {
        while let Some(group) = words.get(taken).map(|word| bare(word)) {
            if group.len() != 3 || !group.bytes().all(|byte| byte.is_ascii_digit()) || number.len() > 12 {
                break;
            }
            number.push_str(&group);
            taken += 1;
        }
    }
    decimal(&number, language).map(|value| (value, taken))
}

/// Reads digits with separators. English has a decimal point, the other languages a comma; a separator of the other kind before
/// exactly three digits groups them.
fn decimal(number: &str, language: &str) -> Option<f64> {
    let (point, group) = if language == "en" { ('.', ',') } else { (',', '.') };
    let mut plain = String::new();
    let parts: Vec<&str> = number.split(point).collect();
    let (whole, fraction) = match parts[..] {
        [whole] => (whole, None),
        [whole, fraction] => (whole, Some(fraction)),
        _ => return None,
    };
    let groups: Vec<&str> = whole.split([group, '\'', '\u{a0}', '\u{202f}']).collect();
    let is_grouped = groups.len() == 1 || groups[1..].iter().all(|digits| digits.len() == 3);
    if is_grouped {
        plain.push_str(&groups.concat());
    } else if let ([whole, cents], None) = (&groups[..], fraction) {
        // "3.5" in a language with a decimal comma.
        plain.push_str(&format!("{whole}.{cents}"));
    } else {
        return None;
    }
    if let Some(fraction) = fraction {
        plain.push('.');
        plain.push_str(fraction);
    }
    let is_number = plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && plain.len() <= 24;
    is_number.then(|| plain.parse().ok()).flatten()
}

/// Returns a value without needless digits.
fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reads a time of day: 15:30, 15h30.
fn time(word: &str) -> Option<String> {
    let (hours, minutes) = word.split_once([':', 'h'])?;
    let number = |text: &str, most: u32| text.parse::<u32>().ok().filter(|value| *value <= most && text.len() <= 2);
    let minutes = if word.contains('h') && minutes.is_empty() { "00" } else { minutes };
    let is_whole = minutes.len() == 2;
    let (hours, minutes) = (number(hours, 24)?, number(minutes, 59)?);
    is_whole.then(|| format!("{hours}:{minutes:02}"))
}

/// Reads a date in numbers, such as 3/11/2026 or 03.11.2026, as its numbers without order.
fn date(word: &str) -> Option<String> {
    let separator = ['/', '.', '-'].into_iter().find(|separator| word.matches(*separator).count() == 2)?;
    let parts: Option<Vec<u32>> = word.split(separator).map(|part| part.parse().ok()).collect();
    let mut parts = parts?;
    let is_date = parts.iter().filter(|part| **part <= 31).count() >= 2;
    parts.sort_unstable();
    is_date.then(|| format!("{parts:?}"))
}

fn is_email(word: &str) -> bool {
    word.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'))
}

fn trim(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric() && !"€$£%+-°ºª".contains(c))
}

/// Capitalised English words that are no names, or names that other languages write differently.
const NO_NAMES: [&str; 32] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "english",
    "spanish",
    "french",
    "german",
    "italian",
    "portuguese",
    "mr",
    "mrs",
    "ms",
    "dr",
    "sir",
    "madam",
    "god",
];

/// Returns names of the source that the translation lacks.
fn names(source: Text<'_>, translation: Text<'_>) -> Vec<Difference> {
    if lexicon::primary(source.language).eq_ignore_ascii_case("de") {
        return Vec::new();
    }
    let lexicon = Lexicon::of(source.language);
    let there: Vec<String> = words(translation.text).iter().map(|word| folded(&normalised(word))).collect();
    let mut differences = Vec::new();
    let mut starts_sentence = true;
    for (at, word) in words(source.text).into_iter().enumerate() {
        let normal = normalised(word);
        let is_name = !starts_sentence
            && trim(word).starts_with(char::is_uppercase)
            && !is_email(trim(word))
            && lexicon.class(&normal) == Class::Other
            && !NO_NAMES.contains(&normal.as_str());
        starts_sentence = lexicon::ends_sentence(word);
        let stem: String = folded(&normal).chars().take(4).collect();
        if is_name && !there.iter().any(|word| word.starts_with(&stem)) {
            let place = Place { text: trim(word).to_owned(), word: at };
            differences.push(Difference { kind: Kind::Name, source: Some(place), translation: None });
        }
    }
    differences
}

/// Returns a word without the commonest diacritics.
fn folded(word: &str) -> String {
    let fold = |c: char| match c {
        'á' | 'à' | 'â' | 'ä' | 'ã' | 'å' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'ö' | 'õ' | 'ø' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ñ' => 'n',
        'ç' => 'c',
        other => other,
    };
    word.chars().map(fold).collect()
}

/// Returns glossary terms of the source whose prescribed translation is missing.
fn terms(source: Text<'_>, translation: Text<'_>, glossary: &[Term]) -> Vec<Difference> {
    let normal = |text: &str| words(text).iter().map(|word| normalised(word)).collect::<Vec<_>>();
    let (source_words, there) = (normal(source.text), normal(translation.text));
    let find = |text: &[String], term: &[String]| {
        (!term.is_empty()).then(|| text.windows(term.len()).position(|window| window == term)).flatten()
    };
    let missing = |term: &Term| {
        let word = find(&source_words, &normal(&term.source))?;
        let is_kept = find(&there, &normal(&term.translation)).is_some();
        let place = Place { text: term.source.clone(), word };
        (!is_kept).then_some(Difference { kind: Kind::Term, source: Some(place), translation: None })
    };
    glossary.iter().filter_map(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: (&str, &str), translation: (&str, &str)) -> Vec<Difference> {
        let text = |(language, text)| Text { text, language };
        compare(text(source), text(translation), &[])
    }

    #[track_caller]
    fn same(source: (&'static str, &'static str), translation: (&'static str, &'static str)) {
        assert_eq!(of(source, translation), [], "{source:?} {translation:?}");
    }

    #[track_caller]
    fn differs(source: (&'static str, &'static str), translation: (&'static str, &'static str), kind: Kind) {
        let kinds: Vec<Kind> = of(source, translation).iter().map(|difference| difference.kind).collect();
        assert_eq!(kinds, [kind], "{source:?} {translation:?}");
    }

    #[test]
    fn equal_values_in_other_words_or_digits_are_no_difference() {
        same(("en", "it costs twenty-five euros"), ("es", "cuesta 25 €"));
        same(("en", "1,250.50 dollars"), ("de", "1.250,50 Dollar"));
        same(("en", "1,200 people"), ("fr", "1 200 personnes"));
        same(("en", "two million people"), ("pt", "2 milhões de pessoas"));
        same(("en", "1.5 million"), ("es", "1,5 millones"));
        same(("en", "ten percent"), ("es", "diez por ciento"));
        same(("en", "10% off"), ("fr", "10 % de remise"));
        same(("en", "on the third of May"), ("es", "el 3 de mayo"));
        same(("de", "um 15:30 Uhr"), ("fr", "à 15h30"));
        same(("en", "on 11/3/2026"), ("de", "am 3.11.2026"));
        same(("en", "write to Anna@Example.org."), ("it", "scriva a anna@example.org"));
        same(("en", "one apple"), ("fr", "une pomme"));
    }

    #[test]
    fn changed_and_missing_facts_are_flagged_with_their_kind() {
        differs(("en", "it costs fifteen euros"), ("es", "cuesta cincuenta euros"), Kind::Amount);
        differs(("en", "it costs 15 euros"), ("es", "cuesta 15 dólares"), Kind::Amount);
        differs(("en", "ten percent"), ("es", "diez"), Kind::Percent);
        differs(("en", "seven people"), ("de", "Menschen"), Kind::Number);
        differs(("en", "at 15:30"), ("es", "a las 15:20"), Kind::Time);
        differs(("en", "write to anna@example.org"), ("es", "escriba a ana@example.org"), Kind::Email);
        differs(("es", "gente"), ("en", "forty people"), Kind::Number);
    }

    #[test]
    fn a_difference_says_what_stands_where() {
        let difference = &of(("en", "we owe 40 euros"), ("es", "les debemos 14 euros"))[0];
        assert_eq!(difference.source, Some(Place { text: "40 euros".into(), word: 2 }));
        assert_eq!(difference.translation, Some(Place { text: "14 euros".into(), word: 2 }));
    }

    #[test]
    fn names_within_a_sentence_must_be_kept() {
        differs(("en", "we met Okafor there"), ("es", "lo vimos allí"), Kind::Name);
        same(("en", "Tomorrow we fly to London"), ("es", "Mañana volamos a Londres"));
        same(("en", "See you on Monday, I think"), ("es", "Nos vemos el lunes, creo"));
        same(("de", "Das ist ein Tisch"), ("en", "that is a desk"));
    }

    #[test]
    fn glossary_terms_must_have_their_translation() {
        let glossary = [Term { source: "dial plan".into(), translation: "plan de marcación".into() }];
        let check = |translation| {
            let source = Text { text: "change the dial plan.", language: "en" };
            compare(source, Text { text: translation, language: "es" }, &glossary)
        };
        assert_eq!(check("cambie el Plan de marcación").len(), 0);
        assert_eq!(check("cambie el plan de llamadas")[0].kind, Kind::Term);
    }

    #[test]
    fn no_text_makes_the_comparison_fail() {
        for text in
            ["", "1.2.3.4", "@", "%", "1,,2", "99999999999999999999999999999", "١٢٣", "h", ":", "1 000 000 000 000 000"]
        {
            for language in ["en", "fr", "de", "", "xx-YY"] {
                of((language, text), ("es", text));
            }
        }
    }
}
