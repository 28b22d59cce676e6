//! An archive as a stream of entries, decompressed and held to its limits; errors name archive and entry.
//! Writes nothing.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use super::compression::{Compression, MAGIC_LENGTH};
use super::entries::{Broken, Entries, Entry};
use super::error::ArchiveError;
use super::limits::{Counted, Limits, Metered, exceeded};
use super::name;
use dkms_base::host::{fs, signals};

/// The entries of an archive, one after the other.
pub(super) struct Stream<'a> {
    pub(super) archive: &'a Path,
    /// The entry at hand, for messages.
    pub(super) at: Option<String>,
    entries: Entries<Metered<Box<dyn Read>>>,
}

impl<'a> Stream<'a> {
    /// Opens an archive of any compression that we know.
    pub(super) fn open(archive: &'a Path, limits: &Limits) -> Result<Self, ArchiveError> {
        let (compression, packed) = open(archive)?;
        let (packed, count) = Counted::new(packed);
        let damaged = |error: io::Error| ArchiveError::Damaged {
            archive: archive.to_owned(),
            entry: None,
            reason: error.to_string(),
        };
        let decoder = compression.decoder(packed, limits.window).map_err(damaged)?;
        let entries = Entries::new(Metered::new(decoder, count, limits.clone()));
        Ok(Self { archive, at: None, entries })
    }

    /// The next entry; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        if signals::interrupted() {
            return Err(ArchiveError::Interrupted { archive: self.archive.to_owned() });
        }
        let next = self.entries.next().map_err(|broken| self.broken(broken))?;
        if let Some(entry) = &next {
            self.at = Some(name::shown(&entry.name));
        }
        Ok(next)
    }

    /// Reads contents of the entry at hand; 0 at their end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        loop {
            if signals::interrupted() {
                return Err(ArchiveError::Interrupted { archive: self.archive.to_owned() });
            }
            match self.entries.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(Broken::Stream(error))),
                Ok(n) => return Ok(n),
            }
        }
    }

    fn broken(&self, broken: Broken) -> ArchiveError {
        let archive = self.archive.to_owned();
        match broken {
            Broken::NoTar => ArchiveError::NotAnArchive { archive },
            Broken::Entry { name, fault } => {
                ArchiveError::Refused { archive, entry: name::shown(&name), fault }
            }
            Broken::Header { name, reason } => {
                let entry = if name.is_empty() { self.at.clone() } else { Some(name::shown(&name)) };
                ArchiveError::Damaged { archive, entry, reason: reason.to_owned() }
            }
            Broken::Stream(error) => match exceeded(&error) {
                Some(limit) => {
                    ArchiveError::TooBig { archive, entry: self.at.clone().unwrap_or_default(), limit }
                }
                None => {
                    let early = error.kind() == io::ErrorKind::UnexpectedEof;
                    let reason = if early { "it ends too early".to_owned() } else { error.to_string() };
                    ArchiveError::Damaged { archive, entry: self.at.clone(), reason }
                }
            },
        }
    }
}

fn open(archive: &Path) -> Result<(Compression, File), ArchiveError> {
    let mut file = match fs::open(archive) {
        Err(error) if error.is_not_found() => {
            return Err(ArchiveError::Missing { archive: archive.to_owned() });
        }
        other => other?,
    };
    let failed = |source| fs::FsError { verb: "read", path: archive.to_owned(), source };
    let mut head = Vec::new();
    (&mut file).take(MAGIC_LENGTH as u64).read_to_end(&mut head).map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok((Compression::of_magic(&head), file))
}
