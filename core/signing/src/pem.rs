//! The blocks of a PEM file, in which a key, its certificate and remarks may stand together.
//! Decodes none of them.

/// A block's label and its text, from its first line to its last.
pub(super) type Block<'a> = (&'a str, &'a str);

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// The blocks of a file in their order; what is cut off or has no end is none.
pub(super) fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let begin = rest.find(BEGIN)?;
            rest = &rest[begin..];
            let found = block(rest);
            rest = &rest[found.map_or(BEGIN.len(), |(_, text)| text.len())..];
            if found.is_some() {
                return found;
            }
        }
    })
}

/// The block that a text begins with.
fn block(text: &str) -> Option<Block<'_>> {
    let line = text.lines().next()?;
    let label = line.strip_prefix(BEGIN)?.trim_end().strip_suffix(DASHES)?;
    let end = format!("-----END {label}-----");
    let length = text.find(&end)? + end.len();
    Some((label, &text[..length]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_are_found_among_other_text() {
        let a = "-----BEGIN A-----\nYQ==\n-----END A-----";
        let b = "-----BEGIN B C-----\r\nYQ==\r\n-----END B C-----";
        let text = format!("Bag Attributes\n{a}\nremark\n{b}\r\n-----BEGIN D-----\ncut");
        assert_eq!(blocks(&text).collect::<Vec<_>>(), [("A", a), ("B C", b)]);
        let nested = format!("-----BEGIN X-----\n{a}");
        assert_eq!(blocks(&nested).collect::<Vec<_>>(), [("A", a)]);
        assert_eq!(blocks("").count() + blocks("-----BEGIN ").count(), 0);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(-----|BEGIN |END |A|é|\n){0,30}") {
            for (label, block) in blocks(&text) {
                prop_assert!(text.contains(block) && block.contains(label));
            }
        }
    }
}
