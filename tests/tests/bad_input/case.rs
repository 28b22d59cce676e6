//! A row of the table, and how it is run.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dkms_tests::cache::Cache;
use dkms_tests::capture::{Listing, capture};
use dkms_tests::kernels::Kernels;
use dkms_tests::ready::Ready;
use dkms_tests::root::{Root, User};
use dkms_tests::tier::part;
use dkms_tests::tool::Tool;
use dkms_tests::{say, verdict};

/// How long a command may take that has to wait for nothing. The machine may be busy.
const AT_ONCE: Duration = Duration::from_secs(8);

/// How long one may take that has to give up waiting for a conf (10 s).
const AFTER_WAITING: Duration = Duration::from_secs(20);

/// How many rows run at once: they are short processes, one after the other.
const SIDE_BY_SIDE: usize = 2;

/// One bad input.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    name: String,
    conf: Option<String>,
    setup: String,
    words: String,
    user: User,
    code: i32,
    says: Vec<String>,
    changes: Vec<&'static str>,
    waits: bool,
    sums_up: bool,
}

impl Case {
    /// A row; unless the row says otherwise, the command must fail and change nothing.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            conf: None,
            setup: String::new(),
            words: "add foo/1.0".to_owned(),
            user: User::Root,
            code: 0,
            says: Vec::new(),
            changes: Vec::new(),
            waits: false,
            sums_up: false,
        }
    }

    /// The dkms.conf of `foo/1.0`.
    pub(crate) fn conf(mut self, text: impl Into<String>) -> Self {
        self.conf = Some(text.into());
        self
    }

    /// Lines added to the usual dkms.conf of `foo/1.0`.
    pub(crate) fn conf_with(self, lines: &str) -> Self {
        self.conf(format!("{}{lines}\n", Ready::module().conf()))
    }

    /// Lines of shell that come before.
    pub(crate) fn sh(mut self, lines: &str) -> Self {
        self.setup.push_str(lines);
        self.setup.push('\n');
        self
    }

    /// The words after `dkms`, which a shell splits; without, `add foo/1.0`.
    pub(crate) fn dkms(mut self, words: impl Into<String>) -> Self {
        self.words = words.into();
        self
    }

    /// Run by nobody.
    pub(crate) fn by_nobody(mut self) -> Self {
        self.user = User::Nobody;
        self
    }

    /// Exit code, and what the error must say.
    pub(crate) fn fails(mut self, code: i32, says: &[&str]) -> Self {
        self.code = code;
        self.says = says.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// What changes anyway, and rightly so.
    pub(crate) fn changes(mut self, paths: &[&'static str]) -> Self {
        self.changes = paths.to_vec();
        self
    }

    /// It may take as long as a conf has to be read.
    pub(crate) fn waits(mut self) -> Self {
        self.waits = true;
        self
    }

    /// It goes on after a failure, and sums up at the end: in one more error.
    pub(crate) fn sums_up(mut self) -> Self {
        self.sums_up = true;
        self
    }

    /// Runs it; what was wrong.
    fn run(&self, World { cache, kernels, ready }: &World) -> anyhow::Result<Vec<String>> {
        let root = Root::new(cache, kernels, &[&Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"))])?;
        ready.put_into(&root)?;
        if let Some(conf) = &self.conf {
            root.write("/usr/src/foo-1.0/dkms.conf", conf, 0o644)?;
        }
        root.must(&self.setup)?;
        let before = state(&root)?;
        let began = Instant::now();
        let mut output =
            root.shell(&format!("ulimit -v 8000000; exec \"$DKMS\" {}", self.words), self.user, "/")?;
        let took = began.elapsed();
        let after = state(&root)?;
        if self.sums_up {
            let is_sum = |line: &&str| line.starts_with("Error! ") && line.contains(" failed for ");
            output.stderr = output.stderr.lines().filter(|line| !is_sum(line)).collect::<Vec<_>>().join("\n");
        }

        let named: Vec<String> = self.says.iter().map(|word| word.replace("$K", &kernels.first)).collect();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        let mut wrong = match self.code {
            0 => verdict::of_success(&output),
            code => verdict::of_failure(&output, code, &named),
        };
        wrong.extend(verdict::nonsense(&output.stdout));
        wrong.extend(verdict::changes(&before.listing, &after.listing, &self.changes));
        if after.temporary != before.temporary {
            wrong.push(format!("/tmp has changed: {:?}", after.temporary));
        }
        if after.processes != before.processes {
            wrong.push(format!("a child is left: {}", after.processes));
        }
        if took > if self.waits { AFTER_WAITING } else { AT_ONCE } {
            wrong.push(format!("it took {} s", took.as_secs()));
        }
        Ok(wrong)
    }
}

/// What a command may leave traces in.
struct State {
    listing: Listing,
    temporary: String,
    processes: String,
}

fn state(root: &Root) -> anyhow::Result<State> {
    Ok(State { listing: capture(root)?, temporary: root.must("ls -A /tmp")?, processes: processes(root)? })
}

/// What runs in a root. The dead don't count: nobody there reaps orphans.
fn processes(root: &Root) -> anyhow::Result<String> {
    // Those that were killed may need a moment.
    let all = root.must("sleep 0.1; ps -e -o stat=,comm=")?;
    let living: Vec<&str> = all.lines().filter(|line| !line.starts_with('Z')).collect();
    let names = living.iter().filter_map(|line| line.split_whitespace().nth(1));
    Ok(names.collect::<Vec<_>>().join(" "))
}

/// What all rows share.
struct World {
    cache: Cache,
    kernels: Kernels,
    ready: &'static Ready,
}

impl World {
    fn new() -> anyhow::Result<Self> {
        let cache = Cache::open()?;
        let kernels = Kernels::find()?;
        let ready = Ready::compile(&cache, &kernels)?;
        Ok(Self { cache, kernels, ready })
    }
}

/// Runs the rows, and tells every one that failed.
pub(crate) fn pass(cases: &[Case]) {
    static WORLD: OnceLock<World> = OnceLock::new();
    let world = WORLD.get_or_init(|| World::new().expect("what the rows need can be made"));
    let cases = part(cases.iter().collect(), 2);
    let next = AtomicUsize::new(0);
    let wrong = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let lines = case.run(world).unwrap_or_else(|error| vec![format!("{error:#}")]);
                    wrong.fetch_add(usize::from(!lines.is_empty()), Ordering::Relaxed);
                    lines.iter().for_each(|line| say(&format!("{}: {line}", case.name)));
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    assert!(wrong == 0, "{wrong} of {} rows fail", cases.len());
}
