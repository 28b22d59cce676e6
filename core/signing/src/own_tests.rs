//! Our signer beside the kernel's program and openssl. Makes keys with openssl, in a folder of its own.

use std::os::unix::fs::MetadataExt;

use super::passphrase::{DESCRIPTOR, PIN, PassphrasePlaces};
use super::testing::{Keys, P_256, P_384, RSA_2048, RSA_4096, sign_file};
use super::{ModuleHash, OwnSigner, SignError, Signer, SigningCertificate, Unverified, verify};
use dkms_base::host::{Environment, fs};
use dkms_base::id::KernelRelease;
use dkms_base::layout::Layout;
use dkms_conf::Settings;
use dkms_kernel::modfile::signature::without_signature;

/// Contents that could go wrong: empty, odd, longer than any buffer.
fn contents() -> [Vec<u8>; 3] {
    [Vec::new(), vec![7], (0..100_003_u32).flat_map(u32::to_le_bytes).collect()]
}

/// A module as we sign it.
fn ours(keys: &Keys, signer: &OwnSigner, content: &[u8]) -> Vec<u8> {
    let path = keys.write("ours.ko", content);
    signer.sign(&path, &[]).unwrap();
    fs::read(&path).unwrap()
}

/// A module as the kernel's program signs it.
fn theirs(keys: &Keys, hash: ModuleHash, key: &str, certificate: &str, content: &[u8]) -> Vec<u8> {
    let path = keys.write("theirs.ko", content);
    keys.shell(&format!("{} {} {key} {certificate} theirs.ko", sign_file().display(), hash.name()));
    fs::read(&path).unwrap()
}

fn certificate(keys: &Keys, name: &str) -> SigningCertificate {
    SigningCertificate::parse(&fs::read(&keys.at(name)).unwrap()).unwrap()
}

fn assert_same(keys: &Keys, key: &str, certificate: &str) {
    for hash in ModuleHash::ALL {
        let signer = keys.load(key, certificate, hash.name()).unwrap();
        for content in contents() {
            let theirs = theirs(keys, hash, key, certificate, &content);
            assert!(
                ours(keys, &signer, &content) == theirs,
                "{hash:?} {key} {certificate} {}",
                content.len()
            );
        }
    }
}

#[test]
fn rsa_gives_the_bytes_of_the_kernels_program() {
    let keys = Keys::new();
    keys.make("a", RSA_2048);
    assert_same(&keys, "a.key", "a.der");
    keys.make_for(
        "b",
        RSA_4096,
        "/C=AT/O=Höhere Mächte, Inc./OU=x+CN=Ünter \"quotes\"/emailAddress=a@b.example",
    );
    assert_same(&keys, "b.key", "b.der");
    // PKCS#1; PEM; both halves in one file behind remarks; lines that end as on Windows.
    keys.shell(
        "openssl rsa -in a.key -traditional -out a1.key && openssl x509 -inform der -in a.der -out a.pem",
    );
    assert!(fs::read_lossy(&keys.at("a1.key")).unwrap().starts_with("-----BEGIN RSA PRIVATE KEY"));
    assert_same(&keys, "a1.key", "a.pem");
    keys.shell("(echo Attributes; cat a.pem; echo between; cat a1.key) > both; sed 's/$/\\r/' both > crlf");
    assert_same(&keys, "both", "both");
    assert_same(&keys, "crlf", "crlf");
}

#[test]
fn odd_certificates_are_named_by_their_own_bytes() {
    let keys = Keys::new();
    keys.make("a", RSA_2048);
    // A negative, a zero and a long serial number, old string types.
    for options in
        ["-set_serial -5", "-set_serial 0", "-set_serial 0xffffffffffffffffffffffffffffffffffffffffff"]
    {
        keys.shell(&format!(
            "openssl req -new -x509 -key a.key -subj '/CN=x/O=' {options} -outform DER -out odd.der -nameopt oneline"
        ));
        let signer = keys.load("a.key", "odd.der", "sha256").unwrap();
        let theirs = theirs(&keys, ModuleHash::Sha256, "a.key", "odd.der", b"module");
        assert!(ours(&keys, &signer, b"module") == theirs, "{options}");
    }
}

#[test]
fn ecdsa_is_accepted_by_openssl_and_differs_in_the_signature_alone() {
    let keys = Keys::new();
    for (name, words) in [("p256", P_256), ("p384", P_384)] {
        keys.make(name, words);
        keys.shell(&format!(
            "openssl ec -in {name}.key -out sec1.key && openssl x509 -inform der -in {name}.der -out cert.pem"
        ));
        assert!(fs::read_lossy(&keys.at("sec1.key")).unwrap().starts_with("-----BEGIN EC PRIVATE KEY"));
        let certificate = certificate(&keys, &format!("{name}.der"));
        for hash in ModuleHash::ALL {
            let signer = keys.load(&format!("{name}.key"), &format!("{name}.der"), hash.name()).unwrap();
            for content in contents() {
                let signed = ours(&keys, &signer, &content);
                let sec1 = keys.load("sec1.key", "cert.pem", hash.name()).unwrap();
                assert_eq!(ours(&keys, &sec1, &content), signed, "the same each time");
                let theirs = theirs(&keys, hash, "sec1.key", "cert.pem", &content);
                assert_eq!(verify(&theirs, &certificate), Ok(hash));
                let (ours, theirs) = (message(&signed, &content), message(&theirs, &content));
                let [our_form, their_form] = [ours, theirs].map(|bytes| {
                    let mut message = super::message::Message::decode(bytes).unwrap();
                    message.signature.clear();
                    message.encode().unwrap()
                });
                assert_eq!(our_form, their_form);
                keys.write("message", ours);
                keys.write("content", &content);
                let line = "openssl cms -verify -inform DER -in message -content content -binary -noverify \
                            -certfile cert.pem -out verified";
                keys.shell(line);
                assert!(fs::read(&keys.at("verified")).unwrap() == content);
            }
        }
    }
}

/// The PKCS#7 message behind a module.
fn message<'a>(signed: &'a [u8], content: &[u8]) -> &'a [u8] {
    &signed[content.len()..signed.len() - 40]
}

#[test]
fn encrypted_keys_are_opened() {
    let keys = Keys::new();
    keys.make("rsa", RSA_2048);
    keys.make("ec", P_384);
    let with_pin = |pin: &str| {
        let settings = Settings::defaults(Layout::under("/"));
        let environment: Environment = [(PIN, pin)].into_iter().collect();
        PassphrasePlaces::of(&settings, &KernelRelease::new("6.1.0").unwrap(), &environment)
    };
    for name in ["rsa", "ec"] {
        for form in [
            "-v2 aes-128-cbc -v2prf hmacWithSHA256",
            "-v2 aes-192-cbc -v2prf hmacWithSHA384",
            "-v2 aes-256-cbc -v2prf hmacWithSHA512",
            "-scrypt",
            "-v2 aes-256-cbc -scrypt",
        ] {
            keys.shell(&format!(
                "openssl pkcs8 -topk8 -in {name}.key -out locked {form} -passout 'pass:ä b'"
            ));
            let places = keys.places("locked", &format!("{name}.der"));
            let load = |passphrases: &PassphrasePlaces| OwnSigner::load(&places, "sha256", passphrases);
            let signer = load(&with_pin("ä b")).unwrap();
            let signed = ours(&keys, &signer, b"module");
            assert_eq!(verify(&signed, &certificate(&keys, &format!("{name}.der"))), Ok(ModuleHash::Sha256));
            let error = load(&with_pin("a b")).unwrap_err();
            assert!(matches!(error, SignError::WrongPassphrase { .. }), "{form}: {error}");
            assert!(!error.is_beyond_us());
            let missing = load(&PassphrasePlaces::default()).unwrap_err();
            assert!(matches!(missing, SignError::NoPassphrase { .. }), "{form}: {missing}");
            for error in [error, missing] {
                let text = error.to_string();
                for place in ["mok_passphrase_file", DESCRIPTOR, "dkms.mok", PIN, "/locked`"] {
                    assert!(text.contains(place), "{text}");
                }
            }
        }
    }
}

#[test]
fn no_wrong_passphrase_opens_a_key_by_chance() {
    // One in 256 wrong passphrases leaves bytes that are padded well.
    let keys = Keys::new();
    keys.make("rsa", P_256);
    keys.shell("openssl pkcs8 -topk8 -in rsa.key -out locked -iter 1 -passout pass:right");
    let text = fs::read_lossy(&keys.at("locked")).unwrap();
    let Ok(super::private_key::Stored::Encrypted(document)) = super::private_key::Stored::parse(&text) else {
        panic!("it is not encrypted")
    };
    for number in 0..2000 {
        let opened = super::private_key::Stored::open(&document, format!("wrong {number}").as_bytes());
        assert_eq!(opened.err(), Some(super::private_key::KeyFault::WrongPassphrase), "{number}");
    }
}

#[test]
fn what_we_cannot_do_is_left_to_the_program() {
    let keys = Keys::new();
    keys.make("rsa", RSA_2048);
    keys.make("p521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521");
    keys.make("ed", "-algorithm ED25519");
    keys.shell("openssl rsa -in rsa.key -traditional -aes128 -passout pass:x -out old.key");
    keys.shell("openssl pkcs8 -topk8 -in rsa.key -v2 des3 -passout pass:x -out des.key");
    keys.shell("openssl pkcs8 -topk8 -in rsa.key -v1 PBE-SHA1-3DES -passout pass:x -out pbes1.key");
    keys.shell("openssl rsa -in rsa.key -outform DER -out der.key");
    keys.write("junk", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    keys.write("empty", b"");
    let sigstore = "ENCRYPTED SIGSTORE PRIVATE KEY";
    keys.write(
        "cosign.key",
        format!("-----BEGIN {sigstore}-----\neyJr\n-----END {sigstore}-----\n").as_bytes(),
    );
    let places = |name: &str| keys.places(name, "rsa.der");
    let settings = Settings::defaults(Layout::under("/"));
    let environment: Environment = [(PIN, "x")].into_iter().collect();
    let pin = PassphrasePlaces::of(&settings, &KernelRelease::new("6.1.0").unwrap(), &environment);
    for (name, says) in [
        ("p521.key", "elliptic curve"),
        ("ed.key", "neither an RSA nor an ECDSA key"),
        ("old.key", "old way"),
        ("pbes1.key", "encryption is not supported"),
        ("der.key", "no private key in PEM"),
        ("empty", "no private key in PEM"),
        ("junk", "can't be read"),
        ("cosign.key", "cosign's own way"),
    ] {
        let error = OwnSigner::load(&places(name), "sha256", &pin).unwrap_err();
        assert!(error.is_beyond_us() && error.to_string().contains(says), "{name}: {error}");
    }
    // Old as it is, `openssl req -newkey` encrypts with it.
    assert!(OwnSigner::load(&places("des.key"), "sha256", &pin).is_ok());
    let error = keys.load("rsa.key", "rsa.der", "sha3-256").unwrap_err();
    assert!(error.is_beyond_us() && error.to_string().contains("`sha3-256`"), "{error}");
    for name in ["p521.der", "junk", "empty"] {
        let error = keys.load("rsa.key", name, "sha256").unwrap_err();
        assert!(matches!(error, SignError::Certificate { .. }) && error.is_beyond_us(), "{name}: {error}");
    }
    assert!(matches!(keys.load("absent", "rsa.der", "sha256"), Err(SignError::Fs(_))));
}

#[test]
fn another_certificate_is_an_error_and_no_signature() {
    let keys = Keys::new();
    keys.make("a", RSA_2048);
    keys.make("b", RSA_2048);
    keys.make("ec", P_256);
    for other in ["b.der", "ec.der"] {
        let error = keys.load("a.key", other, "sha256").unwrap_err();
        assert!(matches!(error, SignError::OtherCertificate { .. }) && error.hint().is_some(), "{error}");
        assert!(!error.is_beyond_us());
    }
    let signed = ours(&keys, &keys.load("a.key", "a.der", "sha512").unwrap(), b"module");
    assert_eq!(verify(&signed, &certificate(&keys, "b.der")), Err(Unverified::OtherCertificate));
    // The same name with another key.
    keys.shell(
        "openssl req -new -x509 -key b.key -subj '/CN=Test a' -days 9 -outform DER -out c.der -set_serial \
                0x$(openssl x509 -inform der -in a.der -noout -serial | cut -d= -f2)",
    );
    assert_eq!(verify(&signed, &certificate(&keys, "c.der")), Err(Unverified::Wrong));
}

#[test]
fn every_changed_byte_is_noticed() {
    let keys = Keys::new();
    for (name, words) in [("rsa", RSA_2048), ("ec", P_256)] {
        keys.make(name, words);
        let der = format!("{name}.der");
        let signer = keys.load(&format!("{name}.key"), &der, "sha256").unwrap();
        let signed = ours(&keys, &signer, b"some module");
        let certificate = certificate(&keys, &der);
        assert_eq!(verify(&signed, &certificate), Ok(ModuleHash::Sha256));
        assert_eq!(verify(without_signature(&signed), &certificate), Err(Unverified::NoSignature));
        // The kernel ignores these of its trailer: algorithm, hash and padding.
        let trailer = signed.len() - 40;
        let ignored = [0, 1, 5, 6, 7].map(|at| trailer + at);
        for at in (0..signed.len()).filter(|at| !ignored.contains(at)) {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            assert!(verify(&changed, &certificate).is_err(), "{name} byte {at}");
        }
        let shorter = &signed[1..];
        assert_eq!(verify(shorter, &certificate), Err(Unverified::Wrong));
    }
}

#[test]
fn files_keep_their_modes_and_links_lead_to_keys() {
    let keys = Keys::new();
    keys.make("a", RSA_2048);
    keys.shell(
        "mkdir elsewhere; mv a.key elsewhere/; ln -s elsewhere/a.key a.key; chmod 600 elsewhere/a.key",
    );
    let signer = keys.load("a.key", "a.der", "sha256").unwrap();
    assert_eq!(signer.warnings(), Vec::<String>::new());
    assert!(signer.describe().contains("with sha256") && !format!("{signer:?}").contains("prime"));
    let module = keys.write("m.ko", b"module");
    fs::set_mode(&module, 0o640).unwrap();
    signer.sign(&module, &[]).unwrap();
    assert_eq!(fs::stat(&module).unwrap().unwrap().mode() & 0o7777, 0o640);
    for mode in [0o644, 0o602] {
        fs::set_mode(&keys.at("elsewhere/a.key"), mode).unwrap();
        let warnings = keys.load("a.key", "a.der", "sha256").unwrap().warnings();
        assert!(warnings[0].contains("/a.key`"), "{warnings:?}");
    }
}

#[test]
fn a_failure_leaves_the_module() {
    let keys = Keys::new();
    keys.make("a", RSA_2048);
    let signer = keys.load("a.key", "a.der", "sha256").unwrap();
    keys.shell("mkdir full && mount -t tmpfs -o size=32k none full && head -c 20000 /dev/zero > full/m.ko");
    let module = keys.at("full/m.ko");
    let failed = signer.sign(&module, &[]);
    let (after, names) = (fs::read(&module), fs::list(&keys.at("full")));
    keys.shell("umount full");
    assert!(matches!(failed, Err(SignError::Fs(ref error)) if error.is_no_space()), "{failed:?}");
    assert_eq!(after.unwrap(), vec![0; 20000]);
    assert_eq!(names.unwrap().len(), 1);
    assert!(matches!(signer.sign(&keys.at("absent"), &[]), Err(SignError::Fs(_))));
}
