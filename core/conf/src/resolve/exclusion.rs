//! The `BUILD_EXCLUSIVE_…` rules of a conf, held against one kernel.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::directive::Directive;
use crate::ere;
use crate::module::{Exclusion, ModuleRecord};
use crate::raw::RawConf;
use dkms_base::id::Target;
use dkms_base::version::compare;
use dkms_kernel::KernelConfig;

/// Which indices of a conf are ruled out, and by what.
#[derive(Debug)]
pub(super) struct Rules {
    /// The first rule that this kernel fails, by index.
    failed: BTreeMap<usize, Exclusion>,
    /// Whether there is any rule at all.
    any: bool,
}

impl Rules {
    pub(super) fn new(raw: &RawConf, target: &Target, config: &KernelConfig) -> Self {
        let kernel = target.kernel.as_str();
        let mut rules = Self { failed: BTreeMap::new(), any: false };
        rules.check(raw, Directive::BuildExclusiveKernel, |pattern| ere::matches(pattern, kernel));
        rules
            .check(raw, Directive::BuildExclusiveKernelMin, |least| compare(kernel, least) != Ordering::Less);
        rules.check(raw, Directive::BuildExclusiveKernelMax, |most| {
            compare(kernel, most) != Ordering::Greater
        });
        if raw.filled(Directive::BuildExclusiveKernelMax, 0).is_none() {
            rules.check(raw, Directive::ObsoleteBy, |most| compare(kernel, most) != Ordering::Greater);
        }
        rules
            .check(raw, Directive::BuildExclusiveArch, |pattern| ere::matches(pattern, target.arch.as_str()));
        rules.check(raw, Directive::BuildExclusiveConfig, |words| {
            // What nobody knows rules nothing out: a node without headers installs what was built elsewhere.
            !config.is_known()
                || words.split_whitespace().all(|word| match word.strip_prefix('!') {
                    Some(option) => !config.is_enabled(option),
                    None => config.is_enabled(word),
                })
        });
        rules
    }

    fn check(&mut self, raw: &RawConf, directive: Directive, holds: impl Fn(&str) -> bool) {
        for (index, value) in raw.all(directive).filter(|(_, value)| !value.is_empty()) {
            self.any = true;
            if !holds(value) {
                let rule = Exclusion { directive: format!("{directive}[{index}]"), value: value.to_owned() };
                self.failed.entry(index).or_insert(rule);
            }
        }
    }

    /// Why the module at `index` is ruled out: by a rule for all, or by one of its own.
    pub(super) fn module(&self, index: usize) -> Option<Exclusion> {
        self.failed.get(&0).or_else(|| self.failed.get(&index)).cloned()
    }

    /// Why the whole package is: no module of it is left. One without modules is ruled out by a rule for all.
    pub(super) fn package(&self, modules: &[ModuleRecord]) -> Option<Exclusion> {
        if !self.any || modules.iter().any(|module| module.excluded.is_none()) {
            return None;
        }
        self.failed.get(&0).cloned().or_else(|| modules.first().and_then(|module| module.excluded.clone()))
    }
}
