//! Where files are: a folder of a web server, or an image of a registry.

use crate::url::{Scheme, Url, is_authority};

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder; its address ends with `/`.
    Folder(Url),
    /// An image of a registry.
    Image(Image),
}

/// An image of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The registry.
    pub registry: Url,
    /// The repository there.
    pub repository: String,
    /// A tag, or the digest of a manifest.
    pub reference: String,
}

impl Place {
    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let image = |rest: &str, scheme| Image::parse(rest, scheme).map(Self::Image);
        if let Some(rest) = text.strip_prefix("oci:") {
            return image(rest, Scheme::Https);
        }
        if let Some(rest) = text.strip_prefix("oci+http:") {
            return image(rest, Scheme::Http);
        }
        let mut url = Url::parse(text).filter(|url| !url.target.contains('?'))?;
        if !url.target.ends_with('/') {
            url.target.push('/');
        }
        Some(Self::Folder(url))
    }
}

impl Image {
    fn parse(text: &str, scheme: Scheme) -> Option<Self> {
        let (authority, rest) = text.trim_start_matches("//").split_once('/')?;
        let (repository, reference) = match rest.split_once('@') {
            Some((repository, digest)) => (repository, digest),
            None => rest.split_once(':').unwrap_or((rest, "latest")),
        };
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let is_component = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.chars().all(is_name)
                && !part.contains("..")
        };
        let is_tag = |tag: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && tag.chars().all(is_plain)
        };
        let is_reference = reference.len() <= 128
            && if rest.contains('@') { is_digest(reference) } else { is_tag(reference) };
        let fits = is_authority(authority) && repository.split('/').all(is_component) && is_reference;
        fits.then(|| Self {
            registry: Url { scheme, authority: authority.to_ascii_lowercase(), target: "/".to_owned() },
            repository: repository.to_owned(),
            reference: reference.to_owned(),
        })
    }

    /// The address of one of its parts.
    #[must_use]
    pub fn part(&self, kind: &str, reference: &str) -> Url {
        Url { target: format!("/v2/{}/{kind}/{reference}", self.repository), ..self.registry.clone() }
    }
}

/// Whether a text is a digest that we can check.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.chars().all(is_hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let image = |text: &str| match Place::parse(text) {
            Some(Place::Image(image)) => {
                Some(format!("{} {} {}", image.registry.origin(), image.repository, image.reference))
            }
            _ => None,
        };
        assert_eq!(image("oci:r.example/a/kmods").as_deref(), Some("https://r.example a/kmods latest"));
        assert_eq!(image("oci+http:127.0.0.1:5000/k:v1_2").as_deref(), Some("http://127.0.0.1:5000 k v1_2"));
        let digest = format!("sha256:{}", "a1".repeat(32));
        assert_eq!(image(&format!("oci:r/k@{digest}")), Some(format!("https://r k {digest}")));
        for text in [
            "oci:r",
            "oci:/k",
            "oci:r/K",
            "oci:r/../k",
            "oci:r/a//b",
            "oci:r/k:",
            "oci:r/k@sha256:0",
            "oci:u:p@r/k",
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
        let folder = |text: &str| match Place::parse(text) {
            Some(Place::Folder(url)) => Some(url.to_string()),
            _ => None,
        };
        assert_eq!(folder("http://h/kmods").as_deref(), Some("http://h/kmods/"));
        assert_eq!(folder("https://h").as_deref(), Some("https://h/"));
        for text in ["http://h/x?y", "file:/srv", "ftp://h/", "kmods"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
