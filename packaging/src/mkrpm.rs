//! `mkrpm`: an rpm package of the source, which DKMS builds where it is installed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rpm::{BuildConfig, CompressionType, Dependency, FileOptions, PackageBuilder};

use crate::debian::Module;
use crate::entries::Body;
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
    let failed = |source: rpm::Error| PackageError::Rpm { path: path.clone(), source: Box::new(source) };
    let place = Path::new("usr/src").join(module.id.dir_name());
    let (entries, date) = module.source_entries(&place)?;
    let date = u32::try_from(date).unwrap_or(u32::MAX);

    let (epoch, version) = version(module)?;
    let name = module.id.name.as_str();
    let summary = format!("Source of the kernel module {name} for DKMS");
    let mut builder = PackageBuilder::new(name, version, &licenses(module)?, "noarch", &summary);
    let config = BuildConfig::v4().compression(CompressionType::Gzip).source_date(date);
    builder.using_config(config).release(RELEASE).build_host("dkms").description(format!(
        "This package has the source of {name}. DKMS builds it for each kernel that is\n\
         installed, and again for each that comes."
    ));
    if let Some(epoch) = epoch {
        builder.epoch(epoch);
    }
    if let Some(maintainer) = &module.maintainer {
        builder.packager(maintainer);
    }
    let full = epoch.map_or_else(|| version.to_owned(), |epoch| format!("{epoch}:{version}"));
    builder.provides(Dependency::eq(format!("{name}-kmod"), full));
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
    builder.post_install_script(meant(include_str!("scripts/rpm.post")));
    builder.pre_uninstall_script(meant(include_str!("scripts/rpm.preun")));

    for (name, entry) in entries.iter().filter(|(name, _)| name.starts_with(&place)) {
        let Some(name) = name.to_str() else {
            return Err(PackageError::CannotPack {
                path: name.to_owned(),
                why: "has a name that is no text",
            });
        };
        let name = format!("/{name}");
        let mode = u16::try_from(entry.mode).unwrap_or(0o644);
        let mtime =
            entry.mtime.and_then(|mtime| u32::try_from(mtime).ok()).map_or(date, |mtime| mtime.min(date));
        let added = match &entry.body {
            Body::Folder => {
                builder.with_dir_entry(FileOptions::dir(name).permissions(mode).modified_at(mtime.into()))
            }
            Body::Link(target) => {
                let target = target.to_string_lossy();
                builder.with_symlink(FileOptions::symlink(name, target).modified_at(mtime.into()))
            }
            Body::Bytes(bytes) => builder.with_file_contents(
                bytes.clone(),
                FileOptions::new(name).permissions(mode).modified_at(mtime.into()),
            ),
            Body::File { path, .. } => {
                builder.with_file(path, FileOptions::new(name).permissions(mode).modified_at(mtime.into()))
            }
        };
        added.map_err(&failed)?;
    }
    let package = builder.build().map_err(&failed)?;
    let mut staged = Staged::begin(&path)?;
    let mut file = std::io::BufWriter::new(staged.create(&path)?);
    package.write(&mut file).map_err(&failed)?;
    let write = |source| write_error(&path, source);
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(write)?;
    drop(file);
    staged.publish()?;
    Ok(path)
}

/// Epoch and version by rpm's rules, which have no hyphen in a version.
fn version<'m>(module: &Module<'m>) -> Result<(Option<u32>, &'m str), PackageError> {
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
    if version.is_empty() || !version.chars().all(is_plain) {
        return refuse("has other characters than letters, digits, `.`, `_`, `+`, `~` and `^`");
    }
    let name = module.id.name.as_str();
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c)) {
        let why = "has other characters than letters, digits, `.`, `_`, `+` and `-`";
        return Err(PackageError::RpmName { text: name.to_owned(), why });
    }
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
