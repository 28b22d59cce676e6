//! Where programs of the system work on what a build made: strip and compressors see a copy, in a folder of
//! its own, within the isolation layers of the build.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::confine::Confinement;
use super::place::Place;
use crate::host::beneath::Beneath;
use crate::host::fs::{self, FsError};
use crate::host::ownership::{self, Gate};
use crate::host::process::{Ended, Process};
use crate::host::scratch;
use crate::modfile::content::SIZE_LIMIT;
use crate::modfile::{ToolError, ToolRunner};

/// The one of a build.
#[derive(Debug)]
pub(super) struct Workshop<'a> {
    pub(super) place: &'a Place,
    pub(super) confinement: &'a Confinement,
    /// How long each program may take.
    pub(super) time_limit: Duration,
}

impl Workshop<'_> {
    fn work(
        &self,
        folder: &Path,
        module: &Path,
        command: &dyn Fn(&Path) -> Process,
        suffix: &str,
        result: &Path,
    ) -> Result<Ended, ToolError> {
        let name = module.file_name().unwrap_or_default();
        fs::copy_file(module, &folder.join(name))?;
        self.place.lend(folder, Gate::Theirs)?;
        // It has the path that the build had for it, as in the 3.x line.
        let seen = if self.place.is_mounted() { self.place.seen() } else { folder };
        let folders: Vec<(PathBuf, PathBuf)> = vec![(folder.to_owned(), seen.to_owned())];
        let process = command(&seen.join(name)).dir(seen).time_limit(self.time_limit);
        let ended = match self.confinement.of_tool(&folders)? {
            Some(sandbox) => process.in_sandbox(&sandbox).capture()?,
            None => self.place.shown_to(process, &folders).capture()?,
        };
        ownership::take_back(folder)?;
        let mut left = name.to_owned();
        left.push(suffix);
        Beneath::open(folder, seen)?.copy_to(Path::new(&left), result, SIZE_LIMIT)?;
        Ok(ended)
    }
}

impl ToolRunner for Workshop<'_> {
    fn run(
        &self,
        module: &Path,
        command: &dyn Fn(&Path) -> Process,
        suffix: &str,
        result: &Path,
    ) -> Result<Ended, ToolError> {
        let folder = self.place.at("work");
        scratch::create_private_folder(&folder)?;
        let ended = self.work(&folder, module, command, suffix, result);
        let removed: Result<(), FsError> = fs::remove_any(&folder);
        let ended = ended?;
        removed?;
        Ok(ended)
    }
}
