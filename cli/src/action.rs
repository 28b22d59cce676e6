//! The actions, and what each needs of the one who asks.

use dkms_conf::notices::distance;

/// What the command is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// `add`
    Add,
    /// `build`
    Build,
    /// `install`
    Install,
    /// `uninstall`
    Uninstall,
    /// `unbuild`
    Unbuild,
    /// `remove`
    Remove,
    /// `autoinstall`
    Autoinstall,
    /// `bake`
    Bake,
    /// `match`
    Match,
    /// `mktarball`
    Mktarball,
    /// `ldtarball`
    Ldtarball,
    /// `mkdeb`
    Mkdeb,
    /// `mkbmdeb`
    Mkbmdeb,
    /// `mkdsc`
    Mkdsc,
    /// `mkrpm`
    Mkrpm,
    /// `mkkmp`
    Mkkmp,
    /// `mkdriverdisk`
    Mkdriverdisk,
    /// `kernels`
    Kernels,
    /// `mkoci`
    Mkoci,
    /// `mksysext`
    Mksysext,
    /// `sign`
    Sign,
    /// `mktree`
    Mktree,
    /// `unmktree`
    Unmktree,
    /// `ltdk`
    Ltdk,
    /// `status`
    Status,
    /// `log`
    Log,
    /// `generate_mok`
    GenerateMok,
    /// `mok`
    Mok,
    /// `kernel_preinst`
    KernelPreinst,
    /// `kernel_postinst`
    KernelPostinst,
    /// `kernel_prerm`
    KernelPrerm,
    /// `plan`
    Plan,
    /// `preflight`
    Preflight,
    /// `verify`
    Verify,
    /// `critical`
    Critical,
    /// `forecast`
    Forecast,
    /// `boot`
    Boot,
    /// `doctor`
    Doctor,
    /// `completions`
    Completions,
}

/// Whose rights an action needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Nobody's.
    None,
    /// Write access to the dkms tree.
    Tree,
    /// Root's.
    Root,
}

impl Action {
    /// All of them, as they are written.
    pub const ALL: [(&'static str, Self); 39] = [
        ("add", Self::Add),
        ("build", Self::Build),
        ("install", Self::Install),
        ("uninstall", Self::Uninstall),
        ("unbuild", Self::Unbuild),
        ("remove", Self::Remove),
        ("autoinstall", Self::Autoinstall),
        ("bake", Self::Bake),
        ("match", Self::Match),
        ("mktarball", Self::Mktarball),
        ("ldtarball", Self::Ldtarball),
        ("mkdeb", Self::Mkdeb),
        ("mkbmdeb", Self::Mkbmdeb),
        ("mkdsc", Self::Mkdsc),
        ("mkrpm", Self::Mkrpm),
        ("mkkmp", Self::Mkkmp),
        ("mkdriverdisk", Self::Mkdriverdisk),
        ("kernels", Self::Kernels),
        ("mkoci", Self::Mkoci),
        ("mksysext", Self::Mksysext),
        ("sign", Self::Sign),
        ("mktree", Self::Mktree),
        ("unmktree", Self::Unmktree),
        ("ltdk", Self::Ltdk),
        ("status", Self::Status),
        ("log", Self::Log),
        ("generate_mok", Self::GenerateMok),
        ("mok", Self::Mok),
        ("kernel_preinst", Self::KernelPreinst),
        ("kernel_postinst", Self::KernelPostinst),
        ("kernel_prerm", Self::KernelPrerm),
        ("plan", Self::Plan),
        ("preflight", Self::Preflight),
        ("verify", Self::Verify),
        ("critical", Self::Critical),
        ("forecast", Self::Forecast),
        ("boot", Self::Boot),
        ("doctor", Self::Doctor),
        ("completions", Self::Completions),
    ];

    /// The action that a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, action)| *action)
    }

    /// The name that a word which names none is similar to.
    #[must_use]
    pub fn nearest(word: &str) -> Option<&'static str> {
        nearest_of(word, Self::ALL.iter().map(|(name, _)| *name))
    }

    /// The word that names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }

    /// Whether `--all` makes sense with it.
    #[must_use]
    pub fn takes_all(self) -> bool {
        matches!(
            self,
            Self::Uninstall
                | Self::Unbuild
                | Self::Remove
                | Self::Mktarball
                | Self::Mkdeb
                | Self::Mkbmdeb
                | Self::Mkrpm
                | Self::Mkdriverdisk
                | Self::Mkoci
                | Self::Status
                | Self::Verify
                | Self::Log
        )
    }

    /// Whether all bare words after it are modules.
    #[must_use]
    pub fn takes_modules(self) -> bool {
        matches!(self, Self::Bake | Self::Mksysext)
    }

    /// Whether what it makes is part of an image.
    #[must_use]
    pub fn makes_images(self) -> bool {
        matches!(self, Self::Bake)
    }

    /// Whether it signs with a key that the caller opens.
    #[must_use]
    pub fn takes_key(self) -> bool {
        matches!(self, Self::Bake)
    }

    /// Whether it works on exactly one module version.
    #[must_use]
    pub fn needs_module(self) -> bool {
        matches!(
            self,
            Self::Add
                | Self::Build
                | Self::Install
                | Self::Uninstall
                | Self::Unbuild
                | Self::Remove
                | Self::Mktree
                | Self::Unmktree
        )
    }

    /// Whether no bare word after it means anything: it works on whole kernels, or on the system.
    #[must_use]
    pub fn takes_no_word(self) -> bool {
        self.is_kernel_hook()
            || matches!(
                self,
                Self::Autoinstall | Self::Kernels | Self::Preflight | Self::Doctor | Self::GenerateMok
            )
    }

    /// Whether it changes nothing, and so runs nothing of an image.
    #[must_use]
    pub fn only_reads(self) -> bool {
        matches!(
            self,
            Self::Status
                | Self::Log
                | Self::Plan
                | Self::Preflight
                | Self::Verify
                | Self::Critical
                | Self::Doctor
                | Self::Mok
        )
    }

    /// Whether `--archive` names what it writes, not what it reads.
    #[must_use]
    pub fn writes_archive(self) -> bool {
        matches!(
            self,
            Self::Mktarball
                | Self::Mkdeb
                | Self::Mkbmdeb
                | Self::Mkdsc
                | Self::Mkrpm
                | Self::Mkkmp
                | Self::Mkdriverdisk
                | Self::Mkoci
                | Self::Mksysext
        )
    }

    /// Whether a bare word after it (after the module, for those that need one) is a
    /// folder, whatever is in it.
    #[must_use]
    pub fn takes_folder(self) -> bool {
        matches!(self, Self::Mktree | Self::Unmktree | Self::Ltdk)
    }

    /// Whether its exit code is a judgement of what it was given.
    #[must_use]
    pub fn judges(self) -> bool {
        matches!(self, Self::Verify | Self::Preflight | Self::Forecast)
    }

    /// Whether all bare words after it are paths.
    #[must_use]
    pub fn takes_paths(self) -> bool {
        matches!(self, Self::Sign)
    }

    /// Whether a kernel package calls it, with exactly one `-k`.
    #[must_use]
    pub fn is_kernel_hook(self) -> bool {
        matches!(self, Self::KernelPreinst | Self::KernelPostinst | Self::KernelPrerm)
    }

    /// Whether all that it prints is one result, a single JSON document with `--json`.
    #[must_use]
    pub fn only_tells(self) -> bool {
        matches!(
            self,
            Self::Status
                | Self::Log
                | Self::Plan
                | Self::Preflight
                | Self::Verify
                | Self::Critical
                | Self::Forecast
                | Self::Kernels
                | Self::Boot
                | Self::Doctor
                | Self::Ltdk
                | Self::Mok
        )
    }

    /// Whether it works on at most one kernel.
    #[must_use]
    pub fn is_for_one_kernel(self) -> bool {
        self.is_kernel_hook() || matches!(self, Self::Autoinstall | Self::Match | Self::Forecast)
    }

    /// Whose rights it needs.
    #[must_use]
    pub fn rights(self) -> Rights {
        match self {
            Self::Status | Self::Log | Self::Plan | Self::Preflight => Rights::None,
            Self::Verify | Self::Critical | Self::Completions => Rights::None,
            // It looks; what holds and releases says that it is root's to do.
            Self::Boot => Rights::None,
            // It reads; what it fixes it says it may not, where it may not.
            Self::Doctor => Rights::None,
            // The image may have no tree yet.
            Self::Bake => Rights::None,
            // Root keeps notes; other users do without.
            Self::Forecast => Rights::None,
            // Root sees more; what enrols says that it is root's to do.
            Self::Mok => Rights::None,
            // These look for themselves: what they need depends on the files they are given.
            Self::Kernels | Self::Mkoci | Self::Mksysext => Rights::None,
            Self::Sign | Self::Mktarball | Self::Ldtarball | Self::Mkdeb | Self::Mkbmdeb | Self::Mkdsc => {
                Rights::None
            }
            Self::Mkrpm | Self::Mkkmp | Self::Mkdriverdisk => Rights::None,
            Self::Mktree | Self::Unmktree | Self::Ltdk => Rights::None,
            Self::Add | Self::Build | Self::Unbuild | Self::Remove => Rights::Tree,
            Self::Install
            | Self::Uninstall
            | Self::Autoinstall
            | Self::Match
            | Self::GenerateMok
            | Self::KernelPreinst
            | Self::KernelPostinst
            | Self::KernelPrerm => Rights::Root,
        }
    }
}

/// The name that a word which is none of them is similar to.
pub fn nearest_of<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let most = (word.len() / 3).max(1);
    let names = names.into_iter().map(|name| (distance(word, name), name));
    let near = names.filter(|(far, name)| *far <= most || word.len() > 1 && name.starts_with(word));
    near.min().map(|(_, name)| name)
}
