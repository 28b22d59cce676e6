//! Where modules go below a kernel's folder, and what may override the distribution's rule.

use dkms_base::host::Environment;
use dkms_base::host::fs::{self, FsError};
use dkms_base::layout::Layout;

use super::distribution::{Distribution, assigned};

/// The folder below `/lib/modules/K` that all modules go to; `None`: each dkms.conf's
/// `DEST_MODULE_LOCATION` counts.
///
/// `ADDON_MODULES_DIR` wins over the distribution's rule: from the environment, or else from
/// `/etc/sysconfig/module-init-tools`, of which only the plain assignment is read. The result begins with `/`
/// and doesn't end with one.
///
/// # Errors
/// [`FsError`] where that file is there but can't be read.
pub fn module_folder(
    layout: &Layout,
    environment: &Environment,
    distribution: &Distribution,
) -> Result<Option<String>, FsError> {
    const NAME: &str = "ADDON_MODULES_DIR";
    let from_file = || {
        let path = layout.at("/etc/sysconfig/module-init-tools");
        let text = fs::optional(fs::read_lossy(&path))?;
        Ok(text.and_then(|text| assigned(&text, NAME)))
    };
    let chosen = match environment.get_filled(NAME) {
        Some(folder) => Some(folder.to_owned()),
        None => from_file()?,
    };
    let chosen = chosen.as_deref().and_then(below_the_kernel);
    Ok(chosen.or_else(|| distribution.module_folder().map(str::to_owned)))
}

/// The folder as `/a/b`; `None` where it is empty or leads out of the kernel's folder.
fn below_the_kernel(folder: &str) -> Option<String> {
    without_steps_up(folder).filter(|inside| !inside.is_empty()).map(|inside| format!("/{inside}"))
}

/// A path as it is once `.` and each `..` with the folder before it are taken out, without slashes at its
/// ends; `None` where it leads out of the folder that it begins in. Links count for nothing: `a/../b` is `b`.
#[must_use]
pub fn without_steps_up(path: &str) -> Option<String> {
    let mut folders = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                folders.pop()?;
            }
            folder => folders.push(folder),
        }
    }
    Some(folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addon_modules_dir_wins_from_environment_then_file() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::under(dir.path());
        let debian = Distribution::parse("ID=debian");
        let folder = |environment: &Environment| module_folder(&layout, environment, &debian).unwrap();
        let mut environment = Environment::default();
        assert_eq!(folder(&environment).as_deref(), Some("/updates/dkms"));
        fs::create_dir_all(&layout.at("/etc/sysconfig")).unwrap();
        let conf = layout.at("/etc/sysconfig/module-init-tools");
        fs::write_whole(&conf, b"# ADDON_MODULES_DIR=no\nADDON_MODULES_DIR='weak/x/'\n", 0o644).unwrap();
        assert_eq!(folder(&environment).as_deref(), Some("/weak/x"));
        environment.set("ADDON_MODULES_DIR", "/extra");
        assert_eq!(folder(&environment).as_deref(), Some("/extra"));
        for useless in ["", "/", "../../etc"] {
            environment.set("ADDON_MODULES_DIR", useless);
            let expected = if useless.is_empty() { "/weak/x" } else { "/updates/dkms" };
            assert_eq!(folder(&environment).as_deref(), Some(expected), "{useless:?}");
        }
    }

    #[test]
    fn steps_up_are_taken_out_as_long_as_they_stay_inside() {
        for (path, inside) in [
            ("/kernel/../misc/", Some("misc")),
            ("a//./b/", Some("a/b")),
            ("a/b/../../c", Some("c")),
            ("a/..", Some("")),
            ("", Some("")),
            ("..", None),
            ("/kernel/../../etc", None),
            ("a/../../a", None),
        ] {
            assert_eq!(without_steps_up(path).as_deref(), inside, "{path:?}");
        }
    }

    #[test]
    fn without_a_rule_the_conf_counts() {
        let dir = tempfile::tempdir().unwrap();
        let other = Distribution::parse("ID=gentoo");
        let folder = module_folder(&Layout::under(dir.path()), &Environment::default(), &other);
        assert_eq!(folder.unwrap(), None);
    }
}
