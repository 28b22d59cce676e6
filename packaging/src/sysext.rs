//! `mksysext`: a system extension for systemd with built modules, as a folder or an image. It has the modules
//! only: a modules.dep in it would hide the system's own, and that of other extensions. The same input gives
//! the same bytes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dkms_base::host::output::{NewFile, NewFolder};
use dkms_base::host::process::Process;
use dkms_base::host::{Environment, fs, programs};
use dkms_base::id::{Arch, ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_kernel::Release;

use crate::debian::built;
use crate::entries::Entries;
use crate::error::PackageError;
use crate::laid_out::{last_lines, lay_out};
use crate::staged::folder_of;

/// The suffix of an image.
const IMAGE: &str = "raw";

/// An extension to make.
#[derive(Debug)]
pub struct Extension<'a> {
    /// The trees.
    pub layout: &'a Layout,
    /// The modules in it.
    pub modules: &'a [ModuleId],
    /// For which kernel.
    pub target: &'a Target,
    /// The system that it is merged into.
    pub release: &'a Release,
    /// The folder, or the image if its suffix is `.raw`; its name is the extension's.
    pub path: &'a Path,
    /// The time of all that is in it.
    pub date: u64,
    /// For programs.
    pub environment: &'a Environment,
    /// Where temporary files may be.
    pub temporary: &'a Path,
}

/// The extension's name if nobody gives one.
#[must_use]
pub fn default_name(modules: &[ModuleId], target: &Target) -> String {
    match modules {
        [id] => format!("{}-modules-{}", id.name, target.kernel),
        _ => format!("dkms-modules-{}", target.kernel),
    }
}

impl Extension<'_> {
    fn is_image(&self) -> bool {
        self.path.extension().is_some_and(|suffix| suffix == IMAGE)
    }

    /// Its name; `dkms-index.service` knows extensions with modules of a kernel by it.
    ///
    /// # Errors
    /// [`PackageError::ExtensionName`].
    pub fn name(&self) -> Result<String, PackageError> {
        let refuse = |why: String| PackageError::ExtensionName { path: self.path.to_owned(), why };
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = if self.is_image() { name.strip_suffix(".raw").unwrap_or(name) } else { name };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-._~".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            return Err(refuse("it takes letters, digits and `+-._~`".to_owned()));
        }
        if !name.contains(self.target.kernel.as_str()) {
            return Err(refuse(format!("it must contain the kernel's release, {}", self.target.kernel)));
        }
        Ok(name.to_owned())
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`PackageError`]; nothing partial is left.
    pub fn write(&self) -> Result<(), PackageError> {
        let entries = self.entries()?;
        let write = |source| PackageError::Write { path: self.path.to_owned(), source };
        fs::create_dir_all(folder_of(self.path)).map_err(write)?;
        if self.is_image() {
            return self.image(&entries);
        }
        let folder = NewFolder::create(self.path).map_err(write)?;
        lay_out(&entries, self.date, folder.path())?;
        folder.replace().map_err(write)
    }

    /// Whether it can be made.
    ///
    /// # Errors
    /// [`PackageError`] if a module is not built for the kernel, or what was built is damaged.
    pub fn check(&self) -> Result<(), PackageError> {
        self.name()?;
        self.modules.iter().try_for_each(|id| built(self.layout, id, self.target).map(drop))
    }

    fn entries(&self) -> Result<Entries, PackageError> {
        let mut entries = Entries::default();
        let folder = Path::new("usr/lib/modules").join(&self.target.kernel).join("updates/dkms");
        for id in self.modules {
            for (file, from) in built(self.layout, id, self.target)? {
                entries.plain_file(&from, &folder.join(file.file_name()), 0o644)?;
            }
        }
        let place = format!("usr/lib/extension-release.d/extension-release.{}", self.name()?);
        entries.file(place, self.statement(), 0o644);
        Ok(entries)
    }

    /// What `extension-release` says.
    fn statement(&self) -> String {
        let mut text = format!("ID={}\n", quoted(&self.release.id));
        if let Some((name, value)) = &self.release.level {
            text.push_str(&format!("{name}={}\n", quoted(value)));
        }
        if let Some(arch) = architecture(&self.target.arch) {
            text.push_str(&format!("ARCHITECTURE={arch}\n"));
        }
        text
    }

    fn image(&self, entries: &Entries) -> Result<(), PackageError> {
        let temporary = tempfile::Builder::new().prefix("dkms.").tempdir_in(self.temporary);
        let temporary = temporary.map_err(|source| {
            let place = self.temporary.to_owned();
            PackageError::Fs(fs::FsError { verb: "make a temporary folder in", path: place, source })
        })?;
        let tree = temporary.path().join("tree");
        lay_out(entries, self.date, &tree)?;
        let date = self.date.to_string();
        let find = |name: &str| programs::find(name, self.environment).map(|path| (name.to_owned(), path));
        let erofs = find("mkfs.erofs");
        let is_erofs = erofs.is_some();
        let (name, program) = erofs.or_else(|| find("mksquashfs")).ok_or(PackageError::NoImageMaker)?;
        let made = temporary.path().join("image.raw");
        let image: &std::ffi::OsStr = made.as_os_str();
        let tree = tree.into_os_string();
        let words: Vec<OsString> = if is_erofs {
            // An image with the same content has the same identity.
            let options = ["--quiet", "--all-root", "-x-1", "-zlz4", "-T", &date, "-U", IDENTITY];
            options.iter().map(OsString::from).chain([image.to_owned(), tree]).collect()
        } else {
            let options = ["-noappend", "-quiet", "-no-progress", "-all-root", "-no-xattrs"];
            let times = ["-mkfs-time", &date, "-all-time", &date];
            let options = options.iter().chain(&times).map(OsString::from);
            [tree, image.to_owned()].into_iter().chain(options).collect()
        };
        let ended = Process::new(program, words, self.environment).capture()?;
        if ended.code() != 0 {
            let (path, output) = (self.path.to_owned(), last_lines(&ended.text()));
            return Err(PackageError::ImageMaker { program: name, path, output });
        }
        let write = |source| PackageError::Write { path: self.path.to_owned(), source };
        let new = NewFile::create(self.path).map_err(write)?;
        std::io::copy(&mut fs::open(&made)?, &mut new.writer().map_err(write)?)
            .map_err(|source| write(fs::FsError { verb: "write", path: self.path.to_owned(), source }))?;
        new.publish(0o644).map_err(write)
    }
}

/// The identity of every image's file system: nothing looks for it.
const IDENTITY: &str = "6b6d6f64-0000-4000-8000-646b6d730000";

/// A value as os-release(5) has it.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if value.chars().all(is_plain) {
        return value.to_owned();
    }
    let escape = |c: char| if "\"$`\\".contains(c) { format!("\\{c}") } else { c.to_string() };
    format!("\"{}\"", value.chars().filter(|c| !c.is_control()).map(escape).collect::<String>())
}

/// systemd's name for an architecture; of others nothing is stated.
fn architecture(arch: &Arch) -> Option<&'static str> {
    Some(match arch.as_str() {
        "x86_64" => "x86-64",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "aarch64" => "arm64",
        "armv6l" | "armv7l" | "armv8l" => "arm",
        "ppc64le" => "ppc64-le",
        "ppc64" => "ppc64",
        "riscv64" => "riscv64",
        "s390x" => "s390x",
        "loongarch64" => "loongarch64",
        _ => return None,
    })
}

/// Where an extension of one module goes that has no place of its own.
#[must_use]
pub fn default_folder(layout: &Layout, id: &ModuleId) -> PathBuf {
    layout.version_dir(id).join("sysext")
}

#[cfg(test)]
mod tests {
    use dkms_kernel::modfile::testing::Fabricated;

    use super::*;

    fn module(name: &str) -> Vec<u8> {
        Fabricated::for_kernel(name, "6.1.0-9-amd64").bytes()
    }

    fn made(path: &str, release: &Release) -> Result<(tempfile::TempDir, PathBuf), PackageError> {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let target = Target::parse("6.1.0-9-amd64", "x86_64").unwrap();
        let ids = ["foo", "bar"].map(|name| ModuleId::parse(name, "1.0").unwrap());
        for id in &ids {
            let file = layout.built_dir(id, &target).join(format!("{}.ko", id.name));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write_whole(&file, &module(id.name.as_str()), 0o600).unwrap();
        }
        let path = dir.path().join(path);
        let extension = Extension {
            layout: &layout,
            modules: &ids,
            target: &target,
            release,
            path: &path,
            date: 1_000,
            environment: &Environment::default(),
            temporary: dir.path(),
        };
        extension.write()?;
        Ok((dir, path))
    }

    fn debian() -> Release {
        Release { id: "debian".to_owned(), level: Some(("VERSION_ID", "13 a\"".to_owned())) }
    }

    #[test]
    fn a_folder_has_the_modules_and_what_systemd_asks_for() {
        let (_dir, folder) = made("out/x-6.1.0-9-amd64", &debian()).unwrap();
        let text = |path: &str| fs::read_lossy(&folder.join(path)).unwrap();
        let release = "usr/lib/extension-release.d/extension-release.x-6.1.0-9-amd64";
        assert_eq!(text(release), "ID=debian\nVERSION_ID=\"13 a\\\"\"\nARCHITECTURE=x86-64\n");
        let modules = folder.join("usr/lib/modules/6.1.0-9-amd64");
        assert_eq!(fs::read(&modules.join("updates/dkms/foo.ko")).unwrap(), module("foo"));
        assert_eq!(fs::list(&modules).unwrap().len(), 1, "no modules.*");
    }

    #[test]
    fn a_name_that_nobody_would_find_is_refused() {
        for (path, why) in [
            ("out/x-6.2", "must contain the kernel's release"),
            ("out/6.1.0-9-amd64 x", "it takes letters"),
            ("out/.6.1.0-9-amd64", "it takes letters"),
            ("out/x.raw", "must contain the kernel's release"),
        ] {
            let error = made(path, &debian()).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.exit_code(), dkms_base::exit::ExitCode::BAD_OPTION);
        }
        let id = ModuleId::parse("foo", "1.0").unwrap();
        let target = Target::parse("6.1", "x86_64").unwrap();
        assert_eq!(default_name(std::slice::from_ref(&id), &target), "foo-modules-6.1");
        assert_eq!(default_name(&[id.clone(), id], &target), "dkms-modules-6.1");
    }
}
