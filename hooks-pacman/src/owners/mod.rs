//! Which package a path belongs to: asked of libalpm where we are built with it, otherwise read from the
//! files of pacman's local database.
//!
//! - `libalpm`: the only place that knows that library, in each of its versions
//! - [`files`]: the database's files

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::layout::Layout;
use serde::{Deserialize, Serialize};

use crate::pacman_conf;

pub mod files;
#[cfg(any(feature = "libalpm-13", feature = "libalpm-15", feature = "libalpm-16"))]
mod libalpm;

/// A package as it is installed: put in place again from the same file it is the same again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When it was built, in seconds; what has the same version may have been built again.
    pub built: i64,
}

/// Owners by path, as file lists have it: without a leading slash, folders with one at their end.
pub type Owners = BTreeMap<String, Owner>;

/// Pacman's local database.
#[derive(Debug, Clone)]
pub struct Database {
    path: Option<PathBuf>,
}

/// What was found, and how.
#[derive(Debug)]
pub struct Found {
    /// Who owns what.
    pub owners: Owners,
    /// Why libalpm was not asked.
    pub without_libalpm: Option<String>,
}

impl Database {
    /// The database of this system.
    #[must_use]
    pub fn of(layout: &Layout) -> Self {
        let conf = fs::read_lossy(&layout.at("/etc/pacman.conf")).unwrap_or_default();
        let places = pacman_conf::databases(&conf).into_iter().map(|place| layout.at(&place));
        Self { path: places.into_iter().find(|place| fs::is_dir(&place.join("local"))) }
    }

    /// Who owns these paths. What can't be found out isn't known: nothing depends on it but what is spared.
    #[must_use]
    pub fn owners(&self, paths: &[String]) -> Found {
        let Some(path) = &self.path else {
            let why = "no local database of pacman was found".to_owned();
            return Found { owners: Owners::new(), without_libalpm: Some(why) };
        };
        if paths.is_empty() {
            return Found { owners: Owners::new(), without_libalpm: None };
        }
        match ask(path, paths) {
            Ok(owners) => Found { owners, without_libalpm: None },
            Err(why) => Found { owners: files::owners(path, paths), without_libalpm: Some(why) },
        }
    }
}

/// The library that is asked.
#[must_use]
pub fn library() -> Option<String> {
    #[cfg(any(feature = "libalpm-13", feature = "libalpm-15", feature = "libalpm-16"))]
    return Some(libalpm::version());
    #[cfg(not(any(feature = "libalpm-13", feature = "libalpm-15", feature = "libalpm-16")))]
    None
}

#[cfg(any(feature = "libalpm-13", feature = "libalpm-15", feature = "libalpm-16"))]
fn ask(database: &Path, paths: &[String]) -> Result<Owners, String> {
    libalpm::owners(database, paths)
        .map_err(|error| format!("libalpm can't open `{}`: {error}", database.display()))
}

#[cfg(not(any(feature = "libalpm-13", feature = "libalpm-15", feature = "libalpm-16")))]
fn ask(_: &Path, _: &[String]) -> Result<Owners, String> {
    Err("this helper was built without libalpm".to_owned())
}
