//! Where a host looks for modules that another machine has built: the words of `prebuilt`, and the proxy of
//! `prebuilt_proxy`. Opens nothing.

use std::path::{Path, PathBuf};

/// A place that may have prebuilt modules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrebuiltPlace {
    /// `file:/FOLDER`, with tarballs.
    Folder(PathBuf),
    /// A folder of a web server, or an image of a registry.
    Remote(RemotePlace),
}

/// A place on another machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemotePlace {
    /// Its address, without a login: what messages show.
    pub url: String,
    /// `USER:PASSWORD`, as the address had it.
    pub login: Option<Secret>,
}

/// A text that no message shows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The schemes of places on other machines; whether a login may stand before the host.
const REMOTE: [(&str, bool); 4] =
    [("http://", true), ("https://", true), ("oci:", false), ("oci+http:", false)];

impl PrebuiltPlace {
    /// Reads one; `None`: it is none that we know.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
        if let Some(rest) = text.strip_prefix("file:") {
            // A URI may have an empty host: `file:///srv`.
            let path = if rest.starts_with("///") { &rest[2..] } else { rest };
            let is_path = path.starts_with('/') && !path.starts_with("//") && path.chars().all(is_plain);
            return is_path.then(|| Self::Folder(Path::new(path).components().collect()));
        }
        let (scheme, takes_login) = REMOTE.into_iter().find(|(scheme, _)| text.starts_with(scheme))?;
        let rest = &text[scheme.len()..];
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (login, host) = host.rsplit_once('@').map_or((None, host), |(login, host)| (Some(login), host));
        // A password with `/` in it would leave the rest of it in the path, which messages show.
        let is_path = !path.contains('@') || !takes_login && path.rsplit('@').next().is_some_and(is_digest);
        let is_address = |c: char| c.is_ascii_graphic() && !"\"'\\<>`{|}?#".contains(c);
        let is_complete = takes_login || path.len() > 1;
        let fits = is_authority(host)
            && is_path
            && rest.chars().all(is_address)
            && is_complete
            && (takes_login || login.is_none());
        fits.then(|| {
            let login = login.map(Secret::new);
            Self::Remote(RemotePlace { url: format!("{scheme}{host}{path}"), login })
        })
    }
}

/// Whether a text is `HOST[:PORT]`, where the host may be an address in brackets.
fn is_authority(text: &str) -> bool {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c) || bracketed.is_some() && c == ':';
    let begins = |c: char| c.is_ascii_alphanumeric() || bracketed.is_some();
    host.starts_with(begins)
        && host.chars().all(fits)
        && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// Whether a text is a digest, `ALGORITHM:HEX`.
fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.bytes().all(|b| b.is_ascii_alphanumeric()) && hex.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

impl std::fmt::Display for PrebuiltPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file:{}", path.display()),
            Self::Remote(place) => f.write_str(&place.url),
        }
    }
}

/// Whether a text is the address of a proxy: `http://[USER:PASSWORD@]HOST[:PORT]`.
#[must_use]
pub(crate) fn is_proxy(text: &str) -> bool {
    let host = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    host.is_some_and(|rest| {
        let host = rest.rsplit('@').next().unwrap_or_default();
        let begins = host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
        begins && !host.contains('/') && rest.chars().all(|c| c.is_ascii_graphic())
    })
}

/// A value of a setting as messages show it: without what stands before an `@` in an address.
#[must_use]
pub(crate) fn without_logins(value: &str) -> String {
    let word = |word: &str| match word.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once(':').map_or("", |(scheme, _)| scheme);
            format!("{scheme}:…@{host}")
        }
        None => word.to_owned(),
    };
    value.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_folders_are_places() {
        let read = |text: &str| PrebuiltPlace::parse(text).map(|place| place.to_string());
        for text in ["file:/srv/kmods", "file:///srv/kmods", "file:/srv/kmods/"] {
            assert_eq!(read(text).as_deref(), Some("file:/srv/kmods"), "{text}");
        }
        for text in ["", "file:", "file:srv", "file://host/srv", "/srv", "FILE:/srv", "ftp://x", "file:/a\tb"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_of_servers_and_registries_are_places() {
        let read = |text: &str| PrebuiltPlace::parse(text).map(|place| place.to_string());
        for text in [
            "http://h/kmods",
            "https://h:8443/a/b/",
            "https://[::1]/",
            "https://h",
            "oci:r.example/a/kmods:prod",
            "oci+http:127.0.0.1:5000/k",
            "oci:r/k@sha256:0aF1",
        ] {
            assert_eq!(read(text).as_deref(), Some(text));
        }
        for text in [
            "http://",
            "https:///x",
            "http://-h/",
            "http://h/?a",
            "http://h/a\u{7}",
            "http://h/\u{e9}",
            "HTTP://h/",
            "oci:r",
            "oci:r/",
            "oci:u:p@r/k",
            "https://h/'x'",
            "https://user:se/cret@h/k",
            "https://user:123/cret@h/k",
            "https://h:port/k",
            "https://h:/k",
            "https://h:99999/k",
            "https://[::1/k",
            "https://[::1]x/k",
            "oci:r/u:p@h/k",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_login_is_kept_and_never_shown() {
        let place = PrebuiltPlace::parse("https://user:pa@ss@h/kmods").unwrap();
        let PrebuiltPlace::Remote(remote) = &place else { panic!("{place:?}") };
        assert_eq!(remote.login.as_ref().unwrap().reveal(), "user:pa@ss");
        for shown in
            [place.to_string(), format!("{place:?}"), without_logins("file:/x https://user:pa@ss@h/ y")]
        {
            assert!(!shown.contains("pa@") && !shown.contains("user"), "{shown}");
        }
        assert_eq!(without_logins("ftp://u:p@h/k http://h/"), "ftp:…@h/k http://h/");
    }

    #[test]
    fn a_proxy_has_a_host() {
        for text in ["http://p:3128", "http://u:p@p/", "http://[::1]:1"] {
            assert!(is_proxy(text), "{text}");
        }
        for text in
            ["", "p:3128", "socks5://p", "https://p", "http://", "http://u@", "http://p/x", "http://p q"]
        {
            assert!(!is_proxy(text), "{text}");
        }
    }
}
