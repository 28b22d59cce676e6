//! A signal in the middle of a build: it ends with 130, no child lives on, the state is the one before, and
//! the next command works.

use dkms_tests::cache::Cache;
use dkms_tests::capture::capture;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready::{PLACE, Ready};
use dkms_tests::root::{Root, User};
use dkms_tests::tier::combined;
use dkms_tests::tool::Tool;
use dkms_tests::verdict;

/// What a build may do when the signal comes: each is seen to sleep, since it can leave no mark
/// outside its sandbox.
const MAKES: [(&str, &str); 4] = [
    ("make sleeps", "sleep 1000"),
    ("make has children", "(sleep 1001 & sleep 1002 | cat) & sleep 1000"),
    ("make ignores signals", "trap '' INT TERM HUP; sleep 1000; sleep 1001"),
    ("make is done soon after", "sleep 0.7"),
];

const SIGNALS: [&str; 3] = ["INT", "TERM", "HUP"];

/// A state, the command that makes it, and the one that is interrupted.
const STATES: [(&str, &str, &str); 3] = [
    ("added", "add foo/1.0", "build foo/1.0 -k $K"),
    ("added", "add foo/1.0", "install foo/1.0 -k $K"),
    ("installed", "install foo/1.0 -k $K", "build foo/1.0 -k $K --force"),
];

/// Starts ours in the background, waits for make, sends the signal, and passes on how ours ended.
fn interrupt(words: &str, signal: &str) -> String {
    // A shell without job control has its background processes ignore SIGINT; one that
    // begins as usual doesn't.
    format!(
        "env --default-signal=INT \"$DKMS\" {words} & ours=$!
         i=0; until ps -e -o args= | grep -Eq '^sleep (1000|0\\.7)$'; do sleep 0.05; i=$((i + 1)); [ $i -lt 400 ] || exit 99; done
         kill -{signal} $ours
         wait $ours"
    )
}

/// What is wrong after one interruption.
fn tried(root: &Root, words: &str, signal: &str) -> anyhow::Result<Vec<String>> {
    let before = capture(root)?;
    let status = root.dkms("status")?.stdout;
    let output = root.shell(&interrupt(words, signal), User::Root, "/")?;
    let mut wrong = verdict::of_failure(&output, 130, &["interrupted"]);
    wrong.extend(verdict::nonsense(&output.stdout));
    let left = root
        .must("sleep 0.1; ps -e -o stat=,args= | grep -v '^Z' | grep 'sleep 100' | grep -v grep || true")?;
    if !left.is_empty() {
        wrong.push(format!("a child is left: {left}"));
    }
    // The build folder stays with its log, as after any build that failed.
    wrong.extend(verdict::changes(&before, &capture(root)?, &["/var/lib/dkms/foo/1.0/build"]));
    if root.dkms("status")?.stdout != status {
        wrong.push("the status has changed".to_owned());
    }
    Ok(wrong)
}

fn next_command(root: &Root) -> anyhow::Result<Vec<String>> {
    Ready::module().write_to(root)?;
    let output = root.dkms("install foo/1.0 -k $K --force")?;
    let mut wrong = verdict::of_success(&output);
    let status = root.dkms("status")?.stdout;
    if !status.contains(": installed") {
        wrong.push(format!("the next command leaves {status:?}"));
    }
    let left = root.must("find /var/lib/dkms /usr/src/ /lib/modules/ -name '.tmp_*'")?;
    wrong.extend(left.lines().map(|path| format!("`{path}` is left")));
    Ok(wrong)
}

#[test]
fn a_signal_leaves_the_state_before() {
    let cache = Cache::open().unwrap();
    let kernels = Kernels::find().unwrap();
    let ready = Ready::compile(&cache, &kernels).unwrap();
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let mut wrong = Vec::new();
    let ends = SIGNALS.iter().flat_map(|signal| STATES.iter().map(move |state| (signal, state)));
    for ((what, make), (signal, (state, before, words))) in combined(&MAKES, &ends.collect::<Vec<_>>(), 4) {
        let root = Root::new(&cache, &kernels, &[&ours]).unwrap();
        ready.put_into(&root).unwrap();
        root.must(&format!("dkms {before}")).unwrap();
        root.write("/srv/slow", &format!("{make}\ncp {PLACE} .\n"), 0o755).unwrap();
        let conf = Ready::module().with("MAKE=\"sh /srv/slow\"").conf();
        root.write("/usr/src/foo-1.0/dkms.conf", &conf, 0o644).unwrap();
        let mut lines = tried(&root, words, signal).unwrap();
        lines.extend(next_command(&root).unwrap());
        wrong.extend(lines.iter().map(|line| format!("{what}, SIG{signal}, {state}, {words}: {line}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
