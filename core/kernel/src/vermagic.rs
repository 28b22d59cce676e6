//! What a kernel's vermagic has besides the release: one of its own modules says it, else its configuration.
//! Source: include/linux/vermagic.h of the kernel.

use crate::machine::first_module;
use crate::{KernelConfig, KernelFacts, Machine, modfile};

/// How deep a kernel's own modules lie.
const DEPTH: u8 = 8;

/// The words, separated by single blanks; `None`: not known.
#[must_use]
pub fn words(kernel: &KernelFacts) -> Option<String> {
    let own = first_module(&kernel.module_dir.join("kernel"), DEPTH);
    let own = own.and_then(|path| modfile::read_info(&path).ok());
    own.and_then(|info| info.kernel_words()).or_else(|| of_config(&kernel.config))
}

/// As a configuration says; `None` where it does not say all of it.
fn of_config(config: &KernelConfig) -> Option<String> {
    let has = |option: &str| config.get(option) == Some("y");
    let arch = match Machine::of_config(config)? {
        Machine::X86_64 => "",
        Machine::Arm64 => "aarch64",
        // These name a processor, which depends on more options than are worth knowing.
        _ => return None,
    };
    // With either the order of fields is random, and a sum of the seed is part of it.
    if ["CONFIG_RANDSTRUCT", "CONFIG_GCC_PLUGIN_RANDSTRUCT", "CONFIG_PREEMPT_RT"].into_iter().any(has) {
        return None;
    }
    let is_preemptible = has("CONFIG_PREEMPT_BUILD") || has("CONFIG_PREEMPT");
    let words = [
        (has("CONFIG_SMP"), "SMP"),
        (is_preemptible, "preempt"),
        (has("CONFIG_MODULE_UNLOAD"), "mod_unload"),
        (has("CONFIG_MODVERSIONS"), "modversions"),
        (!arch.is_empty(), arch),
    ];
    let words: Vec<&str> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_tells_the_words_where_nothing_odd_is_in_it() {
        let of = |text: &str| {
            let options = KernelConfig::parse_options(text);
            of_config(&KernelConfig { path: None, options })
        };
        let x86 = "CONFIG_X86=y\nCONFIG_X86_64=y\nCONFIG_SMP=y\nCONFIG_MODULE_UNLOAD=y\n";
        assert_eq!(of(x86).as_deref(), Some("SMP mod_unload"));
        let more = format!("{x86}CONFIG_PREEMPT_BUILD=y\nCONFIG_MODVERSIONS=y\n");
        assert_eq!(of(&more).as_deref(), Some("SMP preempt mod_unload modversions"));
        assert_eq!(of("CONFIG_ARM64=y\nCONFIG_SMP=y\n").as_deref(), Some("SMP aarch64"));
        assert_eq!(of(&format!("{x86}CONFIG_RANDSTRUCT=y\n")), None);
        assert_eq!(of("CONFIG_ARM=y\n"), None);
        assert_eq!(of(""), None);
    }
}
