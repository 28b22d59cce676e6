//! Addresses of HTTP: as much of RFC 3986 as is needed to ask for one, and to follow where it leads.

use std::fmt::Write as _;

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// How its server is reached.
    pub scheme: Scheme,
    /// The host, with the port if it is not the usual one.
    pub authority: String,
    /// What the server is asked for; begins with `/`, and may have a query.
    pub target: String,
}

impl Url {
    /// Reads one. `None`: it is none, of another scheme, or has a user or a password.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme =
            [Scheme::Http, Scheme::Https].into_iter().find(|s| scheme.eq_ignore_ascii_case(s.name()))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let is_target = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
        let slash = if target.starts_with('/') { "" } else { "/" };
        let is_one = is_authority(authority) && target.chars().all(is_target);
        is_one.then(|| Self {
            scheme,
            authority: authority.to_ascii_lowercase(),
            target: format!("{slash}{target}"),
        })
    }

    /// Where a `Location` of its answer leads.
    #[must_use]
    pub fn join(&self, location: &str) -> Option<Self> {
        let location = location.trim();
        let text = match location {
            _ if location.starts_with("//") => format!("{}:{location}", self.scheme.name()),
            _ if location.starts_with('/') => format!("{}{location}", self.origin()),
            _ if location.starts_with('?') => format!("{}{}{location}", self.origin(), self.path()),
            _ if has_scheme(location) => location.to_owned(),
            _ => format!("{}{}{location}", self.origin(), self.folder()),
        };
        Self::parse(&text)
    }

    /// Scheme and authority.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme.name(), self.authority)
    }

    /// The target without a query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The path up to its last `/`.
    #[must_use]
    pub fn folder(&self) -> &str {
        let path = self.path();
        &path[..path.rfind('/').map_or(0, |at| at + 1)]
    }

    /// The same address, of a file in this folder.
    #[must_use]
    pub fn file(&self, name: &str) -> Self {
        Self { target: format!("{}{}", self.folder(), encoded(name)), ..self.clone() }
    }

    /// The host, without brackets, and the port.
    #[must_use]
    pub fn host_and_port(&self) -> (&str, &str) {
        let usual = if self.scheme == Scheme::Http { "80" } else { "443" };
        let (host, port) = match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (self.authority.as_str(), usual),
        };
        (host.trim_start_matches('[').trim_end_matches(']'), port)
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A query may have a token (addresses of object stores do).
        write!(f, "{}{}", self.origin(), self.path())
    }
}

/// Whether a text is a host, or a host with a port.
#[must_use]
pub fn is_authority(text: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_of_six =
        |host: &str| host.contains(':') && host.chars().all(|c| c.is_ascii_hexdigit() || ":.".contains(c));
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return is_of_six(host) && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let begins = host.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins && host.len() <= 253 && host.chars().all(is_host) && port.is_none_or(is_port)
}

/// Whether a reference begins with a scheme, ours or another.
fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
        begins && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
    })
}

/// A text as a component of a path or a value of a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // A text can always be written to.
            _ => drop(write!(out, "%{byte:02X}")),
        }
        out
    })
}

/// The text that such a component stands for. `None`: it is no UTF-8.
#[must_use]
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let hex = more.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let hex = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(url: &Url) -> String {
        format!("{}{}", url.origin(), url.target)
    }

    #[test]
    fn an_address_is_read_whole_or_not() {
        let read = |text: &str| Url::parse(text).as_ref().map(whole);
        assert_eq!(read("HTTP://Host:80/a?b#c").as_deref(), Some("http://host:80/a?b"));
        assert_eq!(read("https://h").as_deref(), Some("https://h/"));
        assert_eq!(read("http://[::1]:8080/x").as_deref(), Some("http://[::1]:8080/x"));
        for text in [
            "",
            "h/x",
            "file:///etc",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://u:p@h/",
            "http://h:x/",
            "http://h:0/",
            "http://h:70000/",
            "http://h/a b",
            "http://h/\u{7}",
            "http://h/é",
            "http://[::1/",
            "http://-h/",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_location_leads_from_where_it_was_said() {
        let base = Url::parse("https://h/a/b?q").unwrap();
        let to = |location: &str| base.join(location).as_ref().map(whole);
        assert_eq!(to("c").as_deref(), Some("https://h/a/c"));
        assert_eq!(to("/c?d").as_deref(), Some("https://h/c?d"));
        assert_eq!(to("?d").as_deref(), Some("https://h/a/b?d"));
        assert_eq!(to("//o/c").as_deref(), Some("https://o/c"));
        assert_eq!(to("http://o/c").as_deref(), Some("http://o/c"));
        for location in ["file:///etc/shadow", "gopher://h/", "javascript:alert(1)", "http://u@h/"] {
            assert_eq!(to(location), None, "{location}");
        }
        assert_eq!(base.to_string(), "https://h/a/b", "a query may be a secret");
        assert_eq!(whole(&base.file("foo+1~2.dkms.tar")), "https://h/a/foo%2B1~2.dkms.tar");
    }

    #[test]
    fn ports_and_brackets() {
        let of = |text: &str| {
            let url = Url::parse(text).unwrap();
            let (host, port) = url.host_and_port();
            (host.to_owned(), port.to_owned())
        };
        assert_eq!(of("http://h/"), ("h".to_owned(), "80".to_owned()));
        assert_eq!(of("https://[::1]/"), ("::1".to_owned(), "443".to_owned()));
        assert_eq!(of("https://[::1]:5/"), ("::1".to_owned(), "5".to_owned()));
    }

    #[test]
    fn what_is_encoded_comes_back() {
        for text in ["a b+c/ü%", "", "foo-1.0~x"] {
            assert_eq!(decoded(&encoded(text)).as_deref(), Some(text));
        }
        assert_eq!(decoded("%2e%2E%").as_deref(), Some("..%"));
        assert_eq!(decoded("%+1").as_deref(), Some("%+1"));
        assert_eq!(decoded("%ff"), None);
    }
}
