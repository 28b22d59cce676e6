//! The signed manifest of a tarball, read before anything of the tarball is unpacked: who signed it decides
//! whether it is.

use std::path::Path;

use super::entries::{Entry, EntryKind};
use super::error::ArchiveError;
use super::limits::Limits;
use super::manifest::{self, BuildRecord, MANIFEST, Manifest, SIGNATURE, SignedBy};
use super::name;
use super::read::Staged;
use super::stream::Stream;
use dkms_base::host::fs::{self, FsError};

/// No signature reaches it, in bytes.
const LONGEST: u64 = 64 << 10;

/// A manifest and the signature over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// The manifest, byte for byte.
    pub bytes: Vec<u8>,
    /// The signature, in base64.
    pub signature: String,
}

impl SignedManifest {
    /// Reads both from an archive, and of that no more than is needed; `None`: one of them is not there.
    ///
    /// # Errors
    /// [`ArchiveError`] where the archive can't be read up to there, or is larger than the limits.
    pub fn read(archive: &Path, limits: &Limits) -> Result<Option<Self>, ArchiveError> {
        let mut stream = Stream::open(archive, limits)?;
        let (mut manifest, mut signature) = (None, None);
        while let Some(entry) = stream.next()? {
            let (place, largest) = match name::parse(&entry.name) {
                Ok(path) if path == Path::new(MANIFEST) => (&mut manifest, manifest::LARGEST),
                Ok(path) if path == Path::new(SIGNATURE) => (&mut signature, LONGEST),
                _ => continue,
            };
            if place.is_some() || entry.kind != EntryKind::File || entry.size > largest {
                return Ok(None);
            }
            *place = Some(contents(&mut stream, &entry)?);
            if manifest.is_some() && signature.is_some() {
                break;
            }
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        Ok(manifest.zip(signature.map(text)).map(|(bytes, signature)| Self { bytes, signature }))
    }

    /// Whether an archive that was unpacked has this very manifest: it may have been exchanged in between.
    ///
    /// # Errors
    /// [`FsError`].
    pub fn is_of(&self, staged: &Staged) -> Result<bool, FsError> {
        let bytes = fs::optional(fs::read_limited(&staged.root.join(MANIFEST), manifest::LARGEST))?;
        Ok(bytes.is_some_and(|bytes| bytes == self.bytes))
    }

    /// What it states; `None`: it is no manifest of ours.
    #[must_use]
    pub fn statement(&self) -> Option<Statement> {
        let manifest: Manifest = serde_json::from_slice(&self.bytes).ok()?;
        let build = |record: &BuildRecord| (record.kernel.clone(), record.arch.clone());
        Some(Statement {
            module: (manifest.name, manifest.version),
            builds: manifest.builds.iter().map(build).collect(),
            source: manifest.source,
            signed: manifest.signed,
        })
    }
}

fn contents(stream: &mut Stream<'_>, entry: &Entry) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = vec![0; usize::try_from(entry.size).unwrap_or(usize::MAX)];
    let mut at = 0;
    while at < bytes.len() {
        match stream.read(&mut bytes[at..])? {
            0 => break,
            n => at += n,
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

/// What a manifest states of the whole archive: the words of the one who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Name and version of the module.
    pub module: (String, String),
    /// Kernel and architecture of each build.
    pub builds: Vec<(String, String)>,
    /// The digest of the source that is not in the archive.
    pub source: Option<String>,
    /// What the signer said.
    pub signed: Option<SignedBy>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with these entries, the end of it cut off by so many bytes.
    fn archive(entries: &[(&str, &[u8])], cut: usize) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for (name, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        let mut bytes = tar.into_inner().unwrap();
        bytes.truncate(bytes.len() - cut);
        fs::write_whole(file.path(), &bytes, 0o644).unwrap();
        file
    }

    #[test]
    fn no_more_is_read_than_who_signed_it() {
        let long = vec![b'x'; 1 << 17];
        let (manifest, signature) = ((MANIFEST, b"{}".as_slice()), (SIGNATURE, b"MEUC\n".as_slice()));
        let other = ("dkms_main_tree/other", long.as_slice());
        let cut = 1 << 16;
        for (entries, cut, expected) in [
            (vec![other, manifest, signature], 0, Ok(true)),
            (vec![signature, manifest, other], cut, Ok(true)),
            (vec![signature, other, manifest], cut, Err(())),
            (vec![manifest, other], 0, Ok(false)),
            (vec![signature, other], 0, Ok(false)),
            (vec![manifest, manifest, signature], 0, Ok(false)),
            (vec![manifest, (SIGNATURE, &long)], 0, Ok(false)),
        ] {
            let names: Vec<&str> = entries.iter().map(|(name, _)| *name).collect();
            let read = SignedManifest::read(archive(&entries, cut).path(), &Limits::default());
            let found = read.map_err(drop).map(|read| {
                let expected = SignedManifest { bytes: b"{}".to_vec(), signature: "MEUC".to_owned() };
                read.is_some_and(|read| read == expected)
            });
            assert_eq!(found, expected, "{names:?}");
        }
    }

    #[test]
    fn a_manifest_that_is_none_states_nothing() {
        let signed = SignedManifest { bytes: b"[1]".to_vec(), signature: String::new() };
        assert_eq!(signed.statement(), None);
    }
}
