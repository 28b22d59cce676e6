//! What build farms use: kernels and headers that the package manager has, jobs, images for registries.

use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::ready::{PLACE, Ready};
use dkms_tests::root::{Output, Root, User};
use serde_json::Value;

use super::common::root;

/// A root with a module that takes no time to build.
fn world() -> Root {
    let root = root().unwrap();
    Ready::compile(&Cache::open().unwrap(), root.kernels()).unwrap().put_into(&root).unwrap();
    root.must("dkms add foo/1.0").unwrap();
    root
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_matrix_has_a_job_for_each_module_and_kernel_and_each_is_built_by_its_number() {
    let root = world();
    Module::new("bar", "2.0")
        .with("MAKE=false")
        .with("BUILD_EXCLUSIVE_KERNEL=\"^6.1\"")
        .write_to(&root)
        .unwrap();
    let own = Module { without: vec!["AUTOINSTALL".to_owned()], ..Module::new("own", "1") };
    own.write_to(&root).unwrap();
    root.must("dkms add bar/2.0; dkms add own/1").unwrap();
    let matrix = root.must("dkms plan --matrix -k $K -k $K3 >/srv/matrix; cat /srv/matrix").unwrap();
    let matrix = json(&matrix);
    let jobs: Vec<_> = matrix["include"].as_array().unwrap().iter().collect();
    let told: Vec<_> = jobs
        .iter()
        .map(|job| {
            format!("{} {} {}", job["job"], job["module"].as_str().unwrap(), job["kernel"].as_str().unwrap())
        })
        .collect();
    let (first, third) = (root.kernels().first.clone(), "6.0.9-third");
    assert_eq!(
        told,
        [format!("0 bar/2.0 {first}"), format!("1 foo/1.0 {first}"), format!("2 foo/1.0 {third}")]
    );
    assert_eq!(jobs[0]["arch"], "x86_64");
    assert_eq!(jobs[0]["headers"]["package"], format!("linux-headers-{first}"));
    assert_eq!(jobs[0]["inputs"].as_str().unwrap().len(), 64);
    let run = |line: &str| -> Output { root.shell(line, User::Root, "/").unwrap() };
    assert_eq!(run("dkms build --job 0 --matrix /srv/matrix").code, 10);
    assert_eq!(run("SLURM_ARRAY_TASK_ID=1 dkms build --matrix /srv/matrix").code, 0);
    assert_eq!(run("JOB_COMPLETION_INDEX=2 dkms build --matrix=/srv/matrix").code, 0);
    assert_eq!(root.must("dkms status foo | grep -c ': built'").unwrap().trim(), "2");
    // What is built is no job any more; a module that is named is one, whatever its AUTOINSTALL says.
    assert_eq!(json(&root.must("dkms plan --matrix foo/1.0 -k $K").unwrap())["include"], json("[]"));
    assert_eq!(json(&root.must("dkms plan --matrix -k $K own/1").unwrap())["include"][0]["module"], "own/1");
    for (line, code) in [
        ("dkms build --matrix /srv/matrix", 2),
        ("dkms build --job 3 --matrix /srv/matrix", 2),
        ("dkms build --job 0 --matrix /srv/absent", 2),
        ("echo '[]' >/srv/odd; dkms build --job 0 --matrix /srv/odd", 2),
        ("SLURM_ARRAY_TASK_ID=x dkms build --matrix /srv/matrix", 2),
    ] {
        let ended = run(line);
        assert_eq!(ended.code, code, "{line}: {ended:?}");
    }
    // Other inputs than those that were planned are reported.
    root.must("dkms unbuild foo/1.0 -k $K; echo '# x' >>/usr/src/foo-1.0/Makefile").unwrap();
    let ended = run("dkms build --job 1 --matrix /srv/matrix");
    assert!(ended.code == 0 && ended.stderr.contains("other inputs"), "{ended:?}");
}

#[test]
fn kernels_are_listed_and_those_that_apt_has() {
    let root = world();
    let kernels = json(&root.must("dkms kernels --json").unwrap());
    let kernels = kernels["kernels"].as_array().unwrap();
    assert_eq!(kernels.len(), 3);
    assert!(kernels.iter().all(|kernel| kernel["installed"] == true && kernel["headers"] == true));
    let only = root.must("dkms kernels --flavour cloud-amd64").unwrap();
    assert_eq!(only, format!("{}, x86_64: installed, headers\n", root.kernels().second));
    // A repository of our own stands for the distribution's.
    root.must(
        "mkdir -p /srv/repo /srv/p/DEBIAN; cd /srv
         for k in 6.9.0-1-amd64 6.10.0-2-amd64 6.10.0-2-cloud-amd64; do
             printf \"Package: linux-headers-$k\\nVersion: 9\\nArchitecture: amd64\\nMaintainer: x <x@example.org>\\nDescription: x\\n\" >p/DEBIAN/control
             dpkg-deb -b p repo/$k.deb >/dev/null
         done
         cd repo; dpkg-scanpackages -m . >Packages 2>/dev/null
         rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*; mkdir -p /var/lib/apt/lists/partial
         echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list.d/t.list; apt-get -qq update",
    )
    .unwrap();
    let available = json(&root.must("dkms kernels --available --flavour amd64 --json").unwrap());
    let available = available["kernels"].as_array().unwrap();
    let mine: Vec<_> = available.iter().filter(|kernel| kernel["package_version"] == "9").collect();
    assert_eq!(mine.len(), 2);
    assert_eq!(
        (mine[0]["kernel"].as_str(), mine[1]["kernel"].as_str()),
        (Some("6.9.0-1-amd64"), Some("6.10.0-2-amd64"))
    );
    assert_eq!(
        (mine[0]["installed"].as_bool(), mine[0]["sha256"].as_str().map(str::len)),
        (Some(false), Some(64))
    );
}

#[test]
fn headers_that_are_not_installed_are_fetched_for_a_build_and_gone_afterwards() {
    let root = world();
    // The package of this machine's own kernel's headers, made again, without their contents here.
    root.must(
        "mkdir -p /srv/repo /srv/p/DEBIAN /srv/p/usr/src /srv/p/lib/modules/$K; cd /srv
         printf \"Package: linux-headers-$K\\nVersion: 9\\nArchitecture: amd64\\nDepends: gcc-99\\nMaintainer: x <x@example.org>\\nDescription: x\\n\" >p/DEBIAN/control
         cp -a /usr/src/linux-headers-$K p/usr/src/; ln -s /usr/src/linux-headers-$K p/lib/modules/$K/build
         dpkg-deb -Znone -b p repo/h.deb >/dev/null; cd repo; dpkg-scanpackages -m . >Packages 2>/dev/null
         rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/* /srv/p; mkdir -p /var/lib/apt/lists/partial
         echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list.d/t.list; apt-get -qq update
         rm -rf /usr/src/linux-headers-$K /lib/modules/$K",
    )
    .unwrap();
    Module::new("foo", "2.0").write_to(&root).unwrap();
    assert_eq!(root.dkms("build foo/2.0 -k $K").unwrap().code, 21);
    let ended = root.dkms("build foo/2.0 -k $K --fetch-headers").unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    let status = root.must("dkms status foo/2.0; modinfo -F vermagic /var/lib/dkms/foo/2.0/$K/$A/module/foo.ko*; ls /tmp /usr/src /lib/modules").unwrap();
    assert!(
        status.contains(": built") && status.contains(&format!("{} SMP", root.kernels().first)),
        "{status}"
    );
    assert!(
        !status.contains("dkms-headers")
            && !status.contains(&format!("\nlinux-headers-{}\n", root.kernels().first)),
        "{status}"
    );
    // The codes are the build's.
    Module::new("bad", "1").with("MAKE=false").write_to(&root).unwrap();
    assert_eq!(root.dkms("build bad/1 -k $K --fetch-headers").unwrap().code, 10);
    assert_eq!(root.dkms("build foo/2.0 -k 6.9.0-99-amd64 --fetch-headers").unwrap().code, 21);
}

#[test]
fn an_image_is_reproducible_signed_and_verified() {
    let root = world();
    Module::new("foo", "1.0").with(&format!("MAKE=\"cp {PLACE} .\"")).write_to(&root).unwrap();
    root.must("dkms build foo/1.0 -k $K -k $K3; dkms mkoci foo/1.0 -k $K -k $K3; cd /var/lib/dkms/foo/1.0/oci; mv * /srv/image; sleep 1; umask 077; dkms mkoci foo/1.0 -k $K -k $K3; diff -r /srv/image *; dkms status foo | grep -c built | grep -x 2").unwrap();
    let index = json(&root.read("/srv/image/index.json").unwrap());
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1.0");
    let blob = |digest: &Value| {
        format!("/srv/image/blobs/sha256/{}", digest.as_str().unwrap().trim_start_matches("sha256:"))
    };
    let manifest = json(&root.read(&blob(&index["manifests"][0]["digest"])).unwrap());
    assert_eq!(manifest["annotations"]["org.dkms.kernel"], format!("6.0.9-third {}", root.kernels().first));
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    let listed = root.must(&format!("tar tzf {} | grep ko", blob(&manifest["layers"][0]["digest"]))).unwrap();
    assert_eq!(
        listed,
        format!(
            "usr/lib/modules/6.0.9-third/updates/dkms/foo.ko\nusr/lib/modules/{}/updates/dkms/foo.ko\n",
            root.kernels().first
        )
    );
    root.must("dkms mkoci foo/1.0 -k $K --archive /srv/a.tar; tar tf /srv/a.tar | grep -x oci-layout; grep -o '1.0-[^\"]*' /dev/null || tar xOf /srv/a.tar index.json | grep -F \"\\\"1.0-$K\\\"\"").unwrap();
    root.must("cd /srv; for k in p q; do openssl ecparam -name prime256v1 -genkey -noout -out $k.key; openssl pkey -in $k.key -pubout -out $k.pem; done; mkdir -p /etc/dkms/trusted.d; cp p.pem /etc/dkms/trusted.d/").unwrap();
    let verify = || root.dkms("verify /srv/image").unwrap();
    assert_eq!(verify().code, 30);
    root.must("dkms sign --key /srv/q.key /srv/image").unwrap();
    assert_eq!(verify().code, 30);
    root.must("dkms sign --key /srv/p.key /srv/image").unwrap();
    let verified = verify();
    assert!(verified.code == 0 && verified.stdout.contains("p.pem"), "{verified:?}");
    let told = json(&root.must("dkms verify /srv/image --json").unwrap());
    assert_eq!(told["images"][0]["digest"], index["manifests"][0]["digest"]);
    root.must(&format!(
        "printf x | dd of={} bs=1 seek=100 conv=notrunc 2>/dev/null",
        blob(&manifest["layers"][0]["digest"])
    ))
    .unwrap();
    let refuted = verify();
    assert!(refuted.code == 30 && refuted.stderr.contains("other contents"), "{refuted:?}");
}

#[test]
fn a_bundle_is_built_again_and_compared() {
    let root = root().unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.must(
        "dkms build foo/1.0 -k $K; dkms mktarball foo/1.0 -k $K --archive /srv/foo.dkms.tar.gz
         rm -rf /var/lib/dkms/foo /usr/src/foo-1.0; cd /srv; openssl req -x509 -newkey rsa:2048 -nodes -keyout k.key -out k.pub -subj /CN=k 2>/dev/null",
    )
    .unwrap();
    let verify = || root.dkms("verify --rebuild /srv/foo.dkms.tar.gz --json").unwrap();
    for line in ["true", "dkms sign --key /srv/k.key /srv/foo.dkms.tar.gz"] {
        root.must(line).unwrap();
        let verified = verify();
        assert_eq!(verified.code, 0, "{line}: {verified:?}");
        assert_eq!(json(&verified.stdout)["modules"][0]["equal"], true);
    }
    assert_eq!(root.must("ls /usr/src /var/lib/dkms | grep foo || true").unwrap(), "");
    // A byte of the code that is another one.
    root.must(
        "mkdir /srv/x; cd /srv/x; tar xf ../foo.dkms.tar.gz; f=$(ls dkms_main_tree/*/*/module/foo.ko); rm dkms_main_tree/MANIFEST.*
         sed -i 's/version=1[.]0/version=1.1/' $f; tar czf ../foo.dkms.tar.gz *",
    )
    .unwrap();
    let refuted = verify();
    assert_eq!(refuted.code, 30, "{refuted:?}");
    root.must("rm -rf /lib/modules/$K /usr/src/linux-headers-$K").unwrap();
    let unknown = verify();
    assert_eq!(unknown.code, 31, "{unknown:?}");
    assert_eq!(root.dkms("verify --rebuild").unwrap().code, 2);
}
