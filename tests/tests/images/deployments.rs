//! Two deployments of ostree, each with a kernel of its own: what is baked stays with its deployment, and
//! nothing of it is in the `/var` that they share.

use super::{builder, run};

#[test]
#[ignore = "full tier"]
fn each_deployment_knows_the_modules_of_its_own_kernel() {
    let root = builder();
    run(&root, include_str!("deployments.sh"));
}
