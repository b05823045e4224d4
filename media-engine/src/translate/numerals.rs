//! Numbers in words: what sequences such as "two hundred and five", "fünfundzwanzig" or "quatre-vingt-dix" stand for.
//!
//! ```text
//! words ─▶ tokens (compounds taken apart) ─ small value | hundred | thousand | million | and ─▶ value
//! ```
//!
//! Known are 0 to 100, hundreds, thousands and millions of en, es, fr, de, it and pt, and English ordinals to thirty-first.
//! The words for one are articles in most languages and are numbers only within a longer number. Not here: digits (`guard`).

use super::lexicon::normalised;

/// Meaning of one token of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Value from 0 to 999 that is added.
    Small(u64),
    /// Hundred, thousand or million, which multiplies what stands before it.
    Scale(u64),
    /// Joins the parts of a number, such as "and".
    Joiner,
}

/// Words of a language by value; several forms of a value are separated by `|`.
struct Table {
    language: &'static str,
    /// Values from 0 to 19, or as far as the language has words of their own.
    units: &'static [&'static str],
    /// Further single words with their values.
    others: &'static [(&'static str, u64)],
    scales: &'static [(&'static str, u64)],
    joiner: &'static str,
    /// Whether a number is written as one word, unit before ten (`Some(true)`) or after it (`Some(false)`).
    compound: bool,
}

const TABLES: [Table; 6] = [
    Table {
        language: "en",
        units: &[
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ],
        others: &[
            ("twenty", 20),
            ("thirty", 30),
            ("forty", 40),
            ("fifty", 50),
            ("sixty", 60),
            ("seventy", 70),
            ("eighty", 80),
            ("ninety", 90),
            ("third", 3),
            ("fourth", 4),
            ("fifth", 5),
            ("sixth", 6),
            ("seventh", 7),
            ("eighth", 8),
            ("ninth", 9),
            ("tenth", 10),
            ("eleventh", 11),
            ("twelfth", 12),
            ("thirteenth", 13),
            ("fourteenth", 14),
            ("fifteenth", 15),
            ("sixteenth", 16),
            ("seventeenth", 17),
            ("eighteenth", 18),
            ("nineteenth", 19),
            ("twentieth", 20),
            ("thirtieth", 30),
        ],
        scales: &[("hundred", 100), ("thousand", 1_000), ("million", 1_000_000), ("millions", 1_000_000)],
        joiner: "and",
        compound: false,
    },
    Table {
        language: "es",
        units: &[
            "cero",
            "uno|un|una",
            "dos",
            "tres",
            "cuatro",
            "cinco",
            "seis",
            "siete",
            "ocho",
            "nueve",
            "diez",
            "once",
            "doce",
            "trece",
            "catorce",
            "quince",
            "dieciséis",
            "diecisiete",
            "dieciocho",
            "diecinueve",
            "veinte",
            "veintiuno|veintiún|veintiuna",
            "veintidós",
            "veintitrés",
            "veinticuatro",
            "veinticinco",
            "veintiséis",
            "veintisiete",
            "veintiocho",
            "veintinueve",
            "treinta",
        ],
        others: &[
            ("cuarenta", 40),
            ("cincuenta", 50),
            ("sesenta", 60),
            ("setenta", 70),
            ("ochenta", 80),
            ("noventa", 90),
            ("cien", 100),
            ("ciento", 100),
            ("doscientos", 200),
            ("doscientas", 200),
            ("trescientos", 300),
            ("trescientas", 300),
            ("cuatrocientos", 400),
            ("cuatrocientas", 400),
            ("quinientos", 500),
            ("quinientas", 500),
            ("seiscientos", 600),
            ("seiscientas", 600),
            ("setecientos", 700),
            ("setecientas", 700),
            ("ochocientos", 800),
            ("ochocientas", 800),
            ("novecientos", 900),
            ("novecientas", 900),
        ],
        scales: &[("mil", 1_000), ("millón", 1_000_000), ("millones", 1_000_000)],
        joiner: "y",
        compound: false,
    },
    Table {
        language: "fr",
        units: &[
            "zéro", "un|une", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze",
            "treize", "quatorze", "quinze", "seize",
        ],
        others: &[
            ("vingt", 20),
            ("vingts", 20),
            ("trente", 30),
            ("quarante", 40),
            ("cinquante", 50),
            ("soixante", 60),
            ("septante", 70),
            ("huitante", 80),
            ("nonante", 90),
        ],
        scales: &[("cent", 100), ("cents", 100), ("mille", 1_000), ("million", 1_000_000), ("millions", 1_000_000)],
        joiner: "et",
        compound: false,
    },
    Table {
        language: "de",
        units: &[
            "null",
            "eins|ein|eine|einen",
            "zwei|zwo",
            "drei",
            "vier",
            "fünf",
            "sechs",
            "sieben",
            "acht",
            "neun",
            "zehn",
            "elf",
            "zwölf",
            "dreizehn",
            "vierzehn",
            "fünfzehn",
            "sechzehn",
            "siebzehn",
            "achtzehn",
            "neunzehn",
        ],
        others: &[
            ("zwanzig", 20),
            ("dreißig", 30),
            ("dreissig", 30),
            ("vierzig", 40),
            ("fünfzig", 50),
            ("sechzig", 60),
            ("siebzig", 70),
            ("achtzig", 80),
            ("neunzig", 90),
        ],
        scales: &[("hundert", 100), ("tausend", 1_000), ("million", 1_000_000), ("millionen", 1_000_000)],
        joiner: "und",
        compound: true,
    },
    Table {
        language: "it",
        units: &[
            "zero",
            "uno|un|una",
            "due",
            "tre|tré",
            "quattro",
            "cinque",
            "sei",
            "sette",
            "otto",
            "nove",
            "dieci",
            "undici",
            "dodici",
            "tredici",
            "quattordici",
            "quindici",
            "sedici",
            "diciassette",
            "diciotto",
            "diciannove",
        ],
        others: &[
            ("venti", 20),
            ("vent", 20),
            ("trenta", 30),
            ("trent", 30),
            ("quaranta", 40),
            ("quarant", 40),
            ("cinquanta", 50),
            ("cinquant", 50),
            ("sessanta", 60),
            ("sessant", 60),
            ("settanta", 70),
            ("settant", 70),
            ("ottanta", 80),
            ("ottant", 80),
            ("novanta", 90),
            ("novant", 90),
        ],
        scales: &[
            ("cento", 100),
            ("cent", 100),
            ("mille", 1_000),
            ("mila", 1_000),
            ("milione", 1_000_000),
            ("milioni", 1_000_000),
        ],
        joiner: "e",
        compound: true,
    },
    Table {
        language: "pt",
        units: &[
            "zero",
            "um|uma",
            "dois|duas",
            "três",
            "quatro",
            "cinco",
            "seis",
            "sete",
            "oito",
            "nove",
            "dez",
            "onze",
            "doze",
            "treze",
            "catorze|quatorze",
            "quinze",
            "dezesseis|dezasseis",
            "dezessete|dezassete",
            "dezoito",
            "dezenove|dezanove",
        ],
        others: &[
            ("vinte", 20),
            ("trinta", 30),
            ("quarenta", 40),
            ("cinquenta", 50),
            ("sessenta", 60),
            ("setenta", 70),
            ("oitenta", 80),
            ("noventa", 90),
            ("cem", 100),
            ("cento", 100),
            ("duzentos", 200),
            ("duzentas", 200),
            ("trezentos", 300),
            ("trezentas", 300),
            ("quatrocentos", 400),
            ("quinhentos", 500),
            ("seiscentos", 600),
            ("setecentos", 700),
            ("oitocentos", 800),
            ("novecentos", 900),
        ],
        scales: &[("mil", 1_000), ("milhão", 1_000_000), ("milhões", 1_000_000)],
        joiner: "e",
        compound: false,
    },
];

/// Longest compound that is taken apart, in bytes.
const COMPOUND_MAX: usize = 64;

impl Table {
    fn of(language: &str) -> Option<&'static Table> {
        TABLES.iter().find(|table| table.language == language)
    }

    /// Returns the token that is exactly this word.
    fn token(&self, word: &str) -> Option<Token> {
        if word == self.joiner {
            return Some(Token::Joiner);
        }
        if let Some(value) = self.units.iter().position(|forms| forms.split('|').any(|form| form == word)) {
            return Some(Token::Small(value as u64));
        }
        let find = |table: &[(&str, u64)]| table.iter().find(|(form, _)| *form == word).map(|(_, value)| *value);
        find(self.others).map(Token::Small).or_else(|| find(self.scales).map(Token::Scale))
    }

    /// Takes a word apart from its end to its beginning, longest parts first. Returns false when a rest is left.
    fn split(&self, word: &str, tokens: &mut Vec<Token>) -> bool {
        if let Some(token) = self.token(word) {
            tokens.push(token);
            return true;
        }
        if !self.compound || word.len() > COMPOUND_MAX {
            return false;
        }
        let before = tokens.len();
        for (at, _) in word.char_indices().skip(2).collect::<Vec<_>>().into_iter().rev() {
            let Some(head) = self.token(&word[..at]) else { continue };
            // Only "und" joins within a word; Italian "e" would split "sei".
            if head == Token::Joiner && self.joiner.len() < 3 {
                continue;
            }
            tokens.push(head);
            if self.split(&word[at..], tokens) {
                return true;
            }
            tokens.truncate(before);
        }
        false
    }
}

/// Returns whether a normalised word is a number after which more of it or a unit may follow, in digits or words. Ordinals and
/// words that are also articles are not.
pub fn is_number(word: &str, language: &str) -> bool {
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        return true;
    }
    let Some(table) = Table::of(language) else { return false };
    if table.language == "en" && (word.ends_with("th") || word.ends_with("third")) {
        return false;
    }
    let mut tokens = Vec::new();
    let mut parts = word.split('-');
    parts.all(|part| table.split(part, &mut tokens)) && tokens.iter().any(|token| !is_weak(*token))
}

/// Returns whether a token alone is no number: joiners, and one, which is an article.
fn is_weak(token: Token) -> bool {
    matches!(token, Token::Joiner | Token::Small(1))
}

/// Reads the number in words at the beginning of `words`. Returns its value and the number of words that it takes, or `None`
/// when there is none.
pub fn parse(words: &[&str], language: &str) -> Option<(u64, usize)> {
    let table = Table::of(language)?;
    let mut sum = Sum::default();
    let (mut taken, mut is_strong) = (0, false);
    for (n, word) in words.iter().enumerate() {
        let normal = normalised(word);
        let mut tokens = Vec::new();
        if !normal.split('-').all(|part| table.split(part, &mut tokens)) {
            break;
        }
        let mut next = sum.clone();
        if !tokens.iter().all(|token| next.take(*token, language)) {
            break;
        }
        sum = next;
        // A joiner belongs to the number only when more of it follows.
        if tokens.last() != Some(&Token::Joiner) {
            taken = n + 1;
            is_strong |= tokens.iter().any(|token| !is_weak(*token));
        }
        // Punctuation ends a number.
        if word.ends_with([',', '.', ';', ':', '?', '!']) {
            break;
        }
    }
    (taken > 0 && is_strong).then_some((sum.total.saturating_add(sum.group), taken))
}

/// Value of the tokens so far.
#[derive(Clone, Debug, Default)]
struct Sum {
    /// Complete thousands and millions.
    total: u64,
    /// Value below the next thousand or million.
    group: u64,
    /// Last small value; a following one must be smaller, except a unit before its ten.
    last: Option<u64>,
    joined: bool,
    scale: Option<u64>,
}

impl Sum {
    /// Adds a token. Returns false when it begins another number.
    fn take(&mut self, token: Token, language: &str) -> bool {
        match token {
            Token::Joiner if self.last.is_none() && self.scale.is_none() => return false,
            Token::Joiner => {
                self.joined = true;
                return true;
            }
            Token::Small(value) => {
                if !self.adds(value, language) {
                    return false;
                }
                self.last = Some(value);
            }
            Token::Scale(100) => {
                if self.group >= 100 {
                    return false;
                }
                self.group = self.group.max(1) * 100;
                self.last = Some(100);
            }
            Token::Scale(scale) => {
                if self.scale.is_some_and(|before| before <= scale) {
                    return false;
                }
                self.total = self.total.saturating_add(self.group.max(1).saturating_mul(scale));
                (self.group, self.scale, self.last) = (0, Some(scale), None);
            }
        }
        self.joined = false;
        true
    }

    fn adds(&mut self, value: u64, language: &str) -> bool {
        match self.last {
            None => {}
            // quatre-vingt is 80.
            Some(4) if language == "fr" && value == 20 => {
                self.group += 76;
                return true;
            }
            // fünf und zwanzig: the unit comes first.
            Some(last) if language == "de" && self.joined && last < 10 && value >= 20 && value.is_multiple_of(10) => {}
            // soixante-dix, quatre-vingt-dix-sept.
            Some(60 | 20) if language == "fr" && (1..20).contains(&value) => {}
            Some(10) if language == "fr" && (7..10).contains(&value) => {}
            Some(last) if last >= 100 && value < 100 => {}
            Some(last) if last >= 20 && last.is_multiple_of(10) && (1..10).contains(&value) => {}
            Some(_) => return false,
        }
        self.group += value;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn value(text: &str, language: &str, expected: u64) {
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(parse(&words, language), Some((expected, words.len())), "{text}");
    }

    #[test]
    fn numbers_of_six_languages_are_read() {
        for (language, text, expected) in [
            ("en", "zero", 0),
            ("en", "twenty-five", 25),
            ("en", "two hundred and five", 205),
            ("en", "three thousand four hundred", 3_400),
            ("en", "one million two hundred thousand", 1_200_000),
            ("es", "treinta y cinco", 35),
            ("es", "ciento veintitrés", 123),
            ("es", "dos mil quinientos", 2_500),
            ("es", "un millón", 1_000_000),
            ("fr", "quatre-vingt-dix-sept", 97),
            ("fr", "quatre-vingts", 80),
            ("fr", "soixante et onze", 71),
            ("fr", "deux cents", 200),
            ("fr", "mille neuf cent quatre-vingt-quatre", 1_984),
            ("de", "fünfundzwanzig", 25),
            ("de", "zweihundertfünfzig", 250),
            ("de", "dreitausend", 3_000),
            ("de", "siebzehn", 17),
            ("it", "venticinque", 25),
            ("it", "ventuno", 21),
            ("it", "duecentocinquanta", 250),
            ("it", "tremila", 3_000),
            ("pt", "vinte e cinco", 25),
            ("pt", "duzentos e três", 203),
            ("pt", "mil e quinhentos", 1_500),
        ] {
            value(text, language, expected);
        }
    }

    #[test]
    fn every_german_number_below_a_hundred_is_read_from_its_compound() {
        let units = ["ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"];
        let tens = ["zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"];
        for (t, ten) in tens.iter().enumerate() {
            for (u, unit) in units.iter().enumerate() {
                value(&format!("{unit}und{ten}"), "de", (t as u64 + 2) * 10 + u as u64 + 1);
            }
        }
    }

    #[test]
    fn an_article_and_a_conjunction_are_no_numbers() {
        assert_eq!(parse(&["one"], "en"), None);
        assert_eq!(parse(&["una", "mesa"], "es"), None);
        assert_eq!(parse(&["and"], "en"), None);
        assert!(!is_number("un", "fr") && !is_number("hundert-x", "de"));
        assert!(!is_number("twelfth", "en") && !is_number("twenty-third", "en") && is_number("twenty", "en"));
    }

    #[test]
    fn a_number_ends_where_the_next_one_begins() {
        assert_eq!(parse(&["five", "six"], "en"), Some((5, 1)));
        assert_eq!(parse(&["twenty,", "five"], "en"), Some((20, 1)));
        assert_eq!(parse(&["seven", "and", "tea"], "en"), Some((7, 1)));
    }
}
