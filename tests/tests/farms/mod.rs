//! Build farms and registries with the programs that run them, all of Debian 13: docker-registry, skopeo,
//! oras, cosign, buildah, Slurm. Services run in network namespaces of their own, and end with the test.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod carried;
mod cosign;
mod registry;
mod slurm;

use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::root::Root;
use dkms_tests::setup::{Base, base};
use dkms_tests::tool::Tool;

/// What registries and farms are made of. Nothing of it starts by itself.
const FARM: Base = Base {
    name: "farm-trixie",
    suite: "trixie",
    include: &["gcc", "make", "patch", "kmod", "openssl", "jq", "iproute2", "procps"],
    script: "
    printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    apt install docker-registry skopeo oras cosign buildah netavark munge slurmctld slurmd slurm-client
    take() { apt install \"$2\"; }
    signed_offers cloud-amd64 $OWN | newest 1 take >/tmp/kernel
    enough 1 cloud-amd64 /tmp/kernel",
};

/// Such a system with our dkms. In its shells `$K` is the kernel that has headers.
fn farm() -> Root {
    let cache = Cache::open().unwrap();
    let system = base(&cache, &FARM).unwrap();
    let tool = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let root = Root::of(&cache, &system, &[&tool]).unwrap();
    root.must(
        "ln -s $DKMS /usr/sbin/dkms; mkdir -p /etc/dkms /var/lib/dkms; ls /lib/modules >/etc/kernel-of-farm",
    )
    .unwrap();
    root.write("/etc/dkms/framework.conf", "try_sign_modules=no\n", 0o644).unwrap();
    root
}

/// One with `/srv/image`: an OCI layout of a module whose version has what tags have not (so has the
/// kernel's release).
fn with_image() -> Root {
    let root = farm();
    Module::new("foo", "1.0~rc1+git").write_to(&root).unwrap();
    root.must(
        "K=$(cat /etc/kernel-of-farm); dkms build foo/1.0~rc1+git -k $K; dkms mkoci foo/1.0~rc1+git -k $K
         mv /var/lib/dkms/foo/1.0~rc1+git/oci/* /srv/image",
    )
    .unwrap();
    root
}

/// Runs a script beside a registry that is empty or what the last script left; its output.
fn beside_registry(root: &Root, script: &str) -> String {
    let whole = format!("K=$(cat /etc/kernel-of-farm)\n{}\n{script}", include_str!("registry.sh"));
    root.write("/srv/script", &whole, 0o644).unwrap();
    root.must("unshare --net sh /srv/script 2>&1").unwrap()
}
