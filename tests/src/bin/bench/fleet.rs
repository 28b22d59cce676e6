//! One module for five kernels on twenty machines: built on each of them, and built and signed on one and
//! taken by the others from a folder. The time of the one that builds for all counts too.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::Root;
use dkms_tests::say;
use dkms_tests::tool::Tool;

use crate::timed;

const MACHINES: u32 = 20;
/// Two kernels more, with the headers of `$K` and releases of their own, as `$K3` is made.
const MORE: &str = "for k in 6.99.1-fleet 6.99.2-fleet; do
      h=/usr/src/linux-headers-$k; mkdir -p $h/include/generated /lib/modules/$k
      ln -s /usr/src/linux-headers-$K/* $h 2>/dev/null || true
      ln -s /usr/src/linux-headers-$K/include/* $h/include 2>/dev/null || true
      ln -s /usr/src/linux-headers-$K/include/generated/* $h/include/generated
      rm $h/include/generated/utsrelease.h
      echo \"#define UTS_RELEASE \\\"$k\\\"\" >$h/include/generated/utsrelease.h
      ln -s $h /lib/modules/$k/build; touch /lib/modules/$k/modules.order /lib/modules/$k/modules.builtin
      : >/lib/modules/$k/modules.builtin.modinfo; depmod $k
    done; dkms add foo/1.0";
const KERNELS: &str = "$K $K2 $K3 6.99.1-fleet 6.99.2-fleet";
/// What a tarball for all of them is called in each root.
const TARBALL: &str = "/srv/kmods/foo.dkms.tar.gz";
const TRUSTED: &str = "/etc/dkms/trusted.d/fleet.pem";
/// Taking is to be this much faster, with the machine that builds.
const RATIO: f64 = 3.0;

/// Measures; whether the limit was kept.
pub(crate) fn measure(cache: &Cache, kernels: &Kernels, ours: &Tool) -> Result<bool> {
    let install = format!("for k in {KERNELS}; do dkms autoinstall -k $k || exit; done");
    let machine = || -> Result<Root> {
        let root = Root::new(cache, kernels, &[ours])?;
        Module::new("foo", "1.0").write_to(&root)?;
        root.must("mkdir -p /srv/kmods /etc/dkms/trusted.d")?;
        root.must(MORE)?;
        Ok(root)
    };
    let mut built = Duration::ZERO;
    for _ in 0..MACHINES {
        let root = machine()?;
        built += timed(&root, &install)?;
        is_installed(&root)?;
    }
    let builder = machine()?;
    builder.must(
        "cd /srv; openssl ecparam -name prime256v1 -genkey -noout -out p.key; openssl pkey -in p.key -pubout -out p.pem",
    )?;
    let words: String = KERNELS.split(' ').map(|kernel| format!(" -k {kernel}")).collect();
    let once = timed(
        &builder,
        &format!(
            "(dkms build foo/1.0{words}; dkms mktarball foo/1.0{words} --archive {TARBALL}; dkms sign --key /srv/p.key {TARBALL})"
        ),
    )?;
    let (tarball, key) = (fs::read(&builder.view(TARBALL))?, fs::read(&builder.view("/srv/p.pem"))?);
    let mut taken = Duration::ZERO;
    for _ in 0..MACHINES {
        let root = machine()?;
        for (path, bytes) in [(TARBALL, &tarball), (TRUSTED, &key)] {
            fs::write_whole(&root.view(path), bytes, 0o644)?;
        }
        let settings = Path::new(TARBALL).parent().unwrap_or(Path::new("/")).display().to_string();
        root.must(&format!("echo 'prebuilt=file:{settings}' >>/etc/dkms/framework.conf"))?;
        taken += timed(&root, &install)?;
        is_installed(&root)?;
        let makes = root.must("find /var/lib/dkms/foo -name make.log | wc -l")?;
        ensure!(makes.trim() == "0", "something was built: {makes}");
    }
    let ratio = built.as_secs_f64() / (once + taken).as_secs_f64();
    say(&format!(
        "one module for 5 kernels on {MACHINES} machines: built on each {built:.1?}; built once {once:.1?} and taken {taken:.1?} \
         ({:.1?} a machine): {ratio:.1} times faster (at least {RATIO}); the tarball has {} KiB",
        taken / MACHINES,
        tarball.len() >> 10
    ));
    Ok(ratio >= RATIO)
}

fn is_installed(root: &Root) -> Result<()> {
    let status = root.must("dkms status foo/1.0")?;
    let count = status.lines().filter(|line| line.ends_with(": installed")).count();
    ensure!(count == 5, "not all is installed:\n{status}\n{}", root.must("cat /tmp/out")?);
    Ok(())
}
