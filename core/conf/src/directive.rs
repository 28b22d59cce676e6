//! The directives of a dkms.conf, by name and in the order in which their values are
//! expanded the second time.

use std::fmt;
use std::str::FromStr;

macro_rules! directives {
    ($($name:ident $text:literal,)*) => {
        /// A directive of dkms.conf. The order of the variants is the order of the second expansion.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Directive {
            $(
                #[doc = concat!("`", $text, "`")]
                $name,
            )*
        }

        impl Directive {
            /// All of them, in the order of the second expansion.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in a conf.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

directives! {
    PackageName "PACKAGE_NAME",
    PackageVersion "PACKAGE_VERSION",
    PostAdd "POST_ADD",
    PostBuild "POST_BUILD",
    PostInstall "POST_INSTALL",
    PostRemove "POST_REMOVE",
    PreBuild "PRE_BUILD",
    PreInstall "PRE_INSTALL",
    BuildDepends "BUILD_DEPENDS",
    BuildExclusiveArch "BUILD_EXCLUSIVE_ARCH",
    BuildExclusiveConfig "BUILD_EXCLUSIVE_CONFIG",
    BuildExclusiveKernel "BUILD_EXCLUSIVE_KERNEL",
    BuildExclusiveKernelMin "BUILD_EXCLUSIVE_KERNEL_MIN",
    BuildExclusiveKernelMax "BUILD_EXCLUSIVE_KERNEL_MAX",
    Make "MAKE",
    MakeMatch "MAKE_MATCH",
    Patch "PATCH",
    PatchMatch "PATCH_MATCH",
    BuiltModuleName "BUILT_MODULE_NAME",
    BuiltModuleLocation "BUILT_MODULE_LOCATION",
    DestModuleName "DEST_MODULE_NAME",
    DestModuleLocation "DEST_MODULE_LOCATION",
    Strip "STRIP",
    Autoinstall "AUTOINSTALL",
    NoWeakModules "NO_WEAK_MODULES",
    BuildDependsRebuild "BUILD_DEPENDS_REBUILD",
    ObsoleteBy "OBSOLETE_BY",
    Clean "CLEAN",
    RemakeInitrd "REMAKE_INITRD",
    ModulesConf "MODULES_CONF",
    ModulesConfObsoletes "MODULES_CONF_OBSOLETES",
    ModulesConfAliasType "MODULES_CONF_ALIAS_TYPE",
    ModulesConfObsoleteOnly "MODULES_CONF_OBSOLETE_ONLY",
    Critical "CRITICAL",
}

impl Directive {
    /// Whether it says how a module is built, or what runs when, and nothing of what is installed.
    #[must_use]
    pub fn is_of_work(self) -> bool {
        use Directive::{
            Clean, Make, MakeMatch, Patch, PatchMatch, PostAdd, PostBuild, PostInstall, PostRemove, PreBuild,
            PreInstall,
        };
        let scripts = matches!(self, PostAdd | PostBuild | PostInstall | PostRemove | PreBuild | PreInstall);
        scripts || matches!(self, Make | MakeMatch | Patch | PatchMatch | Clean)
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that no directive has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDirective;

impl FromStr for Directive {
    type Err = NoDirective;

    fn from_str(text: &str) -> Result<Self, NoDirective> {
        Self::ALL.iter().copied().find(|directive| directive.as_str() == text).ok_or(NoDirective)
    }
}
