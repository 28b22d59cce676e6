//! What a module's dkms.conf demands of the packages of its built modules: other modules' packages, lines for
//! modprobe.d, a new initramfs. Here are the scripts for it, the same for dpkg and rpm.

use dkms_base::id::{KernelRelease, ModuleName};

/// What a dkms.conf says for one kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demands {
    /// `BUILD_DEPENDS`.
    pub build_depends: Vec<ModuleName>,
    /// `REMAKE_INITRD` is yes.
    pub remake_initrd: bool,
    /// `MODULES_CONF`.
    pub modules_conf: Vec<String>,
}

impl Demands {
    /// A script with these parts in their places; `stems`: the modules' file names without `.ko`.
    pub(crate) fn script(
        &self,
        text: &str,
        module: &ModuleName,
        kernel: &KernelRelease,
        stems: &[String],
    ) -> String {
        let parts = [
            ("BEFORE_DEPMOD\n", self.before_depmod(module)),
            ("MAY_WAIT || ", self.before_waiting(kernel)),
            ("AFTER_DEPMOD\n", self.after_depmod(kernel)),
            ("WHEN_GONE\n", self.gone(module, stems)),
        ];
        let text = text.replace("KERNEL_VERSION", kernel.as_str());
        parts.iter().fold(text, |text, (place, part)| text.replace(place, part))
    }

    /// What runs once the modules are in place, before depmod.
    fn before_depmod(&self, module: &ModuleName) -> String {
        if self.modules_conf.is_empty() {
            return String::new();
        }
        let lines: String = self.modules_conf.iter().map(|line| format!(" {}", quoted(line))).collect();
        include_str!("scripts/modprobe.put").replace("MODULE_NAME", module.as_str()).replace(" LINES", &lines)
    }

    /// What stands before a depmod that DKMS may run later for all packages of the run. A new initramfs is
    /// made from the index, and can't wait for it.
    fn before_waiting(&self, kernel: &KernelRelease) -> String {
        if self.remake_initrd {
            return String::new();
        }
        format!("/usr/libexec/dkms/hooks-apt index \"{kernel}\" 2>/dev/null || ")
    }

    /// What runs after depmod, when modules have come and when they have gone.
    fn after_depmod(&self, kernel: &KernelRelease) -> String {
        if !self.remake_initrd {
            return String::new();
        }
        include_str!("scripts/initramfs").replace("KERNEL_VERSION", kernel.as_str())
    }

    /// What runs when the modules are gone: the lines for modprobe go with the last kernel's.
    fn gone(&self, module: &ModuleName, stems: &[String]) -> String {
        if self.modules_conf.is_empty() {
            return String::new();
        }
        let names: Vec<String> =
            stems.iter().map(|stem| format!("-name {}", quoted(&format!("{stem}.ko*")))).collect();
        include_str!("scripts/modprobe.take")
            .replace("MODULE_NAME", module.as_str())
            .replace("NAMES", &names.join(" -o "))
    }
}

/// A text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_conf_does_not_ask_for_is_in_no_script() {
        let (module, kernel) = (ModuleName::new("foo").unwrap(), KernelRelease::new("6.1").unwrap());
        let none = Demands::default();
        assert_eq!(none.before_depmod(&module) + &none.after_depmod(&kernel) + &none.gone(&module, &[]), "");
    }

    #[test]
    fn lines_for_modprobe_are_words_of_the_shell() {
        let line = "options foo text=\"it's $HOME\"".to_owned();
        let demands =
            Demands { modules_conf: vec![line.clone(), "blacklist bar".to_owned()], ..Demands::default() };
        let script = demands.before_depmod(&ModuleName::new("foo").unwrap());
        assert!(
            script.contains(r#"printf '%s\n' 'options foo text="it'\''s $HOME"' 'blacklist bar' >"#),
            "{script}"
        );
        assert!(script.contains("/etc/modprobe.d/dkms-foo.conf"), "{script}");
    }
}
