//! `dkms boot` and the boot guard on real files of boot loaders: what is held, what is not, and that
//! everything is put back to the byte.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::cache::Cache;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready::Ready;
use dkms_tests::root::{Output, Root, User};
use dkms_tests::tool::Tool;
use serde_json::Value;

const BATCH: &str = "/opt/batch/dkms";

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
    root.must("mv /srv/kept /srv/ready; dkms install foo/1.0 -k $K2 --force").unwrap();
    let output = run(&root, &format!("{BATCH} $K2"));
    assert!(output.stdout.contains("no longer held"), "{output:?} {}", kernel(&root, "K2"));
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
    // An older GRUB with another default offers no way.
    root.must("echo GRUB_DEFAULT=0 >/etc/default/grub; echo >/etc/grub.d/10_linux").unwrap();
    let refused = run(&root, "exec \"$DKMS\" boot hold $K2");
    assert!(refused.code == 1 && refused.stderr.contains("GRUB_DEFAULT=saved"), "{refused:?}");
}
