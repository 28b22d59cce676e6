//! Signatures of images, the way cosign makes them: an image of its own, tagged `sha256-HEX.sig`, each of
//! whose layers is a payload that names the digest of the manifest, with the signature over it in an
//! annotation. Knows no keys.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::layout::{OciError, Opened};
use super::{CONFIG, MANIFEST, text_of};

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const NAME: &str = "org.opencontainers.image.ref.name";
/// How cosign tells images and signatures apart in a layout.
const KIND: &str = "kind";
const OF_IMAGE: &str = "dev.cosignproject.cosign/image";
const OF_SIGNATURES: &str = "dev.cosignproject.cosign/sigs";

/// A signature over bytes, in base64; else a sentence about why there is none.
pub type Sign<'a> = &'a dyn Fn(&[u8]) -> Result<String, String>;
/// Whose signature (in base64) over bytes it is, if that one is trusted.
pub type Accepts<'a> = &'a dyn Fn(&[u8], &str) -> Option<String>;

/// An image whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The digest of its manifest.
    pub digest: String,
    /// Its tag, where it has one.
    pub tag: String,
    /// Whose signature it is.
    pub by: String,
}

/// What a layout holds.
struct Held {
    /// Descriptors of images.
    images: Vec<Value>,
    /// Layers of signatures.
    signatures: Vec<Layer>,
}

/// What a signature's layer is known by.
struct Layer {
    digest: String,
    size: Option<u64>,
    signature: String,
}

/// No layout names more images and signatures.
const MOST_MANIFESTS: usize = 1024;
/// No layout has more signatures.
const MOST_SIGNATURES: usize = 1024;
/// No signature reaches it, in base64.
const LONGEST_SIGNATURE: usize = 8 << 10;

impl Opened {
    fn held(&self) -> Result<Held, OciError> {
        let (mut images, mut signatures, mut are_images) = (Vec::new(), Vec::new(), BTreeMap::new());
        if self.descriptors().count() > MOST_MANIFESTS {
            return Err(self.malformed(format!("its index names more than {MOST_MANIFESTS} manifests")));
        }
        for descriptor in self.descriptors() {
            if !matches!(descriptor.get("annotations"), None | Some(Value::Null | Value::Object(_))) {
                return Err(self.malformed("annotations of its index are no object".to_owned()));
            }
            let digest = text_of(descriptor, "digest");
            let is_image = match are_images.get(digest) {
                Some(known) => *known,
                None => {
                    let manifest = self.document(descriptor)?;
                    let is_payload = |layer: &Value| text_of(layer, "mediaType") == PAYLOAD;
                    let is_image = layers(&manifest).count() == 0 || !layers(&manifest).all(is_payload);
                    if !is_image {
                        let most = MOST_SIGNATURES + 1 - signatures.len();
                        signatures.extend(layers(&manifest).map(Layer::of).take(most));
                    }
                    are_images.insert(digest, is_image);
                    is_image
                }
            };
            if signatures.len() > MOST_SIGNATURES {
                return Err(self.malformed(format!("it has more than {MOST_SIGNATURES} signatures")));
            }
            if is_image {
                images.push(descriptor.clone());
            }
        }
        if images.is_empty() {
            return Err(self.malformed("there is no image in it".to_owned()));
        }
        Ok(Held { images, signatures })
    }

    /// Signs each image; the index is replaced by one rename.
    ///
    /// # Errors
    /// [`OciError`]; then the index is as it was.
    pub fn sign(&mut self, sign: Sign<'_>) -> Result<(), OciError> {
        for image in self.held()?.images {
            let digest = text_of(&image, "digest").to_owned();
            let payload = payload(&digest);
            let signature = sign(payload.as_bytes())
                .map_err(|why| OciError::Sign { folder: self.folder().to_owned(), why })?;
            let mut layer = self.put(PAYLOAD, payload.as_bytes())?;
            layer["annotations"] = json!({ SIGNATURE: signature });
            let name = format!("{}.sig", digest.replace(':', "-"));
            let is_own = |descriptor: &Value| text_of(&descriptor["annotations"], NAME) == name;
            let known = self.descriptors().position(is_own);
            let mut all: Vec<Value> = match known.and_then(|at| self.descriptors().nth(at)) {
                Some(descriptor) => layers(&self.document(descriptor)?).cloned().collect(),
                None => Vec::new(),
            };
            if !all.contains(&layer) {
                all.push(layer);
            }
            let mut descriptor = self.put(MANIFEST, self.signatures(&all)?.to_string().as_bytes())?;
            descriptor["annotations"] = json!({ KIND: OF_SIGNATURES, NAME: name });
            let Some(manifests) = self.index["manifests"].as_array_mut() else { continue };
            for known in manifests.iter_mut().filter(|known| text_of(known, "digest") == digest) {
                known["annotations"][KIND] = json!(OF_IMAGE);
            }
            match known {
                Some(at) => manifests[at] = descriptor,
                None => manifests.push(descriptor),
            }
        }
        self.publish()
    }

    /// The manifest of an image of signatures.
    fn signatures(&self, layers: &[Value]) -> Result<Value, OciError> {
        const NEVER: &str = "0001-01-01T00:00:00Z";
        let digests: Vec<&str> = layers.iter().map(|layer| text_of(layer, "digest")).collect();
        let history: Vec<Value> = layers.iter().map(|_| json!({ "created": NEVER })).collect();
        let config = json!({
            "architecture": "",
            "config": {},
            "created": NEVER,
            "history": history,
            "os": "",
            "rootfs": { "diff_ids": digests, "type": "layers" },
        });
        Ok(json!({
            "config": self.put(CONFIG, config.to_string().as_bytes())?,
            "layers": layers,
            "mediaType": MANIFEST,
            "schemaVersion": 2,
        }))
    }

    /// Compares all that it holds with its digests, and each image's signatures with keys.
    ///
    /// # Errors
    /// [`OciError`] for the first that doesn't hold.
    pub fn verify(&self, accepts: Accepts<'_>) -> Result<Vec<Verified>, OciError> {
        let held = self.held()?;
        let (mut verified, mut checked) = (Vec::new(), BTreeSet::new());
        for image in &held.images {
            let digest = text_of(image, "digest").to_owned();
            // Nothing is read of what nobody of trust has signed.
            let by = self.signer(&digest, &held, accepts)?;
            let manifest = self.document(image)?;
            for blob in manifest.get("config").into_iter().chain(layers(&manifest)) {
                if checked.insert((text_of(blob, "digest").to_owned(), blob["size"].as_u64())) {
                    self.check(blob)?;
                }
            }
            let tag = text_of(&image["annotations"], NAME).to_owned();
            verified.push(Verified { digest, tag, by });
        }
        Ok(verified)
    }

    /// Whose signature of an image counts.
    fn signer(&self, digest: &str, held: &Held, accepts: Accepts<'_>) -> Result<String, OciError> {
        let mut about_it = 0;
        for layer in &held.signatures {
            let bytes = self.bytes(&json!({ "digest": layer.digest, "size": layer.size }))?;
            let Ok(payload) = serde_json::from_slice::<Value>(&bytes) else { continue };
            if text_of(&payload["critical"]["image"], "docker-manifest-digest") != digest {
                continue;
            }
            about_it += 1;
            if let Some(by) = accepts(&bytes, &layer.signature) {
                return Ok(by);
            }
        }
        let why = match about_it {
            0 => "it has no signature".to_owned(),
            count => format!("none of its {count} signatures is by such a key"),
        };
        Err(OciError::Untrusted { folder: self.folder().to_owned(), digest: digest.to_owned(), why })
    }
}

impl Layer {
    fn of(layer: &Value) -> Self {
        // No longer text is kept than one that can be valid.
        let kept = |text: &str| text.chars().take(LONGEST_SIGNATURE).collect();
        Self {
            digest: kept(text_of(layer, "digest")),
            size: layer.get("size").and_then(Value::as_u64),
            signature: kept(text_of(&layer["annotations"], SIGNATURE)),
        }
    }
}

fn layers(manifest: &Value) -> impl Iterator<Item = &Value> {
    manifest.get("layers").and_then(Value::as_array).into_iter().flatten()
}

/// What is signed of an image, as cosign writes it.
fn payload(digest: &str) -> String {
    json!({
        "critical": {
            "identity": { "docker-reference": "" },
            "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature",
        },
        "optional": Value::Null,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::*;
    use dkms_base::host::fs;
    use std::path::Path;

    fn layout(folder: &Path) {
        let mut layout = Layout::default();
        let manifest = json!({ "config": layout.put(CONFIG, b"{}".to_vec()), "layers": [layout.put("x", b"layer".to_vec())] });
        let mut descriptor = layout.put(MANIFEST, manifest.to_string().into_bytes());
        descriptor["annotations"] = json!({ NAME: "1.0" });
        layout.manifests.push(descriptor);
        layout.publish(folder).unwrap();
    }

    fn sign(bytes: &[u8]) -> Result<String, String> {
        Ok(format!("{}", bytes.len()))
    }

    fn accepts(bytes: &[u8], signature: &str) -> Option<String> {
        (sign(bytes).as_deref() == Ok(signature)).then(|| "me".to_owned())
    }

    #[test]
    fn what_was_signed_is_verified_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("image");
        layout(&folder);
        let verify = || Opened::open(&folder).and_then(|opened| opened.verify(&accepts));
        assert!(matches!(verify(), Err(OciError::Untrusted { .. })));
        for _ in 0..2 {
            Opened::open(&folder).unwrap().sign(&sign).unwrap();
            let verified = verify().unwrap();
            assert_eq!((verified.len(), verified[0].tag.as_str(), verified[0].by.as_str()), (1, "1.0", "me"));
        }
        // By another: both stand beside each other.
        Opened::open(&folder).unwrap().sign(&|_| Ok("other".to_owned())).unwrap();
        assert_eq!(verify().unwrap()[0].by, "me");
        let layer = folder.join("blobs/sha256").join(super::super::hex_of(b"layer"));
        fs::write_whole(&layer, b"Layer", 0o644).unwrap();
        assert!(verify().unwrap_err().to_string().contains("other contents"));
    }

    #[test]
    fn no_number_of_signatures_takes_memory_or_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("image");
        layout(&folder);
        let mut opened = Opened::open(&folder).unwrap();
        opened.sign(&sign).unwrap();
        let verify = || Opened::open(&folder).and_then(|opened| opened.verify(&accepts));
        // One image by two tags is two; a manifest of signatures that is named twice is one.
        let manifests = opened.index["manifests"].as_array().unwrap().clone();
        let mut other = manifests[0].clone();
        other["annotations"][NAME] = json!("other");
        opened.index["manifests"] = json!([manifests[0], other, manifests[1], manifests[1]]);
        opened.publish().unwrap();
        let tags: Vec<_> = verify().unwrap().into_iter().map(|verified| verified.tag).collect();
        assert_eq!(tags, ["1.0", "other"]);
        opened.index["manifests"] = vec![manifests[0].clone(); MOST_MANIFESTS + 1].into();
        opened.publish().unwrap();
        assert!(verify().unwrap_err().to_string().contains("more than 1024 manifests"));
        let layer = layers(&opened.document(&manifests[1]).unwrap()).next().unwrap().clone();
        let many = opened.signatures(&vec![layer; MOST_SIGNATURES + 1]).unwrap();
        let many = opened.put(MANIFEST, many.to_string().as_bytes()).unwrap();
        opened.index["manifests"] = json!([manifests[0], many]);
        opened.publish().unwrap();
        assert!(verify().unwrap_err().to_string().contains("more than 1024 signatures"));
    }

    #[test]
    fn what_nobody_has_signed_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("image");
        layout(&folder);
        let layer = folder.join("blobs/sha256").join(super::super::hex_of(b"layer"));
        fs::write_whole(&layer, b"Layer", 0o644).unwrap();
        let found = Opened::open(&folder).and_then(|opened| opened.verify(&accepts));
        assert!(matches!(found, Err(OciError::Untrusted { .. })), "{found:?}");
    }

    #[test]
    fn an_index_with_annotations_that_are_none_is_malformed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("image");
        layout(&folder);
        let index = folder.join("index.json");
        let mut text: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
        text["manifests"][0]["annotations"] = json!("x");
        fs::write_whole(&index, text.to_string().as_bytes(), 0o644).unwrap();
        let found = Opened::open(&folder).and_then(|mut opened| opened.sign(&sign));
        assert!(matches!(found, Err(OciError::Malformed { .. })), "{found:?}");
    }

    #[test]
    fn a_signature_of_another_image_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("image");
        layout(&folder);
        let mut opened = Opened::open(&folder).unwrap();
        opened.sign(&sign).unwrap();
        let manifest = json!({ "config": opened.put(CONFIG, b"{}").unwrap(), "layers": [] });
        let descriptor = opened.put(MANIFEST, manifest.to_string().as_bytes()).unwrap();
        opened.index["manifests"][0] = descriptor;
        opened.publish().unwrap();
        let error = Opened::open(&folder).unwrap().verify(&accepts).unwrap_err();
        assert!(error.to_string().contains("it has no signature"), "{error}");
    }
}
