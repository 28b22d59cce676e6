//! What is known of a kernel that a module is judged for, and what that says of the module but for its
//! symbols. Source: `check_modinfo` and `same_magic` in kernel/module of the kernel. Pure.

use crate::id::{Arch, KernelRelease};
use crate::kernel::KernelConfig;
use crate::modfile::{Machine, ModuleObject};

use super::doubt::Doubt;
use super::fault::{BuiltFor, Fault, Origin};

/// How many characters of a release a message has; that of a kernel has at most 64.
const RELEASE_SHOWN: usize = 100;

/// What is known of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelView {
    /// Its release.
    pub release: KernelRelease,
    /// The machine that it is for; `None`: not known.
    pub machine: Option<Machine>,
    /// What its vermagic has besides the release; `None`: not known.
    pub words: Option<String>,
    /// Whether it compares CRCs of symbols (`CONFIG_MODVERSIONS`); `None`: not known.
    pub has_versions: Option<bool>,
    /// Whether it loads modules without vermagic or CRCs (`CONFIG_MODULE_FORCE_LOAD`).
    pub may_be_forced: bool,
    /// The release that its headers have, where that is another one.
    pub headers: Option<String>,
    /// The kernel that runs.
    pub running: Option<String>,
}

impl KernelView {
    /// The machine of a kernel: its configuration says it, else the name of the architecture.
    #[must_use]
    pub fn machine_of(config: &KernelConfig, arch: &Arch) -> Option<Machine> {
        const OPTIONS: [(&str, &str); 12] = [
            ("CONFIG_X86_64", "x86_64"),
            ("CONFIG_X86_32", "i686"),
            ("CONFIG_ARM64", "aarch64"),
            ("CONFIG_ARM", "arm"),
            ("CONFIG_ARCH_RV64I", "riscv64"),
            ("CONFIG_ARCH_RV32I", "riscv32"),
            ("CONFIG_PPC64", "ppc64"),
            ("CONFIG_PPC32", "ppc"),
            ("CONFIG_S390", "s390x"),
            ("CONFIG_SPARC64", "sparc64"),
            ("CONFIG_LOONGARCH", "loongarch64"),
            ("CONFIG_MIPS", "mips64"),
        ];
        if !config.is_known() {
            return Machine::named(arch.as_str());
        }
        let (_, name) = OPTIONS.into_iter().find(|(option, _)| config.is_enabled(option))?;
        let is_32_bit = !config.is_enabled("CONFIG_64BIT");
        Machine::named(match name {
            "mips64" if is_32_bit => "mips",
            "loongarch64" if is_32_bit => "loongarch32",
            name => name,
        })
    }

    /// What is wrong with a module but for its symbols.
    #[must_use]
    pub fn faults(&self, object: &ModuleObject) -> Vec<Fault> {
        if let Some(kernel) = self.machine.filter(|machine| *machine != object.machine) {
            return vec![Fault::OtherMachine { module: object.machine, kernel }];
        }
        let Some(words) = object.info.kernel_words() else {
            return if self.may_be_forced { Vec::new() } else { vec![Fault::NoKernel] };
        };
        let mut faults = Vec::new();
        // A kernel that compares CRCs does not look at the release of a module that has them.
        let compares_release = !(object.has_versions && self.has_versions == Some(true));
        if let Some(BuiltFor { release, cause }) = self.built_for(object).filter(|_| compares_release) {
            let kernel = self.release.clone();
            faults.push(Fault::OtherKernel { built_for: release, kernel, cause });
        }
        if let Some(kernel) = self.words.as_ref().filter(|known| **known != words) {
            faults.push(Fault::OtherConfiguration { module: words, kernel: kernel.clone() });
        }
        faults
    }

    /// What can't be known of it but for its symbols.
    pub(super) fn doubts(&self, object: &ModuleObject) -> Vec<Doubt> {
        let has_vermagic = object.info.vermagic.is_some();
        let doubts = [
            (self.machine.is_none(), Doubt::Machine),
            (!has_vermagic && self.may_be_forced, Doubt::NoKernel),
            (has_vermagic && self.words.is_none(), Doubt::Vermagic),
        ];
        doubts.into_iter().filter(|(is, _)| *is).map(|(_, doubt)| doubt).collect()
    }

    /// The other release that a module was built for, if it was.
    pub(super) fn built_for(&self, object: &ModuleObject) -> Option<BuiltFor> {
        let release = object.info.kernel_release().filter(|release| *release != self.release.as_str())?;
        let is = |other: &Option<String>| other.as_deref() == Some(release);
        let cause = match () {
            () if is(&self.headers) => Some(Origin::Headers),
            () if is(&self.running) => Some(Origin::Running),
            () => None,
        };
        Some(BuiltFor { release: release.chars().take(RELEASE_SHOWN).collect(), cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modfile::testing::Fabricated;

    fn view() -> KernelView {
        KernelView {
            release: KernelRelease::new("6.1.0-57-amd64").unwrap(),
            machine: Machine::named("x86_64"),
            words: None,
            has_versions: None,
            may_be_forced: false,
            headers: None,
            running: Some("6.1.0-50-amd64".to_owned()),
        }
    }

    fn judged(view: &KernelView, module: &Fabricated) -> Vec<String> {
        let object = ModuleObject::parse(&module.bytes()).unwrap();
        view.faults(&object).iter().map(|fault| format!("{}: {fault}", fault.word())).collect()
    }

    #[test]
    fn the_first_word_of_vermagic_is_the_whole_release() {
        let of = |kernel: &str| Fabricated::for_kernel("x", kernel);
        assert!(judged(&view(), &of("6.1.0-57-amd64")).is_empty());
        for other in ["6.1.0-57-amd64+", "6.1.0-57", "6.1.0-57-cloud-amd64", "6.1.0-5"] {
            assert_eq!(
                judged(&view(), &of(other)),
                [format!("other-kernel: is built for kernel {other} (vermagic), not for 6.1.0-57-amd64")]
            );
        }
        let local = KernelView { release: KernelRelease::new("6.1.9-mine+").unwrap(), ..view() };
        assert!(judged(&local, &of("6.1.9-mine+")).is_empty());
        assert_eq!(
            judged(&view(), &Fabricated::new("name=x\0")),
            ["other-kernel: does not say which kernel it is built for (no vermagic)"]
        );
        let forced = KernelView { may_be_forced: true, ..view() };
        let object = ModuleObject::parse(&Fabricated::new("name=x\0").bytes()).unwrap();
        assert_eq!((forced.faults(&object), forced.doubts(&object)), (Vec::new(), vec![Doubt::NoKernel]));
    }

    #[test]
    fn a_kernel_with_versions_looks_at_the_other_words_only() {
        let words = |words: &str, has_versions| KernelView {
            words: Some(words.to_owned()),
            has_versions: Some(has_versions),
            ..view()
        };
        let other = Fabricated::for_kernel("x", "6.1.0-5").sums(&[("module_layout", 1)]);
        assert!(judged(&words("SMP mod_unload", true), &other).is_empty());
        assert_eq!(judged(&words("SMP mod_unload", false), &other).len(), 1);
        let without = Fabricated::for_kernel("x", "6.1.0-5");
        assert_eq!(judged(&words("SMP mod_unload", true), &without).len(), 1);
        assert_eq!(
            judged(&words("SMP preempt mod_unload modversions", true), &other),
            [
                "other-kernel: is built for a kernel that is configured otherwise: its vermagic has `SMP mod_unload`, that of the \
                 kernel `SMP preempt mod_unload modversions`"
            ]
        );
    }

    #[test]
    fn where_the_other_release_comes_from_is_said() {
        let hint = |view: &KernelView, kernel: &str| {
            let object = ModuleObject::parse(&Fabricated::for_kernel("x", kernel).bytes()).unwrap();
            view.faults(&object)[0].hints().join("\n")
        };
        assert!(hint(&view(), "6.1.0-50-amd64").contains("the kernel that runs (`uname -r`)"));
        assert!(hint(&view(), "5.10.0-1").starts_with("if its Makefile names that kernel"));
        let borrowed = KernelView { headers: Some("6.1.0-56-amd64".to_owned()), ..view() };
        assert!(hint(&borrowed, "6.1.0-56-amd64").contains("install its own headers"));
    }

    #[test]
    fn another_machine_is_fatal_and_an_unknown_one_is_none() {
        let arm = Fabricated::for_kernel("x", "6.1.0-57-amd64").machine("aarch64");
        assert_eq!(judged(&view(), &arm), ["other-machine: is for aarch64, the kernel is x86_64"]);
        assert!(judged(&KernelView { machine: None, ..view() }, &arm).is_empty());
    }

    #[test]
    fn the_configuration_tells_the_machine_better_than_the_name() {
        let of = |text: &str, arch: &str| {
            let options = KernelConfig::parse_options(text);
            let config = KernelConfig { path: (!text.is_empty()).then(|| "/c".into()), options };
            KernelView::machine_of(&config, &Arch::new(arch).unwrap()).map(|machine| machine.to_string())
        };
        assert_eq!(of("", "armv7l").as_deref(), Some("arm"));
        assert_eq!(of("", "k1om"), None);
        assert_eq!(of("CONFIG_X86_64=y\nCONFIG_64BIT=y\n", "i686").as_deref(), Some("x86_64"));
        assert_eq!(of("CONFIG_MIPS=y\n", "mips64").as_deref(), Some("mips"));
        assert_eq!(of("CONFIG_ARM64=y\nCONFIG_64BIT=y\n", "x86_64").as_deref(), Some("aarch64"));
        assert_eq!(of("CONFIG_ALPHA=y\n", "x86_64"), None);
    }
}
