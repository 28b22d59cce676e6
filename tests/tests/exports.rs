//! What kernels export and what their own modules use, by real kernels of two lines (6.1: lz4; 6.12: zstd,
//! both with CRCs): an image and the list of its headers tell the same, and no module of a kernel has a fault
//! there, with headers or without. For the other kernel each of them has one.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::path::PathBuf;

use dkms_base::host::fs;
use dkms_base::id::Target;
use dkms_base::layout::Layout;
use dkms_core::verify::Examiner;
use dkms_kernel::exports::{image, symvers};
use dkms_kernel::{KernelFacts, ModuleTree, Overrides};
use dkms_tests::{say, stock, tier};

/// So many of the modules of a kernel are tried in turns: unpacking them takes most of the time.
const TURNS: usize = 8;

#[test]
fn an_image_exports_what_the_list_of_its_headers_says() {
    for kernel in stock::two_lines().unwrap() {
        let of_image = image::parse(&fs::read(&kernel.image).unwrap()).unwrap();
        let text = fs::read_lossy(&kernel.list).unwrap();
        let of_list: Vec<_> = symvers::lines(&text).filter(|line| line.exporter == symvers::IMAGE).collect();
        assert!(of_list.len() > 5000 && of_list.len() == of_image.len(), "{}", of_image.len());
        for line in of_list {
            assert_eq!(of_image.get(line.name), Some(&line.export), "{} {}", kernel.release, line.name);
        }
    }
}

/// Which of these modules have faults on a kernel, with what is reported of them.
fn faults(layout: &Layout, release: &str, modules: &[PathBuf]) -> Vec<String> {
    let target = Target::parse(release, "x86_64").unwrap();
    let kernel = KernelFacts::look(&target, layout, &Overrides::default()).unwrap();
    let examiner = Examiner::new(layout, &kernel);
    let mut said = Vec::new();
    for module in modules {
        let faults = examiner.examine(std::slice::from_ref(module)).concat();
        if !faults.is_empty() {
            let faults: Vec<_> = faults.iter().map(|fault| format!("{}: {fault}", fault.word())).collect();
            said.push(format!("{}: {}", module.display(), faults.join("; ")));
        }
    }
    said
}

#[test]
fn a_kernels_own_modules_fit_it_and_not_the_other_one() {
    let kernels = stock::two_lines().unwrap();
    let worlds = kernels.each_ref().map(|kernel| kernel.root().unwrap());
    let turn = tier::turn();
    for (own, other) in [(0, 1), (1, 0)] {
        let (kernel, (dir, layout)) = (&kernels[own], &worlds[own]);
        let tree = ModuleTree::walk(&layout.at("/lib/modules").join(&kernel.release)).unwrap();
        let modules: Vec<_> = tree.iter().flat_map(|(_, paths)| paths.iter().cloned()).collect();
        let modules = if tier::is_full() { modules } else { tier::taken(modules, turn, TURNS) };
        assert!(modules.len() > 50, "{}", modules.len());
        let none: [String; 0] = [];
        assert_eq!(faults(layout, &kernel.release, &modules), none, "without headers");

        let there = faults(&worlds[other].1, &kernels[other].release, &modules);
        assert_eq!(there.len(), modules.len());
        let by_sums = there.iter().filter(|said| said.contains("other-build: ")).count();
        assert!(by_sums == modules.len(), "module_layout differs: {by_sums} of {}", modules.len());

        let headers = dir.path().join("lib/modules").join(&kernel.release).join("build");
        fs::create_dir_all(&headers.join("include")).unwrap();
        fs::write_whole(&headers.join("Module.symvers"), &fs::read(&kernel.list).unwrap(), 0o644).unwrap();
        fs::remove_file(&layout.at("/boot").join(format!("vmlinuz-{}", kernel.release))).unwrap();
        assert_eq!(faults(layout, &kernel.release, &modules), none, "with headers");
        say(&format!(
            "{}: {} of its modules fit it, with headers and without",
            kernel.release,
            modules.len()
        ));
    }
}
