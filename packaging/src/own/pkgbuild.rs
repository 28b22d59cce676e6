//! The fields of our PKGBUILD: assignments of plain words and of lists of them, up to the first function. No
//! shell's language, only as much of it as that file uses.

use std::collections::BTreeMap;

/// The values of each name; one that is no list has one.
#[must_use]
pub fn parse(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.contains("()") {
            break;
        }
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| is_name(name)) else { continue };
        let Some(first) = value.strip_prefix('(') else {
            fields.insert(name.to_owned(), words(value));
            continue;
        };
        let mut list = first.to_owned();
        while !list.trim_end().ends_with(')') {
            let Some(more) = lines.next() else { break };
            list.push(' ');
            list.push_str(more);
        }
        fields.insert(name.to_owned(), words(list.trim_end().trim_end_matches(')')));
    }
    fields
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// Words, some of them in single quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_lists_are_read() {
        let text = "# c=d\npkgname=dkms # it\npkgdesc='Two words'\ndepends=(a 'b>=1'\n  c)\noptdepends=('x: for y')\nbuild() {\n  x=y\n}\n";
        let fields = parse(text);
        let of = |name: &str| fields.get(name).map(|values| values.join("|")).unwrap_or_default();
        assert_eq!(
            (of("pkgname"), of("pkgdesc"), of("depends")),
            ("dkms".into(), "Two words".into(), "a|b>=1|c".into())
        );
        assert_eq!(of("optdepends"), "x: for y");
        assert!(!fields.contains_key("x") && !fields.contains_key("# c"));
    }
}
