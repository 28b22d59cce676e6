//! OCI layouts: `dkms sign LAYOUT`, `dkms verify LAYOUT`.

use std::path::Path;

use dkms_base::exit::ExitCode;
use dkms_packaging::oci::layout::{OciError, Opened};
use dkms_signing::{BlobKey, TrustedKey, trusted};
use serde_json::json;

use crate::failure::Failure;
use crate::render::{JSON_VERSION, say, warn};
use crate::session::Session;

/// Signs the images of a layout.
pub(super) fn sign(session: &Session<'_>, folder: &Path, key: &BlobKey) -> Result<(), Failure> {
    let sign = |bytes: &[u8]| key.sign_text(bytes);
    Opened::open(folder).and_then(|mut opened| opened.sign(&sign))?;
    let id = key.id().unwrap_or_default();
    say(session.terminal, format!("Signed `{}`, key {id}", folder.display()));
    Ok(())
}

/// Checks layouts: whole, and signed by keys of `/etc/dkms/trusted.d`.
pub(super) fn verify(session: &Session<'_>, folders: &[std::path::PathBuf]) -> Result<(), Failure> {
    let place = session.settings.layout.etc_dkms().join("trusted.d");
    let (keys, faults) = trusted(&place)?;
    faults.into_iter().for_each(|fault| warn(session.terminal, fault));
    let accepts = |bytes: &[u8], signature: &str| {
        let by = keys.iter().find(|key| key.accepts_text(bytes, signature))?;
        Some(named(by))
    };
    let mut images = Vec::new();
    for folder in folders {
        let verified = Opened::open(folder).and_then(|opened| opened.verify(&accepts)).map_err(|error| {
            let failure = Failure::from(error);
            if keys.is_empty() {
                failure.hint(format!("there is no key in `{}`", place.display()))
            } else {
                failure
            }
        })?;
        images.extend(verified.into_iter().map(|image| (folder, image)));
    }
    for (folder, image) in &images {
        if !session.args().json {
            let name = [image.tag.as_str(), image.digest.as_str()].join(" ");
            let line = format!("{}: {} is signed, key {}", folder.display(), name.trim_start(), image.by);
            session.terminal.print(&line);
        }
    }
    if session.args().json {
        let images: Vec<_> = images
            .iter()
            .map(|(folder, image)| json!({"layout": folder, "digest": image.digest, "tag": image.tag, "key": image.by}))
            .collect();
        session.terminal.print(&json!({"version": JSON_VERSION, "images": images}).to_string());
    }
    Ok(())
}

fn named(key: &TrustedKey) -> String {
    format!("{} (`{}`)", key.id, key.path.display())
}

impl From<OciError> for Failure {
    fn from(error: OciError) -> Self {
        let code = match &error {
            OciError::Fs(_) | OciError::Sign { .. } => ExitCode::USAGE_OR_RIGHTS,
            OciError::Malformed { .. } | OciError::Untrusted { .. } => ExitCode::REFUTED,
        };
        Self::new(code, error.to_string())
    }
}
