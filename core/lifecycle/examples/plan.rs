//! What would be done for a module on a made-up system, without touching this one: a plan is a function of
//! the request and of what is known.
//!
//!     cargo run -p dkms-core --example plan

use std::error::Error;
use std::io::Write;

use dkms_base::id::{ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_conf::{Check, Directive, RawConf, resolve};
use dkms_core::plan::{Options, Request, Work, World, plan};
use dkms_core::tree::{Registration, Source};
use dkms_kernel::KernelFacts;

fn main() -> Result<(), Box<dyn Error>> {
    let id = ModuleId::parse("v4l2loopback", "0.12.7")?;
    let target = Target::parse("6.1.0-9-amd64", "x86_64")?;
    let kernel = KernelFacts::usual(target.clone(), &Layout::under("/"));

    // What its dkms.conf says, for this kernel.
    let mut raw = RawConf::default();
    raw.set(Directive::PackageName, 0, "v4l2loopback");
    raw.set(Directive::PackageVersion, 0, "0.12.7");
    raw.set(Directive::BuiltModuleName, 0, "v4l2loopback");
    raw.set(Directive::DestModuleLocation, 0, "/updates");
    let conf = resolve(&raw, &target, &kernel.config, Check::Whole)?;

    // A system with one kernel, its headers, and the module registered.
    let mut world = World::default();
    world.confs.insert((id.clone(), target.clone()), Ok(conf));
    world.kernels.insert(target.clone(), kernel);
    let source = Source::Present("/usr/src/v4l2loopback-0.12.7".into());
    world.snapshot.modules.insert(id.clone(), Registration { source, built: Default::default() });

    let work = Work::Install { id, targets: vec![target], source: None };
    let plan = plan(&Request { work, options: Options::default() }, &world);
    let mut out = std::io::stdout();
    for step in &plan.steps {
        writeln!(out, "{}: {}", step.action, step.why)?;
    }
    Ok(())
}
