//! What the places of the setting `prebuilt` have, by the names of their files: listed once for each run.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use super::name::{Hint, hint};
use super::remote::{self, Means};
use crate::conf::{PrebuiltPlace, Settings};
use crate::host::{Environment, fs};
use crate::id::{ModuleId, Target};

/// How long a place may take to list what it has.
const PATIENCE: Duration = Duration::from_secs(5);

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Which.
    pub place: PrebuiltPlace,
    /// The names of its files; else why they are not known.
    pub files: Result<Vec<String>, String>,
    /// What the program that asked it lacked that keeps it in.
    pub lacks: Option<String>,
}

impl Listing {
    /// Asks all places of the settings.
    #[must_use]
    pub fn all(settings: &Settings, environment: &Environment) -> Vec<Self> {
        let list = |place: &PrebuiltPlace| {
            let (files, lacks) = match place {
                PrebuiltPlace::Folder(folder) => {
                    let folder = settings.layout.at(&folder.to_string_lossy());
                    (listed(move || names(folder), PATIENCE), None)
                }
                PrebuiltPlace::Remote(place) => {
                    let known = remote::list(place, Means { settings, environment });
                    (known.files, known.lacks)
                }
            };
            Self { place: place.clone(), files, lacks }
        };
        settings.prebuilt.iter().map(list).collect()
    }

    /// Its files that may hold a module for a kernel; first those whose names say that they do.
    pub(super) fn candidates(&self, id: &ModuleId, target: &Target) -> Vec<(&str, Hint)> {
        let names = self.files.as_deref().unwrap_or_default().iter();
        let found = names.map(|name| (name.as_str(), hint(name, id, target)));
        let mut found: Vec<_> = found.filter(|(_, hint)| *hint != Hint::No).collect();
        found.sort_by_key(|(_, hint)| *hint != Hint::Yes);
        found
    }

    /// Whether one of them may.
    #[must_use]
    pub fn may_have(&self, id: &ModuleId, target: &Target) -> bool {
        !self.candidates(id, target).is_empty()
    }

    /// The warning for a place that did not answer.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let why = self.files.as_ref().err()?;
        Some(unusable(&self.place, why))
    }

    /// The warning for a program that is less isolated than it should be.
    #[must_use]
    pub fn isolation_warning(&self) -> Option<String> {
        let lacks = self.lacks.as_ref()?;
        let place = &self.place;
        Some(format!(
            "the program that asks the place `{place}` of prebuilt modules is not fully isolated: {lacks}"
        ))
    }
}

/// The warning for a place that cannot be used.
pub(super) fn unusable(place: &PrebuiltPlace, why: &str) -> String {
    format!("the place `{place}` of prebuilt modules cannot be used: {why}")
}

/// An answer within a time limit: a network file system whose server is gone gives none.
fn listed<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, String> + Send + 'static,
    patience: Duration,
) -> Result<T, String> {
    let (answer, answered) = mpsc::channel();
    // Nobody waits any more if it can't be sent.
    std::thread::spawn(move || drop(answer.send(ask())));
    let nothing = |_| Err(format!("no answer within {} seconds", patience.as_secs()));
    answered.recv_timeout(patience).unwrap_or_else(nothing)
}

fn names(folder: PathBuf) -> Result<Vec<String>, String> {
    if !fs::is_dir(&folder) {
        return Err(format!("`{}` is not a folder", folder.display()));
    }
    let entries = fs::list(&folder).map_err(|error| error.to_string())?;
    // A name with control characters is no bundle's, and would be printed.
    let is_name = |name: &String| !name.contains(char::is_control);
    let file = |entry: fs::Entry| {
        let name = (!entry.kind.is_dir()).then(|| entry.name.into_string().ok())?;
        name.filter(is_name)
    };
    let mut names: Vec<String> = entries.into_iter().filter_map(file).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    #[test]
    fn a_place_that_is_not_there_says_so_and_one_without_an_answer_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::defaults(Layout::under(dir.path()));
        settings.prebuilt = ["file:/a", "file:/b"].into_iter().filter_map(PrebuiltPlace::parse).collect();
        fs::create_dir_all(&dir.path().join("a/sub")).unwrap();
        fs::write_whole(&dir.path().join("a/foo-1.dkms.tar"), b"", 0o644).unwrap();
        let [a, b] = Listing::all(&settings, &Environment::default()).try_into().unwrap();
        let (id, target) = (ModuleId::parse("foo", "1").unwrap(), Target::parse("6.1", "x86_64").unwrap());
        assert_eq!(a.candidates(&id, &target), [("foo-1.dkms.tar", Hint::Maybe)]);
        assert!(a.warning().is_none() && !b.may_have(&id, &target));
        assert!(b.warning().unwrap().contains("is not a folder"));
        for name in ["foo-1-a.dkms.tar", "foo-1-kernel6.1-x86_64.dkms.tar"] {
            fs::write_whole(&dir.path().join("a").join(name), b"", 0o644).unwrap();
        }
        let again = Listing::all(&settings, &Environment::default());
        let hints = again[0].candidates(&id, &target).into_iter().map(|(_, hint)| hint);
        assert_eq!(hints.collect::<Vec<_>>(), [Hint::Yes, Hint::Maybe, Hint::Maybe]);
        let slow = || {
            std::thread::sleep(Duration::from_millis(400));
            Ok(())
        };
        assert_eq!(listed(slow, Duration::from_millis(20)), Err("no answer within 0 seconds".to_owned()));
    }
}
