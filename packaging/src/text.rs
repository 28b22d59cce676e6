//! Prose of packages, in lines that lintian and rpmlint take.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole() {
        let long = "x".repeat(80);
        assert_eq!(wrap(&format!("a  b\n{long} c")), format!("a b\n{long}\nc"));
        assert!(wrap(&"word ".repeat(100)).lines().all(|line| line.len() <= 72));
    }
}
