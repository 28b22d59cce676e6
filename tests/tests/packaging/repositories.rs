//! Repositories that usual programs make of our packages: in each, the package of `--meta` holds the kernel
//! back until the module for it is published; then both come in one run.

use dkms_tests::cache::Cache;
use dkms_tests::root::{Root, User};
use dkms_tests::setup::base;
use dkms_tests::setup::systems::BARES;

use super::common::hand_over;
use super::gates::{NEW, OLD, made_debs};

/// A program, what is done first, what publishes the packages of `$s`, and the folder that is published.
const REPOSITORIES: [(&str, &str, &str, &str); 3] = [
    (
        "reprepro",
        "mkdir -p /srv/reprepro/conf; printf 'Codename: stable\\nComponents: main\\nArchitectures: amd64\\n' >/srv/reprepro/conf/distributions",
        "reprepro -b /srv/reprepro -S misc -P optional includedeb stable /srv/$s/*.deb",
        "/srv/reprepro",
    ),
    (
        "aptly",
        "echo '{\"rootDir\": \"/srv/aptly\", \"architectures\": [\"amd64\"]}' >/srv/aptly.conf
         aptly -config=/srv/aptly.conf repo create -distribution=stable kmods",
        "aptly -config=/srv/aptly.conf repo add kmods /srv/$s/*.deb
         aptly -config=/srv/aptly.conf publish update -skip-signing stable || aptly -config=/srv/aptly.conf publish repo -skip-signing kmods",
        "/srv/aptly/public",
    ),
    (
        "apt-ftparchive",
        "mkdir -p /srv/plain/pool /srv/plain/dists/stable/main/binary-amd64",
        "cp /srv/$s/*.deb /srv/plain/pool; cd /srv/plain; apt-ftparchive packages pool >dists/stable/main/binary-amd64/Packages
         rm -f dists/stable/Release; apt-ftparchive release dists/stable >/srv/Release; mv /srv/Release dists/stable",
        "/srv/plain",
    ),
];

#[test]
#[ignore = "full tier"]
fn each_kind_of_repository_holds_the_kernel_back_until_its_module_is_there() {
    let made = made_debs().unwrap();
    let cache = Cache::open().unwrap();
    for (program, begin, add, public) in REPOSITORIES {
        made.must(begin).unwrap();
        let root = Root::of(&cache, &base(&cache, &BARES[0]).unwrap(), &[]).unwrap();
        root.must("rm -f /etc/apt/sources.list; rm -rf /etc/apt/sources.list.d/*; echo 'deb [trusted=yes] file:/srv/repo stable main' >/etc/apt/sources.list.d/t.list").unwrap();
        root.write("/usr/sbin/update-initramfs", "#!/bin/sh\n", 0o755).unwrap();
        let publish = |steps: &str| {
            made.must(&format!(
                "for s in {steps}; do {add}\ndone >/dev/null 2>&1; tar cf /srv/repo.tar -C {public} ."
            ))
            .unwrap();
            hand_over(&made, "/srv/repo.tar", &root, "repo.tar").unwrap();
            root.must("rm -rf /srv/repo; mkdir /srv/repo; tar xf /srv/repo.tar -C /srv/repo; apt-get -qq update 2>&1").unwrap();
        };
        let apt = |words: &str| {
            let line =
                format!("DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Dpkg::Use-Pty=0 {words} 2>&1");
            let run = root.shell(&line, User::Root, "/").unwrap();
            assert_eq!(run.code, 0, "{program}: {words}: {run:?}");
        };
        let there = || {
            root.must("dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n' 'linux-image-*' 'foo-*' | grep ' installed$' | sed 's/ installed//'").unwrap()
        };
        publish("1");
        apt("install linux-image-test foo-modules-test");
        let first = there();
        assert!(
            first.contains(&format!("foo-modules-{OLD} 1.0\n")) && !first.contains(NEW),
            "{program}: {first}"
        );
        publish("2");
        apt("full-upgrade");
        assert_eq!(there(), first, "{program}: the kernel waits for its module");
        publish("3");
        apt("full-upgrade");
        let both = there();
        for line in [
            format!("foo-modules-{OLD} 1.0\n"),
            format!("foo-modules-{NEW} 1.0\n"),
            "foo-modules-test 1.0+6.1.7-2\n".to_owned(),
            format!("linux-image-{NEW} 6.1.7-2\n"),
        ] {
            assert!(both.contains(&line), "{program}: {both}");
        }
        publish("4");
        apt("full-upgrade");
        let newer = there();
        assert!(
            newer.contains(&format!("foo-modules-{OLD} 1.1\nfoo-modules-{NEW} 1.1\n")),
            "{program}: {newer}"
        );
        apt("autoremove -o APT::Protect-Kernels=false");
        assert!(!there().contains(OLD), "{program}: {}", there());
    }
}
