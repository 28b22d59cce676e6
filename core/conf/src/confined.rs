//! What the settings say of the sandbox that a module's code runs in, be it a build or a conf.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::found::Given;
use super::kernel_inputs::KernelInputs;
use super::settings::{SandboxMode, Settings};
use super::trust;
use super::{keys, mentioned};
use dkms_base::host::Environment;
use dkms_base::host::sandbox::{Account, Sandbox, Wanted};
use dkms_base::host::trusted::Fault;
use dkms_base::id::{KernelRelease, ModuleId, ModuleName};
use dkms_base::layout::Layout;

/// What the settings come to that exempt the code of a module from the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exemption {
    /// No setting does.
    None,
    /// This setting does.
    Holds(String),
    /// A setting does, but root runs nothing that another user may write: it stays in the sandbox.
    Overruled {
        /// The setting.
        setting: String,
        /// What another user may write.
        fault: Fault,
    },
}

impl Exemption {
    /// For a module (for any, without a name) whose dkms.conf is this file.
    #[must_use]
    pub fn of(settings: &Settings, name: Option<&ModuleName>, conf: &Path) -> Self {
        match settings.exemption(name) {
            None => Self::None,
            Some(setting) => match trust::fault(conf) {
                Some(fault) => Self::Overruled { setting, fault },
                None => Self::Holds(setting),
            },
        }
    }
}

/// How confs that go through bash are confined.
#[derive(Debug, Clone)]
pub struct Confined {
    settings: Settings,
    environment: Environment,
    /// What no conf may read: looked for when one goes through bash, as few do.
    secret: OnceLock<Vec<PathBuf>>,
}

impl Confined {
    /// What the settings say.
    #[must_use]
    pub fn of(settings: &Settings, environment: &Environment) -> Self {
        Self { settings: settings.clone(), environment: environment.clone(), secret: OnceLock::new() }
    }

    /// Whether the conf of this module is confined: one that another user may write always is.
    #[must_use]
    pub fn holds_for(&self, id: Option<&ModuleId>, file: &Path) -> bool {
        let exemption = Exemption::of(&self.settings, id.map(|id| &id.name), file);
        !matches!(exemption, Exemption::Holds(_))
    }

    /// Who reads them, if not we.
    pub(super) fn owner(&self) -> Option<Account> {
        Account::of_builds(&self.settings.build_user)
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
        let (environment, layout) = (given.environment, &self.settings.layout);
        let headers = given.value("kernel_source_dir").map(Path::new);
        let kernel = given.value("kernelver").and_then(|kernel| KernelRelease::new(kernel).ok());
        let kernel = headers.zip(kernel).map(|(headers, kernel)| KernelInputs::of(layout, headers, &kernel));
        let kernel = kernel.unwrap_or_default();
        let hidden = || keys::hidden(&self.settings, &self.environment);
        let mut secret = self.secret.get_or_init(hidden).clone();
        secret.extend(kernel.keys);
        let mut inputs = kernel.paths;
        inputs.push(folder.to_owned());
        inputs.extend(files.iter().cloned());
        inputs.extend(files.iter().filter_map(|file| file.parent()).map(Path::to_owned));
        Sandbox::new(&Wanted {
            strict: self.settings.sandbox == SandboxMode::Strict,
            layer: Some(folder),
            shown: shown(layout),
            inputs,
            mentioned: files.iter().flat_map(|file| mentioned::in_file(file)).collect(),
            secret,
            ..Wanted::bare(&self.settings.build_user, environment)
        })
    }
}

/// The trees that every module's code may look into.
pub fn shown(layout: &Layout) -> Vec<PathBuf> {
    vec![layout.dkms_tree.clone(), layout.source_tree.clone(), layout.install_tree.clone(), layout.etc_dkms()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_base::host::fs;

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
