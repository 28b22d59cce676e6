//! Names inside an archive: what may become a path below a folder of ours. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::Fault;
use dkms_base::visible::is_hidden;

/// The longest name; a path on Linux has 4096 bytes, and the folder that it is staged in comes before it.
const LONGEST: usize = 2_000;
/// The most folders above an entry.
const DEEPEST: usize = 100;

/// An entry's name as a plain relative path (`./` and doubled slashes taken away), or why it can't be one.
/// The archive's own root is the empty path.
pub(super) fn parse(name: &[u8]) -> Result<PathBuf, Fault> {
    if name.is_empty() {
        return Err(Fault::EmptyName);
    }
    if name.starts_with(b"/") {
        return Err(Fault::AbsoluteName);
    }
    if has_control(name) {
        return Err(Fault::ControlInName);
    }
    let mut path = PathBuf::new();
    let mut depth = 0;
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Fault::ParentInName),
            part if part.len() > 255 => return Err(Fault::LongName),
            part => {
                depth += 1;
                path.push(OsStr::from_bytes(part));
            }
        }
    }
    if name.len() > LONGEST || depth > DEEPEST {
        return Err(Fault::LongName);
    }
    Ok(path)
}

/// Where a symbolic link points, or why no link of ours may point there. That it stays inside is for
/// the inventory to see.
pub(super) fn parse_target(target: &[u8]) -> Result<PathBuf, Fault> {
    if target.is_empty() {
        return Err(Fault::EmptyName);
    }
    if has_control(target) {
        return Err(Fault::ControlInName);
    }
    if target.len() > LONGEST {
        return Err(Fault::LongName);
    }
    Ok(PathBuf::from(OsStr::from_bytes(target)))
}

/// A name for people: whatever could play tricks on a terminal is escaped, and the whole kept to a line.
pub(super) fn shown(name: &[u8]) -> String {
    const LONGEST_SHOWN: usize = 200;
    let text: String = String::from_utf8_lossy(name)
        .chars()
        .flat_map(|c| if c.is_control() || is_hidden(c) { c.escape_debug().collect() } else { vec![c] })
        .collect();
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// [`shown`] of a path.
pub(super) fn shown_path(path: &Path) -> String {
    shown(path.as_os_str().as_bytes())
}

/// ASCII control characters in any encoding, those of Unicode where it is UTF-8.
fn has_control(name: &[u8]) -> bool {
    match std::str::from_utf8(name) {
        Ok(text) => text.chars().any(|c| c.is_control() || is_hidden(c)),
        Err(_) => name.iter().any(u8::is_ascii_control),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    #[test]
    fn honest_names_are_taken() {
        for (name, path) in
            [("./a//b/./c", "a/b/c"), ("a/", "a"), ("./", ""), ("..a/b..", "..a/b.."), ("é", "é")]
        {
            assert_eq!(parse(name.as_bytes()).unwrap(), Path::new(path));
        }
        assert!(parse(b"latin-\xe9.c").is_ok());
    }

    #[test]
    fn shown_names_fit_on_a_line() {
        assert_eq!(shown(b"a\nb\x1b[0m"), "a\\nb\\u{1b}[0m");
        assert!(shown(&[b'x'; 5000]).len() < 300);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_stays_below(name in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..40)) {
            if let Ok(path) = parse(&name) {
                let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
                prop_assert!(plain, "{:?} became {:?}", name, path);
                prop_assert!(!name.iter().any(u8::is_ascii_control));
            }
        }
    }
}
