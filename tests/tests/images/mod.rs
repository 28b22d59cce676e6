//! `dkms bake` as a step of image builds, with the programs that build images: mmdebstrap, buildah, mkosi,
//! ostree, and a user without any rights but those over a namespace.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod containers;
mod deployments;
mod mkosi;
mod mmdebstrap;
mod unprivileged;

use dkms_tests::apt::Package;
use dkms_tests::cache::Cache;
use dkms_tests::debs;
use dkms_tests::fixture::Module;
use dkms_tests::root::Root;
use dkms_tests::setup::{Base, base};
use dkms_tests::tool::Tool;

const IMAGES: Base = Base {
    name: "images-trixie",
    suite: "trixie",
    include: &["gcc", "make", "patch", "kmod", "openssl", "jq", "iproute2"],
    script: include_str!("base.sh"),
};

/// A file of the image build that fails foo on purpose: its name, and lines of its dkms.conf.
const BROKEN: [(&str, &[&str]); 2] = [
    ("broken", &["MAKE=\"sh -c 'echo foo.c:1: error: no such thing; exit 2'\""]),
    (
        "lost",
        &[
            "PRE_BUILD=\"lose.sh\"",
            "MAKE=\"make KBUILD_MODPOST_WARN=1 -C $kernel_source_dir M=$dkms_tree/foo/1.0/build\"",
        ],
    ),
];

/// Uses a function that no kernel has.
const LOSE: &str = "#!/bin/sh\necho 'void nobody_has(void); int lost(void); int lost(void) { nobody_has(); return 0; }' >>foo.c\n";

/// A machine that builds images, with our dkms, packages of it and of foo, and a key.
fn builder() -> Root {
    let cache = Cache::open().unwrap();
    let system = base(&cache, &IMAGES).unwrap();
    let dkms = env!("CARGO_BIN_EXE_dkms-under-test");
    let root = Root::of(&cache, &system, &[&Tool::ours(dkms)]).unwrap();
    debs::ours(&cache, dkms).unwrap().put_into(&root).unwrap();
    root.must("ln -s $DKMS /usr/sbin/dkms; mkdir /debs; cd /srv/ours; rm dh-dkms*; mv dkms* dkms.deb")
        .unwrap();
    let pack = |name: &str, lines: &[&str]| {
        let module = lines.iter().fold(Module::new("foo", "1.0"), |module, line| module.with(line));
        let package = Package::of(module);
        root.write("/tmp/pack/lose.sh", LOSE, 0o755).unwrap();
        let package = package.file("/usr/src/foo-1.0/lose.sh", "/tmp/pack/lose.sh");
        let file = package.pack(&root).unwrap();
        root.must(&format!("mv {file} /srv/ours/{name}.deb")).unwrap();
    };
    pack("foo", &[]);
    for (name, lines) in BROKEN {
        pack(name, lines);
    }
    root.must(
        "mkdir /srv/keys; cd /srv/keys
         openssl req -new -x509 -newkey rsa:2048 -nodes -keyout mok.pem -outform DER -out mok.pub -subj /CN=farm/ -days 99 2>/dev/null",
    )
    .unwrap();
    root
}

/// Runs a script after the functions of `images.sh`; its output.
fn run(root: &Root, script: &str) -> String {
    root.write("/srv/script", &format!("{}\n{script}", include_str!("images.sh")), 0o644).unwrap();
    root.must("sh /srv/script 2>&1").unwrap()
}
