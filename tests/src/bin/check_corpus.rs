//! Holds our reader of dkms.conf against what the original takes from several hundred real files: every
//! directive of every file, through both tiers. The files belong to others and stay outside of this project;
//! `make check-corpus CORPUS=DIR`.
#![expect(clippy::disallowed_macros, reason = "a program for people at a terminal")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use dkms_base::host::process::Process;
use dkms_base::host::{Environment, fs};
use dkms_base::id::{ModuleId, Target};
use dkms_base::layout::Layout;
use dkms_conf::{ConfError, ConfSource, RawConf, Reader, Tier, Variables, second_pass};
use serde::Deserialize;

/// What the original takes from one file.
#[derive(Debug, Deserialize)]
struct Expected {
    module: String,
    module_version: String,
    status: String,
    #[serde(default)]
    conf_exits: bool,
    #[serde(default)]
    machine_dependent_directives: Vec<String>,
    values: BTreeMap<String, BTreeMap<String, String>>,
}

/// `NAME[index]` → value.
type Flat = BTreeMap<String, String>;

/// What the comparison came to.
#[derive(Debug, Default)]
struct Counts {
    files: usize,
    equal: usize,
    errors: usize,
    left_out: usize,
    read_static: usize,
    wholly_static: usize,
    expected_different: Vec<String>,
    mismatches: Vec<String>,
}

/// Says that the mounts are made.
const INSIDE: &str = "--inside";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("check-corpus: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let args: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    match args.get(1..).unwrap_or_default() {
        [corpus] => inside_a_namespace(&args[0], corpus),
        [corpus, inside] if inside == INSIDE => {
            private_view()?;
            check(Path::new(corpus))
        }
        _ => anyhow::bail!("usage: check-corpus CORPUS"),
    }
}

/// Runs ourselves where mounts are nobody else's, and go when we do.
fn inside_a_namespace(program: &str, corpus: &str) -> Result<bool> {
    ensure!(rustix::process::geteuid().is_root(), "must be root, to mount a private /usr/src");
    let args = ["--mount", "--propagation", "private", program, corpus, INSIDE];
    let ended = Process::new("unshare", args, &Environment::of_this_process()).capture()?;
    print!("{}", ended.text());
    Ok(ended.code() == 0)
}

/// /usr/src with room for the confs over what is there; nothing in /etc/dkms, /var/lib/dkms and /boot.
fn private_view() -> Result<()> {
    use rustix::mount::{MountFlags, mount};
    let tmpfs = |path: &str| {
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), None).with_context(|| format!("tmpfs on {path}"))
    };
    tmpfs("/mnt")?;
    fs::create_dir_all(Path::new("/mnt/upper"))?;
    fs::create_dir_all(Path::new("/mnt/work"))?;
    let options = c"lowerdir=/usr/src,upperdir=/mnt/upper,workdir=/mnt/work";
    mount("overlay", "/usr/src", "overlay", MountFlags::empty(), options).context("overlay on /usr/src")?;
    ["/etc/dkms", "/var/lib/dkms", "/boot"]
        .into_iter()
        .filter(|path| fs::is_dir(Path::new(path)))
        .try_for_each(tmpfs)
}

fn check(corpus: &Path) -> Result<bool> {
    let mut good = true;
    for (series, kernel) in [("6.1", "6.1.0-56-amd64"), ("5.10", "5.10.0-32-amd64")] {
        let text = fs::read_lossy(&corpus.join(format!("expected-{series}.json")))?;
        // Headers were there for one of the two; those of another build of the same series do as well.
        let ours = if series == "6.1" { headers_like(kernel)? } else { kernel.to_owned() };
        let expected: BTreeMap<String, Expected> = serde_json::from_str(&text.replace(kernel, &ours))?;
        let mut counts = Counts::default();
        for (name, expected) in &expected {
            compare(&corpus.join("conf").join(name), name, expected, &ours, &mut counts)?;
        }
        good &= report(&ours, &counts);
    }
    Ok(good)
}

/// The kernel itself, or another of its series whose headers are installed.
fn headers_like(kernel: &str) -> Result<String> {
    let modules = Path::new("/lib/modules");
    let usable = |name: &str| fs::is_dir(&modules.join(name).join("build/include"));
    let others = fs::list(modules)?.into_iter().filter_map(|entry| entry.name.into_string().ok());
    let like = |name: &String| {
        name.starts_with("6.1.0-") && name.ends_with("-amd64") && name.matches('-').count() == 2
    };
    [kernel.to_owned()]
        .into_iter()
        .chain(others.filter(like))
        .find(|name| usable(name))
        .with_context(|| format!("no headers like `{kernel}`: install linux-headers-{kernel} or another 6.1"))
}

/// Reads one file through both tiers and holds each against what is expected.
fn compare(conf: &Path, name: &str, expected: &Expected, kernel: &str, counts: &mut Counts) -> Result<()> {
    let id = ModuleId::parse(&expected.module, &expected.module_version)?;
    let layout = Layout::under("/");
    let dir = layout.source_dir(&id);
    fs::remove_tree(&dir)?;
    fs::create_dir_all(&dir)?;
    let file = dir.join("dkms.conf");
    fs::copy_file(conf, &file)?;
    let environment: Environment =
        [("TZ", "UTC"), ("HOME", "/"), ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C")]
            .into_iter()
            .collect();
    let source = ConfSource { id: Some(&id), file };
    let target = Target::parse(kernel, "x86_64")?;
    let kernel_source_dir = layout.headers_dir(&target.kernel);
    let kernel_config =
        Some(kernel_source_dir.join("include/config/auto.conf")).filter(|path| fs::is_file(path));
    let dest_override = Some("/updates/dkms".to_owned());
    let variables = Variables { target, kernel_source_dir, kernel_config, parallel_jobs: 2, dest_override };
    let reader = Reader::new(&layout, &environment);
    let usual = reader.read(&source, &variables, &[]);
    let bash = Reader::new(&layout, &environment).through_bash().read(&source, &variables, &[]);
    let once = reader.read_once(&source, &variables);
    fs::remove_tree(&dir)?;

    counts.files += 1;
    let before = counts.mismatches.len();
    if let Ok(raw) = &usual {
        counts.read_static += usize::from(raw.tier == Tier::Static);
        counts.wholly_static += usize::from((raw.tier, raw.second_tier) == (Tier::Static, Tier::Static));
    }
    if expected.status == "unparseable" || expected.conf_exits {
        for result in [&usual, &bash] {
            match result {
                Err(ConfError::Syntax { .. }) if expected.status == "unparseable" => {}
                Err(ConfError::Exits { .. }) if expected.conf_exits => {}
                other => counts.mismatches.push(format!("{name}: expected an error, got {other:?}")),
            }
        }
        counts.errors += usize::from(counts.mismatches.len() == before);
        return Ok(());
    }
    let once = once?;
    for (tier, result) in [("as usual", usual), ("bash", bash)] {
        match result {
            Err(error) => counts.mismatches.push(format!("{name} ({tier}): {error}")),
            Ok(raw) => values(name, tier, &raw, &once, expected, counts),
        }
    }
    counts.equal += usize::from(counts.mismatches.len() == before);
    Ok(())
}

/// Compares all values of a file. `once` has them as they were before the second expansion, to tell where we
/// differ on purpose: the original loses a value with a bare `"` around a blank, we keep its text. (The other
/// such difference, pathname expansion, played no part when the expected values were made.)
fn values(name: &str, tier: &str, raw: &RawConf, once: &RawConf, expected: &Expected, counts: &mut Counts) {
    let mut ours = Flat::new();
    for (directive, values) in &raw.values {
        ours.extend(values.iter().map(|(index, value)| (format!("{directive}[{index}]"), value.clone())));
    }
    let mut theirs = Flat::new();
    for (directive, values) in &expected.values {
        theirs.extend(values.iter().map(|(index, value)| (format!("{directive}[{index}]"), value.clone())));
    }
    for left_out in &expected.machine_dependent_directives {
        let had = ours.remove(left_out).is_some() | theirs.remove(left_out).is_some();
        counts.left_out += usize::from(had && tier == "bash");
    }
    let all: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for place in all {
        let (a, b) = (ours.get(place), theirs.get(place));
        let before = once.values.iter().flat_map(|(directive, values)| {
            values.iter().map(move |(index, value)| (format!("{directive}[{index}]"), value))
        });
        let lost =
            before.filter(|(at, _)| at == place).any(|(_, value)| second_pass::has_bare_quoted_blank(value));
        if a != b && lost {
            counts.expected_different.push(format!("{name} ({tier}) {place}: {a:?}, not {b:?}"));
        } else if a != b {
            counts.mismatches.push(format!("{name} ({tier}) {place}:\n    ours   {a:?}\n    theirs {b:?}"));
        }
    }
}

fn report(kernel: &str, counts: &Counts) -> bool {
    let share = |part: usize| 100.0 * part as f64 / counts.files.max(1) as f64;
    println!("{kernel}: {} files", counts.files);
    println!("  equal in every directive, through both tiers: {}", counts.equal);
    println!("  an error, as expected: {}", counts.errors);
    println!("  directives left out that depend on the machine: {}", counts.left_out);
    println!("  read by the static tier: {} ({:.1}%)", counts.read_static, share(counts.read_static));
    println!("  without any process: {} ({:.1}%)", counts.wholly_static, share(counts.wholly_static));
    println!("  different as the spec says: {}", counts.expected_different.len());
    counts.expected_different.iter().for_each(|line| println!("    {line}"));
    println!("  mismatches: {}", counts.mismatches.len());
    counts.mismatches.iter().for_each(|line| println!("    {line}"));
    let enough = share(counts.read_static) >= 80.0;
    if !enough {
        println!("  fewer than 80% of the files were read by the static tier");
    }
    enough && counts.mismatches.is_empty()
}
