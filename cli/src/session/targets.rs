//! Which kernels a command is about.

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::{Arch, KernelRelease, ModuleId, Target};
use dkms_base::version;
use dkms_core::tree::Snapshot;

use super::Session;
use crate::action::Action;
use crate::failure::Failure;
use crate::grid::Column;

impl Session<'_> {
    /// The kernels that `-k` and `-a` name, each with its architecture; without `-k`
    /// [`dkms_kernel::default_kernels`].
    ///
    /// # Errors
    /// [`Failure`] with code 12 where no architecture is known, with 21 where no kernel has headers.
    pub fn targets(&self) -> Result<Vec<Target>, Failure> {
        let named = &self.invocation.kernels;
        if named.is_empty() { self.with_arches(&self.default_kernels()?) } else { self.with_arches(named) }
    }

    /// The same for what takes away or packs what is built of a module: that needs no headers. In a system
    /// that does not have the running kernel, it is every kernel that the module is built for, else those of
    /// that system, which may have none.
    ///
    /// # Errors
    /// [`Failure`] with code 12 where no architecture is known.
    pub fn targets_of(&self, id: &ModuleId, snapshot: &Snapshot) -> Result<Vec<Target>, Failure> {
        let named = &self.invocation.kernels;
        if !named.is_empty() {
            return self.with_arches(named);
        }
        if dkms_kernel::running_kernel_here(&self.settings.layout).is_none() {
            let arches = &self.invocation.arches;
            let mut built = snapshot.targets(id);
            built.retain(|target| arches.is_empty() || arches.contains(&target.arch));
            if !built.is_empty() {
                return Ok(built);
            }
            // The running kernel is another system's.
            return self.installed_targets();
        }
        self.with_arches(&[(dkms_kernel::running_kernel()?, None)])
    }

    pub(crate) fn with_arches(
        &self,
        kernels: &[(KernelRelease, Option<Arch>)],
    ) -> Result<Vec<Target>, Failure> {
        let arches = &self.invocation.arches;
        let with_arch = kernels.iter().enumerate().map(|(place, (release, arch))| {
            let given = if arches.len() == 1 { arches.first() } else { arches.get(place) };
            let arch = match arch.as_ref().or(given) {
                Some(arch) => arch.clone(),
                None => self.default_arch(release)?,
            };
            Ok(Target::new(release.clone(), arch))
        });
        with_arch.collect()
    }

    /// The kernels of commands without `-k`.
    fn default_kernels(&self) -> Result<Vec<(KernelRelease, Option<Arch>)>, Failure> {
        let alone = |kernel| vec![(kernel, None)];
        // Headers that are named may be for the running kernel.
        if self.args().kernelsourcedir.is_some() {
            return Ok(alone(dkms_kernel::running_kernel()?));
        }
        let kernels = dkms_kernel::default_kernels(&self.settings.layout)?;
        if !kernels.is_empty() {
            return Ok(kernels.into_iter().map(|kernel| (kernel, None)).collect());
        }
        if !self.brings_modules_in()? {
            return Ok(alone(dkms_kernel::running_kernel()?));
        }
        let tree = self.settings.layout.install_tree.display();
        Err(Failure::new(
            ExitCode::NO_HEADERS,
            format!("this system has no kernel: there is none below `{tree}`"),
        )
        .hint("install the kernel that this system will run, and its headers; or name a kernel with `-k`"))
    }

    /// Whether the command, without a kernel to work on, would end without the modules that are asked for.
    fn brings_modules_in(&self) -> Result<bool, Failure> {
        Ok(match self.invocation.action {
            Action::Build | Action::Install | Action::Match | Action::Add => true,
            // What is switched off says so, and ends well.
            Action::Autoinstall if fs::exists(&self.settings.layout.no_autoinstall()) => false,
            Action::Autoinstall => !self.snapshot()?.newest().is_empty(),
            _ => false,
        })
    }

    /// Every kernel that is installed.
    ///
    /// # Errors
    /// [`Failure`] with code 12 where the architecture of one is not known.
    pub fn installed_targets(&self) -> Result<Vec<Target>, Failure> {
        let kernels = dkms_kernel::installed_kernels(&self.settings.layout)?;
        let with_arch = |release: KernelRelease| {
            let arch = self.default_arch(&release)?;
            Ok(Target::new(release, arch))
        };
        kernels.into_iter().map(with_arch).collect()
    }

    /// The kernels that `verify` judges: those that are named, with `--all` every one that is installed, else
    /// the running kernel, or where this system does not have it, its own.
    ///
    /// # Errors
    /// [`Failure`] with code 12 where the architecture of one is not known.
    pub fn verified_targets(&self) -> Result<Vec<Target>, Failure> {
        let named = &self.invocation.kernels;
        if !named.is_empty() {
            return self.with_arches(named);
        }
        if self.args().all {
            return self.installed_targets();
        }
        let kernels = dkms_kernel::default_kernels(&self.settings.layout)?;
        self.with_arches(&kernels.into_iter().map(|kernel| (kernel, None)).collect::<Vec<_>>())
    }

    /// Kernels as columns of a grid, in the order of their releases.
    ///
    /// # Errors
    /// [`Failure`] where the architecture of an installed kernel is not known.
    pub fn columns<'t>(&self, targets: impl IntoIterator<Item = &'t Target>) -> Result<Vec<Column>, Failure> {
        let by_release = |a: &Target, b: &Target| version::compare(a.kernel.as_str(), b.kernel.as_str());
        let newest = self.installed_targets()?.into_iter().max_by(|a, b| by_release(a, b));
        let running = dkms_kernel::running_kernel_here(&self.settings.layout);
        let mut targets: Vec<&Target> = targets.into_iter().collect();
        targets.sort_by(|a, b| by_release(a, b));
        let column = |target: &Target| Column {
            is_running: running.as_ref() == Some(&target.kernel),
            is_newest: newest.as_ref().is_some_and(|newest| newest.kernel == target.kernel),
            target: target.clone(),
        };
        Ok(targets.into_iter().map(column).collect())
    }

    fn default_arch(&self, kernel: &KernelRelease) -> Result<Arch, Failure> {
        let arch =
            dkms_kernel::default_arch(self.distribution, kernel, &self.settings.layout, self.environment);
        arch.map_err(|error| Failure::new(ExitCode::INTERRUPTED, error.to_string()))?.ok_or_else(|| {
            Failure::new(ExitCode::NO_ARCH, format!("the architecture of kernel {kernel} is not known"))
                .hint("name it with `-a`")
        })
    }
}
