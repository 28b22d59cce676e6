//! What is judged of a module file, and what the kernel itself answers when it is asked to load it
//! (`finit_module` in a virtual machine): the two agree, in both directions.
//!
//! The files are the kernels' own modules, each given to its own kernel and to the other one, and modules
//! that were changed in one place. Initialisation is not judged: a driver that finds no device was linked.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_base::id::Target;
use dkms_base::layout::Layout;
use dkms_core::verify::{Examination, Examiner};
use dkms_kernel::modfile::content::content;
use dkms_kernel::{KernelFacts, ModuleTree, Overrides};
use dkms_tests::cache::Cache;
use dkms_tests::fixture::{EACH_KIND_OF_SYMBOL, Module};
use dkms_tests::initramfs::Initramfs;
use dkms_tests::kernels::Kernels;
use dkms_tests::qemu::{self, Guest};
use dkms_tests::root::Root;
use dkms_tests::stock::{self, Stock};
use dkms_tests::tool::Tool;
use dkms_tests::{say, tier};

/// So many of a kernel's own modules are tried in one boot, and of the other kernel's.
const OWN: usize = 60;
const FOREIGN: usize = 30;

/// Loads each file of `/t` after the modules that it depends on, and prints how that ended.
const SCRIPT: &str = "\
cd /t
for file in *; do
    needs=$(modinfo -F depends $file 2>/dev/null | tr , ' ') alone=
    [ -z \"$needs\" ] || modprobe -a $needs >/dev/null 2>&1 || alone='alone: '
    dmesg -c >/dev/null
    said=$(load-module $file 2>&1); code=$?
    echo \"pair: $file: $code: $alone$(echo $said $(dmesg -c | grep -v -i taint) | tr '\\n' ' ')\"
    [ $code -ne 0 ] || rmmod $(modinfo -F name $file) >/dev/null 2>&1
done
";

/// What stands in the kernel's log, or in the error, of a module that it did not link (kernel/module/main.c).
const REFUSALS: [&str; 6] = [
    "Exec format error",
    "Unknown symbol",
    "disagrees about version",
    "version magic",
    "Key was rejected",
    "Bad message",
];

/// What the kernel answered: the file's name, whether it was linked, the words. If a module that it depends
/// on found no device, its symbols are missing whatever the file is: that is no answer.
fn answers(guest: &Guest, modules: &Path, files: &[PathBuf]) -> BTreeMap<String, (Option<bool>, String)> {
    let mut initramfs = Initramfs::new().unwrap();
    initramfs.program(Path::new(env!("CARGO_BIN_EXE_load-module")), "/bin/load-module").unwrap();
    initramfs.tree(modules, "/lib/modules").unwrap();
    for file in files {
        initramfs.file(&format!("/t/{}", name(file)), &fs::read(file).unwrap(), 0o644);
    }
    let said = guest.run(&initramfs, SCRIPT).unwrap();
    let lines = said.text.lines().filter_map(|line| line.strip_prefix("pair: "));
    lines
        .map(|line| {
            let mut parts = line.splitn(3, ": ");
            let (name, code, text) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            // Nothing was read, so there was nothing to complain of.
            let is_empty = text.trim() == "Error: empty.ko Caused by: Invalid argument (os error 22)";
            let is_linked = code == "0" || !is_empty && !REFUSALS.iter().any(|word| text.contains(word));
            let is_alone = text.starts_with("alone: ") && text.contains("Unknown symbol");
            (name.to_owned(), ((!is_alone).then_some(is_linked), text.to_owned()))
        })
        .collect()
}

fn name(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
}

/// What is judged of files that each stand alone.
fn judged(layout: &Layout, release: &str, files: &[PathBuf]) -> Vec<Examination> {
    let target = Target::parse(release, "x86_64").unwrap();
    let kernel = KernelFacts::look(&target, layout, &Overrides::default()).unwrap();
    let examiner = Examiner::new(layout, &kernel);
    files.iter().flat_map(|file| examiner.examinations(std::slice::from_ref(file))).collect()
}

/// Judges and asks; how many were linked and how many not. They must agree on each file.
fn compared(kernel: &Stock, guest: &Guest, files: &[PathBuf]) -> (usize, usize) {
    let (dir, layout) = kernel.root().unwrap();
    let answers = answers(guest, &dir.path().join("lib/modules"), files);
    assert_eq!(answers.len(), files.len(), "the kernel was asked about each");
    let mut wrong = Vec::new();
    let mut counts = (0, 0);
    let mut unanswered = 0;
    for (file, judged) in files.iter().zip(judged(&layout, &kernel.release, files)) {
        let (is_linked, text) = &answers[&name(file)];
        let Some(is_linked) = is_linked else {
            unanswered += 1;
            continue;
        };
        if judged.faults.is_empty() != *is_linked || !judged.doubts.is_empty() {
            let (faults, doubts) = (&judged.faults, &judged.doubts);
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            wrong.push(format!("{}: judged {faults:?} {doubts:?}, the kernel: {text}", name(file)));
        }
        if *is_linked { counts.0 += 1 } else { counts.1 += 1 }
    }
    assert!(wrong.is_empty(), "{} on {}:\n{}", wrong.len(), kernel.release, wrong.join("\n"));
    say(&format!(
        "{}: {} linked, {} refused, as was judged; of {unanswered} the kernel could not be asked",
        kernel.release, counts.0, counts.1
    ));
    assert!(unanswered * 10 <= files.len(), "{unanswered} of {} were not answered", files.len());
    counts
}

/// So many of a kernel's own modules, spread over all of them, none with a name of `but`; unpacked into a
/// folder, since 6.1 does not unpack modules itself.
fn some(kernel: &Stock, many: usize, but: &BTreeSet<String>, folder: &Path) -> Vec<PathBuf> {
    let tree = ModuleTree::walk(&kernel.modules).unwrap();
    let stem = |path: &Path| name(path).split(".ko").next().unwrap_or_default().to_owned();
    let all: Vec<PathBuf> = tree.iter().flat_map(|(_, paths)| paths.iter().cloned()).collect();
    let all: Vec<PathBuf> = all.into_iter().filter(|path| !but.contains(&stem(path))).collect();
    let every = (all.len() / many).max(1);
    let taken = tier::taken(all, tier::turn(), every).into_iter().take(many);
    taken
        .map(|path| {
            let plain = folder.join(format!("{}.ko", stem(&path)));
            let bytes = content(&path).unwrap();
            fs::write_whole(&plain, &bytes, 0o644).unwrap();
            plain
        })
        .collect()
}

#[test]
#[ignore = "full tier"]
fn kernels_answer_for_modules_of_each_line_as_was_judged() {
    let [older, newer] = stock::two_lines().unwrap();
    let newest = stock::newest(&Cache::open().unwrap()).unwrap();
    let mut counts = (0, 0);
    for (kernel, other) in [(&older, &newer), (&newer, &older), (&newest, &newer)] {
        let folder = tempfile::tempdir().unwrap();
        let own = some(kernel, OWN, &BTreeSet::new(), folder.path());
        let names = own.iter().map(|path| name(path).trim_end_matches(".ko").to_owned()).collect();
        let files = [own, some(other, FOREIGN, &names, folder.path())].concat();
        let (linked, refused) = compared(kernel, &Guest::new(kernel.image.clone()), &files);
        counts = (counts.0 + linked, counts.1 + refused);
    }
    say(&format!(
        "{} pairs: {} linked, {} refused, none judged otherwise",
        counts.0 + counts.1,
        counts.0,
        counts.1
    ));
    assert!(counts.0 >= 150 && counts.1 >= 75, "{counts:?}");
}

/// How a sound `foo.ko` is changed, and whether the kernel still links it.
const CHANGES: [(&str, &str, bool); 11] = [
    ("sound", "cp $F $T", true),
    ("release", "sed 's/vermagic=6/vermagic=5/' $F >$T", true),
    ("text", "echo not a module >$T", false),
    ("empty", ": >$T", false),
    ("cut", "head -c 3000 $F >$T", false),
    ("machine", "cp $F $T; printf '\\267' | dd of=$T bs=1 seek=18 conv=notrunc", false),
    ("words", "sed 's/SMP mod_unload/SMP mud_unload/; s/SMP preempt/UMP preempt/' $F >$T", false),
    ("symbol", "sed 's/kobject_put/kobject_pux/g' $F >$T", false),
    (
        "sums",
        "objcopy --dump-section __versions=/v $F; printf '\\001\\002\\003' | dd of=/v bs=1 conv=notrunc
         cp $F $T; objcopy --update-section __versions=/v $T",
        false,
    ),
    ("licence", "sed 's/license=GPL/license=MIT/' $F >$T", false),
    ("namespace", "sed 's/import_ns=DMA_BUF/import_no=DMA_BUF/' $F >$T", false),
];

#[test]
fn the_kernel_refuses_what_is_judged_unfit_and_links_the_honest_twin() {
    let cache = Cache::open().unwrap();
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let root = Root::new(&cache, &Kernels::find().unwrap(), &[&ours]).unwrap();
    let guest = qemu::whole_kernel(&root, &cache).unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.write("/usr/src/foo-1.0/foo.c", EACH_KIND_OF_SYMBOL, 0o644).unwrap();
    root.must("dkms build foo/1.0 -k $K2; mkdir /t").unwrap();
    let mut files = Vec::new();
    for (what, change, _) in CHANGES {
        let file = format!("/t/{what}.ko");
        root.must(&format!("F=/var/lib/dkms/foo/1.0/$K2/$A/module/foo.ko T={file}; {change}")).unwrap();
        files.push(root.view(&file));
    }
    let kernel = stock::older(&cache).unwrap();
    let (linked, refused) = compared(&kernel, &guest, &files);
    assert_eq!((linked, refused), (CHANGES.iter().filter(|(_, _, is)| *is).count(), 9));
}
