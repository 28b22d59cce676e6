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

/// What stands for a kernel on the disk.
#[derive(Debug, Clone, Copy)]
struct Entries {
    folder: &'static str,
    suffix: &'static str,
}

/// A text that names kernel and initramfs.
const TEXTS: Entries = Entries { folder: "loader/entries", suffix: "conf" };
/// A unified image: a program of the firmware that has both in it.
const IMAGES: Entries = Entries { folder: "EFI/Linux", suffix: "efi" };

/// With systemd-boot of a suite, and an entry for each kernel.
fn under_systemd_boot(suite: Option<&str>, entries: Entries) -> (Root, Machine) {
    let root = root();
    let cache = Cache::open().unwrap();
    let package = match suite {
        None => setup::unpacked(&cache, "systemd-boot-efi").unwrap(),
        Some(suite) => setup::unpacked_of(&cache, suite, "systemd-boot-efi").unwrap(),
    };
    let programs = package.join("usr/lib/systemd/boot/efi");
    fs::copy_file(&programs.join("systemd-bootx64.efi"), &root.view("/boot/EFI/BOOT/BOOTX64.EFI")).unwrap();
    root.must(&format!(
        "mkdir -p /boot/loader /boot/{}; echo timeout 0 >/boot/loader/loader.conf",
        entries.folder
    ))
    .unwrap();
    let Kernels { first, second } = root.kernels().clone();
    for kernel in [&first, &second] {
        let options = format!("console=ttyS0 quiet panic=-1 no_timer_check kernel={kernel}");
        let path = format!("/boot/{}/token-{kernel}.{}", entries.folder, entries.suffix);
        if entries.suffix == TEXTS.suffix {
            let text = format!(
                "title Debian\nsort-key debian\nversion {kernel}\nlinux /vmlinuz\ninitrd /initrd.img\noptions {options}\n"
            );
            root.write(&path, &text, 0o644).unwrap();
        } else {
            root.write("/boot/cmdline", &options, 0o644).unwrap();
            root.write("/boot/osrel", "ID=debian\nPRETTY_NAME=Debian\nVERSION_ID=12\n", 0o644).unwrap();
            let stub = programs.join("linuxx64.efi.stub").display().to_string();
            must(
                "sh",
                &["-ec", UNIFY, "sh", &stub, &root.view(&path).display().to_string()],
                &root.view("/boot"),
            )
            .unwrap();
            root.must("rm /boot/cmdline /boot/osrel").unwrap();
        }
    }
    let machine = Machine::new(Disk::Folder(root.view("/boot"))).unwrap();
    (root, machine)
}

/// Writes a unified image `$2` with the stub `$1`, as the manual page systemd-stub(7) has its sections: each
/// behind the one before it, on a page of its own.
const UNIFY: &str = "end=0
    while read -r _ _ size address _; do
        case $size in *[!0-9a-f]* | '') continue ;; esac
        [ $((0x$size + 0x$address)) -le $end ] || end=$((0x$size + 0x$address))
    done <<-END
	$(objdump -h \"$1\" | grep -E '^ +[0-9]+ ')
	END
    words=
    for part in osrel:osrel cmdline:cmdline initrd:initrd.img linux:vmlinuz; do
        end=$(((end + 4095) / 4096 * 4096)); name=${part%%:*} file=${part#*:}
        words=\"$words --add-section .$name=$file --change-section-vma .$name=$end\"
        end=$((end + $(stat -c %s $file)))
    done
    objcopy $words \"$1\" \"$2\"";

fn batch(root: &Root) -> String {
    root.must(&format!("{BATCH} $K2 || true")).unwrap()
}

#[test]
fn systemd_boot_boots_the_kernel_that_has_the_modules() {
    let (root, machine) = under_systemd_boot(None, TEXTS);
    let output = batch(&root);
    assert!(output.contains("does not become the default: foo/1.0"), "{output}");
    assert_eq!(machine.booted("kernel").unwrap(), root.kernels().first);
}

fn story_of_systemd_boot(suite: Option<&str>, entries: Entries) {
    let (root, machine) = under_systemd_boot(suite, entries);
    let Entries { folder, suffix } = entries;
    let before = files(&root);
    let Kernels { first, second } = root.kernels().clone();
    assert_eq!(machine.booted("kernel").unwrap(), second, "the newest");
    batch(&root);
    assert_eq!(machine.booted("kernel").unwrap(), first, "held");
    // A default with wildcards chooses among both.
    root.must("echo 'default token-*' >>/boot/loader/loader.conf").unwrap();
    assert_eq!(machine.booted("kernel").unwrap(), first, "held, and a default with wildcards");
    root.must(&format!("echo timeout 0 >/boot/loader/loader.conf; mv /boot/{folder}/token-$K.{suffix} /srv"))
        .unwrap();
    assert_eq!(machine.booted("kernel").unwrap(), second, "held, and the only one");
    root.must(&format!("mv /srv/token-$K.{suffix} /boot/{folder}; dkms boot release all")).unwrap();
    assert_eq!(files(&root), before);
    assert_eq!(machine.booted("kernel").unwrap(), second, "released");
    root.must(&format!("echo default token-$K2.{suffix} >>/boot/loader/loader.conf")).unwrap();
    let output = batch(&root);
    assert!(output.contains("the default that the admin has set"), "{output}");
    assert_eq!(machine.booted("kernel").unwrap(), second, "the admin's own default");
}

#[test]
#[ignore = "full tier"]
fn the_story_under_systemd_boot_252() {
    story_of_systemd_boot(Some("bookworm"), TEXTS);
}

#[test]
#[ignore = "full tier"]
fn the_story_under_systemd_boot_257() {
    story_of_systemd_boot(Some("trixie"), TEXTS);
}

#[test]
#[ignore = "full tier"]
fn the_story_under_the_newest_systemd_boot() {
    story_of_systemd_boot(Some("forky"), TEXTS);
}

#[test]
#[ignore = "full tier"]
fn the_story_of_unified_images() {
    story_of_systemd_boot(Some("bookworm"), IMAGES);
}

#[test]
#[ignore = "full tier"]
fn the_story_of_unified_images_under_the_newest_systemd_boot() {
    story_of_systemd_boot(Some("forky"), IMAGES);
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
         printf 'GRUB_DEFAULT=saved\\nGRUB_TIMEOUT=0\\nGRUB_CMDLINE_LINUX=\"console=ttyS0 quiet panic=-1 no_timer_check\"\\nGRUB_TERMINAL=console\\n' >/etc/default/grub
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
