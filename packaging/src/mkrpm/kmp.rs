//! `mkkmp`: the source package of a kernel module package, which rpmbuild makes with a distribution's own
//! macros. The spec file is the author's, `--spec` or `M-kmp.spec` in the source; what it names as sources
//! is packed beside it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use dkms_archive::compression::Compression;
use dkms_base::host::fs;
use rpm::Dependency;

use super::about::{About, WORDS};
use super::macros::Macros;
use super::name::{check_plain, seconds};
use super::relation::{self, Relation};
use super::source::{self, File, Role};
use super::spec::{Care, Spec};
use crate::debian::Module;
use crate::error::PackageError;

/// A package to make.
#[derive(Debug)]
pub struct Kmp<'a> {
    module: &'a Module<'a>,
    spec_file: PathBuf,
    spec: Spec,
    about: About,
}

impl<'a> Kmp<'a> {
    /// Reads the spec file.
    ///
    /// # Errors
    /// [`PackageError`] where there is none, or it doesn't say what every package says.
    pub fn new(module: &'a Module<'a>, spec_file: Option<&Path>) -> Result<Self, PackageError> {
        let own = module.source.join(format!("{}-kmp.spec", module.id.name));
        let spec_file = spec_file.map_or(own, Path::to_owned);
        if !fs::is_file(&spec_file) {
            return Err(PackageError::NoSpec { path: spec_file });
        }
        let mut macros = Macros::new();
        for (name, meaning) in
            [("module_name", module.id.name.as_str()), ("module_version", module.id.version.as_str())]
        {
            macros.define(name, meaning.replace('%', "%%"));
        }
        let spec = Spec::read(&fs::read_lossy(&spec_file)?, &spec_file, macros, Care::Most)?;
        let about = about(module, &spec, &spec_file)?;
        Ok(Self { module, spec_file, spec, about })
    }

    /// The file that is written.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.module.output(format!("{}.src.rpm", self.about.label()))
    }

    /// Writes the package and says where.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self) -> Result<PathBuf, PackageError> {
        let path = self.path();
        let (entries, date) = self.module.source_entries(Path::new(""))?;
        let mut files = vec![File {
            name: file_name(&self.spec_file.to_string_lossy()).to_owned(),
            contents: fs::read(&self.spec_file)?,
            role: Role::Spec,
        }];
        for tag in &self.spec.tags {
            let role = match tag.name.trim_end_matches(|c: char| c.is_ascii_digit()) {
                "source" => Role::Source,
                "patch" => Role::Patch,
                _ => continue,
            };
            let name = file_name(&tag.value).to_owned();
            if name.is_empty() || files.iter().any(|file| file.name == name) {
                continue;
            }
            let contents = if let Some(found) = self.beside(&name) {
                fs::read(&found)?
            } else if let (Role::Source, Some(stem)) = (role, tarball_stem(&name)) {
                let usual = || format!("{}-{}", self.about.name, self.about.version);
                let below = self.spec.folder.clone().unwrap_or_else(usual);
                // A folder that leads elsewhere is none that `%setup` could mean.
                let below = if check_plain(&below).is_ok() { below } else { stem.to_owned() };
                super::tarball(&entries, &below, date, &name, self.module)?
            } else {
                let why = format!("`{name}` is neither in the source nor beside the spec file");
                return Err(PackageError::SpecTag {
                    path: self.spec_file.clone(),
                    tag: tag.name.clone(),
                    why,
                });
            };
            files.push(File { name, contents, role });
        }
        source::write(&self.about, files, seconds(date), &path)?;
        Ok(path)
    }

    /// A file that the spec names, where it is: in the source, in a folder of patches there,
    /// beside the spec file.
    fn beside(&self, name: &str) -> Option<PathBuf> {
        let source = &self.module.source;
        let folders = [source.clone(), source.join("patches"), folder(&self.spec_file)];
        folders.into_iter().map(|folder| folder.join(name)).find(|path| fs::is_file(path))
    }
}

/// A name without the folders, or the address, before it.
fn file_name(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or_default().trim_start_matches("#")
}

fn folder(file: &Path) -> PathBuf {
    crate::staged::folder_of(file).to_owned()
}

/// The name of a tarball without its suffix; none for other files.
fn tarball_stem(name: &str) -> Option<&str> {
    let plain = match Compression::of_suffix(Path::new(name)) {
        Compression::None => name,
        _ => Path::new(name).file_stem().and_then(OsStr::to_str)?,
    };
    plain.strip_suffix(".tar").or(name.strip_suffix(".tgz"))
}

/// What the spec file says of the package.
fn about(module: &Module<'_>, spec: &Spec, path: &Path) -> Result<About, PackageError> {
    let refuse =
        |tag: &str, why: String| PackageError::SpecTag { path: path.to_owned(), tag: tag.to_owned(), why };
    let wanted = |tag: &str| -> Result<String, PackageError> {
        let value = spec.tag(tag).filter(|value| !value.is_empty());
        value.map(str::to_owned).ok_or_else(|| refuse(tag, "it is missing".to_owned()))
    };
    let mut about = About::new(module, &wanted("name")?, Vec::new())?;
    about.version = wanted("version")?;
    about.release = wanted("release")?;
    for part in [&about.name, &about.version, &about.release] {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-~^".contains(c);
        if !part.chars().all(is_plain) {
            let why = "has other characters than letters, digits, `.`, `_`, `+`, `-`, `~` and `^`";
            return Err(PackageError::RpmName { text: part.clone(), why });
        }
    }
    about.license = wanted("license")?;
    about.summary = wanted("summary")?;
    about.description = spec.description.clone().unwrap_or_else(|| about.summary.clone());
    let epoch = spec.tag("epoch").map(str::parse).transpose();
    about.epoch = epoch.map_err(|_| refuse("epoch", "it is no number".to_owned()))?;
    if let Some(arch) = spec.tag("buildarch").and_then(|value| value.split([' ', ',']).next()) {
        about.arch = arch.to_owned();
    } else {
        // It is built where it will be used.
        about.arch = "x86_64".to_owned();
    }
    for word in WORDS {
        if let Some(value) = spec.tag(&word.to_ascii_lowercase()) {
            about.words.retain(|(known, _)| *known != word);
            about.words.push((word, value.to_owned()));
        }
    }
    // A source package requires what it is built with.
    about.relations = spec
        .tags
        .iter()
        .filter(|tag| tag.name == "buildrequires")
        .filter_map(|tag| relation::parse(&tag.value, tag.qualifier.as_deref()).ok())
        .flatten()
        .map(|needed: Dependency| (Relation::Requires, needed))
        .collect();
    Ok(about)
}
