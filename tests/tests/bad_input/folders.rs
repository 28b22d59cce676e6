//! Folders that can't be read or written: by nobody, or by root on something that is mounted read-only.

use super::Case;

const ADDED: &[&str] = &["/var/lib/dkms/foo"];

/// Makes a folder read-only, for root too.
fn frozen(dir: &str) -> String {
    format!("mount --bind {dir} {dir}; mount -o remount,bind,ro {dir}")
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for words in ["add foo/1.0", "build foo/1.0 -k $K", "unbuild foo/1.0 -k $K", "remove foo/1.0 --all"] {
        cases
            .push(Case::new(format!("nobody: {words}")).by_nobody().dkms(words).fails(1, &["/var/lib/dkms"]));
    }
    for words in [
        "install foo/1.0 -k $K",
        "uninstall foo/1.0 -k $K",
        "autoinstall -k $K",
        "kernel_prerm -k $K",
        "generate_mok",
    ] {
        cases.push(Case::new(format!("nobody: {words}")).by_nobody().dkms(words).fails(1, &["root"]));
    }
    let own_tree = "mkdir -p /t/tree; chown nobody /t/tree";
    let in_own_tree = |name: &str, line: &str| {
        let words = "build foo/1.0 -k $K --dkmstree /t/tree";
        Case::new(format!("nobody, in a tree of their own, {name}"))
            .sh(&format!("{own_tree}; {line}"))
            .by_nobody()
            .dkms(words)
    };
    cases.extend([
        in_own_tree("works", "true").changes(&["/t/tree/foo"]),
        in_own_tree("an unreadable conf", "chmod 0 /usr/src/foo-1.0/dkms.conf")
            .fails(8, &["/usr/src/foo-1.0/dkms.conf"]),
        in_own_tree("an unreadable source file", "chmod 0 /usr/src/foo-1.0/foo.c")
            .fails(1, &["/usr/src/foo-1.0/foo.c"])
            .changes(&["/t/tree/foo"]),
        in_own_tree("an unreadable source folder", "chmod 0 /usr/src/foo-1.0")
            .fails(8, &["/usr/src/foo-1.0"]),
        in_own_tree("an unreadable module folder", "mkdir -m 0 /t/tree/foo").fails(1, &["/t/tree/foo"]),
        in_own_tree("an unreadable kernel folder", "chmod 0 /lib/modules/$K").fails(1, &["/lib/modules/$K"]),
        in_own_tree("an unreadable framework.conf", "chmod 0 /etc/dkms/framework.conf")
            .fails(8, &["/etc/dkms/framework.conf"]),
        in_own_tree("an unwritable module folder", "dkms add foo/1.0 --dkmstree /t/tree")
            .fails(1, &["/t/tree/foo"]),
    ]);
    let installed = "dkms install foo/1.0 -k $K >/dev/null";
    for words in ["add foo/1.0", "build foo/1.0 -k $K", "install foo/1.0 -k $K"] {
        let case = Case::new(format!("a read-only tree: {words}")).sh(&frozen("/var/lib/dkms")).dkms(words);
        cases.push(case.fails(1, &["/var/lib/dkms"]));
    }
    // With nothing to do, as on an image whose modules were built with it, there is nothing to fail.
    let case = Case::new("a read-only tree: autoinstall of a module").sh("dkms add foo/1.0 >/dev/null");
    cases.push(case.sh(&frozen("/var/lib/dkms")).dkms("autoinstall -k $K").fails(1, &["/var/lib/dkms"]));
    for words in
        ["uninstall foo/1.0 -k $K", "unbuild foo/1.0 -k $K", "remove foo/1.0 --all", "kernel_prerm -k $K"]
    {
        let case = Case::new(format!("a tree become read-only: {words}"));
        cases.push(case.sh(installed).sh(&frozen("/var/lib/dkms")).dkms(words).fails(1, &["/var/lib/dkms"]));
    }
    let new_folder = "cp -a /usr/src/foo-1.0 /srv/new; rm -r /usr/src/foo-1.0";
    let modules = frozen("$(readlink -f /lib/modules)");
    cases.extend([
        Case::new("a read-only source tree: add a folder")
            .sh(new_folder)
            .sh(&frozen("/usr/src"))
            .dkms("add /srv/new")
            .fails(1, &["/usr/src"]),
        Case::new("a read-only module tree: install")
            .sh(&modules)
            .dkms("install foo/1.0 -k $K")
            .fails(6, &["foo/1.0", "/lib/modules/$K"])
            .changes(ADDED),
        Case::new("a read-only module tree: uninstall")
            .sh(installed)
            .sh(&modules)
            .dkms("uninstall foo/1.0 -k $K")
            .fails(6, &["foo/1.0", "/lib/modules/$K"]),
        Case::new("a read-only module tree: remove")
            .sh(installed)
            .sh(&modules)
            .dkms("remove foo/1.0 --all")
            .fails(6, &["foo/1.0", "/lib/modules/$K"]),
        Case::new("no tree").sh("rmdir /var/lib/dkms").fails(1, &["/var/lib/dkms"]),
        Case::new("a tree that is a file").sh(": >/srv/tree").dkms("add foo/1.0 --dkmstree /srv/tree").fails(1, &["/srv/tree"]),
        Case::new("a tree that is a dangling link")
            .sh("rmdir /var/lib/dkms; ln -s /gone /var/lib/dkms")
            .fails(1, &["/var/lib/dkms"]),
        Case::new("--dkmstree to nothing").dkms("add foo/1.0 --dkmstree /gone").fails(1, &["/gone"]),
        Case::new("--sourcetree to nothing").dkms("add foo/1.0 --sourcetree /gone").fails(2, &["/gone/foo-1.0"]),
        Case::new("--installtree to nothing")
            .dkms("install foo/1.0 -k $K --installtree /gone --kernelsourcedir /usr/src/linux-headers-$K")
            .fails(6, &["/gone/$K"])
            .changes(ADDED),
        Case::new("no temporary folder")
            .sh("tar -czf /srv/x.tar.gz -C /usr/src foo-1.0; echo 'tmp_location=/gone' >>/etc/dkms/framework.conf")
            .dkms("add /srv/x.tar.gz")
            .fails(1, &["/gone"]),
    ]);
    cases
}
