//! Names of bundles in what a web server says of a folder: the links of an index page, or `SHA256SUMS`.
//! Pure; reads any bytes.

use std::collections::BTreeSet;

use crate::name::is_of_bundle;
use crate::url::{Url, decoded};

/// The names of bundles that a page links to and that are in this folder.
#[must_use]
pub fn links(page: &str, folder: &Url) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let is_link =
            rest.starts_with(['a', 'A']) && rest[1..].starts_with(|c: char| c.is_ascii_whitespace());
        if is_link {
            let (reference, behind) = reference_of(&rest[1..]);
            names.extend(reference.and_then(|reference| name_of(&unescaped(reference), folder)));
            rest = behind;
        }
    }
    names
}

/// The names of bundles in a list as `sha256sum` prints it.
#[must_use]
pub fn summed(list: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let (digest, name) = line.split_once(' ')?;
        let name = name.trim_start_matches([' ', '*']).trim_end();
        let name = name.strip_prefix("./").unwrap_or(name);
        (digest.len() == 64 && is_of_bundle(name)).then(|| name.to_owned())
    };
    list.lines().filter_map(name).collect()
}

/// The value of `href` in a tag, and what follows the tag.
fn reference_of(tag: &str) -> (Option<&str>, &str) {
    let mut found = None;
    let mut rest = tag;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if rest.is_empty() || rest.starts_with('>') {
            return (found, rest);
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace() || "=>/".contains(c)).unwrap_or(rest.len());
        // An attribute without a name ends nothing, and is stepped over.
        let (name, behind) = rest.split_at(if end == 0 { 1 } else { end });
        rest = behind.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let Some(value) = rest.strip_prefix('=') else { continue };
        let value = value.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let (value, behind) = match value.chars().next().filter(|c| "\"'".contains(*c)) {
            Some(quote) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            None => value
                .split_at(value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len())),
        };
        rest = behind;
        if found.is_none() && name.eq_ignore_ascii_case("href") {
            found = Some(value);
        }
    }
}

/// The bundle that a link leads to, if it is in the folder.
fn name_of(reference: &str, folder: &Url) -> Option<String> {
    let reference = reference.trim();
    let reference = &reference[..reference.find(['?', '#']).unwrap_or(reference.len())];
    let here = format!("{}{}", folder.origin(), folder.folder());
    let inside = ["./", folder.folder(), &here].into_iter().find_map(|begin| reference.strip_prefix(begin));
    let name = decoded(inside.unwrap_or(reference))?;
    is_of_bundle(&name).then_some(name)
}

/// Without the character references that addresses may have.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let known = behind.split_once(';').filter(|(name, _)| name.len() <= 8);
        match known.and_then(|(name, behind)| Some((character(name)?, behind))) {
            Some((c, behind)) => {
                out.push(c);
                rest = behind;
            }
            None => {
                out.push('&');
                rest = behind;
            }
        }
    }
    out + rest
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "lt" => Some('<'),
        "gt" => Some('>'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn folder() -> Url {
        Url::parse("https://h/kmods/").unwrap()
    }

    fn found(page: &str) -> String {
        links(page, &folder()).into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pages_as_servers_print_them() {
        let python = "<li><a href=\"a-1%2Bx-kernel6.1-x86_64.dkms.tar.gz\">a-1+x…</a></li>\n<li><a href=\"sub/\">sub/</a></li>";
        assert_eq!(found(python), "a-1+x-kernel6.1-x86_64.dkms.tar.gz");
        let nginx = "<h1>Index of /kmods/</h1><hr><pre><a href=\"../\">../</a>\n<a href=\"a-1.dkms.tar\">a-1..&gt;</a> 30-Nov-2026 16:00  12K\n";
        assert_eq!(found(nginx), "a-1.dkms.tar");
        let apache = "<tr><td valign=\"top\"><img src=\"/icons/x.gif\" alt=\"[ ]\"></td><td><A class=x HREF='a-1.dkms.tar.xz' >a</A></td>\
            <th><a href=\"?C=N;O=D\">Name</a></th><a href=b-2.dkms.tar>b</a>";
        assert_eq!(found(apache), "a-1.dkms.tar.xz b-2.dkms.tar");
        assert_eq!(
            found(
                "<a href=\"./a-1.dkms.tar\"><a href=/kmods/b-1.dkms.tar><a href='https://h/kmods/c-1.dkms.tar#x'>"
            ),
            "a-1.dkms.tar b-1.dkms.tar c-1.dkms.tar"
        );
        assert_eq!(found("<a href=\"a&#45;1&#x2e;dkms.tar\">"), "a-1.dkms.tar");
    }

    #[test]
    fn nothing_outside_of_the_folder_counts() {
        for page in [
            "<a href=\"../a-1.dkms.tar\">",
            "<a href=\"%2e%2e/a-1.dkms.tar\">",
            "<a href=\"%2e%2e%2fa-1.dkms.tar\">",
            "<a href=\"sub/a-1.dkms.tar\">",
            "<a href=\"/other/a-1.dkms.tar\">",
            "<a href=\"https://other/kmods/a-1.dkms.tar\">",
            "<a href=\"http://h/kmods/a-1.dkms.tar\">",
            "<a href=\"//other/kmods/a-1.dkms.tar\">",
            "<a href=\"a-1%07.dkms.tar\">",
            "<a href=\"a-1%1b[2J.dkms.tar\">",
            "<a href=\"a-1%00.dkms.tar\">",
            "<a href=\"a-1&#10;b-2.dkms.tar\">",
            "<area href=a-1.dkms.tar>",
            "<link href=a-1.dkms.tar>",
            "<a data-href=a-1.dkms.tar>",
            "a-1.dkms.tar",
            "<a href",
            "<a href=\"a-1.dkms.tar",
        ] {
            let lonely = page == "<a href=\"a-1.dkms.tar";
            assert_eq!(found(page), if lonely { "a-1.dkms.tar" } else { "" }, "{page}");
        }
    }

    #[test]
    fn a_list_of_digests_names_them_too() {
        let digest = "0".repeat(64);
        let list = format!(
            "{digest}  a-1.dkms.tar\n{digest} *./b-1.dkms.tar.gz\n{digest}  ../c-1.dkms.tar\nd-1.dkms.tar\n"
        );
        assert_eq!(summed(&list).into_iter().collect::<Vec<_>>(), ["a-1.dkms.tar", "b-1.dkms.tar.gz"]);
    }

    proptest! {
        #[test]
        fn any_page_gives_nothing_but_names(page in any::<String>(), tag in "<a( |href|=|\"|'|>|/|&|;|%|a-1\\.dkms\\.tar|[^a]){0,12}") {
            for name in links(&(page + &tag), &folder()) {
                assert!(is_of_bundle(&name));
            }
        }
    }
}
