//! `mkrpm`: an rpm package of the source, which DKMS builds where it is installed; [`kmod`]: of what was built for a kernel.

pub mod kmod;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use dkms_core::id::KernelRelease;
use rpm::{BuildConfig, CompressionType, Dependency, FileOptions, PackageBuilder};

use crate::debian::Module;
use crate::entries::{Body, Entries};
use crate::error::PackageError;
use crate::license;
use crate::staged::Staged;
use crate::tarball::write_error;

/// The release of every package: the version is the module's.
const RELEASE: &str = "1dkms";

/// The file that is written.
///
/// # Errors
/// [`PackageError`] where name or version can't be rpm's.
pub fn path(module: &Module<'_>) -> Result<PathBuf, PackageError> {
    let (_, version) = version(module)?;
    Ok(module.output(format!("{}-{version}-{RELEASE}.noarch.rpm", module.id.name)))
}

/// Writes the package and says where.
///
/// # Errors
/// [`PackageError`]; nothing partial is left.
pub fn write(module: &Module<'_>) -> Result<PathBuf, PackageError> {
    let path = path(module)?;
    let name = module.id.name.as_str();
    let place = Path::new("usr/src").join(module.id.dir_name());
    let (entries, date) = module.source_entries(&place)?;
    let date = seconds(date);
    let summary = format!("Source of the kernel module {name} for DKMS");
    let text = format!(
        "This package has the source of {name}. DKMS builds it for each kernel that is\n\
         installed, and again for each that comes."
    );
    let mut builder = begin(module, name, "noarch", &summary, &text, RELEASE, date)?;
    for needed in ["make", "gcc"] {
        builder.requires(Dependency::any(needed));
    }
    // Its scripts call it, before the rest of a transaction, or after.
    builder
        .requires(Dependency::any("dkms"))
        .requires(Dependency::script_post("dkms"))
        .requires(Dependency::script_preun("dkms"));
    let meant = |script: &str| {
        script.replace("MODULE_NAME", name).replace("MODULE_VERSION", module.id.version.as_str())
    };
    builder.post_install_script(meant(include_str!("wrapper.post")));
    builder.pre_uninstall_script(meant(include_str!("wrapper.preun")));
    add_entries(&mut builder, &entries, &place, date, &path)?;
    finish(builder, &path)?;
    Ok(path)
}

/// Times in rpm packages end in 2106.
fn seconds(date: u64) -> u32 {
    u32::try_from(date).unwrap_or(u32::MAX)
}

/// What all packages of a module have.
fn begin(
    module: &Module<'_>,
    name: &str,
    arch: &str,
    summary: &str,
    text: &str,
    release: &str,
    date: u32,
) -> Result<PackageBuilder, PackageError> {
    let (epoch, version) = version(module)?;
    let mut builder = PackageBuilder::new(name, &version, &licenses(module)?, arch, summary);
    let config = BuildConfig::v4().compression(CompressionType::Gzip).source_date(date);
    builder.using_config(config).release(release).build_host("dkms").description(text);
    if let Some(epoch) = epoch {
        builder.epoch(epoch);
    }
    if let Some(maintainer) = &module.maintainer {
        builder.packager(maintainer);
    }
    let full = epoch.map_or_else(|| version.clone(), |epoch| format!("{epoch}:{version}"));
    builder.provides(Dependency::eq(format!("{}-kmod", module.id.name), full));
    Ok(builder)
}

/// Puts in what is at and below `place`; the folders above it are others'.
fn add_entries(
    builder: &mut PackageBuilder,
    entries: &Entries,
    place: &Path,
    date: u32,
    path: &Path,
) -> Result<(), PackageError> {
    for (name, entry) in entries.iter().filter(|(name, _)| name.starts_with(place)) {
        let Some(name) = name.to_str() else {
            return Err(PackageError::CannotPack {
                path: name.to_owned(),
                why: "has a name that is no text",
            });
        };
        let name = format!("/{name}");
        let mode = u16::try_from(entry.mode).unwrap_or(0o644);
        let mtime = entry.mtime.map_or(date, |mtime| seconds(mtime).min(date)).into();
        let file = |name: String| FileOptions::new(name).permissions(mode).modified_at(mtime);
        let added = match &entry.body {
            // Many packages have modules of a kernel; the folder is nobody's own.
            Body::Folder if name.starts_with("/lib/modules/") => continue,
            Body::Folder => {
                builder.with_dir_entry(FileOptions::dir(name).permissions(mode).modified_at(mtime))
            }
            Body::Link(target) => {
                builder.with_symlink(FileOptions::symlink(name, target.to_string_lossy()).modified_at(mtime))
            }
            Body::Bytes(bytes) => builder.with_file_contents(bytes.clone(), file(name)),
            Body::File { path, .. } => builder.with_file(path, file(name)),
        };
        added.map_err(|source| rpm_error(path, source))?;
    }
    Ok(())
}

fn rpm_error(path: &Path, source: rpm::Error) -> PackageError {
    PackageError::Rpm { path: path.to_owned(), source: Box::new(source) }
}

/// Makes the package and shows it.
fn finish(mut builder: PackageBuilder, path: &Path) -> Result<(), PackageError> {
    let package = builder.build().map_err(|source| rpm_error(path, source))?;
    let mut staged = Staged::begin(path)?;
    let mut file = std::io::BufWriter::new(staged.create(path)?);
    // What the crate tells of a full disk is said as everywhere.
    package.write(&mut file).map_err(|source| match source {
        rpm::Error::Io(source) => write_error(path, source),
        other => rpm_error(path, other),
    })?;
    let write = |source| write_error(path, source);
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(write)?;
    drop(file);
    staged.publish()
}

/// A kernel's release as that of a package: rpm has no hyphen in one.
fn release_of(kernel: &KernelRelease) -> Result<String, PackageError> {
    let plain = kernel.as_str().replace('-', "_");
    check_plain(&plain)?;
    Ok(format!("1.{plain}"))
}

/// Whether a text can be part of a package's name, and of its scripts.
fn check_plain(text: &str) -> Result<(), PackageError> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c)) {
        return Ok(());
    }
    let why = "has other characters than letters, digits, `.`, `_`, `+` and `-`";
    Err(PackageError::RpmName { text: text.to_owned(), why })
}

/// Epoch and version by rpm's rules. A hyphen can't be in one: `_` parts the same numbers when versions are compared.
fn version(module: &Module<'_>) -> Result<(Option<u32>, String), PackageError> {
    let text = module.id.version.as_str();
    let refuse = |why| Err(PackageError::RpmName { text: text.to_owned(), why });
    let (epoch, version) = match text.split_once(':') {
        None => (None, text),
        Some((epoch, version)) => match epoch.parse() {
            Ok(epoch) => (Some(epoch), version),
            Err(_) => return refuse("has an epoch that is no number"),
        },
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+~^".contains(c);
    let version = version.replace('-', "_");
    if version.is_empty() || !version.chars().all(is_plain) {
        return refuse("has other characters than letters, digits, `.`, `_`, `+`, `-`, `~` and `^`");
    }
    check_plain(module.id.name.as_str())?;
    Ok((epoch, version))
}

/// What the modules say of their licence, as SPDX has it where that is known.
fn licenses(module: &Module<'_>) -> Result<String, PackageError> {
    let mut licenses: Vec<String> = license::scan(&module.source)?
        .iter()
        .filter_map(|found| found.license.as_deref())
        .map(spdx)
        .collect();
    licenses.sort();
    licenses.dedup();
    Ok(if licenses.is_empty() { "Unknown".to_owned() } else { licenses.join(" AND ") })
}

/// A `MODULE_LICENSE` in SPDX's words; include/linux/license.h says what each means.
fn spdx(license: &str) -> String {
    match license {
        "GPL" | "GPL v2" => "GPL-2.0-only",
        "GPL and additional rights" => "GPL-2.0-or-later",
        "Dual BSD/GPL" => "(GPL-2.0-only OR BSD-3-Clause)",
        "Dual MIT/GPL" => "(GPL-2.0-only OR MIT)",
        "Dual MPL/GPL" => "(GPL-2.0-only OR MPL-1.1)",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rpm_cannot_have_is_refused() {
        let release = |text: &str| release_of(&KernelRelease::new(text).unwrap());
        assert_eq!(release("6.1.0-47-amd64").unwrap(), "1.6.1.0_47_amd64");
        assert!(release("6.1$(id)").is_err() && check_plain("a;b").is_err());
    }

    #[test]
    fn licences_are_told_in_the_words_of_spdx() {
        assert_eq!(spdx("GPL v2"), "GPL-2.0-only");
        assert_eq!(spdx("Proprietary"), "Proprietary");
    }
}
