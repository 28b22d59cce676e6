//! `/proc/keys`: which certificates the running kernel has loaded, into whichever of its keyrings. Pure.
//!
//! A line is `1f4d4a6a I------  1 perm 1f030000  0  0 asymmetri NAME: ID: X509.rsa 0b1c2d3e []`, where the id
//! is the certificate's own for its key in hex, or its serial number where it has none.

use std::collections::BTreeSet;

/// The ids of the certificates in the text; `None` where it lists none at all: who isn't root sees none, and
/// every kernel that checks signatures has one.
#[must_use]
pub fn loaded(text: &str) -> Option<BTreeSet<String>> {
    let ids: BTreeSet<String> = text.lines().filter_map(id).collect();
    (!ids.is_empty()).then_some(ids)
}

fn id(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    words.nth(7).filter(|kind| *kind == "asymmetri")?;
    // The name may have colons; what describes the key is last.
    let (before, _) = line.rsplit_once(": X509.")?;
    let id = before.rsplit_once(": ")?.1;
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_found_behind_any_name() {
        let text = "\
009a2f1c I------     1 perm 1f0b0000     0     0 keyring   .machine: 1\n\
1f4d4a6a I------     1 perm 1f030000     0     0 asymmetri DKMS module signing key: 0A0b: X509.rsa 0b1c2d3e []\n\
1f4d4a6b I------     1 perm 1f030000     0     0 asymmetri Debian: Secure Boot CA: 6ccece7e: X509.rsa 7e4c6c0d []\n\
1f4d4a6c I------     1 perm 3f010000     0     0 user      x: 99: X509.rsa no\n\
1f4d4a6d I------     1 perm 1f030000     0     0 asymmetri cut: 55\n";
        let found = loaded(text).unwrap();
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ["0a0b", "6ccece7e"]);
        assert_eq!(loaded("1 2 3 keyring .machine: 1\n"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\PC{0,20}|asymmetri|: X509\\.|[ \n]){0,20}") {
            let good = "1f4d4a6a I------ 1 perm 1f030000 0 0 asymmetri name: 0A0b: X509.rsa 0b1c2d3e []";
            let ids = loaded(&format!("{text}\n{good}\n")).unwrap_or_default();
            prop_assert!(ids.contains("0a0b"));
            prop_assert!(ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit())), "{:?}", ids);
        }
    }
}
