//! Questions to dpkg.

use dkms_base::host::Environment;
use dkms_base::host::fs;
use dkms_base::host::process::Process;
use dkms_base::layout::Layout;
use dkms_kernel::Brought;

/// The trigger of the package dkms, for what couldn't be begun when it was its turn.
pub const TRIGGER: &str = "dkms-modules";

/// Whether a maintainer script of dpkg calls us.
#[must_use]
pub fn is_above(environment: &Environment) -> bool {
    environment.get_filled("DPKG_MAINTSCRIPT_PACKAGE").is_some()
}

/// Activates the trigger, which nobody waits for; whether dpkg has taken it.
#[must_use]
pub fn activate(environment: &Environment) -> bool {
    let ended = Process::new("dpkg-trigger", ["--no-await", TRIGGER], environment).capture();
    ended.is_ok_and(|ended| ended.code() == 0)
}

/// Whether dpkg will still call the trigger of the package dkms: then what waits for it is dpkg's to say.
#[must_use]
pub fn will_call(environment: &Environment) -> bool {
    let words = ["--show", "--showformat=${db:Status-Status}", "dkms"];
    let status = Process::new("dpkg-query", words, environment).capture_stdout();
    status.is_ok_and(|ended| ended.code() == 0 && ended.text().trim() != "installed")
}

/// What the files of an installed package bring.
#[must_use]
pub fn brought_by(package: &str, arch: &str, layout: &Layout) -> Brought {
    let info = layout.at("/var/lib/dpkg/info");
    let names = [format!("{package}.list"), format!("{package}:{arch}.list")];
    let text = names.iter().find_map(|name| fs::read_lossy(&info.join(name)).ok()).unwrap_or_default();
    Brought::of(text.lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_modules_where_it_has_their_confs() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let info = layout.at("/var/lib/dpkg/info");
        fs::create_dir_all(&info).unwrap();
        let text = "/.\n/usr/src/a-1.0/dkms.conf\n/usr/src/a-1.0/sub/dkms.conf\n/usr/share/b-2/dkms.conf\n";
        fs::write_whole(&info.join("a-dkms.list"), text.as_bytes(), 0o644).unwrap();
        fs::write_whole(&info.join("c-dkms:amd64.list"), text.as_bytes(), 0o644).unwrap();
        assert_eq!(brought_by("a-dkms", "all", &layout).sources, ["a-1.0".to_owned()].into());
        assert_eq!(brought_by("c-dkms", "amd64", &layout).sources, ["a-1.0".to_owned()].into());
        assert!(brought_by("d-dkms", "all", &layout).is_empty());
    }
}
