//! `mkdsc`: a Debian source package that dpkg-buildpackage makes the wrapper of, with dh and dh_dkms.
//!
//! Its format is 3.0 (native), one tarball. A version with a hyphen can't be that by dpkg's rules: then it is
//! 3.0 (quilt), with the source in one tarball and `debian/` in another.

use std::path::{Path, PathBuf};

use dkms_base::host::{clock, fs};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use super::fields::Fields;
use super::{Module, docs, mkdeb, name};
use crate::entries::Entries;
use crate::error::PackageError;
use crate::staged::Staged;
use crate::tarball::{self, Packing, hex, write_error};

/// The files of a source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePackage {
    /// The source; its `debian/` by itself where the format wants that.
    pub tarballs: Vec<PathBuf>,
    /// Their description.
    pub dsc: PathBuf,
    /// What an archive says of all.
    pub changes: PathBuf,
}

/// Where the files go.
///
/// # Errors
/// [`PackageError`] where name or version can't be Debian's.
pub fn paths(module: &Module<'_>) -> Result<SourcePackage, PackageError> {
    let version = name::in_file_name(&name::version(&module.id.version)?);
    let package = name::wrapper(&module.id.name)?;
    let at = |version: &str, suffix: &str| module.folder.join(format!("{package}_{version}{suffix}"));
    let tarballs = match version.rsplit_once('-') {
        None => vec![at(&version, ".tar.xz")],
        Some((upstream, _)) => vec![at(upstream, ".orig.tar.xz"), at(&version, ".debian.tar.xz")],
    };
    Ok(SourcePackage { tarballs, dsc: at(&version, ".dsc"), changes: at(&version, "_source.changes") })
}

/// Writes the source package and says where.
///
/// # Errors
/// [`PackageError`]; nothing partial is left.
pub fn write(module: &Module<'_>) -> Result<SourcePackage, PackageError> {
    let id = module.id;
    let paths = paths(module)?;
    let package = name::wrapper(&id.name)?;
    // In a folder of its own: it may have a Makefile or a `debian` that mean something else.
    let place = id.dir_name();
    let (mut source_entries, date) = module.source_entries(Path::new(&place))?;
    let template = module.template("mkdeb", None, date)?;
    let mut control = module.fields(&package, "all", &mkdeb::description(module), &template)?;
    let version = control.get("Version").unwrap_or_default().to_owned();
    let text = format!("Made by `dkms mkdsc` from {id}");
    let maintainer = control.get("Maintainer").unwrap_or_default().to_owned();
    let changelog = docs::changelog(&package, &version, &text, &maintainer, date);
    let provides = format!("{}-modules (= ${{source:Version}})", name::base(&id.name)?);
    // Relations to what debhelper puts in, beside those that the source names itself.
    let mut add = |field: &str, relation: &str| {
        let known = control.get(field).map(|text| format!("{text}, ")).unwrap_or_default();
        control.set(field, format!("{known}{relation}"));
    };
    add("Depends", "dkms (>= 3), ${misc:Depends}");
    add("Provides", &provides);
    let (source, binary) = paragraphs(&package, &control);
    let format = if paths.tarballs.len() == 1 { NATIVE } else { QUILT };
    let mut entries = Entries::default();
    entries.file("debian/control", format!("{}\n{}", source.to_text(), binary.to_text()), 0o644);
    entries.file("debian/rules", RULES, 0o755);
    entries.file("debian/changelog", changelog.as_str(), 0o644);
    entries.file("debian/copyright", docs::copyright(module, module.licenses()?, date)?, 0o644);
    entries.file("debian/source/format", format!("{format}\n"), 0o644);
    entries.file(format!("debian/{package}.dkms"), format!("{place}/dkms.conf\n"), 0o644);
    entries.file(format!("debian/{package}.install"), format!("{place} usr/src/\n"), 0o644);
    template.put_all(&mut entries)?;

    let mut staged = Staged::begin(&paths.dsc)?;
    let below = format!("{package}-{}", name::in_file_name(&name::version(&id.version)?));
    let mut tarballs = Vec::new();
    if let [orig, _] = paths.tarballs.as_slice() {
        tarballs.push(write_tarball(&mut staged, orig, &source_entries, Path::new(&below), date)?);
    } else {
        source_entries.append(entries);
        entries = source_entries;
    }
    if let [.., last] = paths.tarballs.as_slice() {
        // Where `debian/` is by itself it is unpacked as it is.
        let below = if format == NATIVE { Path::new(&below) } else { Path::new(".") };
        tarballs.push(write_tarball(&mut staged, last, &entries, below, date)?);
    }

    let dsc = dsc(format, &source, &binary, &version, &tarballs);
    dsc.check()?;
    let text = dsc.to_text();
    write_text(&mut staged, &paths.dsc, &text)?;
    let dsc_sums = Sums::of(&paths.dsc, text.as_bytes())?;
    tarballs.insert(0, dsc_sums);
    let changes = changes(&dsc, &changelog, date, &tarballs);
    write_text(&mut staged, &paths.changes, &changes.to_text())?;
    staged.publish()?;
    Ok(paths)
}

const NATIVE: &str = "3.0 (native)";
const QUILT: &str = "3.0 (quilt)";

fn write_tarball(
    staged: &mut Staged,
    path: &Path,
    entries: &Entries,
    below: &Path,
    date: u64,
) -> Result<Sums, PackageError> {
    let file = staged.create(path)?;
    let (file, _) = tarball::write(entries, below, date, Packing::Xz, file, path)?;
    file.sync_all().map_err(|source| write_error(path, source))?;
    Sums::of(path, staged.reader(path)?)
}

const RULES: &str = "#!/usr/bin/make -f\n\n%:\n\tdh $@ --with dkms\n";

/// debian/control's two paragraphs, from the fields of the package that is made.
fn paragraphs(package: &str, control: &Fields) -> (Fields, Fields) {
    let field = |name| control.get(name).unwrap_or_default();
    let mut source = Fields::default();
    source.set("Source", package);
    for name in ["Section", "Priority", "Maintainer"] {
        source.set(name, field(name));
    }
    source.set("Build-Depends", "debhelper-compat (= 13), dh-dkms");
    source.set("Standards-Version", "4.6.2");
    source.set("Rules-Requires-Root", "no");
    if let Some(homepage) = control.get("Homepage") {
        source.set("Homepage", homepage);
    }
    let mut binary = Fields::default();
    for (name, value) in control.iter() {
        if source.get(name).is_none() && name != "Version" {
            binary.set(name, value);
        }
    }
    (source, binary)
}

/// A file's length and sums.
struct Sums {
    name: String,
    size: u64,
    md5: String,
    sha1: String,
    sha256: String,
}

impl SourcePackage {
    /// All of them, in the order in which they are needed.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.tarballs.iter().chain([&self.dsc, &self.changes]).map(PathBuf::as_path)
    }
}

impl Sums {
    fn of(path: &Path, mut contents: impl std::io::Read) -> Result<Self, PackageError> {
        let (mut md5, mut sha1, mut sha256) = (Md5::new(), Sha1::new(), Sha256::new());
        let (mut size, mut buffer) = (0, vec![0; 64 << 10]);
        loop {
            let read = |source| fs::FsError { verb: "read", path: path.to_owned(), source };
            let count = contents.read(&mut buffer).map_err(read)?;
            if count == 0 {
                break;
            }
            let bytes = &buffer[..count];
            size += count as u64;
            md5.update(bytes);
            sha1.update(bytes);
            sha256.update(bytes);
        }
        Ok(Self {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            size,
            md5: hex(&md5.finalize()),
            sha1: hex(&sha1.finalize()),
            sha256: hex(&sha256.finalize()),
        })
    }

    fn line(&self, sum: &str) -> String {
        format!("\n{sum} {} {}", self.size, self.name)
    }
}

fn dsc(format: &str, source: &Fields, binary: &Fields, version: &str, tarballs: &[Sums]) -> Fields {
    let each = |line: &dyn Fn(&Sums) -> String| tarballs.iter().map(line).collect::<String>();
    let field = |name| source.get(name).unwrap_or_default();
    let package = field("Source");
    let mut dsc = Fields::default();
    dsc.set("Format", format);
    dsc.set("Source", package);
    dsc.set("Binary", package);
    dsc.set("Architecture", binary.get("Architecture").unwrap_or("all"));
    dsc.set("Version", version);
    for name in ["Maintainer", "Homepage", "Standards-Version", "Build-Depends"] {
        if let Some(value) = source.get(name) {
            dsc.set(name, value);
        }
    }
    let list = format!("\n{package} deb {} {} arch=all", field("Section"), field("Priority"));
    dsc.set("Package-List", list);
    dsc.set("Checksums-Sha1", each(&|file| file.line(&file.sha1)));
    dsc.set("Checksums-Sha256", each(&|file| file.line(&file.sha256)));
    dsc.set("Files", each(&|file| file.line(&file.md5)));
    dsc
}

fn changes(dsc: &Fields, changelog: &str, date: u64, files: &[Sums]) -> Fields {
    let field = |name| dsc.get(name).unwrap_or_default();
    let each = |line: &dyn Fn(&Sums) -> String| files.iter().map(line).collect::<String>();
    let list = field("Package-List");
    let mut words = list.split_whitespace().skip(2);
    let (section, priority) = (words.next().unwrap_or("kernel"), words.next().unwrap_or("optional"));
    let entry: Vec<&str> = changelog.lines().filter(|line| !line.starts_with(" --")).collect();
    let mut changes = Fields::default();
    changes.set("Format", "1.8");
    changes.set("Date", clock::rfc2822(date));
    changes.set("Source", field("Source"));
    changes.set("Architecture", "source");
    changes.set("Version", field("Version"));
    changes.set("Distribution", "unstable");
    changes.set("Urgency", "medium");
    changes.set("Maintainer", field("Maintainer"));
    changes.set("Changed-By", field("Maintainer"));
    changes.set("Changes", format!("\n{}", entry.join("\n").trim_end()));
    changes.set("Checksums-Sha1", each(&|file| file.line(&file.sha1)));
    changes.set("Checksums-Sha256", each(&|file| file.line(&file.sha256)));
    let line = |file: &Sums| format!("\n{} {} {section} {priority} {}", file.md5, file.size, file.name);
    changes.set("Files", each(&line));
    changes
}

fn write_text(staged: &mut Staged, path: &Path, text: &str) -> Result<(), PackageError> {
    use std::io::Write as _;
    let mut file = staged.create(path)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|source| write_error(path, source))
}
