//! One look at a kernel: its folder, headers, configuration, compression.

use std::path::{Path, PathBuf};

use dkms_base::host::fs::{self, FsError};
use dkms_base::id::{KernelRelease, Target};
use dkms_base::layout::Layout;

use super::architecture::running_kernel;
use super::{Compression, KernelConfig, KernelFacts, module_tree};

/// What the command line says instead of the usual places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--kernelsourcedir`.
    pub source_dir: Option<PathBuf>,
    /// `--config`.
    pub config: Option<PathBuf>,
}

/// Larger than any real configuration.
const CONFIG_LIMIT: u64 = 64 << 20;

impl KernelFacts {
    /// A kernel that is installed in the usual places, with headers, an empty configuration and modules that
    /// aren't compressed. Nothing is looked at: for made-up worlds.
    #[must_use]
    pub fn usual(target: Target, layout: &Layout) -> Self {
        Self {
            module_dir: layout.kernel_dir(&target.kernel),
            module_dir_exists: true,
            headers: layout.headers_dir(&target.kernel),
            headers_usable: true,
            config: KernelConfig::default(),
            compression: Compression::None,
            running: false,
            target,
        }
    }

    /// Looks at a kernel. No process is started.
    ///
    /// # Errors
    /// [`FsError`] where a file or folder is there but can't be read; that one isn't there is a fact.
    pub fn look(target: &Target, layout: &Layout, overrides: &Overrides) -> Result<Self, FsError> {
        let kernel = &target.kernel;
        let module_dir = layout.kernel_dir(kernel);
        let headers = overrides.source_dir.clone().unwrap_or_else(|| layout.headers_dir(kernel));
        let config = match &overrides.config {
            Some(path) => read_config(path)?.unwrap_or_default(),
            None => match find_config(&headers)? {
                config if config.path.is_some() => config,
                _ => package_config(kernel, layout)?,
            },
        };
        Ok(Self {
            target: target.clone(),
            module_dir_exists: fs::is_dir(&module_dir),
            headers_usable: fs::is_dir(&headers.join("include")),
            compression: module_tree::compression(&module_dir)?,
            running: running_kernel().is_ok_and(|running| running == *kernel),
            module_dir,
            headers,
            config,
        })
    }
}

/// The configuration of a kernel, from its usual places; an empty one where none can be read.
pub(super) fn config_of(kernel: &KernelRelease, layout: &Layout) -> KernelConfig {
    let of_headers = find_config(&layout.headers_dir(kernel)).unwrap_or_default();
    if of_headers.path.is_some() {
        return of_headers;
    }
    package_config(kernel, layout).unwrap_or_default()
}

/// The configuration that a kernel's own package leaves, for where no headers are; an empty one
/// where it leaves none.
fn package_config(kernel: &KernelRelease, layout: &Layout) -> Result<KernelConfig, FsError> {
    for path in [layout.boot_config(kernel), layout.kernel_dir(kernel).join("config")] {
        match read_config(&path) {
            // Who isn't root may not read it: then nothing is known.
            Err(error) if error.is_permission() => {}
            read => {
                if let Some(config) = read? {
                    return Ok(config);
                }
            }
        }
    }
    Ok(KernelConfig::default())
}

/// The configuration of headers; without any, an empty one.
fn find_config(headers: &Path) -> Result<KernelConfig, FsError> {
    for name in ["include/config/auto.conf", ".config"] {
        match read_config(&headers.join(name)) {
            // Nothing is known of it, as where it isn't there.
            Err(error) if error.is_permission() => {}
            read => {
                if let Some(config) = read? {
                    return Ok(config);
                }
            }
        }
    }
    Ok(KernelConfig::default())
}

fn read_config(path: &Path) -> Result<Option<KernelConfig>, FsError> {
    let bytes = match fs::read_limited(path, CONFIG_LIMIT) {
        // A link to itself, such as a `build`, leads nowhere just like one whose target is gone.
        Err(error) if error.is_loop() => None,
        read => fs::optional(read)?,
    };
    Ok(bytes.map(|bytes| KernelConfig {
        path: Some(path.to_owned()),
        options: KernelConfig::parse_options(&String::from_utf8_lossy(&bytes)),
    }))
}

/// The kernels that have a module folder, in byte order. Folders that no kernel can have are left out, and
/// links to another kernel's folder, which would be that kernel twice.
///
/// # Errors
/// [`FsError`] where the folder above them can't be read.
pub fn installed_kernels(layout: &Layout) -> Result<Vec<KernelRelease>, FsError> {
    let tree = fs::canonical(&layout.install_tree).ok();
    let folder = |entry: &fs::Entry| match entry.kind.is_symlink() {
        true => {
            let real = fs::canonical(&layout.install_tree.join(&entry.name)).ok();
            real.is_some_and(|real| fs::is_dir(&real) && real.parent() != tree.as_deref())
        }
        false => entry.kind.is_dir(),
    };
    let release = |entry: fs::Entry| {
        let is_kernel = |name: &&str| {
            KernelRelease::looks_like_kernel(name) || is_module_folder(&layout.install_tree.join(name))
        };
        KernelRelease::new(entry.name.to_str().filter(is_kernel)?).ok()
    };
    Ok(fs::list(&layout.install_tree)?.into_iter().filter(folder).filter_map(release).collect())
}

/// Whether a kernel's module folder holds nothing but what dkms and depmod have put there: every package of
/// the kernel and its headers has gone.
///
/// # Errors
/// [`FsError`] where it can't be listed.
pub fn is_left_over(kernel: &KernelRelease, layout: &Layout) -> Result<bool, FsError> {
    let ours = |entry: &fs::Entry| {
        let name = entry.name.to_string_lossy();
        match entry.kind.is_dir() {
            true => ["updates", "extra", "weak-updates"].contains(&&*name),
            false => name.starts_with("modules.") && !OF_PACKAGES.contains(&&*name),
        }
    };
    Ok(fs::list(&layout.kernel_dir(kernel))?.iter().all(ours))
}

/// Lists that a kernel's build makes; depmod makes the others.
const OF_PACKAGES: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

/// Whether a folder is the module folder of a kernel, whatever its name is: kernels may be called anything.
fn is_module_folder(folder: &Path) -> bool {
    let has_headers = fs::is_dir(&folder.join("build/include"));
    has_headers
        || ["modules.order", "modules.builtin", "modules.dep"]
            .iter()
            .any(|name| fs::is_file(&folder.join(name)))
}

/// The kernels that commands without `-k` are about: the one that runs, if this system has it; else, as in a
/// chroot or while an image is made, every kernel of this system that has headers. If none has, it is
/// every kernel of this system: what was built elsewhere is installed without headers.
///
/// # Errors
/// [`FsError`] where the folder of the kernels can't be read.
pub fn default_kernels(layout: &Layout) -> Result<Vec<KernelRelease>, FsError> {
    kernels_instead_of(running_kernel_here(layout), layout)
}

/// The kernel that runs, if this system has it: not in a chroot, a container or an image of another system.
#[must_use]
pub fn running_kernel_here(layout: &Layout) -> Option<KernelRelease> {
    running_kernel().ok().filter(|running| is_of_this_system(running, layout))
}

/// Whether headers are there that a module can be built against.
#[must_use]
pub fn has_headers(kernel: &KernelRelease, layout: &Layout) -> bool {
    fs::is_dir(&layout.headers_dir(kernel).join("include"))
}

fn kernels_instead_of(
    running: Option<KernelRelease>,
    layout: &Layout,
) -> Result<Vec<KernelRelease>, FsError> {
    if let Some(running) = running {
        return Ok(vec![running]);
    }
    let all = installed_kernels(layout)?;
    let with_headers: Vec<_> = all.iter().filter(|kernel| has_headers(kernel, layout)).cloned().collect();
    if !with_headers.is_empty() {
        return Ok(with_headers);
    }
    Ok(all.into_iter().filter(|kernel| is_of_this_system(kernel, layout)).collect())
}

/// Whether a kernel's package has put something into its folder: a list of its modules, the kernel, or
/// modules. Headers alone are none, nor is a folder in which only dkms and depmod have been.
#[must_use]
pub fn is_of_this_system(kernel: &KernelRelease, layout: &Layout) -> bool {
    let folder = layout.kernel_dir(kernel);
    let is_there = |name: &&str| fs::exists(&folder.join(name));
    OF_PACKAGES.iter().chain(&["kernel", "vmlinuz"]).any(is_there)
        || fs::list(&folder).unwrap_or_default().iter().any(|entry| {
            let name = entry.name.to_string_lossy();
            let path = folder.join(&entry.name);
            match entry.kind.is_dir() {
                true => !OF_OTHERS.contains(&&*name) && holds_modules(&path, DEEPEST),
                false => is_module_file(&name),
            }
        })
}

/// Folders of a kernel whose modules are none of its package: those of dkms and its kind, and headers.
const OF_OTHERS: [&str; 5] = ["updates", "extra", "weak-updates", "build", "source"];

/// No folder of modules is deeper.
const DEEPEST: usize = 8;

/// Compressed in any way.
fn is_module_file(name: &str) -> bool {
    name.ends_with(".ko") || name.contains(".ko.")
}

fn holds_modules(folder: &Path, depth: usize) -> bool {
    fs::list(folder).unwrap_or_default().iter().any(|entry| match entry.kind.is_dir() {
        true => depth > 0 && holds_modules(&folder.join(&entry.name), depth - 1),
        false => is_module_file(&entry.name.to_string_lossy()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Compression;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write_whole(path, text.as_bytes(), 0o644).unwrap();
    }

    struct World {
        dir: tempfile::TempDir,
        layout: Layout,
        target: Target,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::under(dir.path());
            Self { layout, dir, target: Target::parse("6.1.0-1-test", "x86_64").unwrap() }
        }

        fn look(&self, overrides: &Overrides) -> Result<KernelFacts, FsError> {
            KernelFacts::look(&self.target, &self.layout, overrides)
        }
    }

    #[test]
    fn an_absent_kernel_is_a_fact() {
        let facts = World::new().look(&Overrides::default()).unwrap();
        assert!(!facts.module_dir_exists && !facts.headers_usable && !facts.running);
        assert_eq!((facts.compression, facts.config), (Compression::None, KernelConfig::default()));
    }

    #[test]
    fn auto_conf_comes_before_dot_config_and_the_command_line_before_both() {
        let world = World::new();
        let headers = world.layout.headers_dir(&world.target.kernel);
        write(&headers.join(".config"), "CONFIG_X=\"dot\"\n");
        let value = |overrides: &Overrides| {
            world.look(overrides).unwrap().config.get("CONFIG_X").map(str::to_owned).unwrap()
        };
        assert_eq!(value(&Overrides::default()), "dot");
        write(&headers.join("include/config/auto.conf"), "CONFIG_X=auto\n");
        assert_eq!(value(&Overrides::default()), "auto");
        let mine = world.dir.path().join("mine");
        write(&mine, "CONFIG_X=mine\n");
        let overrides = Overrides { config: Some(mine.clone()), source_dir: None };
        assert_eq!(value(&overrides), "mine");
        fs::remove_file(&mine).unwrap();
        assert_eq!(world.look(&overrides).unwrap().config, KernelConfig::default());
    }

    #[test]
    fn a_link_to_itself_leads_to_no_headers() {
        let world = World::new();
        let headers = world.layout.headers_dir(&world.target.kernel);
        fs::create_dir_all(headers.parent().unwrap()).unwrap();
        fs::symlink(Path::new("build"), &headers).unwrap();
        let facts = world.look(&Overrides::default()).unwrap();
        assert!(!facts.headers_usable);
        assert_eq!(facts.config, KernelConfig::default());
    }

    #[test]
    fn headers_are_usable_with_an_include_folder() {
        let world = World::new();
        let other = world.dir.path().join("headers");
        let overrides = Overrides { source_dir: Some(other.clone()), config: None };
        fs::create_dir_all(&other).unwrap();
        assert!(!world.look(&overrides).unwrap().headers_usable);
        fs::create_dir_all(&other.join("include")).unwrap();
        let facts = world.look(&overrides).unwrap();
        assert!(facts.headers_usable);
        assert_eq!(facts.headers, other);
    }

    #[test]
    fn a_kernel_without_a_package_is_left_over() {
        let world = World::new();
        let kernel = &world.target.kernel;
        let dir = world.layout.kernel_dir(kernel);
        write(&dir.join("updates/dkms/foo.ko"), "");
        write(&dir.join("modules.dep"), "");
        assert!(is_left_over(kernel, &world.layout).unwrap());
        for name in ["modules.order", "kernel/a.ko", "build/Makefile", "vmlinuz"] {
            write(&dir.join(name), "");
            assert!(!is_left_over(kernel, &world.layout).unwrap(), "{name}");
            fs::remove_any(&dir.join(name.split('/').next().unwrap())).unwrap();
        }
        fs::symlink(Path::new("/usr/src/linux-headers"), &dir.join("build")).unwrap();
        assert!(!is_left_over(kernel, &world.layout).unwrap());
    }

    #[test]
    fn without_headers_the_package_of_the_kernel_tells_its_configuration() {
        let world = World::new();
        write(&world.layout.kernel_dir(&world.target.kernel).join("config"), "CONFIG_X=modules\n");
        let value = || world.look(&Overrides::default()).unwrap().config.get("CONFIG_X").map(str::to_owned);
        assert_eq!(value().as_deref(), Some("modules"));
        write(&world.layout.boot_config(&world.target.kernel), "CONFIG_X=boot\n");
        assert_eq!(value().as_deref(), Some("boot"));
    }

    #[test]
    fn commands_without_a_kernel_are_about_the_running_one_or_those_of_this_system() {
        let world = World::new();
        let running = KernelRelease::new("6.9-host").unwrap();
        let found = || {
            let here = Some(running.clone()).filter(|running| is_of_this_system(running, &world.layout));
            let kernels = kernels_instead_of(here, &world.layout).unwrap();
            kernels.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found(), [""; 0]);
        fs::create_dir_all(&world.layout.install_tree.join("6.2.0/kernel")).unwrap();
        assert_eq!(found(), ["6.2.0"]);
        for kernel in ["6.1.0-2", "6.1.0-1", "linux-own"] {
            fs::create_dir_all(&world.layout.install_tree.join(kernel).join("build/include")).unwrap();
        }
        // An empty folder made for the builder's kernel is no kernel of this system, and
        // one that depmod and dkms were in is none either.
        fs::create_dir_all(&world.layout.kernel_dir(&running)).unwrap();
        assert_eq!(found(), ["6.1.0-1", "6.1.0-2", "linux-own"]);
        write(&world.layout.kernel_dir(&running).join("modules.dep"), "");
        write(&world.layout.kernel_dir(&running).join("updates/dkms/a.ko"), "");
        assert_eq!(found(), ["6.1.0-1", "6.1.0-2", "linux-own"]);
        // Its headers make it one kernel among others.
        fs::create_dir_all(&world.layout.kernel_dir(&running).join("build/include")).unwrap();
        assert_eq!(found(), ["6.1.0-1", "6.1.0-2", "6.9-host", "linux-own"]);
        for name in ["modules.order", "vmlinuz", "kernel/a.ko", "drivers/net/a.ko.zst"] {
            let first = world.layout.kernel_dir(&running).join(name.split('/').next().unwrap());
            write(&world.layout.kernel_dir(&running).join(name), "");
            assert_eq!(found(), ["6.9-host"], "{name}");
            fs::remove_any(&first).unwrap();
        }
    }

    #[test]
    fn kernels_are_the_folders_named_like_one() {
        let world = World::new();
        for name in ["6.1.0-47-amd64", "5.10.0", "build", "extramodules-6.1"] {
            fs::create_dir_all(&world.layout.install_tree.join(name)).unwrap();
        }
        write(&world.layout.install_tree.join("6.2.0"), "a file");
        let kernels = installed_kernels(&world.layout).unwrap();
        assert_eq!(
            kernels.iter().map(KernelRelease::as_str).collect::<Vec<_>>(),
            ["5.10.0", "6.1.0-47-amd64"]
        );
    }
}
