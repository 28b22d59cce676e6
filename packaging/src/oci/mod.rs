//! `mkoci`: an OCI image of built modules, as a layout folder or an archive of one: a layer with the modules
//! where a kernel looks for them. skopeo and oras push it, `COPY --from` takes it.
//!
//! - [`layout`]: blobs by their digests, and the index of what a folder holds
//! - [`signature`]: signed the way cosign does
//!
//! The same input gives the same bytes.

pub mod layout;
pub mod signature;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use dkms_base::id::{Arch, Target};
use serde_json::{Value, json};

use self::layout::{Layout, hex_of};
use crate::debian::Module;
use crate::entries::Entries;
use crate::error::PackageError;
use crate::staged::Staged;
use crate::tarball::{self, write_error};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image to make.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Of which module.
    pub module: &'a Module<'a>,
    /// For which kernels, all of one architecture.
    pub targets: &'a [Target],
}

impl Image<'_> {
    /// The layout's folder, or the archive that is to be written.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let kernels: Vec<&str> = self.targets.iter().map(|target| target.kernel.as_str()).collect();
        let kernels =
            if kernels.join("-").len() > 200 { "manykernels".to_owned() } else { kernels.join("-") };
        self.module.output(format!("{}-{kernels}", self.module.id.dir_name()))
    }

    /// What a registry calls it: the version, and the kernel where it is one.
    #[must_use]
    pub fn tag(&self) -> String {
        let version = &self.module.id.version;
        tag_of(&match self.targets {
            [target] => format!("{version}-{}", target.kernel),
            _ => version.to_string(),
        })
    }

    /// Whether it can be made.
    ///
    /// # Errors
    /// [`PackageError`] where the module isn't built for a kernel, or the kernels are of
    /// several architectures.
    pub fn check(&self) -> Result<(), PackageError> {
        for target in self.targets {
            self.module.built(target)?;
            if let Some(other) = self.targets.iter().find(|other| other.arch != target.arch) {
                let (first, second) = (target.arch.to_string(), other.arch.to_string());
                return Err(PackageError::Architectures { first, second });
            }
        }
        Ok(())
    }

    /// Writes it and says where.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self) -> Result<PathBuf, PackageError> {
        self.check()?;
        let (path, date) = (self.path(), self.module.date()?);
        let layout = self.layout(date)?;
        if self.module.file.is_none() {
            layout.publish(&path)?;
            return Ok(path);
        }
        let mut staged = Staged::begin(&path)?;
        let mut file = staged.create(&path)?;
        tarball::write_bare(&layout.entries(), date, &mut file, &path)?;
        file.flush().and_then(|()| file.sync_all()).map_err(|source| write_error(&path, source))?;
        staged.publish()?;
        Ok(path)
    }

    fn layout(&self, date: u64) -> Result<Layout, PackageError> {
        let id = self.module.id;
        let layer = self.layer()?;
        let name = Path::new("layer");
        let mut plain = Vec::new();
        tarball::write_bare(&layer, date, &mut plain, name)?;
        let mut packed = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::best());
        packed.write_all(&plain).map_err(|source| write_error(name, source))?;
        let packed = packed.finish().map_err(|source| write_error(name, source))?;
        let created = rfc3339(date);
        let config = json!({
            "architecture": self.targets.first().map_or("", |target| architecture(&target.arch)),
            "config": {},
            "created": created,
            "history": [{ "created": created, "created_by": format!("dkms mkoci {id}") }],
            "os": "linux",
            "rootfs": { "diff_ids": [format!("sha256:{}", hex_of(&plain))], "type": "layers" },
        });
        let kernels: Vec<&str> = self.targets.iter().map(|target| target.kernel.as_str()).collect();
        let annotations = json!({
            "org.dkms.arch": self.targets.first().map_or("", |target| target.arch.as_str()),
            "org.dkms.kernel": kernels.join(" "),
            "org.dkms.module": id.name.as_str(),
            "org.dkms.version": id.version.as_str(),
            "org.opencontainers.image.created": created,
            "org.opencontainers.image.title": format!("kernel module {} for Linux {}", id.name, kernels.join(", ")),
            "org.opencontainers.image.version": id.version.as_str(),
        });
        let mut layout = Layout::default();
        let mut layer = layout.put(LAYER, packed);
        // By this name `oras pull` writes it to a file.
        layer["annotations"] =
            json!({ "org.opencontainers.image.title": format!("{}.tar.gz", id.dir_name()) });
        let manifest = json!({
            "annotations": annotations,
            "config": layout.put(CONFIG, config.to_string().into_bytes()),
            "layers": [layer],
            "mediaType": MANIFEST,
            "schemaVersion": 2,
        });
        let mut descriptor = layout.put(MANIFEST, manifest.to_string().into_bytes());
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": self.tag() });
        layout.manifests.push(descriptor);
        Ok(layout)
    }

    /// The modules, where kernels look for them.
    fn layer(&self) -> Result<Entries, PackageError> {
        let mut entries = Entries::default();
        for target in self.targets {
            let place = Path::new("usr/lib/modules").join(&target.kernel).join("updates/dkms");
            for (file, from) in self.module.built(target)? {
                entries.plain_file(&from, &place.join(file.file_name()), 0o644)?;
            }
        }
        Ok(entries)
    }
}

/// A text as a tag may be: at most 128 letters, digits, `_`, `.` and `-`, the first no `.` or `-`.
#[must_use]
pub fn tag_of(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let tag: String = text.chars().map(plain).take(128).collect();
    if tag.starts_with(['.', '-']) { format!("_{}", &tag[1..]) } else { tag }
}

/// What images call an architecture.
fn architecture(arch: &Arch) -> &str {
    match arch.as_str() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i486" | "i586" | "i686" => "386",
        "armv6l" | "armv7l" | "armv8l" => "arm",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// A time as JSON has it.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, in eras of 400 (Howard Hinnant's civil_from_days).
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// A member of a JSON object that is a text.
fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_what_registries_take() {
        assert_eq!(tag_of("1.0~rc1+git-6.1.0-57-amd64"), "1.0_rc1_git-6.1.0-57-amd64");
        assert_eq!(tag_of(".x:y"), "_x_y");
        assert_eq!(tag_of(&"a".repeat(200)).len(), 128);
    }

    #[test]
    fn times_are_those_of_a_calendar() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_944_033), "2026-11-29T09:20:33Z");
    }
}
