//! Commands that look at an image whose files are traps: they end, stay small, print no control characters,
//! and don't crash.

use dkms_tests::root::{Root, User};
use dkms_tests::say;

use super::attempt::root;

/// Fills a system below `$1` with what no system has: for kernel `$2`, in the place of files or names.
const FILL: &str = r#"#!/usr/bin/python3
import os, shutil, socket, sys
top, kernel, kind = sys.argv[1], sys.argv[2], sys.argv[3]
evil = 'a\x1b]0;T\x07\x1b[2J\u202e\r\nb'
module = 'lib/modules/' + kernel
FILES = ['etc/dkms/framework.conf', 'etc/os-release', 'usr/lib/os-release', 'etc/fstab', 'etc/crypttab', 'etc/modules', 'etc/passwd', 'etc/group',
    'etc/modules-load.d/x.conf', 'etc/modprobe.d/x.conf', 'etc/depmod.d/x.conf', 'etc/dkms/evil.conf', 'etc/kernel/cmdline',
    'etc/default/grub', 'etc/network/interfaces', 'etc/mdadm/mdadm.conf', 'etc/initramfs-tools/modules',
    'etc/initramfs-tools/initramfs.conf', 'etc/dracut.conf.d/x.conf', 'etc/mkinitcpio.conf', 'etc/hostid',
    'boot/grub/grub.cfg', 'boot/grub/grubenv', 'boot/loader/loader.conf', 'boot/loader/entries/a.conf', 'boot/vmlinuz-' + kernel,
    'boot/config-' + kernel, 'boot/initrd.img-' + kernel, 'boot/System.map-' + kernel, 'boot/efi/loader/entries/b.conf',
    'boot/symvers-' + kernel, module + '/modules.dep', module + '/modules.builtin', module + '/modules.symbols',
    module + '/modules.alias', module + '/modules.order', module + '/symvers', module + '/config', module + '/pkgbase',
    module + '/vmlinuz', module + '/kernel/lib/crc7.ko', module + '/kernel/lib/x.ko.xz', module + '/updates/dkms/evil.ko',
    module + '/updates/dkms/good.ko', 'var/lib/dkms/good/1.0/%s/x86_64/module/good.ko' % kernel,
    'usr/src/evil-1.0/dkms.conf', 'var/lib/dkms/evil/1.0/%s/x86_64/module/evil.ko' % kernel,
    'var/lib/dkms/evil/1.0/%s/x86_64/log/make.log' % kernel, 'var/lib/dkms/evil/1.0/build/make.log',
    'var/lib/dkms/mok.pub', 'var/lib/dkms/.state/attempts', 'var/lib/dkms/.state/journal', 'var/lib/dkms/.state/baked.json',
    'var/lib/dkms/.state/exports/' + kernel, 'var/lib/dkms/.state/boot/last-good', 'var/lib/dkms/.state/boot/journal',
    'var/lib/dpkg/status', 'var/lib/dpkg/info/linux-image-%s.list' % kernel]
NAMES = ['var/lib/dkms', 'var/lib/dkms/evil', 'var/lib/dkms/evil/1.0', 'var/lib/dkms/evil/1.0/%s' % kernel, 'lib/modules',
    module, module + '/updates', module + '/updates/dkms', 'usr/src', 'boot', 'boot/loader/entries', 'etc/dkms', 'etc/dkms/framework.conf.d',
    'etc/modprobe.d', 'var/lib/dkms/.state', 'var/lib/dkms/.state/locks', 'var/lib/dkms/.state/running']
def at(path):
    path = os.path.join(top, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path
which = FILES[:3] if sys.argv[4] == 'settings' else FILES[3:]
for path in which:
    path = at(path)
    if os.path.lexists(path):
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    if kind == 'fifo': os.mkfifo(path)
    elif kind == 'folder': os.mkdir(path)
    elif kind == 'loop': os.symlink(os.path.basename(path), path)
    elif kind == 'zero': os.symlink('/dev/zero', path)
    elif kind == 'sparse':
        with open(path, 'w') as file: file.truncate(20 << 30)
    elif kind == 'text':
        with open(path, 'w') as file: file.write((evil + '=' + evil + ' "' + evil + '" ' + evil + ': ' + evil + '\n') * 2000)
    elif kind == 'line':
        with open(path, 'w') as file: file.write('x=' + 'A' * (12 << 20))
    elif kind == 'bytes':
        with open(path, 'wb') as file: file.write(b'\x7fELF' + bytes(range(256)) * 4000)
    elif kind == 'names': continue
# Two modules, of which one has a sound conf; both are installed.
for name in ('evil', 'good'):
    os.makedirs(at('usr/src/%s-1.0/x' % name), exist_ok=True)
    os.makedirs(at('var/lib/dkms/%s/1.0/%s/x86_64/module/x' % (name, kernel)), exist_ok=True)
    os.symlink('/usr/src/%s-1.0' % name, at('var/lib/dkms/%s/1.0/source' % name))
    os.symlink('1.0/%s/x86_64' % kernel, at('var/lib/dkms/%s/kernel-%s-x86_64' % (name, kernel)))
with open(at('usr/src/good-1.0/dkms.conf'), 'w') as file:
    file.write('PACKAGE_NAME=good\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME=good\nDEST_MODULE_LOCATION=/updates/dkms\nAUTOINSTALL=yes\n')
for path in NAMES if kind in ('names', 'text') else []:
    for name in (evil.replace('\n', '\n') , '-rf', '$(id)', '6.1.0\x1b[2J', '6.2\u202e', 'x' * 250, '..a', '6.9-' + 'k' * 200):
        try: os.makedirs(at(path + '/' + name + '/x'), exist_ok=True)
        except OSError: pass
if kind == 'deep':
    path = at('var/lib/dkms/evil/1.0/x')
    for where in ('var/lib/dkms/deep', module + '/deep', 'usr/src/deep-1.0', 'boot/deep'):
        here = os.open(top, os.O_RDONLY)
        for name in where.split('/') + ['d'] * 3000:
            try: os.mkdir(name, dir_fd=here)
            except FileExistsError: pass
            down = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here); here = down
        os.close(here)
"#;

/// What is put in the place of files.
const KINDS: [&str; 9] = ["fifo", "folder", "loop", "zero", "sparse", "text", "line", "bytes", "names"];

/// Commands that only look, and some that would change something.
const LOOKING: [&str; 14] = [
    "status",
    "status --json",
    "doctor",
    "doctor --json",
    "verify --all",
    "verify --all --json",
    "critical",
    "boot",
    "preflight -k $K",
    "plan autoinstall -k $K",
    "kernels",
    "log evil/1.0 -k $K",
    "bake --dry-run -k $K",
    "autoinstall -k $K --dry-run",
];

/// Runs a command with little memory; says what is wrong with how it ended.
fn ends_well(root: &Root, words: &str) -> Option<String> {
    let line = format!(
        "exec timeout -k 1 60 python3 -c 'import os, resource, subprocess, sys
ended = subprocess.run([os.environ[\"DKMS\"]] + sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, ended.returncode)
sys.stdout.write(ended.stdout[:200000].decode(\"utf-8\", \"replace\"))' {words}"
    );
    let output = root.shell(&line, User::Root, "/").unwrap();
    let Some((first, said)) = output.stdout.split_once('\n') else {
        return Some(format!("{words}: did not end: {output:?}"));
    };
    let fields: Vec<i64> = first.split(' ').map(|field| field.parse().unwrap()).collect();
    let hidden = |c: char| c != '\n' && c != '\t' && (c.is_control() || c == '\u{202e}');
    let head = || said.chars().take(600).collect::<String>();
    match () {
        () if fields[0] > 300_000 => Some(format!("{words}: {} KiB: {}", fields[0], head())),
        () if fields[1] < 0 || fields[1] >= 100 && fields[1] != 101 || said.contains("panicked") => {
            Some(format!("{words}: code {}: {}", fields[1], head()))
        }
        () if said.contains(hidden) => {
            let line = said.lines().find(|line| line.contains(hidden)).unwrap_or_default();
            Some(format!("{words}: prints {line:?}"))
        }
        () => {
            say(&format!("{words}: {} KiB, code {}", fields[0], fields[1]));
            None
        }
    }
}

/// A root with a system in `/opt/image`, which has the same kernel.
fn with_image() -> Root {
    let root = root();
    root.write("/srv/fill.py", FILL, 0o755).unwrap();
    root.must(
        "mkdir -p /opt/image; cd /opt/image; mkdir -p usr/src usr/bin usr/lib etc/dkms tmp proc sys dev run boot var/lib/dkms var/tmp lib/modules
         chmod 1777 tmp var/tmp; cp /etc/os-release etc; cp -a /lib/modules/$K lib/modules/; rm -f lib/modules/$K/build",
    )
    .unwrap();
    root
}

#[test]
#[ignore = "full tier"]
fn an_image_full_of_traps_stops_no_command() {
    let mut wrong = Vec::new();
    // Settings that can't be read end each command, so the rest is tried with sound ones.
    let rounds = KINDS.into_iter().chain(["deep"]).flat_map(|kind| [(kind, "settings"), (kind, "rest")]);
    for (kind, which) in rounds {
        let root = with_image();
        root.must(&format!("python3 /srv/fill.py /opt/image $K {kind} {which}")).unwrap();
        for words in LOOKING.map(|words| words.replace("$K", root.kernels().first.as_str())) {
            if let Some(fault) = ends_well(&root, &format!("--root /opt/image {words}")) {
                wrong.push(format!("{kind} {which}: {fault}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
