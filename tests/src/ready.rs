//! A module compiled once for all tests of a process: where a test is about files, not about the
//! compiler, `MAKE` copies it.

use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result};
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::fixture::Module;
use crate::kernels::Kernels;
use crate::root::Root;
use crate::tool::Tool;

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
    /// Compiles it; the second and later calls of a process get the first one's. It carries some
    /// incompressible data: what is to be cut by a full disk needs some length.
    ///
    /// # Errors
    /// If it cannot be compiled.
    pub fn compile(cache: &Cache, kernels: &Kernels) -> Result<&'static Self> {
        static MADE: OnceLock<Ready> = OnceLock::new();
        static MAKING: Mutex<()> = Mutex::new(());
        let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = MADE.get() {
            return Ok(made);
        }
        let root = Root::new(cache, kernels, &[])?;
        let made = Self { first: Self::compile_in(&root, "$K")?, second: OnceLock::new() };
        Ok(MADE.get_or_init(|| made))
    }

    /// A fresh root with this `dkms`, in which foo/1.0 is installed on `$K`.
    ///
    /// # Errors
    /// If it cannot be compiled or installed.
    pub fn installed(dkms: &str) -> Result<Root> {
        let (cache, kernels) = (Cache::open()?, Kernels::find()?);
        let root = Root::new(&cache, &kernels, &[&Tool::ours(dkms)])?;
        Self::compile(&cache, &kernels)?.put_into(&root)?;
        root.must("dkms install foo/1.0 -k $K")?;
        Ok(root)
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
