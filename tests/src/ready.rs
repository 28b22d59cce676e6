//! Modules compiled once for all tests of a process: if a test is about files, not about the compiler,
//! `MAKE` copies them. They are what a kernel's own makefiles have made: see [`Template`].

use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result};
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::fixture::Module;
use crate::kernels::{Kernels, THIRD};
use crate::root::Root;
use crate::template::Template;
use crate::tool::Tool;

/// Where `foo` lies in a root that was given it.
pub const PLACE: &str = "/srv/ready/foo.ko";

/// What is compiled.
#[derive(Debug, Clone)]
pub struct Ready {
    /// For `$K`.
    first: Template,
    /// For `$K2`, compiled when a test first asks for it.
    second: OnceLock<Template>,
}

impl Ready {
    /// Compiles it; the second and later calls of a process get the first one's.
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
        let made =
            Self { first: Template::compile(&root, "/lib/modules/$K/build")?, second: OnceLock::new() };
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

    /// A module of this name and version for `$K`: its file.
    ///
    /// # Errors
    /// If the name or the version is too long.
    pub fn file(&self, name: &str, version: &str) -> Result<Vec<u8>> {
        self.first.module(name, version)
    }

    fn second(&self, root: &Root) -> Result<&Template> {
        if self.second.get().is_none() {
            // Another thread may have been faster: both made the same.
            drop(self.second.set(Template::compile(root, "/lib/modules/$K2/build")?));
        }
        self.second.get().context("it was compiled")
    }

    /// Puts foo/1.0 into a root, with a source tree in `/usr/src/foo-1.0` whose `MAKE` takes it from there.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn put_into(&self, root: &Root) -> Result<()> {
        let path = root.view(PLACE);
        fs::create_dir_all(path.parent().context("it lies in a folder")?)?;
        fs::write_whole(&path, &self.file("foo", "1.0")?, 0o644)?;
        Self::module().write_to(root)
    }

    /// The same for all three kernels. `$K2` is another build: its module is compiled with its own headers.
    /// `$K3` borrows those of `$K`, so its module differs from `$K`'s in the release only.
    ///
    /// # Errors
    /// Where it can't be compiled or written.
    pub fn put_for_each_kernel(&self, root: &Root) -> Result<()> {
        self.put_into(root)?;
        for (kernel, template) in [
            (root.kernels().second.as_str(), self.second(root)?.clone()),
            (THIRD, self.first.for_release(THIRD)?),
        ] {
            let path = root.view(&format!("{PLACE}.{kernel}"));
            fs::write_whole(&path, &template.module("foo", "1.0")?, 0o644)?;
        }
        let make = format!(
            "MAKE=\"cp {PLACE} . && if [ -f {PLACE}.$kernelver ]; then cp {PLACE}.$kernelver foo.ko; fi\""
        );
        Module::new("foo", "1.0").with(&make).write_to(root)
    }

    /// The source tree of foo/1.0.
    #[must_use]
    pub fn module() -> Module {
        Module::new("foo", "1.0").with(&format!("MAKE=\"cp {PLACE} .\""))
    }

    /// A module of any name and version, whose file for each of the three kernels lies in a root from now on.
    ///
    /// # Errors
    /// Where it can't be compiled or written.
    pub fn any(&self, root: &Root, name: &str, version: &str) -> Result<Module> {
        let kernels = root.kernels();
        let third = self.first.for_release(THIRD)?;
        let each = [(&*kernels.first, &self.first), (&*kernels.second, self.second(root)?), (THIRD, &third)];
        put_each(root, &each, name, version)?;
        Ok(Module::new(name, version).with(&format!("MAKE=\"{}\"", copying(name, version))))
    }
}

/// A module of any name and version that needs no compiler, in a root of this machine's: see [`Ready::any`].
///
/// # Errors
/// Where it can't be compiled or written.
pub fn module(root: &Root, name: &str, version: &str) -> Result<Module> {
    Ready::compile(&Cache::open()?, root.kernels())?.any(root, name, version)
}

/// Puts a module's file for each of some kernels where [`copying`] takes it.
///
/// # Errors
/// Where it can't be written.
pub fn put_each(root: &Root, kernels: &[(&str, &Template)], name: &str, version: &str) -> Result<()> {
    for (kernel, template) in kernels {
        let folder = format!("/srv/ready/{kernel}");
        fs::create_dir_all(&root.view(&folder))?;
        let path = root.view(&format!("{folder}/{name}-{version}.ko"));
        fs::write_whole(&path, &template.module(name, version)?, 0o644)?;
    }
    Ok(())
}

/// The line of shell that stands for a module's build, as a dkms.conf has it.
#[must_use]
pub fn copying(name: &str, version: &str) -> String {
    format!("cp /srv/ready/$kernelver/{name}-{version}.ko {name}.ko")
}
