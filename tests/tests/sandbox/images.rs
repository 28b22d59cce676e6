//! What an image that `--root` enters can do to the system outside, and that work on it goes on as before.

use dkms_tests::fixture::Module;
use dkms_tests::root::{Root, User};

use super::attempt::root;
use super::degraded::{Mode, prepare_modes};

/// Runs as the image's root, outside of any sandbox. Says in the image by which ways it got out.
const ATTACK: &str = r#"#!/usr/bin/perl
use Fcntl; use Socket;
sub note { open(my $f, ">>", "/var/tmp/$_[0]"); print $f "$_[1]\n" }
note("tried", "tried");
sub breach { note("breach", $_[0]) }
chomp(my $victim = `cat /etc/victim`);
breach("signals") if kill 0, $victim;
breach("processes") if `cat /proc/[0-9]*/cmdline 2>/dev/null` =~ /sleep\x005160/;
# Ways through what processes have open.
for my $way (glob("/proc/[0-9]*/fd/*"), glob("/proc/[0-9]*/{root,cwd}")) {
    breach("$way leads out") if -e "$way/opt/image/etc";
}
# What the kernel lets its root write.
system("(umount -l /proc/sys; mount -o remount,rw,bind /proc/sys; mount -o remount,rw /proc; mount -o remount,rw /sys;
    mkdir /tmp/p; mount -t proc none /tmp/p; mount -o remount,rw /tmp/p; mount -t sysfs none /mnt) >/dev/null 2>&1");
for (qw(/proc/sys/kernel/core_pattern /tmp/p/sys/kernel/core_pattern /proc/sysrq-trigger /tmp/p/sysrq-trigger
        /sys/kernel/uevent_helper /sys/kernel/mm/ksm/run /mnt/kernel/mm/ksm/run)) {
    breach("kernel") if sysopen(my $f, $_, O_WRONLY);
}
# swapon asks first whether we may.
my $nothing = "/nonexistent";
syscall(167, $nothing, 0);
breach("capabilities") if $! !~ /not permitted/;
breach("mknod") if system("mknod /tmp/node c 1 5 2>/dev/null") == 0;
breach("device") if sysopen(my $f, "/etc/node", O_RDONLY);
breach("kmsg") if sysopen(my $f, "/dev/kmsg", O_WRONLY);
socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, pack("S a*", AF_UNIX, "\0dkms-outside")) and breach("socket");
# A second chroot.
mkdir "/tmp/x";
if (chroot "/tmp/x") { for (1 .. 40) { chdir ".." } chroot "." }
open(F, ">", "/var/tmp/file-of-the-image") and print F "here\n";
"#;

/// A root with an image in `/opt/image`, whose module `im` runs this after it was added.
fn with_image(post_add: &str) -> Root {
    let root = root();
    root.must(
        "mkdir -p /opt/image; cd /opt/image; mkdir -p usr etc/dkms tmp mnt proc sys dev var/lib/dkms var/tmp lib/modules
         mount --bind /usr usr; mount --rbind /usr/src usr/src; mount --bind /lib lib; mount --rbind /dev dev
         mount --bind /lib/modules lib/modules; mount --bind /proc proc; mount -t sysfs none sys
         for d in bin sbin lib64; do ln -s usr/$d $d; done; chmod 1777 tmp var/tmp
         cp -a /etc/passwd /etc/group /etc/os-release /etc/alternatives etc; cp /etc/dkms/framework.conf etc/dkms
         mknod etc/node c 1 5; head -c 1 etc/node >/dev/null",
    )
    .unwrap();
    prepare_modes(&root);
    Module::new("im", "1.0").with("POST_ADD=post.pl").write_to(&root).unwrap();
    root.write("/usr/src/im-1.0/post.pl", post_add, 0o755).unwrap();
    root
}

#[test]
fn an_image_stays_in_its_root() {
    let root = with_image(ATTACK);
    root.must(
        "setsid sleep 5160 >/dev/null 2>&1 & echo $! >/opt/image/etc/victim
         perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, pack(\"S a*\", AF_UNIX, \"\\0dkms-outside\")) or die; listen(S, 5); sleep 1000' >/dev/null 2>&1 &
         sleep 0.3",
    )
    .unwrap();
    for mode in Mode::ALL {
        let (front, is_whole) = (mode.front(), matches!(mode, Mode::Whole | Mode::Chroot));
        // What can't be kept without namespaces; the warning says so.
        let known: &[&str] = match mode {
            Mode::NoNamespaces => &["signals", "processes", "kernel", "device", "kmsg", "socket"],
            _ => &[],
        };
        for words in ["status", "status --json", "add im/1.0 --verbose"] {
            root.must("rm -rf /var/tmp/file-of-the-image /opt/image/var/tmp/* /opt/image/var/lib/dkms/im /opt/image/tmp/*").unwrap();
            let line = format!("exec 9</; {front} \"$DKMS\" --root /opt/image {words}");
            let output = root.shell(&line, User::Root, "/").unwrap();
            assert_eq!(output.code, 0, "{mode:?} {words}: {output:?}");
            let warns = output.stderr.lines().filter(|line| line.contains("may reach the system outside"));
            assert_eq!(warns.count(), usize::from(!is_whole), "{mode:?} {words}: {output:?}");
            let is_chroot = output.stderr.contains("plain chroot");
            assert_eq!(is_chroot, mode == Mode::NoNamespaces, "{mode:?} {words}: {output:?}");
            assert!(root.open("/var/tmp/file-of-the-image").unwrap().is_none(), "{mode:?} {words}");
            let has_tried = root.open("/opt/image/var/tmp/tried").unwrap().is_some();
            assert_eq!(has_tried, words.starts_with("add"), "{mode:?} {words}: {output:?}");
            let breaches = root.read("/opt/image/var/tmp/breach").unwrap();
            let new: Vec<&str> = breaches.lines().filter(|breach| !known.contains(breach)).collect();
            assert_eq!(new, Vec::<&str>::new(), "{mode:?} {words}");
        }
        // What it is there for.
        let line = format!("{front} \"$DKMS\" --root /opt/image install im/1.0 -k $K --force");
        let output = root.shell(&line, User::Root, "/").unwrap();
        assert_eq!(output.code, 0, "{mode:?}: {output:?}");
        let log = root.must("cat /opt/image/var/lib/dkms/im/1.0/$K/x86_64/log/make.log").unwrap();
        assert_eq!(log.contains("degraded"), !is_whole, "{mode:?}: {log}");
        root.must("test -f /lib/modules/$K/updates/dkms/im.ko").unwrap();
        let line = format!("{front} \"$DKMS\" --root /opt/image remove im/1.0 --all");
        assert_eq!(root.shell(&line, User::Root, "/").unwrap().code, 0, "{mode:?}");
    }
}

#[test]
fn what_runs_in_an_image_ends_with_its_command() {
    let root = with_image("#!/bin/sh\nsetsid sleep 5161 >/dev/null 2>&1 &\nsleep 5161\n");
    for (signal, code) in [("TERM", 130), ("KILL", 137)] {
        let line = format!(
            "rm -rf /opt/image/var/lib/dkms/im; \"$DKMS\" --root /opt/image add im/1.0 >/dev/null 2>&1 & p=$!; i=0
             until [ \"$(pgrep -cf '^sleep 5161')\" = 2 ]; do sleep 0.1; i=$((i + 1)); [ $i -lt 300 ] || exit 99; done
             kill -{signal} $p; code=0; wait $p || code=$?; i=0
             while pgrep -f '^sleep 5161' >/dev/null && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
             pgrep -af '^sleep 5161'; echo $code"
        );
        let output = root.shell(&line, User::Root, "/").unwrap();
        assert_eq!(output.stdout, format!("{code}\n"), "{signal}: {output:?}");
    }
    // The next command goes on.
    root.must("rm -rf /opt/image/var/lib/dkms/im; echo '#!/bin/sh' >/usr/src/im-1.0/post.pl; $DKMS --root /opt/image add im/1.0; $DKMS --root /opt/image remove im/1.0 --all").unwrap();
}

/// A key that is made in an image is in every copy of it: with the default settings none is, by whatever one
/// sees that it is an image; `generate_mok` makes one and says where it lies.
#[test]
fn no_key_is_made_where_everybody_gets_a_copy() {
    let root = with_image("#!/bin/sh\n");
    for file in ["/etc/dkms/framework.conf", "/opt/image/etc/dkms/framework.conf"] {
        root.write(file, "", 0o644).unwrap();
    }
    root.must("rm -f /var/lib/dkms/mok.*; $DKMS add honest/1.0; $DKMS --root /opt/image add im/1.0").unwrap();
    let keys = || root.must("find /var/lib/dkms /opt/image/var/lib/dkms -maxdepth 1 -name 'mok.*'").unwrap();
    let build = "build honest/1.0 -k $K --force";
    let marks =
        ["/run/.containerenv", "/.dockerenv", "/run/systemd/container", "/run/host/container-manager"].map(
            |mark| {
                (format!("mkdir -p /run/systemd /run/host; : >{mark}; trap 'rm {mark}' EXIT;"), build, mark)
            },
        );
    let others = [
        // The kernel of the machine is none of the root's.
        (Mode::Chroot.front(), build, "is not one of this system's"),
        ("container=mkosi".to_owned(), build, "container=mkosi"),
        // Only the first process of the container knows.
        (
            "container=podman unshare --pid --fork --mount-proc sh -c '\"$0\" \"$@\"; exit $?' env -u container".to_owned(),
            build,
            "container=podman",
        ),
        (String::new(), "--root /opt/image build im/1.0 -k $K --force", "below `--root`"),
    ];
    let mut wrong = Vec::new();
    for (front, words, sign) in others.into_iter().chain(marks) {
        let output = root.shell(&format!("{front} \"$DKMS\" {words}"), User::Root, "/").unwrap();
        let line = output.stderr.lines().find(|line| line.contains("no key is made in an image"));
        if output.code != 0 || !keys().is_empty() || !line.is_some_and(|line| line.contains(sign)) {
            wrong.push(format!("{front} {words}: {output:?} {}", keys()));
        }
        root.must("rm -f /var/lib/dkms/mok.* /opt/image/var/lib/dkms/mok.*").unwrap();
    }
    assert_eq!(wrong, Vec::<String>::new());
    let output = root.shell("container=mkosi \"$DKMS\" generate_mok", User::Root, "/").unwrap();
    assert!(
        output.code == 0 && output.stderr.contains("`/var/lib/dkms/mok.key` lies in an image"),
        "{output:?}"
    );
    // Where nothing shows that it is an image, the first build makes one.
    root.must(&format!("rm -f /var/lib/dkms/mok.*; $DKMS {build}")).unwrap();
    assert_eq!(keys().lines().count(), 2, "{}", keys());
}
