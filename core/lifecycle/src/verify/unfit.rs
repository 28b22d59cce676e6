//! Symbols that are exported, but not to this module, or not as it expects them. Source: `check_version`,
//! `find_symbol` and `verify_namespace_is_imported` in kernel/module of the kernel.

use std::collections::BTreeSet;

use crate::kernel::exports::{Export, Exports};
use crate::modfile::ModuleObject;

use super::{Doubt, Fault, KernelView};

impl KernelView {
    /// What is wrong with how the symbols are exported that a module uses; `exports` has as many of them as
    /// are known. A kernel may let modules use any namespace; its configuration says so.
    pub(super) fn unfit(
        &self,
        object: &ModuleObject,
        exports: &Exports,
        allows_any_namespace: Option<bool>,
    ) -> (Vec<Fault>, Option<Doubt>) {
        let mut faults = Vec::new();
        let differs = |(name, sum): &(&String, &u32)| {
            let known = exports.get(*name).and_then(|export| export.crc);
            self.has_versions != Some(false) && known.is_some_and(|crc| crc != **sum)
        };
        let names: Vec<_> = object.sums.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        if !names.is_empty() {
            let (kernel, built_for) = (self.release.clone(), self.built_for(object));
            faults.push(Fault::OtherBuild { names, kernel, built_for });
        }
        if self.has_versions == Some(true) && !object.has_versions && !self.may_be_forced {
            faults.push(Fault::NoVersions);
        }
        let used = || object.needs.iter().filter_map(|name| Some((name, exports.get(name)?)));
        let names: Vec<_> =
            used().filter(|(_, export)| export.gpl_only).map(|(name, _)| name.clone()).collect();
        if !names.is_empty() && !object.info.is_gpl_compatible() {
            faults.push(Fault::GplOnly { names, licence: object.info.license.clone() });
        }
        let foreign = |(name, export): (&String, &Export)| {
            let namespace = export.namespace.clone()?;
            (!object.info.may_use(&namespace)).then(|| (name.clone(), namespace))
        };
        let (names, namespaces): (Vec<_>, BTreeSet<_>) = used().filter_map(foreign).unzip();
        let namespaces = namespaces.into_iter().collect();
        match allows_any_namespace {
            Some(false) if !names.is_empty() => faults.push(Fault::Namespaces { names, namespaces }),
            None if !names.is_empty() => return (faults, Some(Doubt::Namespaces { names, namespaces })),
            _ => {}
        }
        (faults, None)
    }

    /// The symbols that a kernel compares CRCs of, and of which the module does not say what it expects.
    pub(super) fn without_sums(&self, object: &ModuleObject) -> Vec<String> {
        if self.has_versions != Some(true) || !object.has_versions && !self.may_be_forced {
            return Vec::new();
        }
        let is_missing = |name: &&String| !object.sums.contains_key(*name);
        let mut names: Vec<_> = object.needs.iter().filter(is_missing).cloned().collect();
        let layout = "module_layout".to_owned();
        if !object.sums.contains_key(&layout) {
            names.insert(0, layout);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::KernelRelease;
    use crate::modfile::testing::Fabricated;

    fn judged(modinfo: &str, sums: &[(&str, u32)], allows_any_namespace: Option<bool>) -> Vec<String> {
        let exports = [
            ("plain", Export { crc: Some(1), gpl_only: false, namespace: None }),
            ("gpl", Export { crc: Some(2), gpl_only: true, namespace: None }),
            ("spaced", Export { crc: None, gpl_only: false, namespace: Some("USB".to_owned()) }),
            ("mine", Export { crc: None, gpl_only: true, namespace: Some("module:kvm-amd,x-*".to_owned()) }),
        ];
        let made = Fabricated::new(modinfo).needs(&["plain", "gpl", "spaced", "mine", "unknown"]).sums(sums);
        let view = KernelView {
            release: KernelRelease::new("6.1").unwrap(),
            machine: None,
            words: None,
            has_versions: None,
            may_be_forced: false,
            headers: None,
            running: None,
        };
        let exports = exports.map(|(name, export)| (name.to_owned(), export)).into();
        let object = ModuleObject::parse(&made.bytes()).unwrap();
        let (faults, doubt) = view.unfit(&object, &exports, allows_any_namespace);
        let faults = faults.iter().map(|fault| format!("{}: {fault}", fault.word()));
        faults.chain(doubt.map(|doubt| format!("unknown: {doubt}"))).collect()
    }

    #[test]
    fn a_module_that_keeps_to_the_rules_is_fit() {
        let fit = "license=GPL v2\0import_ns=USB\0name=x_one\0";
        assert!(
            judged(fit, &[("plain", 1), ("gpl", 2), ("unknown", 3), ("spaced", 4)], Some(false)).is_empty()
        );
    }

    #[test]
    fn another_sum_is_another_build() {
        assert_eq!(
            judged("license=GPL\0import_ns=USB\0name=kvm_amd\0", &[("plain", 1), ("gpl", 9)], Some(false)),
            ["other-build: expects other CRCs than kernel 6.1 has, of these symbols: `gpl`"]
        );
    }

    #[test]
    fn licence_and_namespaces_are_what_the_kernel_asks_for() {
        assert_eq!(
            judged("license=Proprietary\0name=y\0", &[], Some(false)),
            [
                "gpl-only: has the licence `Proprietary`, and uses symbols for GPL-compatible modules only: `gpl`, `mine`",
                "namespace: uses symbols of the namespace USB, module:kvm-amd,x-* without importing it: `mine`, `spaced`",
            ]
        );
        assert_eq!(
            judged("license=GPL\0name=kvm_amd\0", &[], None),
            [
                "unknown: uses symbols of the namespace USB without importing it: `spaced`; whether the kernel allows that is \
                 not known: its configuration is not there"
            ]
        );
        assert!(judged("license=Dual BSD/GPL\0name=y\0", &[], Some(true)).is_empty());
    }
}
