//! Roots with a real pacman, and a repository of real packages for it: kernels with their headers as Arch
//! lays them out, modules, others. See `repository.sh`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use dkms_base::host::fs;

use crate::cache::Cache;
use crate::root::{Output, Root, User};
use crate::setup::{Base, base, own_layer};
use crate::tool::Tool;

const INCLUDE: [&str; 16] = [
    "pacman-package-manager",
    "makepkg",
    "libarchive-tools",
    "fakeroot",
    "zstd",
    "gcc",
    "make",
    "kmod",
    "patch",
    "libelf1",
    "dwarves",
    "procps",
    "strace",
    "ca-certificates",
    "systemd-sysv",
    "systemd-container",
];

/// Where the hooks are in the source tree.
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hooks-pacman/files");

/// A release of Debian with the pacman in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacman {
    /// 6.0, of bookworm.
    V6_0,
    /// 7.0, of trixie.
    V7_0,
    /// 7.1, of forky.
    V7_1,
}

/// What building against libalpm needs of it.
const LIBALPM: &str = "cd /tmp
    apt download libalpm-dev
    dpkg-deb -x libalpm-dev_*.deb /
    rm -rf /var/lib/apt/lists/* /tmp/*";

/// The repository, made once by bookworm's makepkg.
pub const REPOSITORY: Base = Base {
    name: "pacman-repository",
    suite: "bookworm",
    include: &[
        "makepkg",
        "pacman-package-manager",
        "libarchive-tools",
        "fakeroot",
        "zstd",
        "ca-certificates",
    ],
    script: include_str!("repository.sh"),
};

impl Pacman {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V6_0, Self::V7_0, Self::V7_1];

    pub(crate) fn base(self) -> Base {
        let (name, suite) = match self {
            Self::V6_0 => ("pacman-bookworm", "bookworm"),
            Self::V7_0 => ("pacman-trixie", "trixie"),
            Self::V7_1 => ("pacman-forky", "forky"),
        };
        Base { name, suite, include: &INCLUDE, script: LIBALPM }
    }

    /// What that system has over the lower layers: pacman itself, with libalpm.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn own_layer(self, cache: &Cache) -> Result<PathBuf> {
        own_layer(cache, &self.base())
    }

    /// The system that has it.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn system(self, cache: &Cache) -> Result<PathBuf> {
        base(cache, &self.base())
    }
}

/// A root with pacman, our hooks and their helper, and the kernels of the repository.
#[derive(Debug)]
pub struct World {
    /// The root.
    pub root: Root,
    /// The kernels of `linux` 1 and 2 and of `linux-lts`.
    pub kernels: Vec<String>,
}

impl World {
    /// A fresh one, with `dkms`, our hooks, and this helper.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn new(pacman: Pacman, dkms: &Tool, helper: &Tool) -> Result<Self> {
        let world = Self::without_dkms(pacman, &[dkms, helper])?;
        world.root.must(&format!(
            "mkdir -p /usr/lib/dkms /usr/share/libalpm/hooks /etc/dkms /var/lib/dkms
             ln -s {} /usr/lib/dkms/hooks-pacman
             ln -s {} /usr/sbin/dkms
             echo try_sign_modules=false >/etc/dkms/framework.conf",
            helper.path_in_root(),
            dkms.path_in_root(),
        ))?;
        for name in ["60-dkms-preflight.hook", "70-dkms-remove.hook", "70-dkms-install.hook"] {
            let text = fs::read_lossy(&Path::new(HOOKS).join(name))?;
            world.root.write(&format!("/usr/share/libalpm/hooks/{name}"), &text, 0o644)?;
        }
        Ok(world)
    }

    /// A fresh one in which nothing of ours is installed, with these tools in `/opt`.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn without_dkms(pacman: Pacman, tools: &[&Tool]) -> Result<Self> {
        let cache = Cache::open()?;
        // The repository is laid over the system: overlayfs takes several layers, the upper one first.
        let mut layers = own_layer(&cache, &REPOSITORY)?.join("export").into_os_string();
        layers.push(":");
        layers.push(pacman.system(&cache)?);
        let root = Root::of(&cache, &PathBuf::from(layers), tools)?;
        root.must(
            "mkdir -p /etc/pacman.d/hooks /opt/real
             rm -f /etc/os-release
             echo ID=arch >/etc/os-release
             rm /usr/sbin/depmod
             ln -s $(command -v kmod) /opt/real/depmod",
        )?;
        let depmod = "#!/bin/sh\necho \"$*\" >>/srv/depmods\nexec /opt/real/depmod \"$@\"\n";
        root.write("/usr/sbin/depmod", depmod, 0o755)?;
        root.write("/usr/share/libalpm/hooks/90-record.hook", RECORD, 0o644)?;
        root.write("/usr/share/libalpm/hooks/60-depmod.hook", DEPMOD, 0o644)?;
        root.write("/usr/share/libalpm/scripts/depmod", DEPMOD_SCRIPT, 0o755)?;
        let kernels = root.read("/srv/kernels")?.lines().map(str::to_owned).collect();
        let world = Self { root, kernels };
        world.repository("one")?;
        Ok(world)
    }

    /// Which generation of packages pacman sees.
    ///
    /// # Errors
    /// Where pacman can't read it.
    pub fn repository(&self, name: &str) -> Result<()> {
        let conf = format!(
            "[options]\nArchitecture = auto\nSigLevel = Never\n[repo]\nServer = file:///srv/repo/{name}\n"
        );
        self.root.write("/etc/pacman.conf", &conf, 0o644)?;
        self.root.must("pacman -Syy --noconfirm").map(|_| ())
    }

    /// Runs pacman; both of its outputs are in stdout.
    ///
    /// # Errors
    /// Where no process can be started.
    pub fn pacman(&self, words: &str) -> Result<Output> {
        self.root.shell(&format!("cd /srv/packages; pacman --noconfirm {words} 2>&1"), User::Root, "/")
    }

    /// How many builds of each module and kernel there have been, as `aa/1.0/KERNEL N`.
    ///
    /// # Errors
    /// Where they can't be looked at.
    pub fn builds(&self) -> Result<String> {
        self.root.must(
            "cd /var/lib/dkms/.state/attempts 2>/dev/null || exit 0
             find . -name '*.json' | sed 's|^./||; s|/[^/]*/[^/]*$||' | sort | uniq -c | sed 's/^ *\\([0-9]*\\) \\(.*\\)/\\2 \\1/'",
        )
    }

    /// The kernels that depmod ran for since the last call, each as often.
    ///
    /// # Errors
    /// Where the note can't be read.
    pub fn depmods(&self) -> Result<Vec<String>> {
        let lines = self.root.must("cat /srv/depmods 2>/dev/null || true; rm -f /srv/depmods")?;
        let mut kernels: Vec<String> =
            lines.lines().filter_map(|line| line.split(' ').next_back()).map(str::to_owned).collect();
        kernels.sort_unstable();
        Ok(kernels)
    }

    /// Boots the system, as a container, and returns when `dkms.service` has ended; what it said.
    ///
    /// # Errors
    /// Where it doesn't come up.
    pub fn boot(&self) -> Result<String> {
        let unit = fs::read_lossy(&Path::new(HOOKS).join("dkms.service"))?;
        self.root.write("/usr/lib/systemd/system/dkms.service", &unit, 0o644)?;
        self.root.write("/etc/systemd/system/off.service", OFF, 0o644)?;
        self.root.must(
            "ln -sf /usr/sbin/dkms /usr/bin/dkms
             cd /etc/systemd/system
             mkdir -p multi-user.target.wants /plain
             ln -sf /usr/lib/systemd/system/dkms.service ../off.service multi-user.target.wants
             mount --rbind / /plain
             for folder in proc sys dev tmp run; do umount -l /plain/$folder 2>/dev/null || :; done
             timeout 100 systemd-nspawn --register=no --keep-unit --link-journal=no --boot -D /plain --console=pipe >/srv/console 2>&1 </dev/null ||
                 { cat /srv/console; exit 1; }
             umount -l /plain
             cat /srv/boot",
        )
    }

    /// What `dkms status` says.
    ///
    /// # Errors
    /// Where it fails.
    pub fn status(&self) -> Result<String> {
        self.root.must("dkms status")
    }
}

/// Keeps what our service said, and turns the machine off.
const OFF: &str = "[Unit]
After=dkms.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'journalctl -b -u dkms.service -o cat >/srv/boot'
ExecStartPost=/bin/systemctl --no-block poweroff
";

/// What stands for mkinitcpio: notes which modules are in place, and known to modprobe, when it runs.
const RECORD: &str = "[Trigger]
Type = Path
Operation = Install
Operation = Upgrade
Target = usr/src/*/dkms.conf
Target = usr/lib/modules/*/vmlinuz
[Action]
When = PostTransaction
Exec = /bin/sh -c 'cd /lib/modules; grep -ho updates/dkms/[^:]*: */modules.dep | sort >/srv/at-90; echo >>/srv/at-90'
";

/// What Arch's kmod does.
const DEPMOD: &str = "[Trigger]
Type = Path
Operation = Install
Operation = Upgrade
Operation = Remove
Target = usr/lib/modules/*/
Target = !usr/lib/modules/*/?*
[Action]
Description = Updating module dependencies...
When = PostTransaction
Exec = /usr/share/libalpm/scripts/depmod
NeedsTargets
";

const DEPMOD_SCRIPT: &str = "#!/bin/sh
while read -r folder; do
    if [ -e \"/$folder/modules.order\" ]; then
        /opt/real/depmod \"$(basename \"$folder\")\"
    elif [ -d \"/$folder\" ]; then
        rm -f \"/$folder\"/modules.*
        rmdir --ignore-fail-on-non-empty \"/$folder\"
    fi
done
";
