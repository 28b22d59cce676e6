//! An OCI layout: a folder with `oci-layout`, `index.json`, and blobs that are named by their digests. What
//! is read from one is compared with its digest.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::host::output::{self, NewFile, NewFolder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::text_of;
use crate::entries::Entries;
use crate::error::PackageError;
use crate::staged::folder_of;

/// What makes a folder a layout.
const MARK: &str = "oci-layout";
const INDEX: &str = "index.json";
const BLOBS: [&str; 2] = ["blobs", "sha256"];
/// No index or manifest reaches it.
const DOCUMENT_LIMIT: u64 = 4 << 20;
/// Larger than the layers of any modules.
const BLOB_LIMIT: u64 = 4 << 30;

/// Whether a folder is a layout.
#[must_use]
pub fn is_layout(folder: &Path) -> bool {
    fs::is_file(&folder.join(MARK))
}

/// A layout in the making.
#[derive(Debug, Default)]
pub struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
    /// Descriptors of what it holds.
    pub(super) manifests: Vec<Value>,
}

/// A layout on disk.
#[derive(Debug)]
pub struct Opened {
    folder: PathBuf,
    /// That folder; another user may put another one at its path.
    open: OwnedFd,
    /// Descriptors of what it holds, and whatever else its index says.
    pub(super) index: Value,
}

/// A layout that can't be read as one, or isn't what it says.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// A file operation failed.
    #[error(transparent)]
    Fs(#[from] fs::FsError),
    /// Something in it is not as the format has it.
    #[error("`{}` is no sound OCI layout: {why}", folder.display())]
    Malformed {
        /// The layout.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It has no signature that counts.
    #[error("the image {digest} in `{}` is not signed by a key that is trusted: {why}", folder.display())]
    Untrusted {
        /// The layout.
        folder: PathBuf,
        /// The image.
        digest: String,
        /// What there is instead.
        why: String,
    },
    /// The signature could not be made.
    #[error("cannot sign `{}`: {why}", folder.display())]
    Sign {
        /// The layout.
        folder: PathBuf,
        /// Why.
        why: String,
    },
}

impl Layout {
    /// Takes a blob; its descriptor.
    pub(super) fn put(&mut self, kind: &str, bytes: Vec<u8>) -> Value {
        let descriptor = descriptor(kind, &bytes);
        self.blobs.insert(hex_of(&bytes), bytes);
        descriptor
    }

    /// All of it as files.
    pub(super) fn entries(&self) -> Entries {
        let mut entries = Entries::default();
        entries.file(MARK, r#"{"imageLayoutVersion":"1.0.0"}"#, 0o644);
        let index = json!({
            "manifests": self.manifests,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "schemaVersion": 2,
        });
        entries.file(INDEX, index.to_string(), 0o644);
        for (digest, bytes) in &self.blobs {
            entries.file(Path::new("blobs/sha256").join(digest), bytes.clone(), 0o644);
        }
        entries
    }

    /// Writes it to a folder, in the place of what is there.
    pub(super) fn publish(&self, folder: &Path) -> Result<(), PackageError> {
        let write = |source| PackageError::Write { path: folder.to_owned(), source };
        let made = || -> Result<(), fs::FsError> {
            fs::create_dir_all(folder_of(folder))?;
            let staged = NewFolder::create(folder)?;
            fs::create_dir_all(&staged.path().join("blobs/sha256"))?;
            for (name, entry) in self.entries().iter() {
                if let crate::entries::Body::Bytes(bytes) = &entry.body {
                    fs::write_whole(&staged.path().join(name), bytes, 0o644)?;
                }
            }
            staged.replace()
        };
        made().map_err(write)
    }
}

impl Opened {
    /// Reads the index of a layout.
    ///
    /// # Errors
    /// [`OciError`].
    pub fn open(folder: &Path) -> Result<Self, OciError> {
        let bytes = fs::read_limited(&folder.join(INDEX), DOCUMENT_LIMIT)?;
        let open = output::open_folder(folder)?;
        let mut opened = Self { folder: folder.to_owned(), open, index: Value::Null };
        opened.index = opened.parsed(INDEX, &bytes)?;
        if opened.index.get("manifests").and_then(Value::as_array).is_none() {
            return Err(opened.malformed(format!("`{INDEX}` lists no manifests")));
        }
        Ok(opened)
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn malformed(&self, why: String) -> OciError {
        OciError::Malformed { folder: self.folder.clone(), why }
    }

    fn parsed(&self, name: &str, bytes: &[u8]) -> Result<Value, OciError> {
        serde_json::from_slice(bytes).map_err(|error| self.malformed(format!("`{name}` is no JSON: {error}")))
    }

    /// The descriptors of its index.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = &Value> {
        self.index.get("manifests").and_then(Value::as_array).into_iter().flatten()
    }

    /// The document that a descriptor names.
    pub(super) fn document(&self, descriptor: &Value) -> Result<Value, OciError> {
        self.parsed(text_of(descriptor, "digest"), &self.bytes(descriptor)?)
    }

    /// A small blob.
    pub(super) fn bytes(&self, descriptor: &Value) -> Result<Vec<u8>, OciError> {
        let mut bytes = Vec::new();
        self.each_piece(descriptor, DOCUMENT_LIMIT, &mut |piece| bytes.extend_from_slice(piece))?;
        Ok(bytes)
    }

    /// Compares a blob with its descriptor.
    pub(super) fn check(&self, descriptor: &Value) -> Result<(), OciError> {
        self.each_piece(descriptor, BLOB_LIMIT, &mut |_| {})
    }

    fn each_piece(
        &self,
        descriptor: &Value,
        limit: u64,
        then: &mut dyn FnMut(&[u8]),
    ) -> Result<(), OciError> {
        let digest = text_of(descriptor, "digest");
        let hex = digest
            .strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let hex = hex.ok_or_else(|| self.malformed(format!("`{digest}` is no digest")))?;
        let path = self.folder.join("blobs/sha256").join(hex);
        let (mut sum, mut length) = (Sha256::new(), 0_u64);
        fs::each_piece(&path, limit, &mut |piece| {
            sum.update(piece);
            length += piece.len() as u64;
            then(piece);
        })?;
        let is_size = descriptor.get("size").and_then(Value::as_u64) == Some(length);
        if !is_size || hex_digest(&sum.finalize()) != hex.to_ascii_lowercase() {
            return Err(self.malformed(format!("the blob {digest} has other contents")));
        }
        Ok(())
    }

    /// Puts a blob in place; its descriptor.
    pub(super) fn put(&self, kind: &str, bytes: &[u8]) -> Result<Value, OciError> {
        if !fs::is_file(&self.folder.join(BLOBS.join("/")).join(hex_of(bytes))) {
            self.write(&BLOBS, &hex_of(bytes), bytes)?;
        }
        Ok(descriptor(kind, bytes))
    }

    /// Writes the index as it is now; one rename.
    pub(super) fn publish(&self) -> Result<(), OciError> {
        self.write(&[], INDEX, self.index.to_string().as_bytes())
    }

    /// Writes a file of the layout, wherever links in it lead.
    fn write(&self, below: &[&str], name: &str, bytes: &[u8]) -> Result<(), OciError> {
        let new = NewFile::create_below(&self.open, &self.folder, below, name)?;
        new.writer()?.write_all(bytes).map_err(|source| {
            let path = self.folder.join(name);
            fs::FsError { verb: "write", path, source }
        })?;
        Ok(new.publish(0o644)?)
    }
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({ "digest": format!("sha256:{}", hex_of(bytes)), "mediaType": kind, "size": bytes.len() })
}

/// SHA-256, in hexadecimal.
pub(super) fn hex_of(bytes: &[u8]) -> String {
    hex_digest(&Sha256::digest(bytes))
}

fn hex_digest(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
