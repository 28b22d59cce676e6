//! What is done once at the end: the admin's `post_transaction` command, and loading what was installed.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use crate::conf::Settings;
use crate::host::fs::{self, FsError};
use crate::host::process::{Process, ProcessError};
use crate::host::{Environment, clock};
use crate::id::Target;
use crate::report::{Event, Reporter};

/// Runs `post_transaction`, its output going to `post_transaction.log` in the tree: once, or once for each
/// kernel where the command asks for `$kernelver`. A failing one is warned of, and nothing more.
///
/// # Errors
/// [`ProcessError`] only where we were interrupted.
pub fn post_transaction(
    settings: &Settings,
    environment: &Environment,
    targets: &[Target],
    reporter: &dyn Reporter,
) -> Result<(), ProcessError> {
    let Some(command) = settings.post_transaction.as_deref() else { return Ok(()) };
    let asks_for_kernel = command.contains("$kernelver") || command.contains("${kernelver}");
    let kernels = if asks_for_kernel { targets } else { &targets[..targets.len().min(1)] };
    for target in kernels {
        let log = settings.layout.post_transaction_log();
        let process =
            Process::shell(command, &environment.for_admins()).env("kernelver", target.kernel.as_str());
        reporter.report(Event::Command { line: process.line() });
        let code = match logged(&log, command) {
            Ok(mut file) => match process.stream_to(&mut |bytes| drop(file.write_all(bytes))) {
                Ok(ended) => ended.code().to_string(),
                Err(error @ ProcessError::Interrupted { .. }) => return Err(error),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        if code != "0" {
            reporter.report(Event::warning(
                format!("the post_transaction command `{command}` failed ({code})"),
                [format!("its output is in `{}`", log.display())],
            ));
        }
    }
    Ok(())
}

fn logged(log: &Path, command: &str) -> Result<std::fs::File, FsError> {
    let mut file = fs::append_to(log)?;
    let head = format!("# {}\n# {command}\n", clock::rfc2822(clock::unix_seconds()));
    file.write_all(head.as_bytes()).map_err(|source| FsError {
        verb: "write",
        path: log.to_owned(),
        source,
    })?;
    Ok(file)
}

/// Loads every module that a device of this machine asks for, by the aliases below `/sys/devices`.
///
/// # Errors
/// [`ProcessError`] only where we were interrupted.
pub fn load_for_devices(
    settings: &Settings,
    environment: &Environment,
    reporter: &dyn Reporter,
) -> Result<(), ProcessError> {
    let aliases = device_aliases(&settings.layout.at("/sys/devices"));
    if aliases.is_empty() {
        return Ok(());
    }
    let arguments = ["--all", "--use-blacklist", "--quiet"].map(str::to_owned);
    let process = Process::new("modprobe", arguments.into_iter().chain(aliases), environment);
    reporter.report(Event::Command { line: "modprobe --all --use-blacklist --quiet ALIAS…".to_owned() });
    match process.capture() {
        Err(error @ ProcessError::Interrupted { .. }) => Err(error),
        Err(error) => {
            reporter.report(Event::warning(error.to_string(), []));
            Ok(())
        }
        // modprobe fails where one of the aliases has no module, which is the rule.
        Ok(_) => Ok(()),
    }
}

/// The content of every `modalias` file below a folder of sysfs.
fn device_aliases(devices: &Path) -> BTreeSet<String> {
    let files =
        walkdir::WalkDir::new(devices).into_iter().flatten().filter(|entry| entry.file_name() == "modalias");
    let texts = files.filter_map(|entry| fs::read_lossy(entry.path()).ok());
    texts.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::report::Recorder;

    fn run(command: &str) -> (String, usize) {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::defaults(Layout::under(dir.path()));
        fs::create_dir_all(&settings.layout.dkms_tree).unwrap();
        settings.post_transaction = Some(command.to_owned());
        let environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let targets = ["6.1.0", "6.2.0"].map(|kernel| Target::parse(kernel, "x86_64").unwrap());
        let recorder = Recorder::default();
        post_transaction(&settings, &environment, &targets, &recorder).unwrap();
        let log = fs::read_lossy(&settings.layout.post_transaction_log()).unwrap();
        let said = log.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(",");
        let warnings =
            recorder.events().iter().filter(|event| matches!(event, Event::Warning { .. })).count();
        (said, warnings)
    }

    #[test]
    fn the_command_runs_once_or_for_each_kernel() {
        assert_eq!(run("echo done"), ("done".to_owned(), 0));
        assert_eq!(run("echo $kernelver"), ("6.1.0,6.2.0".to_owned(), 0));
        assert_eq!(run("echo oh; false"), ("oh".to_owned(), 1));
    }

    #[test]
    fn aliases_are_read_once_each() {
        let dir = tempfile::tempdir().unwrap();
        for (device, alias) in [("a", "pci:v1\n"), ("b/c", "pci:v1\n"), ("b", "usb:v2\n"), ("d", "\n")] {
            let folder = dir.path().join(device);
            fs::create_dir_all(&folder).unwrap();
            fs::write_whole(&folder.join("modalias"), alias.as_bytes(), 0o644).unwrap();
        }
        assert_eq!(device_aliases(dir.path()).into_iter().collect::<Vec<_>>(), ["pci:v1", "usb:v2"]);
    }
}
