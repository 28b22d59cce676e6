//! Our signer beside the kernel's `sign-file`, on Debian's own modules: the same bytes with RSA keys, the same to modinfo with
//! others. `DKMS_TEST_FULL=1` takes fifty modules, every digest and larger keys; without it there are fewer of each.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use dkms_core::host::environment::Environment;
use dkms_core::host::fs;
use dkms_core::modfile::content;
use dkms_core::sign::places::{KeyPlaces, Maker};
use dkms_core::sign::{OwnSigner, PassphrasePlaces, Signer, SigningCertificate, verify};
use dkms_tests::cache::Cache;
use dkms_tests::command::must;
use dkms_tests::kernels::Kernels;
use dkms_tests::say;
use dkms_tests::setup::image;

/// The package is fetched by whoever is first.
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
        signer.sign(&self.at("ours.ko"))?;
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

fn is_full() -> bool {
    Environment::of_this_process().get_filled("DKMS_TEST_FULL").is_some()
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
