//! What processes can and can't do in there. Real isolation layers of the system that the tests run on.

use super::*;
use crate::host::fs;
use crate::host::process::Process;

struct World {
    dir: tempfile::TempDir,
    environment: Environment,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tree/M/build", "tree/N", "other"] {
            fs::create_dir_all(&dir.path().join(name)).unwrap();
        }
        fs::write_whole(&dir.path().join("tree/N/x"), b"there", 0o644).unwrap();
        fs::write_whole(&dir.path().join("tree/key"), b"secret", 0o644).unwrap();
        fs::write_whole(&dir.path().join("other/x"), b"hidden", 0o644).unwrap();
        let environment =
            [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root")].into_iter().collect();
        Self { dir, environment }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn sandbox(&self) -> Sandbox {
        let build = self.at("tree/M/build");
        let sandbox = Sandbox::new(&Wanted {
            strict: true,
            folders: vec![(&build, &build)],
            shown: vec![self.at("tree")],
            secret: vec![self.at("tree/key")],
            ..Wanted::bare("nobody", &self.environment)
        })
        .unwrap();
        if let Some(owner) = sandbox.owner() {
            fs::give_to(&build, owner.uid.as_raw(), owner.gid.as_raw());
        }
        sandbox
    }

    fn run(&self, line: &str) -> (i32, String) {
        let process =
            Process::new("/bin/bash", ["-c", line], &self.environment).dir(&self.at("tree/M/build"));
        let ended = process.in_sandbox(&self.sandbox()).capture().unwrap();
        (ended.code(), ended.text())
    }

    fn says(&self, line: &str) -> String {
        let (code, text) = self.run(line);
        assert_eq!(code, 0, "{line}: {text}");
        text
    }
}

#[test]
fn its_own_folder_can_be_written_and_nothing_else() {
    let world = World::new();
    assert_eq!(world.says("echo x >made; cat made ../../N/x; pwd"), {
        format!("x\nthere{}\n", world.at("tree/M/build").display())
    });
    assert_eq!(fs::read(&world.at("tree/M/build/made")).unwrap(), b"x\n");
    for place in [
        "../x",
        "../../N/x",
        "../../key",
        "/etc/x",
        "/usr/src/x",
        "/x",
        "/dev/x",
        "/run/x",
        "/proc/sys/kernel/core_pattern",
    ] {
        let (code, text) = world.run(&format!("echo x >{place}"));
        assert_ne!(code, 0, "{place}: {text}");
    }
    // A name that nobody else has on this machine.
    let name = world.dir.path().file_name().unwrap().to_str().unwrap();
    assert_eq!(
        world.says(&format!("echo x >/tmp/x{name}; echo y >/var/tmp/y{name}; cat /tmp/*; ls -A /root /home")),
        "x\ny\n/home:\n\n/root:\n"
    );
    assert!(!fs::exists(&Path::new("/tmp").join(format!("x{name}"))));
    assert_ne!(world.run(&format!("cat {}", world.at("other/x").display())).0, 0);
    assert_ne!(world.run("cat ../../key").0, 0);
    assert_eq!(
        world.says("echo x >/dev/null; ls -A /dev; head -c1 /dev/zero | wc -c; echo err >>/dev/stderr"),
        ".nothing\nfd\nfull\nnull\nrandom\nshm\nstderr\nstdin\nstdout\nurandom\nzero\n1\nerr\n"
    );
}

#[test]
fn it_is_nobody_with_nothing() {
    let world = World::new();
    assert!(rustix::process::geteuid().is_root(), "the tests run as root");
    let own = "[ $(id -g) -ge 1879048192 ] && echo own";
    assert_eq!(
        world.says(&format!(
            "id -u; id -G | cut -d' ' -f2; {own}; ls -A /proc/1/fd 2>&1 | tail -1 | grep -c denied"
        )),
        "65534\n65534\nown\n1\n"
    );
    let status = world.says("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
    for line in ["CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{status}");
    }
    assert_eq!(
        world.says("echo $$; ls /proc | grep -c '^[0-9]'; ls /proc/self/fd | wc -w").lines().count(),
        3
    );
    assert!(world.says("ps ax -o pid= | wc -l").trim().parse::<u32>().unwrap() < 8);
    assert_eq!(world.says("cat /proc/net/dev | grep -c :"), "1\n", "only its own loopback");
}

#[test]
fn what_it_leaves_running_ends_with_it_and_codes_come_back() {
    let world = World::new();
    let began = std::time::Instant::now();
    let (code, _) = world.run("setsid sleep 4242 & (trap '' TERM HUP; setsid setsid sleep 4243 &) ; exit 7");
    assert_eq!(code, 7);
    assert_eq!(world.run("kill -9 $$").0, 137);
    assert!(began.elapsed().as_secs() < 20);
    let process = Process::new("pgrep", ["-f", "^sleep 424[23]"], &world.environment);
    assert_eq!(process.capture().unwrap().text(), "");
    let sandbox = world.sandbox();
    let missing = Process::new("no-such-program", [""; 0], &world.environment).in_sandbox(&sandbox);
    assert!(missing.capture().unwrap_err().is_not_found());
    let slow = Process::new("sleep", ["60"], &world.environment).in_sandbox(&sandbox);
    let slow = slow.time_limit(std::time::Duration::from_millis(200)).capture().unwrap_err();
    assert!(matches!(slow, crate::host::process::ProcessError::TimedOut { .. }), "{slow}");
}

#[test]
fn no_descriptor_of_ours_gets_in_but_those_of_the_jobserver() {
    let world = World::new();
    let file = fs::open(Path::new("/etc/passwd")).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    assert_eq!(world.says("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ", "3 is that of ls itself");
    let server = std::sync::Arc::new(crate::host::jobs::JobPipe::new().unwrap());
    fs::write_whole(
        &world.at("tree/M/build/Makefile"),
        b"all: a b\na b:\n\t+@ls /proc/self/fd | wc -w\n",
        0o644,
    )
    .unwrap();
    let make = Process::new("make", [""; 0], &world.environment).dir(&world.at("tree/M/build"));
    let ended = make.in_sandbox(&world.sandbox()).jobs_from(&server).capture().unwrap();
    assert_eq!(ended.text(), "6\n6\n");
}

#[test]
fn a_layer_takes_what_is_written_and_keeps_nothing() {
    let world = World::new();
    let folder = world.at("tree/N");
    let sandbox = Sandbox::new(&Wanted {
        strict: true,
        layer: Some(&folder),
        shown: vec![world.at("tree")],
        ..Wanted::bare("nobody", &world.environment)
    })
    .unwrap();
    let line = "echo new >y && rm x && cat y && ls";
    let process = Process::new("/bin/bash", ["-c", line], &world.environment).dir(&folder);
    let ended = process.in_sandbox(&sandbox).capture().unwrap();
    assert_eq!((ended.code(), ended.text().as_str()), (0, "new\ny\n"));
    let names: Vec<_> = fs::list(&folder).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["x"]);
}

#[test]
fn what_a_process_leaves_is_there_for_the_next_where_the_sandbox_lasts() {
    let world = World::new();
    let (source, built) = (world.at("tree/N"), world.at("tree/M/built"));
    for folder in [&source, &built] {
        fs::create_dir_all(folder).unwrap();
    }
    let wanted = |folders| Wanted {
        strict: true,
        folders,
        layer: Some(&source),
        shown: vec![world.at("tree")],
        secret: vec![world.at("tree/key")],
        ..Wanted::bare("nobody", &world.environment)
    };
    let run = |sandbox: &Sandbox, line: &str| {
        let process = Process::new("/bin/bash", ["-c", line], &world.environment).dir(&source);
        let ended = process.in_sandbox(sandbox).capture().unwrap();
        assert!(ended.missing.is_empty(), "{}", ended.missing);
        ended.text()
    };
    let build = world.at("tree/M/build");
    let sandbox = Sandbox::new(&wanted(vec![(&build, &build)])).unwrap();
    let owner = sandbox.owner().unwrap();
    fs::give_to(&build, owner.uid.as_raw(), owner.gid.as_raw());
    fs::give_to(&built, owner.uid.as_raw(), owner.gid.as_raw());
    let leave = "sleep 4244 & echo a >/tmp/a; echo b >/var/tmp/b; echo c >/dev/shm/c; echo d >$HOME/d; \
                 echo e >e; rm x; echo f >../M/build/f";
    let find = "cat /tmp/a /tmp/b /dev/shm/c $HOME/d e ../M/build/f 2>/dev/null; ls; ls /proc | grep -c '^[0-9]'; \
                cat ../key; echo g 2>/dev/null >../N/../x; echo h 2>/dev/null >../M/built/h";
    assert_eq!(run(&sandbox, leave), "");
    assert!(run(&sandbox, find).starts_with("f\nx\n"), "each process has its own");
    let lasting = sandbox.lasting();
    assert!(lasting.with(&built, &built).unwrap().is_none(), "there is nothing yet to add it to");
    assert_eq!(run(&lasting, leave), "");
    let found = run(&lasting, find);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[..7], ["a", "b", "c", "d", "e", "f", "e"], "{found}");
    assert!(lines[7].parse::<u32>().unwrap() < 8, "what it left running has ended: {found}");
    assert!(found.contains("key: Permission denied") && !fs::exists(&world.at("tree/x")), "{found}");
    assert!(!fs::exists(&built.join("h")));
    let with = lasting.with(&built, &built).unwrap().unwrap();
    assert_eq!(
        run(&with, "echo h >../M/built/h; cat /tmp/a; id -u; grep -c : /proc/net/dev"),
        "a\n65534\n1\n"
    );
    assert_eq!(fs::read(&built.join("h")).unwrap(), b"h\n");
    assert_eq!(run(&lasting, "cat ../M/built/h; echo i 2>/dev/null >../M/built/i"), "h\n");
    assert!(!fs::exists(&built.join("i")));
    assert_eq!(run(&lasting, "(exit 7); kill -9 $$"), "");
}

#[test]
fn a_link_that_a_process_leaves_leads_the_next_one_nowhere() {
    // In the home folder, which is new and the user's: there the ways to other folders can be exchanged.
    let home = tempfile::Builder::new().prefix("dkms-test-").tempdir_in("/root").unwrap();
    let (build, built) = (home.path().join("M/build"), home.path().join("M/built"));
    for folder in [&build, &built] {
        fs::create_dir_all(folder).unwrap();
    }
    let environment: Environment = [("PATH", "/usr/bin:/bin"), ("HOME", "/root")].into_iter().collect();
    let sandbox = Sandbox::new(&Wanted {
        strict: true,
        folders: vec![(&build, &build)],
        ..Wanted::bare("nobody", &environment)
    })
    .unwrap();
    let sandbox = sandbox.lasting();
    let run = |sandbox: &Sandbox, line: &str| {
        let process = Process::new("/bin/bash", ["-c", line], &environment).dir(&build);
        let ended = process.in_sandbox(sandbox).capture().unwrap();
        (ended.code(), ended.text())
    };
    let top = home.path().display();
    let exchange = format!(
        "cd / && mv {top} {top}-away && mkdir -p {top}/M && ln -s /etc {top}/M/build && ln -s /etc {top}/M/built"
    );
    assert_eq!(run(&sandbox, &exchange), (0, String::new()), "the way can be exchanged");
    for sandbox in [Some(sandbox.clone()), sandbox.with(&built, &built).unwrap()].into_iter().flatten() {
        let (code, text) = run(&sandbox, "pwd -P; echo x >/etc/dkms-test-escaped");
        assert_eq!((code, text.as_str()), (126, ""));
    }
    assert!(!fs::exists(Path::new("/etc/dkms-test-escaped")));
}

#[test]
fn folders_that_others_may_not_enter_are_no_hindrance() {
    let dir = tempfile::Builder::new().prefix("dkms-test-").tempdir_in("/var/cache").unwrap();
    let build = dir.path().join("M/build");
    fs::create_dir_all(&build).unwrap();
    fs::set_mode(dir.path(), 0o700).unwrap();
    let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
    let wanted = Wanted {
        strict: true,
        folders: vec![(&build, &build)],
        shown: vec![dir.path().to_owned()],
        ..Wanted::bare("nobody", &environment)
    };
    let sandbox = Sandbox::new(&wanted).unwrap();
    if let Some(owner) = sandbox.owner() {
        fs::give_to(&build, owner.uid.as_raw(), owner.gid.as_raw());
    }
    let process =
        Process::new("/bin/bash", ["-c", "echo x >y; cd ..; ls; cat build/y"], &environment).dir(&build);
    assert_eq!(process.in_sandbox(&sandbox).capture().unwrap().text(), "build\nx\n");
}

/// Inputs of a build in a folder that nobody may enter: a tree for root alone, with a key, and a file;
/// another file beside them.
fn private_world() -> World {
    let world = World::new();
    for name in ["home/linux/include", "home/linux/certs"] {
        fs::create_dir_all(&world.at(name)).unwrap();
    }
    for (name, text, mode) in [
        ("home/linux/.config", "config", 0o600),
        ("home/linux/include/a.h", "header", 0o600),
        ("home/linux/run", "#!/bin/sh\necho ran\n", 0o700),
        ("home/linux/certs/signing_key.pem", "-----BEGIN PRIVATE KEY-----", 0o600),
        ("home/linux/certs/other.pem", "certificate", 0o600),
        ("home/map", "address", 0o600),
        ("home/diary", "not for you", 0o644),
    ] {
        fs::write_whole(&world.at(name), text.as_bytes(), mode).unwrap();
    }
    for (name, mode) in [("home/linux/include", 0o700), ("home/linux", 0o700), ("home", 0o700)] {
        fs::set_mode(&world.at(name), mode).unwrap();
    }
    world
}

fn reads_as_root(world: &World, wanted: &Wanted<'_>) {
    let sandbox = Sandbox::new(wanted).unwrap();
    let home = world.at("home");
    let line = "cat linux/.config linux/include/a.h linux/certs/other.pem map; ./linux/run; ls -A . linux/include; \
                cat diary linux/certs/signing_key.pem; { echo x >linux/new; } 2>/dev/null; test ! -e linux/new && echo kept";
    let process = Process::new("/bin/bash", ["-c", line], &world.environment).dir(&home);
    let ended = process.in_sandbox(&sandbox).capture_stdout().unwrap();
    let expected = "configheadercertificateaddressran\n.:\nlinux\nmap\n\nlinux/include:\na.h\nkept\n";
    assert_eq!(String::from_utf8_lossy(&ended.output), expected);
    assert_eq!(sandbox.unreadable(&ended.missing), Vec::<PathBuf>::new());
    assert!(ended.missing.is_empty(), "{}", ended.missing);
}

#[test]
fn what_only_root_may_read_is_read_as_root_reads_it() {
    let world = private_world();
    let inputs = vec![world.at("home/linux"), world.at("home/map")];
    let wanted = Wanted {
        strict: true,
        shown: vec![world.at("tree")],
        inputs,
        ..Wanted::bare("nobody", &world.environment)
    };
    reads_as_root(&world, &wanted);
    // Where owners can't be mapped, copies are read instead.
    let _unmapped = inputs::without_maps();
    reads_as_root(&world, &wanted);
    let sandbox = Sandbox::new(&wanted).unwrap();
    let lacks = Missing(vec![Told { wall: Wall::Files, errno: 1 }]);
    if rustix::process::geteuid().is_root() {
        assert_eq!(sandbox.unreadable(&lacks), wanted.inputs);
    }
}

#[test]
fn a_link_shows_what_it_leads_to_and_no_more_of_a_home() {
    let shown = |path: &str| inputs::may_be_shown(Path::new(path));
    for path in ["/home/u/linux/a.h", "/root/a.h", "/usr/src/other", "/usr/lib/linux-kbuild-6.1/scripts"] {
        assert!(shown(path), "{path}");
    }
    for path in [
        "/home/u",
        "/home",
        "/root",
        "/",
        "/home/u/.ssh/id_rsa",
        "/root/.x",
        "/etc/shadow",
        "/var/lib/x",
        "/usr/src",
    ] {
        assert!(!shown(path), "{path}");
    }
}

#[test]
fn a_download_reaches_servers_and_nothing_of_this_machine_besides() {
    let world = World::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let build = world.at("tree/M/build");
    // A file in a hidden folder is hidden with it.
    let secret = vec![world.at("tree"), world.at("tree/key")];
    let wanted = Wanted { strict: true, secret, ..Wanted::bare("nobody", &world.environment) };
    let code = |sandbox: &Sandbox, line: &str| {
        let process = Process::new("/bin/bash", ["-c", line], &world.environment).dir(Path::new("/"));
        process.in_sandbox(sandbox).capture().unwrap().code()
    };
    let (download, built) = (Sandbox::for_download(&wanted).unwrap(), Sandbox::new(&wanted).unwrap());
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    assert_eq!((code(&download, &connect), code(&built, &connect)), (0, 1));
    let local = "perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_STREAM, 0) or exit 7'";
    assert_eq!((code(&download, local), code(&built, local)), (7, 0));
    let write = "echo x >/tmp/file";
    assert!(code(&download, write) != 0 && code(&built, write) == 0);
    let look = format!("ls {}", build.display());
    assert!(code(&download, &look) != 0);
    // However many files we have open: its own limit is for the program.
    let many: Vec<_> = (0..100).map(|_| fs::open(Path::new("/etc/passwd")).unwrap()).collect();
    assert_eq!((code(&download, "ulimit -n | grep -qx 64"), many.len()), (0, 100));
}
