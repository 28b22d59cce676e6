//! What is remembered of a module that was taken from a place: from where, who signed it, and when. So an
//! older one is not taken later, and status can show it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bake::manifest::digest_of;
use crate::host::fs::{self, FsError};
use crate::id::{ModuleId, Target};
use crate::layout::Layout;
use crate::tree::state;

/// Grows with every incompatible change.
const FORMAT: u32 = 1;
/// Every note is smaller.
const LARGEST: u64 = 1 << 20;

/// A module that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    format: u32,
    /// The place, as the setting has it.
    pub place: String,
    /// The name of the bundle there.
    pub bundle: String,
    /// The id of the key that signed it.
    pub key: String,
    /// When it was signed, in seconds since 1970.
    pub signed: u64,
    /// SHA-256 of each file, by name.
    pub files: BTreeMap<String, String>,
}

impl Note {
    /// Of what is about to be taken.
    pub(super) fn new(
        place: String,
        bundle: String,
        key: String,
        signed: u64,
        files: BTreeMap<String, String>,
    ) -> Self {
        Self { format: FORMAT, place, bundle, key, signed, files }
    }

    /// What is remembered of a module on a kernel. What can't be read as such isn't there.
    ///
    /// # Errors
    /// [`FsError`] if it is there, and can't be read.
    pub fn read(layout: &Layout, id: &ModuleId, target: &Target) -> Result<Option<Self>, FsError> {
        let bytes = fs::optional(fs::read_limited(&layout.prebuilt_note(id, target), LARGEST))?;
        let note = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        Ok(note.filter(|note| note.format == FORMAT))
    }

    /// The same, if what is built is still what was taken.
    #[must_use]
    pub fn of_built(layout: &Layout, id: &ModuleId, target: &Target) -> Option<Self> {
        let folder = layout.built_dir(id, target);
        let is_same = |(name, digest): (&String, &String)| {
            digest_of(&folder.join(name)).is_ok_and(|found| found == *digest)
        };
        Self::read(layout, id, target).ok()?.filter(|note| note.files.iter().all(is_same))
    }

    pub(super) fn write(&self, layout: &Layout, id: &ModuleId, target: &Target) -> Result<(), FsError> {
        let path = layout.prebuilt_note(id, target);
        state::create_folder(layout, path.parent().unwrap_or(&path))?;
        // Texts and numbers can always be written as JSON.
        fs::write_whole(&path, &serde_json::to_vec_pretty(self).unwrap_or_default(), 0o644)
    }

    /// Where it came from and who signed it, for people.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}, signed by the key {}", self.place, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_as_long_as_the_files_are_those_that_were_taken() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let (id, target) = (ModuleId::parse("foo", "1.0").unwrap(), Target::parse("6.1", "x86_64").unwrap());
        let file = layout.built_dir(&id, &target).join("foo.ko");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write_whole(&file, b"module", 0o644).unwrap();
        let files = [("foo.ko".to_owned(), digest_of(&file).unwrap())].into();
        let note = Note::new("file:/srv".to_owned(), "foo.tar".to_owned(), "k".to_owned(), 7, files);
        assert_eq!(Note::of_built(&layout, &id, &target), None);
        note.write(&layout, &id, &target).unwrap();
        assert_eq!(Note::of_built(&layout, &id, &target).unwrap(), note);
        fs::write_whole(&file, b"built", 0o644).unwrap();
        assert_eq!(Note::of_built(&layout, &id, &target), None);
        assert_eq!(Note::read(&layout, &id, &target).unwrap().unwrap().signed, 7);
        for text in ["", "{", "[]", r#"{"format":2}"#] {
            fs::write_whole(&layout.prebuilt_note(&id, &target), text.as_bytes(), 0o644).unwrap();
            assert_eq!(Note::read(&layout, &id, &target).unwrap(), None, "{text}");
        }
    }
}
