//! Our own rpm: as rpmbuild makes it, as rpmlint wants it, and in the place of the distribution's.

use std::path::Path;

use dkms_tests::command::must;
use dkms_tests::rpm::{Suite, World, package, tree};

use super::{PROGRAM, run};

fn query(package: &Path, words: &[&str]) -> String {
    let path = package.to_string_lossy();
    let words: Vec<&str> = ["-qp"].into_iter().chain(words.iter().copied()).chain([path.as_ref()]).collect();
    must("rpm", &words, Path::new("/")).unwrap()
}

/// Scripts and triggers, each path of a trigger for itself.
fn scripts(package: &Path) -> Vec<String> {
    let mut all = vec![query(package, &["--scripts"]), query(package, &["--triggers"])];
    let triggers = query(package, &["--filetriggers"]);
    let mut heads: Vec<&str> = Vec::new();
    let mut found: Vec<(String, String)> = Vec::new();
    for line in triggers.lines() {
        if let Some((head, paths)) = line.split_once(" scriptlet (using /bin/sh) -- ") {
            heads = paths.split(", ").collect();
            found.extend(heads.iter().map(|path| (format!("{head} {path}"), String::new())));
        } else {
            let last = found.len() - heads.len();
            found[last..].iter_mut().for_each(|(_, script)| script.push_str(&format!("{line}\n")));
        }
    }
    let mut found: Vec<String> =
        found.into_iter().map(|(head, script)| format!("{head}\n{}", script.trim())).collect();
    found.sort();
    all.extend(found);
    all.iter().map(|text| text.trim().to_owned()).collect()
}

#[test]
fn rpmbuild_makes_the_same() {
    let ours = package(PROGRAM).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let programs = dir.path().join("programs");
    dkms_base::host::fs::create_dir_all(&programs).unwrap();
    let built = Path::new(PROGRAM).parent().unwrap();
    for name in ["dkms", "dkms-fetch", "hooks-dnf", "dkms-release"] {
        let from = built.join(format!("{name}-under-test"));
        let to = programs.join(name);
        must("strip", &["-s", "-o", &to.to_string_lossy(), &from.to_string_lossy()], Path::new("/")).unwrap();
    }
    let top = format!("_topdir {}", dir.path().display());
    let places = format!("programs {}", programs.display());
    let words = ["-bb", "--build-in-place", "--nodeps", "--noprep", "--define", &top, "--define", &places];
    let words: Vec<&str> =
        words.into_iter().chain(["--define", "_binary_payload w1.gzdio", "packaging/dkms.spec"]).collect();
    let tree = tree().unwrap();
    must("rpmbuild", &words, &tree).unwrap();
    // What %install left in the tree.
    dkms_base::host::fs::remove_any(&tree.join("dkms.files")).unwrap();
    let theirs = dir.path().join("RPMS/x86_64/dkms-4.0.0-1.x86_64.rpm");
    let files = ["--qf", "[%{FILEMODES:perms} %{FILEFLAGS:fflags} %{FILENAMES}\\n]"];
    assert_eq!(query(&ours, &files), query(&theirs, &files));
    assert_eq!(scripts(&ours), scripts(&theirs));
    let about = [
        "--qf",
        "%{NAME} %{EVR} %{ARCH} %{LICENSE} %{SUMMARY}\\n[%{OBSOLETES} %{CONFLICTS}\\n]%{DESCRIPTION}\\n",
    ];
    assert_eq!(query(&ours, &about), query(&theirs, &about));
    let asked = |package: &Path| {
        let needs = query(package, &["--requires"]);
        let is_plain = |line: &&str| !line.contains('(') && !line.starts_with('/');
        let mut needs: Vec<String> =
            needs.lines().filter(is_plain).map(|line| line.trim().to_owned()).collect();
        needs.sort();
        needs.dedup();
        needs
    };
    assert_eq!(asked(&ours), asked(&theirs));
}

#[test]
fn rpmlint_has_no_error() {
    let ours = package(PROGRAM).unwrap();
    let said = must("sh", &["-c", &format!("rpmlint {} || :", ours.display())], Path::new("/")).unwrap();
    // Who signs packages is no part of us.
    let errors: Vec<&str> =
        said.lines().filter(|line| line.contains(": E: ") && !line.contains("no-signature")).collect();
    assert!(errors.is_empty() && said.contains("1 packages"), "{said}");
}

#[test]
fn in_the_place_of_the_distributions() {
    let world = World::bare(Suite::Bookworm, PROGRAM).unwrap();
    let spec = "Name: NAME\nVersion: 3.2.2\nRelease: 1\nSummary: x\nLicense: GPL\nBuildArch: noarch\nAutoReqProv: no\n%description\nx\n\
                %install\nmkdir -p %{buildroot}/usr/sbin %{buildroot}/usr/lib/kernel/install.d %{buildroot}/etc/dkms\n\
                echo x >%{buildroot}/usr/sbin/NAME; echo x >%{buildroot}/usr/lib/kernel/install.d/40-NAME.install\n\
                echo '# mine' >%{buildroot}/etc/dkms/NAME.conf\n%files\n/usr/sbin/NAME\n/usr/lib/kernel/install.d/40-NAME.install\n\
                %config(noreplace) /etc/dkms/NAME.conf\n";
    for name in ["dkms", "dkms-minimal"] {
        world.root.write("/srv/old.spec", &spec.replace("NAME", name), 0o644).unwrap();
        run(
            &world,
            "rpmbuild --quiet -bb --define '_topdir /tmp/rpm' --define '_rpmdir /srv/old' /srv/old.spec >/dev/null && rpm -i /srv/old/noarch/*.rpm && rm -r /srv/old",
        );
    }
    run(&world, "cp /srv/dkms.rpm /srv/repo/ && rm -rf /srv/repo/repodata && createrepo_c -q /srv/repo");
    let said = run(&world, "dnf -y upgrade dkms");
    let installed = world.must("rpm -qa | grep dkms; rpm -V dkms").unwrap();
    assert_eq!(installed.trim(), "dkms-4.0.0-1.x86_64", "{said}");
    assert!(run(&world, "dkms --version").contains("dkms-4.0.0"), "{said}");
    assert!(run(&world, "ls -l /usr/lib/python3/dist-packages/dnf-plugins").contains("dkms.py ->"));
    let said = run(&world, "dnf -y remove dkms");
    let left = world.must("find /usr/lib/python3/dist-packages/dnf-plugins -name 'dkms*'").unwrap();
    assert_eq!(left, "", "{said}");
    assert_eq!(world.must("find /usr/sbin/dkms /usr/libexec/dkms 2>/dev/null || :").unwrap(), "", "{said}");
}
