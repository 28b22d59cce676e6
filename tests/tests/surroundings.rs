//! Good commands in bad surroundings: output that nobody takes, a compiler that is missing or runs out of
//! disk, a tree with one rotten module in it, sources with names that no shell likes.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::cache::Cache;
use dkms_tests::capture::capture;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::{Output, Root, User};
use dkms_tests::tool::Tool;
use dkms_tests::verdict;

/// A fresh root with the source of foo/1.0.
fn root() -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    let root = Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root
}

/// Runs a command that has to succeed; its stdout.
fn works(root: &Root, words: &str) -> String {
    let output = root.dkms(words).unwrap();
    assert_eq!(output.code, 0, "`dkms {words}`: {}", output.stderr);
    output.stdout
}

fn is_well_told(output: &Output, code: i32, says: &[&str]) {
    let wrong = verdict::of_failure(output, code, says);
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn output_that_nobody_takes() {
    let root = root();
    works(&root, "add foo/1.0");
    for line in ["\"$DKMS\" status >&-", "\"$DKMS\" status >/dev/full", "\"$DKMS\" status | true"] {
        let output = root.shell(line, User::Root, "/").unwrap();
        assert!(!output.stderr.contains("panicked"), "{line}: {}", output.stderr);
    }
    let silent = root.shell("exec \"$DKMS\" build foo/1.0 -k $K <&- >&- 2>&-", User::Root, "/").unwrap();
    assert_eq!(silent.code, 0);
    assert_eq!(works(&root, "status"), format!("foo/1.0, {}, x86_64: built\n", root.kernels().first));
}

#[test]
fn no_make() {
    let root = root();
    works(&root, "add foo/1.0");
    let before = capture(&root).unwrap();
    root.must("rm /usr/bin/make").unwrap();
    let output = root.dkms("build foo/1.0 -k $K").unwrap();
    is_well_told(&output, 10, &["foo/1.0", &root.kernels().first]);
    assert!(output.stderr.contains("`make`"), "{}", output.stderr);
    let log = ["/var/lib/dkms/foo/1.0/build"];
    assert_eq!(verdict::changes(&before, &capture(&root).unwrap(), &log), Vec::<String>::new());
}

/// Raspberry Pi OS: a kernel for 64-bit ARM under programs for another machine. Here the headers and the
/// compiler are made up, and what is compiled is for ARM by its ELF header only: no such machine is at hand.
#[test]
fn a_kernel_for_another_machine_than_the_programs() {
    let root = root();
    works(&root, "add foo/1.0");
    let build = "/lib/modules/6.12.25-v8/build";
    root.must(&format!("mkdir -p {build}/include/config")).unwrap();
    root.write(&format!("{build}/.config"), "CONFIG_ARM64=y\n", 0o644).unwrap();
    root.write(&format!("{build}/include/config/kernel.release"), "6.12.25-v8\n", 0o644).unwrap();
    root.write(
        &format!("{build}/v.c"),
        "char v[] __attribute__((section(\".modinfo\"))) = \"vermagic=6.12.25-v8 aarch64\";
         char m[8] __attribute__((section(\".gnu.linkonce.this_module\")));\n",
        0o644,
    )
    .unwrap();
    let makefile = format!(
        "all:\n\t$(CC) -c {build}/v.c -o $(M)/foo.ko && echo $(ARCH) $(CROSS_COMPILE) >$(M)/words && cat $(M)/words\n"
    );
    root.write(&format!("{build}/Makefile"), &makefile, 0o644).unwrap();
    let output = root.dkms("build foo/1.0 -k 6.12.25-v8").unwrap();
    is_well_told(&output, 10, &["is for aarch64", "`aarch64-linux-gnu-gcc` is not installed"]);
    assert!(output.stderr.contains("the package `gcc-aarch64-linux-gnu`"), "{}", output.stderr);
    // The number of the machine in an ELF header is at 18; 183 is 64-bit ARM (elf(5)).
    let compiler = "#!/bin/sh\ngcc \"$@\" || exit\n\
                    while [ $# -gt 1 ]; do [ \"$1\" != -o ] || object=$2; shift; done\n\
                    printf '\\267\\000' | dd of=\"$object\" bs=1 seek=18 conv=notrunc status=none\n";
    root.write("/usr/bin/aarch64-linux-gnu-gcc", compiler, 0o755).unwrap();
    root.write("/usr/bin/aarch64-linux-gnu-strip", "#!/bin/sh\nexit 0\n", 0o755).unwrap();
    works(&root, "build foo/1.0 -k 6.12.25-v8");
    assert_eq!(works(&root, "status"), "foo/1.0, 6.12.25-v8, aarch64: built\n");
    let log = root.must("cat /var/lib/dkms/foo/1.0/6.12.25-v8/aarch64/log/make.log").unwrap();
    for part in ["CC=aarch64-linux-gnu-gcc", "ARCH=arm64", "arm64 aarch64-linux-gnu-\n"] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

/// The real compiler, on disks that end in each of its stages.
#[test]
fn a_compiler_on_a_full_disk() {
    let root = root();
    let mut failures = 0;
    for pages in [2, 8, 20, 40, 60, 80, 100, 120] {
        root.must(&format!(
            "mkdir -p /t; mount -t tmpfs -o size={}k,mode=755 disk /t; \"$DKMS\" add foo/1.0 --dkmstree /t >/dev/null",
            pages * 4
        ))
        .unwrap();
        let before = capture(&root).unwrap();
        let output = root.dkms("build foo/1.0 -k $K --dkmstree /t").unwrap();
        let log = ["/t/foo/1.0/build"];
        if output.code != 0 {
            failures += 1;
            assert!([1, 7, 10].contains(&output.code), "{pages} pages: {}\n{}", output.code, output.stderr);
            is_well_told(&output, output.code, &["foo/1.0"]);
            let after = capture(&root).unwrap();
            assert_eq!(verdict::changes(&before, &after, &log), Vec::<String>::new(), "{}", output.stderr);
        }
        root.must("umount /t").unwrap();
    }
    assert!(failures > 3, "only {failures} of the disks were too small");
}

#[test]
fn one_rotten_module_spoils_no_status() {
    let root = root();
    Module::new("bar", "1.0").write_to(&root).unwrap();
    works(&root, "install foo/1.0 -k $K");
    works(&root, "add bar/1.0");
    let kernel = &root.kernels().first;
    let states = format!("bar/1.0: added\nfoo/1.0, {kernel}, x86_64: installed\n");
    for conf in ["while :; do :; done", "exit 1", "if", "\\377\\000", "DEST_MODULE_LOCATION="] {
        root.must(&format!("printf '{conf}\\n' >/usr/src/foo-1.0/dkms.conf")).unwrap();
        assert_eq!(works(&root, "status"), states, "with the conf `{conf}`");
    }
}

#[test]
fn names_that_no_shell_likes() {
    let root = root();
    root.must(
        "cd /usr/src/foo-1.0
         printf x >\"$(printf 'a\\nb')\"; printf x >./-rf; printf x >\"$(printf '\\377')\"; printf x >'$(reboot)'
         ln -s nowhere dangling; ln -s loop loop; ln -s . self; ln -s /etc outside; chmod 0 ./-rf",
    )
    .unwrap();
    root.must("mv /usr/src/foo-1.0 /srv/new").unwrap();
    works(&root, "add /srv/new");
    works(&root, "install foo/1.0 -k $K");
    root.must("cd /srv/new; diff -r --no-dereference . /usr/src/foo-1.0").unwrap();
}

#[test]
fn an_unknown_distribution_takes_the_place_that_the_conf_names() {
    let root = root();
    root.must("rm -f /etc/os-release; echo ID=mine >/etc/os-release").unwrap();
    works(&root, "install foo/1.0 -k $K");
    root.must("test -f /lib/modules/$K/kernel/drivers/misc/foo.ko").unwrap();
    assert_eq!(works(&root, "status"), format!("foo/1.0, {}, x86_64: installed\n", root.kernels().first));
    works(&root, "remove foo/1.0 --all");
    root.must("test ! -e /lib/modules/$K/kernel").unwrap();
}

#[test]
fn no_kernels_at_all() {
    let root = root();
    root.must("rm -r /lib/modules").unwrap();
    works(&root, "add foo/1.0");
    is_well_told(&root.dkms("build foo/1.0 -k $K").unwrap(), 21, &[&root.kernels().first]);
    assert_eq!(works(&root, "status"), "foo/1.0: added\n");
    works(&root, "autoinstall -k 9.9.9 --directive AUTOINSTALL=no");
    works(&root, "remove foo/1.0 --all");
}
