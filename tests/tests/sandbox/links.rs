//! Links in a source, and links that a build leaves where root will write or read.

use dkms_tests::root::Root;
use dkms_tests::tier::part;

use super::attempt::{SECRET, alone, honest_bytes, install_both, root, write_evil};

fn unharmed(root: &Root, touched: &[String]) {
    assert_eq!(touched, [] as [String; 0]);
    assert!(honest_bytes(root) == alone());
    let everything =
        root.must("grep -rl hic-sunt-dracones /var/lib/dkms /lib/modules/$K 2>/dev/null || true").unwrap();
    assert_eq!(everything, "/var/lib/dkms/mok.key\n", "{SECRET} got out");
}

#[test]
fn links_in_the_source() {
    let root = root();
    write_evil(&root, "echo x >out/x; echo x >file; echo x >>make.log.link; cp evil.c out/; true");
    root.must(
        "cd /usr/src/evil-1.0; mkdir /etc/target; echo keep >/etc/target/file; chmod 777 /etc/target
         ln -s /etc/target out; ln -s /etc/target/file file; ln -s /etc/target patches; ln -s /etc/target/file make.log
         ln -s /etc/target/file make.log.link; ln -s /etc/target/file evil.ko; ln -s /etc/my-own.key Module.symvers
         mkdir -p /etc/dkms/evil/patches; echo patch >/etc/dkms/evil/patches/file; echo patch >/etc/dkms/evil/patches/more",
    )
    .unwrap();
    let tried = install_both(&root, "");
    unharmed(&root, &tried.touched);
    assert_eq!(root.must("cat /etc/target/*; ls /etc/target").unwrap(), "keep\nfile\n");
}

#[test]
fn links_that_a_build_leaves() {
    let set_ups = vec![
        "ln -sf /etc/my-own.key evil.ko; touch -h evil.ko",
        "ln -sf /etc/my-own.key Module.symvers",
        "rm -f make.log; ln -s /etc/my-own.key make.log",
        "for e in xz gz zst '~signed~' '~' tmp; do ln -sf /etc/target/new evil.ko.$e; done; mkfifo evil.ko.fifo evil.ko~",
        "mv evil.ko sub.ko; mkdir sub; mv sub.ko sub/evil.ko; rm -rf link; ln -s sub link; ln -s sub/evil.ko evil.ko",
        "rm -rf ./* 2>/dev/null; ln -s /etc build; ln -s / evil.ko",
    ];
    for set_up in part(set_ups, 2) {
        let root = root();
        // After the compiler: what MAKE leaves is what root takes.
        write_evil(&root, "true");
        root.write("/usr/src/evil-1.0/set-up.sh", &format!("{set_up}\n"), 0o755).unwrap();
        root.must("mkdir /etc/target; chmod 777 /etc/target; echo 'MAKE[0]=\"make -C $kernel_source_dir M=$dkms_tree/evil/1.0/build; bash ./set-up.sh\"' >>/usr/src/evil-1.0/dkms.conf
                   mkdir -p /lib/modules/$K/kernel; : >/lib/modules/$K/kernel/a.ko.xz")
            .unwrap();
        let tried = install_both(&root, "");
        let touched: Vec<String> =
            tried.touched.into_iter().filter(|path| path.ends_with("/etc/target")).collect();
        assert_eq!(touched, [] as [String; 0], "{set_up}");
        assert_eq!(root.must("ls /etc/target").unwrap(), "", "{set_up}");
        let found = root
            .must("cat /etc/my-own.key; grep -rl hic-sunt-dracones /var/lib/dkms /lib/modules/$K 2>/dev/null || true")
            .unwrap();
        assert_eq!(found, format!("{SECRET}\n/var/lib/dkms/mok.key\n"), "{set_up}: {}", tried.output.stderr);
        let status = root.dkms("status").unwrap().stdout;
        assert!(status.contains("honest/1.0") && status.contains(": installed"), "{set_up}: {status}");
    }
}

#[test]
fn a_failed_build_leaves_its_folder_to_root() {
    let root = root();
    write_evil(&root, "cp /bin/true suid; chmod 6755 suid; mkdir -m 2777 open; true");
    root.must("echo 'garbage garbage' >>/usr/src/evil-1.0/evil.c; chown 1234:1235 /usr/src/evil-1.0/try.sh")
        .unwrap();
    let tried = install_both(&root, "");
    assert!(tried.output.code != 0);
    let kept = root.must("cd /var/lib/dkms/evil/1.0/build; find . ! -user root -printf '%p %U:%G %m\\n'; stat -c '%a %U' suid").unwrap();
    assert_eq!(kept, "755 root\n");
    assert!(honest_bytes(&root) == alone());
}
