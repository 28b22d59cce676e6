//! What a registry says: manifests, and where tokens come from. Pure; reads any bytes.
//!
//! As the OCI distribution specification has it. The files are those of `oras push`: layers with the
//! annotation `org.opencontainers.image.title`.

use serde::Deserialize;

use crate::name::is_of_bundle;
use crate::place::is_digest;
use crate::url::{Scheme, Url, encoded};

/// The manifests that we read.
pub const MANIFESTS: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// Its size.
    pub size: u64,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// The bundles of a manifest.
///
/// # Errors
/// Why it is none that we can use.
pub fn layers(manifest: &[u8]) -> Result<Vec<Layer>, String> {
    let manifest: Manifest =
        serde_json::from_slice(manifest).map_err(|error| format!("its manifest is invalid: {error}"))?;
    if manifest.layers.is_empty() && !manifest.manifests.is_empty() {
        return Err("it is an index of several images, and only one image can be read".to_owned());
    }
    let layer = |found: Descriptor| {
        let name = found.annotations.get("org.opencontainers.image.title")?;
        let counts = is_of_bundle(name) && is_digest(&found.digest);
        counts.then(|| Layer { name: name.clone(), digest: found.digest, size: found.size })
    };
    Ok(manifest.layers.into_iter().filter_map(layer).collect())
}

/// The address that gives a token, from a `WWW-Authenticate` of a registry. A registry with TLS does not send
/// us to one without.
#[must_use]
pub fn token_address(challenge: &str, registry: &Url, repository: &str) -> Option<Url> {
    let (scheme, rest) = challenge.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    let mut rest = rest;
    while let Some((name, behind)) = rest.split_once("=\"") {
        let (value, behind) = behind.split_once('"')?;
        match name.trim_matches([' ', ',']) {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            "scope" => scope = Some(value),
            _ => {}
        }
        rest = behind;
    }
    let mut url =
        registry.join(realm?).filter(|url| url.scheme == Scheme::Https || registry.scheme == Scheme::Http)?;
    let pull = format!("repository:{repository}:pull");
    let scope = scope.unwrap_or(&pull);
    url.target.push(if url.target.contains('?') { '&' } else { '?' });
    let service = service.map(|service| format!("service={}&", encoded(service))).unwrap_or_default();
    url.target.push_str(&format!("{service}scope={}", encoded(scope)));
    Some(url)
}

/// The token in the answer of such an address.
#[must_use]
pub fn token(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let is_token = |token: &String| !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
    answer.token.or(answer.access_token).filter(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_layers_with_a_title() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let layer = |title: &str, digest: &str| {
            format!(
                r#"{{"mediaType":"x","digest":"{digest}","size":7,"annotations":{{"org.opencontainers.image.title":"{title}"}}}}"#
            )
        };
        let manifest = format!(
            r#"{{"schemaVersion":2,"layers":[{},{},{},{{"digest":"{digest}","size":1}}]}}"#,
            layer("a-1.dkms.tar", &digest),
            layer("../b-1.dkms.tar", &digest),
            layer("c-1.dkms.tar", "sha512:00"),
        );
        let found = layers(manifest.as_bytes()).unwrap();
        assert_eq!(found, [Layer { name: "a-1.dkms.tar".to_owned(), digest, size: 7 }]);
        assert!(layers(b"<html>").unwrap_err().starts_with("its manifest is invalid"));
        assert!(layers(br#"{"manifests":[{}]}"#).unwrap_err().contains("index"));
        assert_eq!(layers(b"{}").unwrap(), []);
        assert!(layers("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn a_token_comes_from_where_the_registry_says() {
        let registry = Url::parse("https://r/").unwrap();
        let of = |challenge: &str| {
            token_address(challenge, &registry, "a/k").map(|url| format!("{}{}", url.origin(), url.target))
        };
        assert_eq!(
            of(r#"Bearer realm="https://auth.r/token",service="r",scope="repository:a/k:pull""#).as_deref(),
            Some("https://auth.r/token?service=r&scope=repository%3Aa%2Fk%3Apull")
        );
        assert_eq!(
            of(r#"bearer realm="/token""#).as_deref(),
            Some("https://r/token?scope=repository%3Aa%2Fk%3Apull")
        );
        for challenge in [
            "",
            "Basic realm=\"x\"",
            r#"Bearer realm="http://r/token""#,
            r#"Bearer realm="file:///etc""#,
            "Bearer service=\"r\"",
        ] {
            assert_eq!(of(challenge), None, "{challenge}");
        }
        assert_eq!(token(br#"{"token":"abc"}"#).as_deref(), Some("abc"));
        assert_eq!(token(br#"{"access_token":"abc","expires_in":3}"#).as_deref(), Some("abc"));
        assert_eq!(token(b"{\"token\":\"a\\r\\nX: y\"}"), None);
        assert_eq!(token(b"[]"), None);
    }
}
