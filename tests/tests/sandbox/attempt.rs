//! A malicious module that tries one thing wherever its code runs, and an honest one that is built beside it.

use std::sync::OnceLock;

use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::capture::capture;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready;
use dkms_tests::root::{Output, Root, User};
use dkms_tests::tool::Tool;

/// What stands in everything that nobody may read.
pub(crate) const SECRET: &str = "hic-sunt-dracones";

/// Where the code of a module runs.
const STAGES: [&str; 4] = ["conf", "pre-build", "make", "post-build"];

/// A root with secrets in it, two modules in the tree, and the default settings.
pub(crate) fn root() -> Root {
    let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
    let root = Root::new(&cache, &kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))]).unwrap();
    // What the machine keeps here is its own.
    root.must("mount -t tmpfs -o mode=700 none /root; mount -t tmpfs -o mode=755 none /home; mkdir -p /home/u /etc/ssl/private")
        .unwrap();
    let headers = root.must("readlink -f /lib/modules/$K/build").unwrap();
    for (path, mode) in [
        ("/root/secret", 0o644),
        ("/home/u/secret", 0o644),
        ("/etc/ssl/private/secret", 0o644),
        ("/var/lib/dkms/mok.key", 0o600),
        ("/etc/my-own.key", 0o644),
        (&*format!("{}/certs/signing_key.pem", headers.trim()), 0o644),
    ] {
        root.write(path, &format!("{SECRET}\n"), mode).unwrap();
    }
    let conf = root.read("/etc/dkms/framework.conf").unwrap();
    root.write("/etc/dkms/framework.conf", &format!("{conf}mok_signing_key=/etc/my-own.key\n"), 0o644)
        .unwrap();
    Module::new("honest", "1.0").write_to(&root).unwrap();
    root
}

/// A module that needs no compiler: what it does besides is what is looked at.
pub(crate) fn ready(root: &Root, name: &str) -> Module {
    ready::module(root, name, "1.0").unwrap()
}

/// The module that tries `line`, a piece of bash, in all of its stages. It says `ESCAPED` where it succeeded.
pub(crate) fn write_evil(root: &Root, line: &str) {
    let dir = "/usr/src/evil-1.0";
    Module::new("evil", "1.0")
        .with("said=$(bash /usr/src/evil-1.0/try.sh conf 2>&1 | base64 -w0)")
        .with("PRE_BUILD=\"try.sh pre-build\"")
        .with("POST_BUILD=\"post.sh $said\"")
        .write_to(root)
        .unwrap();
    let script = format!("#!/bin/bash\necho \"tried in $1\"\n{line}\nexit 0\n");
    root.write(&format!("{dir}/try.sh"), &script, 0o755).unwrap();
    let post = "#!/bin/bash\necho \"$1\" | base64 -d\n./try.sh post-build\n";
    root.write(&format!("{dir}/post.sh"), post, 0o755).unwrap();
    let make = "obj-m := evil.o\nifneq ($(M),)\n$(info $(shell cd $(M) && ./try.sh make 2>&1))\nendif\n";
    root.write(&format!("{dir}/Makefile"), make, 0o644).unwrap();
}

/// What both modules were after a run.
pub(crate) struct Tried {
    /// What the command said.
    pub(crate) output: Output,
    /// The log of the malicious one.
    pub(crate) log: String,
    /// Files outside of what an install changes that are new or changed.
    pub(crate) touched: Vec<String>,
}

/// Installs both modules at once. `before` is a shell line that runs in the same shell first.
pub(crate) fn install_both(root: &Root, before: &str) -> Tried {
    root.must("for m in honest evil; do $DKMS add $m/1.0; done; sleep 0.02; touch /tmp/before; sleep 0.02")
        .unwrap();
    let sources = capture(root).unwrap();
    let line = format!("{before}\n\"$DKMS\" autoinstall -k $K");
    let output = root.shell(&line, User::Root, "/").unwrap();
    let kept = |path: &String| path.starts_with("/usr/src/") || path.starts_with("/etc/");
    let after = capture(root).unwrap();
    let changed = sources.iter().filter(|(path, node)| kept(path) && after.get(*path) != Some(node));
    let mut touched: Vec<String> = changed.map(|(path, _)| path.clone()).collect();
    let found = root
        .must(
            "find /etc /usr/src /usr/local /usr/bin /var/lib /boot /root /home /tmp /x /run -xdev -cnewer /tmp/before ! -type d ! -path '/var/lib/dkms/honest/*' ! -path '/var/lib/dkms/evil/*' \
             ! -path '/var/lib/dkms/.state/*' 2>/dev/null || true",
        )
        .unwrap();
    touched.extend(found.lines().map(str::to_owned));
    let log = root.must("cat /var/lib/dkms/evil/1.0/$K/x86_64/log/make.log /var/lib/dkms/evil/1.0/build/make.log 2>/dev/null || true");
    Tried { output, log: log.unwrap(), touched }
}

/// The module that an honest source makes.
pub(crate) fn honest_bytes(root: &Root) -> Vec<u8> {
    fs::read(&root.view(&format!("/lib/modules/{}/updates/dkms/honest.ko", root.kernels().first)))
        .unwrap_or_default()
}

/// The same, with nobody else there.
pub(crate) fn alone() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let root = root();
        root.must("$DKMS install honest/1.0 -k $K").unwrap();
        honest_bytes(&root)
    })
}

/// Tries a line in all stages: it ran in each, and nothing came of it.
pub(crate) fn comes_to_nothing(root: &Root, before: &str, line: &str) -> Tried {
    write_evil(root, line);
    let tried = install_both(root, before);
    let log = &tried.log;
    for stage in STAGES {
        assert!(log.contains(&format!("tried in {stage}")), "not in {stage}: {}\n{log}", tried.output.stderr);
    }
    assert!(!log.contains("ESCAPED"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
    assert!(!log.contains("degraded"), "{log}");
    assert_eq!(tried.touched, Vec::<String>::new(), "{log}");
    assert!(!alone().is_empty());
    assert!(honest_bytes(root) == alone(), "the honest module is another: {}", tried.output.stderr);
    tried
}
