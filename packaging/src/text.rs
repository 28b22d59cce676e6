//! Prose of packages, in lines that lintian and rpmlint take; versions without their epochs.

/// Words in lines of at most 72 characters; a longer word has a line for itself.
pub(crate) fn wrap(text: &str) -> String {
    const LONGEST: usize = 72;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= LONGEST => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// A version of dpkg or rpm without its epoch: `2:1.0-3` is `1.0-3`.
pub(crate) fn without_epoch(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_ends_at_the_first_colon() {
        assert_eq!(["1.0-3", "2:1.0-3", "0:1:2"].map(without_epoch), ["1.0-3", "1.0-3", "1:2"]);
    }

    #[test]
    fn words_stay_whole() {
        let long = "x".repeat(80);
        assert_eq!(wrap(&format!("a  b\n{long} c")), format!("a b\n{long}\nc"));
        assert!(wrap(&"word ".repeat(100)).lines().all(|line| line.len() <= 72));
    }
}
