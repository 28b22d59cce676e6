//! A small world for the tests: a root with a kernel's folder, built modules, and a conf.

use std::path::{Path, PathBuf};

use super::{
    Force, InstallError, Installed, Options, Place, Put, Uninstalled, VersionCheck, install, uninstall,
};
use crate::conf::ModuleConf;
use crate::conf::module::{ModuleRecord, Scripts};
use crate::host::{Environment, fs};
use crate::id::{ModuleId, Target};
use crate::kernel::{Family, KernelFacts};
use crate::layout::Layout;
use crate::modfile::testing::Fabricated;
use crate::report::{Event, Recorder};

pub(super) const KERNEL: &str = "6.1.0-t";

/// A module of that version for that kernel.
pub(crate) fn module(version: &str, kernel: &str) -> Vec<u8> {
    let info =
        format!("version={version}\0srcversion=S{version}\0vermagic={kernel} SMP mod_unload \0license=GPL\0");
    Fabricated::new(info).bytes()
}

pub(super) fn record(name: &str, dest_location: &str) -> ModuleRecord {
    ModuleRecord {
        index: 0,
        built_name: name.to_owned(),
        built_location: String::new(),
        dest_name: name.to_owned(),
        dest_location: dest_location.to_owned(),
        strip: false,
        excluded: None,
    }
}

pub(super) struct World {
    dir: tempfile::TempDir,
    pub(super) layout: Layout,
    pub(super) kernel: KernelFacts,
    pub(super) environment: Environment,
    pub(super) family: Family,
    pub(super) module_folder: Option<&'static str>,
    pub(super) said: Recorder,
}

impl World {
    pub(super) fn new() -> Self {
        // In memory, where there is such a place: the disk is synced often.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let layout = Layout::under(dir.path());
        let target = Target::parse(KERNEL, "x86_64").unwrap();
        let kernel = KernelFacts { headers_usable: false, ..KernelFacts::usual(target, &layout) };
        fs::create_dir_all(&kernel.module_dir).unwrap();
        fs::create_dir_all(&layout.dkms_tree).unwrap();
        Self {
            layout,
            kernel,
            environment: [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")].into_iter().collect(),
            family: Family::Debian,
            module_folder: Some("/updates/dkms"),
            said: Recorder::default(),
            dir,
        }
    }

    pub(super) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// A path below the kernel's folder.
    pub(super) fn in_kernel(&self, path: &str) -> PathBuf {
        self.kernel.module_dir.join(path)
    }

    /// A path below the module's folder in the tree.
    pub(super) fn in_tree(&self, path: &str) -> PathBuf {
        self.layout.dkms_tree.join("foo").join(path)
    }

    pub(super) fn write(&self, path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write_whole(path, bytes, 0o644).unwrap();
    }

    pub(super) fn script(&self, name: &str, text: &str) {
        let path = self.layout.source_dir(&id("1.0")).join(name);
        self.write(&path, format!("#!/bin/sh\n{text}\n").as_bytes());
        fs::set_mode(&path, 0o755).unwrap();
    }

    /// Builds `foo/VERSION` with these modules.
    pub(super) fn build(&self, version: &str, names: &[&str]) -> ModuleConf {
        let id = id(version);
        for name in names {
            let path = self.layout.built_dir(&id, &self.kernel.target).join(format!("{name}.ko"));
            self.write(&path, &module(version, KERNEL));
        }
        let source = self.layout.source_link(&id);
        fs::create_dir_all(&self.layout.source_dir(&id)).unwrap();
        fs::symlink(&self.layout.source_dir(&id), &source).unwrap();
        ModuleConf {
            id,
            modules: names.iter().map(|name| record(name, "/kernel/drivers/misc")).collect(),
            make: None,
            clean: None,
            patches: Vec::new(),
            scripts: Scripts::default(),
            autoinstall: true,
            build_depends: Vec::new(),
            build_depends_rebuild: false,
            excluded: None,
            is_computed: false,
            no_weak_modules: false,
            remake_initrd: false,
            modules_conf: Vec::new(),
            critical: None,
        }
    }

    pub(super) fn place<'a>(&'a self, id: &'a ModuleId) -> Place<'a> {
        Place {
            id,
            kernel: &self.kernel,
            layout: &self.layout,
            environment: &self.environment,
            family: self.family,
            module_folder: self.module_folder,
            owes_depmod: true,
        }
    }

    pub(super) fn try_install(&self, conf: &ModuleConf, force: Force) -> Result<Installed, InstallError> {
        let options = Options { force, version_check: VersionCheck::Enforced, put: Put::Copied };
        install(&self.place(&conf.id), conf, options, &self.said)
    }

    pub(super) fn install(&self, conf: &ModuleConf) {
        self.try_install(conf, Force::No).unwrap().keep();
    }

    pub(super) fn uninstall(&self, conf: &ModuleConf) -> Uninstalled {
        uninstall(&self.place(&conf.id), Some(conf), &self.said).unwrap()
    }

    /// Everything on disk but what we remember: path, and where a link leads or what a file's
    /// first `version=` says.
    pub(super) fn state(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.describe(self.root(), &mut lines);
        lines
    }

    fn describe(&self, dir: &Path, lines: &mut Vec<String>) {
        for entry in fs::list(dir).unwrap().into_iter().filter(|entry| entry.name != ".state") {
            let path = dir.join(&entry.name);
            let shown = path.strip_prefix(self.root()).unwrap().display().to_string();
            if entry.kind.is_dir() {
                lines.push(format!("{shown}/"));
                self.describe(&path, lines);
            } else if let Some(target) = fs::link_target(&path).unwrap() {
                lines.push(format!("{shown} -> {}", target.display()));
            } else {
                let text = fs::read_lossy(&path).unwrap();
                let version = text.split("version=").nth(1).and_then(|rest| rest.split('\0').next());
                lines.push(format!("{shown}: {}", version.unwrap_or(text.trim_end())));
            }
        }
    }

    /// What was reported, one line each.
    pub(super) fn lines(&self) -> String {
        let text = |event: Event| match event {
            Event::Note { text }
            | Event::Warning { text, .. }
            | Event::Failed { text, .. }
            | Event::Output { text } => text,
            Event::Started { what } | Event::Finished { what, .. } => what,
            Event::Command { line } => line,
            Event::Logging { log } => log.display().to_string(),
        };
        self.said.events().into_iter().map(|event| text(event) + "\n").collect()
    }
}

pub(super) fn id(version: &str) -> ModuleId {
    ModuleId::parse("foo", version).unwrap()
}
