//! The boot guard under real boot loaders and firmware, in a virtual machine: which kernel boots by default
//! is what the loader says, not what we think it does.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::command::must;
use dkms_tests::firmware::{Disk, Kernel, Machine};
use dkms_tests::kernels::Kernels;
use dkms_tests::ready::Ready;
use dkms_tests::root::Root;
use dkms_tests::setup;
use dkms_tests::tool::Tool;
use std::path::Path;

const BATCH: &str = "/opt/batch/dkms";

/// A fresh root whose critical module foo/1.0 is installed on `$K` and can't be built for `$K2`, with a
/// `/boot` of its own that has a kernel and an initramfs.
fn root() -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    let tools = [
        Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test")),
        Tool::batch(env!("CARGO_BIN_EXE_batch-under-test")),
    ];
    let root = Root::new(&cache, &kernels, &[&tools[0], &tools[1]]).unwrap();
    Ready::compile(&cache, &kernels).unwrap().put_for_each_kernel(&root).unwrap();
    root.must(
        "dkms install foo/1.0 -k $K; mv /srv/ready /srv/kept
         echo CRITICAL=yes >/etc/dkms/foo.conf; echo boot_guard=hold >>/etc/dkms/framework.conf
         mount -t tmpfs boot /boot; mkdir -p /boot/EFI/BOOT",
    )
    .unwrap();
    let kernel = Kernel::new(&cache, &kernels.second, "cat /proc/cmdline").unwrap();
    fs::copy_file(&kernel.vmlinuz, &root.view("/boot/vmlinuz")).unwrap();
    fs::write_whole(&root.view("/boot/initrd.img"), &kernel.initramfs, 0o644).unwrap();
    root
}

fn files(root: &Root) -> String {
    root.must(
        "cd /boot; find . -type f | sort | xargs sha256sum; cat /etc/default/grub.d/* 2>/dev/null || true",
    )
    .unwrap()
}

/// With systemd-boot of a suite, and an entry for each kernel.
fn under_systemd_boot(suite: Option<&str>) -> (Root, Machine) {
    let root = root();
    let cache = Cache::open().unwrap();
    let package = match suite {
        None => setup::unpacked(&cache, "systemd-boot-efi").unwrap(),
        Some(suite) => setup::unpacked_of(&cache, suite, "systemd-boot-efi").unwrap(),
    };
    let loader = package.join("usr/lib/systemd/boot/efi/systemd-bootx64.efi");
    fs::copy_file(&loader, &root.view("/boot/EFI/BOOT/BOOTX64.EFI")).unwrap();
    root.must(
        "mkdir -p /boot/loader/entries; echo timeout 0 >/boot/loader/loader.conf
         for k in $K $K2; do
             printf 'title Debian\nsort-key debian\nversion %s\nlinux /vmlinuz\ninitrd /initrd.img\noptions console=ttyS0 quiet panic=-1 kernel=%s\n' \\
                 $k $k >/boot/loader/entries/token-$k.conf
         done",
    )
    .unwrap();
    let machine = Machine::new(Disk::Folder(root.view("/boot"))).unwrap();
    (root, machine)
}

fn batch(root: &Root) -> String {
    root.must(&format!("{BATCH} $K2 || true")).unwrap()
}

#[test]
fn systemd_boot_boots_the_kernel_that_has_the_modules() {
    let (root, machine) = under_systemd_boot(None);
    let output = batch(&root);
    assert!(output.contains("does not become the default: foo/1.0"), "{output}");
    assert_eq!(machine.booted("kernel").unwrap(), root.kernels().first);
}

fn story_of_systemd_boot(suite: &str) {
    let (root, machine) = under_systemd_boot(Some(suite));
    let before = files(&root);
    let Kernels { first, second } = root.kernels().clone();
    assert_eq!(machine.booted("kernel").unwrap(), second, "the newest");
    batch(&root);
    assert_eq!(machine.booted("kernel").unwrap(), first, "held");
    // A default with wildcards chooses among both.
    root.must("echo 'default token-*' >>/boot/loader/loader.conf").unwrap();
    assert_eq!(machine.booted("kernel").unwrap(), first, "held, and a default with wildcards");
    root.must("echo timeout 0 >/boot/loader/loader.conf; mv /boot/loader/entries/token-$K.conf /srv")
        .unwrap();
    assert_eq!(machine.booted("kernel").unwrap(), second, "held, and the only one");
    root.must("mv /srv/token-$K.conf /boot/loader/entries; dkms boot release all").unwrap();
    assert_eq!(files(&root), before);
    assert_eq!(machine.booted("kernel").unwrap(), second, "released");
    root.must("echo default token-$K2.conf >>/boot/loader/loader.conf").unwrap();
    let output = batch(&root);
    assert!(output.contains("the default that the admin has set"), "{output}");
    assert_eq!(machine.booted("kernel").unwrap(), second, "the admin's own default");
}

#[test]
#[ignore = "full tier"]
fn the_story_under_systemd_boot_252() {
    story_of_systemd_boot("bookworm");
}

#[test]
#[ignore = "full tier"]
fn the_story_under_systemd_boot_257() {
    story_of_systemd_boot("trixie");
}

/// GRUB of Debian 12 with its own grub-mkconfig, grub-editenv and grub-mkimage. A root that is an overlay
/// has no device that grub-probe could find: a stand-in answers for it, with the volume of the folder that
/// QEMU shows as a disk.
fn under_grub() -> (Root, Machine) {
    let root = root();
    let cache = Cache::open().unwrap();
    for package in ["grub-common", "grub2-common", "grub-efi-amd64-bin"] {
        let from = format!("{}/.", setup::unpacked(&cache, package).unwrap().display());
        let to = root.view("/").display().to_string();
        must("cp", &["-a", &from, &format!("{to}/")], Path::new("/")).unwrap();
    }
    let probe = "#!/bin/sh\nfor word; do case $word in device|fs|fs_uuid) what=$word ;; --target=*) what=${word#*=} ;; esac; done\n\
        case $what in device) echo /dev/vda1 ;; fs) echo fat ;; fs_uuid) echo FABE-1AFD ;; esac\n";
    root.write("/usr/sbin/grub-probe", probe, 0o755).unwrap();
    let early = "search --file --set=root /grub/grub.cfg\nset prefix=($root)/grub\nconfigfile ($root)/grub/grub.cfg\n";
    root.write("/srv/early.cfg", early, 0o644).unwrap();
    root.must(
        "mkdir -p /boot/grub /etc/default
         grub-mkimage -O x86_64-efi -p /grub -c /srv/early.cfg -o /boot/EFI/BOOT/BOOTX64.EFI \\
             part_msdos fat search search_fs_file search_fs_uuid configfile normal linux loadenv test echo gzio all_video
         grub-editenv /boot/grub/grubenv create
         for k in $K $K2; do ln /boot/vmlinuz /boot/vmlinuz-$k; ln /boot/initrd.img /boot/initrd.img-$k; done
         rm /boot/vmlinuz /boot/initrd.img; rm -f /etc/grub.d/*os-prober /etc/grub.d/*uefi*
         printf 'GRUB_DEFAULT=saved\\nGRUB_TIMEOUT=0\\nGRUB_CMDLINE_LINUX=\"console=ttyS0 quiet panic=-1\"\\nGRUB_TERMINAL=console\\n' >/etc/default/grub
         update-grub",
    )
    .unwrap();
    let machine = Machine::new(Disk::Folder(root.view("/boot"))).unwrap();
    (root, machine)
}

#[test]
fn grub_of_debian_12_boots_the_saved_entry() {
    let (root, machine) = under_grub();
    let before = files(&root);
    let output = batch(&root);
    assert!(output.contains("does not become the default: foo/1.0"), "{output}");
    assert_eq!(machine.booted("BOOT_IMAGE").unwrap(), format!("/vmlinuz-{}", root.kernels().first));
    root.must("dkms boot release all").unwrap();
    assert_eq!(files(&root), before);
}

#[test]
#[ignore = "full tier"]
fn the_story_under_grub_of_debian_12() {
    let (root, machine) = under_grub();
    let Kernels { first, second } = root.kernels().clone();
    let booted = || machine.booted("BOOT_IMAGE").unwrap().trim_start_matches("/vmlinuz-").to_owned();
    assert_eq!(booted(), second, "the newest");
    batch(&root);
    assert_eq!(booted(), first, "held");
    root.must("dkms boot release all").unwrap();
    assert_eq!(booted(), second, "released");
}
