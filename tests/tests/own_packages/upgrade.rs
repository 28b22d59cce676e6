//! From Debian's dkms to ours and back, with modules installed: nothing is asked, nothing is
//! lost, nothing is left.

use anyhow::Result;
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::debs;
use dkms_tests::root::Root;

fn root(cache: &Cache, oracle: Oracle) -> Result<Root> {
    let root = debs::debian(cache, oracle)?;
    debs::ours(cache, env!("CARGO_BIN_EXE_dkms-under-test"))?.put_into(&root)?;
    Ok(root)
}

/// Everything that a module's user would miss.
const STATE: &str = "dkms status | sort; cd /; find /var/lib/dkms lib/modules/*/updates -name '*.ko*' -type f | sort | xargs sha256sum;
    find /var/lib/dkms -maxdepth 3 -not -path '*/.*' | sort; grep -h dkms /lib/modules/*/modules.dep | sort; ls /usr/src";

/// What is not as dpkg wants it, or was put aside.
const FAULTS: &str = "dpkg --audit; dpkg --verify dkms dh-dkms; find / -xdev -name '*.dpkg-*' -not -path '/usr/*' -not -path '/var/lib/dpkg/*'";

const INSTALL: &str = "DEBIAN_FRONTEND=noninteractive dpkg -i";

#[test]
fn bookworms_dkms_is_replaced_and_comes_back() {
    debians_dkms_is_replaced_and_comes_back(Oracle::Bookworm);
}

#[test]
#[ignore = "full tier"]
fn trixies_dkms_is_replaced_and_comes_back() {
    debians_dkms_is_replaced_and_comes_back(Oracle::Trixie);
}

fn debians_dkms_is_replaced_and_comes_back(oracle: Oracle) {
    let cache = Cache::open().unwrap();
    let suite = oracle.suite();
    let root = root(&cache, oracle).unwrap();
    let before = root.must(STATE).unwrap();
    assert!(before.contains("dm-writeboost/") && before.contains("hand/1.0"), "{suite}: {before}");
    let conffiles = "dpkg-query -W -f '${Conffiles}\\n' dkms";

    let log = root.must(&format!("{INSTALL} /srv/ours/*.deb 2>&1 </dev/null")).unwrap();
    assert!(!log.contains("Configuration file"), "{suite}: {log}");
    assert_eq!(root.must("dkms --version").unwrap().trim(), "dkms-4.0.0");
    assert_eq!(root.must(STATE).unwrap(), before, "{suite}: {log}");
    assert_eq!(root.must(FAULTS).unwrap(), "", "{suite}: {log}");
    let kept = root.must(conffiles).unwrap();
    assert!(!kept.contains("obsolete"), "{suite}: {kept}");

    let log = root.must(&format!("{INSTALL} /srv/*.deb 2>&1 </dev/null")).unwrap();
    assert!(!log.contains("Configuration file"), "{suite}: {log}");
    assert!(root.must("dkms --version").unwrap().contains("3."), "{suite}");
    assert_eq!(root.must(STATE).unwrap(), before, "{suite}: {log}");
    assert_eq!(root.must(FAULTS).unwrap(), "", "{suite}: {log}");
    root.must("test ! -e /etc/apt/apt.conf.d/zz-dkms; apt-get check").unwrap();

    // And once more, as a user does who only had a look.
    root.must(&format!("{INSTALL} /srv/ours/*.deb 2>&1 </dev/null")).unwrap();
    assert_eq!(root.must(STATE).unwrap(), before, "{suite}");
    assert_eq!(root.must(FAULTS).unwrap(), "", "{suite}");
}

#[test]
fn what_an_administrator_changed_is_kept() {
    let cache = Cache::open().unwrap();
    let root = root(&cache, Oracle::Bookworm).unwrap();
    root.must("echo 'parallel_jobs=1' >>/etc/dkms/framework.conf; echo '# mine' >>/etc/modprobe.d/dkms.conf; echo x=1 >/etc/dkms/hand.conf").unwrap();
    let files = "cat /etc/dkms/framework.conf /etc/modprobe.d/dkms.conf /etc/dkms/hand.conf";
    let before = root.must(files).unwrap();
    for debs in ["/srv/ours/*.deb", "/srv/*.deb"] {
        root.must(&format!("{INSTALL} --force-confold {debs} 2>&1 </dev/null")).unwrap();
        assert_eq!(root.must(files).unwrap(), before);
    }
}

#[test]
fn purged_nothing_of_ours_is_left() {
    let cache = Cache::open().unwrap();
    for oracle in Oracle::ALL {
        let root = root(&cache, oracle).unwrap();
        let suite = oracle.suite();
        root.must(&format!("{INSTALL} /srv/ours/*.deb 2>&1 </dev/null")).unwrap();
        root.must("dpkg -r dm-writeboost-dkms 2>&1; dpkg -r dkms dh-dkms 2>&1").unwrap();
        // Removed, not purged: kernels and apt go on without us, and what is installed stays.
        root.must("for hook in /etc/kernel/*/dkms; do $hook 6.1.0 /boot/vmlinuz-6.1.0; done; apt-get check; ls /lib/modules/*/updates/dkms/hand.ko*").unwrap();
        root.must("dpkg -P dkms dh-dkms 2>&1").unwrap();
        let left = root
            .must(
                "find / -xdev \\( -path /proc -o -path /var/lib/dpkg -o -path /var/cache -o -path /srv -o -path /var/log -o -path /usr/share/doc -o -path /usr/src/hand-1.0 \\) -prune \
                 -o \\( -iname '*dkms*' -o -name 'hand.ko*' \\) -print; grep -l 'hand' /lib/modules/*/modules.dep || true",
            )
            .unwrap();
        assert_eq!(left, "", "{suite}");
    }
}
