//! A module in a root of its own, for tests of builds.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::conf::module::ModuleRecord;
use crate::conf::{ModuleConf, Settings};
use crate::id::{ModuleId, ModuleName, ModuleVersion, Target};
use crate::kernel::{KernelFacts, Toolchain};
use crate::layout::Layout;
use crate::modfile::testing::Fabricated;
use crate::report::Recorder;
use crate::sign::Signer;

/// A module in a root of its own.
pub(crate) struct World {
    pub(crate) root: tempfile::TempDir,
    pub(crate) private: PathBuf,
    pub(crate) id: ModuleId,
    pub(crate) target: Target,
    pub(crate) conf: ModuleConf,
    pub(crate) kernel: KernelFacts,
    pub(crate) toolchain: Toolchain,
    pub(crate) settings: Settings,
    pub(crate) environment: Environment,
    pub(crate) dependencies: Vec<(ModuleName, ModuleVersion)>,
    pub(crate) recorder: Recorder,
    pub(crate) memory: Memory,
    pub(crate) reuse: Reuse,
}

/// A module, and behind it the folder that it was made in.
pub(crate) const MAKE: &str = "{ cat whole.bin; printf '<%s>' \"$PWD\"; } > foo.ko";

/// The module that is in the source.
pub(crate) fn object() -> Vec<u8> {
    Fabricated::for_kernel("foo", "6.1.0-1-amd64").bytes()
}

/// What follows the module.
pub(crate) fn behind(module: &Path) -> String {
    let bytes = fs::read(module).unwrap();
    let rest = bytes.strip_prefix(object().as_slice()).expect("the module is at the beginning");
    String::from_utf8_lossy(rest).into_owned()
}

pub(crate) fn world() -> World {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::under(root.path());
    let id = ModuleId::parse("foo", "1.0").unwrap();
    let target = Target::parse("6.1.0-1-amd64", "x86_64").unwrap();
    let record = ModuleRecord {
        index: 0,
        built_name: "foo".to_owned(),
        built_location: String::new(),
        dest_name: "foo".to_owned(),
        dest_location: "/updates".to_owned(),
        strip: false,
        excluded: None,
    };
    let conf = ModuleConf { modules: vec![record], make: Some(MAKE.to_owned()), ..ModuleConf::empty(&id) };
    let kernel = KernelFacts::usual(target.clone(), &layout);
    let world = World {
        private: fs::temporary_beside(&layout.build_dir(&id)),
        id,
        target,
        conf,
        kernel,
        toolchain: Toolchain::default(),
        settings: Settings::defaults(layout),
        environment: [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")].into_iter().collect(),
        dependencies: Vec::new(),
        recorder: Recorder::default(),
        memory: Memory::default(),
        reuse: Reuse::Allowed,
        root,
    };
    world.write("usr/src/foo-1.0/dkms.conf", "", 0o644);
    world.write("usr/src/foo-1.0/foo.c", "one\ntwo\nthree\n", 0o644);
    fs::write_whole(&world.path("usr/src/foo-1.0/whole.bin"), &object(), 0o644).unwrap();
    fs::create_dir_all(&world.path("var/lib/dkms/foo/1.0")).unwrap();
    fs::symlink(&world.path("usr/src/foo-1.0"), &world.path("var/lib/dkms/foo/1.0/source")).unwrap();
    world
}

impl World {
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write_whole(&path, text.as_bytes(), mode).unwrap();
    }

    pub(crate) fn build(&self) -> Result<Built, BuildError> {
        self.build_signed(None)
    }

    pub(crate) fn build_signed(&self, signer: Option<&dyn Signer>) -> Result<Built, BuildError> {
        build(&self.spec(signer), &self.recorder)
    }

    pub(crate) fn spec<'a>(&'a self, signer: Option<&'a dyn Signer>) -> BuildSpec<'a> {
        BuildSpec {
            id: &self.id,
            target: &self.target,
            conf: &self.conf,
            kernel: &self.kernel,
            toolchain: &self.toolchain,
            layout: &self.settings.layout,
            settings: &self.settings,
            environment: &self.environment,
            private: &self.private,
            alone: true,
            jobs: &Jobs::Own(2),
            may_land: &|| true,
            signer,
            dependencies: &self.dependencies,
            directives: &[],
            memory: &self.memory,
            reuse: self.reuse,
        }
    }

    pub(crate) fn failure(&self) -> Failure {
        self.build().unwrap_err().failure
    }

    /// What is below the version folder, without what is in the build folder: mode and path.
    pub(crate) fn tree(&self) -> Vec<String> {
        let top = self.path("var/lib/dkms/foo/1.0");
        let walk = walkdir::WalkDir::new(&top).min_depth(1).sort_by_file_name();
        walk.into_iter()
            .map(Result::unwrap)
            .map(|entry| {
                (entry.path().strip_prefix(&top).unwrap().to_owned(), entry.metadata().unwrap().mode())
            })
            .filter(|(path, _)| !(path.starts_with("build") && path != Path::new("build")))
            .map(|(path, mode)| format!("{mode:o} {}", path.display()))
            .collect()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let warning = |event| if let Event::Warning { text, .. } = event { Some(text) } else { None };
        self.recorder.events().into_iter().filter_map(warning).collect()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_lossy(&self.path("var/lib/dkms/foo/1.0/build/make.log")).unwrap()
    }
}
