//! What only root may read, and a build or a conf reads all the same: as root reads it.

use dkms_tests::fixture::Module;
use dkms_tests::root::{Root, User};

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

#[test]
fn what_scripts_ask_for_quietly_and_may_not_read_is_told() {
    let root = root();
    Module::new("quiet", "1.0")
        .with("PRE_BUILD=\"pre.sh\"")
        .with("POST_BUILD=\"post.sh\"")
        .write_to(&root)
        .unwrap();
    root.write(
        "/usr/src/quiet-1.0/pre.sh",
        "#!/bin/sh\n[ ! -r /etc/quiet.conf ] || . /etc/quiet.conf\n",
        0o755,
    )
    .unwrap();
    let post =
        "#!/bin/sh\ntest -r /root/keys/own.key && echo signed || true\n[ -n \"$QUIET_TOKEN\" ] || true\n";
    root.write("/usr/src/quiet-1.0/post.sh", post, 0o755).unwrap();
    root.must(
        "printf '%s\\n' '-include /etc/quiet.mk' 'ifdef WITH_FEATURE' 'ccflags-y += -DF' endif >>/usr/src/quiet-1.0/Makefile
         echo X=1 >/etc/quiet.conf; echo 'X := 1' >/etc/quiet.mk; chmod 600 /etc/quiet.*; mkdir -p /root/keys; echo k >/root/keys/own.key",
    )
    .unwrap();
    let build = |with: &str| {
        root.must(&format!("{with} $DKMS build quiet/1.0 -k $K --force 2>&1 >/dev/null")).unwrap()
    };
    let told = build("WITH_FEATURE=1 QUIET_TOKEN=abc UNRELATED=1");
    assert!(
        told.contains("quiet/1.0 is built without `/etc/quiet.conf`, `/etc/quiet.mk`, `/root/keys/own.key`"),
        "{told}"
    );
    assert!(told.contains("asks for `QUIET_TOKEN`, `WITH_FEATURE`, which the caller has set"), "{told}");
    assert!(!told.contains("abc") && !told.contains("UNRELATED"), "{told}");
    assert!(told.contains("pass_environment="), "{told}");
    let log = root.must("cat /var/lib/dkms/quiet/1.0/$K/x86_64/log/make.log").unwrap();
    assert!(log.contains("# quiet/1.0 is built without `/etc/quiet.conf`"), "{log}");
    root.must("chmod 644 /etc/quiet.*; rm -r /root/keys; echo 'pass_environment=WITH_FEATURE' >>/etc/dkms/framework.conf").unwrap();
    assert_eq!(build("WITH_FEATURE=1 UNRELATED=1"), "");
}

#[test]
fn what_only_root_may_read_is_named_to_nobody_who_leads_there() {
    let root = root();
    root.must("mkdir -p /root/vault; echo x >/root/vault/other.doc; echo 'see /root/vault/other.doc $(MY_TOKEN)' >/root/notes").unwrap();
    // A link out of the source, a way out of it, and a source that another user may write.
    Module::new("leads", "1.0")
        .with("MAKE=\"make -C $kernel_source_dir M=$dkms_tree/leads/1.0/build; : ../../../root/notes\"")
        .write_to(&root)
        .unwrap();
    root.must(
        "ln -s /root/notes /usr/src/leads-1.0/GNUmakefile.in; ln -s /root/notes /usr/src/leads-1.0/makefile",
    )
    .unwrap();
    Module::new("theirs", "1.0").write_to(&root).unwrap();
    root.must(
        "mv /usr/src/theirs-1.0 /srv/theirs; echo '# $(MY_TOKEN)' >>/srv/theirs/Makefile
         printf 'ifdef MY_TOKEN\\nendif\\n-include /root/vault/other.doc\\n' >>/srv/theirs/Makefile
         chown -R nobody /srv/theirs; ln -s /srv/theirs /usr/src/theirs-1.0",
    )
    .unwrap();
    for module in ["leads", "theirs"] {
        let output =
            root.shell(&format!("MY_TOKEN=1 \"$DKMS\" build {module}/1.0 -k $K"), User::Root, "/").unwrap();
        let log = root.must(&format!("cat /var/lib/dkms/{module}/1.0/build/make.log /var/lib/dkms/{module}/1.0/*/*/log/make.log 2>/dev/null || true")).unwrap();
        for text in [&output.stdout, &output.stderr, &log] {
            assert!(!text.contains("other.doc") && !text.contains("MY_TOKEN"), "{module}: {output:?} {log}");
        }
    }
}

#[test]
fn a_source_that_leads_where_only_root_may_look_is_named_as_the_cause() {
    let root = root();
    Module::new("parts", "1.0").write_to(&root).unwrap();
    root.must(
        "mkdir -p -m 700 /data/driver; mv /usr/src/parts-1.0/parts.c /data/driver/; cd /usr/src/parts-1.0
         ln -s /data/driver src; sed -i 's|^obj-m.*|obj-m := whole.o\\nwhole-y := src/parts.o|' Makefile",
    )
    .unwrap();
    let output = root.dkms("build parts/1.0 -k $K").unwrap();
    assert_eq!(output.code, 10, "{}", output.stderr);
    assert!(
        output.stderr.contains("parts/1.0 is built without `/data/driver`, which root can"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("this file is hidden in the sandbox"), "{}", output.stderr);
    assert!(output.stderr.contains("add it to `sandbox_exempt`"), "{}", output.stderr);
}
