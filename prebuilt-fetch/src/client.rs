//! Requests: redirects, proxies, TLS with the certificates that this system trusts. No cookies, and a login
//! or token goes to the server that it is for and to no other.

use std::cell::OnceCell;
use std::io::Read;
use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use rustls::crypto::ring;
use ureq::http::{Request, Response, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};
use ureq::{Agent, Body, BodyReader, Error};

use crate::authorities;
use crate::fault::Fault;
use crate::forward::Forward;
use crate::proxy::{Proxies, Proxy};
use crate::url::{Scheme, Url};
use crate::watch::Progress;

/// So many redirects are followed.
const MOST_REDIRECTS: usize = 5;
/// Who asks.
const AGENT: &str = concat!("dkms-fetch/", env!("CARGO_PKG_VERSION"));

/// Asks servers.
#[derive(Debug)]
pub struct Client {
    proxies: Proxies,
    progress: Progress,
    tls: OnceCell<TlsConfig>,
}

/// What a request has besides an address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// The kinds of answer that are understood.
    pub accept: Option<&'a str>,
    /// The value of `Authorization`.
    pub authorization: Option<&'a str>,
}

/// An answer.
pub struct Answer {
    /// Where it came from in the end.
    pub url: Url,
    /// Its status.
    pub status: u16,
    /// Its `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// The digest that a registry states of it.
    pub digest: Option<String>,
    /// How long it says that it is.
    pub length: Option<u64>,
    body: BodyReader<'static>,
    progress: Progress,
}

impl Client {
    /// One with these proxies.
    #[must_use]
    pub fn new(proxies: Proxies, progress: &Progress) -> Self {
        Self { proxies, progress: progress.clone(), tls: OnceCell::new() }
    }

    /// Asks for what is at an address.
    ///
    /// # Errors
    /// [`Fault::Place`] if there is no answer. A status other than 200 is none.
    pub fn get(&self, url: &Url, terms: Terms<'_>) -> Result<Answer, Fault> {
        let mut at = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let own =
                Terms { authorization: terms.authorization.filter(|_| at.origin() == url.origin()), ..terms };
            let answer = self.ask(&at, own)?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(self.read(answer, at));
            }
            at = redirect(&at, text(&answer, &header::LOCATION).as_deref()).map_err(Fault::Place)?;
        }
        Err(Fault::Place(format!("`{url}` redirects more than {MOST_REDIRECTS} times")))
    }

    fn read(&self, answer: Response<Body>, url: Url) -> Answer {
        Answer {
            url,
            status: answer.status().as_u16(),
            challenge: text(&answer, &header::WWW_AUTHENTICATE),
            digest: text(&answer, &header::HeaderName::from_static("docker-content-digest")),
            length: answer.body().content_length(),
            body: answer.into_body().into_reader(),
            progress: self.progress.clone(),
        }
    }

    fn ask(&self, url: &Url, terms: Terms<'_>) -> Result<Response<Body>, Fault> {
        let proxy = self.proxies.for_address(url).map_err(Fault::Place)?;
        let forwarded = proxy.as_ref().filter(|_| url.scheme == Scheme::Http);
        let server = forwarded.map_or(&url.authority, |proxy| &proxy.url.authority);
        let mut request = Request::get(format!("{}://{server}{}", url.scheme.name(), url.target));
        if let Some(proxy) = forwarded {
            request = request.header(header::HOST, &url.authority);
            if let Some(authorization) = &proxy.authorization {
                request = request.header(header::PROXY_AUTHORIZATION, authorization);
            }
        }
        if let Some(accept) = terms.accept {
            request = request.header(header::ACCEPT, accept);
        }
        if let Some(authorization) = terms.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(()).map_err(|_| Fault::Place(format!("`{url}` cannot be asked for")))?;
        let agent = self.agent(url, proxy.as_ref())?;
        self.progress.asks();
        let answer =
            agent.run(request).map_err(|error| Fault::Place(explained(&error, url, proxy.as_ref())))?;
        self.progress.is_answered();
        Ok(answer)
    }

    fn agent(&self, url: &Url, proxy: Option<&Proxy>) -> Result<Agent, Fault> {
        let config = Agent::config_builder().max_redirects(0).http_status_as_error(false).user_agent(AGENT);
        let config = config.accept("*/*");
        if url.scheme == Scheme::Https {
            let tunnel = proxy.map(|proxy| ureq::Proxy::new(&proxy.whole)).transpose();
            let tunnel = tunnel.map_err(|_| Fault::Place("the proxy's address is invalid".to_owned()))?;
            return Ok(config.tls_config(self.tls().clone()).https_only(true).proxy(tunnel).build().into());
        }
        let config = config.proxy(None).build();
        Ok(match proxy {
            None => config.into(),
            Some(_) => {
                let forward = Forward { origin: url.origin() };
                let connector = ().chain(TcpConnector::default()).chain(forward);
                Agent::with_parts(config, connector, DefaultResolver::default())
            }
        })
    }

    fn tls(&self) -> &TlsConfig {
        self.tls.get_or_init(|| {
            TlsConfig::builder()
                .root_certs(RootCerts::from(authorities::of_system()))
                .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
                .build()
        })
    }
}

/// The value of `Authorization` for a login.
#[must_use]
pub fn basic(login: &str) -> String {
    format!("Basic {}", Base64::encode_string(login.as_bytes()))
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("url", &self.url).field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// The whole body.
    ///
    /// # Errors
    /// [`Fault::Place`] if it is longer than `most`, or ends too early.
    pub fn whole(mut self, most: usize) -> Result<Vec<u8>, Fault> {
        let mut all = Vec::new();
        self.pieces(most as u64, |piece| {
            all.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(all)
    }

    /// The body, piece by piece.
    ///
    /// # Errors
    /// As [`whole`](Self::whole), and those of `each`.
    pub fn pieces(
        &mut self,
        most: u64,
        mut each: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let too_long = |url: &Url| Fault::Place(format!("`{url}` is longer than {most} bytes"));
        if self.length.is_some_and(|length| length > most) {
            return Err(too_long(&self.url));
        }
        let (mut buffer, mut came) = (vec![0; 64 << 10], 0_u64);
        loop {
            let length = self.body.read(&mut buffer).map_err(|error| {
                Fault::Place(format!(
                    "`{}` ended after {came} bytes: {}",
                    self.url,
                    plain(&error.to_string())
                ))
            })?;
            if length == 0 {
                return Ok(());
            }
            came += length as u64;
            if came > most {
                return Err(too_long(&self.url));
            }
            self.progress.add(length);
            each(&buffer[..length])?;
        }
    }
}

fn text(answer: &Response<Body>, name: &header::HeaderName) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_owned())
}

/// Where a redirect leads, if we follow it.
fn redirect(from: &Url, location: Option<&str>) -> Result<Url, String> {
    let location = location.ok_or_else(|| format!("`{from}` redirects to nowhere"))?;
    let to =
        from.join(location).ok_or_else(|| format!("`{from}` redirects to an address that is not HTTP"))?;
    if to.scheme < from.scheme {
        return Err(format!("`{from}` redirects to `{to}`, without TLS"));
    }
    Ok(to)
}

fn explained(error: &Error, url: &Url, proxy: Option<&Proxy>) -> String {
    let (host, what) = match proxy {
        Some(proxy) => (&proxy.url.authority, "the proxy"),
        None => (&url.authority, "host"),
    };
    match error {
        Error::HostNotFound => format!("{what} `{host}` is not found"),
        // So TLS reports its errors.
        Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            format!("TLS with `{}` failed: {error}", url.authority)
        }
        Error::Io(error) => format!("no connection to {what} `{host}`: {}", plain(&error.to_string())),
        Error::ConnectProxyFailed(why) => format!("{what} `{host}` refuses: {why}"),
        Error::Rustls(error) => format!("TLS with `{}` failed: {}", url.authority, plain(&error.to_string())),
        // A message of the library may repeat an address with a password.
        Error::BadUri(_) | Error::InvalidProxyUrl => format!("`{url}` cannot be asked for"),
        other => format!("`{url}` gives no answer: {}", plain(&other.to_string())),
    }
}

/// Without the number, which means nothing to most.
fn plain(error: &str) -> &str {
    error.split(" (os error").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_redirects_to_http_are_followed_and_none_out_of_tls() {
        let to = |from: &str, location: &str| {
            redirect(&Url::parse(from).unwrap(), Some(location)).map(|url| url.to_string())
        };
        assert_eq!(to("http://h/a", "https://o/b").as_deref(), Ok("https://o/b"));
        assert_eq!(to("https://h/a", "/b").as_deref(), Ok("https://h/b"));
        assert_eq!(
            to("https://h/a", "http://h/a").unwrap_err(),
            "`https://h/a` redirects to `http://h/a`, without TLS"
        );
        for location in ["file:///etc/passwd", "ftp://h/", "http://", "gopher://h/x"] {
            assert!(to("http://h/a", location).unwrap_err().contains("not HTTP"), "{location}");
        }
        assert!(redirect(&Url::parse("http://h/").unwrap(), None).is_err());
    }
}
