//! The system below `/`, as the hooks look at it: which of a transaction's things are there, whose they are, and which modules.

use std::cell::RefCell;

use dkms_core::adapter::{Adapter, AdapterError};
use dkms_core::host::{Environment, fs};
use dkms_core::id::{KernelRelease, ModuleId, Target};
use dkms_core::report::{Event, Reporter};
use dkms_core::tree::{Snapshot, Source};

use crate::owners::{Database, Owners};
use crate::record::State;
use crate::targets::Thing;
use crate::tell::Now;

/// Files of which a kernel's module folder has one; folders that other things have left behind have none.
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
        let snapshot = adapter.snapshot()?;
        let warned = RefCell::default();
        Ok(Self { adapter, snapshot, without_libalpm: None, owners: Owners::new(), reporter, warned })
    }

    /// Looks up who owns these things, all at once: lists are long.
    pub fn look_up<'t>(&mut self, things: impl IntoIterator<Item = &'t Thing>) {
        let there = things.into_iter().filter(|thing| self.is_there(thing));
        let paths: Vec<String> = there.map(ToString::to_string).collect();
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
            Thing::Headers(kernel) => fs::is_dir(&layout.headers_dir(kernel).join("include")),
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
        let conf = dir.join("dkms.conf");
        match self.adapter.identify(&conf) {
            Ok(Ok(id)) if id.dir_name() == folder => Some(id),
            Ok(Ok(id)) => {
                let text = format!(
                    "`{}` is of module {id}, whose source would be in `{}`: it is passed over",
                    conf.display(),
                    self.adapter.settings.layout.source_dir(&id).display()
                );
                self.warn(text)
            }
            Ok(Err(fault)) => self.warn(format!("`{folder}` is passed over: {}", describe(&fault))),
            Err(error) => self.warn(format!("`{folder}` is passed over: {error}")),
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
        Some(State { owner: self.owners.get(&thing.to_string()).cloned(), module })
    }

    fn target(&self, kernel: &KernelRelease) -> Option<Target> {
        self.adapter.target(kernel).ok()
    }
}
