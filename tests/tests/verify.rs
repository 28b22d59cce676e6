//! `dkms verify`: a sound module is proven, link by link; whatever is made wrong with it refutes the link
//! that it breaks, with the reason and the command that helps; what cannot be read is unknown. It changes
//! nothing.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::capture::capture;
use dkms_tests::fixture::{EACH_KIND_OF_SYMBOL, Module};
use dkms_tests::kernels::Kernels;
use dkms_tests::root::{Output, Root, User};
use dkms_tests::setup;
use dkms_tests::tool::Tool;
use dkms_tests::verdict;
use serde_json::Value;

/// The links, in the order in which they are printed.
const LINKS: [&str; 7] = ["there", "whole", "kernel", "linked", "trusted", "found", "boot"];

fn root() -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap()
}

/// foo/1.0 is installed on `$K`, and kept in `/srv` as it was built.
fn installed() -> Root {
    let root = root();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.write("/usr/src/foo-1.0/foo.c", EACH_KIND_OF_SYMBOL, 0o644).unwrap();
    root.must(
        "dkms install foo/1.0 -k $K
         cp /lib/modules/$K/updates/dkms/foo.ko /srv/foo.ko
         printf '#!/bin/sh\\nset -e\\ncp $1 /lib/modules/$K/updates/dkms/foo.ko\\ncp $1 /var/lib/dkms/foo/1.0/$K/$A/module/foo.ko\\n' >/usr/local/bin/both
         chmod 755 /usr/local/bin/both",
    )
    .unwrap();
    root
}

fn parsed(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// The links of the one module in the answer which are not proven: link, verdict, reason, command; and the
/// exit code. Nothing must have changed, and the shape of the document is as it is specified.
fn open(root: &Root, words: &str, user: User) -> (Vec<[String; 4]>, i32) {
    let before = capture(root).unwrap();
    let output = root.shell(&format!("exec \"$DKMS\" verify {words} --json"), user, "/").unwrap();
    assert_eq!(verdict::changes(&before, &capture(root).unwrap(), &[]), Vec::<String>::new());
    let document = parsed(&output);
    let modules = document["modules"].as_array().unwrap();
    assert_eq!(modules.len(), 1, "{document}");
    let links = modules[0]["links"].as_array().unwrap();
    let names: Vec<_> = links.iter().map(|link| link["link"].as_str().unwrap()).collect();
    assert_eq!(names, LINKS);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fields = ["link", "verdict", "reason", "remedy"];
    let is_open = |link: &&Value| link["verdict"] != "proven";
    (links.iter().filter(is_open).map(|link| fields.map(|field| text(&link[field]))).collect(), output.code)
}

#[test]
fn each_link_that_is_broken_is_refuted_and_its_honest_twin_is_proven() {
    let root = installed();
    let sound = |what: &str| {
        let found = open(&root, "foo/1.0 -k $K", User::Nobody);
        assert_eq!(found, (Vec::new(), 0), "after {what}");
    };
    sound("the installation");
    let mut wrong = Vec::new();
    // How it is made, which link it breaks, the reason that is printed.
    for (make, link, says) in [
        ("rm /lib/modules/$K/updates/dkms/foo.ko", "there", "is not there"),
        ("echo >>/lib/modules/$K/updates/dkms/foo.ko", "there", "is not the file that was built"),
        ("echo not a module >/x; both /x", "whole", "is a text file"),
        (": >/x; both /x", "whole", "is empty"),
        ("head -c 3000 /srv/foo.ko >/x; both /x", "whole", "is cut"),
        ("cp /srv/foo.ko /x; printf '\\267' | dd of=/x bs=1 seek=18 conv=notrunc; both /x", "whole", "is for aarch64"),
        (
            "sed 's/vermagic=6/vermagic=5/' /srv/foo.ko >/x; objcopy --remove-section __versions /x; both /x",
            "kernel",
            "is built for kernel 5.1.0",
        ),
        ("sed 's/SMP preempt/UMP preempt/' /srv/foo.ko >/x; both /x", "kernel", "configured otherwise"),
        ("sed 's/SMP mod_unload/SMP mud_unload/' /srv/foo.ko >/x; both /x", "kernel", "configured otherwise"),
        ("sed 's/kobject_put/kobject_pux/g' /srv/foo.ko >/x; both /x", "linked", "nothing exports"),
        (
            "objcopy --dump-section __versions=/v /srv/foo.ko; printf '\\001\\002\\003' | dd of=/v bs=1 conv=notrunc
             cp /srv/foo.ko /x; objcopy --update-section __versions=/v /x; both /x",
            "linked",
            "expects other CRCs",
        ),
        ("sed 's/license=GPL/license=MIT/' /srv/foo.ko >/x; both /x", "linked", "GPL-compatible"),
        ("sed 's/import_ns=DMA_BUF/import_no=DMA_BUF/' /srv/foo.ko >/x; both /x", "linked", "namespace DMA_BUF"),
        (
            "echo CONFIG_MODULE_SIG_FORCE=y >>/lib/modules/$K/build/include/config/auto.conf",
            "trusted",
            "it is not signed",
        ),
        (
            "mkdir -p /etc/depmod.d /lib/modules/$K/extra; echo search extra updates >/etc/depmod.d/x.conf
             cp /srv/foo.ko /lib/modules/$K/extra",
            "found",
            "depmod prefers",
        ),
        ("sed -i /foo/d /lib/modules/$K/modules.dep", "found", "does not know"),
        ("sed -i 's/foo.ko:/foo.ko: extra\\/bar.ko/' /lib/modules/$K/modules.dep", "found", "depends on `bar`"),
        (
            "mkdir -p /i/lib/modules/$K /boot; sed 's/license=GPL/license=MIT/' /srv/foo.ko >/i/lib/modules/$K/foo.ko
             cd /i; find . | cpio -o -H newc >/boot/initrd.img-$K",
            "boot",
            "holds another build of foo",
        ),
    ] {
        let is_about_words = says == "configured otherwise";
        let words = root.must("modinfo -F vermagic /srv/foo.ko").unwrap();
        if is_about_words && words.contains("preempt") != make.contains("preempt") {
            continue;
        }
        root.must(make).unwrap();
        let (found, code) = open(&root, "foo/1.0 -k $K", User::Nobody);
        let refuted: Vec<_> = found.iter().filter(|[_, verdict, ..]| verdict == "refuted").collect();
        match &refuted[..] {
            [[name, _, reason, _]] if name == link && reason.contains(says) && code == 30 => {}
            _ => wrong.push(format!("{make}: {found:?} {code}")),
        }
        root.must(
            "both /srv/foo.ko; rm -rf /etc/depmod.d/x.conf /lib/modules/$K/extra /i /boot/initrd.img-$K
             sed -i /SIG_FORCE/d /lib/modules/$K/build/include/config/auto.conf; depmod $K",
        )
        .unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    sound("everything is in order again");
    // The kernel does not look at the release of a module that has CRCs, nor at an image with this very file.
    root.must("sed 's/vermagic=6/vermagic=5/' /srv/foo.ko >/x; both /x").unwrap();
    sound("another release");
    // What it would load by force (CONFIG_MODULE_FORCE_LOAD, as Debian's kernels) is not known.
    root.must("cp /srv/foo.ko /x; objcopy --remove-section __versions /x; both /x").unwrap();
    let (found, code) = open(&root, "foo/1.0 -k $K", User::Nobody);
    assert!(code == 31 && found[0][2].contains("does not say which CRCs"), "{found:?}");
    root.must(
        "both /srv/foo.ko; mkdir -p /i/lib/modules/$K /boot; cp /srv/foo.ko /i/lib/modules/$K/foo.ko
         strip -g /i/lib/modules/$K/foo.ko; cd /i; find . | cpio -o -H newc >/boot/initrd.img-$K",
    )
    .unwrap();
    sound("an image with this file");
}

#[test]
fn a_module_of_another_build_says_which() {
    let root = installed();
    root.must("dkms install foo/1.0 -k $K2; both /lib/modules/$K2/updates/dkms/foo.ko").unwrap();
    let (found, code) = open(&root, "foo/1.0 -k $K", User::Root);
    let Kernels { first, second } = root.kernels();
    let says = format!("is built for kernel {second} (vermagic), not for {first}: the CRCs differ of `");
    assert!(code == 30 && found.len() == 1 && found[0][2].contains(&says), "{found:?}");
    let command = format!(
        "dkms build foo/1.0 -k {first}/x86_64 --force && dkms install foo/1.0 -k {first}/x86_64 --force"
    );
    assert_eq!((found[0][0].as_str(), &found[0][3]), ("linked", &command));
    root.must(&command).unwrap();
    assert_eq!(open(&root, "foo -k $K", User::Root), (Vec::new(), 0));
}

#[test]
fn what_should_be_there_and_is_not_is_refuted_for_each_kernel() {
    let root = installed();
    let plain = root.dkms("verify").unwrap();
    let Kernels { first, second } = root.kernels();
    assert_eq!(plain.code, 30, "{plain:?}");
    for line in [
        format!("foo/1.0, {first}, x86_64: proven"),
        format!("foo/1.0, {second}, x86_64: refuted"),
        format!("  there (refuted): `/lib/modules/{second}/updates/dkms/foo.ko` is not there"),
        format!("    fix: dkms install foo/1.0 -k {second}/x86_64"),
    ] {
        assert!(plain.stdout.lines().any(|one| one == line), "{line}: {plain:?}");
    }
    assert_eq!(parsed(&root.dkms("verify --all --json").unwrap())["modules"].as_array().unwrap().len(), 3);
    root.must("for k in $K2 $K3; do dkms install foo/1.0 -k $k; done").unwrap();
    assert_eq!(root.dkms("verify --all").unwrap().code, 0);
    for (words, code) in
        [("bar", 3), ("foo/2.0", 3), ("--all -k $K", 2), ("foo -k ''", 16), ("foo -k 9.9", 30)]
    {
        assert_eq!(root.dkms(&format!("verify {words}")).unwrap().code, code, "{words}");
    }
    root.must("dkms remove foo/1.0 --all").unwrap();
    let nothing = root.dkms("verify --all --json").unwrap();
    assert_eq!((nothing.code, parsed(&nothing)), (0, serde_json::json!({"modules": []})));
}

#[test]
fn a_makefile_that_asks_for_the_running_kernel_is_named_and_may_fail_the_build() {
    let root = root();
    let make =
        format!("MAKE=\"make -C /lib/modules/{}/build M=$dkms_tree/foo/1.0/build\"", root.kernels().second);
    Module::new("foo", "1.0").with(&make).write_to(&root).unwrap();
    root.must("printf '# x\\nKERNEL := $(shell uname -r)\\n' >>/usr/src/foo-1.0/Makefile").unwrap();
    let says = "`uname -r` in line 3 of Makefile asks for the kernel that runs";
    root.must("dkms add foo/1.0").unwrap();
    let batch = root.dkms("autoinstall -k $K").unwrap();
    let text = format!("{}{}", batch.stdout, batch.stderr);
    let verdict = format!(
        "kernel {} (x86_64) will not load foo/1.0: `foo.ko` is built for kernel",
        root.kernels().first
    );
    assert!(batch.code == 0 && text.contains(says) && text.contains(&verdict), "{text}");
    let (found, code) = open(&root, "foo -k $K", User::Root);
    assert!(code == 30 && found[0][2].contains(says), "{found:?}");
    let document = parsed(&root.dkms("status --json").unwrap());
    assert_eq!(document["modules"][0]["verdict"], "refuted", "{document}");
    let grid = root.dkms("status --grid").unwrap().stdout;
    assert!(grid.lines().any(|line| line == "foo/1.0  ! installed"), "{grid}");
    let doctor = root.dkms("doctor").unwrap();
    assert!(doctor.code == 1 && doctor.stdout.contains("is built for kernel"), "{doctor:?}");
    root.must("echo on_unfit=fail >>/etc/dkms/framework.conf").unwrap();
    assert_eq!(root.dkms("build foo/1.0 -k $K --force").unwrap().code, 7);
}

#[test]
fn doctor_groups_what_one_command_mends() {
    let root = root();
    for name in ["one", "two"] {
        Module::new(name, "1.0").write_to(&root).unwrap();
        root.must(&format!("dkms add {name}/1.0")).unwrap();
    }
    let said = root.dkms("doctor").unwrap().stdout;
    let Kernels { first, .. } = root.kernels();
    let together = format!(
        "problem: one/1.0 is not installed on kernel {first} (x86_64)\nproblem: two/1.0 is not installed on kernel {first} (x86_64)\n  \
         fix: dkms autoinstall -k {first}/x86_64\n"
    );
    let newest = together.replace(first.as_str(), &root.kernels().second);
    assert!(said.contains(&together) || said.contains(&newest), "{said}");
}

#[test]
fn a_kernel_without_headers_is_judged_by_its_image_and_that_is_kept() {
    let root = root();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.write("/usr/src/foo-1.0/foo.c", EACH_KIND_OF_SYMBOL, 0o644).unwrap();
    root.must("dkms install foo/1.0 -k $K2; rm /lib/modules/$K2/build").unwrap();
    let (found, code) = open(&root, "foo -k $K2", User::Nobody);
    assert_eq!(code, 31, "{found:?}");
    let unknown: Vec<_> = found.iter().map(|[link, verdict, ..]| (link.as_str(), verdict.as_str())).collect();
    assert_eq!(unknown, [("kernel", "unknown"), ("linked", "unknown")]);
    let image = format!("/boot/vmlinuz-{}", root.kernels().second);
    assert!(found[1][2].contains(&format!("`{image}`")), "{found:?}");
    let (cache, kernel) = (Cache::open().unwrap(), &root.kernels().second);
    fs::create_dir_all(&root.view("/boot")).unwrap();
    fs::copy_content(&setup::vmlinuz(&cache, kernel).unwrap(), &root.view(&image), 0o600).unwrap();
    let own = setup::image(&cache, kernel).unwrap().join("kernel/lib/crc7.ko");
    root.must("mkdir -p /lib/modules/$K2/kernel/lib").unwrap();
    let to = format!("/lib/modules/{kernel}/kernel/lib/crc7.ko");
    fs::copy_content(&own, &root.view(&to), 0o644).unwrap();
    root.must("depmod $K2").unwrap();
    // A user who may not read the image learns who may.
    let (found, code) = open(&root, "foo -k $K2", User::Nobody);
    assert_eq!(code, 31, "{found:?}");
    assert!(found[0][2].contains("can only be read by root"), "{found:?}");
    assert!(found[0][3].starts_with("sudo dkms verify"), "{found:?}");
    assert_eq!(root.dkms("verify foo -k $K2").unwrap().code, 0);
    root.must("test -s /var/lib/dkms/.state/exports/$K2").unwrap();
    assert_eq!(open(&root, "foo -k $K2", User::Nobody), (Vec::new(), 0));
    // What is kept of another image does not count, and neither does one that is cut.
    root.must("sed -i '$d' /var/lib/dkms/.state/exports/$K2").unwrap();
    assert_eq!(open(&root, "foo -k $K2", User::Nobody).1, 31);
    root.must("rm -r /var/lib/dkms/.state/exports").unwrap();
    assert_eq!(root.dkms("verify foo -k $K2").unwrap().code, 0);
}

#[test]
fn a_system_in_a_folder_is_judged_as_found_without_notes_of_ours() {
    let root = installed();
    root.must(
        "rm -r /var/lib/dkms/.state
         for d in var/lib usr/src lib etc/dkms; do mkdir -p /image/$d; done
         cp -a /var/lib/dkms /image/var/lib/dkms; cp -a /usr/src/foo-1.0 /image/usr/src
         cp -aL /usr/src/linux-headers-$K /image/usr/src 2>/dev/null || true
         cp -a /lib/modules /image/lib; cp /etc/os-release /image/etc",
    )
    .unwrap();
    let output = root.dkms("verify --root /image foo/1.0 -k $K --json").unwrap();
    let document = parsed(&output);
    assert_eq!((output.code, &document["modules"][0]["verdict"]), (0, &"proven".into()), "{document}");
    root.must(": >/image/lib/modules/$K/updates/dkms/foo.ko").unwrap();
    assert_eq!(root.dkms("verify --root /image foo -k $K").unwrap().code, 30);
}

#[test]
fn what_another_kernel_lends_is_judged_by_its_symbols() {
    let root = installed();
    // As weak-modules(8) of RHEL and SUSE leaves it.
    root.must(
        "mkdir -p /etc/depmod.d /lib/modules/$K2/weak-updates
         echo 'search updates extra built-in weak-updates' >/etc/depmod.d/dist.conf
         ln -s /lib/modules/$K/updates/dkms/foo.ko /lib/modules/$K2/weak-updates/foo.ko; depmod $K2",
    )
    .unwrap();
    let status = root.dkms("status -k $K2").unwrap().stdout;
    assert!(status.contains("installed-weak from"), "{status}");
    // The name of the kernel is right, its symbols are another flavour's.
    let (found, code) = open(&root, "foo/1.0 -k $K2", User::Nobody);
    assert_eq!(code, 30, "{found:?}");
    assert_eq!((found[0][0].as_str(), found[0][1].as_str()), ("linked", "refuted"), "{found:?}");
    let says = |text: &str| assert!(found[0][2].contains(text), "{text}: {found:?}");
    ["kobject_put", "another kernel's build is linked there"].into_iter().for_each(says);
    assert!(
        !found[0][2].contains("Makefile") && found[0][3].starts_with("dkms install foo/1.0 -k "),
        "{found:?}"
    );
    // A kernel with the symbols of the one that lends, under its own name: an update that keeps the ABI.
    let same = "rm /lib/modules/$K2/build; cp -a $(realpath /lib/modules/$K/build) /lib/modules/$K2/build
                sed -i \"s/$K/$K2/\" /lib/modules/$K2/build/include/generated/utsrelease.h";
    root.must(same).unwrap();
    assert_eq!(open(&root, "foo/1.0 -k $K2", User::Nobody), (Vec::new(), 0));
    root.must(
        "sed -i 's/^0x[0-9a-f]*\\(\\tkobject_put\\t\\)/0x00000001\\1/' /lib/modules/$K2/build/Module.symvers",
    )
    .unwrap();
    let (found, code) = open(&root, "foo/1.0 -k $K2", User::Nobody);
    assert!(code == 30 && found[0][2].contains("kobject_put"), "{code} {found:?}");
}
