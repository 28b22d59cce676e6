//! Small files that unpack to a lot, or name millions of things, where a command that looks at kernels,
//! images and packages reads them: the command ends, and stays small.

use dkms_tests::fixture::Module;
use dkms_tests::root::{Root, User};
use dkms_tests::say;

use super::attempt::root;

/// Runs a command of dkms: the largest memory of its processes in KiB, how long it took, its exit code, and
/// what it said.
fn run(root: &Root, words: &str) -> (u64, f64, i32, String) {
    let line = format!(
        "exec python3 -c 'import os, resource, subprocess, sys, time
begin = time.time()
ended = subprocess.run([os.environ[\"DKMS\"]] + sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, time.time() - begin, ended.returncode)
sys.stdout.write(ended.stdout[:4000].decode(\"utf-8\", \"replace\"))' {words}"
    );
    let output = root.shell(&line, User::Root, "/").unwrap();
    let (first, said) = output.stdout.split_once('\n').unwrap_or_else(|| panic!("{output:?}"));
    let fields: Vec<&str> = first.split(' ').collect();
    (fields[0].parse().unwrap(), fields[1].parse().unwrap(), fields[2].parse().unwrap(), said.to_owned())
}

/// How bytes are packed, and the end of a name by which others know it.
const PACKERS: [(&str, &str); 6] = [
    ("gzip -1", "gz"),
    ("xz -0 --lzma2=preset=0,dict=64MiB", "xz"),
    ("xz --format=lzma -0", "lzma"),
    ("zstd -1 -q --long=26", "zst"),
    ("lz4 -l -q", "lz4"),
    ("bzip2 -1", "bz2"),
];

/// Writes an initramfs to stdout: entries of zeros, and modules that are packed bombs themselves.
const CPIO: &str = r#"
import lzma, sys
def entry(name, size):
    name = name.encode() + b'\0'
    head = b'070701' + b''.join(b'%08x' % v for v in (1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name), 0))
    text = head + name
    sys.stdout.buffer.write(text + b'\0' * (-len(text) % 4))
def data(bytes):
    sys.stdout.buffer.write(bytes + b'\0' * (-len(bytes) % 4))
kind, mebibytes = sys.argv[1], int(sys.argv[2])
zeros = b'\0' * (1 << 20)
if kind == 'zeros':
    entry('zeros', mebibytes << 20)
    for _ in range(mebibytes): sys.stdout.buffer.write(zeros)
else:
    packer = lzma.LZMACompressor(preset=0)
    bomb = b''.join(packer.compress(zeros) for _ in range(500)) + packer.flush()
    for number in range(mebibytes):
        entry('lib/modules/x/%d/honest.ko.xz' % number, len(bomb))
        data(bomb)
entry('TRAILER!!!', 0)
"#;

/// No command needs more, in KiB.
const MOST: u64 = 300_000;

#[test]
#[ignore = "full tier"]
fn what_unpacks_to_a_lot_takes_little_memory() {
    let root = root();
    root.write("/srv/cpio.py", CPIO, 0o755).unwrap();
    Module::new("other", "1.0").write_to(&root).unwrap();
    root.must("$DKMS add other/1.0; $DKMS install honest/1.0 -k $K; mkdir -p /boot /lib/modules/$K/kernel/lib; depmod $K")
        .unwrap();
    let mut largest = 0;
    let mut looks = |what: &str, root: &Root, commands: &[&str]| {
        for words in commands {
            let (memory, seconds, code, said) =
                run(root, &words.replace("$K", root.kernels().first.as_str()));
            say(&format!("{what}: {words}: {memory} KiB, {seconds:.1} s, {code}"));
            assert!(memory < MOST, "{what}: {words}: {memory} KiB\n{said}");
            assert!(seconds < 240.0, "{what}: {words}: {seconds} s");
            assert!(!said.contains("panicked") && code < 100, "{what}: {words}: {code} {said}");
            largest = largest.max(memory);
        }
    };
    let everything = ["verify --all", "doctor", "critical", "preflight -k $K", "status", "boot"];
    for (packer, suffix) in PACKERS {
        if root.must(&format!("command -v {} || true", packer.split(' ').next().unwrap())).unwrap().is_empty()
        {
            say(&format!("there is no {packer} here"));
            continue;
        }
        // An initramfs; the kernel's image, where nothing else tells its symbols; a module; a list.
        root.must(&format!("python3 /srv/cpio.py zeros 1000 | {packer} >/boot/initrd.img-$K")).unwrap();
        looks(&format!("initramfs {suffix}"), &root, &everything[..2]);
        root.must(&format!(
            "rm /boot/initrd.img-$K; mv /lib/modules/$K/build /srv/build
             head -c 400M /dev/zero | {packer} >/boot/vmlinuz-$K"
        ))
        .unwrap();
        looks(&format!("kernel {suffix}"), &root, &everything);
        root.must(&format!(
            "rm /boot/vmlinuz-$K; cd /lib/modules/$K
             head -c 400M /dev/zero | {packer} >kernel/lib/crc7.ko.{suffix}; cp kernel/lib/crc7.ko.{suffix} updates/dkms/honest.ko.{suffix}
             head -c 400M /dev/zero | {packer} >symvers.{suffix}"
        ))
        .unwrap();
        looks(&format!("module {suffix}"), &root, &everything);
        root.must(&format!(
            "cd /lib/modules/$K; rm kernel/lib/crc7.ko.{suffix} updates/dkms/honest.ko.{suffix} symvers.{suffix}; mv /srv/build build"
        ))
        .unwrap();
        // What packs well, and has names of modules in it.
        root.must(&format!("head -c 1000M /dev/zero | {packer} >/var/tmp/t.tar.{suffix}")).unwrap();
        looks(&format!("archive {suffix}"), &root, &[&format!("ldtarball /var/tmp/t.tar.{suffix}")]);
        root.must(&format!("rm /var/tmp/t.tar.{suffix}")).unwrap();
    }
    // Ten modules in an image, each 500 MiB.
    root.must("python3 /srv/cpio.py modules 20 >/boot/initrd.img-$K").unwrap();
    looks("packed modules", &root, &everything[..2]);
    root.must("rm /boot/initrd.img-$K").unwrap();
    // Lists of depmod with as many names as fit.
    let lists = "import sys
dep, symbols, symvers = (open(sys.argv[1] + name, 'w') for name in ('modules.dep', 'modules.symbols', 'symvers'))
for n in range(1500000):
    dep.write('%x.ko:\\n' % n); symbols.write('alias symbol:%x m%x\\n' % (n, n)); symvers.write('0x1\\t%x\\tvmlinux\\tE\\n' % n)
";
    root.write("/srv/lists.py", lists, 0o755).unwrap();
    root.must("mv /lib/modules/$K/build /srv/build; python3 /srv/lists.py /lib/modules/$K/").unwrap();
    looks("lists", &root, &everything);
    root.must("cd /lib/modules/$K; for l in modules.dep modules.symbols symvers; do head -c 9M $l >l; mv l $l; done").unwrap();
    looks("shorter lists", &root, &everything);
    say(&format!("the largest: {largest} KiB"));
}
