//! Which proxy an address is reached through: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in
//! small letters or capitals, as curl and wget read them. Pure.

use base64ct::{Base64, Encoding as _};

use crate::url::{Scheme, Url, decoded};

/// The proxies of this system.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    none: String,
}

/// A proxy; its address may have a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is.
    pub url: Url,
    /// The address as it was given.
    pub whole: String,
    /// The value of `Proxy-Authorization`.
    pub authorization: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Proxy").field(&self.url).finish()
    }
}

impl Proxies {
    /// Those that variables name.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
        let all = get("all_proxy");
        Self {
            http: get("http_proxy").or_else(|| all.clone()),
            https: get("https_proxy").or(all),
            none: get("no_proxy").unwrap_or_default(),
        }
    }

    /// The one for an address; `None`: it is reached without.
    ///
    /// # Errors
    /// Why the one that is named cannot be used.
    pub fn for_address(&self, url: &Url) -> Result<Option<Proxy>, String> {
        let named = if url.scheme == Scheme::Http { &self.http } else { &self.https };
        match named {
            Some(text) if !self.leaves_out(url) => Proxy::parse(text).map(Some),
            _ => Ok(None),
        }
    }

    fn leaves_out(&self, url: &Url) -> bool {
        let (host, port) = url.host_and_port();
        let entries = self.none.split([',', ' ', '\t']).map(str::trim).filter(|entry| !entry.is_empty());
        entries.into_iter().any(|entry| {
            let entry = entry.to_ascii_lowercase();
            let (name, at) = match entry.rsplit_once(':') {
                Some((name, at)) if !name.contains(':') || name.ends_with(']') => (name, Some(at)),
                _ => (entry.as_str(), None),
            };
            let name = name.trim_start_matches('*').trim_matches(['[', ']']);
            let domain = name.trim_start_matches('.');
            let is_below = || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
            let is_it = entry == "*" || !domain.is_empty() && (host == domain || is_below());
            is_it && at.is_none_or(|at| at == port)
        })
    }
}

impl Proxy {
    /// Reads one: `[http://][USER:PASSWORD@]HOST[:PORT]`.
    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err("only proxies with http:// are supported".to_owned());
        }
        let rest = rest.split('/').next().unwrap_or_default();
        let (login, host) = rest.rsplit_once('@').map_or((None, rest), |(login, host)| (Some(login), host));
        let url = Url::parse(&format!("http://{host}")).ok_or("the proxy's address is invalid")?;
        let login = login.map(|login| decoded(login).ok_or("the proxy's address is invalid")).transpose()?;
        let authorization = login.map(|login| format!("Basic {}", Base64::encode_string(login.as_bytes())));
        Ok(Self { url, whole: format!("http://{rest}"), authorization })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(variables: &[(&str, &str)], url: &str) -> String {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        match Proxies::of(variable).for_address(&Url::parse(url).unwrap()) {
            Ok(None) => "none".to_owned(),
            Ok(Some(proxy)) => proxy.url.authority,
            Err(why) => why,
        }
    }

    #[test]
    fn each_scheme_has_its_own() {
        let two = [("http_proxy", "http://p:3128/"), ("HTTPS_PROXY", "q:3129")];
        assert_eq!(asked(&two, "http://h/"), "p:3128");
        assert_eq!(asked(&two, "https://h/"), "q:3129");
        assert_eq!(asked(&[("all_proxy", "http://a:1")], "https://h/"), "a:1");
        assert_eq!(asked(&two[..1], "https://h/"), "none");
        assert!(asked(&[("http_proxy", "socks5://u:secret@p")], "http://h/").contains("only proxies"));
        assert!(!asked(&[("http_proxy", "http://u:secret@p q")], "http://h/").contains("secret"));
    }

    #[test]
    fn hosts_without_one_are_named_as_everywhere() {
        let through =
            |none: &str, url: &str| asked(&[("http_proxy", "p"), ("no_proxy", none)], url) != "none";
        for none in ["*", "h.example", "example", ".example", "*.example", "x, h.example", "h.example:80"] {
            assert!(!through(none, "http://h.example/"), "{none}");
        }
        for none in ["", ",", "h", "ample", "h.example:81", "g.example", "h.example.com"] {
            assert!(through(none, "http://h.example/"), "{none}");
        }
        assert!(!through("::1", "http://[::1]/"));
        assert!(!through("[::1]:80", "http://[::1]/"));
        assert!(!through("127.0.0.1", "http://127.0.0.1:8000/"));
    }

    #[test]
    fn a_login_is_sent_and_not_shown() {
        let proxy = Proxy::parse("http://us%65r:p%40ss@p:1").unwrap();
        assert_eq!(proxy.authorization.as_deref(), Some("Basic dXNlcjpwQHNz"));
        assert!(!format!("{proxy:?}").contains("ss"), "{proxy:?}");
    }
}
