//! Ubuntu's crash reporter: where its hook for dkms packages is installed, a failed build is handed to it.

use crate::conf::Settings;
use crate::host::process::{Process, ProcessError};
use crate::host::{Environment, fs, programs};
use crate::id::{ModuleId, Target};
use crate::report::{Event, Reporter};

/// The hook, as Ubuntu's dkms package installs it.
const HOOK: &str = "/usr/share/apport/package-hooks/dkms_packages.py";

/// Files a report; that none can be filed is reported, and no failure.
///
/// # Errors
/// [`ProcessError`] only where we were interrupted.
pub(super) fn file_report(
    settings: &Settings,
    environment: &Environment,
    id: &ModuleId,
    target: &Target,
    reporter: &dyn Reporter,
) -> Result<(), ProcessError> {
    let hook = settings.layout.at(HOOK);
    // The hook comes with us; apport is written in Python, and brings it.
    if !fs::is_file(&hook) || programs::find("python3", environment).is_none() {
        return Ok(());
    }
    let hook = hook.to_string_lossy();
    let arguments = [&hook, "-m", id.name.as_str(), "-v", id.version.as_str(), "-k", target.kernel.as_str()];
    let process = Process::new("python3", arguments, environment);
    reporter.report(Event::Command { line: process.line() });
    match process.capture() {
        Err(interrupted @ ProcessError::Interrupted { .. }) => Err(interrupted),
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => {
            reporter.report(Event::warning(format!("no report was filed: {}", ended.text().trim()), []));
            Ok(())
        }
        Err(error) => {
            reporter.report(Event::warning(format!("no report was filed: {error}"), []));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use crate::report::Recorder;

    #[test]
    fn the_hook_is_told_module_and_kernel() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::defaults(Layout::under(dir.path()));
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        let (id, target) =
            (ModuleId::parse("foo", "1.0").unwrap(), Target::parse("6.1.0", "x86_64").unwrap());
        let recorder = Recorder::default();
        let file = || file_report(&settings, &environment, &id, &target, &recorder).unwrap();
        file();
        assert!(recorder.events().is_empty(), "without apport nothing is reported");
        let hook = settings.layout.at(HOOK);
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        let out = dir.path().join("out");
        let text =
            format!("import sys\nopen({:?}, 'w').write(' '.join(sys.argv[1:]))\n", out.display().to_string());
        fs::write_whole(&hook, text.as_bytes(), 0o644).unwrap();
        file();
        assert_eq!(fs::read_lossy(&out).unwrap(), "-m foo -v 1.0 -k 6.1.0");
    }
}
