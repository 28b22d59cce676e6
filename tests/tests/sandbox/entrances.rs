//! Other entrances than code that runs in a build: what a build leaves, an untrusted tarball, the
//! environment of who calls, names that programs take for options.

use dkms_tests::fixture::Module;
use dkms_tests::ready::copying;
use dkms_tests::root::{Root, User};
use dkms_tests::tier::is_full;

use super::attempt::{SECRET, ready, root};
use super::degraded::{Mode, prepare_modes};

/// A root with a module `bad` whose make leaves a real module, and then runs this script in the build folder.
fn with_bad(script: &str) -> Root {
    with_bad_made(&copying("bad", "1.0"), script)
}

/// The same with what makes that module.
fn with_bad_made(make: &str, script: &str) -> Root {
    let root = root();
    let make = format!("MAKE=\"{make} && bash ./after.sh\"");
    ready(&root, "bad").with(&make).write_to(&root).unwrap();
    root.write("/usr/src/bad-1.0/after.sh", &format!("{script}\n"), 0o755).unwrap();
    prepare_modes(&root);
    root.must(
        "$DKMS add bad/1.0; echo root-program >/usr/local/bin/rootprog; chmod 600 /usr/local/bin/rootprog",
    )
    .unwrap();
    root
}

/// What must be as it was, and what may not be anywhere.
fn nothing_came_of_it(root: &Root, what: &str) {
    assert_eq!(root.read("/usr/local/bin/rootprog").unwrap(), "root-program\n", "{what}");
    let found = root.must(&format!(
        "stat -c '%a %U' /usr/local/bin/rootprog /etc/shadow /etc/passwd | sort -u
         find /var/lib/dkms /usr/src/bad-1.0 /lib/modules/$K/updates \\( -perm /6000 -o -perm -002 ! -type l \\) ! -type s 2>/dev/null || true
         grep -rls {SECRET} /var/lib/dkms/bad /lib/modules/$K/updates 2>/dev/null || true
         getcap -r /var/lib/dkms /lib/modules/$K/updates 2>/dev/null || true"
    ));
    let found = found.unwrap();
    let odd: Vec<_> = found.lines().filter(|line| !line.ends_with(" root")).collect();
    assert!(odd.is_empty(), "{what}: {odd:?}");
}

/// What a build leaves in the place of its module, or beside it.
const LEFT: [(&str, bool); 14] = [
    ("rm bad.ko; mkdir bad.ko", false),
    ("rm bad.ko; mkfifo bad.ko", false),
    (
        "rm bad.ko; perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(\"bad.ko\"))'",
        false,
    ),
    ("ln -sf /etc/shadow bad.ko", false),
    ("ln -sf /proc/self/mem bad.ko", false),
    ("ln -sf bad.ko bad.ko", false),
    ("ln -sf /etc/my-own.key Module.symvers", true),
    ("rm -f Module.symvers; mkfifo Module.symvers", true),
    ("chmod 0 bad.ko * . 2>/dev/null; true", true),
    (
        "for n in -rf --reference=x '-o bad.ko' '--help' '*' '$(id)' '`id`' ';id'; do echo x >\"./$n\"; done",
        true,
    ),
    (
        "cp bad.ko x; setfacl -m u:nobody:rwx . bad.ko; setfattr -n user.x -v y bad.ko; chattr +i bad.ko; true",
        true,
    ),
    (
        "rm -f make.log ../make.log ../build/make.log; mkfifo make.log; ln -s /usr/local/bin/rootprog log; true",
        true,
    ),
    ("kill -9 -1 2>/dev/null; kill -9 0 1 $PPID; true", false),
    (
        "for i in $(seq 50); do ( while :; do ln -sfn /etc l; rm -rf l; mkdir l; done ) & done 2>/dev/null; true",
        true,
    ),
];

#[test]
fn what_a_build_leaves_in_its_folder_is_no_trap() {
    for (n, (script, is_built)) in LEFT.into_iter().enumerate() {
        let root = with_bad(script);
        // One mode for each, and each mode for some; all of them in the full tier.
        let modes = Mode::ALL.into_iter().enumerate().filter(|(m, _)| is_full() || m % 4 == n % 4);
        for front in modes.map(|(_, mode)| mode.front()) {
            let line = format!("timeout -k 5 100 {front} \"$DKMS\" install bad/1.0 -k $K --force");
            let output = root.shell(&line, User::Root, "/").unwrap();
            let what = format!("{front} {script}: {} {}", output.code, output.stderr);
            assert!(output.code < 124, "{what}");
            assert!(!is_built || output.code == 0, "{what}");
            nothing_came_of_it(&root, &what);
            root.must("timeout 60 $DKMS unbuild bad/1.0 --all || true").unwrap();
        }
        root.must("timeout 60 $DKMS remove bad/1.0 --all && ! test -e /var/lib/dkms/bad").unwrap();
    }
}

#[test]
fn a_build_that_works_on_after_make_changes_nothing() {
    // It has the source's conf in its hand as well, for as long as anything of it runs.
    let root = with_bad(
        "(sleep 0.2; echo 'POST_INSTALL=evil.sh' >>dkms.conf; echo 'POST_INSTALL=evil.sh' >>/usr/src/bad-1.0/dkms.conf
          printf '#!/bin/sh\\ntouch /escaped\\n' >evil.sh; chmod 755 evil.sh; cp evil.sh /usr/src/bad-1.0/) >/dev/null 2>&1 &
         sleep 0.4; true",
    );
    for front in Mode::ALL.map(Mode::front) {
        root.must(&format!("{front} \"$DKMS\" install bad/1.0 -k $K --force")).unwrap();
        root.must("! test -e /escaped && ! test -e /usr/src/bad-1.0/evil.sh && ! grep -q evil /usr/src/bad-1.0/dkms.conf")
            .unwrap();
    }
}

#[test]
fn the_callers_environment_runs_nothing_for_a_module() {
    let root = with_bad_made(
        "make -C /lib/modules/$kernelver/build M=/var/lib/dkms/bad/1.0/build modules",
        "env >seen; grep -E 'LD_PRELOAD|BASH_ENV|PERL5OPT|MAKEFILES|GCC_EXEC' seen && echo ESCAPED; true",
    );
    root.write("/opt/env.sh", "echo in-bash-env >>/srv/ran-$(id -u)\n", 0o644).unwrap();
    root.must("mkdir -m 777 -p /srv && chmod 777 /srv").unwrap();
    let line = "BASH_ENV=/opt/env.sh ENV=/opt/env.sh PERL5OPT=-Mnothing MAKEFILES=/srv/none GCC_EXEC_PREFIX=/srv/ \"$DKMS\" install bad/1.0 -k $K";
    let output = root.shell(line, User::Root, "/").unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let log = root.must("cat /var/lib/dkms/bad/1.0/$K/*/log/make.log; ls /srv").unwrap();
    assert!(!log.contains("ESCAPED") && !log.contains("ran-"), "{log}");
}

#[test]
fn the_callers_environment_runs_nothing_for_root() {
    let root = root();
    // Each program that root starts tells what it was started with; so does whatever the environment starts.
    root.must("mkdir -p -m 777 /opt/env").unwrap();
    let tells = |name: &str, then: &str| {
        let script = format!("#!/bin/bash\nenv >/opt/env/{name}\n{then}\n");
        root.write(&format!("/usr/local/sbin/{name}"), &script, 0o755).unwrap();
    };
    tells("depmod", "exec /sbin/depmod \"$@\"");
    tells("after-all", "");
    tells("sign", "exec /lib/modules/$kernelver/build/scripts/sign-file \"$@\"");
    root.write("/opt/env.sh", "touch /opt/ran\n", 0o644).unwrap();
    root.write("/usr/src/honest-1.0/tool.sh", "#!/bin/bash\nenv >/opt/env/post\n", 0o755).unwrap();
    root.must(
        "echo 'POST_INSTALL=tool.sh' >>/usr/src/honest-1.0/dkms.conf
         echo 'CLEAN=\"$(echo true)\"' >>/usr/src/honest-1.0/dkms.conf
         sed -i /mok_signing_key/d /etc/dkms/framework.conf
         echo 'post_transaction=/usr/local/sbin/after-all' >>/etc/dkms/framework.conf
         printf 'sign_file=/usr/local/sbin/sign\ntry_sign_modules=true\n' >>/etc/dkms/framework.conf
         rm -f /var/lib/dkms/mok.*; $DKMS generate_mok; $DKMS add honest/1.0",
    )
    .unwrap();
    prepare_modes(&root);
    let hostile = "BASH_ENV=/opt/env.sh ENV=/opt/env.sh PERL5OPT=-Mnothing PERL5LIB=/opt PYTHONPATH=/opt GCONV_PATH=/opt MODPROBE_OPTIONS=-q MAKEFILES=/srv/x";
    for front in Mode::ALL.map(Mode::front) {
        let line = format!(
            "export {hostile} VAULT_TOKEN=t KBUILD_SIGN_PIN=t LANG=C.UTF-8; {front} \"$DKMS\" install honest/1.0 -k $K --force"
        );
        // Perl is what stands in front in some modes.
        let line = line.replace("PERL5OPT=-Mnothing ", "");
        root.must("rm -f /opt/env/*; touch /lib/modules/$K/modules.dep").unwrap();
        let output = root.shell(&line, User::Root, "/").unwrap();
        assert_eq!(output.code, 0, "{front}: {}", output.stderr);
        assert!(root.open("/opt/ran").unwrap().is_none(), "{front}");
        for (program, is_admins) in [("depmod", false), ("post", false), ("after-all", true), ("sign", true)]
        {
            let seen = root.read(&format!("/opt/env/{program}")).unwrap();
            assert!(seen.contains("LANG="), "{front} {program}: {output:?}");
            for name in hostile.split_whitespace().filter_map(|pair| pair.split('=').next()) {
                let passes = is_admins && name == "MODPROBE_OPTIONS";
                let there = seen.lines().any(|line| line.starts_with(&format!("{name}=")));
                assert_eq!(there, passes, "{front} {program}: {name}");
            }
            assert_eq!(seen.contains("VAULT_TOKEN="), is_admins, "{front} {program}");
            assert_eq!(seen.contains("KBUILD_SIGN_PIN="), is_admins, "{front} {program}");
        }
        root.must("$DKMS unbuild honest/1.0 --all").unwrap();
    }
}

#[test]
fn names_that_are_options_or_lead_out_are_refused() {
    let root = with_bad("true");
    for words in [
        "build bad/1.0 -k ../../../etc",
        "build bad/1.0 -k=--help/x",
        "install bad/1.0 -k ..",
        "add ../../etc/passwd",
        "add -m -rf -v 1.0",
        "add -m x/../../etc -v 1",
        "build 'bad/1.0/../../..' -k $K",
        "unbuild bad/.. --all",
        "remove ../1.0 --all",
        "build bad/1.0 -k $K -a ../../x",
    ] {
        let output = root.dkms(words).unwrap();
        assert_ne!(output.code, 0, "{words}: {}", output.stdout);
        root.must("test -e /usr/src/bad-1.0/dkms.conf && test -L /var/lib/dkms/bad/1.0/source").unwrap();
    }
}

#[test]
fn a_tarball_brings_no_rights_and_no_way_out() {
    let root = with_bad("true");
    root.must("$DKMS mktarball bad/1.0 --source-only --archive /var/tmp/good.tar; $DKMS remove bad/1.0 --all; rm -rf /usr/src/bad-1.0")
        .unwrap();
    let pack = r#"
import io, sys, tarfile
good = tarfile.open('/var/tmp/good.tar')
def pack(name, *more):
    out = tarfile.open('/var/tmp/' + name + '.tar', 'w')
    for member in good.getmembers():
        if 'MANIFEST' in member.name: continue
        out.addfile(member, good.extractfile(member) if member.isfile() else None)
    for kind, path, to, mode in more:
        info = tarfile.TarInfo('./dkms_source_tree/' + path)
        info.type, info.linkname, info.mode = kind, to, mode
        if kind == tarfile.REGTYPE:
            info.size = 1
            out.addfile(info, io.BytesIO(b'x'))
        else:
            out.addfile(info)
    out.close()
pack('hard', (tarfile.LNKTYPE, 'su', '/usr/bin/su', 0o4755))
pack('hard2', (tarfile.LNKTYPE, 'su', '../../../usr/bin/su', 0o4755))
pack('setid', (tarfile.REGTYPE, 's', '', 0o6755))
pack('through', (tarfile.SYMTYPE, 'd', '/etc', 0o777), (tarfile.REGTYPE, 'd/evil', '', 0o644))
pack('fifo', (tarfile.FIFOTYPE, 'f', '', 0o666))
pack('device', (tarfile.CHRTYPE, 'c', '', 0o666))
pack('open', (tarfile.REGTYPE, 'POST', '', 0o777), (tarfile.DIRTYPE, 'dir', '', 0o777))
pack('option', (tarfile.REGTYPE, '-rf', '', 0o644), (tarfile.REGTYPE, '--checkpoint-action=exec=id', '', 0o644))
"#;
    root.write("/srv/pack.py", pack, 0o644).unwrap();
    root.must("python3 /srv/pack.py").unwrap();
    for (name, is_taken) in [
        ("hard", false),
        ("hard2", false),
        ("through", false),
        ("fifo", true),
        ("device", false),
        ("open", true),
        ("option", true),
        ("setid", false),
    ] {
        let output = root.dkms(&format!("ldtarball --archive=/var/tmp/{name}.tar")).unwrap();
        assert_eq!(output.code == 0, is_taken, "{name}: {}", output.stderr);
        let found = root.must(
            "find /usr/src -newer /srv/pack.py \\( -perm /6022 -o -type p -o -type c -o -links +1 -type f \\) ! -type l; ls /etc/evil 2>/dev/null || true",
        );
        assert_eq!(found.unwrap(), "", "{name}");
        root.must("$DKMS remove bad/1.0 --all; rm -rf /usr/src/bad-1.0").unwrap_or_default();
    }
}

/// An archive that root only looks at, or signs, is not trusted: no setting lets its code out of the sandbox,
/// though what is unpacked is root's own.
#[test]
fn an_archive_that_is_only_examined_runs_nothing_outside_the_sandbox() {
    let root = root();
    Module::new("foo", "1.0").with("PRE_BUILD=\"./pre.sh\"").write_to(&root).unwrap();
    root.write("/usr/src/foo-1.0/pre.sh", "#!/bin/sh\nid -u >/srv/ran 2>/dev/null\ntrue\n", 0o755).unwrap();
    root.must(
        "mkdir -m 777 -p /srv; dkms build foo/1.0 -k $K; dkms mktarball foo/1.0 -k $K --archive /home/foo.dkms.tar.gz; rm -f /srv/ran
         dkms remove foo/1.0 --all; rm -r /usr/src/foo-1.0
         mkdir -p /tmp/x/evil-1.0; cd /tmp/x; printf '%s\n' 'id -u >>/srv/ran' 'PACKAGE_NAME=$(echo evil)' PACKAGE_VERSION=1.0 \
             'BUILT_MODULE_NAME[0]=evil' 'DEST_MODULE_LOCATION[0]=/updates' >evil-1.0/dkms.conf
         tar czf /home/evil.dkms.tar.gz evil-1.0; chown 1000:1000 /home/*.gz
         openssl ecparam -name prime256v1 -genkey -noout -out /root/k.pem",
    )
    .unwrap();
    for settings in ["sandbox=off", "sandbox_exempt=\"foo evil\""] {
        root.write("/etc/dkms/framework.conf", &format!("{settings}\n"), 0o644).unwrap();
        for words in [
            "verify --rebuild /home/foo.dkms.tar.gz",
            "verify --rebuild /home/evil.dkms.tar.gz",
            "sign --key /root/k.pem /home/evil.dkms.tar.gz",
            "ldtarball /home/evil.dkms.tar.gz --dry-run",
        ] {
            let output = root.dkms(words).unwrap();
            let ran = root.must("cat /srv/ran 2>/dev/null || true; rm -f /srv/ran").unwrap();
            assert_eq!(ran, "", "{settings}: {words}: {output:?}");
        }
    }
}

/// A layout of another user, whose folder of blobs is a link into one of root's.
#[test]
fn a_layout_of_another_user_leads_no_signature_elsewhere() {
    let root = root();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.must(
        "dkms build foo/1.0 -k $K; dkms mkoci foo/1.0 -k $K; mkdir -p /srv/victim; mv /var/lib/dkms/foo/1.0/oci/* /home/layout
         mv /home/layout/blobs/sha256/* /srv/victim; rmdir /home/layout/blobs/sha256; ln -s /srv/victim /home/layout/blobs/sha256
         chown -hR 1000:1000 /home/layout; ls /srv/victim >/srv/before; openssl ecparam -name prime256v1 -genkey -noout -out /root/k.pem",
    )
    .unwrap();
    let output = root.dkms("sign --key /root/k.pem /home/layout").unwrap();
    root.must("ls /srv/victim | diff /srv/before -").unwrap();
    assert!(output.code != 0 && output.stderr.contains("blobs"), "{output:?}");
}

/// A fault of strip or of a compressor, which a module could make use of, gives it no more than its build
/// has.
#[test]
fn strip_and_compressors_may_do_no_more_than_the_build() {
    let root = root();
    prepare_modes(&root);
    // What fails says what it wrote, and an option that is not the default has xz run at all.
    let tries = "#!/bin/bash
        { echo \"works as $(id -un)\"; grep -E 'NoNewPrivs|CapBnd' /proc/self/status
          cat /home/u/secret /etc/my-own.key /root/secret /var/lib/dkms/mok.key
          for f in /etc /usr/src /var/lib/dkms /home; do echo x >$f/of-a-tool; done; } 2>/dev/null; exit 1\n";
    let conf = root.read("/etc/dkms/framework.conf").unwrap() + "compress_xz_opts=-0\n";
    ready(&root, "honest").write_to(&root).unwrap();
    root.must("$DKMS add honest/1.0; mkdir -p /lib/modules/$K/kernel").unwrap();
    let modes = Mode::ALL.into_iter().map(|mode| ("", mode));
    for (setting, mode) in modes.chain([("sandbox=strict\n", Mode::Whole)]) {
        root.write("/etc/dkms/framework.conf", &format!("{conf}{setting}"), 0o644).unwrap();
        for (tool, suffix) in [("strip", ""), ("gzip", ".gz"), ("xz", ".xz"), ("zstd", ".zst")] {
            root.write(&format!("/usr/local/sbin/{tool}"), tries, 0o755).unwrap();
            // What the kernel's own modules are compressed with tells how ours are.
            let line = format!(
                "rm -f /lib/modules/$K/kernel/a.ko*; : >/lib/modules/$K/kernel/a.ko{suffix}
                 {} \"$DKMS\" build honest/1.0 -k $K --force",
                mode.front()
            );
            let output = root.shell(&line, User::Root, "/").unwrap();
            let what = format!("{mode:?} {setting}{tool}: {output:?}");
            root.must(&format!("rm /usr/local/sbin/{tool}")).unwrap();
            assert!(output.stderr.contains("works as nobody"), "{what}");
            assert!(output.stderr.contains("CapBnd:\t0000000000000000"), "{what}");
            assert!(output.stderr.contains("NoNewPrivs:\t1"), "{what}");
            assert!(!output.stderr.contains(SECRET), "{what}");
            let written = root.must("ls /etc/of-a-tool /usr/src/of-a-tool /var/lib/dkms/of-a-tool /home/of-a-tool 2>/dev/null || true");
            assert_eq!(written.unwrap(), "", "{what}");
        }
    }
}
