//! `dkms boot` and the boot guard on real files of boot loaders: what is held, what is not, and that
//! everything is put back to the byte.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready::Ready;
use dkms_tests::root::{Output, Root, User};
use dkms_tests::tool::Tool;
use serde_json::Value;
use std::path::Path;

mod trouble;

const BATCH: &str = "/opt/batch/dkms";
/// As a script of a package that dpkg runs where our hook for apt is installed.
const IN_A_SCRIPT: &str =
    "mkdir -p /usr/libexec/dkms; : >/usr/libexec/dkms/hooks-apt; DPKG_MAINTSCRIPT_PACKAGE=foo-dkms";

/// A fresh root: systemd-boot with an entry of `$K` that counts tries, and one of `$K2`; the critical module
/// foo/1.0 is installed on `$K` only, and can't be built.
fn root() -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    let root = Root::new(
        &cache,
        &kernels,
        &[
            &Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test")),
            &Tool::batch(env!("CARGO_BIN_EXE_batch-under-test")),
        ],
    )
    .unwrap();
    Ready::compile(&cache, &kernels).unwrap().put_for_each_kernel(&root).unwrap();
    root.must(
        "dkms install foo/1.0 -k $K
         mv /srv/ready /srv/kept
         echo CRITICAL=yes >/etc/dkms/foo.conf
         mkdir -p /boot/loader/entries; echo timeout 3 >/boot/loader/loader.conf
         for k in $K $K2; do
             printf 'title Debian\nversion %s\nlinux /token/%s/linux\n' $k $k >/boot/loader/entries/token-$k.conf
         done
         mv /boot/loader/entries/token-$K2.conf /boot/loader/entries/token-$K2+3-1.conf",
    )
    .unwrap();
    root
}

fn run(root: &Root, line: &str) -> Output {
    let output = root.shell(line, User::Root, "/").unwrap();
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    output
}

fn boot_files(root: &Root) -> String {
    root.must(
        "cd /boot; find . -type f | sort | xargs sha256sum; cat /etc/default/grub.d/* 2>/dev/null || true",
    )
    .unwrap()
}

/// The entry of a kernel in the document.
fn kernel(root: &Root, variable: &str) -> Value {
    let document = root.must("dkms boot --json").unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let name = root.must(&format!("printf %s ${variable}")).unwrap();
    let kernels = document["kernels"].as_array().unwrap().clone();
    kernels.into_iter().find(|one| one["kernel"] == name.trim()).unwrap()
}

#[test]
fn a_kernel_is_held_by_hand_and_put_back_to_the_byte() {
    let root = root();
    let before = boot_files(&root);
    assert_eq!(kernel(&root, "K")["verdict"], "proven", "{}", kernel(&root, "K"));
    assert_eq!(kernel(&root, "K2")["verdict"], "refuted", "{}", kernel(&root, "K2"));
    // With the default nothing is written.
    let output = run(&root, &format!("{BATCH} $K2"));
    assert!(!output.stdout.contains("does not become"), "{output:?}");
    assert_eq!(boot_files(&root), before);
    // The only one that is proven is not held.
    let refused = run(&root, "exec \"$DKMS\" boot hold $K");
    assert!(refused.code == 1 && refused.stderr.contains("no other kernel"), "{refused:?}");
    assert_eq!(run(&root, "exec \"$DKMS\" boot hold 9.9.9").code, 1);
    root.must("dkms boot hold $K2; test -e /boot/loader/entries/token-$K2+0.conf; test -e /var/lib/dkms/.state/boot/$K2.json")
        .unwrap();
    assert_eq!(kernel(&root, "K2")["held"], true);
    // kernel-install adds the entry again beside the held one; a batch puts that right.
    root.must("cp /boot/loader/entries/token-$K2+0.conf /boot/loader/entries/token-$K2+3-1.conf").unwrap();
    run(&root, &format!("{BATCH} $K2"));
    root.must("test ! -e /boot/loader/entries/token-$K2+3-1.conf; dkms boot release all").unwrap();
    assert_eq!(boot_files(&root), before);
    assert_eq!(run(&root, "exec \"$DKMS\" boot release $K2").code, 1);
}

#[test]
fn the_guard_holds_what_lacks_a_critical_module_and_releases_it_when_it_comes() {
    let root = root();
    let before = boot_files(&root);
    root.must("echo boot_guard=hold >>/etc/dkms/framework.conf").unwrap();
    let output = run(&root, &format!("{BATCH} $K2"));
    assert!(output.stdout.contains("does not become the default: foo/1.0 (CRITICAL=yes"), "{output:?}");
    root.must("test -e /boot/loader/entries/token-$K2+0.conf").unwrap();
    assert_eq!(kernel(&root, "K")["next"], true);
    let output = run(&root, "mv /srv/kept /srv/ready; \"$DKMS\" install foo/1.0 -k $K2 --force 2>&1");
    assert!(output.stdout.contains("no longer held"), "{output:?} {}", kernel(&root, "K2"));
    assert_eq!(boot_files(&root), before);
    // Taken out by hand it is held again.
    let output = run(&root, "\"$DKMS\" uninstall foo/1.0 -k $K2 2>&1");
    assert!(output.stdout.contains("does not become the default"), "{output:?}");
    // In a script of a package the end of the transaction looks.
    let output = run(&root, &format!("{IN_A_SCRIPT} \"$DKMS\" install foo/1.0 -k $K2 2>&1"));
    assert!(output.code == 0 && !output.stdout.contains("no longer held"), "{output:?}");
    // What the kernel's own package does when it is configured.
    root.must("depmod $K2").unwrap();
    let output = run(&root, &format!("{BATCH} $K2"));
    assert!(output.stdout.contains("no longer held"), "{output:?}");
    assert_eq!(boot_files(&root), before);
}

#[test]
fn an_explicit_default_of_the_admin_wins() {
    let root = root();
    root.must("echo boot_guard=hold >>/etc/dkms/framework.conf; echo default token-$K2.conf >>/boot/loader/loader.conf")
        .unwrap();
    let before = boot_files(&root);
    let output = run(&root, &format!("{BATCH} $K2"));
    assert!(output.stdout.contains("boots next") && output.stdout.contains("admin"), "{output:?}");
    assert_eq!(boot_files(&root), before);
    assert_eq!(run(&root, "exec \"$DKMS\" boot hold $K2").code, 1);
}

#[test]
fn grub_is_told_by_a_file_or_by_its_saved_entry() {
    let root = root();
    root.must(
        "rm -r /boot/loader; mkdir -p /boot/grub /etc/grub.d /etc/default
         for k in $K $K2; do touch /boot/vmlinuz-$k
             echo \"menuentry 'x' id 'gnulinux-$k-advanced-11' {\" >>/boot/grub/grub.cfg; done
         { echo '# GRUB Environment Block'; printf '#%.0s' $(seq 999); } >/boot/grub/grubenv
         echo 'GRUB_TOP_LEVEL' >/etc/grub.d/10_linux; echo GRUB_DEFAULT=0 >/etc/default/grub
         printf '#!/bin/sh\necho made >>/srv/made\n' >/usr/bin/update-grub; chmod +x /usr/bin/update-grub",
    )
    .unwrap();
    let before = boot_files(&root);
    root.must("dkms boot hold $K2; . /etc/default/grub.d/zz-dkms-boot-guard.cfg; test $GRUB_TOP_LEVEL = /boot/vmlinuz-$K")
        .unwrap();
    root.must("dkms boot release $K2; test $(wc -l </srv/made) = 2").unwrap();
    assert_eq!(boot_files(&root), before);
    root.must("echo GRUB_DEFAULT=saved >/etc/default/grub; dkms boot hold $K2").unwrap();
    root.must("grep -q saved_entry=gnulinux-$K-advanced-11 /boot/grub/grubenv; dkms boot release all")
        .unwrap();
    assert_eq!(boot_files(&root), before);
    // A menu that can't be made: nothing is half done.
    root.must(
        "echo GRUB_DEFAULT=0 >/etc/default/grub; mv /usr/bin/update-grub /srv/kept-update-grub
        printf '#!/bin/sh\necho no room; exit 3\n' >/usr/bin/update-grub; chmod +x /usr/bin/update-grub",
    )
    .unwrap();
    let refused = run(&root, "exec \"$DKMS\" boot hold $K2");
    assert!(refused.code == 1 && refused.stderr.contains("exit code 3: no room"), "{refused:?}");
    root.must("test ! -e /var/lib/dkms/.state/boot/$K2.json; mv /srv/kept-update-grub /usr/bin/update-grub")
        .unwrap();
    assert_eq!(boot_files(&root), before);
    // Of two that are held one is released: the file for the other one is made again.
    root.must("touch /boot/vmlinuz-$K3; echo \"menuentry 'x' id 'gnulinux-$K3-advanced-11' {\" >>/boot/grub/grub.cfg").unwrap();
    let before = boot_files(&root);
    root.must("dkms boot hold $K2; cp /etc/default/grub.d/zz-dkms-boot-guard.cfg /srv/one; dkms boot hold $K3
        dkms boot release $K3; cmp /srv/one /etc/default/grub.d/zz-dkms-boot-guard.cfg; dkms boot release $K2").unwrap();
    assert_eq!(boot_files(&root), before);
    // An older GRUB with another default offers no way.
    root.must("rm /boot/vmlinuz-$K3").unwrap();
    root.must("echo GRUB_DEFAULT=0 >/etc/default/grub; echo >/etc/grub.d/10_linux").unwrap();
    let refused = run(&root, "exec \"$DKMS\" boot hold $K2");
    assert!(refused.code == 1 && refused.stderr.contains("GRUB_DEFAULT=saved"), "{refused:?}");
}

/// What comes while a kernel is held, is newer and has the modules, boots; what goes is not waited for.
/// A root that GRUB boots, with a stand-in for update-grub.
fn under_grub(default: &str) -> Root {
    let root = root();
    root.must(&format!(
        "rm -r /boot/loader; mkdir -p /boot/grub /etc/grub.d /etc/default; echo GRUB_TOP_LEVEL >/etc/grub.d/10_linux
         for k in $K $K2; do touch /boot/vmlinuz-$k
             echo \"menuentry 'x' id 'gnulinux-$k-advanced-11' {{\" >>/boot/grub/grub.cfg; done
         {{ echo '# GRUB Environment Block'; printf '#%.0s' $(seq 999); }} >/boot/grub/grubenv
         echo GRUB_DEFAULT={default} >/etc/default/grub
         printf '#!/bin/sh\nexit 0\n' >/usr/bin/update-grub; chmod +x /usr/bin/update-grub"
    ))
    .unwrap();
    root
}

#[test]
fn a_newer_kernel_that_is_fit_boots_under_grub_while_another_one_is_held() {
    let root = under_grub("0");
    let menu = |kernels: &str| {
        root.must(&format!(
            ": >/boot/grub/grub.cfg; rm -f /boot/vmlinuz-*; for k in {kernels}; do touch /boot/vmlinuz-$k
                 echo \"menuentry 'x' id 'gnulinux-$k-advanced-11' {{\" >>/boot/grub/grub.cfg; done"
        ))
        .unwrap();
    };
    root.must(
        "cp -r /srv/kept /srv/ready; dkms install foo/1.0 -k $K2 --force; dkms install foo/1.0 -k $K3 --force
         rm -r /srv/ready; dkms remove foo/1.0 -k $K; echo boot_guard=hold >>/etc/dkms/framework.conf",
    )
    .unwrap();
    // `$K3` is the oldest, `$K2` the newest, and `$K` is held.
    for (default, state) in [
        (
            "0",
            "sed -n 's/.*for image in \"\\([^\"]*\\)\".*/\\1/p' /etc/default/grub.d/zz-dkms-boot-guard.cfg",
        ),
        ("saved", "sed -n s/^saved_entry=//p /boot/grub/grubenv"),
    ] {
        root.must(&format!("echo GRUB_DEFAULT={default} >/etc/default/grub")).unwrap();
        menu("$K $K3");
        let begun = boot_files(&root);
        run(&root, &format!("{BATCH} $K"));
        let old = root.must(state).unwrap();
        assert!(old.contains(&root.must("printf %s $K3").unwrap()), "{default}: {old}");
        menu("$K2 $K $K3");
        run(&root, &format!("{BATCH} $K2"));
        let new = root.must(state).unwrap();
        if default == "0" {
            assert!(new.contains(&root.must("printf %s $K2").unwrap()), "{new}");
        } else {
            // By itself GRUB boots the newest.
            assert_eq!(new, "");
        }
        menu("$K $K3");
        run(&root, &format!("{BATCH} $K"));
        assert_eq!(root.must(state).unwrap(), old, "{default}: the newest has gone");
        // The menu can't be made: what is held is known further on.
        if default == "0" {
            menu("$K2 $K $K3");
            root.must("mv /usr/bin/update-grub /srv/update-grub; printf '#!/bin/sh\nexit 3\n' >/usr/bin/update-grub; chmod +x /usr/bin/update-grub")
                .unwrap();
            let output = run(&root, &format!("{BATCH} $K2"));
            assert!(
                output.stdout.contains("is still held: `update-grub` ended with exit code 3"),
                "{output:?}"
            );
            assert_eq!(root.must(state).unwrap(), old);
            root.must("mv /srv/update-grub /usr/bin/update-grub").unwrap();
            menu("$K $K3");
        }
        root.must("dkms boot release all").unwrap();
        assert_eq!(boot_files(&root), begun);
    }
}

#[test]
fn what_kernel_install_and_a_loader_do_to_a_held_entry() {
    let root = root();
    let before = boot_files(&root);
    // Written again beside it; kernel-install's late plugin puts that right.
    root.must("dkms boot hold $K2; cp /boot/loader/entries/token-$K2+0.conf /boot/loader/entries/token-$K2.conf
        dkms boot reconcile; test ! -e /boot/loader/entries/token-$K2.conf; test -e /boot/loader/entries/token-$K2+0.conf
        dkms boot release all; test -e /boot/loader/entries/token-$K2.conf
        mv /boot/loader/entries/token-$K2.conf /boot/loader/entries/token-$K2+3-1.conf").unwrap();
    assert_eq!(boot_files(&root), before);
    // It was booted from the menu: the loader counts.
    root.must(
        "dkms boot hold $K2; mv /boot/loader/entries/token-$K2+0.conf /boot/loader/entries/token-$K2+0-1.conf
        dkms boot release $K2",
    )
    .unwrap();
    assert_eq!(boot_files(&root), before);
    // Its kernel goes: nothing is held any more.
    root.must(
        "dkms boot hold $K2; rm /boot/loader/entries/token-$K2*; dkms boot reconcile
        test ! -e /var/lib/dkms/.state/boot/$K2.json; test -e /boot/loader/entries/token-$K.conf",
    )
    .unwrap();
}

/// kernel-install 252 itself with its own plugins, and ours after them.
#[test]
fn the_plugin_of_kernel_install_keeps_what_is_held() {
    let root = root();
    let plugin = include_str!("../../../packaging/files/boot/95-dkms-guard.install");
    root.write("/usr/lib/kernel/install.d/95-dkms-guard.install", plugin, 0o755).unwrap();
    root.must(
        "printf 'layout=bls\n' >/etc/kernel/install.conf; echo token >/etc/kernel/entry-token; echo 3 >/etc/kernel/tries
         echo '0123456789abcdef0123456789abcdef' >/etc/machine-id; echo root=/dev/vda >/etc/kernel/cmdline
         mkdir -p /boot/token /boot/EFI/systemd; : >/boot/EFI/systemd/systemd-bootx64.efi; echo kernel >/srv/vmlinuz
         rm /boot/loader/entries/*; chmod -x /usr/lib/kernel/install.d/85-initrd.install
         for k in $K $K2; do kernel-install add $k /srv/vmlinuz; done; ls /boot/loader/entries >/srv/before
         test -e /boot/loader/entries/token-$K2+3.conf",
    )
    .unwrap();
    let before = boot_files(&root);
    root.must("dkms boot hold $K2; test ! -e /boot/loader/entries/token-$K2+3.conf").unwrap();
    // The kernel is installed once more: its entry is written again, and stays held.
    root.must("kernel-install add $K2 /srv/vmlinuz; ls /boot/loader/entries").unwrap();
    assert_eq!(
        root.must("cd /boot/loader/entries; echo token-$K2*").unwrap(),
        root.must("echo token-$K2+0.conf").unwrap()
    );
    root.must("dkms boot release $K2").unwrap();
    assert_eq!(boot_files(&root), before);
    // It goes while it is held.
    root.must(
        "dkms boot hold $K2; kernel-install remove $K2; test ! -e /var/lib/dkms/.state/boot/$K2.json
        test \"$(ls /boot/loader/entries)\" = token-$K+3.conf",
    )
    .unwrap();
}

#[test]
fn people_see_it_at_login_beside_a_due_reboot_in_doctor_and_status() {
    let root = root();
    root.must("mkdir -p /run; echo '*** System restart required ***' >/run/reboot-required").unwrap();
    // Nothing is written to a boot configuration by default; that it should be is reported.
    let before = boot_files(&root);
    let output = run(&root, &format!("{BATCH} $K2"));
    assert!(output.stdout.contains("boots next: foo/1.0 (CRITICAL=yes"), "{output:?}");
    let motd = root.read("/run/motd.d/dkms-boot-guard").unwrap();
    assert!(motd.starts_with("dkms: do not reboot: kernel ") && motd.contains("foo/1.0"), "{motd}");
    assert_eq!(
        root.read("/run/reboot-required").unwrap(),
        format!("*** System restart required ***\n{motd}")
    );
    assert!(run(&root, "exec \"$DKMS\" doctor --json").stdout.contains("\"boot-guard\""));
    assert_eq!(boot_files(&root), before);
    root.must("echo boot_guard=hold >>/etc/dkms/framework.conf").unwrap();
    run(&root, &format!("{BATCH} $K2"));
    let motd = root.read("/run/motd.d/dkms-boot-guard").unwrap();
    assert!(motd.contains("does not boot by default"), "{motd}");
    let status: Value = serde_json::from_str(&root.must("dkms status --json").unwrap()).unwrap();
    assert_eq!(status["held"][0]["kernel"], root.kernels().second.as_str(), "{status}");
    root.must("dkms boot release all; test ! -e /run/motd.d/dkms-boot-guard").unwrap();
    assert_eq!(root.read("/run/reboot-required").unwrap(), "*** System restart required ***\n");
}

/// docs/guide.md tells this story; `K` and `K2` are called OLD and NEW there.
#[test]
fn the_story_of_the_guide_is_what_happens() {
    let root = root();
    root.must(
        "sed -i 's/^MAKE=\"/&echo foo.c:7:2: error: implicit declaration of function strlcpy; /' /usr/src/foo-1.0/dkms.conf
        echo boot_guard=hold >>/etc/dkms/framework.conf; mkdir -p /run
        mv /boot/loader/entries/token-$K2*.conf /boot/loader/entries/token-$K2.conf",
    )
    .unwrap();
    let mut told = String::new();
    let mut tell = |shown: &str, line: &str| {
        let output = run(&root, line);
        told.push_str(&format!("$ {shown}\n{}{}\n", output.stdout, output.stderr));
    };
    // The last lines of the transaction.
    tell("apt-get upgrade", &format!("{BATCH} $K2 | tail -n 1"));
    tell("cat /run/motd.d/dkms-boot-guard", "cat /run/motd.d/dkms-boot-guard");
    tell("ls /boot/loader/entries", "ls /boot/loader/entries");
    tell("dkms boot", "exec \"$DKMS\" boot | sed 's/held since [^:]*:[^:]*:[^:]*: /held since …: /'");
    root.must("mv /srv/kept /srv/ready").unwrap();
    root.must(&format!("{IN_A_SCRIPT} \"$DKMS\" install foo/1.0 -k $K2 --force")).unwrap();
    tell("apt-get install foo-dkms    # with the fixed module", &format!("{BATCH} $K2 | tail -n 1"));
    tell("ls /boot/loader/entries", "ls /boot/loader/entries");
    let Kernels { first, second } = root.kernels();
    let told = told.replace(second, "NEW").replace(first, "OLD");
    let guide = fs::read_lossy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide.md"))).unwrap();
    let begin = guide.find("```console\n$ apt-get upgrade").map(|at| at + "```console\n".len());
    let story = begin.map(|at| &guide[at..at + guide[at..].find("```").unwrap()]);
    assert_eq!(story.map(str::trim_end), Some(told.trim_end()), "{told}");
}

#[test]
fn a_boot_without_a_critical_module_is_not_good() {
    let root = root();
    assert!(run(&root, "exec \"$DKMS\" boot fit").stdout.contains("is not installed in this system"));
    // Now the kernel that runs is one of the system's.
    root.must(
        "cp -r /lib/modules/$K /lib/modules/$(uname -r); rm -r /lib/modules/$(uname -r)/updates
        mkdir -p /lib/modules/$(uname -r)/kernel; cp /srv/kept/foo.ko /lib/modules/$(uname -r)/kernel/other.ko
        depmod $(uname -r); printf 'version %s\nlinux /l\n' $(uname -r) >/boot/loader/entries/token-own.conf",
    )
    .unwrap();
    let warned = run(&root, "exec \"$DKMS\" boot fit");
    assert!(warned.code == 0 && warned.stderr.contains("foo/1.0 (CRITICAL=yes"), "{warned:?}");
    root.must("echo boot_guard=hold >>/etc/dkms/framework.conf").unwrap();
    let failed = run(&root, "exec \"$DKMS\" boot fit");
    assert!(failed.code == 30 && failed.stderr.contains("foo/1.0 (CRITICAL=yes"), "{failed:?}");
    // greenboot runs each file of its folder and takes 0 for well. It is not here itself.
    let check = "/usr/lib/greenboot/check/required.d/40_dkms.sh";
    root.write(check, include_str!("../../../packaging/files/boot/40_dkms.sh"), 0o755).unwrap();
    let checked = run(&root, check);
    assert!(checked.code == 30 && checked.stderr.contains("foo/1.0 (CRITICAL=yes"), "{checked:?}");
    // The kernel that runs is never held, whatever it lacks.
    let refused = run(&root, "exec \"$DKMS\" boot hold $(uname -r)");
    assert!(refused.code == 1 && refused.stderr.contains("running kernel"), "{refused:?}");
    root.must(&format!("echo CRITICAL=no >/etc/dkms/foo.conf; dkms boot fit; {check}")).unwrap();
}

/// Entries of the Boot Loader Specification under GRUB, as Fedora and RHEL have them: the saved entry, which
/// their `20-grub.install` sets for each kernel that comes, is put back after it. Their grub2 is not here:
/// Debian's `grub-editenv` keeps the same block, and a plugin of two lines stands for theirs.
#[test]
fn under_fedoras_grub_the_saved_entry_is_put_back() {
    let root = root();
    let tool = dkms_tests::setup::unpacked(&Cache::open().unwrap(), "grub-common").unwrap();
    fs::copy_file(&tool.join("usr/bin/grub-editenv"), &root.view("/usr/bin/grub2-editenv")).unwrap();
    let plugin = include_str!("../../../packaging/files/boot/95-dkms-guard.install");
    root.write("/usr/lib/kernel/install.d/95-dkms-guard.install", plugin, 0o755).unwrap();
    let theirs = "#!/bin/sh\n[ \"$1\" != add ] || grub2-editenv /boot/grub2/grubenv set saved_entry=token-$2\n\
        [ \"$1\" != remove ] || rm -f /boot/loader/entries/token-$2.conf\n";
    root.write("/usr/lib/kernel/install.d/20-grub.install", theirs, 0o755).unwrap();
    root.must(
        "rm /boot/loader/loader.conf; mv /boot/loader/entries/token-$K2*.conf /boot/loader/entries/token-$K2.conf
         rm -f /usr/lib/kernel/install.d/[589]0-* /usr/lib/kernel/install.d/85-*; mkdir /boot/grub2; : >/boot/grub2/grub.cfg
         grub2-editenv /boot/grub2/grubenv create; grub2-editenv /boot/grub2/grubenv set kernelopts=quiet
         echo kernel >/srv/vmlinuz; for k in $K $K2; do kernel-install add $k /srv/vmlinuz; done",
    )
    .unwrap();
    let saved = || root.must("grub2-editenv /boot/grub2/grubenv list").unwrap();
    let is = |variable: &str| {
        root.must(&format!("echo kernelopts=quiet; echo saved_entry=token-${variable}")).unwrap()
    };
    let before = boot_files(&root);
    assert_eq!(saved(), is("K2"));
    root.must("dkms boot hold $K2").unwrap();
    assert_eq!(saved(), is("K"));
    // The kernel that is held is installed again: theirs saves it, ours comes later. No entry is renamed.
    root.must("kernel-install add $K2 /srv/vmlinuz; test -e /boot/loader/entries/token-$K2.conf").unwrap();
    assert_eq!(saved(), is("K"));
    root.must("dkms boot release $K2").unwrap();
    assert_eq!((saved(), boot_files(&root)), (is("K2"), before));
    // Another entry that was saved since is left alone.
    root.must(
        "dkms boot hold $K2; grub2-editenv /boot/grub2/grubenv set saved_entry=other; dkms boot release all",
    )
    .unwrap();
    assert!(saved().contains("saved_entry=other"));
    root.must("grub2-editenv /boot/grub2/grubenv set saved_entry=token-$K2; dkms boot hold $K2; kernel-install remove $K2
        test ! -e /var/lib/dkms/.state/boot/$K2.json").unwrap();
}
