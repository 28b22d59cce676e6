//! A module compiled once for all tests of a process: where a test is about files, not about the
//! compiler, `MAKE` copies it.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::fixture::Module;
use crate::kernels::Kernels;
use crate::root::Root;

/// Where it lies in a root that was given it; beside the source, so that a file system there counts it once.
pub const PLACE: &str = "/srv/ready/foo.ko";

/// The compiled `foo`, version 1.0.
#[derive(Debug, Clone)]
pub struct Ready {
    /// For `$K`.
    first: Vec<u8>,
    /// For `$K2`, compiled when a test first asks for it.
    second: OnceLock<Vec<u8>>,
}

impl Ready {
    /// Compiles it. It carries some incompressible data: what is to be cut by a full disk needs some length.
    ///
    /// # Errors
    /// Where it can't be compiled.
    pub fn compile(cache: &Cache, kernels: &Kernels) -> Result<Self> {
        let root = Root::new(cache, kernels, &[])?;
        Ok(Self { first: Self::compile_in(&root, "$K")?, second: OnceLock::new() })
    }

    fn compile_in(root: &Root, kernel: &str) -> Result<Vec<u8>> {
        Module::new("foo", "1.0").write_below(root, "/srv/made")?;
        root.must(&format!(
            "cd /srv/made
             printf 'const unsigned foo_table[] = {{' >>foo.c
             i=1; while [ $i -lt 6000 ]; do printf '%du,' $(((i * 2654435761) & 0xffffffff)); i=$((i + 1)); done >>foo.c
             echo '}};' >>foo.c
             make -s -C /lib/modules/{kernel}/build M=/srv/made modules"
        ))?;
        let made = fs::read(&root.view("/srv/made/foo.ko")).context("read the module")?;
        root.must("rm -r /srv/made")?;
        Ok(made)
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.first
    }

    /// Puts it into a root, with a source tree in `/usr/src/foo-1.0` whose `MAKE` takes it from there.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn put_into(&self, root: &Root) -> Result<()> {
        let path = root.view(PLACE);
        fs::create_dir_all(path.parent().context("it lies in a folder")?)?;
        fs::write_whole(&path, &self.first, 0o644)?;
        Self::module().write_to(root)
    }

    /// The same for all three kernels. `$K2` is another build: its module is compiled with its own headers.
    /// `$K3` borrows those of `$K`, so its module differs from `$K`'s in the release only.
    ///
    /// # Errors
    /// Where it can't be compiled or written.
    pub fn put_for_each_kernel(&self, root: &Root) -> Result<()> {
        if self.second.get().is_none() {
            // Another thread may have been faster: both made the same.
            drop(self.second.set(Self::compile_in(root, "$K2")?));
        }
        self.put_into(root)?;
        let second = self.second.get().context("it was compiled")?;
        fs::write_whole(&root.view(&format!("{PLACE}.{}", root.kernels().second)), second, 0o644)?;
        root.must(&format!(
            "objcopy -O binary --only-section=.modinfo --set-section-flags .modinfo=alloc {PLACE} /tmp/info
             sed \"s/vermagic=[^ ]*/vermagic=$K3/\" /tmp/info >/tmp/info.new
             objcopy --update-section .modinfo=/tmp/info.new {PLACE} {PLACE}.$K3
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
