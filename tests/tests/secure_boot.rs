//! What we say of whether a module will load is what the kernel then does: free, with `module.sig_enforce`,
//! under Secure Boot; for modules without a signature, with one that nobody trusts, and with an enrolled one,
//! however they are compressed.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::command::must;
use dkms_tests::fixture::Module;
use dkms_tests::initramfs::Initramfs;
use dkms_tests::kernels::Kernels;
use dkms_tests::qemu::{self, Guest, Said};
use dkms_tests::root::Root;
use dkms_tests::secure_boot::{SecureBoot, sign_kernel};
use dkms_tests::setup::{self, NewerKernel};
use dkms_tests::tool::Tool;

/// Where no key is named it is the one that we make ourselves.
const OURS: &str = "";
const UNSIGNED: &str = "try_sign_modules=false";

/// A module, how it is signed, and what the kernel's own are compressed with when it is built.
struct Case {
    name: &'static str,
    key: &'static str,
    packing: Option<&'static str>,
}

const fn case(name: &'static str, key: &'static str, packing: Option<&'static str>) -> Case {
    Case { name, key, packing }
}

/// In the guest: our command installs each module, then the kernel is asked to take it.
const ASK: &str = "\
echo \"kernel: $(uname -r)\"
modprobe efivarfs 2>/dev/null && mount -t efivarfs efivarfs /sys/firmware/efi/efivars 2>/dev/null
for m in $MODULES; do
    dkms install $m/1.0 >/tmp/said 2>&1; echo \"install $m: $?\"
    warned=no; loaded=no
    grep -q 'will not load' /tmp/said && warned=yes
    $LOAD 2>>/tmp/said && loaded=yes
    echo \"$m: warned $warned, loaded $loaded\"
    sed \"s/^/$m said: /\" /tmp/said
done
echo \"mok: $(dkms mok --json)\"
dkms mok | sed 's/^/mok says: /'
dkms doctor 2>&1 | sed 's/^/doctor says: /'
";

/// In a guest that shim has booted, which has p256 enrolled: it is asked for ours too.
const ENROL: &str = "\
echo \"$(grep '[.]machine: ' /proc/keys)\"
cp /etc/dkms/framework.conf /tmp
echo 'mok_signing_key=/keys/p256.key' >>/etc/dkms/framework.conf
echo 'mok_certificate=/keys/p256.der' >>/etc/dkms/framework.conf
echo \"enrolled: $(dkms mok --json)\"
dkms mok enroll | sed 's/^/again: /'
cp /tmp/framework.conf /etc/dkms
printf 'a password\\na password\\n' | dkms mok enroll; echo \"enroll: $?\"
echo \"waiting: $(dkms mok --json)\"
dkms doctor 2>&1 | sed 's/^/doctor says: /'
";

/// A kernel, modules built for it, and a guest's root with both and with our command.
struct World {
    cases: &'static [Case],
    initramfs: Initramfs,
    load: &'static str,
    keys: tempfile::TempDir,
    _root: Root,
}

impl World {
    /// Modules for a kernel whose own are in the root already.
    fn new(
        root: Root,
        kernel: &str,
        config: &Path,
        cases: &'static [Case],
        load: &'static str,
    ) -> Result<Self> {
        // Our pair is made by the first build that needs it; the others are made by openssl.
        root.must(
            "cd /srv; make_key() { openssl genpkey -out $1.key $2; openssl req -new -x509 -key $1.key -outform DER \
             -out $1.der -subj \"/CN=Test $1\"; }
             make_key foreign '-algorithm RSA'
             make_key p256 '-algorithm EC -pkeyopt ec_paramgen_curve:P-256'
             make_key p384 '-algorithm EC -pkeyopt ec_paramgen_curve:P-384'
             echo 'try_sign_modules=true' >/etc/dkms/framework.conf; $DKMS generate_mok",
        )?;
        // What a guest doesn't need takes it long to index.
        root.must(&format!(
            "cd /lib/modules/{kernel}; cp kernel/lib/crc-itu-t.ko* /srv; unxz -f /srv/crc-itu-t.ko.xz || true
             find kernel -name '*.ko*' ! -name 'efivarfs.ko*' -delete; depmod {kernel}"
        ))?;
        for Case { name, key, packing } in cases {
            let settings = match *key {
                OURS | UNSIGNED => (*key).to_owned(),
                key => format!("mok_signing_key=/srv/{key}.key\nmok_certificate=/srv/{key}.der"),
            };
            root.write("/etc/dkms/framework.conf", &format!("try_sign_modules=true\n{settings}\n"), 0o644)?;
            Module::new(name, "1.0").write_to(&root)?;
            // The first of the kernel's own that is found tells how they are compressed.
            let first = match packing {
                Some("zst") => "zstd -q /srv/crc-itu-t.ko -o kernel/first.ko.zst",
                Some(_) => "xz -c /srv/crc-itu-t.ko >kernel/first.ko.xz",
                None => "cp /srv/crc-itu-t.ko kernel/first.ko",
            };
            root.must(&format!(
                "cd /lib/modules/{kernel}; {first}; $DKMS build {name}/1.0 -k {kernel}; rm kernel/first.*
                 ls /var/lib/dkms/{name}/1.0/{kernel}/*/module | grep -x {name}.ko{}",
                packing.map_or(String::new(), |end| format!(".{end}"))
            ))?;
        }
        root.write("/etc/dkms/framework.conf", "try_sign_modules=true\n", 0o644)?;
        let mut initramfs = Initramfs::new()?;
        initramfs.program(Path::new(env!("CARGO_BIN_EXE_dkms-under-test")), "/bin/dkms")?;
        initramfs.program(Path::new(env!("CARGO_BIN_EXE_load-module")), "/bin/load-module")?;
        initramfs.program(Path::new("/usr/bin/mokutil"), "/bin/mokutil")?;
        initramfs.file("/keys/p256.der", &fs::read(&root.view("/srv/p256.der"))?, 0o644);
        initramfs.file("/etc/os-release", b"ID=debian\n", 0o644);
        initramfs.file(&format!("/boot/config-{kernel}"), &fs::read(config)?, 0o644);
        let sources = cases.iter().map(|case| format!("/usr/src/{}-1.0", case.name));
        let folders = [format!("/lib/modules/{kernel}"), "/var/lib/dkms".to_owned(), "/etc/dkms".to_owned()];
        for folder in sources.chain(folders) {
            initramfs.tree(&root.view(&folder), &folder)?;
        }
        let keys = tempfile::tempdir()?;
        for (from, to) in
            [("/var/lib/dkms/mok.pub", "mok"), ("/srv/p256.der", "p256"), ("/srv/p384.der", "p384")]
        {
            fs::copy_file(&root.view(from), &keys.path().join(format!("{to}.der")))?;
        }
        let line = "for name in mok p256 p384; do openssl x509 -inform der -in $name.der -out $name.pem; done
            openssl req -new -x509 -newkey rsa:2048 -nodes -keyout db.key -out db.pem -subj '/CN=Owner' 2>/dev/null";
        must("sh", &["-ec", line], keys.path())?;
        Ok(Self { cases, initramfs, load, keys, _root: root })
    }

    fn ask(&self, guest: &Guest, more: &str) -> Result<Said> {
        let names: Vec<&str> = self.cases.iter().map(|case| case.name).collect();
        let ask = ASK.replace("$LOAD", self.load);
        guest.run(&self.initramfs, &format!("MODULES='{}'\n{ask}{more}", names.join(" ")))
    }

    /// A guest that boots under Secure Boot, trusting these keys besides its owner's.
    fn secured(&self, cache: &Cache, vmlinuz: &Path, keys: &[&str]) -> Result<Guest> {
        let signed: PathBuf = sign_kernel(vmlinuz, self.keys.path(), "db")?;
        let firmware = SecureBoot::new(cache, self.keys.path(), "db", keys)?;
        Ok(Guest::new(signed).under(&firmware))
    }

    /// The same, but shim boots it, which has these keys enrolled.
    fn with_shim(&self, cache: &Cache, vmlinuz: &Path, keys: &[&str]) -> Result<Guest> {
        let signed = sign_kernel(vmlinuz, self.keys.path(), "db")?;
        let firmware = SecureBoot::with_shim(cache, self.keys.path(), "db", keys)?;
        Ok(Guest::new(signed).under(&firmware))
    }

    /// Each module was installed; only those with one of these keys loaded, and we have said of the
    /// others that they won't.
    fn told_the_truth(&self, said: &Said, trusted: &[&str]) -> Result<()> {
        for Case { name, key, .. } in self.cases {
            ensure!(said.value(&format!("install {name}"))? == "0", "{name}:\n{}", said.text);
            let loads = trusted.contains(key);
            let expected = if loads { "warned no, loaded yes" } else { "warned yes, loaded no" };
            ensure!(said.value(name)? == expected, "{name} should have: {expected}\n{}", said.text);
            // What is wrong is found again by a command that asks later.
            let found = said.has(&format!(
                "doctor says: problem: kernel {} will not load {name}/1.0",
                said.value("kernel")?
            ));
            ensure!(found != loads, "doctor, of {name}:\n{}", said.text);
        }
        Ok(())
    }
}

fn root(cache: &Cache) -> Result<Root> {
    Root::new(cache, &Kernels::find()?, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))])
}

#[test]
fn we_tell_what_the_kernel_does() -> Result<()> {
    const CASES: &[Case] = &[
        case("plain", UNSIGNED, None),
        case("foreign", "foreign", None),
        // Enrolled, but Debian 12's kernel doesn't know ECDSA.
        case("curve", "p256", None),
        case("ours", OURS, None),
        case("ours_xz", OURS, Some("xz")),
        case("ours_zst", OURS, Some("zst")),
    ];
    let cache = Cache::open()?;
    let root = root(&cache)?;
    let guest = qemu::whole_kernel(&root, &cache)?;
    let kernel = root.kernels().second.clone();
    let vmlinuz = setup::vmlinuz(&cache, &kernel)?;
    let config = vmlinuz.with_file_name(format!("config-{kernel}"));
    let world = World::new(root, &kernel, &config, CASES, "modprobe $m")?;
    let free = world.ask(&guest, "")?;
    world.told_the_truth(&free, &[UNSIGNED, "foreign", "p256", OURS])?;
    let enforced = world.ask(&guest.with("module.sig_enforce=1"), "")?;
    world.told_the_truth(&enforced, &[])?;
    let secure = world.ask(&world.secured(&cache, &vmlinuz, &["mok.pem", "p256.pem"])?, "")?;
    world.told_the_truth(&secure, &[OURS])?;
    Ok(())
}

#[test]
fn a_newer_kernel_takes_curves_and_unpacks_modules_itself() -> Result<()> {
    const CASES: &[Case] = &[
        case("plain", UNSIGNED, Some("xz")),
        case("foreign", "foreign", Some("xz")),
        case("ours", OURS, Some("xz")),
        case("curve256", "p256", Some("xz")),
        case("curve384", "p384", Some("xz")),
    ];
    let cache = Cache::open()?;
    let root = root(&cache)?;
    let kernel = NewerKernel::fetch(&cache)?;
    kernel.put_into(&root)?;
    let world = World::new(root, &kernel.release, &kernel.config(), CASES, "load-module $(modinfo -n $m)")?;
    let secure =
        world.ask(&world.secured(&cache, &kernel.vmlinuz(), &["mok.pem", "p256.pem", "p384.pem"])?, "")?;
    world.told_the_truth(&secure, &[OURS, "p256", "p384"])?;
    let enrolled = world.ask(&world.with_shim(&cache, &kernel.vmlinuz(), &["p256.pem"])?, ENROL)?;
    world.told_the_truth(&enrolled, &["p256"])?;
    let import = "which is not enrolled; enrol it with `mokutil --import /var/lib/dkms/mok.pub`, and reboot";
    ensure!(enrolled.has(import), "{}", enrolled.text);
    // The kernel has it where we say it has, beside the one that came with shim.
    ensure!(enrolled.has("keyring   .machine: 2\n"), "{}", enrolled.text);
    ensure!(enrolled.value("enrolled")?.contains(r#""state":"machine""#), "{}", enrolled.text);
    ensure!(enrolled.value("again")?.ends_with("is enrolled already"), "{}", enrolled.text);
    ensure!(enrolled.value("enroll")? == "0", "{}", enrolled.text);
    ensure!(enrolled.value("waiting")?.contains(r#""state":"waiting""#), "{}", enrolled.text);
    Ok(())
}
