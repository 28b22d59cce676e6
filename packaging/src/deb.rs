//! A `.deb` file: an `ar` archive of a version, the control files and the files to install.

use std::io::{self, Seek, Write};
use std::path::Path;

use crate::debian::fields::Fields;
use crate::entries::Entries;
use crate::error::PackageError;
use crate::staged::{Staged, folder_of};
use crate::tarball::{self, write_error};

pub use crate::tarball::Packing;

/// A package to write.
#[derive(Debug)]
pub struct Deb {
    /// Its control fields; `Installed-Size` is put in.
    pub control: Fields,
    /// What it installs, by path without the leading slash.
    pub data: Entries,
    /// Maintainer scripts by name (`postinst`).
    pub scripts: Vec<(&'static str, String)>,
    /// Other members of the control archive by name (`conffiles`, `triggers`).
    pub members: Vec<(&'static str, String)>,
    /// The time of all that has no older one, in seconds.
    pub date: u64,
    /// How it is compressed.
    pub packing: Packing,
}

impl Deb {
    /// Writes it whole, or leaves nothing.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn write(mut self, path: &Path) -> Result<(), PackageError> {
        let failed = |source| write_error(path, source);
        let mut staged = Staged::begin(path)?;
        // Its length stands before it in the archive, so it is written first, to a file without a name.
        let data = tempfile::tempfile_in(folder_of(path)).map_err(failed)?;
        let (mut data, written) =
            tarball::write(&self.data, Path::new("."), self.date, self.packing, data, path)?;
        data.rewind().map_err(failed)?;
        self.control.set("Installed-Size", written.kibibytes.to_string());
        self.control.check()?;

        let mut control = Entries::default();
        control.file("control", self.control.to_text(), 0o644);
        let mut sums = String::new();
        for (name, sum) in &written.md5sums {
            let Some(name) = name.to_str().filter(|name| !name.contains('\n')) else {
                return Err(PackageError::CannotPack {
                    path: name.clone(),
                    why: "has a name that is no text",
                });
            };
            // dpkg has its own sums of these.
            if !self.is_conffile(name) {
                sums.push_str(&format!("{sum}  {name}\n"));
            }
        }
        control.file("md5sums", sums, 0o644);
        for (name, text) in &self.scripts {
            control.file(name, text.as_bytes(), 0o755);
        }
        for (name, text) in &self.members {
            control.file(name, text.as_bytes(), 0o644);
        }
        let (control, _) =
            tarball::write(&control, Path::new("."), self.date, self.packing, Vec::new(), path)?;

        let length = data.metadata().map_err(failed)?.len();
        let mut archive = ar::Builder::new(staged.create(path)?);
        let mut member = |name: &str, size: u64, contents: &mut dyn io::Read| {
            let mut header = ar::Header::new(name.as_bytes().to_vec(), size);
            header.set_mode(0o100_644);
            header.set_mtime(self.date);
            archive.append(&header, contents).map_err(failed)
        };
        member("debian-binary", 4, &mut &b"2.0\n"[..])?;
        let name = |part: &str| format!("{part}.tar{}", self.packing.suffix());
        member(&name("control"), control.len() as u64, &mut &control[..])?;
        member(&name("data"), length, &mut data)?;
        let mut file = archive.into_inner().map_err(failed)?;
        file.flush().and_then(|()| file.sync_all()).map_err(failed)?;
        staged.publish()
    }

    fn is_conffile(&self, name: &str) -> bool {
        let conffiles = self.members.iter().find(|(member, _)| *member == "conffiles");
        conffiles.is_some_and(|(_, text)| text.lines().any(|line| line.strip_prefix('/') == Some(name)))
    }
}
