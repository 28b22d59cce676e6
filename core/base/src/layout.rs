//! Every path that we read or write, from a root and the settings.
//!
//! Knows names, not contents: nothing here touches the disk.

use std::path::{Path, PathBuf};

use crate::id::{KernelRelease, ModuleId, ModuleName, Target};

/// The three trees and the fixed places around them. In production the root is `/` (`--root` changes the root
/// of the whole process first); tests put everything below a temporary folder.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    /// State: `/var/lib/dkms`.
    pub dkms_tree: PathBuf,
    /// Sources: `/usr/src`.
    pub source_tree: PathBuf,
    /// Kernels' module folders: `/lib/modules`.
    pub install_tree: PathBuf,
}

/// Prefix of everything temporary; swept by the next command that changes something.
pub const TEMPORARY_PREFIX: &str = ".tmp_";

/// In the private folder of a build: a link to where its result stands while `POST_BUILD`
/// runs without mounts.
pub const EXPOSED: &str = "exposed";

impl Layout {
    /// The usual places below `root`.
    #[must_use]
    pub fn under(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            dkms_tree: root.join("var/lib/dkms"),
            source_tree: root.join("usr/src"),
            install_tree: root.join("lib/modules"),
            root,
        }
    }

    /// The root itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// An absolute path of the system, below the root.
    #[must_use]
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// `/etc/dkms`.
    #[must_use]
    pub fn etc_dkms(&self) -> PathBuf {
        self.at("/etc/dkms")
    }

    /// `/usr/lib/sysimage/dkms/manifest.json`: the modules that the image of this system was made with.
    #[must_use]
    pub fn baked_manifest(&self) -> PathBuf {
        self.at("/usr/lib/sysimage/dkms/manifest.json")
    }

    /// A path as the system below the root has it.
    #[must_use]
    pub fn in_root(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(below) => Path::new("/").join(below),
            Err(_) => path.to_owned(),
        }
    }

    /// Where it exists, nothing is built by itself.
    #[must_use]
    pub fn no_autoinstall(&self) -> PathBuf {
        self.etc_dkms().join("no-autoinstall")
    }

    /// The files of `/etc/dkms` that come over a module's conf for a kernel, each over the one before.
    #[must_use]
    pub fn conf_overrides(&self, id: &ModuleId, target: &Target) -> [PathBuf; 6] {
        let (ModuleId { name, version }, Target { kernel, arch }) = (id, target);
        [
            format!("{name}.conf"),
            format!("{name}-{version}.conf"),
            format!("{name}-{version}-{kernel}.conf"),
            format!("{name}-{version}-{kernel}-{arch}.conf"),
            format!("{name}--{kernel}.conf"),
            format!("{name}--{kernel}-{arch}.conf"),
        ]
        .map(|file| self.etc_dkms().join(file))
    }

    /// `M`: all versions of a module.
    #[must_use]
    pub fn module_dir(&self, name: &ModuleName) -> PathBuf {
        self.dkms_tree.join(name)
    }

    /// `M/V`.
    #[must_use]
    pub fn version_dir(&self, id: &ModuleId) -> PathBuf {
        self.module_dir(&id.name).join(&id.version)
    }

    /// `M/V/source`, the link to the source folder.
    #[must_use]
    pub fn source_link(&self, id: &ModuleId) -> PathBuf {
        self.version_dir(id).join("source")
    }

    /// `/usr/src/M-V`.
    #[must_use]
    pub fn source_dir(&self, id: &ModuleId) -> PathBuf {
        self.source_tree.join(id.dir_name())
    }

    /// `M/V/build`, where a build sees itself.
    #[must_use]
    pub fn build_dir(&self, id: &ModuleId) -> PathBuf {
        self.version_dir(id).join("build")
    }

    /// `M/V/K/A`.
    #[must_use]
    pub fn target_dir(&self, id: &ModuleId, target: &Target) -> PathBuf {
        self.version_dir(id).join(&target.kernel).join(&target.arch)
    }

    /// `M/V/K/A/module`.
    #[must_use]
    pub fn built_dir(&self, id: &ModuleId, target: &Target) -> PathBuf {
        self.target_dir(id, target).join("module")
    }

    /// `M/V/K/A/log/make.log`.
    #[must_use]
    pub fn make_log(&self, id: &ModuleId, target: &Target) -> PathBuf {
        self.target_dir(id, target).join("log/make.log")
    }

    /// `M/kernel-K-A`, the link to the version that is installed.
    #[must_use]
    pub fn installed_link(&self, name: &ModuleName, target: &Target) -> PathBuf {
        self.module_dir(name).join(format!("kernel-{}-{}", target.kernel, target.arch))
    }

    /// `M/original_module`.
    #[must_use]
    pub fn originals_root(&self, name: &ModuleName) -> PathBuf {
        self.module_dir(name).join("original_module")
    }

    /// `M/original_module/K/A`.
    #[must_use]
    pub fn originals_dir(&self, name: &ModuleName, target: &Target) -> PathBuf {
        self.originals_root(name).join(&target.kernel).join(&target.arch)
    }

    /// `/lib/modules/K`.
    #[must_use]
    pub fn kernel_dir(&self, kernel: &KernelRelease) -> PathBuf {
        self.install_tree.join(kernel)
    }

    /// `/lib/modules/K/build`, where headers are looked for without `--kernelsourcedir`.
    #[must_use]
    pub fn headers_dir(&self, kernel: &KernelRelease) -> PathBuf {
        self.kernel_dir(kernel).join("build")
    }

    /// `/etc/modprobe.d/dkms-M.conf`, what `MODULES_CONF` asks for.
    #[must_use]
    pub fn modprobe_conf(&self, name: &ModuleName) -> PathBuf {
        self.at("/etc/modprobe.d").join(format!("dkms-{name}.conf"))
    }

    /// `/boot/System.map-K`.
    #[must_use]
    pub fn system_map(&self, kernel: &KernelRelease) -> PathBuf {
        self.at("/boot").join(format!("System.map-{kernel}"))
    }

    /// `/boot/config-K`.
    #[must_use]
    pub fn boot_config(&self, kernel: &KernelRelease) -> PathBuf {
        self.at("/boot").join(format!("config-{kernel}"))
    }

    /// `/usr/share/dkms/modules_to_force_install`.
    #[must_use]
    pub fn force_install_dir(&self) -> PathBuf {
        self.at("/usr/share/dkms/modules_to_force_install")
    }

    /// `.state`: what we remember between commands. Names that begin with a dot are no module's,
    /// for the 3.x line too.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dkms_tree.join(".state")
    }

    /// `.state/locks`: a file for each module and kernel that a command works on.
    #[must_use]
    pub fn locks_dir(&self) -> PathBuf {
        self.state_dir().join("locks")
    }

    /// `.state/running`: who holds which of them, for those who wait.
    #[must_use]
    pub fn running_dir(&self) -> PathBuf {
        self.state_dir().join("running")
    }

    /// `.state/groups`: the process groups that commands have started, so that a later one can end
    /// what is left of them.
    #[must_use]
    pub fn groups_dir(&self) -> PathBuf {
        self.state_dir().join("groups")
    }

    /// `.state/journal`: what was begun and is not yet ended.
    #[must_use]
    pub fn journal_dir(&self) -> PathBuf {
        self.state_dir().join("journal")
    }

    /// `.state/owed`: the kernels whose modules.dep is behind.
    #[must_use]
    pub fn owed_dir(&self) -> PathBuf {
        self.state_dir().join("owed")
    }

    /// `.state/owed/K`: there while the modules of K have changed and its modules.dep has not.
    #[must_use]
    pub fn owed_depmod(&self, kernel: &KernelRelease) -> PathBuf {
        self.owed_dir().join(kernel)
    }

    /// `.state/initramfs`: the kernels whose initramfs was made while modules were missing.
    #[must_use]
    pub fn images_dir(&self) -> PathBuf {
        self.state_dir().join("initramfs")
    }

    /// `.state/exports`: what kernels' images export, for those that were read.
    #[must_use]
    pub fn exports_dir(&self) -> PathBuf {
        self.state_dir().join("exports")
    }

    /// `.state/unsaid`: what batches have done, and what was not reported yet.
    #[must_use]
    pub fn unsaid_dir(&self) -> PathBuf {
        self.state_dir().join("unsaid")
    }

    /// `.state/ahead`: what was worked on before its package was configured.
    #[must_use]
    pub fn ahead_dir(&self) -> PathBuf {
        self.state_dir().join("ahead")
    }

    /// `.state/loading/M-V`: there while a tarball is loaded.
    #[must_use]
    pub fn loading(&self, id: &ModuleId) -> PathBuf {
        self.state_dir().join("loading").join(id.dir_name())
    }

    /// `.state/prebuilt/M/V/K/A.json`: the place that a module was last taken from.
    #[must_use]
    pub fn prebuilt_note(&self, id: &ModuleId, target: &Target) -> PathBuf {
        let folder = self.state_dir().join("prebuilt").join(&id.name).join(&id.version);
        folder.join(&target.kernel).join(format!("{}.json", target.arch))
    }

    /// `.state/attempts/M/V/K/A`: the last builds, good and bad, with the logs of those that failed.
    #[must_use]
    pub fn attempts_dir(&self, id: &ModuleId, target: &Target) -> PathBuf {
        let attempts = self.state_dir().join("attempts");
        attempts.join(&id.name).join(&id.version).join(&target.kernel).join(&target.arch)
    }

    /// `post_transaction.log` in the tree.
    #[must_use]
    pub fn post_transaction_log(&self) -> PathBuf {
        self.dkms_tree.join("post_transaction.log")
    }
}
