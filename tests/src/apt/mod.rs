//! A Debian system with apt, kernels and module packages at hand, and our package dkms, for tests of what apt
//! and dpkg make us do.
//!
//! - [`Machine`]: a fresh one in which depmods, makes and initramfs are noted
//! - [`package`]: packages that a test makes up

pub mod package;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::debs;
use crate::fixture::Module;
use crate::ready::{copying, put_each};
use crate::root::{Output, Root, User};
use crate::setup::{Base, base};
use crate::template::Template;

pub use package::Package;

/// Bookworm with compiler and apt lists; kernels and module packages lie in apt's archives.
pub const BOOKWORM: Base = Base {
    name: "apt-bookworm",
    suite: "bookworm",
    include: &[
        "make",
        "gcc",
        "gcc-12",
        "kmod",
        "patch",
        "dctrl-tools",
        "lsb-release",
        "dpkg-dev",
        "xz-utils",
    ],
    script: concat!(
        "COMMON='linux-kbuild-6.1 linux-compiler-gcc-12-x86'\n",
        // Twelve that take little time on a cloud kernel, and some that take more.
        "MODULES='acpi-call adv-17v35x bbswitch ddcci dm-writeboost evdi langford lime-forensics nat-rtsp rapiddisk v4l2loopback vpoll'\n",
        "MODULES=\"$MODULES apfs jool lttng-modules tp-smapi west-chamber xtables-addons\"\n",
        include_str!("base.sh")
    ),
};

/// The same of trixie, where headers depend on their image.
pub const TRIXIE: Base = Base {
    name: "apt-trixie",
    suite: "trixie",
    include: &["make", "gcc", "gcc-14", "kmod", "patch", "xz-utils", "pahole", "systemd-sysv"],
    script: concat!("COMMON=\nMODULES='acpi-call bbswitch v4l2loopback'\n", include_str!("base.sh")),
};

/// Stands before depmod and make: notes who calls them (`depmods`), and when builds of modules
/// begin and end (`makes`).
const NOTING: &str = "
mkdir -p /opt/real
ln -s /usr/bin/kmod /opt/real/depmod
rm /usr/sbin/depmod
cat >/usr/sbin/depmod <<'X'
#!/bin/sh
echo \"$(cat /proc/$PPID/comm) $*\" >>/var/log/depmods
exec /opt/real/depmod \"$@\"
X
mv /usr/bin/make /opt/real/make
cat >/usr/bin/make <<'X'
#!/bin/sh
case \"$MAKELEVEL $*\" in \" \"*M=*) ;; *) exec /opt/real/make \"$@\" ;; esac
echo + >>/var/log/makes
/opt/real/make \"$@\"
code=$?
echo - >>/var/log/makes
exit $code
X
chmod 755 /usr/sbin/depmod /usr/bin/make
";

/// A system.
#[derive(Debug)]
pub struct Machine {
    /// Its root.
    pub root: Root,
    /// The older kernel of which packages are at hand; nothing of it is installed.
    pub old: String,
    /// The newer one.
    pub new: String,
    system: Base,
}

/// The older kernel of a system and the newer one.
fn kernels(root: &Root) -> Result<[String; 2]> {
    let kernels = root.read("/etc/kernels-of-the-test")?;
    let kernel = |name: &str| {
        let found = kernels.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.map(str::to_owned).with_context(|| format!("the system names no kernel {name}"))
    };
    Ok([kernel("OLD")?, kernel("NEW")?])
}

/// Compiled for both kernels of a system, with the headers that apt has at hand; once in a process.
fn templates(system: &Base) -> Result<[Template; 2]> {
    static MADE: Mutex<BTreeMap<&str, [Template; 2]>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(templates) = made.get(system.name) {
        return Ok(templates.clone());
    }
    let cache = Cache::open()?;
    let root = Root::of(&cache, &base(&cache, system)?, &[])?;
    root.must(
        "for deb in /var/cache/apt/archives/linux-headers-*.deb /var/cache/apt/archives/linux-kbuild-*.deb; do
           [ ! -e $deb ] || dpkg-deb --fsys-tarfile $deb | tar -x -C / --keep-directory-symlink
         done",
    )?;
    let [old, new] =
        kernels(&root)?.map(|kernel| Template::compile(&root, &format!("/usr/src/linux-headers-{kernel}")));
    let templates = [old?, new?];
    made.insert(system.name, templates.clone());
    Ok(templates)
}

impl Machine {
    /// One without dkms, in which nothing is noted; `/debs/dkms.deb` is ours, with this program and those
    /// beside it: an integration test passes `env!("CARGO_BIN_EXE_dkms-under-test")`.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn plain(dkms: &str) -> Result<Self> {
        Self::of(&BOOKWORM, dkms)
    }

    /// The same of another system.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn of(system: &Base, dkms: &str) -> Result<Self> {
        let cache = Cache::open()?;
        let root = Root::of(&cache, &base(&cache, system)?, &[])?;
        let [old, new] = kernels(&root)?;
        let machine = Self { root, old, new, system: *system };
        let debs = debs::ours(&cache, dkms)?;
        machine.root.must("mkdir /debs")?;
        fs::write_whole(&machine.root.view("/debs/dkms.deb"), &fs::read(&debs.dkms)?, 0o644)?;
        Ok(machine)
    }

    /// The same, with notes being taken.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn bare(dkms: &str) -> Result<Self> {
        Self::plain(dkms)?.noting()
    }

    /// This one, with notes being taken.
    ///
    /// # Errors
    /// Where that can't be set up.
    pub fn noting(self) -> Result<Self> {
        self.root.must(NOTING)?;
        Ok(self)
    }

    /// One with our dkms.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn new(dkms: &str) -> Result<Self> {
        let machine = Self::bare(dkms)?;
        machine.install("/debs/dkms.deb")?;
        Ok(machine)
    }

    /// A module for both kernels whose make copies what the kernels' own makefiles have made: for tests that
    /// are not about the compiler. Its makes are noted like others.
    ///
    /// # Errors
    /// Where it can't be compiled or written.
    pub fn ready(&self, name: &str, version: &str) -> Result<Module> {
        let [old, new] = templates(&self.system)?;
        put_each(&self.root, &[(&self.old, &old), (&self.new, &new)], name, version)?;
        self.root.write("/srv/ready/Makefile", "all:\n\t$(COPY)\n", 0o644)?;
        let make = format!(
            "make -f /srv/ready/Makefile M=$dkms_tree/{name}/{version}/build COPY='{}'",
            copying(name, version)
        );
        Ok(Module::new(name, version).with(&format!("MAKE=\"{make}\"")))
    }

    /// Module folders with an index, as kernels without any module have them.
    ///
    /// # Errors
    /// Where they can't be made.
    pub fn index_kernels(&self) -> Result<()> {
        self.must(
            "for k in $OLD $NEW; do mkdir -p /lib/modules/$k; cd /lib/modules/$k
             touch modules.order modules.builtin modules.builtin.modinfo; depmod $k; done",
        )
        .map(drop)
    }

    /// Runs `apt-get -y` with these words, `$OLD` and `$NEW` being the kernels; recommended
    /// packages are left out.
    ///
    /// # Errors
    /// Where no process can be started.
    pub fn apt(&self, words: &str) -> Result<Output> {
        self.run(&format!("apt-get -y --no-install-recommends -o Dpkg::Use-Pty=0 {words}"))
    }

    /// Runs a line of shell as an admin does in a terminal, both streams in one.
    ///
    /// # Errors
    /// Where no process can be started.
    pub fn run(&self, line: &str) -> Result<Output> {
        let Self { old, new, .. } = self;
        let line = format!("export OLD={old} NEW={new} DEBIAN_FRONTEND=noninteractive; {{ {line}\n}} 2>&1");
        self.root.shell(&line, User::Root, "/")
    }

    /// The same for a line that has to succeed.
    ///
    /// # Errors
    /// Where it fails, with its output.
    pub fn must(&self, line: &str) -> Result<String> {
        let Output { code, stdout, .. } = self.run(line)?;
        ensure!(code == 0, "`{line}` ended with {code}:\n{stdout}");
        Ok(stdout)
    }

    /// Installs packages; that must go well, and leave no package unfinished.
    ///
    /// # Errors
    /// Where it doesn't.
    pub fn install(&self, packages: &str) -> Result<String> {
        let Output { code, stdout, .. } = self.apt(&format!("install {packages}"))?;
        ensure!(code == 0, "apt ended with {code}:\n{stdout}");
        self.must("test -z \"$(dpkg --audit)\"").context(stdout.clone())?;
        Ok(stdout)
    }

    /// The states of modules, each a line as `dkms status` prints it, `NEW` and `OLD` in
    /// place of the kernels.
    ///
    /// # Errors
    /// Where they are not available.
    pub fn states(&self) -> Result<Vec<String>> {
        let named = self.must("dkms status")?.replace(&self.new, "NEW").replace(&self.old, "OLD");
        Ok(named.lines().map(|line| line.replace(", x86_64", "")).collect())
    }

    /// What was noted since the last time: `depmods`, `makes`, `initramfs`.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn noted(&self, what: &str) -> Result<Vec<String>> {
        let text = self.must(&format!("touch /var/log/{what}; cat /var/log/{what}; rm /var/log/{what}"))?;
        let text = text.replace(&self.new, "NEW").replace(&self.old, "OLD");
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Kernels for which hooks of ours have called depmod, one for each call.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn depmods(&self) -> Result<Vec<String>> {
        let ours = |line: &String| line.starts_with("hooks-apt ") || line.starts_with("dkms ");
        let kernel = |line: String| {
            let found = line.split_whitespace().find(|word| ["OLD", "NEW"].contains(word));
            found.unwrap_or(&line).to_owned()
        };
        Ok(self.noted("depmods")?.into_iter().filter(ours).map(kernel).collect())
    }

    /// From here on makes are noted as well: a sandboxed one can write nowhere.
    ///
    /// # Errors
    /// Where that can't be set up.
    pub fn note_makes(&self) -> Result<()> {
        self.root.write("/etc/dkms/framework.conf.d/notes.conf", "sandbox=off\n", 0o644)
    }

    /// How many makes ran, and how many at once at most.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn makes(&self) -> Result<(usize, usize)> {
        let (mut all, mut now, mut most) = (0, 0_usize, 0);
        for line in self.noted("makes")? {
            if line == "+" {
                all += 1;
                now += 1;
                most = most.max(now);
            } else {
                now = now.saturating_sub(1);
            }
        }
        Ok((all, most))
    }
}

/// The batches that built something, in what hooks have said: the line that begins each.
#[must_use]
pub fn batches(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("dkms: building ")).collect()
}
