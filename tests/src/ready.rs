//! A module compiled once for all tests of a process: where a test is about files, not about the
//! compiler, `MAKE` copies it.

use anyhow::{Context, Result};
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::fixture::Module;
use crate::kernels::Kernels;
use crate::root::Root;

/// Where it lies in a root that was given it; beside the source, so that a file system there counts it once.
pub const PLACE: &str = "/srv/ready/foo.ko";

/// The compiled `foo`, version 1.0, for `$K`.
#[derive(Debug, Clone)]
pub struct Ready(Vec<u8>);

impl Ready {
    /// Compiles it. It carries some incompressible data: what is to be cut by a full disk needs some length.
    ///
    /// # Errors
    /// Where it can't be compiled.
    pub fn compile(cache: &Cache, kernels: &Kernels) -> Result<Self> {
        let root = Root::new(cache, kernels, &[])?;
        Module::new("foo", "1.0").write_below(&root, "/srv/made")?;
        root.must(
            "cd /srv/made
             printf 'const unsigned foo_table[] = {' >>foo.c
             i=1; while [ $i -lt 6000 ]; do printf '%du,' $(((i * 2654435761) & 0xffffffff)); i=$((i + 1)); done >>foo.c
             echo '};' >>foo.c
             make -s -C /lib/modules/$K/build M=/srv/made modules",
        )?;
        Ok(Self(fs::read(&root.view("/srv/made/foo.ko")).context("read the module")?))
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Puts it into a root, with a source tree in `/usr/src/foo-1.0` whose `MAKE` takes it from there.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn put_into(&self, root: &Root) -> Result<()> {
        let path = root.view(PLACE);
        fs::create_dir_all(path.parent().context("it lies in a folder")?)?;
        fs::write_whole(&path, &self.0, 0o644)?;
        Self::module().write_to(root)
    }

    /// The same for all three kernels: on the others than `$K` it is a module of theirs.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn put_for_each_kernel(&self, root: &Root) -> Result<()> {
        self.put_into(root)?;
        root.must(&format!(
            "for k in $K2 $K3; do
               objcopy -O binary --only-section=.modinfo --set-section-flags .modinfo=alloc {PLACE} /tmp/info
               sed \"s/vermagic=[^ ]*/vermagic=$k/\" /tmp/info >/tmp/info.new
               objcopy --update-section .modinfo=/tmp/info.new {PLACE} {PLACE}.$k
             done
             rm /tmp/info /tmp/info.new"
        ))?;
        let make = format!(
            "MAKE=\"cp {PLACE} . && if [ -f {PLACE}.$kernelver ]; then cp {PLACE}.$kernelver foo.ko; fi\""
        );
        Module::new("foo", "1.0").with(&make).write_to(root)
    }

    /// Its source tree.
    #[must_use]
    pub fn module() -> Module {
        Module::new("foo", "1.0").with(&format!("MAKE=\"cp {PLACE} .\""))
    }
}
