//! Source packages: a spec file and what it names, in one rpm. The crate writes binary packages only, so
//! header and payload are put together here, as rpmbuild does.

use std::io::Write as _;
use std::path::Path;

use dkms_kernel::newc::Newc;
use rpm::{
    Dependency, DigestAlgorithm, Header, HeaderEntry, IndexData, IndexTag, Lead, Package, PackageMetadata,
    RpmFormat, SignatureHeaderBuilder,
};
use sha2::{Digest as _, Sha256};

use super::about::About;
use super::binary::{Kind, rpm_error, show};
use super::name::noon;
use super::relation::Relation;
use crate::error::PackageError;
use crate::tarball::{hex, write_error};

/// A file of a source package.
pub(super) struct File {
    pub(super) name: String,
    pub(super) contents: Vec<u8>,
    pub(super) role: Role,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Spec,
    Source,
    Patch,
}

/// rpm's mark of a spec file.
const SPEC_FILE: u32 = 1 << 5;
/// Of all files.
const PERMISSIONS: u32 = 0o644;
/// Plain files with these.
const MODE: u16 = 0o100_644;

/// Writes a source package.
pub(super) fn write(about: &About, mut files: Vec<File>, date: u32, path: &Path) -> Result<(), PackageError> {
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let failed = |source| write_error(path, source);
    let mut archive = Newc::new(Vec::new(), date);
    for file in &files {
        archive.lone_file(&file.name, PERMISSIONS, &file.contents).map_err(failed)?;
    }
    let archive = archive.finish().map_err(failed)?;
    let mut encoder = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(&archive).map_err(failed)?;
    let payload = encoder.finish().map_err(failed)?;

    let entries = header(about, &files, date, &archive, &payload);
    let header: Header<IndexTag> = Header::from_entries(entries, IndexTag::RPMTAG_HEADERIMMUTABLE);
    let crate_failed = |source| rpm_error(path, source);
    let signature = |bytes: &[u8]| {
        SignatureHeaderBuilder::new()
            .format(RpmFormat::V4)
            .set_content_length((bytes.len() + payload.len()) as u64)
            .calculate_digests(bytes)
            .build()
            .map_err(crate_failed)
    };
    let mut metadata =
        PackageMetadata { lead: Lead::new(&about.label()), signature: signature(&[])?, header };
    let bytes = metadata.header_bytes().map_err(crate_failed)?;
    metadata.signature = signature(&bytes)?;
    show(&Package { metadata, payload }, path, Kind::Source)
}

fn header(about: &About, files: &[File], date: u32, archive: &[u8], payload: &[u8]) -> Vec<HeaderEntry> {
    let count = files.len();
    let size = |file: &File| u32::try_from(file.contents.len()).unwrap_or(u32::MAX);
    let names = |role: Role| -> Vec<String> {
        files.iter().filter(|file| file.role == role).map(|file| file.name.clone()).collect()
    };
    let text = |text: &str| IndexData::StringTag(text.to_owned());
    let local = |text: &str| IndexData::I18NString(vec![text.to_owned()]);
    let all = |text: &str| IndexData::StringArray(vec![text.to_owned(); count]);
    let number = |number: u32| IndexData::Int32(vec![number]);
    let sum = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let mut requires: Vec<Dependency> = about
        .relations
        .iter()
        .filter(|(relation, _)| *relation == Relation::Requires)
        .map(|(_, dependency)| dependency.clone())
        .collect();
    requires.extend([
        Dependency::rpmlib("CompressedFileNames", "3.0.4-1"),
        Dependency::rpmlib("FileDigests", "4.6.0-1"),
    ]);
    requires.sort_by(|a, b| a.name.cmp(&b.name));
    use IndexTag as Tag;
    let mut entries = vec![
        (Tag::RPMTAG_HEADERI18NTABLE, IndexData::StringArray(vec!["C".to_owned()])),
        (Tag::RPMTAG_NAME, text(&about.name)),
        (Tag::RPMTAG_VERSION, text(&about.version)),
        (Tag::RPMTAG_RELEASE, text(&about.release)),
        (Tag::RPMTAG_SUMMARY, local(&about.summary)),
        (Tag::RPMTAG_DESCRIPTION, local(&about.description)),
        (Tag::RPMTAG_BUILDTIME, number(date)),
        (Tag::RPMTAG_BUILDHOST, text("dkms")),
        (Tag::RPMTAG_SIZE, number(files.iter().map(size).fold(0, u32::saturating_add))),
        (Tag::RPMTAG_LICENSE, text(&about.license)),
        (Tag::RPMTAG_OS, text("linux")),
        (Tag::RPMTAG_ARCH, text(&about.arch)),
        (Tag::RPMTAG_SOURCEPACKAGE, number(1)),
        (Tag::RPMTAG_SOURCE, IndexData::StringArray(names(Role::Source))),
        (Tag::RPMTAG_FILESIZES, IndexData::Int32(files.iter().map(size).collect())),
        (Tag::RPMTAG_FILEMODES, IndexData::Int16(vec![MODE; count])),
        (Tag::RPMTAG_FILERDEVS, IndexData::Int16(vec![0; count])),
        (Tag::RPMTAG_FILEMTIMES, IndexData::Int32(vec![date; count])),
        (
            Tag::RPMTAG_FILEDIGESTS,
            IndexData::StringArray(files.iter().map(|file| sum(&file.contents)).collect()),
        ),
        (Tag::RPMTAG_FILELINKTOS, all("")),
        (
            Tag::RPMTAG_FILEFLAGS,
            IndexData::Int32(
                files.iter().map(|file| if file.role == Role::Spec { SPEC_FILE } else { 0 }).collect(),
            ),
        ),
        (Tag::RPMTAG_FILEUSERNAME, all("root")),
        (Tag::RPMTAG_FILEGROUPNAME, all("root")),
        (Tag::RPMTAG_FILEVERIFYFLAGS, IndexData::Int32(vec![u32::MAX; count])),
        (Tag::RPMTAG_FILEDEVICES, IndexData::Int32(vec![1; count])),
        (Tag::RPMTAG_FILEINODES, IndexData::Int32((1..).take(count).collect())),
        (Tag::RPMTAG_FILELANGS, all("")),
        (Tag::RPMTAG_DIRINDEXES, IndexData::Int32(vec![0; count])),
        (Tag::RPMTAG_BASENAMES, IndexData::StringArray(files.iter().map(|file| file.name.clone()).collect())),
        (Tag::RPMTAG_DIRNAMES, IndexData::StringArray(vec![String::new()])),
        (
            Tag::RPMTAG_REQUIREFLAGS,
            IndexData::Int32(requires.iter().map(|needed| needed.flags.bits()).collect()),
        ),
        (
            Tag::RPMTAG_REQUIRENAME,
            IndexData::StringArray(requires.iter().map(|needed| needed.name.clone()).collect()),
        ),
        (
            Tag::RPMTAG_REQUIREVERSION,
            IndexData::StringArray(requires.iter().map(|needed| needed.version.clone()).collect()),
        ),
        (Tag::RPMTAG_RPMVERSION, text("4.18.0")),
        (Tag::RPMTAG_ENCODING, text("utf-8")),
        (Tag::RPMTAG_PAYLOADFORMAT, text("cpio")),
        (Tag::RPMTAG_PAYLOADCOMPRESSOR, text("gzip")),
        (Tag::RPMTAG_PAYLOADFLAGS, text("6")),
        (Tag::RPMTAG_FILEDIGESTALGO, number(DigestAlgorithm::Sha2_256 as u32)),
        (Tag::RPMTAG_PAYLOADSHA256, IndexData::StringArray(vec![sum(payload)])),
        (Tag::RPMTAG_PAYLOADSHA256ALT, IndexData::StringArray(vec![sum(archive)])),
        (Tag::RPMTAG_PAYLOADSHA256ALGO, number(DigestAlgorithm::Sha2_256 as u32)),
    ];
    let patches = names(Role::Patch);
    if !patches.is_empty() {
        entries.push((Tag::RPMTAG_PATCH, IndexData::StringArray(patches)));
    }
    if let Some(epoch) = about.epoch {
        entries.push((Tag::RPMTAG_EPOCH, number(epoch)));
    }
    entries.push((Tag::RPMTAG_GROUP, local(about.word("Group").unwrap_or("Unspecified"))));
    let one = |text: String| IndexData::StringArray(vec![text]);
    entries.push((Tag::RPMTAG_CHANGELOGTIME, number(noon(date))));
    entries.push((Tag::RPMTAG_CHANGELOGNAME, one(about.changed_by())));
    entries.push((Tag::RPMTAG_CHANGELOGTEXT, one(format!("- {}", about.change))));
    for (name, tag) in
        [("URL", Tag::RPMTAG_URL), ("Packager", Tag::RPMTAG_PACKAGER), ("Vendor", Tag::RPMTAG_VENDOR)]
    {
        entries.extend(about.word(name).map(|value| (tag, text(value))));
    }
    entries.into_iter().map(|(tag, data)| HeaderEntry::new(tag as u32, data)).collect()
}
