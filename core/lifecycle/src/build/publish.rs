//! The result of a build becomes visible: written beside its place, synced, and put there by one rename.

use std::path::{Path, PathBuf};

use super::place::Place;
use super::{BuildSpec, Failure};
use crate::host::adopt::{self, Links};
use crate::host::fs;

/// A result in the making. Dropped before it is published, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Stage {
    dir: PathBuf,
}

impl Stage {
    /// An empty one, where only root gets.
    pub(super) fn new(place: &Place) -> Result<Self, Failure> {
        let dir = place.at("result");
        let stage = Self { dir };
        fs::create_dir_all(&stage.modules())?;
        fs::create_dir_all(&stage.dir.join("log"))?;
        Ok(stage)
    }

    /// The folder itself.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes over what a script left of it, as a copy; what was left out of that is reported too.
    pub(super) fn taken_over(self, place: &Place, links: Links) -> Result<(Self, Vec<PathBuf>), Failure> {
        let copy = Self { dir: place.at("taken") };
        let left_out = adopt::adopt(&self.dir, &copy.dir, links)?;
        for folder in [copy.modules(), copy.dir.join("log")] {
            if !fs::lstat(&folder)?.is_some_and(|meta| meta.is_dir()) {
                fs::remove_any(&folder)?;
                fs::create_dir_all(&folder)?;
            }
        }
        fs::remove_any(&copy.log())?;
        Ok((copy, left_out))
    }

    /// Where the modules go.
    pub(super) fn modules(&self) -> PathBuf {
        self.dir.join("module")
    }

    /// Where the log goes.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("log/make.log")
    }

    /// Notes the version of each dependency that this was built against.
    pub(super) fn write_dependencies(&self, spec: &BuildSpec<'_>) -> Result<(), Failure> {
        if spec.conf.build_depends_rebuild {
            for (name, version) in spec.dependencies {
                let path = self.dir.join(format!(".dep_{name}"));
                fs::write_whole(&path, format!("{version}\n").as_bytes(), 0o644)?;
            }
        }
        Ok(())
    }

    /// Puts it in its place, in exchange for an older one.
    pub(super) fn publish(self, place: &Path) -> Result<(), Failure> {
        for synced in [self.modules(), self.log(), self.modules().join("x")] {
            fs::sync_folder_of(&synced)?;
        }
        let Some(kernel_dir) = place.parent() else { return Ok(()) };
        let kernel_dir_is_new = !fs::exists(kernel_dir);
        fs::create_dir_all(kernel_dir)?;
        let synced = if kernel_dir_is_new { fs::sync_folder_of(kernel_dir) } else { Ok(()) };
        let put = synced.and_then(|()| fs::replace(&self.dir, place));
        if put.is_err() && kernel_dir_is_new {
            // The error that is reported is the first one.
            drop(fs::remove_dir_if_empty(kernel_dir));
        }
        Ok(put?)
    }
}

impl Drop for Stage {
    /// Takes away what was not published, or what was exchanged for it.
    fn drop(&mut self) {
        drop(fs::remove_any(&self.dir));
    }
}
