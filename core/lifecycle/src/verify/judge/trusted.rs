//! The kernel accepts how the files are signed.

use dkms_signing::trust::{Fault, Untrusted, Way};

use super::super::facts::{Facts, Trust};
use super::super::proof::{Link, LinkProof};
use super::{on, rebuild};

pub(super) fn judge(facts: &Facts) -> LinkProof {
    let rejection = match &facts.trust {
        Trust::NotAsked => {
            return LinkProof::proven(Link::Trusted).because("the kernel loads unsigned modules");
        }
        Trust::Accepted => return LinkProof::proven(Link::Trusted),
        Trust::Rejected(rejection) => rejection,
    };
    let reason = format!(
        "{rejection}; the kernel loads only modules that are signed with a key that it trusts: {}",
        rejection.demand
    );
    let refuted = LinkProof::refuted(Link::Trusted, reason);
    refuted.remedy(match rejection.fault {
        Fault::Unsigned | Fault::OtherKey => rebuild(facts),
        Fault::Key(Untrusted::Waiting) => "reboot".to_owned(),
        Fault::Key(Untrusted::NotEnrolled) if rejection.way == Way::Mokutil => {
            format!("dkms mok enroll {}", on(facts))
        }
        Fault::Key(_) => format!("dkms mok {}", on(facts)),
    })
}
