//! What does not stay in an image once its modules are baked: the tree with its logs and states, and keys.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dkms_base::host::fs::{self, FsError};
use dkms_base::host::root;
use dkms_core::bake::Manifest;
use dkms_signing::{KeyPlaces, chroot};

use crate::failure::Failure;
use crate::render::warn;
use crate::session::Session;

/// Empties the tree; private keys go, whatever else is kept. On a system that runs all of it stays.
pub(super) fn clean(session: &Session<'_>, is_new: bool) -> Result<(), Failure> {
    let layout = &session.settings.layout;
    let tree = &layout.dkms_tree;
    if is_running_system(session) && !is_new {
        warn(
            session.terminal,
            format!(
                "this system runs and is no image: the dkms tree `{}` and the signing key stay",
                tree.display()
            ),
        );
        return Ok(());
    }
    for entry in fs::list(tree)? {
        let path = tree.join(&entry.name);
        // What is mounted there is not part of the image.
        if is_of_other_file_system(&path, tree)? {
            continue;
        }
        if !session.args().keep_tree || entry.name == "mok.key" {
            fs::remove_any(&path)?;
        }
    }
    warn_of_keys(session)
}

/// Whether this is no image at all: tree and keys are in use.
fn is_running_system(session: &Session<'_>) -> bool {
    let (layout, environment) = (&session.settings.layout, session.environment);
    !root::is_entered()
        && dkms_kernel::running_kernel_here(layout).is_some()
        && !chroot::in_chroot(environment)
        && chroot::image(layout, environment).is_none()
}

fn is_of_other_file_system(path: &Path, tree: &Path) -> Result<bool, FsError> {
    let device = |path: &Path| fs::lstat(path).map(|meta| meta.map(|meta| meta.dev()));
    Ok(device(path)? != device(tree)?)
}

/// A key that the settings name, or the distribution has, and that is a file of the image.
fn warn_of_keys(session: &Session<'_>) -> Result<(), Failure> {
    let Session { settings, distribution, environment, .. } = session;
    let survey = session.survey();
    for target in session.installed_targets()? {
        let kernel = survey.kernel(&target)?;
        let places = KeyPlaces::of(settings, &kernel, distribution, environment);
        if places.is_token() || !fs::is_file(&places.key) {
            continue;
        }
        if !is_of_other_file_system(&places.key, settings.layout.root())? {
            let text = format!(
                "the private key `{}` is in the image, and so in the hands of all who get it",
                places.key.display()
            );
            warn(session.terminal, format!("{text}: remove it, and give the key with `--mok-key`"));
            break;
        }
    }
    Ok(())
}

/// With `SOURCE_DATE_EPOCH` the files have no other time.
pub(super) fn set_times(session: &Session<'_>, manifest: &Manifest) -> Result<(), Failure> {
    let layout = &session.settings.layout;
    let date = session.environment.get("SOURCE_DATE_EPOCH").and_then(|text| text.parse::<i64>().ok());
    let Some(seconds) = date else { return Ok(()) };
    let files = manifest.modules.values().flat_map(|module| &module.files);
    let files = files.map(|file| layout.at(&file.path.to_string_lossy())).filter(|path| fs::is_file(path));
    for path in files.chain([layout.baked_manifest()]) {
        fs::set_mtime(&path, (seconds, 0))?;
    }
    Ok(())
}
