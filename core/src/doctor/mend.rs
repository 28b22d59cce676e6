//! The small repairs, each looked at once more right before it is made. What needs a plan goes through the engine.

use std::path::Path;

use super::look;
use crate::engine::Survey;
use crate::host::Environment;
use crate::host::fs::{self, FsError};
use crate::id::Target;
use crate::install::{self, InstallError};
use crate::layout::Layout;
use crate::report::Reporter;

/// Removes what an interrupted command left; nothing where its process runs after all.
///
/// # Errors
/// [`FsError`].
pub fn remove(path: &Path) -> Result<(), FsError> {
    if look::is_abandoned(path) { fs::remove_any(path) } else { Ok(()) }
}

/// Removes a link that leads to nothing built; nothing where it does by now.
///
/// # Errors
/// [`FsError`].
pub fn unlink(link: &Path) -> Result<(), FsError> {
    if look::leads_nowhere(link) { fs::remove_file(link) } else { Ok(()) }
}

/// Makes the index of a kernel's modules anew, and takes the mark away that asks for it.
///
/// # Errors
/// [`InstallError`] where depmod fails.
pub fn depmod(
    target: &Target,
    survey: &Survey<'_>,
    layout: &Layout,
    environment: &Environment,
    reporter: &dyn Reporter,
) -> Result<(), InstallError> {
    let failed = |source: FsError| InstallError::DepmodFiles { kernel: target.kernel.clone(), source };
    let kernel = survey.kernel(target).map_err(failed)?;
    install::depmod(&kernel, layout, environment, reporter)?;
    fs::remove_file(&layout.owed_depmod(&target.kernel)).map_err(failed)
}
