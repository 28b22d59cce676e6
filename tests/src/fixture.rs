//! A module's source tree as text: a one-line C file, a Makefile and a dkms.conf.

use anyhow::Result;

use crate::root::Root;

/// A source that uses a symbol for all modules, one for GPL-compatible modules, and one of a namespace.
pub const EACH_KIND_OF_SYMBOL: &str = "\
#include <linux/dma-buf.h>
#include <linux/kobject.h>
#include <linux/module.h>
MODULE_LICENSE(\"GPL\");
MODULE_IMPORT_NS(DMA_BUF);
int foo_answer(void);
int foo_answer(void) { pr_info(\"foo\"); kobject_put(kobject_create_and_add(\"foo\", NULL)); return IS_ERR(dma_buf_get(0)); }
";

/// A module source tree to be written to `/usr/src/NAME-VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name, and that of its one C file.
    pub name: String,
    /// Its version, which the C file carries too.
    pub version: String,
    /// Lines of the usual dkms.conf that are left out: those that begin with one of these words.
    pub without: Vec<String>,
    /// Lines added to the dkms.conf.
    pub with: Vec<String>,
    /// Further C files: name and version of the module that each makes.
    pub also: Vec<(String, String)>,
}

impl Module {
    /// A module of one file.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            without: Vec::new(),
            with: Vec::new(),
            also: Vec::new(),
        }
    }

    /// With another line in its dkms.conf.
    #[must_use]
    pub fn with(mut self, line: &str) -> Self {
        self.with.push(line.to_owned());
        self
    }

    /// Its dkms.conf.
    #[must_use]
    pub fn conf(&self) -> String {
        let usual = [
            format!("PACKAGE_NAME=\"{}\"", self.name),
            format!("PACKAGE_VERSION=\"{}\"", self.version),
            format!("BUILT_MODULE_NAME[0]=\"{}\"", self.name),
            "DEST_MODULE_LOCATION[0]=\"/kernel/drivers/misc\"".to_owned(),
            "AUTOINSTALL=\"yes\"".to_owned(),
        ];
        let kept = usual.into_iter().filter(|line| !self.without.iter().any(|word| line.starts_with(word)));
        let mut text = kept.chain(self.with.iter().cloned()).collect::<Vec<_>>().join("\n");
        text.push('\n');
        text
    }

    /// Writes it to `/usr/src/NAME-VERSION` of a root.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write_to(&self, root: &Root) -> Result<()> {
        self.write_below(root, &format!("/usr/src/{}-{}", self.name, self.version))
    }

    /// Writes it to a folder of a root.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write_below(&self, root: &Root, dir: &str) -> Result<()> {
        let mut objects = format!("obj-m := {}.o", self.name);
        root.write(&format!("{dir}/{}.c", self.name), &code(&self.name, &self.version), 0o644)?;
        for (name, version) in &self.also {
            root.write(&format!("{dir}/{name}.c"), &code(name, version), 0o644)?;
            objects.push_str(&format!(" {name}.o"));
        }
        root.write(&format!("{dir}/Makefile"), &format!("{objects}\n"), 0o644)?;
        root.write(&format!("{dir}/dkms.conf"), &self.conf(), 0o644)
    }
}

fn code(name: &str, version: &str) -> String {
    let function = name.replace('-', "_");
    let number: u32 = version.bytes().map(u32::from).sum();
    format!(
        "#include <linux/module.h>\n\
         MODULE_LICENSE(\"GPL\");\n\
         MODULE_VERSION(\"{version}\");\n\
         int {function}_number(void);\n\
         int {function}_number(void) {{ return {number}; }}\n"
    )
}
