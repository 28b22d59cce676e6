//! With `--root`: which side of it a path of the command line is on.
//!
//! Sources and archives that are read are the caller's, as with rpm and dpkg: a relative path is this
//! system's, an absolute one too unless the root has it. They are copied into a private folder of the root,
//! where the command finds them. Every other path is the root's.

use std::path::{Path, PathBuf};

use dkms_base::exit::ExitCode;
use dkms_base::host::outside::Outside;
use dkms_base::host::{fs, trusted};

use crate::action::Action;
use crate::args::Args;
use crate::failure::Failure;
use crate::invocation::{SourceWord, source_word};

/// What a command line names of this system, opened before the root is entered.
#[derive(Debug, Default)]
pub struct Brought {
    words: Vec<(usize, Outside)>,
    archive: Option<Outside>,
}

/// The copies; they go with this value.
#[derive(Debug, Default)]
pub struct Copies {
    folder: Option<tempfile::TempDir>,
    /// The paths that were copied, as they were typed.
    pub typed: Vec<PathBuf>,
}

impl Brought {
    /// Opens it.
    ///
    /// # Errors
    /// [`Failure`] with code 2 where it can't be read.
    pub fn open(args: &Args) -> Result<Self, Failure> {
        let actions: Vec<Action> = args.words.iter().filter_map(|word| Action::from_word(word)).collect();
        let open = |path: &Path| {
            Outside::open(path).map_err(|error| Failure::new(ExitCode::BAD_OPTION, error.to_string()))
        };
        let mut brought = Self::default();
        // What these make, sign or look at is the root's.
        let names_none =
            |action: &Action| action.takes_folder() || action.takes_paths() || action.takes_modules();
        if !actions.iter().any(names_none) {
            for (at, word) in args.words.iter().enumerate() {
                let source = source_word(Path::new(word)).filter(|_| Action::from_word(word).is_none());
                if let Some(SourceWord::Folder(path) | SourceWord::Archive(path) | SourceWord::Rpm(path)) =
                    source
                {
                    brought.words.push((at, open(&path)?));
                }
            }
        }
        if let Some(archive) = args.archive.as_deref().filter(|path| fs::is_file(path))
            && !actions.iter().any(|action| action.writes_archive())
        {
            brought.archive = Some(open(archive)?);
        }
        Ok(brought)
    }

    /// Copies it into the root, which was entered, and has the command line name the copies.
    ///
    /// # Errors
    /// [`Failure`] with code 1 where the root takes no copy.
    pub fn copy_into(self, args: &mut Args) -> Result<Copies, Failure> {
        let mut copies = Copies::default();
        for (at, outside) in self.words {
            if let Some(copy) = copies.take(Path::new(&args.words[at]), outside)? {
                // It lies in a folder of ours, and is named in ASCII.
                args.words[at] = copy.to_string_lossy().into_owned();
            }
        }
        if let (Some(outside), Some(path)) = (self.archive, args.archive.clone())
            && let Some(copy) = copies.take(&path, outside)?
        {
            args.archive = Some(copy);
        }
        Ok(copies)
    }
}

impl Copies {
    /// The copy of what a path names, if it is not the root's.
    fn take(&mut self, path: &Path, outside: Outside) -> Result<Option<PathBuf>, Failure> {
        if path.is_absolute() && fs::exists(path) {
            return Ok(None);
        }
        let refused = |error: String| {
            let text = format!("cannot copy `{}` into the root: {error}", path.display());
            Failure::new(ExitCode::USAGE_OR_RIGHTS, text)
        };
        let place = match &self.folder {
            Some(folder) => folder.path().to_owned(),
            None => {
                let made = tempfile::Builder::new()
                    .prefix("dkms-brought-")
                    .tempdir_in(trusted::staging_folder())
                    .map_err(|error| refused(error.to_string()))?;
                self.folder.insert(made).path().to_owned()
            }
        };
        let folder = place.join(self.typed.len().to_string());
        fs::create_dir_all(&folder).map_err(|error| refused(error.to_string()))?;
        // Of a dkms.conf the whole folder was opened; an archive keeps what its name says of it.
        let copy = match path.file_name() {
            Some(name) if name.is_ascii() && name != "dkms.conf" => folder.join(name),
            _ => folder.join("source"),
        };
        outside.copy_to(&copy).map_err(|error| refused(error.to_string()))?;
        self.typed.push(path.to_owned());
        Ok(Some(copy))
    }
}
