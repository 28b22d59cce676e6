//! What the settings say of the sandbox that a module's code runs in, be it a build or a conf.

use std::path::{Path, PathBuf};

use super::found::Given;
use super::kernel_inputs::KernelInputs;
use super::settings::{SandboxMode, Settings};
use super::trust;
use super::{keys, mentioned};
use crate::host::Environment;
use crate::host::sandbox::{Account, Sandbox, Wanted};
use crate::id::{KernelRelease, ModuleId};
use crate::layout::Layout;

/// How confs that go through bash are confined.
#[derive(Debug, Clone)]
pub struct Confined {
    off: bool,
    strict: bool,
    user: String,
    exempt: Vec<String>,
    shown: Vec<PathBuf>,
    secret: Vec<PathBuf>,
    layout: Layout,
}

impl Confined {
    /// What the settings say.
    #[must_use]
    pub fn of(settings: &Settings, environment: &Environment) -> Self {
        Self {
            off: settings.sandbox == SandboxMode::Off,
            strict: settings.sandbox == SandboxMode::Strict,
            user: settings.build_user.clone(),
            exempt: settings.sandbox_exempt.clone(),
            shown: shown(&settings.layout),
            secret: keys::hidden(settings, environment),
            layout: settings.layout.clone(),
        }
    }

    /// Whether the conf of this module is confined: one that another user may write always is.
    #[must_use]
    pub fn holds_for(&self, id: Option<&ModuleId>, file: &Path) -> bool {
        let is_exempt = || id.is_some_and(|id| self.exempt.iter().any(|exempt| exempt == id.name.as_str()));
        !(self.off || is_exempt()) || trust::fault(file).is_some()
    }

    /// Who reads them, if not we.
    pub(super) fn owner(&self) -> Option<Account> {
        Account::of_builds(&self.user)
    }

    /// Whether a file can't be read by whom it is sourced.
    pub(super) fn is_shut(&self, file: &Path) -> bool {
        self.owner().is_some_and(|owner| !owner.can_read(file))
    }

    /// The sandbox for confs in a folder.
    ///
    /// # Errors
    /// A path that has a NUL byte.
    pub(super) fn sandbox(
        &self,
        folder: &Path,
        files: &[PathBuf],
        given: &Given<'_>,
    ) -> Result<Sandbox, std::ffi::NulError> {
        let environment = given.environment;
        let headers = given.value("kernel_source_dir").map(Path::new);
        let kernel = given.value("kernelver").and_then(|kernel| KernelRelease::new(kernel).ok());
        let kernel =
            headers.zip(kernel).map(|(headers, kernel)| KernelInputs::of(&self.layout, headers, &kernel));
        let kernel = kernel.unwrap_or_default();
        let mut secret = self.secret.clone();
        secret.extend(kernel.keys);
        let mut inputs = kernel.paths;
        inputs.push(folder.to_owned());
        inputs.extend(files.iter().cloned());
        Sandbox::new(&Wanted {
            strict: self.strict,
            user: &self.user,
            account: None,
            folders: Vec::new(),
            layer: Some(folder),
            shown: self.shown.clone(),
            inputs,
            mentioned: files.iter().flat_map(|file| mentioned::in_file(file)).collect(),
            secret,
            environment,
        })
    }
}

/// The trees that every module's code may look into.
pub(crate) fn shown(layout: &Layout) -> Vec<PathBuf> {
    vec![layout.dkms_tree.clone(), layout.source_tree.clone(), layout.install_tree.clone(), layout.etc_dkms()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fs;

    #[test]
    fn only_what_is_roots_is_exempt() {
        let dir = tempfile::tempdir().unwrap();
        let (source, link) = (dir.path().join("checkout"), dir.path().join("foo-1"));
        fs::create_dir_all(&source).unwrap();
        fs::write_whole(&source.join("dkms.conf"), b"", 0o644).unwrap();
        fs::symlink(&source, &link).unwrap();
        let id = ModuleId::parse("foo", "1").unwrap();
        let mut settings = Settings::defaults(Layout::under(dir.path()));
        let holds = |settings: &Settings| {
            let confined = Confined::of(settings, &Environment::default());
            confined.holds_for(Some(&id), &link.join("dkms.conf"))
        };
        assert!(holds(&settings));
        settings.sandbox_exempt.push("foo".into());
        let off = Settings { sandbox: SandboxMode::Off, ..settings.clone() };
        assert!(!holds(&settings) && !holds(&off));
        fs::give_to(&source, 12345, 12345);
        assert!(holds(&settings) && holds(&off));
    }
}
