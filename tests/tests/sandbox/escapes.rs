//! Attempts to get out, each by a module that is built as root with the default settings.

use std::net::TcpListener;

use super::attempt::{SECRET, alone, comes_to_nothing, honest_bytes, install_both, root, write_evil};

/// How many processes there are in the root.
fn processes(root: &dkms_tests::root::Root) -> u32 {
    root.must("ls /proc | grep -c '^[0-9]'").unwrap().trim().parse().unwrap()
}

/// Installed all the same: what it tried did it no harm either.
fn is_installed(root: &dkms_tests::root::Root) {
    let status = root.dkms("status").unwrap().stdout;
    assert_eq!(status.matches(": installed").count(), 2, "{status}");
}

#[test]
fn writing_elsewhere() {
    let root = root();
    let line = "for f in /etc/x /etc/passwd /usr/src/x /usr/src/honest-1.0/honest.c /usr/src/honest-1.0/x \
                /var/lib/dkms/x /var/lib/dkms/honest/1.0/x /var/lib/dkms/honest/1.0/build/x /var/lib/dkms/evil/1.0/x \
                /var/lib/dkms/.state/x /var/lib/dkms/mok.key /lib/modules/x /usr/bin/x /boot/x /x /root/../x \
                /sys/kernel/uevent_helper /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe; do
                { echo x >>$f; } 2>/dev/null && echo \"ESCAPED: $f\"; done
                rm -rf /usr/src/honest-1.0 /var/lib/dkms/honest 2>/dev/null && echo ESCAPED
                mv /var/lib/dkms/honest /tmp 2>/dev/null && echo ESCAPED
                ln -s /etc /var/lib/dkms/evil/1.0/link 2>/dev/null && echo ESCAPED
                ln /etc/passwd ./hard 2>/dev/null && echo ESCAPED
                mount --bind /tmp /etc 2>/dev/null && echo ESCAPED
                mount -o remount,rw / 2>/dev/null && echo ESCAPED
                unshare -Ur true 2>/dev/null && echo ESCAPED; true";
    comes_to_nothing(&root, "", line);
    is_installed(&root);
}

#[test]
fn writing_to_its_own_source() {
    let root = root();
    // It may: what it writes there is thrown away with the build, and no conf of a later command sees it. But
    // a file of root's stays as it is.
    let line = "[ $1 = conf ] || { echo x >>/usr/src/evil-1.0/evil.c; } 2>/dev/null && [ $1 != conf ] && echo ESCAPED
                [ $1 != conf ] || [ ! -e /usr/src/evil-1.0/y ] || echo ESCAPED
                echo y >/usr/src/evil-1.0/y && cat /usr/src/evil-1.0/y && mv /usr/src/evil-1.0/Makefile /usr/src/evil-1.0/z &&
                echo z >/usr/src/evil-1.0/Makefile && echo 'thrown away'";
    let tried = comes_to_nothing(&root, "", line);
    assert!(tried.log.contains("y\nthrown away\n"), "{}", tried.log);
    is_installed(&root);
}

#[test]
fn reading_secrets() {
    let root = root();
    let login = format!("prebuilt_proxy=http://user:{SECRET}@localhost:9\n");
    root.write("/etc/dkms/framework.conf.d/login.conf", &login, 0o600).unwrap();
    let line = "cat /etc/dkms/framework.conf.d/login.conf /var/lib/dkms/mok.key /etc/my-own.key /etc/ssl/private/secret /root/secret /home/u/secret \
                /lib/modules/*/build/certs/signing_key.pem /usr/src/*/certs/signing_key.pem 2>&1
                for f in /etc/shadow /etc/gshadow /proc/kcore; do [ -r $f ] && cat $f >/dev/null && echo \"ESCAPED: $f\"; done
                ls -A /root /home; grep -az \"\" /proc/1/environ /proc/1/mem 2>/dev/null | head -c 9; \
                [ -r /proc/1/environ ] && cat /proc/1/environ >/dev/null 2>&1 && echo ESCAPED; true";
    comes_to_nothing(&root, "", line);
    is_installed(&root);
}

#[test]
fn the_callers_environment_and_descriptors() {
    let root = root();
    let before = "exec 7</root/secret 9<>/root/secret; export KBUILD_SIGN_PIN=hic-sunt-dracones GITHUB_TOKEN=hic-sunt-dracones";
    let line = "env; cat <&7; cat <&9; echo ESCAPED-not >&9 2>/dev/null; cat /proc/*/fd/7 /proc/*/fd/9 /proc/*/environ 2>/dev/null | tr '\\0' '\\n'
                for fd in /proc/$$/fd/*; do case ${fd##*/} in 0|1|2|255) ;; *) \
                case $(readlink $fd) in pipe:*|*try.sh|/memfd:output*) ;; *) echo \"ESCAPED: $fd $(readlink $fd)\";; esac;; esac; done";
    // The memory that a conf's answer goes to is its own. `>&9` isn't open, which bash says; that it
    // says so is how we know.
    let line = line.replace("echo ESCAPED-not >&9 2>/dev/null; ", "");
    let tried = comes_to_nothing(&root, before, &line);
    assert!(tried.log.contains("7: Bad file descriptor"), "{}", tried.log);
    assert_eq!(root.read("/root/secret").unwrap().lines().count(), 1);
    is_installed(&root);
}

#[test]
fn connecting() {
    let root = root();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    root.must(
        "perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, pack_sockaddr_un(\"/run/evil\")) or die;
         chmod 0777, \"/run/evil\"; listen(S, 9); fork and exit; close STDOUT; close STDERR; close STDIN; sleep 600'",
    )
    .unwrap();
    let line = format!(
        "{{ exec 3<>/dev/tcp/127.0.0.1/{port}; }} 2>/dev/null && echo ESCAPED
         {{ echo x >/dev/udp/127.0.0.1/{port}; }} 2>/dev/null && echo ESCAPED
         perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0) and print \"ESCAPED\"; socket(S, AF_UNIX, SOCK_STREAM, 0);
         print \"ESCAPED\" if connect(S, pack_sockaddr_un(\"/run/evil\")) or connect(S, pack_sockaddr_un(\"/var/run/evil\"))'
         ping -c1 -w1 127.0.0.1 >/dev/null 2>&1 && echo ESCAPED; true"
    );
    comes_to_nothing(&root, "", &line);
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    is_installed(&root);
}

#[test]
fn other_processes() {
    let root = root();
    // Of the very user that builds run as: what keeps them apart is not the user.
    let victim = root
        .must("setpriv --reuid=nobody --regid=nogroup --clear-groups sleep 4321 >/dev/null 2>&1 & echo $!")
        .unwrap();
    let victim = victim.trim();
    let line = format!(
        "for p in {victim} 1 $(seq 2 400); do [ $p = $$ ] || [ $p = $PPID ] || [ -d /proc/$p ] || kill -9 $p 2>/dev/null && \
           [ ! -d /proc/$p ] && echo \"ESCAPED: $p\"; done
         kill -9 1 2>/dev/null && echo ESCAPED
         perl -e 'print \"ESCAPED\" if syscall(101, 16, {victim}, 0, 0) == 0; print \"ESCAPED\" if syscall(101, 16, 1, 0, 0) == 0;
         print \"ESCAPED\" if syscall(101, 0, 0, 0, 0) == 0'
         [ $(ls /proc | grep -c '^[0-9]') -lt 30 ] || echo ESCAPED"
    );
    comes_to_nothing(&root, "", &line);
    root.must(&format!("kill -0 {victim}; kill -9 {victim}")).unwrap();
    is_installed(&root);
}

#[test]
fn staying_behind() {
    let root = root();
    let line = "setsid sleep 31337 >/dev/null 2>&1 &
                ( ( trap '' TERM HUP INT; setsid bash -c 'exec -a evil-daemon sleep 31338' >/dev/null 2>&1 & ) & )
                nohup sleep 31339 >/dev/null 2>&1 & disown -a";
    comes_to_nothing(&root, "", line);
    assert_eq!(root.must("pgrep -fa '[s]leep 3133|[e]vil-daemon' || true").unwrap(), "");
    is_installed(&root);
}

#[test]
fn filling_tmp() {
    let root = root();
    root.must("echo here >/tmp/other").unwrap();
    let line = "cat /tmp/other 2>/dev/null && echo ESCAPED
                head -c 50G /dev/zero >/tmp/fill 2>/dev/null && echo ESCAPED
                [ $1 != pre-build ] || head -c 50G /dev/zero >/dev/shm/fill 2>/dev/null && [ $1 = pre-build ] && echo ESCAPED
                [ $(stat -c %s /tmp/fill) -gt 1000000 ] && echo 'filled its own'; rm -f /tmp/fill";
    let tried = comes_to_nothing(&root, "", line);
    // Once a stage; make reads the Makefile twice.
    assert_eq!(tried.log.matches("filled its own").count(), 5, "{}", tried.log);
    assert_eq!(
        root.must("ls /tmp | tr '\\n' ' '; ls /dev/shm/fill 2>/dev/null || true").unwrap(),
        "before other "
    );
    is_installed(&root);
}

#[test]
fn a_fork_bomb() {
    let root = root();
    // One that goes on for ever is no more than a build that does. This one is ended by a process that is
    // there before it and forks no more: the script itself may be refused its second fork, and end.
    write_evil(
        &root,
        "bomb() { bomb | bomb & }
         wait_busily() { SECONDS=0; while ((SECONDS < 2)); do :; done; }
         [ $1 != make ] || { wait_busily; kill -9 -1; } >/dev/null 2>&1 &
         case $1 in pre-build|make) bomb >/dev/null 2>&1; wait_busily;; esac",
    );
    let tried = install_both(&root, "");
    assert!(tried.log.contains("tried in pre-build"), "{}", tried.log);
    assert!(honest_bytes(&root) == alone(), "{}", tried.output.stderr);
    assert!(processes(&root) < 100);
    // A conf has a time limit besides: that is how it ends.
    root.must("$DKMS remove evil/1.0 --all; cp -r /usr/src/evil-1.0 /usr/src/bomb-1.0; cd /usr/src/bomb-1.0; sed -i s/evil/bomb/ dkms.conf; echo 'b() { b | b & }; b; b; sleep 99' >>dkms.conf").unwrap();
    let output = root.dkms("add bomb/1.0").unwrap();
    assert_eq!(output.code, 8, "{}", output.stderr);
    assert!(processes(&root) < 100);
}

#[test]
fn setuid_programs_and_devices() {
    let root = root();
    root.must("cp /usr/bin/id /usr/local/bin/suid-id; chmod 4755 /usr/local/bin/suid-id; \
               cp /usr/bin/id /usr/local/bin/cap-id; setcap cap_sys_admin+ep /usr/local/bin/cap-id 2>/dev/null || true")
        .unwrap();
    let line = "[ \"$(/usr/local/bin/suid-id -u)\" = 0 ] && echo ESCAPED
                [ \"$(id -u)\" = 0 ] && echo ESCAPED
                grep -qE '^Cap(Prm|Eff|Bnd|Amb):.*[1-9a-f]' /proc/self/status && echo ESCAPED
                su -c 'echo ESCAPED' </dev/null 2>/dev/null
                for d in . /tmp; do mknod $d/disk b 8 0 2>/dev/null && echo ESCAPED; mknod $d/mem c 1 1 2>/dev/null && echo ESCAPED; done
                insmod evil.ko 2>/dev/null && echo ESCAPED
                perl -e 'for (175, 313, 169, 321, 250, 298, 425) { $! = 0; syscall($_, 0, 0, 0, 0, 0) == -1 && $!{EPERM} or print \"ESCAPED: call $_\" }'";
    comes_to_nothing(&root, "", line);
    is_installed(&root);
}
