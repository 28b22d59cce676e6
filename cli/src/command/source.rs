//! Where a module's source comes from: `/usr/src`, a folder, an archive, an rpm.

use std::path::{Path, PathBuf};

use dkms_archive::{self, Limits, Staged};
use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::id::ModuleId;
use dkms_conf::Settings;
use dkms_core::plan::{ConfFault, Work};

use super::left_out;
use crate::failure::Failure;
use crate::invocation::SourceWord;
use crate::session::{Session, absolute, unless_interrupted};

/// A source, looked at.
pub(super) enum Source {
    /// In `/usr/src/M-V`, or in the tree already.
    InPlace,
    /// A folder to be copied there.
    Folder {
        /// The module that its dkms.conf describes.
        id: ModuleId,
        /// The folder.
        folder: PathBuf,
    },
    /// An archive, unpacked to a private folder.
    Archive(StagedArchive),
    /// A package for rpm.
    Rpm(PathBuf),
}

/// An archive that was unpacked; its folder goes with this value.
pub(super) struct StagedArchive {
    /// The module in it.
    pub(super) id: ModuleId,
    /// What is in it.
    pub(super) staged: Staged,
    /// Holds it.
    _folder: tempfile::TempDir,
}

impl StagedArchive {
    /// Whether it holds a source and nothing that was built.
    pub(super) fn has_only_source(&self) -> bool {
        self.staged.builds.is_empty() && self.staged.source.is_some()
    }

    /// The folder of its source.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        self.staged.source.clone()
    }
}

/// The source that a command line names.
pub(super) fn of(session: &Session<'_>) -> Result<Source, Failure> {
    match &session.invocation.source {
        None => Ok(Source::InPlace),
        Some(SourceWord::Folder(folder)) => of_folder(session, folder),
        Some(SourceWord::Archive(file)) => Ok(Source::Archive(stage(session, file)?)),
        Some(SourceWord::Rpm(package)) => Ok(Source::Rpm(absolute(package))),
    }
}

fn of_folder(session: &Session<'_>, folder: &Path) -> Result<Source, Failure> {
    let (id, folder) = identify_folder(session, folder, ExitCode::INVALID_CONF)?;
    left_out::warn(&folder, "copied", session.terminal);
    Ok(Source::Folder { id, folder })
}

/// The module that a folder's dkms.conf describes, and the folder without links; a conf that isn't
/// valid fails with `code`.
pub(super) fn identify_folder(
    session: &Session<'_>,
    folder: &Path,
    code: ExitCode,
) -> Result<(ModuleId, PathBuf), Failure> {
    let folder = fs::canonical(folder)?;
    let id = identify(session, &session.settings, &folder.join("dkms.conf"), code)?;
    Ok((id, folder))
}

/// Reads name and version of a source that is not in place yet; a conf that has none fails with `code`.
fn identify(
    session: &Session<'_>,
    settings: &Settings,
    conf: &Path,
    code: ExitCode,
) -> Result<ModuleId, Failure> {
    let conf = session.args().conf.as_deref().map_or_else(|| conf.to_owned(), absolute);
    let identified = session.survey_with(settings).identify(&conf)?;
    unless_interrupted()?;
    identified.map_err(|fault| match fault {
        ConfFault::Missing { path } => {
            Failure::new(ExitCode::NO_CONF, format!("there is no `{}`", path.display()))
        }
        ConfFault::Invalid { path, problems } => Failure::new(
            code,
            format!("`{}` is not a valid dkms.conf: {}", path.display(), problems.join("; ")),
        ),
    })
}

/// Unpacks an archive into a private folder.
pub(super) fn stage(session: &Session<'_>, file: &Path) -> Result<StagedArchive, Failure> {
    if !fs::exists(file) {
        return Err(Failure::new(ExitCode::BAD_OPTION, format!("`{}` does not exist", file.display())));
    }
    let folder = session.staging("dkms.")?;
    let staged = dkms_archive::stage(file, folder.path(), &Limits::default())?;
    left_out::named(&staged.fifos, "unpacked", session.terminal);
    let id = match &staged.id {
        Some(id) => id.clone(),
        None => {
            // Unpacked it is root's, but whose archive it was is not known.
            let mut settings = session.settings.clone();
            settings.exempt_nothing();
            identify(session, &settings, &staged.conf, ExitCode::NOT_BUILT)?
        }
    };
    Ok(StagedArchive { id, staged, _folder: folder })
}

/// Hands a package to rpm, then brings its modules up on the running kernel.
pub(super) fn install_rpm(session: &Session<'_>, package: &Path) -> Result<(), Failure> {
    if session.args().dry_run {
        session.terminal.print(&format!("rpm -Uvh {}, then autoinstall", package.display()));
        return Ok(());
    }
    let refused = |why: String| {
        Failure::new(ExitCode::NO_CONF, format!("rpm did not install `{}`: {why}", package.display()))
    };
    let arguments = ["-Uvh".into(), package.as_os_str().to_owned()];
    let ended = Process::new("rpm", arguments, session.environment)
        .capture()
        .map_err(|error| refused(error.to_string()))?;
    if !ended.status.success() {
        return Err(refused(ended.text().trim().to_owned()));
    }
    session.carry_out(&Work::Autoinstall { targets: session.targets()? })
}
