//! `dkms generate_mok`: makes the signing key and its certificate.

use dkms_signing::keys::Made;
use dkms_signing::{self, KeyPlaces};

use crate::failure::Failure;
use crate::render::{say, warn};
use crate::session::Session;

/// Makes the pair, where there is none; settings may name one for each kernel.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let Session { settings, distribution, environment, terminal, .. } = session;
    for target in session.targets()? {
        let kernel = session.survey().kernel(&target)?;
        if session.args().dry_run {
            let KeyPlaces { key, certificate, .. } =
                KeyPlaces::of(settings, &kernel, distribution, environment);
            terminal.only_step(&format!(
                "make `{}` and `{}` where they are missing",
                key.display(),
                certificate.display()
            ));
            continue;
        }
        let generated = dkms_signing::generate_mok(settings, &kernel, distribution, environment)?;
        let KeyPlaces { key, certificate, .. } = &generated.places;
        let pair = format!("the key `{}` and its certificate `{}`", key.display(), certificate.display());
        match generated.made {
            Made::Before => say(terminal, format!("There are {pair} already")),
            Made::Now => say(
                terminal,
                format!("Made {pair}; to enrol it: `mokutil --import {}`", certificate.display()),
            ),
        }
        if let (Made::Now, Some(image)) = (generated.made, &generated.image) {
            let text = format!(
                "`{}` lies in an image ({image}): everyone who gets a copy of the image has the private key",
                key.display()
            );
            warn(terminal, text);
        }
    }
    Ok(())
}
