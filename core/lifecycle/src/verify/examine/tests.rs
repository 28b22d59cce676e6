use super::*;
use crate::kernel::{Compression, Overrides};
use crate::modfile::testing::Fabricated;
use crate::modfile::testing::packed;

const KERNEL: &str = "6.1.0-t";

/// The most memory that this process had since the last call, in bytes.
fn peak() -> u64 {
    let status = fs::read_lossy(Path::new("/proc/self/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
    let mut reset = fs::append_to(Path::new("/proc/self/clear_refs")).unwrap();
    std::io::Write::write_all(&mut reset, b"5").unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

struct World {
    dir: tempfile::TempDir,
    layout: Layout,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = Self { layout: Layout::under(dir.path()), dir };
        world.write(&format!("lib/modules/{KERNEL}/build/include/x"), b"");
        world
    }

    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write_whole(&path, bytes, 0o644).unwrap();
        path
    }

    /// A list of the kernel, with `printk`.
    fn with_list(self) -> Self {
        self.write(&format!("lib/modules/{KERNEL}/build/Module.symvers"), KERNEL_LIST);
        self
    }

    fn built(&self, name: &str, kernel: &str, file: &str, bytes: &[u8]) {
        let tree = format!("var/lib/dkms/{name}/1.0");
        self.write(&format!("usr/src/{name}-1.0/dkms.conf"), b"");
        drop(fs::symlink(
            &self.layout.source_tree.join(format!("{name}-1.0")),
            &self.dir.path().join(&tree).join("source"),
        ));
        self.write(&format!("{tree}/{kernel}/x86_64/module/{file}"), bytes);
    }

    fn faults(&self, files: &[PathBuf]) -> Vec<String> {
        let target = Target::parse(KERNEL, "x86_64").unwrap();
        let kernel = KernelFacts::look(&target, &self.layout, &Overrides::default()).unwrap();
        let faults = Examiner::new(&self.layout, &kernel).examine(files);
        let shown =
            |fault: &Fault| std::iter::once(fault.to_string()).chain(fault.hints()).collect::<Vec<_>>();
        faults.iter().flatten().flat_map(shown).collect()
    }

    fn judged(&self, module: &Fabricated) -> Vec<String> {
        self.faults(&[self.write("x.ko", &module.bytes())])
    }
}

const KERNEL_LIST: &[u8] = b"0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n";

fn module() -> Fabricated {
    Fabricated::for_kernel("x", KERNEL)
}

fn unknown(names: &str) -> String {
    format!("needs symbols that nothing exports on kernel {KERNEL}: {names}")
}

#[test]
fn what_is_not_known_is_no_fault() {
    let world = World::new();
    let module = module().needs(&["nobody_has_it"]);
    assert!(world.judged(&module).is_empty());
    // What a build of some modules leaves is not the kernel's list.
    world.write(&format!("lib/modules/{KERNEL}/build/Module.symvers"), b"0x1\tfoo\tfoo\tEXPORT_SYMBOL\t\n");
    assert!(world.judged(&module).is_empty());
    assert!(world.faults(&["/nonexistent/x.ko".into()]).is_empty());
}

#[test]
fn an_unknown_symbol_is_named_and_a_weak_one_may_be_missing() {
    let world = World::new().with_list();
    assert!(world.judged(&module().needs(&["printk"]).weak(&["maybe"])).is_empty());
    assert_eq!(world.judged(&module().needs(&["printk", "nobody"])), [unknown("`nobody`")]);
}

#[test]
fn the_list_of_the_kernels_package_counts_where_there_are_no_headers() {
    for (path, compression) in [
        (format!("boot/symvers-{KERNEL}.gz"), Compression::Gzip),
        (format!("lib/modules/{KERNEL}/symvers.zst"), Compression::Zstd),
    ] {
        let world = World::new();
        world.write(&path, &packed(KERNEL_LIST, compression));
        assert_eq!(world.judged(&module().needs(&["printk", "nobody"])), [unknown("`nobody`")]);
    }
}

#[test]
fn headers_of_another_kernel_say_nothing_of_its_symbols() {
    let world = World::new().with_list();
    let headers = format!("lib/modules/{KERNEL}/build/include");
    world.write(&format!("{headers}/config/kernel.release"), b"6.1.192\n");
    assert_eq!(world.judged(&module().needs(&["nobody"])), [unknown("`nobody`")]);
    world.write(&format!("{headers}/generated/utsrelease.h"), b"#define UTS_RELEASE \"6.1.0-other\"\n");
    assert!(world.judged(&module().needs(&["nobody"])).is_empty());
    let other = world.judged(&Fabricated::for_kernel("x", "6.1.0-other"));
    assert_eq!(other[0], format!("is built for kernel 6.1.0-other (vermagic), not for {KERNEL}"));
    assert!(other[1].contains("install its own headers"), "{other:?}");
}

#[test]
fn modules_of_one_build_and_other_modules_export_too() {
    let world = World::new().with_list();
    let needing =
        world.write("a.ko", &module().needs(&["of_sibling", "of_list", "of_file", "of_extra"]).bytes());
    let sibling =
        world.write("b.ko.zst", &packed(&module().exports(&["of_sibling"]).bytes(), Compression::Zstd));
    world.built("one", KERNEL, "Module.symvers", b"0x1\tof_list\tone\tEXPORT_SYMBOL\t\n");
    world.built(
        "two",
        KERNEL,
        "two.ko.xz",
        &packed(&module().exports(&["of_file"]).bytes(), Compression::Xz),
    );
    let files = [needing, sibling];
    assert_eq!(world.faults(&files), [unknown("`of_extra`")]);
    let extra = module().exports(&["of_extra"]).bytes();
    world.write(&format!("lib/modules/{KERNEL}/extra/e.ko.gz"), &packed(&extra, Compression::Gzip));
    assert!(world.faults(&files).is_empty());
}

#[test]
fn who_exports_a_symbol_on_other_kernels_is_named() {
    let world = World::new().with_list();
    world.built("base", "6.0.0-o", "Module.symvers", b"0x1\tof_base\tbase\tEXPORT_SYMBOL\t\n");
    assert_eq!(
        world.judged(&module().needs(&["of_base"])),
        [
            unknown("`of_base`"),
            format!(
                "`dkms install base/1.0 -k {KERNEL}` installs the module that exports `of_base`; then build this one again (its BUILD_DEPENDS should name base)"
            ),
        ]
    );
}

#[test]
fn a_list_that_unpacks_to_very_much_is_read_a_line_at_a_time() {
    let world = World::new().with_list();
    let bomb = [vec![0xff; 65 << 20], b"\n0x1\tof_list\tone\tEXPORT_SYMBOL\t\n".to_vec()].concat();
    world.built("one", KERNEL, "Module.symvers", &packed(&bomb, Compression::Zstd));
    assert_eq!(world.judged(&module().needs(&["of_list"])), [unknown("`of_list`")]);
    let list = b"\xff\n0x1\tof_list\tone\tEXPORT_SYMBOL\t\n";
    world.built("one", KERNEL, "Module.symvers", list);
    assert!(world.judged(&module().needs(&["of_list"])).is_empty());
}

#[test]
fn a_module_is_unpacked_up_to_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.ko");
    fs::write_whole(&path, &packed(&vec![0; 2 << 20], Compression::Zstd), 0o644).unwrap();
    assert!(matches!(read(&path, 1 << 20), Ok(Err(NotAModule::Packed(_)))));
    assert!(matches!(read(&path, 2 << 20), Ok(Err(NotAModule::NotElf | NotAModule::Text))));
}

#[test]
fn large_modules_are_examined_in_pieces() {
    let world = World::new().with_list();
    let needing = module().needs(&["nobody"]).bytes();
    let sparse = world.dir.path().join("x.ko");
    let mut file = fs::create_new(&sparse, 0o644).unwrap();
    std::io::Write::write_all(&mut file, &needing).unwrap();
    file.set_len(512 << 20).unwrap();
    let bomb = world.write("x.ko.zst", &packed(&[needing, vec![0; 200 << 20]].concat(), Compression::Zstd));
    peak();
    let before = peak();
    assert_eq!(world.faults(&[sparse, bomb]), [unknown("`nobody`"), unknown("`nobody`")]);
    let grown = peak().saturating_sub(before);
    // Other tests run beside it; the files have 512 and 200 MiB.
    assert!(grown < 100 << 20, "grown by {grown} bytes");
}

#[test]
fn broken_files_are_named_however_they_are_packed() {
    let world = World::new();
    let whole = packed(&module().bytes(), Compression::Xz);
    let cut = world.write("x.ko.xz", &whole[..whole.len() / 2]);
    assert!(world.faults(&[cut])[0].starts_with("cannot be unpacked: "));
    let text = world.write("x.ko.gz", &packed(b"not here\n", Compression::Gzip));
    assert_eq!(world.faults(&[text]), ["is a text file, not a module"]);
}
