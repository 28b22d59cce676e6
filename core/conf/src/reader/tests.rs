//! Tests of reading: order of files, odd files, and confs that mean ill.

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;

struct World {
    root: tempfile::TempDir,
    id: ModuleId,
    environment: Environment,
}

const PLAIN: &str = "PACKAGE_NAME=foo\nPACKAGE_VERSION=1.0\nMAKE=\"make KV=$kernelver\"\nCLEAN=own\n";

impl World {
    fn new(conf: &[u8]) -> Self {
        let world = Self {
            root: tempfile::tempdir().unwrap(),
            id: ModuleId::parse("foo", "1.0").unwrap(),
            environment: [("PATH", "/usr/bin:/bin"), ("MAKE", "evil"), ("OUTSIDE", "x")]
                .into_iter()
                .collect(),
        };
        fs::create_dir_all(world.conf().parent().unwrap()).unwrap();
        fs::create_dir_all(&world.layout().etc_dkms()).unwrap();
        fs::write_whole(&world.conf(), conf, 0o644).unwrap();
        world
    }

    fn layout(&self) -> Layout {
        Layout::under(self.root.path())
    }

    fn conf(&self) -> PathBuf {
        self.layout().source_dir(&self.id).join("dkms.conf")
    }

    fn etc(&self, name: &str, text: &str) {
        fs::write_whole(&self.layout().etc_dkms().join(name), text.as_bytes(), 0o644).unwrap();
    }

    fn reader(&self) -> Reader {
        Reader::new(&self.layout(), &self.environment)
    }

    fn variables(&self, kernel: &str) -> Variables {
        let target = Target::parse(kernel, "x86_64").unwrap();
        Variables {
            kernel_source_dir: self.layout().headers_dir(&target.kernel),
            target,
            kernel_config: None,
            parallel_jobs: 2,
            dest_override: Some("/updates/dkms".to_owned()),
        }
    }

    fn read_with(&self, reader: &Reader, directives: &[&str]) -> Result<RawConf, ConfError> {
        let source = ConfSource { id: Some(&self.id), file: self.conf() };
        let variables = self.variables("6.1.0-47-amd64");
        let directives: Vec<String> = directives.iter().map(|text| (*text).to_owned()).collect();
        reader.read(&source, &variables, &directives)
    }

    fn read(&self) -> Result<RawConf, ConfError> {
        self.read_with(&self.reader(), &[])
    }

    /// The value of MAKE through the tier that is taken, and through bash.
    fn make(&self) -> (Option<String>, Option<String>) {
        let make = |raw: RawConf| raw.get(Directive::Make).map(str::to_owned);
        let usual = make(self.read().unwrap());
        (usual, make(self.read_with(&self.reader().through_bash(), &[]).unwrap()))
    }
}

fn both(text: &str) -> (Option<String>, Option<String>) {
    (Some(text.to_owned()), Some(text.to_owned()))
}

/// What a module has installed is read once for all kernels, and never so that it would be another one's.
#[test]
fn what_differs_between_kernels_is_read_for_each() {
    const BEGIN: &str =
        "PACKAGE_NAME=foo\nPACKAGE_VERSION=1.0\nMAKE=\"make KV=$kernelver\"\nBUILT_MODULE_NAME=foo\n";
    let confs = [
        ("DEST_MODULE_LOCATION=/extra\n", true),
        ("a=$kernelver\nPOST_BUILD=\"x $a\"\nDEST_MODULE_LOCATION=/extra\n", true),
        ("DEST_MODULE_LOCATION=/extra/$kernelver\n", false),
        ("DEST_MODULE_LOCATION='/extra/$kernelver'\n", false),
        ("DEST_MODULE_LOCATION='/extra/$MAKE'\n", false),
        ("a=$kernelver\nb=x$a\nDEST_MODULE_LOCATION=/extra/${b%-*}\n", false),
        ("a=${kernelver%%.*}\n[ $a -gt 6 ] && DEST_MODULE_LOCATION[0]=/updates\n", false),
        ("a=${kernelver%%.*}\nb=1\n[ $a -gt 6 ] && c=$((b++))\nDEST_MODULE_LOCATION=/extra/$b\n", false),
        ("a=${kernelver%%.*}\nb=$((a++))\nDEST_MODULE_LOCATION=/extra/$a\n", false),
        ("b=1\na=${kernelver#7*}\nc=${a:+$((b++))}\nDEST_MODULE_LOCATION=/extra/$b\n", false),
        ("a=(x ${kernelver})\nDEST_MODULE_LOCATION=/extra/${a[1]}\n", false),
        ("DEST_MODULE_LOCATION=/extra\nDEST_MODULE_LOCATION+=/$kernelver\n", false),
        ("DEST_MODULE_LOCATION=/extra/$(echo $kernelver)\n", false),
        ("DKMS_DIRECTIVE_X=\"DEST_MODULE_LOCATION=/extra/$kernelver\"\n", false),
        ("REMAKE_INITRD=${kernelver#6*}\nDEST_MODULE_LOCATION=/extra\n", false),
    ];
    for (more, is_shared) in confs {
        let world = World::new(format!("{BEGIN}{more}").as_bytes());
        let reader = world.reader().once();
        let source = ConfSource { id: Some(&world.id), file: world.conf() };
        for kernel in ["6.1.0-47-amd64", "7.2.0-1-amd64", "6.1.0-47-amd64"] {
            let variables = world.variables(kernel);
            let mut looked = reader.read_for_looking(&source, &variables, &[]).unwrap().values.clone();
            let mut read = world.reader().read(&source, &variables, &[]).unwrap().values;
            for values in [&mut looked, &mut read] {
                values.retain(|directive, _| !directive.is_of_work());
            }
            assert_eq!(looked, read, "{more} {kernel}");
        }
        assert_eq!(!reader.shared.lock().unwrap().is_empty(), is_shared, "{more}");
    }
    // A file of the administrator may be for one kernel only.
    let world = World::new(format!("{BEGIN}DEST_MODULE_LOCATION=/extra\n").as_bytes());
    world.etc("foo--7.2.0-1-amd64.conf", "DEST_MODULE_LOCATION=/updates\n");
    let reader = world.reader().once();
    let place = |kernel: &str| {
        let source = ConfSource { id: Some(&world.id), file: world.conf() };
        let raw = reader.read_for_looking(&source, &world.variables(kernel), &[]).unwrap();
        raw.get(Directive::DestModuleLocation).map(str::to_owned)
    };
    assert_eq!(place("6.1.0-47-amd64").as_deref(), Some("/extra"));
    assert_eq!(place("7.2.0-1-amd64").as_deref(), Some("/updates"));
}

#[test]
fn each_file_comes_over_the_one_before() {
    let world = World::new(PLAIN.as_bytes());
    let files = [
        "foo.conf",
        "foo-1.0.conf",
        "foo-1.0-6.1.0-47-amd64.conf",
        "foo-1.0-6.1.0-47-amd64-x86_64.conf",
        "foo--6.1.0-47-amd64.conf",
        "foo--6.1.0-47-amd64-x86_64.conf",
    ];
    assert_eq!(world.make(), both("make KV=6.1.0-47-amd64"));
    for name in files {
        world.etc(name, &format!("MAKE=\"{name} over $CLEAN\"\nCLEAN={name}\n"));
        let under = world.read().unwrap();
        let text = under.get(Directive::Make).unwrap();
        assert!(text.starts_with(&format!("{name} over ")), "{text}");
        assert_eq!(world.make(), both(text));
    }
    world.etc("foo-2.0.conf", "MAKE=other\n");
    world.etc("bar.conf", "MAKE=other\n");
    fs::symlink(Path::new("/nowhere"), &world.layout().etc_dkms().join("foo--6.1.0-47-amd64.conf")).unwrap();
    assert!(world.make().0.unwrap().starts_with(files[5]));
}

#[test]
fn directives_come_over_all_files_as_they_stand() {
    let mut world = World::new(format!("{PLAIN}DKMS_DIRECTIVE_1='CLEAN=from conf'\n").as_bytes());
    world.environment.set("DKMS_DIRECTIVE_0", "MAKE=from environment $kernelver");
    let raw = world.read().unwrap();
    assert_eq!(raw.get(Directive::Make), Some("from environment $kernelver"));
    assert_eq!(raw.get(Directive::Clean), Some("from conf"));
    let given = ["MAKE=\"given\"", "PATCH[3]=x=y", "NO_SUCH=1", "garbage", " CLEAN=c"];
    let raw = world.read_with(&world.reader(), &given).unwrap();
    assert_eq!(raw.get(Directive::Make), Some("\"given\""));
    assert_eq!(raw.at(Directive::Patch, 3), Some("x=y"));
    assert_eq!(raw.get(Directive::Clean), Some("c"));
    let through_bash = world.read_with(&world.reader().through_bash(), &given).unwrap();
    assert_eq!(raw.values, through_bash.values);
}

#[test]
fn only_a_conf_sets_directives_and_our_variables() {
    let mut world = World::new(b"PACKAGE_NAME=foo\nCLEAN=\"$arch $OUTSIDE $MAKE $module $module_version\"\n");
    world.environment.set("arch", "m68k");
    world.environment.set("BASH_ENV", "/dev/full");
    let raw = world.read().unwrap();
    assert_eq!(raw.get(Directive::Clean), Some("x86_64 x foo 1.0"));
    assert_eq!(raw.get(Directive::Make), None);
    let other = world.read_with(&world.reader().through_bash(), &[]).unwrap();
    assert_eq!(raw.values, other.values);
}

#[test]
fn texts_from_elsewhere_are_read() {
    let crlf = PLAIN.replace('\n', "\r\n");
    let bom = format!("\u{feff}{PLAIN}");
    let all = [crlf.as_str(), &bom, PLAIN.trim_end(), &format!("\u{feff}# caf\u{e9}\r\n\r\n{crlf}")];
    for text in all {
        let world = World::new(text.as_bytes());
        assert_eq!(world.make(), both("make KV=6.1.0-47-amd64"), "{text:?}");
        assert_eq!(world.read().unwrap().get(Directive::PackageName), Some("foo"));
    }
    // Two systems' line ends in one file, and a CR that is part of a value.
    let mixed = World::new(
        b"PACKAGE_NAME=foo\nif true; then\r\n  MAKE=one\r\nelse\n  MAKE=two\nfi\r\n[ x = x ] && CLEAN=\"a\rb\"\r\n",
    );
    assert_eq!(mixed.make(), both("one"));
    assert_eq!(mixed.read().unwrap().get(Directive::Clean), Some("a\rb"));
    let latin1 = World::new(b"# caf\xe9\nPACKAGE_NAME=foo\nMAKE='caf\xe9'\n");
    assert_eq!(latin1.make(), both("caf\u{fffd}"));
    assert_eq!(latin1.read().unwrap().tier, Tier::Bash);
}

#[test]
fn what_is_no_conf_is_refused_at_once() {
    let begin = Instant::now();
    let world = World::new(b"A=1\nB=\0x\n");
    assert!(matches!(world.read(), Err(ConfError::Binary { line: 2, .. })));
    let mac = World::new(b"PACKAGE_NAME=foo\rPACKAGE_VERSION=1.0\r");
    assert!(matches!(mac.read(), Err(ConfError::LineEnds { .. })));
    assert_eq!(World::new(b"PACKAGE_NAME=foo\r").read().unwrap().get(Directive::PackageName), Some("foo"));
    let huge = World::new(&vec![b'#'; 100 << 20]);
    assert!(matches!(huge.read(), Err(ConfError::TooLarge { .. })));
    let odd = |make: &dyn Fn(&Path)| {
        let world = World::new(b"");
        fs::remove_file(&world.conf()).unwrap();
        make(&world.conf());
        let error = world.read().unwrap_err();
        assert!(error.to_string().contains("dkms.conf"), "{error}");
        error
    };
    use rustix::fs::{CWD, FileType, mknodat};
    let fifo = odd(&|path| mknodat(CWD, path, FileType::Fifo, 0o644.into(), 0).unwrap());
    assert!(matches!(fifo, ConfError::Unreadable(_)), "{fifo}");
    let zero = odd(&|path| fs::symlink(Path::new("/dev/zero"), path).unwrap());
    assert!(matches!(zero, ConfError::Unreadable(_)), "{zero}");
    let folder = odd(&|path| fs::create_dir_all(path).unwrap());
    assert!(matches!(folder, ConfError::Unreadable(_)), "{folder}");
    let looped = odd(&|path| fs::symlink(path, path).unwrap());
    assert!(matches!(looped, ConfError::Unreadable(_)), "{looped}");
    let missing = odd(&|_| {});
    assert!(matches!(missing, ConfError::Missing { .. }), "{missing}");
    // A FIFO that is waited for would never end; a busy machine takes its time to write 100 MiB.
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_conf_that_does_harm_to_its_shell_is_read_or_refused() {
    // Each is followed by the plain lines, and must give their values through bash.
    for harm in [
        "PATH=/nowhere",
        "IFS=k",
        "set -e",
        "set -u -x -v -f",
        "set -o posix",
        "set -C; shopt -s failglob nocasematch nullglob",
        "printf() { :; }; builtin() { :; }; unset() { :; }; declare() { :; }; eval() { exit 1; }; set() { exit 1; }",
        "trap 'echo trapped; exit 3' EXIT; trap 'false' DEBUG; trap 'false' RETURN ERR",
        "echo garbage; echo garbage >&2; printf 'x\\0y' >&3 2>/dev/null; printf '\\0\\0junk' >&211",
        "cat; read x; read -t 1 y",
        "exec >/dev/full 2>&1 <&-",
        "set -- a b c; shift 2",
        "shopt -s expand_aliases; alias printf=false local=false for=false",
        "local PACKAGE_VERSION; local -a PATCH; declare -g Z=1",
        "readonly HARM=1; HARM=2",
        "cd /; umask 777; ulimit -n 64",
        "sleep 100 &",
        "unset __dkms_files; enable -n echo",
        "(exit 3); x=$(exit 4); false | exit 5",
        "enable -n printf",
    ] {
        let world = World::new(format!("{harm}\n{PLAIN}").as_bytes());
        let raw = world.read().unwrap_or_else(|error| panic!("{harm}: {error}"));
        assert_eq!(raw.get(Directive::Make), Some("make KV=6.1.0-47-amd64"), "{harm}");
        assert_eq!(raw.get(Directive::PackageVersion), Some("1.0"), "{harm}");
        assert_eq!(raw.tier, Tier::Bash, "{harm}");
        // It must not spoil the next file either.
        world.etc("foo.conf", "CLEAN=$(echo next)\n");
        if !harm.contains("PATH=") {
            assert_eq!(world.read().unwrap().get(Directive::Clean), Some("next"), "{harm}");
        }
    }
    // These can't be read to their end: an error that names the file, soon.
    for harm in [
        "exec true",
        "set -e; false",
        "kill -9 $$",
        "exec 211>&-",
        "set -n",
        "x=${none?}",
        "readonly POSIXLY_CORRECT",
    ] {
        let world = World::new(format!("{harm}\n{PLAIN}").as_bytes());
        let error = world.read().map(|raw| panic!("{harm}: {raw:?}")).unwrap_err();
        assert!(
            matches!(&error, ConfError::CutShort { path, .. } if *path == world.conf()),
            "{harm}: {error}"
        );
    }
}

#[test]
fn exits_and_faults_are_told_with_their_line() {
    let world = World::new(b"A=1\nf() {\n  exit 0\n}\nf\nPACKAGE_NAME=foo\n");
    let error = world.read().unwrap_err();
    assert!(matches!(&error, ConfError::Exits { path, line: 3 } if *path == world.conf()), "{error}");
    world.etc("foo.conf", "CLEAN=x\nexit 1\n");
    fs::remove_file(&world.conf()).unwrap();
    fs::write_whole(&world.conf(), PLAIN.as_bytes(), 0o644).unwrap();
    let error = world.read().unwrap_err();
    let etc = world.layout().etc_dkms().join("foo.conf");
    assert!(matches!(&error, ConfError::Exits { path, line: 2 } if *path == etc), "{error}");

    for (text, expected) in [
        ("A=1\n\nif true; then\nA=2\n", 5),
        ("A=1\n%(x)s\n", 2),
        ("A=1\nB='x\n", 2),
        ("\u{feff}A=1\n)\n", 2),
        ("A=(1\n", 1),
    ] {
        let world = World::new(text.as_bytes());
        let error = world.read().unwrap_err();
        let ConfError::Syntax { path, line, message } = &error else { panic!("{text:?}: {error}") };
        assert_eq!((path, *line), (&world.conf(), expected), "{text:?}: {message}");
        assert_eq!(error.exit_code(), dkms_base::exit::ExitCode::INVALID_CONF);
    }
}

#[test]
fn a_value_that_cannot_be_expanded_twice_is_named() {
    let world = World::new(b"PACKAGE_NAME=foo\nPATCH[2]='$(echo '\n");
    let error = world.read().unwrap_err();
    let ConfError::Value { directive, index, .. } = &error else { panic!("{error}") };
    assert_eq!((directive.as_str(), index.as_str()), ("PATCH", "2"));
}

#[test]
fn a_conf_that_does_not_end_is_ended() {
    let world = World::new(b"while :; do :; done\n");
    let begin = Instant::now();
    let error = world.read().unwrap_err();
    assert!(matches!(&error, ConfError::TimedOut { path, .. } if *path == world.conf()), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(15));
}

#[test]
fn memory_is_not_without_end() {
    let world = World::new(b"x=aaaaaaaaaaaaaaaa\nwhile :; do x=$x$x; done\n");
    assert!(matches!(world.read(), Err(ConfError::CutShort { .. } | ConfError::TimedOut { .. })));
}

#[test]
fn confs_know_where_they_are() {
    let text = "PACKAGE_NAME=$(basename \"$BASH_SOURCE\")\nMAKE=\"${BASH_SOURCE%/dkms.conf}\"\nCLEAN=$PWD\n. ./neighbour\n\
                PATCH=$(override_dest_module_location /extra)\nlocal here=1\n[[ x == @(x|y) ]] && PATCH_MATCH=ext\n";
    let world = World::new(text.as_bytes());
    let dir = world.conf().parent().unwrap().to_owned();
    fs::write_whole(&dir.join("neighbour"), b"STRIP=no\n", 0o644).unwrap();
    let raw = world.read().unwrap();
    assert_eq!(raw.get(Directive::PackageName), Some("dkms.conf"));
    assert_eq!(raw.get(Directive::Make), dir.to_str());
    assert_eq!(raw.get(Directive::Clean), dir.to_str());
    assert_eq!(raw.get(Directive::Strip), Some("no"));
    assert_eq!(raw.get(Directive::Patch), Some("/updates/dkms"));
    assert_eq!(raw.get(Directive::PatchMatch), Some("ext"));
}

#[test]
fn a_file_that_changes_is_read_again() {
    let world = World::new(b"MAKE=one\n");
    let reader = world.reader();
    assert_eq!(world.read_with(&reader, &[]).unwrap().get(Directive::Make), Some("one"));
    fs::write_whole(&world.conf(), b"MAKE=two\n", 0o644).unwrap();
    assert_eq!(world.read_with(&reader, &[]).unwrap().get(Directive::Make), Some("two"));
}

#[test]
fn names_that_were_set_are_known_for_near_misses() {
    for text in ["BUILD_MODULE_NAME=x\nKVER=$OUTSIDE\n", "BUILD_MODULE_NAME=$(echo x)\nKVER=$OUTSIDE\n"] {
        let raw = World::new(text.as_bytes()).read().unwrap();
        assert_eq!(
            raw.other_names.iter().map(String::as_str).collect::<Vec<_>>(),
            ["BUILD_MODULE_NAME", "KVER"]
        );
    }
}

#[test]
fn many_confs_are_read_in_no_time() {
    let text = format!(
        "# a usual conf\n{PLAIN}BUILT_MODULE_NAME[0]=foo\nDEST_MODULE_LOCATION[0]=/updates\nAUTOINSTALL=yes\n\
         MAKE[0]=\"make -C $kernel_source_dir M=$dkms_tree/$module/$module_version/build KV=${{kernelver%%-*}}\"\n"
    );
    let world = World::new(text.as_bytes());
    let reader = world.reader();
    world.read_with(&reader, &[]).unwrap();
    let begin = Instant::now();
    for _ in 0..200 {
        assert_eq!(world.read_with(&reader, &[]).unwrap().tier, Tier::Static);
    }
    // Unoptimised, on a very busy machine.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn what_the_admin_says_is_told_from_what_the_module_says() {
    let world = World::new(b"PACKAGE_NAME=foo\nPACKAGE_VERSION=1.0\nMAKE=own\nPOST_BUILD=../own\n");
    let said = |directives: &[&str]| {
        let source = ConfSource { id: Some(&world.id), file: world.conf() };
        let target = Target::parse("6.1.0-47-amd64", "x86_64").unwrap();
        let variables = Variables {
            kernel_source_dir: world.layout().headers_dir(&target.kernel),
            target,
            kernel_config: None,
            parallel_jobs: 2,
            dest_override: None,
        };
        let directives: Vec<String> = directives.iter().map(ToString::to_string).collect();
        let raw = world.reader().read_admins(&source, &variables, &directives).unwrap();
        assert_eq!(raw.get(Directive::Make), None);
        raw.get(Directive::PostBuild).map(str::to_owned)
    };
    assert_eq!(said(&[]), None);
    assert_eq!(said(&["POST_BUILD=../../sign"]).as_deref(), Some("../../sign"));
    world.etc("sign.inc", "POST_BUILD=../../included\n");
    let text = format!(
        "[ \"$PACKAGE_VERSION\" = 1.0 ] && source {}/sign.inc\n",
        world.layout().etc_dkms().display()
    );
    world.etc("foo.conf", &text);
    assert_eq!(said(&[]).as_deref(), Some("../../included"));
}
