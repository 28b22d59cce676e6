//! The system below `/`, as the hooks look at it: which of a transaction's things are there, whose they
//! are, and which modules.

use std::cell::RefCell;
use std::collections::BTreeSet;

use dkms_base::host::{Environment, fs};
use dkms_base::id::{KernelRelease, ModuleId, Target};
use dkms_base::report::{Event, Reporter};
use dkms_core::tree::{Snapshot, Source};
use dkms_hooks::{Adapter, AdapterError};
use dkms_kernel as kernel;

use crate::owners::{Database, Owners};
use crate::record::State;
use crate::targets::Thing;
use crate::tell::Now;

/// Files of which a kernel's module folder has one; folders that other things have left behind have none. Who
/// builds a kernel without a package has them too.
const KERNEL_FILES: [&str; 2] = ["vmlinuz", "modules.order"];

/// The system.
pub struct System<'a> {
    /// What works on it.
    pub adapter: Adapter,
    /// What is in the tree.
    pub snapshot: Snapshot,
    /// Why owners are looked up without libalpm.
    pub without_libalpm: Option<String>,
    owners: Owners,
    reporter: &'a dyn Reporter,
    warned: RefCell<Vec<String>>,
}

impl<'a> System<'a> {
    /// Looks at it.
    ///
    /// # Errors
    /// [`AdapterError`].
    pub fn look(environment: Environment, reporter: &'a dyn Reporter) -> Result<Self, AdapterError> {
        let mut adapter = Adapter::begin(environment, reporter)?;
        adapter.kernel_files = &KERNEL_FILES;
        adapter.other_kernels = with_modules_only(&adapter)?;
        let snapshot = adapter.snapshot()?;
        let warned = RefCell::default();
        Ok(Self { adapter, snapshot, without_libalpm: None, owners: Owners::new(), reporter, warned })
    }

    /// Looks up who owns these things, all at once: lists are long.
    pub fn look_up<'t>(&mut self, things: impl IntoIterator<Item = &'t Thing>) {
        let there = things.into_iter().filter(|thing| self.is_there(thing));
        let paths: Vec<String> = there.flat_map(Thing::paths).collect();
        let found = Database::of(&self.adapter.settings.layout).owners(&paths);
        self.owners.extend(found.owners);
        self.without_libalpm = found.without_libalpm;
    }

    /// Whether a thing is there.
    #[must_use]
    pub fn is_there(&self, thing: &Thing) -> bool {
        let layout = &self.adapter.settings.layout;
        match thing {
            Thing::Module(folder) => fs::is_file(&layout.source_tree.join(folder).join("dkms.conf")),
            Thing::Kernel(kernel) => fs::is_dir(&layout.kernel_dir(kernel)) && self.adapter.is_kernel(kernel),
            Thing::Headers(kernel) => dkms_kernel::has_headers(kernel, layout),
        }
    }

    /// The module whose source is in a folder of `/usr/src`; what can't be one is warned of.
    #[must_use]
    pub fn module_in(&self, folder: &str) -> Option<ModuleId> {
        let dir = self.adapter.settings.layout.source_tree.join(folder);
        let registered = self.snapshot.modules.iter().find(|(id, found)| {
            id.dir_name() == folder && matches!(&found.source, Source::Present(source) if *source == dir)
        });
        if let Some((id, _)) = registered {
            return Some(id.clone());
        }
        match self.adapter.module_in(folder) {
            Ok(Ok(id)) => Some(id),
            Ok(Err(fault)) => self.warn(format!("`{folder}` is skipped: {}", describe(&fault))),
            Err(error) => self.warn(format!("`{folder}` is skipped: {error}")),
        }
    }

    fn warn(&self, text: String) -> Option<ModuleId> {
        let mut warned = self.warned.borrow_mut();
        if !warned.contains(&text) {
            self.reporter.report(Event::warning(text.clone(), []));
            warned.push(text);
        }
        None
    }
}

fn describe(fault: &dkms_core::plan::ConfFault) -> String {
    use dkms_core::plan::ConfFault;
    match fault {
        ConfFault::Missing { path } => format!("`{}` is not there", path.display()),
        ConfFault::Invalid { path, problems } => format!("`{}`: {}", path.display(), problems.join("; ")),
    }
}

/// Kernels whose package has nothing but modules: it owns their folder `kernel`.
fn with_modules_only(adapter: &Adapter) -> Result<BTreeSet<KernelRelease>, AdapterError> {
    let layout = &adapter.settings.layout;
    let mut folders = kernel::installed_kernels(layout)?;
    let has_modules = |kernel: &KernelRelease| fs::is_dir(&layout.kernel_dir(kernel).join("kernel"));
    folders.retain(|kernel| !adapter.is_kernel(kernel) && has_modules(kernel));
    let path = |kernel: &KernelRelease| format!("usr/lib/modules/{kernel}/kernel/");
    let paths: Vec<String> = folders.iter().map(path).collect();
    let owners = Database::of(layout).owners(&paths).owners;
    folders.retain(|kernel| owners.contains_key(&path(kernel)));
    Ok(folders.into_iter().collect())
}

impl Now for System<'_> {
    fn state(&self, thing: &Thing) -> Option<State> {
        if !self.is_there(thing) {
            return None;
        }
        let id = match thing {
            Thing::Module(folder) => self.module_in(folder),
            Thing::Kernel(_) | Thing::Headers(_) => None,
        };
        let module = id.map(|id| (id.name.to_string(), id.version.to_string()));
        let owner = thing.paths().iter().find_map(|path| self.owners.get(path)).cloned();
        Some(State { owner, module })
    }

    fn target(&self, kernel: &KernelRelease) -> Option<Target> {
        self.adapter.target(kernel).ok()
    }
}
