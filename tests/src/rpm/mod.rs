//! Roots with a real rpm and dnf over Debian systems that call themselves Fedora, and packages for them.
//!
//! Kernels and headers are Debian's, packaged as Fedora packages them; our own package is the rpm that
//! our own writer makes.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use dkms_base::host::{Environment, fs};
use dkms_release::packages::{self, Programs};

use crate::cache::Cache;
use crate::command::must;
use crate::root::{Output, Root, User};
use crate::setup::{Base, base};
use crate::tool::Tool;

/// Which rpm, and which dnf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// rpm 4.18, dnf 4.14.
    Bookworm,
    /// rpm 4.20, dnf 4.
    Trixie,
    /// rpm 6, dnf 5.
    Forky,
    /// rpm 4.18, zypper 1.14 in classic mode: an rpm for each package. It calls itself openSUSE.
    Zypper,
}

impl Suite {
    pub(crate) fn base(self) -> Base {
        const WITH_DNF4: [&str; 14] = include("dnf");
        const WITH_DNF5: [&str; 14] = include("dnf5");
        const WITH_ZYPPER: [&str; 14] = include("zypper");
        let (name, suite, include) = match self {
            Self::Bookworm => ("rpm-bookworm", "bookworm", &WITH_DNF4),
            Self::Trixie => ("rpm-trixie", "trixie", &WITH_DNF4),
            Self::Forky => ("rpm-forky", "forky", &WITH_DNF5),
            Self::Zypper => ("rpm-zypper", "bookworm", &WITH_ZYPPER),
        };
        let script = match self {
            Self::Zypper => {
                concat!("mkdir -p /etc/dnf\n", include_str!("base.sh"), include_str!("zypper.sh"))
            }
            _ => include_str!("base.sh"),
        };
        Base { name, suite, include, script }
    }

    /// The program.
    #[must_use]
    pub fn dnf(self) -> &'static str {
        match self {
            Self::Bookworm | Self::Trixie => "dnf",
            Self::Forky => "dnf5",
            Self::Zypper => "zypper --non-interactive --no-gpg-checks",
        }
    }
}

const fn include(dnf: &'static str) -> [&'static str; 14] {
    [
        "rpm",
        dnf,
        "createrepo-c",
        "gcc",
        "make",
        "kmod",
        "patch",
        "procps",
        "strace",
        "xz-utils",
        "zstd",
        "ca-certificates",
        "dwarves",
        "systemd",
    ]
}

/// A root with two kernels to install, and our package installed.
#[derive(Debug)]
pub struct World {
    /// The root.
    pub root: Root,
    /// Releases of the kernels that its repository has, as `kernel-core-6.1.0` and `kernel-core-6.2.0`.
    pub kernels: [String; 2],
    suite: Suite,
}

/// Our own package of the programs that the tests were built with, stripped; made once for each process.
///
/// # Errors
/// Where it can't be made.
pub fn package(program: &str) -> Result<PathBuf> {
    static MADE: OnceLock<Result<(tempfile::TempDir, PathBuf), String>> = OnceLock::new();
    let made = MADE.get_or_init(|| make(program).map_err(|error| format!("{error:#}")));
    made.as_ref().map(|(_, path)| path.clone()).map_err(|error| anyhow::anyhow!("{error}"))
}

/// This project's tree.
///
/// # Errors
/// Where it isn't there any more.
pub fn tree() -> Result<PathBuf> {
    Ok(fs::canonical(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?)
}

fn make(program: &str) -> Result<(tempfile::TempDir, PathBuf)> {
    let folder = Path::new(program).parent().context("a program lies in a folder")?;
    let into = tempfile::tempdir()?;
    let mut project = packages::project(tree()?, folder, Programs::UnderTest)?;
    project.programs.retain(|name, _| ["dkms", "dkms-fetch", "hooks-dnf"].contains(&name.as_str()));
    for (name, path) in &mut project.programs {
        let copy = into.path().join(name.as_str());
        must("strip", &["-s", "-o", &copy.to_string_lossy(), &path.to_string_lossy()], Path::new("/"))?;
        *path = copy;
    }
    let path = packages::rpm(&project, &into.path().join("dist"), &Environment::default())?;
    Ok((into, path))
}

impl World {
    /// A fresh one; an integration test passes `env!("CARGO_BIN_EXE_dkms-under-test")`.
    ///
    /// # Errors
    /// Where the system can't be made.
    pub fn new(suite: Suite, program: &str) -> Result<Self> {
        let world = Self::bare(suite, program)?;
        world.must("rpm -i /srv/dkms.rpm && echo try_sign_modules=false >>/etc/dkms/framework.conf")?;
        // What kernels' scripts call; one test is about it.
        world.must("mv /usr/bin/kernel-install /usr/bin/kernel-install.off")?;
        Ok(world)
    }

    /// The same before our package (`/srv/dkms.rpm`) is installed.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn bare(suite: Suite, program: &str) -> Result<Self> {
        let cache = Cache::open()?;
        let system = base(&cache, &suite.base())?;
        let root = Root::of(&cache, &system, &[&Tool::ours(program)])?;
        let package = package(program)?;
        std::io::copy(&mut fs::open(&package)?, &mut fs::create_new(&root.view("/srv/dkms.rpm"), 0o644)?)?;
        let kernels = root.read("/srv/kernels")?;
        let mut kernels = kernels.lines().map(str::to_owned);
        let kernels = [kernels.next(), kernels.next()].map(Option::unwrap_or_default);
        Ok(Self { root, kernels, suite })
    }

    /// Puts a module's package into the repository. Its modules are built already, unless
    /// another one is given.
    ///
    /// # Errors
    /// Where rpmbuild doesn't take it.
    pub fn add(&self, module: &Package<'_>) -> Result<()> {
        let Package { name, version, .. } = module;
        let folder = format!("/srv/m/{name}-{version}");
        let source = match module.build {
            Build::Ready => format!("MAKE=\"cp /srv/ready/$kernelver/{version}/{name}.ko .\"\n"),
            Build::Real => String::new(),
            Build::Failing => "MAKE=\"echo foo.c:1: error: no such thing; false\"\n".to_owned(),
            Build::Slow => format!("MAKE=\"sleep 5; cp /srv/ready/$kernelver/{version}/{name}.ko .\"\n"),
        };
        let conf = format!(
            "PACKAGE_NAME=\"{name}\"\nPACKAGE_VERSION=\"{version}\"\nBUILT_MODULE_NAME[0]=\"{name}\"\n\
             DEST_MODULE_LOCATION[0]=\"/kernel/drivers/misc\"\nAUTOINSTALL=\"yes\"\n{source}{}\n",
            module.conf
        );
        self.root.write(&format!("{folder}/dkms.conf"), &conf, 0o644)?;
        self.root.write(&format!("{folder}/Makefile"), &format!("obj-m := {name}.o\n"), 0o644)?;
        let code = format!(
            "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\nMODULE_VERSION(\"{version}\");\n\
             int {name}_n(void);\nint {name}_n(void) {{ return 1; }}\n"
        );
        self.root.write(&format!("{folder}/{name}.c"), &code, 0o644)?;
        let put_in = |text: &str| text.replace("NAME", name).replace("VERSION", version);
        let spec = format!(
            "Name: {name}-dkms\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: GPL\nBuildArch: noarch\n\
             AutoReqProv: no\n{}%define _binary_payload w1.gzdio\n%description\nx\n%install\nmkdir -p %{{buildroot}}/usr/src\n\
             cp -r {folder} %{{buildroot}}/usr/src/\n%post\n{}\n%preun\n{}\n%files\n/usr/src/{name}-{version}\n",
            module.head,
            put_in(module.scripts.0),
            put_in(module.scripts.1),
        );
        self.root.write(&format!("/srv/m/{name}.spec"), &spec, 0o644)?;
        self.must(&format!(
            "rpmbuild --quiet -bb --define '_topdir /tmp/rpm' --define '_rpmdir /srv/repo' \
             --define '_rpmfilename %%{{NAME}}-%%{{VERSION}}.rpm' /srv/m/{name}.spec >/dev/null"
        ))?;
        Ok(())
    }

    /// Has dnf see what is in the repository.
    ///
    /// # Errors
    /// Where createrepo fails.
    pub fn index(&self) -> Result<()> {
        self.must("rm -rf /srv/repo/repodata /var/cache/dnf /var/cache/libdnf5; createrepo_c -q /srv/repo")
            .map(drop)
    }

    /// Runs dnf with these words, and `-y`.
    ///
    /// # Errors
    /// Where it can't be run.
    pub fn dnf(&self, words: &str) -> Result<Output> {
        let yes = if self.suite == Suite::Zypper { "" } else { " -y" };
        self.shell(&format!("{}{yes} {words}", self.suite.dnf()))
    }

    /// Runs a line; what it says on either stream is in `stdout`.
    ///
    /// # Errors
    /// Where it can't be run.
    pub fn shell(&self, line: &str) -> Result<Output> {
        self.root.shell(&format!("exec 2>&1; {line}"), User::Root, "/")
    }

    /// Runs a line that has to succeed.
    ///
    /// # Errors
    /// Where it fails.
    pub fn must(&self, line: &str) -> Result<String> {
        self.root.must(line)
    }

    /// What `dkms status` says, with `K1` and `K2` for the kernels.
    ///
    /// # Errors
    /// Where it fails.
    pub fn status(&self) -> Result<Vec<String>> {
        let text = self.must("dkms status")?;
        Ok(text.lines().map(|line| self.short(line)).collect())
    }

    /// A text with `K1` and `K2` for the kernels.
    #[must_use]
    pub fn short(&self, text: &str) -> String {
        text.replace(&self.kernels[0], "K1").replace(&self.kernels[1], "K2")
    }

    /// Has each depmod noted from here on.
    ///
    /// # Errors
    /// Where it can't be done.
    pub fn count_depmods(&self) -> Result<()> {
        self.must(
            // kmod knows by its name what it is called for.
            "mkdir -p /srv/real; ln -s $(readlink -f /usr/sbin/depmod) /srv/real/depmod; rm /usr/sbin/depmod; : >/srv/depmods
             printf '#!/bin/sh\\necho \"$*\" >>/srv/depmods\\nexec /srv/real/depmod \"$@\"\\n' >/usr/sbin/depmod
             chmod +x /usr/sbin/depmod",
        )
        .map(drop)
    }
}

/// A module's package to be made.
#[derive(Debug, Clone, Copy)]
pub struct Package<'a> {
    /// The module's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// How it is built.
    pub build: Build,
    /// More lines of its dkms.conf.
    pub conf: &'a str,
    /// Further lines of its head, such as what it requires.
    pub head: &'a str,
    /// What %post and %preun do, `NAME` and `VERSION` put in.
    pub scripts: (&'a str, &'a str),
}

/// How a module is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// It was, when the system was made: `one`, `two` and `three` in versions 1.0 and 2.0.
    Ready,
    /// By the compiler.
    Real,
    /// Not at all.
    Failing,
    /// After a while.
    Slow,
}

/// What packages made by `mkrpm` do.
pub const MKRPM: (&str, &str) = (
    "dkms add -m NAME -v VERSION --rpm_safe_upgrade || [ $? -eq 3 ]\n\
     /usr/lib/dkms/common.postinst NAME VERSION /usr/share/NAME-dkms ''",
    "dkms remove -m NAME -v VERSION --all --rpm_safe_upgrade || [ $? -eq 3 ]",
);

impl<'a> Package<'a> {
    /// A module that was built already.
    #[must_use]
    pub const fn ready(name: &'a str, version: &'a str) -> Self {
        Self { name, version, build: Build::Ready, conf: "", head: "", scripts: MKRPM }
    }
}
