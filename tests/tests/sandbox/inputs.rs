//! What only root may read, and a build or a conf reads all the same: as root reads it.

use dkms_tests::fixture::Module;
use dkms_tests::root::Root;

use super::attempt::root;

/// A module whose code says what its conf and its `PRE_BUILD` found.
fn write_asking(root: &Root) {
    Module::new("asks", "1.0")
        .with(". ${BASH_SOURCE%/*}/level.sh")
        .with("grep -q '^CONFIG_MODULES=y' $kernel_source_dir/.config 2>/dev/null && modules=yes")
        .with("PRE_BUILD=\"pre.sh conf:$LEVEL,${modules:-no}\"")
        .write_to(root)
        .unwrap();
    root.write("/usr/src/asks-1.0/level.sh", "LEVEL=7\n", 0o600).unwrap();
    let script = "#!/bin/sh\nmap=$(cut -d' ' -f1 /boot/System.map-$kernelver 2>/dev/null)\necho \"found $1,${map:-0}\"\n";
    root.write("/usr/src/asks-1.0/pre.sh", script, 0o755).unwrap();
    root.must("echo 'ffffffff81abc123 T there' >/boot/System.map-$K; chmod 600 /boot/System.map-$K").unwrap();
}

#[test]
fn headers_and_maps_for_root_alone() {
    let root = root();
    write_asking(&root);
    root.must("chmod -R go-rwx $(readlink -f /lib/modules/$K/build)").unwrap();
    root.must("chmod -R go-rwx /usr/src/linux-headers-${K%-*}-common").unwrap();
    let output = root.must("$DKMS install asks/1.0 -k $K 2>&1").unwrap();
    let log = root.must("cat /var/lib/dkms/asks/1.0/$K/x86_64/log/make.log").unwrap();
    assert!(log.contains("\nfound conf:7,yes,ffffffff81abc123\n"), "{log}");
    assert!(!output.contains("Warning"), "{output}");
    assert_eq!(root.must("find /var/tmp /tmp -name 'dkms-inputs-*'").unwrap(), "", "no copy is left");
}

#[test]
fn headers_in_a_home_and_a_key_among_them() {
    let root = root();
    write_asking(&root);
    root.must(
        "h=$(readlink -f /lib/modules/$K/build); cp -a $h /home/u/h; cd /home/u/h
         for l in scripts tools; do [ ! -L $l ] || ln -sfn $(readlink -m $h/$l) $l; done
         chmod 700 /home/u; ln -sfn /home/u/h /lib/modules/$K/build",
    )
    .unwrap();
    root.write(
        "/usr/src/asks-1.0/pre.sh",
        "#!/bin/sh\necho \"found $1\"; cat /home/u/secret /home/u/h/certs/signing_key.pem; ls -A /home/u; true\n",
        0o755,
    )
    .unwrap();
    root.must("$DKMS install asks/1.0 -k $K").unwrap();
    let log = root.must("cat /var/lib/dkms/asks/1.0/$K/x86_64/log/make.log").unwrap();
    assert!(log.contains("\nfound conf:7,yes\n") && log.contains("\nh\n"), "{log}");
    assert!(!log.contains(crate::sandbox::attempt::SECRET), "{log}");
}

#[test]
fn a_link_to_what_only_root_reads_is_named_and_never_left_out_in_silence() {
    let root = root();
    for place in ["/data", "/var/lib/priv", "/root/.local"] {
        root.must(&format!("mkdir -p {place}; echo 'PRE_BUILD=pre.sh' >{place}/vars; chmod 700 {place}"))
            .unwrap();
        Module::new("leads", "1.0")
            .with("v=${BASH_SOURCE%/*}/vars")
            .with("[ -r \"$v\" ] && . \"$v\"")
            .write_to(&root)
            .unwrap();
        root.write("/usr/src/leads-1.0/pre.sh", "#!/bin/sh\necho found\n", 0o755).unwrap();
        root.must(&format!("ln -sfn {place}/vars /usr/src/leads-1.0/vars")).unwrap();
        let output = root.must("$DKMS build leads/1.0 -k $K 2>&1").unwrap();
        let log = root.must("cat /var/lib/dkms/leads/1.0/$K/x86_64/log/make.log").unwrap();
        assert!(log.contains("found") || output.contains(&format!("{place}/vars")), "{place}: {output}");
        root.must("$DKMS remove leads/1.0 --all; rm -r /usr/src/leads-1.0").unwrap();
    }
}
