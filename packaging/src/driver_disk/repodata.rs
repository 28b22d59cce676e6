//! `repodata/`: what dnf reads of a folder of packages before it reads a package.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use rpm::{Dependency, DependencyFlags, PackageMetadata};
use sha2::{Digest as _, Sha256};

use crate::error::PackageError;
use crate::tarball::hex;

/// The files of the folder, by name, for packages that lie beside it.
///
/// # Errors
/// [`PackageError`] where a package can't be read.
pub fn of(packages: &[PathBuf], date: u64) -> Result<Vec<(String, Vec<u8>)>, PackageError> {
    let mut packages = packages.to_vec();
    packages.sort();
    let (mut primary, mut filelists, mut other) = (String::new(), String::new(), String::new());
    for path in &packages {
        let package = Package::read(path)?;
        primary.push_str(&package.primary()?);
        filelists.push_str(&package.list("package", &package.files()?)?);
        other.push_str(&package.list("package", "")?);
    }
    let count = packages.len();
    let mut files = Vec::new();
    let mut index = format!(
        "{HEAD}<repomd xmlns=\"{SPACE}/repo\" xmlns:rpm=\"{SPACE}/rpm\">\n<revision>{date}</revision>\n"
    );
    for (kind, root, space, body) in [
        ("primary", "metadata", "common", primary),
        ("filelists", "filelists", "filelists", filelists),
        ("other", "otherdata", "other", other),
    ] {
        let rpm = if kind == "primary" { format!(" xmlns:rpm=\"{SPACE}/rpm\"") } else { String::new() };
        let text =
            format!("{HEAD}<{root} xmlns=\"{SPACE}/{space}\"{rpm} packages=\"{count}\">\n{body}</{root}>\n");
        let name = format!("{kind}.xml.gz");
        let packed = gzip(&text).map_err(|source| fs::FsError {
            verb: "compress",
            path: PathBuf::from(&name),
            source,
        })?;
        index.push_str(&format!(
            "<data type=\"{kind}\">\n\
             <checksum type=\"sha256\">{}</checksum>\n\
             <open-checksum type=\"sha256\">{}</open-checksum>\n\
             <location href=\"repodata/{name}\"/>\n\
             <timestamp>{date}</timestamp>\n<size>{}</size>\n<open-size>{}</open-size>\n</data>\n",
            sum(&packed),
            sum(text.as_bytes()),
            packed.len(),
            text.len()
        ));
        files.push((name, packed));
    }
    index.push_str("</repomd>\n");
    files.push(("repomd.xml".to_owned(), index.into_bytes()));
    Ok(files)
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const SPACE: &str = "http://linux.duke.edu/metadata";

fn gzip(text: &str) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}

fn sum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A package, and what only its file tells.
struct Package {
    path: PathBuf,
    metadata: PackageMetadata,
    sum: String,
    size: u64,
    /// When the package was made: when its file was is nobody's business.
    time: u64,
}

impl Package {
    fn read(path: &Path) -> Result<Self, PackageError> {
        let rpm_error = |source| PackageError::Rpm { path: path.to_owned(), source: Box::new(source) };
        let metadata = PackageMetadata::open(path).map_err(rpm_error)?;
        let (mut file, mut hash, mut size) = (fs::open(path)?, Sha256::new(), 0);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = file.read(&mut buffer).map_err(|source| fs::FsError {
                verb: "read",
                path: path.to_owned(),
                source,
            })?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
            size += count as u64;
        }
        let time = metadata.get_build_time().map_err(rpm_error)?;
        Ok(Self { path: path.to_owned(), metadata, sum: hex(&hash.finalize()), size, time })
    }

    fn failed(&self, source: rpm::Error) -> PackageError {
        PackageError::Rpm { path: self.path.clone(), source: Box::new(source) }
    }

    /// `<version …/>`.
    fn version(&self) -> Result<String, PackageError> {
        let of = |result: Result<&str, rpm::Error>| result.map(escape).map_err(|error| self.failed(error));
        Ok(format!(
            "<version epoch=\"{}\" ver=\"{}\" rel=\"{}\"/>",
            self.metadata.get_epoch().unwrap_or(0),
            of(self.metadata.get_version())?,
            of(self.metadata.get_release())?
        ))
    }

    /// What the lists of files and of changes have of a package.
    fn list(&self, element: &str, body: &str) -> Result<String, PackageError> {
        let of = |result: Result<&str, rpm::Error>| result.map(escape).map_err(|error| self.failed(error));
        let (name, arch) = (of(self.metadata.get_name())?, of(self.metadata.get_arch())?);
        let (sum, version) = (&self.sum, self.version()?);
        Ok(format!(
            "<{element} pkgid=\"{sum}\" name=\"{name}\" arch=\"{arch}\">\n{version}\n{body}</{element}>\n"
        ))
    }

    fn files(&self) -> Result<String, PackageError> {
        let paths = self.metadata.get_file_paths().map_err(|error| self.failed(error))?;
        Ok(paths.iter().map(|path| format!("<file>{}</file>\n", escape(&path.to_string_lossy()))).collect())
    }

    fn primary(&self) -> Result<String, PackageError> {
        let metadata = &self.metadata;
        let of = |result: Result<&str, rpm::Error>| result.map(escape).map_err(|error| self.failed(error));
        // These are there or not.
        let maybe = |result: Result<&str, rpm::Error>| result.map(escape).unwrap_or_default();
        let offsets = metadata.get_package_segment_offsets();
        let location = self.path.file_name().unwrap_or_default().to_string_lossy();
        let mut text = format!(
            "<package type=\"rpm\">\n<name>{}</name>\n<arch>{}</arch>\n{}\n\
             <checksum type=\"sha256\" pkgid=\"YES\">{}</checksum>\n\
             <summary>{}</summary>\n<description>{}</description>\n\
             <packager>{}</packager>\n<url>{}</url>\n<time file=\"{time}\" build=\"{time}\"/>\n\
             <size package=\"{}\" installed=\"{}\" archive=\"{}\"/>\n<location href=\"{}\"/>\n\
             <format>\n<rpm:license>{}</rpm:license>\n<rpm:vendor>{}</rpm:vendor>\n<rpm:group>{}</rpm:group>\n\
             <rpm:buildhost>{}</rpm:buildhost>\n<rpm:sourcerpm/>\n\
             <rpm:header-range start=\"{}\" end=\"{}\"/>\n",
            of(metadata.get_name())?,
            of(metadata.get_arch())?,
            self.version()?,
            self.sum,
            of(metadata.get_summary())?,
            of(metadata.get_description())?,
            maybe(metadata.get_packager()),
            maybe(metadata.get_url()),
            self.size,
            metadata.get_installed_size().unwrap_or(0),
            self.size - offsets.payload,
            escape(&location),
            maybe(metadata.get_license()),
            maybe(metadata.get_vendor()),
            maybe(metadata.get_group()),
            maybe(metadata.get_build_host()),
            offsets.header,
            offsets.payload,
            time = self.time,
        );
        for (tag, found) in [
            ("provides", metadata.get_provides()),
            ("requires", metadata.get_requires()),
            ("conflicts", metadata.get_conflicts()),
            ("obsoletes", metadata.get_obsoletes()),
            ("recommends", metadata.get_recommends()),
        ] {
            text.push_str(&relations(tag, &found.map_err(|error| self.failed(error))?));
        }
        text.push_str("</format>\n</package>\n");
        Ok(text)
    }
}

fn relations(tag: &str, found: &[Dependency]) -> String {
    let mut entries = String::new();
    for dependency in found.iter().filter(|dependency| !dependency.flags.contains(DependencyFlags::RPMLIB)) {
        entries.push_str(&format!("<rpm:entry name=\"{}\"", escape(&dependency.name)));
        let order = match dependency.flags.comparator_str() {
            "=" => "EQ",
            "<" => "LT",
            ">" => "GT",
            "<=" => "LE",
            ">=" => "GE",
            _ => "",
        };
        if !order.is_empty() {
            let version = split(&dependency.version);
            entries.push_str(&format!(
                " flags=\"{order}\" epoch=\"{}\" ver=\"{}\"",
                version.0,
                escape(version.1)
            ));
            if let Some(release) = version.2 {
                entries.push_str(&format!(" rel=\"{}\"", escape(release)));
            }
        }
        let moments = DependencyFlags::SCRIPT_PRE | DependencyFlags::SCRIPT_POST;
        if dependency.flags.intersects(moments) {
            entries.push_str(" pre=\"1\"");
        }
        entries.push_str("/>\n");
    }
    if entries.is_empty() { entries } else { format!("<rpm:{tag}>\n{entries}</rpm:{tag}>\n") }
}

/// Epoch, version and release, as rpm takes a text apart: the last hyphen parts the release.
fn split(text: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) if epoch.chars().all(|c| c.is_ascii_digit()) => (epoch, rest),
        _ => ("0", text),
    };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no way to write these.
            c if c.is_control() && !matches!(c, '\n' | '\t') => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_apart_as_with_rpm() {
        assert_eq!(split("1:2.0-3"), ("1", "2.0", Some("3")));
        assert_eq!(split("6.1.0-47-amd64"), ("0", "6.1.0-47", Some("amd64")));
        assert_eq!(split("2.0"), ("0", "2.0", None));
        assert_eq!(escape("a<\"b\">&\u{1}\n"), "a&lt;&quot;b&quot;&gt;&amp;\n");
    }
}
