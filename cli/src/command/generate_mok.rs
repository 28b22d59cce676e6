//! `dkms generate_mok`: makes the signing key and its certificate.

use std::collections::BTreeSet;

use dkms_signing::keys::Made;
use dkms_signing::{self, KeyPlaces};

use crate::failure::Failure;
use crate::render::{say, warn};
use crate::session::Session;

/// Makes the pair, where there is none; settings may name one for each kernel.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let Session { settings, distribution, environment, terminal, .. } = session;
    let mut kernels = Vec::new();
    for target in session.targets()? {
        let kernel = session.survey().kernel(&target)?;
        let KeyPlaces { key, certificate, .. } = KeyPlaces::of(settings, &kernel, distribution, environment);
        kernels.push(((key, certificate), kernel));
    }
    for kernel in first_of_each(kernels) {
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

/// Of those with the same key the first.
fn first_of_each<K: Ord, T>(kernels: Vec<(K, T)>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    kernels.into_iter().filter_map(|(key, kernel)| seen.insert(key).then_some(kernel)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pair_for_several_kernels_is_made_once() {
        assert_eq!(first_of_each(vec![("a", 1), ("b", 2), ("a", 3)]), [1, 2]);
    }
}
