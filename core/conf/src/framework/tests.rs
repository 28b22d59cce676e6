use super::*;
use dkms_base::id::KernelRelease;
use dkms_base::layout::Layout;

struct Root(tempfile::TempDir);

impl Root {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join("etc/dkms").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        }
        Self(dir)
    }

    fn read(&self, environment: &[(&str, &str)]) -> Result<Settings, ConfError> {
        self.framework(environment).map(|read| read.settings)
    }

    fn framework(&self, environment: &[(&str, &str)]) -> Result<Framework, ConfError> {
        read(&Layout::under(self.0.path()), &environment.iter().copied().collect())
    }
}

#[test]
fn without_files_the_defaults_hold() {
    let root = Root::with(&[]);
    let settings = root.read(&[("TMPDIR", "/var/tmp"), ("sign_file", "/evil")]).unwrap();
    assert_eq!(settings.tmp_location, root.0.path().join("var/tmp"));
    assert_eq!(settings.layout.dkms_tree, root.0.path().join("var/lib/dkms"));
    assert_eq!((settings.sign_file, settings.parallel_jobs), (None, None));
    assert!(settings.continue_on_error && !settings.verbose);
}

#[test]
fn files_come_over_one_another_by_name() {
    let root = Root::with(&[
        ("framework.conf", "dkms_tree=/a\nsandbox=strict\nverbose=1\nsymlink_modules=no\n"),
        ("framework.conf.d/20-b.conf", "dkms_tree=\"/b\"\r\n"),
        ("framework.conf.d/10-c.conf", "dkms_tree=/c\ncontinue_on_error=\n"),
        ("framework.conf.d/30-d.conf.dpkg-old", "dkms_tree=/d\n"),
    ]);
    let settings = root.read(&[]).unwrap();
    assert_eq!(settings.layout.dkms_tree, root.0.path().join("b"));
    assert!(settings.verbose && !settings.symlink_modules && !settings.continue_on_error);
}

#[test]
fn the_kernel_is_put_in_later() {
    let text = "sign_file=\"/usr/$kernelver/sign\"\nmok_certificate='/k/${kernelver}.pub'\n";
    let kernel = KernelRelease::new("6.1.0-47-amd64").unwrap();
    for more in ["", "true\n"] {
        let settings = Root::with(&[("framework.conf", &format!("{more}{text}"))]).read(&[]).unwrap();
        let value = |text: Option<String>| Settings::for_kernel(&text.unwrap(), &kernel);
        assert_eq!(value(settings.sign_file), "/usr/6.1.0-47-amd64/sign");
        assert_eq!(value(settings.mok_certificate), "/k/6.1.0-47-amd64.pub");
    }
}

#[test]
fn jobs_come_from_the_environment_too() {
    let jobs = |text: &str| {
        Root::with(&[("framework.conf", text)]).read(&[("parallel_jobs", "3")]).unwrap().parallel_jobs
    };
    assert_eq!(jobs(""), Some(3));
    assert_eq!(jobs("parallel_jobs=7"), Some(7));
    assert_eq!(jobs("parallel_jobs=$((parallel_jobs + 1))"), Some(4));
}

#[test]
fn sizes_have_units() {
    let max = |text: &str| {
        let text = format!("build_cache=/c\nbuild_cache_max={text}\non_build_failure=fail\n");
        let settings = Root::with(&[("framework.conf", &text)]).read(&[]).unwrap();
        assert!(settings.build_cache.unwrap().ends_with("c"));
        assert_eq!(settings.on_build_failure, OnBuildFailure::Fail);
        settings.build_cache_max
    };
    assert_eq!((max("4096"), max("500M"), max("3g"), max("1KiB")), (4096, 500 << 20, 3 << 30, 1024));
    assert_eq!((max("much"), max(""), max("99999999999T")), (2 << 30, 2 << 30, 2 << 30));
}

/// The settings that a text has invalid values for, and its unknown names.
fn faults(text: &str) -> Vec<(String, Option<String>)> {
    let read = Root::with(&[("framework.conf", text)]).framework(&[]).unwrap();
    let plain = |fault| match fault {
        SettingFault::Value { setting, value, .. } => (setting.name.to_owned(), Some(value)),
        SettingFault::Unknown { name, nearest, .. } => (name, nearest.map(|name| format!("{name}?"))),
        SettingFault::Untrusted { .. }
        | SettingFault::NeedsBash { .. }
        | SettingFault::Closed { .. }
        | SettingFault::Unread { .. }
        | SettingFault::OpenLogin { .. } => panic!("{fault}"),
    };
    read.faults.into_iter().map(plain).collect()
}

#[test]
fn a_login_that_every_user_can_read_is_a_fault() {
    let text = "prebuilt=https://u:p@h/k\n";
    let root = Root::with(&[("framework.conf", text), ("framework.conf.d/a.conf", "verbose=1\n")]);
    let file = root.0.path().join("etc/dkms/framework.conf");
    let found = || root.framework(&[]).unwrap().faults;
    fs::set_mode(&file, 0o644).unwrap();
    assert_eq!(found(), [SettingFault::OpenLogin { file: file.clone() }]);
    fs::set_mode(&file, 0o640).unwrap();
    assert_eq!(found(), []);
    fs::set_mode(&file, 0o644).unwrap();
    fs::write_whole(&file, b"# me@here\nprebuilt='https://h/k oci:r/k@sha256:0a'\n", 0o644).unwrap();
    assert_eq!(found(), []);
}

#[test]
fn invalid_values_are_faults_and_the_default_is_used() {
    let sound = "parallel_jobs=4\nsandbox=strict\npreflight=Block\nverbose=1\ncontinue_on_error=\n\
                 symlink_modules=False\ntry_sign_modules=not_in_chroot\non_build_failure=FAIL\r\nbuild_cache=\n";
    assert_eq!(faults(sound), []);
    for (line, value) in [
        ("parallel_jobs=many", "many"),
        ("parallel_jobs=-1", "-1"),
        ("sandbox=yes", "yes"),
        ("verbose=maybe", "maybe"),
        ("try_sign_modules=auto", "auto"),
        ("lock_timeout=long", "long"),
        ("build_cache_max=much", "much"),
        ("build_cache=cache", "cache"),
        ("autoinstall_all_kernels=oui", "oui"),
    ] {
        let name = line.split('=').next().unwrap();
        assert_eq!(faults(line), [(name.to_owned(), Some(value.to_owned()))], "{line}");
    }
    let settings =
        Root::with(&[("framework.conf", "preflight=BLOCK\non_build_failure=FAIL\nverbose=maybe\n")]);
    let settings = settings.read(&[]).unwrap();
    assert_eq!(settings.preflight, PreflightPolicy::Block);
    assert_eq!(settings.on_build_failure, OnBuildFailure::Fail);
    assert!(!settings.verbose);
}

#[test]
fn root_reads_no_settings_that_others_may_write() {
    let root = Root::with(&[("framework.conf", "sandbox=off\n")]);
    let file = root.0.path().join("etc/dkms/framework.conf");
    for (place, mode, sound) in [(&*file, 0o666, 0o644), (file.parent().unwrap(), 0o777, 0o755)] {
        fs::set_mode(place, mode).unwrap();
        let error = root.read(&[]).unwrap_err();
        assert!(matches!(&error, ConfError::Untrusted { .. }), "{error}");
        assert!(error.to_string().contains("chmod go-w"), "{error}");
        let layout = Layout::under(root.0.path());
        let read = examine(&layout, &Environment::default()).unwrap();
        assert_eq!((read.settings.sandbox, read.faults.len()), (SandboxMode::Auto, 1));
        fs::set_mode(place, sound).unwrap();
    }
    assert_eq!(root.read(&[]).unwrap().sandbox, SandboxMode::Off);
}

#[test]
fn unknown_names_are_faults_unless_another_line_uses_them() {
    for more in ["", "true\n"] {
        let of = |text: &str| faults(&format!("{more}{text}"));
        let one = |name: &str, nearest: Option<&str>| [(name.to_owned(), nearest.map(str::to_owned))];
        assert_eq!(of("sandobx=strict\n"), one("sandobx", Some("sandbox?")));
        assert_eq!(of("Sandbox=strict\n"), one("Sandbox", Some("sandbox?")));
        assert_eq!(of("mok_sign_key=/k\n"), one("mok_sign_key", Some("mok_signing_key?")));
        assert_eq!(of("log_level=shout\n"), one("log_level", None));
        assert_eq!(
            of("keys=/root/keys\nmok_signing_key=$keys/k\nmok_certificate=${keys}/c\nexport PATH=/bin\n"),
            []
        );
    }
    let root = Root::with(&[("framework.conf", "batch=no\n"), ("framework.conf.d/a.conf", "bacth=yes\n")]);
    let told = root.framework(&[]).unwrap().faults[0].to_string();
    assert!(told.contains("framework.conf.d/a.conf") && told.contains("did you mean `batch`?"), "{told}");
}

/// What is installed as /etc/dkms/framework.conf: each setting in a line of its own that is taken out.
#[test]
fn the_file_that_is_shipped_has_all_settings_and_their_defaults() {
    let shipped = table::framework_conf();
    let lines: Vec<&str> = shipped.lines().filter_map(|line| line.strip_prefix('#')).collect();
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.starts_with([' ', '#'])).collect();
    assert_eq!(lines.len(), table::names().len());
    let is_default = |line: &&str| {
        let setting = table::all().find(|setting| line.split('=').next() == Some(setting.name));
        matches!(setting.unwrap().shown, Shown::Default(_))
    };
    let given = lines.into_iter().filter(is_default).collect::<Vec<_>>().join("\n");
    let given = Root::with(&[("framework.conf", &given)]);
    let read = given.framework(&[]).unwrap();
    assert_eq!(read.faults, []);
    let mut settings = read.settings;
    assert_eq!(settings.mok_signing_key.take().as_deref(), Some("/var/lib/dkms/mok.key"));
    assert_eq!(settings.mok_certificate.take().as_deref(), Some("/var/lib/dkms/mok.pub"));
    let defaults = Settings::defaults(Layout::under(given.0.path()));
    assert_eq!(format!("{settings:?}"), format!("{defaults:?}"));
}

#[test]
fn a_time_limit_is_a_number_of_seconds() {
    let limit =
        |text: &str| Root::with(&[("framework.conf", text)]).read(&[]).unwrap().lock_timeout.as_secs();
    assert_eq!((limit("lock_timeout=7"), limit("lock_timeout=0"), limit("lock_timeout=long")), (7, 0, 1800));
}

#[test]
fn a_bad_file_is_named() {
    let error = Root::with(&[("framework.conf", "a=1\nif then\n")]).read(&[]).unwrap_err();
    assert!(matches!(&error, ConfError::Syntax { line: 2, .. }), "{error}");
}

#[test]
fn what_only_shows_something_goes_on_without_a_bad_file() {
    let root = Root::with(&[
        ("framework.conf", "sandbox=strict\nverbose=yes\n"),
        ("framework.conf.d/a.conf", "verbose=no\nbuild_cache=\"/srv\n"),
        ("framework.conf.d/b.conf", "parallel_jobs=3\nif true; then symlink_modules=yes; fi\n"),
        ("framework.conf.d/c.conf", "x\0y"),
        ("framework.conf.d/d.conf", "lock_timeout=5\nexit 0\n"),
    ]);
    fs::symlink(Path::new("e.conf"), &root.0.path().join("etc/dkms/framework.conf.d/e.conf")).unwrap();
    let layout = Layout::under(root.0.path());
    let Framework { settings, faults } = examine(&layout, &Environment::default()).unwrap();
    assert_eq!((settings.sandbox, settings.verbose), (SandboxMode::Strict, true), "a.conf is left out whole");
    assert_eq!((settings.parallel_jobs, settings.symlink_modules), (Some(3), true));
    assert_eq!(settings.lock_timeout.as_secs(), 1800);
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    for (name, line) in [("a", "line 2"), ("c", "line 1"), ("d", "line 2"), ("e", "")] {
        let of = told.iter().find(|told| told.contains(&format!("framework.conf.d/{name}.conf`")));
        assert!(of.is_some_and(|told| told.contains(line)), "{name}: {told:?}");
    }
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(root.framework(&[]).is_err());
}
