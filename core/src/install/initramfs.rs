//! Making a kernel's initramfs anew, with what the system has: it may hold a module that was installed just now.

use std::path::{Path, PathBuf};

use crate::host::fs;
use crate::host::process::{Process, ProcessError};
use crate::host::{Environment, programs};
use crate::id::KernelRelease;
use crate::layout::Layout;
use crate::report::{Event, Reporter};

/// A way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Maker {
    program: &'static str,
    arguments: Vec<String>,
}

/// Makes it anew, where this kernel has one; a kernel that is only coming gets its first from its own package, after us.
/// A failure is warned of: the old initramfs is still there, and boots.
///
/// Returns whether one was made.
///
/// # Errors
/// [`ProcessError`] only where we were interrupted.
pub fn remake(
    kernel: &KernelRelease,
    layout: &Layout,
    environment: &Environment,
    reporter: &dyn Reporter,
) -> Result<bool, ProcessError> {
    if !images(kernel, layout).iter().any(|path| fs::is_file(path)) {
        reporter.report(Event::note(format!("kernel {kernel} has no initramfs yet, so none is made anew")));
        return Ok(false);
    }
    let is_there = |program: &str| programs::find(program, environment).is_some();
    let Some(maker) = maker(kernel, layout, &is_there) else {
        let text = format!(
            "the initramfs of kernel {kernel} should be made anew, but neither update-initramfs nor dracut nor mkinitcpio is here"
        );
        reporter.report(Event::warning(text, []));
        return Ok(false);
    };
    let process = Process::new(maker.program, maker.arguments, environment);
    let line = process.line();
    reporter.report(Event::Command { line: line.clone() });
    let (why, output) = match process.capture() {
        Ok(ended) if ended.code() == 0 => return Ok(true),
        Ok(ended) => (format!("it ended with exit code {}", ended.code()), ended.text()),
        Err(error @ ProcessError::Interrupted { .. }) => return Err(error),
        Err(error) => (error.to_string(), String::new()),
    };
    let mut hints: Vec<String> = output.lines().rev().take(3).map(str::to_owned).collect();
    hints.reverse();
    hints.push(format!("once that is mended: `{line}`"));
    reporter
        .report(Event::warning(format!("the initramfs of kernel {kernel} was not made anew: {why}"), hints));
    Ok(false)
}

/// Where the families keep it: Debian's, dracut's (Fedora, SUSE), Arch's by its package.
fn images(kernel: &KernelRelease, layout: &Layout) -> Vec<PathBuf> {
    let boot = layout.at("/boot");
    let mut images = vec![
        boot.join(format!("initrd.img-{kernel}")),
        boot.join(format!("initramfs-{kernel}.img")),
        boot.join(format!("initrd-{kernel}")),
    ];
    images.extend(package_base(kernel, layout).map(|base| boot.join(format!("initramfs-{base}.img"))));
    images
}

/// The package of an Arch kernel, which its presets are named after.
fn package_base(kernel: &KernelRelease, layout: &Layout) -> Option<String> {
    let base = fs::read_lossy(&layout.kernel_dir(kernel).join("pkgbase")).ok()?.trim().to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+@".contains(c);
    (!base.is_empty() && !base.starts_with(['-', '.']) && base.chars().all(plain)).then_some(base)
}

fn maker(kernel: &KernelRelease, layout: &Layout, is_there: &dyn Fn(&str) -> bool) -> Option<Maker> {
    let with = |program: &'static str, arguments: &[&str]| {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        is_there(program).then_some(Maker { program, arguments })
    };
    let release = kernel.as_str();
    let preset = package_base(kernel, layout).filter(|base| {
        fs::is_file(&layout.at("/etc/mkinitcpio.d").join(Path::new(&format!("{base}.preset"))))
    });
    with("update-initramfs", &["-u", "-k", release])
        .or_else(|| preset.and_then(|base| with("mkinitcpio", &["-p", &base])))
        .or_else(|| with("dracut", &["--force", "--kver", release]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Recorder;

    fn world() -> (tempfile::TempDir, Layout, KernelRelease) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        fs::create_dir_all(&layout.at("/boot")).unwrap();
        (dir, layout, KernelRelease::new("6.1.0-1-amd64").unwrap())
    }

    #[test]
    fn the_systems_own_maker_is_taken() {
        let (_dir, layout, kernel) = world();
        let made_by = |there: &[&str]| maker(&kernel, &layout, &|program| there.contains(&program));
        assert_eq!(
            made_by(&["dracut", "update-initramfs"]).unwrap().arguments,
            ["-u", "-k", "6.1.0-1-amd64"]
        );
        assert_eq!(made_by(&["dracut"]).unwrap().arguments, ["--force", "--kver", "6.1.0-1-amd64"]);
        assert_eq!(made_by(&["mkinitcpio"]), None);
        for (path, text) in
            [("lib/modules/6.1.0-1-amd64/pkgbase", "linux-lts\n"), ("etc/mkinitcpio.d/linux-lts.preset", "")]
        {
            let path = layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        }
        assert_eq!(made_by(&["mkinitcpio", "dracut"]).unwrap().arguments, ["-p", "linux-lts"]);
    }

    #[test]
    fn it_is_made_where_there_is_one_and_a_failure_is_a_warning() {
        let (dir, layout, kernel) = world();
        let tool = dir.path().join("update-initramfs");
        fs::write_whole(&tool, b"#!/bin/sh\necho oh; exit $CODE\n", 0o755).unwrap();
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let remade = |code: &str| {
            let environment = [("PATH", path.as_str()), ("CODE", code)].into_iter().collect();
            let recorder = Recorder::default();
            let made = remake(&kernel, &layout, &environment, &recorder).unwrap();
            (made, recorder.events().iter().any(|event| matches!(event, Event::Warning { .. })))
        };
        assert_eq!(remade("0"), (false, false));
        fs::write_whole(&layout.at("/boot/initrd.img-6.1.0-1-amd64"), b"", 0o644).unwrap();
        assert_eq!(remade("0"), (true, false));
        assert_eq!(remade("1"), (false, true));
    }
}
