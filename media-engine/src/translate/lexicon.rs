//! Closed-class words of a few languages: what tells where a clause may be cut and whether a sentence is still open.
//!
//! ```text
//! word ─ normalised ─▶ Lexicon::class ─▶ article, preposition, opener of a clause, pronoun, number, filler, other
//! ```
//!
//! A language without a table has no closed-class words: clauses are then cut by punctuation, length and pauses. To add a
//! language, add a [`Lexicon`] to [`LEXICONS`]. Words are compared as [`normalised`] makes them: without case and surrounding
//! punctuation. Not here: number words beyond whether a word is a number (`numerals`).

use super::numerals;

/// Grammatical class of a word, as far as cutting clauses needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Article or other determiner: a noun must follow.
    Article,
    /// Preposition: its object must follow.
    Preposition,
    /// Conjunction or relative pronoun that opens a clause.
    Opener,
    /// Personal pronoun as a subject.
    Pronoun,
    /// Number in digits or words: a unit may follow.
    Number,
    /// Hesitation such as "uh".
    Filler,
    /// Any other word.
    Other,
}

impl Class {
    /// All classes; the position of a class is its index in tables.
    pub const COUNT: usize = 7;

    /// Returns the index of the class in a table of [`Class::COUNT`] entries.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Returns whether a phrase that ends with a word of this class is incomplete.
    pub fn is_open(self) -> bool {
        matches!(self, Class::Article | Class::Preposition | Class::Opener | Class::Number)
    }
}

/// Closed-class words of one language, all in lower case.
#[derive(Debug)]
pub struct Lexicon {
    /// Primary subtag of the language's BCP 47 tag.
    pub language: &'static str,
    articles: &'static [&'static str],
    prepositions: &'static [&'static str],
    openers: &'static [&'static str],
    pronouns: &'static [&'static str],
    fillers: &'static [&'static str],
    /// Words by which a listener shows attention, whoever has the floor.
    back_channels: &'static [&'static str],
    /// Words that show attention while the other party has the floor, and are answers otherwise.
    assents: &'static [&'static str],
}

/// Languages whose main verb often comes last, so that a translation into them needs a larger unit.
const VERB_FINAL: [&str; 7] = ["de", "nl", "ja", "ko", "hi", "tr", "fa"];

const UNKNOWN: Lexicon = Lexicon {
    language: "",
    articles: &[],
    prepositions: &[],
    openers: &[],
    pronouns: &[],
    fillers: &["uh", "um", "hm"],
    back_channels: &["mm", "mhm", "hm", "uh-huh", "aha"],
    assents: &["ok", "okay"],
};

const LEXICONS: [Lexicon; 6] = [
    Lexicon {
        language: "en",
        articles: &[
            "the", "a", "an", "my", "your", "his", "her", "its", "our", "their", "this", "these", "every", "no",
        ],
        prepositions: &[
            "of", "to", "in", "on", "at", "for", "from", "with", "by", "about", "into", "without", "between", "until",
            "through", "during", "under", "over", "per",
        ],
        openers: &[
            "and", "or", "but", "so", "because", "although", "though", "while", "when", "if", "unless", "that",
            "which", "who", "whose", "where", "after", "before", "since", "whether",
        ],
        pronouns: &["i", "you", "he", "she", "it", "we", "they"],
        fillers: &["uh", "um", "er", "erm", "hm"],
        back_channels: &["uh-huh", "uhhuh", "mm", "mhm", "mm-hmm", "mmhmm", "hmm", "aha", "uh"],
        assents: &["yes", "yeah", "yep", "ok", "okay", "right", "sure"],
    },
    Lexicon {
        language: "es",
        articles: &[
            "el", "la", "los", "las", "un", "una", "unos", "unas", "mi", "tu", "su", "nuestro", "nuestra", "este",
            "esta",
        ],
        prepositions: &[
            "de", "del", "a", "al", "en", "con", "por", "para", "sin", "sobre", "entre", "hasta", "desde", "hacia",
        ],
        openers: &[
            "y", "e", "o", "u", "pero", "porque", "aunque", "cuando", "si", "que", "como", "donde", "mientras", "pues",
        ],
        pronouns: &["yo", "tú", "él", "ella", "usted", "nosotros", "ellos", "ellas", "ustedes"],
        fillers: &["eh", "em", "este"],
        back_channels: &["ajá", "aja", "mm", "mhm", "uhum", "ah"],
        assents: &["sí", "si", "ya", "claro", "vale", "bueno", "ok"],
    },
    Lexicon {
        language: "fr",
        articles: &[
            "le", "la", "les", "un", "une", "des", "du", "mon", "ma", "mes", "ton", "votre", "vos", "notre", "nos",
            "ce", "cette",
        ],
        prepositions: &[
            "de", "à", "au", "aux", "en", "dans", "sur", "avec", "pour", "par", "sans", "chez", "vers", "entre",
        ],
        openers: &[
            "et", "ou", "mais", "donc", "car", "parce", "quand", "si", "que", "qui", "dont", "où", "comme", "lorsque",
            "puisque",
        ],
        pronouns: &["je", "tu", "il", "elle", "on", "nous", "vous", "ils", "elles"],
        fillers: &["euh", "ben", "hein"],
        back_channels: &["mm", "mhm", "hum", "ah"],
        assents: &["oui", "ouais", "d'accord", "ok", "voilà"],
    },
    Lexicon {
        language: "de",
        articles: &[
            "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "mein", "meine", "ihr",
            "ihre", "sein", "seine", "unser", "unsere",
        ],
        prepositions: &[
            "von", "zu", "zum", "zur", "in", "im", "an", "am", "auf", "bei", "mit", "für", "aus", "nach", "über",
            "unter", "ohne", "um", "bis", "gegen", "durch",
        ],
        openers: &[
            "und", "oder", "aber", "denn", "weil", "dass", "ob", "wenn", "als", "obwohl", "während", "bevor",
            "nachdem", "wo",
        ],
        pronouns: &["ich", "du", "er", "sie", "es", "wir"],
        fillers: &["äh", "ähm", "hm"],
        back_channels: &["mhm", "mm", "hm", "aha", "ach"],
        assents: &["ja", "genau", "okay", "ok", "gut", "so"],
    },
    Lexicon {
        language: "it",
        articles: &[
            "il", "lo", "la", "i", "gli", "le", "un", "uno", "una", "mio", "mia", "suo", "sua", "nostro", "questo",
            "questa",
        ],
        prepositions: &[
            "di", "del", "della", "a", "al", "alla", "da", "dal", "in", "nel", "nella", "con", "su", "sul", "per",
            "tra", "fra",
        ],
        openers: &["e", "ed", "o", "ma", "perché", "quando", "se", "che", "dove", "mentre", "anche", "quindi", "però"],
        pronouns: &["io", "tu", "lui", "lei", "noi", "voi", "loro"],
        fillers: &["eh", "ehm", "cioè"],
        back_channels: &["mm", "mhm", "ah", "uhm"],
        assents: &["sì", "si", "certo", "ok", "va", "bene"],
    },
    Lexicon {
        language: "pt",
        articles: &["o", "a", "os", "as", "um", "uma", "meu", "minha", "seu", "sua", "nosso", "nossa", "este", "esta"],
        prepositions: &[
            "de", "do", "da", "dos", "das", "em", "no", "na", "com", "por", "para", "sem", "sobre", "entre", "até",
            "ao",
        ],
        openers: &["e", "ou", "mas", "porque", "quando", "se", "que", "onde", "enquanto", "embora", "então", "como"],
        pronouns: &["eu", "tu", "ele", "ela", "você", "nós", "eles", "elas", "vocês"],
        fillers: &["é", "hum", "né"],
        back_channels: &["mm", "mhm", "uhum", "aham", "ah"],
        assents: &["sim", "tá", "certo", "claro", "ok"],
    },
];

impl Lexicon {
    /// Returns the words of the language of a BCP 47 tag, or an empty table when the language is unknown.
    pub fn of(tag: &str) -> &'static Lexicon {
        let primary = primary(tag);
        LEXICONS.iter().find(|lexicon| primary.eq_ignore_ascii_case(lexicon.language)).unwrap_or(&UNKNOWN)
    }

    /// Returns the class of a normalised word.
    pub fn class(&self, word: &str) -> Class {
        let table = [
            (self.articles, Class::Article),
            (self.prepositions, Class::Preposition),
            (self.openers, Class::Opener),
            (self.pronouns, Class::Pronoun),
            (self.fillers, Class::Filler),
        ];
        if let Some((_, class)) = table.into_iter().find(|(words, _)| words.contains(&word)) {
            return class;
        }
        if numerals::is_number(word, self.language) { Class::Number } else { Class::Other }
    }

    /// Returns whether normalised words only show attention. `other_speaks`: the other party has the floor, so that "yes" is no
    /// answer either. No words are no back-channel.
    pub fn is_back_channel<'a>(&self, mut words: impl Iterator<Item = &'a str>, other_speaks: bool) -> bool {
        let mut count = 0;
        let all = words.all(|word| {
            count += 1;
            self.back_channels.contains(&word) || (other_speaks && self.assents.contains(&word))
        });
        all && (1..=BACK_CHANNEL_WORDS).contains(&count)
    }
}

/// Longest back-channel, in words.
pub const BACK_CHANNEL_WORDS: usize = 3;

/// Returns whether the main verb of this language often comes last.
pub fn is_verb_final(tag: &str) -> bool {
    let primary = primary(tag);
    VERB_FINAL.iter().any(|language| primary.eq_ignore_ascii_case(language))
}

/// Returns the primary subtag of a BCP 47 tag: `es` of `es-MX`.
pub fn primary(tag: &str) -> &str {
    tag.split(['-', '_']).next().unwrap_or_default()
}

/// Returns whether two BCP 47 tags name the same language, whatever the region.
pub fn is_same(a: &str, b: &str) -> bool {
    primary(a).eq_ignore_ascii_case(primary(b))
}

/// Returns a word in the form in which words are compared: in lower case, without punctuation around it. A word of punctuation
/// only, such as `%`, stays.
pub fn normalised(word: &str) -> String {
    let inner = word.trim_matches(|c: char| !c.is_alphanumeric());
    let inner = if inner.is_empty() { word.trim() } else { inner };
    inner.to_lowercase()
}

/// Returns whether a sentence ends with this word.
pub fn ends_sentence(word: &str) -> bool {
    word.ends_with(['.', '?', '!', '…', '。', '？', '！'])
}

/// Returns whether punctuation after this word ends a clause.
pub fn ends_clause(word: &str) -> bool {
    ends_sentence(word) || word.ends_with([',', ';', ':', '،', '、'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_and_punctuation() {
        for (word, normal) in [("Berlin,", "berlin"), ("¿Qué?", "qué"), ("uh-huh.", "uh-huh"), ("%", "%"), ("", "")]
        {
            assert_eq!(normalised(word), normal);
        }
    }

    #[test]
    fn a_class_is_found_in_the_language_of_the_speaker_only() {
        assert_eq!(Lexicon::of("en-GB").class("the"), Class::Article);
        assert_eq!(Lexicon::of("de").class("the"), Class::Other);
        assert_eq!(Lexicon::of("de").class("weil"), Class::Opener);
        assert_eq!(Lexicon::of("es").class("treinta"), Class::Number);
        assert_eq!(Lexicon::of("xx").class("the"), Class::Other);
        assert_eq!(Lexicon::of("xx").class("830"), Class::Number);
    }

    #[test]
    fn an_assent_is_a_back_channel_only_while_the_other_party_speaks() {
        let french = Lexicon::of("fr");
        assert!(french.is_back_channel(["oui", "oui"].into_iter(), true));
        assert!(!french.is_back_channel(["oui"].into_iter(), false));
        assert!(french.is_back_channel(["mhm"].into_iter(), false));
        assert!(!french.is_back_channel(["oui", "demain"].into_iter(), true));
        assert!(!french.is_back_channel([].into_iter(), true));
    }

    #[test]
    fn verb_final_languages_are_known_by_their_primary_subtag() {
        assert!(is_verb_final("de-AT") && is_verb_final("ja") && !is_verb_final("es"));
    }
}
