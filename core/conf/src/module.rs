//! What a dkms.conf means for one kernel: plain data, everything checked, defaults filled in.

use dkms_base::id::{ModuleId, ModuleName};

/// A dkms.conf, resolved for one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleConf {
    /// `PACKAGE_NAME` and `PACKAGE_VERSION`.
    pub id: ModuleId,
    /// One for each index up to the highest that is used.
    pub modules: Vec<ModuleRecord>,
    /// The make command that `MAKE_MATCH` picks for this kernel; `None`: the default one.
    pub make: Option<String>,
    /// `CLEAN`, where it is one that we warn of (deprecated, never run).
    pub clean: Option<String>,
    /// Patches that apply to this kernel, in order, relative to `patches/`.
    pub patches: Vec<String>,
    /// Scripts, each with its arguments.
    pub scripts: Scripts,
    /// `AUTOINSTALL` is yes.
    pub autoinstall: bool,
    /// `BUILD_DEPENDS`.
    pub build_depends: Vec<ModuleName>,
    /// `BUILD_DEPENDS_REBUILD` is yes.
    pub build_depends_rebuild: bool,
    /// Why the whole package is ruled out for this kernel by `BUILD_EXCLUSIVE_*`, if it is.
    pub excluded: Option<Exclusion>,
    /// Bash had to read it: read again, it may say something else.
    pub is_computed: bool,
    /// `NO_WEAK_MODULES` is yes.
    pub no_weak_modules: bool,
    /// `REMAKE_INITRD` is yes.
    pub remake_initrd: bool,
    /// `MODULES_CONF`: lines for modprobe.d.
    pub modules_conf: Vec<String>,
    /// `CRITICAL`: the admin says whether the machine needs it to boot or to be reached; any other value is
    /// none.
    pub critical: Option<bool>,
}

impl ModuleConf {
    /// The modules that are to be built and installed for this kernel.
    pub fn included(&self) -> impl Iterator<Item = &ModuleRecord> {
        self.modules.iter().filter(|record| record.excluded.is_none())
    }

    /// One that says nothing, for tests to fill.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn empty(id: &ModuleId) -> Self {
        Self {
            id: id.clone(),
            modules: Vec::new(),
            make: None,
            clean: None,
            patches: Vec::new(),
            scripts: Scripts::default(),
            autoinstall: false,
            build_depends: Vec::new(),
            build_depends_rebuild: false,
            excluded: None,
            is_computed: false,
            no_weak_modules: false,
            remake_initrd: false,
            modules_conf: Vec::new(),
            critical: None,
        }
    }
}

/// One module of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleRecord {
    /// Its index in the arrays.
    pub index: usize,
    /// `BUILT_MODULE_NAME`, without `.ko`.
    pub built_name: String,
    /// `BUILT_MODULE_LOCATION`: empty, or ending in `/`.
    pub built_location: String,
    /// `DEST_MODULE_NAME`, without `.ko`.
    pub dest_name: String,
    /// `DEST_MODULE_LOCATION` as written, without `/` at its end; the distribution may override it.
    pub dest_location: String,
    /// `STRIP`.
    pub strip: bool,
    /// Why this module is ruled out for this kernel, if it is.
    pub excluded: Option<Exclusion>,
}

/// A `BUILD_EXCLUSIVE_*` rule that a kernel fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// The directive with its index, for instance `BUILD_EXCLUSIVE_KERNEL[0]`.
    pub directive: String,
    /// Its value.
    pub value: String,
}

impl std::fmt::Display for Exclusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=\"{}\" does not match this kernel", self.directive, self.value)
    }
}

/// The script directives of a conf; each is a path relative to the source, followed by arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scripts {
    /// `POST_ADD`.
    pub post_add: Option<String>,
    /// `PRE_BUILD`.
    pub pre_build: Option<String>,
    /// `POST_BUILD`.
    pub post_build: Option<String>,
    /// `PRE_INSTALL`.
    pub pre_install: Option<String>,
    /// `POST_INSTALL`.
    pub post_install: Option<String>,
    /// `POST_REMOVE`.
    pub post_remove: Option<String>,
}
