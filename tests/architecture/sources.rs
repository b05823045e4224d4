//! Rust sources prepared for the rules: comments removed, strings separated, paths written out.

use std::path::{Path, PathBuf};

use regex::Regex;

/// A prepared source file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Path relative to the repository.
    pub(crate) path: String,
    /// First folder or file under `src`.
    pub(crate) room: String,
    /// Whether the whole file is test code. An inline `#[cfg(test)] mod tests {` is cut off.
    pub(crate) is_test: bool,
    /// Code without comments and string contents; line numbers are kept.
    code: String,
    /// Contents of string literals only; line numbers are kept.
    text: String,
    /// Line and text of every path, with groups of `use` written out.
    paths: Vec<(usize, String)>,
}

/// Returns all sources of a member crate, sorted by path.
///
/// # Panics
/// When there are none, so that the rules never pass over an empty list.
pub(crate) fn crate_sources(member: &str) -> Vec<Source> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned();
    let folder = root.join(member).join("src");
    let mut files = Vec::new();
    collect(&folder, &mut files);
    files.sort();
    assert!(files.len() > 5, "{}: no sources found", folder.display());
    files.iter().map(|file| Source::read(&root, &folder, file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

impl Source {
    fn read(root: &Path, folder: &Path, file: &Path) -> Source {
        let text = std::fs::read_to_string(file).expect("a source file");
        let inside = file.strip_prefix(folder).expect("below the folder");
        let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        let is_test = inside.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
            || inside.file_stem().is_some_and(|stem| stem == "test_support");
        let path = file.strip_prefix(root).expect("below the root").display().to_string();
        let module: Vec<_> = inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let module: Vec<&str> = module.iter().map(String::as_str).filter(|part| *part != "mod").collect();
        Source::parse(&path, first.trim_end_matches(".rs"), &module, is_test, &text)
    }

    /// Parses a file; `module` is its module path below the crate's root.
    fn parse(path: &str, room: &str, module: &[&str], is_test: bool, text: &str) -> Source {
        let (code, text) = split(text);
        let code = if is_test { code } else { without_tests(&code) };
        let paths = paths(&code).into_iter().map(|(line, path)| (line, absolute(module, path))).collect();
        Source { path: path.to_owned(), room: room.to_owned(), is_test, code, text, paths }
    }

    /// Returns every path that begins with `root`, such as `crate` or `std`.
    pub(crate) fn paths<'a>(&'a self, root: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        let begins = move |path: &str| path.split("::").next() == Some(root);
        self.paths.iter().filter(move |(_, path)| begins(path)).map(|(line, path)| (*line, path.as_str()))
    }

    /// Returns the lines with a path that begins with `wanted`, or ends with it when it is `Type::function`.
    pub(crate) fn uses<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_function = wanted.starts_with(char::is_uppercase);
        let matches = move |path: &str| {
            let begins = path == wanted || path.strip_prefix(wanted).is_some_and(|rest| rest.starts_with("::"));
            begins || (is_function && path.ends_with(wanted))
        };
        self.paths.iter().filter(move |(_, path)| matches(path)).map(|(line, _)| *line)
    }

    /// Returns the lines whose code contains this word or path literally.
    pub(crate) fn bare<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = usize> + 'a {
        let word = Regex::new(&format!(r"(^|[^\w:]){}\b", regex::escape(wanted))).expect("a pattern");
        lines_with(&self.code, word)
    }

    /// Returns the lines whose string literals match `pattern`.
    pub(crate) fn strings(&self, pattern: &str) -> impl Iterator<Item = usize> + '_ {
        lines_with(&self.text, Regex::new(pattern).expect("a pattern"))
    }
}

fn lines_with(text: &str, pattern: Regex) -> impl Iterator<Item = usize> + '_ {
    text.lines().enumerate().filter(move |(_, line)| pattern.is_match(line)).map(|(n, _)| n + 1)
}

/// Splits a source into code without comments and string contents, and string contents without code.
fn split(source: &str) -> (String, String) {
    let token = Regex::new(
        r##"(?sx) //[^\n]* | /\*.*?\*/ | b?r\#"(?:.*?)"\# | b?r"[^"]*" | b?"(?:[^"\\]|\\.)*" | b?'(?:[^'\\\n]|\\[^\n]+?)' "##,
    )
    .expect("a pattern");
    let (mut code, mut text) = (String::with_capacity(source.len()), String::new());
    let mut end = 0;
    let blank = |part: &str| part.chars().filter(|&c| c == '\n').collect::<String>();
    for found in token.find_iter(source) {
        let (before, part) = (&source[end..found.start()], found.as_str());
        code.push_str(before);
        text.push_str(&blank(before));
        if part.contains('"') && !part.starts_with('/') {
            code.push_str("\"\"");
            text.push_str(part);
        } else {
            text.push_str(&blank(part));
        }
        code.push_str(&blank(part));
        end = found.end();
    }
    code.push_str(&source[end..]);
    (code, text)
}

/// Removes everything after `#[cfg(test)]` on an inline module; files in this repository end with their tests.
fn without_tests(code: &str) -> String {
    let inline =
        Regex::new(r"#\[cfg\(test\)\]\s*(#\[[^\]]*\]\s*)*(pub(\([^)]*\))?\s+)?mod\s+\w+\s*\{").expect("a pattern");
    inline.find(code).map_or(code, |found| &code[..found.start()]).to_owned()
}

/// Returns the paths with at least two parts; `use a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths(code: &str) -> Vec<(usize, String)> {
    let statement = Regex::new(r"(?s)\buse\s+([^;]+);").expect("a pattern");
    let inline = Regex::new(r"\b[A-Za-z_]\w*(?:::[A-Za-z_]\w*)+").expect("a pattern");
    let line_starts: Vec<usize> = code.match_indices('\n').map(|(at, _)| at).collect();
    let line_of = |at: usize| line_starts.partition_point(|&end| end < at) + 1;
    let mut found = Vec::new();
    for used in statement.captures_iter(code) {
        let tree = used.get(1).expect("the pattern has one group");
        let mut written = Vec::new();
        write_out("", tree.as_str(), &mut written);
        found.extend(written.into_iter().map(|path| (line_of(tree.start()), path)));
    }
    found.extend(inline.find_iter(code).map(|path| (line_of(path.start()), path.as_str().to_owned())));
    found.sort();
    found.dedup();
    found
}

/// Resolves `super::super::x` to a path from the crate's root.
fn absolute(module: &[&str], path: String) -> String {
    let climbs = path.split("::").take_while(|part| *part == "super").count();
    if climbs == 0 {
        return path;
    }
    let stays = &module[..module.len().saturating_sub(climbs)];
    let parts = ["crate"].into_iter().chain(stays.iter().copied()).chain(path.split("::").skip(climbs));
    parts.collect::<Vec<_>>().join("::")
}

/// Expands one tree of a `use` statement.
fn write_out(prefix: &str, tree: &str, written: &mut Vec<String>) {
    let tree = tree.trim();
    match tree.split_once('{') {
        Some((head, rest)) => {
            let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
            let prefix = format!("{prefix}{}", head.trim());
            let (mut depth, mut start) = (0, 0);
            for (at, c) in inner.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        write_out(&prefix, &inner[start..at], written);
                        start = at + 1;
                    }
                    _ => {}
                }
            }
            write_out(&prefix, &inner[start..], written);
        }
        None if tree.is_empty() => {}
        None => {
            let name = tree.split(" as ").next().unwrap_or(tree).trim();
            let path =
                if name == "self" { prefix.trim_end_matches("::").to_owned() } else { format!("{prefix}{name}") };
            written.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    fn source(text: &str) -> Source {
        Source::parse("x/y.rs", "x", &["x", "y"], false, text)
    }

    #[test]
    fn grouped_imports_are_expanded_and_inline_paths_are_found() {
        let source = source("use crate::{a::{self, B}, c as d};\nfn f() { crate::e::g(); }\n");
        let found: Vec<_> = source.paths("crate").collect();
        for wanted in [(1, "crate::a"), (1, "crate::a::B"), (1, "crate::c"), (2, "crate::e::g")] {
            assert!(found.contains(&wanted), "{wanted:?} in {found:?}");
        }
    }

    #[test]
    fn super_is_resolved_to_the_module_it_reaches() {
        let source = source("use super::z::A;\nuse super::super::up::B;\n");
        let found: Vec<_> = source.paths("crate").collect();
        assert!(found.contains(&(1, "crate::x::z::A")) && found.contains(&(2, "crate::up::B")), "{found:?}");
    }

    #[test]
    fn comments_strings_and_inline_tests_do_not_count() {
        let text = "//! crate::up::a\nlet s = \"crate::up::b\"; let q = 'x';\nlet l: &'static str;\n#[cfg(test)]\nmod tests {\n    use crate::up::c;\n}\n";
        assert_eq!(source(text).paths("crate").count(), 0);
    }

    #[test]
    fn functions_of_types_and_sql_are_found() {
        let source =
            source("use std::time::Instant;\nlet t = std::time::Instant::now();\nlet q = \"SELECT a FROM b\";\n");
        assert_eq!(source.uses("Instant::now").collect::<Vec<_>>(), [2]);
        assert_eq!(source.uses("std::time").collect::<Vec<_>>(), [1, 2]);
        assert_eq!(source.strings(r"SELECT\s.+\sFROM").collect::<Vec<_>>(), [3]);
    }
}
