//! Our signer beside the kernel's `sign-file`, on Debian's own modules: the same bytes with RSA keys, the
//! same to modinfo with others. `DKMS_TEST_FULL=1` takes fifty modules, every digest and larger keys; without
//! it there are fewer of each.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use dkms_base::host::fs;
use dkms_kernel::modfile::content;
use dkms_signing::places::{KeyPlaces, Maker};
use dkms_signing::{OwnSigner, PassphrasePlaces, Signer, SigningCertificate, verify};
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::command::must;
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready;
use dkms_tests::root::{Root, User};
use dkms_tests::say;
use dkms_tests::setup::image;
use dkms_tests::tier::is_full;
use dkms_tests::tool::Tool;

/// The package is fetched by the test that is first.
static IMAGE: Mutex<()> = Mutex::new(());

struct World {
    dir: tempfile::TempDir,
    modules: Vec<PathBuf>,
    sign_file: PathBuf,
}

impl World {
    /// `count` modules of the cloud kernel, from the smallest to the largest in equal steps.
    fn new(count: usize) -> Result<Self> {
        let kernel = Kernels::find()?.second;
        let root = {
            let _fetched_once = IMAGE.lock();
            image(&Cache::open()?, &kernel)?
        };
        let mut all = Vec::new();
        for entry in walkdir::WalkDir::new(&root) {
            let entry = entry?;
            if entry.file_type().is_file() && entry.file_name().to_string_lossy().contains(".ko") {
                all.push((entry.metadata()?.len(), entry.into_path()));
            }
        }
        all.sort();
        ensure!(all.len() > count, "the kernel's package has {} modules only", all.len());
        let modules = (0..count).map(|n| all[n * (all.len() - 1) / (count - 1)].1.clone()).collect();
        let sign_file = Path::new("/lib/modules").join(&kernel).join("build/scripts/sign-file");
        ensure!(fs::is_executable(&sign_file), "`{}` is missing: run `make setup`", sign_file.display());
        Ok(Self { dir: tempfile::tempdir()?, modules, sign_file })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, line: &str) -> Result<String> {
        must("sh", &["-c", line], self.dir.path())
    }

    /// A key in PKCS#8, `NAME.key`, and its certificate, `NAME.der`.
    fn key(&self, name: &str, words: &str) -> Result<()> {
        self.run(&format!("openssl genpkey {words} -out {name}.key"))?;
        let subject = format!("/CN=DKMS module signing key {name}/O=Test");
        self.run(&format!(
            "openssl req -new -x509 -key {name}.key -subj '{subject}' -outform DER -out {name}.der"
        ))?;
        Ok(())
    }

    fn signer(&self, key: &str, certificate: &str, hash: &str) -> Result<OwnSigner> {
        let (key, certificate) = (self.at(key), self.at(certificate));
        let places = KeyPlaces { key, certificate, maker: Maker::Ourselves };
        Ok(OwnSigner::load(&places, hash, &PassphrasePlaces::default())?)
    }

    /// Signs a module both ways: `ours.ko` and `theirs.ko`.
    fn both(
        &self,
        module: &Path,
        signer: &OwnSigner,
        key: &str,
        certificate: &str,
        hash: &str,
    ) -> Result<()> {
        let bytes = content(module)?;
        for name in ["ours.ko", "theirs.ko"] {
            fs::write_whole(&self.at(name), &bytes, 0o644)?;
        }
        signer.sign(&self.at("ours.ko"), &[])?;
        must(&self.sign_file.to_string_lossy(), &[hash, key, certificate, "theirs.ko"], self.dir.path())?;
        Ok(())
    }

    /// What modinfo says of a module's signature, but for the signature itself.
    fn modinfo(&self, name: &str) -> Result<Vec<String>> {
        let text = self.run(&format!("PATH=$PATH:/usr/sbin:/sbin modinfo {name}"))?;
        let words = ["sig_id:", "signer:", "sig_key:", "sig_hashalgo:"];
        Ok(text
            .lines()
            .filter(|line| words.iter().any(|word| line.starts_with(word)))
            .map(str::to_owned)
            .collect())
    }
}

#[test]
fn rsa_signatures_are_the_kernels_programs_to_the_byte() -> Result<()> {
    let (count, hashes, sizes): (_, &[_], &[_]) = if is_full() {
        (50, &["sha1", "sha224", "sha256", "sha384", "sha512"], &[2048, 3072, 4096])
    } else {
        (6, &["sha256", "sha384", "sha512"], &[2048])
    };
    let world = World::new(count)?;
    let mut compared = 0;
    for size in sizes {
        let name = format!("rsa{size}");
        world.key(&name, &format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{size}"))?;
        let (key, certificate) = (format!("{name}.key"), format!("{name}.der"));
        // PKCS#1 and a certificate in PEM, which must make no difference.
        world.run(&format!(
            "openssl rsa -in {key} -traditional -out one.key && openssl x509 -inform der -in {certificate} -out one.pem"
        ))?;
        for hash in hashes {
            let signers =
                [world.signer(&key, &certificate, hash)?, world.signer("one.key", "one.pem", hash)?];
            for (number, module) in world.modules.iter().enumerate() {
                world.both(module, &signers[number % 2], &key, &certificate, hash)?;
                let (ours, theirs) = (fs::read(&world.at("ours.ko"))?, fs::read(&world.at("theirs.ko"))?);
                ensure!(ours == theirs, "`{}` differs with {hash} and {key}", module.display());
                compared += 1;
            }
            let (ours, theirs) = (world.modinfo("ours.ko")?, world.modinfo("theirs.ko")?);
            ensure!(ours == theirs && ours.len() == 4, "{ours:?} {theirs:?}");
        }
    }
    say(&format!("{compared} signed modules are the same as sign-file's"));
    Ok(())
}

#[test]
fn ecdsa_signatures_say_the_same_and_hold() -> Result<()> {
    let world = World::new(if is_full() { 50 } else { 4 })?;
    let mut compared = 0;
    for curve in ["P-256", "P-384"] {
        world.key(curve, &format!("-algorithm EC -pkeyopt ec_paramgen_curve:{curve}"))?;
        let (key, certificate) = (format!("{curve}.key"), format!("{curve}.der"));
        let parsed =
            SigningCertificate::parse(&fs::read(&world.at(&certificate))?).map_err(anyhow::Error::msg)?;
        for hash in ["sha256", "sha384", "sha512"] {
            let signer = world.signer(&key, &certificate, hash)?;
            for module in &world.modules {
                world.both(module, &signer, &key, &certificate, hash)?;
                for name in ["ours.ko", "theirs.ko"] {
                    let held = verify(&fs::read(&world.at(name))?, &parsed);
                    let held = held.with_context(|| format!("{name} of `{}`", module.display()))?;
                    ensure!(held.name() == hash, "{name} of `{}` has {}", module.display(), held.name());
                }
                let (ours, theirs) = (world.modinfo("ours.ko")?, world.modinfo("theirs.ko")?);
                ensure!(ours == theirs && ours.len() == 4, "{ours:?} {theirs:?}");
                compared += 1;
            }
        }
    }
    say(&format!("{compared} signed modules hold, and are the same to modinfo as sign-file's"));
    Ok(())
}

/// A root in which modules are signed, with `foo` added and a key pair made by us.
fn signing_root(tools: &[&Tool]) -> Result<Root> {
    let root = Root::new(&Cache::open()?, &Kernels::find()?, tools)?;
    root.write("/etc/dkms/framework.conf", "try_sign_modules=true\n", 0o644)?;
    ready::module(&root, "foo", "1.0")?.write_to(&root)?;
    root.must("$DKMS generate_mok && test $(stat -c %a /var/lib/dkms/mok.key) = 600")?;
    Ok(root)
}

const INSTALLED: &str = "/lib/modules/$K/updates/dkms/foo.ko";

#[test]
fn the_whole_command_signs_as_the_original_does_also_without_the_program() -> Result<()> {
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let original = Tool::original(&Cache::open()?, Oracle::Trixie)?;
    let mut root = signing_root(&[&ours, &original])?;
    Module::new("foo", "1.0").write_to(&root)?;
    let install = format!(
        "$DKMS add foo/1.0 >&2; $DKMS install foo/1.0 -k $K >&2; sha256sum {INSTALLED}
         PATH=$PATH:/usr/sbin modinfo {INSTALLED} | grep -c '^sig_hashalgo:\\|^signer:.*DKMS module signing key'
         cat /var/lib/dkms/foo/1.0/$K/x86_64/log/make.log >/srv/log; $DKMS remove foo/1.0 --all >&2"
    );
    root.switch_to(&original);
    let theirs = root.must(&install)?;
    ensure!(theirs.ends_with("\n2\n"), "the original has signed nothing: {theirs}");
    root.switch_to(&ours);
    ensure!(root.must(&install)? == theirs, "with the program");
    let log = root.read("/srv/log")?;
    ensure!(log.contains("dkms itself with sha256"), "{log}");
    root.must("rm $(readlink -f /lib/modules/$K/build/scripts)/sign-file")?;
    ensure!(root.must(&install)? == theirs, "without it");
    Ok(())
}

#[test]
fn an_encrypted_key_is_opened_from_every_place_and_a_warning_where_it_is_not() -> Result<()> {
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let root = signing_root(&[&ours])?;
    root.must(
        "$DKMS add foo/1.0; cd /var/lib/dkms; openssl pkcs8 -topk8 -in mok.key -out new -passout pass:secret; mv new mok.key
         echo secret >/srv/dkms.mok; cd /srv; chmod 600 dkms.mok; mkdir credentials; cp -p dkms.mok credentials",
    )?;
    let signers = format!("modinfo {INSTALLED} | grep -c '^signer:' || true");
    let install = "$DKMS install foo/1.0 -k $K --force";
    let unsigned = root.shell(install, User::Root, "/")?;
    ensure!(unsigned.code == 0 && root.must(&signers)? == "0\n", "{}{}", unsigned.stdout, unsigned.stderr);
    let told = format!("{}{}", unsigned.stdout, unsigned.stderr);
    for place in [
        "mok_passphrase_file",
        "DKMS_PASSPHRASE_FD",
        "KBUILD_SIGN_PIN",
        "`dkms.mok`",
        "/var/lib/dkms/mok.key",
    ] {
        ensure!(told.contains(place), "{place} is not in\n{told}");
    }
    for with in [
        "DKMS_PASSPHRASE_FD=7 $DKMS install foo/1.0 -k $K --force 7</srv/dkms.mok",
        "cat /srv/dkms.mok | DKMS_PASSPHRASE_FD=0 $DKMS install foo/1.0 -k $K --force",
        "CREDENTIALS_DIRECTORY=/srv/credentials $DKMS install foo/1.0 -k $K --force",
        "KBUILD_SIGN_PIN=secret $DKMS install foo/1.0 -k $K --force",
        "echo mok_passphrase_file=/srv/dkms.mok >>/etc/dkms/framework.conf; $DKMS install foo/1.0 -k $K --force",
    ] {
        root.must("$DKMS unbuild foo/1.0 -k $K")?;
        root.must(with)?;
        ensure!(root.must(&signers)? == "1\n", "{with}");
    }
    root.must("$DKMS unbuild foo/1.0 -k $K")?;
    // The first place counts, and a wrong one isn't passed over.
    let wrong = root.shell(
        "echo wrong >/srv/dkms.mok; KBUILD_SIGN_PIN=secret $DKMS install foo/1.0 -k $K --force",
        User::Root,
        "/",
    )?;
    ensure!(wrong.code == 0 && root.must(&signers)? == "0\n", "{}{}", wrong.stdout, wrong.stderr);
    ensure!(wrong.stderr.contains("the passphrase from `/srv/dkms.mok` does not open"), "{}", wrong.stderr);
    Ok(())
}

#[test]
fn a_key_in_a_token_signs_through_the_kernels_program() -> Result<()> {
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let root = signing_root(&[&ours])?;
    let provider = Cache::open()?.package("trixie", "pkcs11-provider");
    let provider = provider.join("root/usr/lib/x86_64-linux-gnu/ossl-modules/pkcs11.so");
    fs::copy_file(&provider, &root.view("/srv/pkcs11.so"))?;
    root.write("/srv/softhsm.conf", "directories.tokendir = /srv/tokens\n", 0o644)?;
    root.write(
        "/srv/openssl.conf",
        "openssl_conf = all\n[all]\nproviders = both\n[both]\ndefault = usual\npkcs11 = token\n\
         [usual]\nactivate = 1\n[token]\nmodule = /srv/pkcs11.so\nactivate = 1\n\
         pkcs11-module-path = /usr/lib/softhsm/libsofthsm2.so\npkcs11-module-token-pin = 1234\n\
         pkcs11-module-quirks = no-deinit\n",
        0o644,
    )?;
    let install = format!(
        "$DKMS install foo/1.0 -k $K --force >/srv/said 2>&1; cat /srv/said >&2; sha256sum {INSTALLED}"
    );
    // The same key as a file, which we use ourselves: RSA signatures are the same.
    let by_us = root.must(&format!("$DKMS add foo/1.0 >&2; {install}; $DKMS unbuild foo/1.0 -k $K >&2"))?;
    let by_token = root.must(&format!(
        "export SOFTHSM2_CONF=/srv/softhsm.conf; mkdir /srv/tokens; cd /var/lib/dkms
         softhsm2-util --init-token --free --label test --pin 1234 --so-pin 5678 >&2
         softhsm2-util --import mok.key --token test --label signer --id 01 --pin 1234 >&2
         rm mok.key
         echo 'mok_signing_key=\"pkcs11:token=test;object=signer;type=private\"' >>/etc/dkms/framework.conf
         export OPENSSL_CONF=/srv/openssl.conf; {install}; grep '^# signed.*pkcs11:token=test' foo/1.0/$K/x86_64/log/make.log >&2"
    ))?;
    ensure!(by_us == by_token && by_us.len() > 64, "{by_us}{by_token}");
    Ok(())
}

#[test]
fn without_efi_there_is_nothing_to_enrol_with() -> Result<()> {
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let root = signing_root(&[&ours])?;
    let shown = root.dkms("mok -k $K")?;
    let key = "key `/var/lib/dkms/mok.pub`: DKMS module signing key\n";
    ensure!(shown.code == 0 && shown.stdout.contains(key), "{}{}", shown.stdout, shown.stderr);
    let document: serde_json::Value = serde_json::from_str(&root.dkms("mok -k $K --json")?.stdout)?;
    ensure!(document["keys"][0]["kernels"][0]["state"] == "not-enrolled", "{document}");
    let refused = root.dkms("mok enroll -k $K")?;
    ensure!(refused.code == 1 && refused.stderr.contains("nothing can be enrolled"), "{}", refused.stderr);
    let dry = root.dkms("mok enroll -k $K --dry-run")?;
    ensure!(dry.code == 0 && dry.stdout.contains("mokutil --import /var/lib/dkms/mok.pub"), "{}", dry.stdout);
    let unknown = root.dkms("mok frobnicate -k $K")?;
    ensure!(unknown.code == 2, "{} {}", unknown.code, unknown.stderr);
    // What is installed in a place that shows no firmware is not spoken of.
    let installed = root.must("$DKMS install foo/1.0 -k $K 2>&1")?;
    ensure!(!installed.contains("will not load"), "{installed}");
    root.must("rm /var/lib/dkms/mok.*")?;
    let missing = root.dkms("mok enroll -k $K")?;
    ensure!(missing.code == 1 && missing.stderr.contains("dkms generate_mok"), "{}", missing.stderr);
    Ok(())
}
