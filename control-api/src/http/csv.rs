//! CSV for spreadsheets (RFC 4180). Spreadsheet programs take cells that begin with certain characters for formulas.

/// Characters that begin a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Returns one line with its line end. A cell that looks like a formula is prefixed with `'`, and cells are quoted if necessary.
pub(crate) fn line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for (n, cell) in cells.into_iter().enumerate() {
        if n > 0 {
            line.push(',');
        }
        let guard = if cell.starts_with(FORMULA) { "'" } else { "" };
        if cell.contains(['"', ',', '\r', '\n']) {
            line.push_str(&format!("\"{guard}{}\"", cell.replace('"', "\"\"")));
        } else {
            line.push_str(guard);
            line.push_str(cell);
        }
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_begins_with_a_formula() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("+15555550142", "'+15555550142"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("=\"a\"", "\"'=\"\"a\"\"\""),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(line([cell]), format!("{written}\r\n"), "{cell:?}");
        }
    }

    #[test]
    fn separators_quotes_and_line_ends_stay_inside_their_cell() {
        assert_eq!(
            line(["a,b", "say \"no\"", "one\ntwo", "plain"]),
            "\"a,b\",\"say \"\"no\"\"\",\"one\ntwo\",plain\r\n"
        );
    }
}
