//! A DKMS tarball that was unpacked, and whose modules have changed (they were signed), becomes a tarball
//! again at its place: the same entries, and a manifest over what they are now, with a signature.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::contents::MAIN_TREE;
use super::error::ArchiveError;
use super::inventory::Inventory;
use super::manifest::{self, BuildRecord, MANIFEST, Manifest, SIGNATURE, SignedBy};
use super::pack::{Looks, Packing};
use super::read::{Kind, Staged};
use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};

/// A signature over bytes, in base64; else a sentence about why there is none.
pub type Sign<'a> = &'a dyn Fn(&[u8]) -> Result<String, String>;

impl Staged {
    /// What is known of the build for a kernel.
    #[must_use]
    pub fn about(&self, target: &Target) -> About {
        let of = |record: &BuildRecord| {
            record.kernel == target.kernel.as_str() && record.arch == target.arch.as_str()
        };
        let record = self.manifest().and_then(|manifest| manifest.builds.into_iter().find(of));
        record.map_or_else(About::default, |record| About { inputs: record.inputs, hash: record.hash })
    }

    fn manifest(&self) -> Option<Manifest> {
        let bytes = fs::read_limited(&self.root.join(MANIFEST), manifest::LARGEST).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Writes it over the archive that it came from; one rename. `certificate`: in whose name the modules
    /// are signed now, in PEM. `signed`: what the manifest says of its own signature; the same key over the
    /// same content keeps the earlier time, and gives the same bytes.
    ///
    /// # Errors
    /// [`ArchiveError`]; then the archive is as it was.
    pub fn repack(
        &self,
        id: &ModuleId,
        certificate: Option<String>,
        signed: SignedBy,
        sign: Sign<'_>,
    ) -> Result<(), ArchiveError> {
        if self.kind == Kind::Plain {
            let (archive, entry) = (self.archive.clone(), MAIN_TREE.to_owned());
            return Err(ArchiveError::Malformed { archive, entry, reason: "is missing" });
        }
        let known = self.manifest();
        let before = known.clone();
        let (certificate, builds, source) = match known {
            Some(known) => (certificate.or(known.certificate), known.builds, known.source),
            None => (certificate, self.builds.iter().map(|build| record(&build.target)).collect(), None),
        };
        let date = self.date()?;
        for build in &self.builds {
            let modules = build.dir.join("module");
            for entry in fs::list(&modules)?.iter().filter(|entry| entry.kind.is_file()) {
                fs::set_mtime(&modules.join(&entry.name), (i64::try_from(date).unwrap_or(0), 0))?;
            }
        }
        let mut packing = Packing::new();
        for top in fs::list(&self.root)? {
            let (name, from) = (Path::new(&top.name), self.root.join(&top.name));
            if name != Path::new(MAIN_TREE) {
                packing.tree(&from, name, Looks::Kept)?;
                continue;
            }
            packing.folder(name)?;
            for entry in fs::list(&from)? {
                let name = name.join(&entry.name);
                if ![MANIFEST, SIGNATURE].contains(&name.to_string_lossy().as_ref()) {
                    packing.tree(&from.join(&entry.name), &name, Looks::Kept)?;
                }
            }
        }
        let modules = packing.modules()?;
        packing.write(&self.archive, date, |inventory: &Inventory| {
            let (name, version) = (id.name.to_string(), id.version.to_string());
            let mut manifest = Manifest::of(inventory, name, version, builds).with_modules(modules);
            (manifest.certificate, manifest.source) = (certificate, source);
            let before = before.and_then(|mut before| Some((before.signed.take()?, before)));
            let is_same = |(by, before): &(SignedBy, Manifest)| by.key == signed.key && *before == manifest;
            manifest.signed = Some(before.filter(is_same).map_or(signed, |(by, _)| by));
            let text = manifest.to_text();
            let signature = sign(text.as_bytes())
                .map_err(|why| ArchiveError::Sign { archive: self.archive.clone(), why })?;
            Ok(vec![(MANIFEST.into(), text), (SIGNATURE.into(), signature + "\n")])
        })
    }

    /// The time of all that it has: that of its manifest, or else of its newest file.
    fn date(&self) -> Result<u64, ArchiveError> {
        let manifest = fs::stat(&self.root.join(MANIFEST))?;
        match manifest.and_then(|meta| u64::try_from(meta.mtime()).ok()) {
            Some(date) => Ok(date),
            None => super::write::newest_below(&self.root),
        }
    }
}

/// What is known of a build, for the program that signs or repeats it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The key of all that the build depended on.
    pub inputs: Option<String>,
    /// The digest that the kernel signs modules with (`CONFIG_MODULE_SIG_HASH`).
    pub hash: Option<String>,
}

fn record(target: &Target) -> BuildRecord {
    BuildRecord {
        kernel: target.kernel.to_string(),
        arch: target.arch.to_string(),
        depends: std::collections::BTreeMap::new(),
        inputs: None,
        hash: None,
    }
}
