//! Hosts that take prebuilt modules from web servers and registries, also through proxies; servers that lie.

use std::path::Path;
use std::time::{Duration, Instant};

use dkms_base::host::fs;
use dkms_tests::cache::Cache;
use dkms_tests::fixture::Module;
use dkms_tests::root::{Output, Root, User};
use dkms_tests::setup::{unpacked, unpacked_of};

use super::common::root;

/// Runs a line in a network of its own, with the server in it.
const ONLINE: &str = r#"ip link set lo up
export no_proxy= http_proxy= https_proxy=
: >/srv/requests
/usr/bin/python3 /srv/server.py /srv/kmods /srv/requests /srv/server.pem & server=$!
until grep -qs ready /srv/requests; do sleep 0.05; done
(eval "$1"); code=$?
kill $server
exit $code
"#;

/// `/srv/kmods` has foo/1.0 for `$K`, signed with the key p, which is trusted. The host has no headers.
fn world() -> Root {
    let root = root().unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    root.must(
        "dkms build foo/1.0 -k $K; dkms mktarball foo/1.0 -k $K
         mkdir -p /srv/kmods /srv/made /etc/dkms/trusted.d /usr/libexec/dkms; mv /var/lib/dkms/foo/1.0/tarball/* /srv/made
         cd /srv; for k in p q; do openssl ecparam -name prime256v1 -genkey -noout -out $k.key; openssl pkey -in $k.key -pubout -out $k.pem; done
         cp p.pem /etc/dkms/trusted.d/; dkms unbuild foo/1.0 -k $K; mv /lib/modules/$K/build /srv/build
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout s.key -out s.pem -days 30 -subj /CN=localhost \
            -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE 2>/dev/null
         cat s.key s.pem >server.pem; echo '127.0.0.1 localhost' >/etc/hosts",
    )
    .unwrap();
    root.write("/srv/server.py", include_str!("server.py"), 0o644).unwrap();
    root.write("/srv/online", ONLINE, 0o755).unwrap();
    let program = fs::read(Path::new(env!("CARGO_BIN_EXE_dkms-fetch-under-test"))).unwrap();
    fs::write_whole(&root.view("/usr/libexec/dkms/dkms-fetch"), &program, 0o755).unwrap();
    publish(&root, "p", "1000");
    root
}

fn publish(root: &Root, key: &str, when: &str) {
    root.must(&format!(
        "cp /srv/made/* /srv/kmods; for f in /srv/kmods/*; do SOURCE_DATE_EPOCH={when} dkms sign --key /srv/{key}.key $f; done"
    ))
    .unwrap();
}

fn settings(root: &Root, text: &str) {
    root.write("/etc/dkms/framework.conf", &format!("try_sign_modules=\"false\"\n{text}\n"), 0o600).unwrap();
}

fn online(root: &Root, line: &str) -> Output {
    root.shell(&format!("unshare -n sh /srv/online '{line}'"), User::Root, "/").unwrap()
}

/// Builds foo/1.0 with this place.
fn build(root: &Root, place: &str) -> Output {
    settings(root, &format!("prebuilt=\"{place}\""));
    online(root, "dkms build foo/1.0 -k $K")
}

fn is_built(root: &Root) -> bool {
    root.must("dkms status foo").unwrap().contains(": built")
}

/// The requests that came, without the server's own line.
fn requests(root: &Root) -> String {
    root.read("/srv/requests").unwrap().replace("ready\n", "")
}

#[test]
fn a_host_takes_what_a_web_server_has_and_shows_nobody_its_login() {
    let root = world();
    let again = || root.must("dkms unbuild foo/1.0 -k $K").unwrap();
    root.must("cat /srv/s.pem >>/etc/ssl/certs/ca-certificates.crt; dkms add foo/1.0 2>/dev/null || :")
        .unwrap();
    Module::new("bar", "1.0").write_to(&root).unwrap();
    root.must("dkms add bar/1.0").unwrap();

    // The first place is gone, and is asked once for two modules.
    settings(&root, "prebuilt=\"http://localhost:1/gone https://user:p%40ss@localhost:8443/login\"");
    let ended = online(&root, "dkms autoinstall -k $K");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(said.matches("http://localhost:1/gone").count(), 1, "{said}");
    assert!(
        said.contains("`http://localhost:1/gone` of prebuilt modules cannot be used: no connection"),
        "{said}"
    );
    assert!(said.contains("is taken from https://localhost:8443/login, signed by the key "), "{said}");
    assert_eq!(ended.code, 21, "bar has no headers: {said}");
    let asked = requests(&root);
    assert_eq!(asked.matches("GET /login/ ").count(), 1, "{asked}");
    assert_eq!(asked.lines().count(), 2, "{asked}");
    for line in asked.lines() {
        let login = "| accept authorization host user-agent | Basic dXNlcjpwQHNz";
        assert!(line.ends_with(login), "no cookie, no other header: {line}");
    }
    let left = root.must("cat /var/lib/dkms/foo/1.0/$K/$A/log/make.log; find /var/lib/dkms/.state -type f -exec cat {} +; dkms status --json").unwrap();
    for text in [&said, &left] {
        assert!(!text.contains("p%40ss") && !text.contains("p@ss") && !text.contains("user:"), "{text}");
    }
    root.must("dkms uninstall foo/1.0 -k $K").unwrap();
    again();

    // Without the certificate in the system's list nothing is taken.
    root.must("sed -i '/^-----BEGIN/,$d' /etc/ssl/certs/ca-certificates.crt").unwrap();
    let ended = build(&root, "https://localhost:8443/plain");
    assert!(ended.code == 21 && ended.stderr.contains("invalid peer certificate"), "{ended:?}");
    assert_eq!(requests(&root), "");

    // Through a proxy, as settings, environment and `no_proxy` have it.
    settings(&root, "prebuilt=http://localhost:8000/plain\nprebuilt_proxy=http://pu:pp@localhost:3128");
    let ended = online(&root, "dkms build foo/1.0 -k $K");
    let asked = requests(&root);
    assert!(ended.code == 0 && asked.contains("GET http://localhost:8000/plain/ "), "{ended:?} {asked}");
    assert!(
        asked.contains("proxy-authorization") && !format!("{ended:?}").contains("pp"),
        "{ended:?} {asked}"
    );
    again();
    settings(&root, "prebuilt=http://localhost:8000/plain");
    let ended = online(&root, "http_proxy=http://localhost:3128 dkms build foo/1.0 -k $K");
    assert!(ended.code == 0 && requests(&root).contains("GET http://localhost:8000/plain/ "), "{ended:?}");
    again();
    let ended = online(&root, "http_proxy=http://localhost:3128 no_proxy=localhost dkms build foo/1.0 -k $K");
    assert!(ended.code == 0 && !requests(&root).contains("GET http:"), "{ended:?}");
    again();

    // What the program has of this system.
    root.must(
        "mkdir -p /root/secret; echo x >/root/secret/file
         printf '#!/bin/sh\\necho $(env | sort) $(id -u) $(grep -E \"CapEff|NoNewPrivs\" /proc/self/status) $(ls /root /etc/dkms /var/lib/dkms 2>&1 | wc -l) $(ls /proc | grep -c \"^[0-9]\") >&2; exit 1\\n' >/usr/libexec/dkms/dkms-fetch",
    )
    .unwrap();
    let ended = online(&root, "TOKEN=secret SSH_AUTH_SOCK=/run/x dkms build foo/1.0 -k $K");
    let line = ended.stderr.lines().find(|line| line.contains("cannot be used: ")).unwrap();
    let seen = line.split_once("cannot be used: ").unwrap().1;
    let uid = root.must("id -u _dkms 2>/dev/null || id -u nobody").unwrap();
    assert!(seen.starts_with("LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin PWD=/ "), "{seen}");
    assert!(seen.contains(&format!(" {} CapEff: 0000000000000000 NoNewPrivs: 1 3 ", uid.trim())), "{seen}");
    assert!(!seen.contains("TOKEN") && !seen.contains("SSH"), "{seen}");
}

#[test]
#[ignore = "full tier"]
fn a_server_that_lies_or_hangs_costs_seconds_and_gives_nothing() {
    let root = world();
    root.must("cat /srv/s.pem >>/etc/ssl/certs/ca-certificates.crt").unwrap();
    let far = "http://localhost:8000";
    for (place, why, most) in [
        ("drip", "it is too slow: ", 25),
        ("drip-list", "it is too slow: ", 15),
        ("mute", "no answer within 5 seconds", 15),
        ("endless", "is longer than 536870912 bytes", 60),
        ("endless-list", "is longer than 33554432 bytes", 30),
        ("cut", "ended after ", 15),
        ("short", "is not taken: ", 15),
        ("to-file", "redirects to an address that is not HTTP", 15),
        ("loop", "redirects more than 5 times", 15),
        ("gone", "is answered with status 503 (an error of the server)", 15),
        ("missing", "is answered with status 404 (not found)", 15),
        ("nothing", "is answered with status 404 (not found), and there is no `SHA256SUMS`", 15),
        ("login", "is answered with status 401 (it wants a login)", 15),
    ] {
        let begun = Instant::now();
        let ended = build(&root, &format!("{far}/{place}"));
        assert!(begun.elapsed() < Duration::from_secs(most), "{place}: {:?}", begun.elapsed());
        assert!(ended.code == 21 && !is_built(&root), "{place}: {ended:?}");
        assert_eq!(ended.stderr.matches(why).count(), 1, "{place}: {ended:?}");
        assert_eq!(root.must("ls -d /tmp/dkms.* 2>/dev/null || :").unwrap(), "", "{place}");
    }
    // A redirect is followed to another server, but not out of TLS, and takes no login along.
    let ended = build(&root, "https://localhost:8443/to-http");
    assert!(ended.code == 21 && ended.stderr.contains("without TLS"), "{ended:?}");
    for place in ["moved", "elsewhere", "many", "names", "sums"] {
        let ended = build(&root, &format!("{far}/{place}"));
        let said = format!("is taken from {far}/{place}, ");
        assert!(ended.code == 0 && ended.stdout.contains(&said), "{ended:?}");
        assert!(!ended.stderr.contains('\u{1b}') && !ended.stderr.contains("/etc/foo"), "{ended:?}");
        root.must("dkms unbuild foo/1.0 -k $K").unwrap();
    }
    settings(&root, "prebuilt=http://user:p%40ss@localhost:8000/login-elsewhere");
    let ended = online(&root, "dkms build foo/1.0 -k $K");
    let asked = requests(&root);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        asked.lines().filter(|line| line.contains("/plain/") && !line.ends_with("| -")).count(),
        0,
        "{asked}"
    );
    root.must("dkms unbuild foo/1.0 -k $K").unwrap();
    // With headers it is built, and with `prebuilt_only` it fails and the place is named.
    root.must("mv /srv/build /lib/modules/$K/build").unwrap();
    let ended = build(&root, &format!("{far}/cut"));
    assert!(ended.code == 0 && is_built(&root) && ended.stderr.contains("ended after"), "{ended:?}");
    root.must("dkms unbuild foo/1.0 -k $K").unwrap();
    settings(&root, &format!("prebuilt={far}/cut\nprebuilt_only=yes"));
    let ended = online(&root, "dkms build foo/1.0 -k $K");
    assert!(
        ended.code == 7 && ended.stderr.contains(&format!("in `{far}/cut`, and `prebuilt_only=yes`")),
        "{ended:?}"
    );
}

#[test]
#[ignore = "full tier"]
fn what_a_server_gives_is_judged_as_what_a_folder_has() {
    let root = world();
    let place = "http://localhost:8000/plain";
    let refused = |why: &str| {
        let ended = build(&root, place);
        assert!(ended.code == 21 && ended.stderr.matches(why).count() == 1, "{why}: {ended:?}");
        assert!(ended.stderr.contains(&format!("`{place}/foo-1.0-")), "{why}: {ended:?}");
        assert_eq!(root.must("dkms status foo").unwrap(), "foo/1.0: added\n");
    };
    root.must("cp /srv/made/* /srv/kmods").unwrap();
    refused("it is not signed");
    publish(&root, "q", "1000");
    refused("which is not trusted");
    publish(&root, "p", "1000");
    root.must(
        "f=$(echo /srv/kmods/*); mkdir /srv/x; cd /srv/x; tar xf $f; printf x >>$(ls dkms_main_tree/*/*/module/foo.ko*); tar czf $f *",
    )
    .unwrap();
    refused("has other contents than stated");
    publish(&root, "p", "1000");
    root.must("echo '# other' >>/usr/src/foo-1.0/Makefile").unwrap();
    refused("it was built from another source");
    root.must("sed -i '$d' /usr/src/foo-1.0/Makefile").unwrap();
    publish(&root, "p", "3000");
    assert_eq!(build(&root, place).code, 0);
    root.must("dkms unbuild foo/1.0 -k $K").unwrap();
    publish(&root, "p", "2999");
    refused("was taken before");
    publish(&root, "p", "3000");
    // Another kernel of the same name.
    root.must("mv /srv/build /lib/modules/$K/build; sed -i 's/^0x[0-9a-f]*\\(.module_layout\\>\\)/0x00000001\\1/' /usr/src/linux-headers-$K/Module.symvers").unwrap();
    let ended = build(&root, place);
    assert!(ended.code == 0 && ended.stderr.contains("expects other CRCs than kernel"), "{ended:?}");
    // A bundle with a name that says nothing comes once for two kernels.
    root.must("dkms unbuild foo/1.0 --all; cd /srv/kmods; mv * foo-1.0-all.dkms.tar.gz; mv /lib/modules/$K/build /srv/build; mv /lib/modules/$K2/build /srv/build2").unwrap();
    settings(&root, &format!("prebuilt={place}\nparallel_jobs=1"));
    let ended = online(&root, "dkms build foo/1.0 -k $K -k $K2");
    let asked = requests(&root);
    assert_eq!(asked.matches("GET /plain/foo-1.0-all").count(), 1, "{ended:?} {asked}");
    assert!(ended.stdout.contains("is taken from"), "{ended:?}");
}

#[test]
#[ignore = "full tier"]
fn an_end_of_dkms_is_an_end_of_the_program() {
    let root = world();
    settings(&root, "prebuilt=http://localhost:8000/mute");
    for signal in ["TERM", "KILL"] {
        let begun = Instant::now();
        let line = format!(
            "dkms build foo/1.0 -k $K & pid=$!; until pgrep -x dkms-fetch >/dev/null; do sleep 0.05; done; kill -{signal} $pid; wait $pid
             for i in $(seq 30); do left=$(ps -eo stat,comm | grep -E \" dkms(-fetch)?$\" | grep -v ^Z) || break; sleep 0.1; done; echo $left"
        );
        let ended = online(&root, &line);
        assert_eq!(ended.stdout.trim(), "", "{signal}: {ended:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{signal}: {:?}", begun.elapsed());
    }
}

#[test]
#[ignore = "full tier"]
fn a_host_takes_what_a_registry_has() {
    let root = world();
    let cache = Cache::open().unwrap();
    let registry = unpacked(&cache, "docker-registry").unwrap().join("usr/bin/docker-registry");
    let oras = unpacked_of(&cache, "trixie", "oras").unwrap().join("usr/bin/oras");
    for (program, name) in [(&registry, "docker-registry"), (&oras, "oras")] {
        fs::write_whole(&root.view("/usr/local/bin").join(name), &fs::read(program).unwrap(), 0o755).unwrap();
    }
    root.write(
        "/srv/registry.yml",
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /srv/registry\nhttp:\n  addr: 127.0.0.1:5000\nlog:\n  level: error\n",
        0o644,
    )
    .unwrap();
    let with_registry = |place: &str, more: &str| {
        settings(&root, &format!("prebuilt={place}"));
        let begin = "docker-registry serve /srv/registry.yml >/dev/null 2>&1 & until curl -s -o /dev/null http://127.0.0.1:5000/v2/; do sleep 0.1; done";
        online(&root, &format!("{begin}; {more}; dkms build foo/1.0 -k $K"))
    };
    let push = "cd /srv/kmods && oras push --plain-http --disable-path-validation 127.0.0.1:5000/honest:v1 * >/srv/pushed 2>&1 || cat /srv/pushed; oras tag --plain-http 127.0.0.1:5000/honest:v1 latest liar >/dev/null; cd /";
    let taken = |ended: &Output, place: &str| {
        let said = format!("is taken from {place}, signed by the key ");
        assert!(ended.code == 0 && ended.stdout.contains(&said), "{ended:?}");
        root.must("dkms unbuild foo/1.0 -k $K").unwrap();
    };
    let place = "oci+http:127.0.0.1:5000/honest:v1";
    taken(&with_registry(place, push), place);
    let digest = root.must("sed -n 's/^Digest: //p' /srv/pushed").unwrap();
    let place = format!("oci+http:127.0.0.1:5000/honest@{}", digest.trim());
    taken(&with_registry(&place, ":"), &place);
    // With a token, from the registry behind the server.
    let place = "oci+http:localhost:8000/honest";
    taken(&with_registry(place, ":"), place);
    assert!(requests(&root).contains("GET /token?service=here&scope=repository%3Ahonest%3Apull"));
    for (place, why) in [
        ("oci+http:localhost:8000/liar", "it has the digest sha256:"),
        ("oci+http:localhost:8000/honest:liar", "it has the digest sha256:"),
        ("oci+http:127.0.0.1:5000/none", "is answered with status 404 (not found)"),
        (
            "oci:127.0.0.1:5000/honest:v1",
            "`oci:127.0.0.1:5000/honest:v1` of prebuilt modules cannot be used: ",
        ),
        ("oci+http:127.0.0.1:5001/honest", "no connection to host `127.0.0.1:5001`: Connection refused"),
    ] {
        let ended = with_registry(place, ":");
        assert!(ended.code == 21 && ended.stderr.matches(why).count() == 1, "{place}: {ended:?}");
    }
}
