//! `/usr/lib/sysimage/dkms/manifest.json`: which modules the image of this system was made with. The same
//! input gives the same bytes: there is no time in it and no name of a machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::build::inputs::hex;
use crate::host::fs::{self, FsError};
use crate::id::{ModuleId, ModuleName, ModuleVersion, Target};
use crate::layout::Layout;
use crate::modfile::content::SIZE_LIMIT;
use crate::version;

/// The format that we write, and the only one that we read.
const FORMAT: u32 = 1;
/// The largest that is read.
const LARGEST: u64 = 16 << 20;

/// What an image has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// By module, kernel and architecture.
    pub modules: BTreeMap<(ModuleId, Target), BakedModule>,
}

/// A module on a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BakedModule {
    /// The digest of its source tree; none if the source was not there any more.
    #[serde(default)]
    pub source_sha256: Option<String>,
    /// The fingerprint of the key that signed its files; none if they are not signed.
    #[serde(default)]
    pub key: Option<String>,
    /// The versions of the programs that made them, by name.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
    /// Its files.
    pub files: Vec<BakedFile>,
}

/// A module file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BakedFile {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// SHA-256 of its content, unpacked and without a signature.
    pub unsigned_sha256: String,
}

/// How a file compares with what was baked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// It is the same.
    Same,
    /// It is not there.
    Missing,
    /// It has other bytes.
    Different,
}

/// A manifest that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It can't be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// It is none.
    #[error("`{}` is no manifest of baked modules: {why}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The file, as it is written.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    modules: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    module: String,
    version: String,
    kernel: String,
    arch: String,
    #[serde(flatten)]
    baked: BakedModule,
}

impl Manifest {
    /// The manifest of a system; an empty one if it has none.
    ///
    /// # Errors
    /// [`ManifestError`] if it is there and can't be used.
    pub fn read(layout: &Layout) -> Result<Self, ManifestError> {
        let path = layout.baked_manifest();
        match fs::optional(fs::read_limited(&path, LARGEST))? {
            Some(bytes) => Self::parse(&bytes).map_err(|why| ManifestError::Invalid { path, why }),
            None => Ok(Self::default()),
        }
    }

    /// The same for those who only add to what they know: one that can't be used says nothing.
    #[must_use]
    pub fn known(layout: &Layout) -> Self {
        Self::read(layout).unwrap_or_default()
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if document.format != FORMAT {
            return Err(format!("it has the format {}, and only {FORMAT} is known", document.format));
        }
        let entry = |Entry { module, version, kernel, arch, baked }| {
            let id = ModuleId::parse(&module, &version).map_err(|error| error.to_string())?;
            let target = Target::parse(&kernel, &arch).map_err(|error| error.to_string())?;
            Ok(((id, target), baked))
        };
        let modules = document.modules.into_iter().map(entry).collect::<Result<_, String>>()?;
        Ok(Self { modules })
    }

    fn text(&self) -> String {
        let entry = |((id, target), baked): (&(ModuleId, Target), &BakedModule)| Entry {
            module: id.name.to_string(),
            version: id.version.to_string(),
            kernel: target.kernel.to_string(),
            arch: target.arch.to_string(),
            baked: baked.clone(),
        };
        let document = Document { format: FORMAT, modules: self.modules.iter().map(entry).collect() };
        // Texts, and maps and lists of texts, always have a JSON form.
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    }

    /// Writes it to its place by one rename.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn write(&self, layout: &Layout) -> Result<(), FsError> {
        let path = layout.baked_manifest();
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write_whole(&path, self.text().as_bytes(), 0o644)
    }

    /// The version of a module that is baked for a kernel, and what of it; the newest if there are several.
    #[must_use]
    pub fn of(&self, name: &ModuleName, target: &Target) -> Option<(&ModuleVersion, &BakedModule)> {
        let found = self.modules.iter().filter(|((id, on), _)| id.name == *name && on == target);
        found
            .max_by(|((a, _), _), ((b, _), _)| version::compare(a.version.as_str(), b.version.as_str()))
            .map(|((id, _), baked)| (&id.version, baked))
    }

    /// Whether a module is there for a kernel, in this version or a newer one, with every file.
    #[must_use]
    pub fn provides(&self, id: &ModuleId, target: &Target, layout: &Layout) -> bool {
        self.of(&id.name, target).is_some_and(|(baked, module)| {
            version::compare(baked.as_str(), id.version.as_str()).is_ge()
                && module.state(layout) == FileState::Same
        })
    }

    /// Leaves out entries of kernels that are gone, and of other versions of what `newer` has.
    #[must_use]
    pub fn merged_with(mut self, newer: Self, is_there: impl Fn(&Target) -> bool) -> Self {
        self.modules.retain(|(id, target), _| {
            is_there(target) && !newer.modules.keys().any(|(other, on)| other.name == id.name && on == target)
        });
        self.modules.extend(newer.modules);
        self
    }
}

impl BakedModule {
    /// How its files compare with what was baked; the first that is not the same decides.
    #[must_use]
    pub fn state(&self, layout: &Layout) -> FileState {
        let states = self.files.iter().map(|file| file.state(layout));
        states.into_iter().find(|state| *state != FileState::Same).unwrap_or(FileState::Same)
    }
}

impl BakedFile {
    /// How the file on disk compares with what was baked.
    #[must_use]
    pub fn state(&self, layout: &Layout) -> FileState {
        let path = layout.at(&self.path.to_string_lossy());
        if !fs::is_file(&path) {
            return FileState::Missing;
        }
        match digest_of(&path) {
            Ok(digest) if digest == self.sha256 => FileState::Same,
            // What can't be read is not known to be another.
            Err(error) if error.is_permission() => FileState::Same,
            Ok(_) | Err(_) => FileState::Different,
        }
    }
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// [`FsError`].
pub fn digest_of(path: &std::path::Path) -> Result<String, FsError> {
    let mut sum = Sha256::new();
    fs::each_piece(path, SIZE_LIMIT, &mut |bytes| sum.update(bytes))?;
    Ok(hex(&sum.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(module: &str, version: &str, kernel: &str) -> (ModuleId, Target) {
        (ModuleId::parse(module, version).unwrap(), Target::parse(kernel, "x86_64").unwrap())
    }

    fn module(layout: &Layout, path: &str, text: &str) -> BakedModule {
        let place = layout.at(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write_whole(&place, text.as_bytes(), 0o644).unwrap();
        let sha256 = digest_of(&place).unwrap();
        let file = BakedFile { path: path.into(), unsigned_sha256: sha256.clone(), sha256 };
        BakedModule { files: vec![file], key: Some("ab".into()), ..BakedModule::default() }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_says_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        assert_eq!(Manifest::read(&layout).unwrap(), Manifest::default());
        let foo = key("foo", "1.0", "6.1.0");
        let path = "/lib/modules/6.1.0/updates/dkms/foo.ko";
        let manifest = Manifest { modules: [(foo.clone(), module(&layout, path, "x"))].into() };
        manifest.write(&layout).unwrap();
        assert_eq!(Manifest::read(&layout).unwrap(), manifest);
        let provides = |version: &str, kernel: &str| {
            let (id, target) = key("foo", version, kernel);
            manifest.provides(&id, &target, &layout)
        };
        assert!(provides("1.0", "6.1.0") && provides("0.9", "6.1.0"));
        assert!(!provides("1.1", "6.1.0") && !provides("1.0", "6.2.0"));
        fs::write_whole(&layout.at(path), b"y", 0o644).unwrap();
        assert_eq!(manifest.modules[&foo].state(&layout), FileState::Different);
        fs::remove_file(&layout.at(path)).unwrap();
        assert_eq!(manifest.modules[&foo].state(&layout), FileState::Missing);
        assert!(!provides("1.0", "6.1.0"));
    }

    #[test]
    fn another_format_and_other_texts_are_refused() {
        for text in [
            "",
            "{}",
            r#"{"format":2,"modules":[]}"#,
            r#"{"format":1,"modules":[{"module":"../x","version":"1","kernel":"6","arch":"a","files":[]}]}"#,
        ] {
            assert!(Manifest::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_later_bake_replaces_its_modules_and_drops_kernels_that_are_gone() {
        let of = |keys: &[(&str, &str, &str)]| Manifest {
            modules: keys.iter().map(|(m, v, k)| (key(m, v, k), BakedModule::default())).collect(),
        };
        let before = of(&[("foo", "1", "a"), ("foo", "1", "b"), ("bar", "1", "a"), ("bar", "1", "gone")]);
        let merged = before.merged_with(of(&[("foo", "2", "a")]), |target| target.kernel.as_str() != "gone");
        assert_eq!(merged, of(&[("foo", "2", "a"), ("foo", "1", "b"), ("bar", "1", "a")]));
    }
}
