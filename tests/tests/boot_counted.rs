//! dkms-fit.service where systemd-boot counts tries, in a system that systemd starts: an entry whose kernel
//! lacks a critical module is not blessed, so the boot loader falls back by itself.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::disk::{System, copy_headers};
use dkms_tests::firmware::Kernel;
use dkms_tests::initramfs::Initramfs;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::Root;
use dkms_tests::setup;

/// What the system's initramfs loads: the disk, the boot loader's partition, and the firmware's variables.
const MODULES: &str = "virtio_pci virtio_blk vfat nls_cp437 nls_ascii efivarfs";
/// The folders in which they are.
const FOLDERS: [&str; 5] = ["drivers/virtio", "drivers/block", "fs/fat", "fs/nls", "fs/efivarfs"];

/// Says what became of units, and ends the machine.
const REPORT: &str = "[Unit]
After=systemd-bless-boot.service dkms-fit.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'exec >/dev/console; echo; echo guest: begins; cat /proc/cmdline; \
    for unit in dkms-fit.service systemd-bless-boot.service; do echo $unit: $(systemctl is-active $unit); done >/srv/report; \
    cat /srv/fit >>/srv/report; sync; poweroff -ff'
";

/// Nothing starts that this is not about, and nothing gives up on a machine that is emulated and has little
/// time.
const SMALL: &str = "cd /etc/systemd/system; mkdir -p multi-user.target.wants dkms-fit.service.d ../system.conf.d
    for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket \
        systemd-journal-flush.service systemd-logind.service getty.target timers.target dkms.service; do ln -sf /dev/null $unit; done
    printf '[Manager]\\nDefaultTimeoutStartSec=15min\\n' >../system.conf.d/slow.conf
    printf '[Service]\\nStandardError=file:/srv/fit\\n' >dkms-fit.service.d/test.conf
    ln -s ../report.service multi-user.target.wants; ln -sf /usr/lib/systemd/system/multi-user.target default.target
    mkdir -p /boot; : >/etc/fstab; echo 0123456789abcdef0123456789abcdef >/etc/machine-id";

/// Mounts the system and what it needs, and starts it.
fn initramfs(root: &Root, kernel: &str) -> Vec<u8> {
    let loads = root.must(&format!("chroot /disk modprobe -S {kernel} -a --show-depends {MODULES}")).unwrap();
    let mut initramfs = Initramfs::new().unwrap();
    let mut insmods = String::new();
    for path in loads.lines().filter_map(|line| line.strip_prefix("insmod ")).map(str::trim) {
        if !insmods.contains(path) {
            initramfs.file(path, &fs::read(&root.view(&format!("/disk{path}"))).unwrap(), 0o644);
            insmods.push_str(&format!("/sbin/insmod {path}\n"));
        }
    }
    let script = format!(
        "{insmods}mkdir /system; mount -t ext4 /dev/vda2 /system; mount -t vfat /dev/vda1 /system/boot
         mount -t efivarfs efivarfs /sys/firmware/efi/efivars
         umount /sys/kernel/security; for one in proc sys dev; do mount --move /$one /system/$one; done
         exec switch_root /system /sbin/init"
    );
    // This script is the first process, as switch_root wants it.
    initramfs
        .with_init(&format!(
            "#!/bin/sh\nexport PATH=/sbin:/bin\nmount -t proc proc /proc\nmount -t sysfs sysfs /sys\n\
         mount -t devtmpfs devtmpfs /dev\nmount -t securityfs securityfs /sys/kernel/security\n{script}\n"
        ))
        .unwrap()
}

/// Puts a file on the boot loader's partition.
fn put(root: &Root, bytes: &[u8], at: &str) {
    fs::write_whole(&root.view("/srv/file"), bytes, 0o644).unwrap();
    root.must(&format!("mcopy -o -i /srv/disk@@1M /srv/file ::{at}")).unwrap();
}

fn entries(root: &Root) -> String {
    root.must("mdir -b -i /srv/disk@@1M ::loader/entries").unwrap()
}

#[test]
#[ignore = "full tier"]
fn a_kernel_without_a_critical_module_uses_up_its_tries() {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    let system = System::with_systemd_boot(&cache, &kernels).unwrap();
    let root = system.root();
    let Kernels { first, second } = &kernels;
    // Both are installed, one of them as its package leaves it, as far as this system needs that.
    let image = setup::image(&cache, second).unwrap();
    for folder in FOLDERS.map(|folder| format!("kernel/{folder}")) {
        let to = root.view(&format!("/disk/usr/lib/modules/{second}/{folder}"));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy_tree(&image.join(&folder), &to, fs::Ownership::Kept).unwrap();
    }
    for kernel in [first, second] {
        copy_headers(root, kernel, "/disk").unwrap();
    }
    system
        .must(
            "for k in $K $K2; do mkdir -p /lib/modules/$k; ln -s /usr/src/linux-headers-$k /lib/modules/$k/build
             for list in order builtin builtin.modinfo; do : >/lib/modules/$k/modules.$list; done; depmod $k; done",
        )
        .unwrap();
    system.install_dkms(&cache, env!("CARGO_BIN_EXE_dkms-under-test")).unwrap();
    system.write("/etc/systemd/system/report.service", REPORT.as_bytes()).unwrap();
    system
        .must(
            "dkms install foo/1.0 -k $K; mv /srv/ready/foo.ko.$K2 /srv/kept; echo boot_guard=hold >>/etc/dkms/framework.conf",
        )
        .unwrap();
    system.must(SMALL).unwrap();
    // The other one only says that it has booted.
    let other = Kernel::new(&cache, second, "cat /proc/cmdline").unwrap();
    put(root, &fs::read(&other.vmlinuz).unwrap(), "vmlinuz");
    put(root, &other.initramfs, "other.img");
    put(root, &initramfs(root, second), "system.img");
    for (kernel, tries, initrd) in [(first, "", "other.img"), (second, "+1", "system.img")] {
        let entry = format!(
            "title Debian\nsort-key debian\nversion {kernel}\nlinux /vmlinuz\ninitrd /{initrd}\n\
             options console=ttyS0 quiet panic=-1 no_timer_check systemd.gpt_auto=0 kernel={kernel}\n"
        );
        put(root, entry.as_bytes(), &format!("loader/entries/token-{kernel}{tries}.conf"));
    }

    assert_eq!(system.booted("kernel").unwrap(), *second, "the newest has a try");
    let report = root.read("/disk/srv/report").unwrap();
    assert!(
        report.starts_with("dkms-fit.service: failed\nsystemd-bless-boot.service: inactive\n"),
        "{report}"
    );
    assert!(report.contains("foo/1.0 (CRITICAL=yes"), "{report}");
    assert!(entries(root).contains(&format!("token-{second}+0-1.conf")), "{}", entries(root));
    assert_eq!(system.booted("kernel").unwrap(), *first, "its tries are used up");

    // The module comes, and the entry is written again.
    system.must("mv /srv/kept /srv/ready/foo.ko.$K2; dkms install foo/1.0 -k $K2").unwrap();
    root.must(&format!(
        "mren -i /srv/disk@@1M ::loader/entries/token-{second}+0-1.conf token-{second}+1.conf"
    ))
    .unwrap();
    assert_eq!(system.booted("kernel").unwrap(), *second, "with its module");
    let report = root.read("/disk/srv/report").unwrap();
    assert!(report.starts_with("dkms-fit.service: active\nsystemd-bless-boot.service: active\n"), "{report}");
    assert!(entries(root).contains(&format!("token-{second}.conf")), "{}", entries(root));
}
