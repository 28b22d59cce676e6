//! `MANIFEST.json`: a SHA-256 per file of a tarball, and what each build depended on. Ours: the original's
//! tarballs have none, and it overlooks ours.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::inventory::{Inventory, Item};

/// Its place in the archive.
pub(crate) const MANIFEST: &str = "dkms_main_tree/MANIFEST.json";
/// Where the signature over it is, in base64.
pub(crate) const SIGNATURE: &str = "dkms_main_tree/MANIFEST.sig";
/// The largest that is read.
pub(super) const LARGEST: u64 = 16 << 20;
/// The format that we write, and the only one that we read.
const FORMAT: u32 = 1;

/// The contents of `MANIFEST.json`. Names that are no UTF-8 stand in it with U+FFFD for what is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The format's number.
    pub format: u32,
    /// The module's name.
    pub name: String,
    /// The module's version.
    pub version: String,
    /// What was built for which kernel.
    pub builds: Vec<BuildRecord>,
    /// SHA-256 of each file but this one, in hexadecimal, by name.
    pub files: BTreeMap<String, String>,
    /// Where each symbolic link points, by name.
    pub links: BTreeMap<String, String>,
    /// The built modules, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modules: BTreeMap<String, ModuleRecord>,
    /// The certificate in whose name they are signed, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The digest of the source that they were built from, if the archive doesn't hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who signed this manifest, and when: of two, the later one is the newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedBy>,
}

/// What the signer of a manifest says of the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBy {
    /// The id of the key: SHA-256 of its public half in DER.
    pub key: String,
    /// When, in seconds since 1970.
    pub when: u64,
}

/// A built module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModuleRecord {
    /// SHA-256 of what it is unpacked and without its signature.
    pub unsigned: String,
    /// SHA-256 of the file, where it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<String>,
}

/// What one build depended on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuildRecord {
    /// The kernel's release.
    pub kernel: String,
    /// The architecture.
    pub arch: String,
    /// Version by name of each module that it was built against.
    pub depends: BTreeMap<String, String>,
    /// The key of all that the build depended on, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
    /// The digest that the kernel signs modules with (`CONFIG_MODULE_SIG_HASH`), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// What is seen of a module file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked {
    pub(super) unsigned: [u8; 32],
    pub(super) is_signed: bool,
}

/// An entry that differs, and how.
pub(super) type Mismatch = (String, String);

impl Manifest {
    /// Of all that an inventory holds.
    pub(super) fn of(inventory: &Inventory, name: String, version: String, builds: Vec<BuildRecord>) -> Self {
        let mut manifest = Self {
            format: FORMAT,
            name,
            version,
            builds,
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            modules: BTreeMap::new(),
            certificate: None,
            source: None,
            signed: None,
        };
        let own = [Path::new(MANIFEST), Path::new(SIGNATURE)];
        for (path, item) in inventory.items().filter(|(path, _)| !own.contains(path)) {
            match item {
                Item::File { digest, .. } => {
                    manifest.files.insert(text(path), hex(digest));
                }
                Item::Link(target) => {
                    manifest.links.insert(text(path), text(target));
                }
                Item::Folder { .. } | Item::Fifo => {}
            }
        }
        manifest
    }

    /// With what the built modules are.
    pub(super) fn with_modules(mut self, modules: BTreeMap<String, Looked>) -> Self {
        for (name, looked) in modules {
            let signed = if looked.is_signed { self.files.get(&name).cloned() } else { None };
            self.modules.insert(name, ModuleRecord { unsigned: hex(&looked.unsigned), signed });
        }
        self
    }

    /// As it stands in the archive.
    pub(super) fn to_text(&self) -> String {
        // Texts, and maps and lists of texts, always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads one and holds it against what the archive has.
    pub(super) fn check(bytes: &[u8], inventory: &Inventory) -> Result<(), Mismatch> {
        let here = |reason: String| (MANIFEST.to_owned(), reason);
        let stated: Self =
            serde_json::from_slice(bytes).map_err(|error| here(format!("is no valid manifest: {error}")))?;
        if stated.format != FORMAT {
            return Err(here(format!("has the format {}, and only {FORMAT} is known", stated.format)));
        }
        let actual = Self::of(inventory, String::new(), String::new(), Vec::new());
        compare(&stated.files, &actual.files, "has other contents than stated")?;
        compare(&stated.links, &actual.links, "points elsewhere than stated")
    }
}

fn compare(
    stated: &BTreeMap<String, String>,
    actual: &BTreeMap<String, String>,
    differs: &str,
) -> Result<(), Mismatch> {
    for (path, value) in actual {
        match stated.get(path) {
            None => return Err((path.clone(), "isn't listed".to_owned())),
            Some(other) if !other.eq_ignore_ascii_case(value) => {
                return Err((path.clone(), differs.to_owned()));
            }
            Some(_) => {}
        }
    }
    match stated.keys().find(|path| !actual.contains_key(*path)) {
        Some(path) => Err((path.clone(), "is missing".to_owned())),
        None => Ok(()),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(super) fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
