//! Where the command works, and whether the one who asks may.

use std::path::Path;

use dkms_base::exit::ExitCode;
use dkms_base::host::{fs, root};
use dkms_conf::Settings;

use crate::action::{Action, Rights};
use crate::failure::Failure;

/// Makes `root` the root of this process: from here on every path, every program, every user name is that
/// system's, and nothing outside it can be reached.
///
/// Returns a warning if it is less separated from the system outside than it should be.
///
/// # Errors
/// [`Failure`] with code 1 where it is no folder, or we aren't root.
pub fn enter_root(root: &Path) -> Result<Option<String>, Failure> {
    let entered = root::enter(root).map_err(|error| {
        let text = format!("cannot work below `{}`: {error}", root.display());
        let failure = Failure::new(ExitCode::USAGE_OR_RIGHTS, text);
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => failure.hint("`--root` needs root's rights"),
            _ => failure,
        }
    })?;
    Ok(entered.warning(root))
}

/// Whether the caller may do this.
///
/// # Errors
/// [`Failure`] with code 1.
pub fn check(action: Action, settings: &Settings) -> Result<(), Failure> {
    check_for(action.rights(), action, settings)
}

/// As [`check`], for an action that needs these rights for what it is asked.
///
/// # Errors
/// [`Failure`] with code 1.
pub fn check_for(rights: Rights, action: Action, settings: &Settings) -> Result<(), Failure> {
    let tree = &settings.layout.dkms_tree;
    match rights {
        Rights::None => Ok(()),
        Rights::Root if rustix::process::geteuid().is_root() => check_tree(tree),
        Rights::Root => Err(Failure::new(
            ExitCode::USAGE_OR_RIGHTS,
            format!("`dkms {}` changes the system, and only root may", action.name()),
        )
        .hint(format!("run it as root: `sudo dkms {} …`", action.name()))),
        Rights::Tree => check_tree(tree),
    }
}

fn check_tree(tree: &Path) -> Result<(), Failure> {
    if !fs::is_dir(tree) {
        return Err(Failure::new(
            ExitCode::USAGE_OR_RIGHTS,
            format!("the dkms tree `{}` does not exist", tree.display()),
        )
        .hint(format!("make it with `mkdir -p {}`, or name another with `--dkmstree`", tree.display())));
    }
    if !fs::may_write(tree) && rustix::process::geteuid().is_root() {
        return Err(Failure::new(
            ExitCode::USAGE_OR_RIGHTS,
            format!("the dkms tree `{}` is on a read-only file system", tree.display()),
        )
        .hint("mount it writable; a disk with errors is mounted read-only, and `dmesg` says so"));
    }
    if !fs::may_write(tree) {
        return Err(Failure::new(
            ExitCode::USAGE_OR_RIGHTS,
            format!("you may not write to the dkms tree `{}`", tree.display()),
        )
        .hint("run it as root, or name a tree of your own with `--dkmstree`"));
    }
    Ok(())
}
