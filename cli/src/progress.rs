//! What moves on a terminal while a plan is run: a line for each step with its time and the last line of its
//! log, and a bar for the whole.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dkms_base::host::fs;
use dkms_base::report::Event;
use dkms_base::visible::{is_hidden, visible};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often logs are looked at.
const TICK: Duration = Duration::from_millis(150);

/// As much of a log's end as surely holds its last line.
const END: u64 = 4096;

/// The lines of a run. Dropped, they vanish.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    steps: Arc<Mutex<BTreeMap<usize, Line>>>,
    /// Dropped, it ends the thread.
    ends: Option<Sender<()>>,
    looks: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Line {
    bar: ProgressBar,
    log: Option<PathBuf>,
}

impl Bars {
    /// For a plan with so many steps.
    #[must_use]
    pub fn new(steps: usize) -> Self {
        let all = MultiProgress::new();
        let whole = all
            .add(ProgressBar::new(steps as u64).with_style(style("{bar:30} {pos}/{len} steps, {elapsed}")));
        let steps: Arc<Mutex<BTreeMap<usize, Line>>> = Arc::default();
        let (ends, ended) = mpsc::channel();
        let lines = Arc::clone(&steps);
        let looks = std::thread::spawn(move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                look(&lines);
            }
        });
        Self { all, whole, steps, ends: Some(ends), looks: Some(looks) }
    }

    /// Something happens in a step.
    pub fn tell(&mut self, step: usize, event: &Event) {
        let mut steps = locked(&self.steps);
        match event {
            Event::Started { what } => {
                let line = steps.entry(step).or_insert_with(|| {
                    let bar = ProgressBar::new_spinner()
                        .with_style(style("{spinner} {prefix} ({elapsed}) {wide_msg}"));
                    Line { bar: self.all.insert_before(&self.whole, bar), log: None }
                });
                line.bar.set_prefix(visible(what).into_owned());
                line.bar.enable_steady_tick(TICK);
            }
            Event::Logging { log } => {
                if let Some(line) = steps.get_mut(&step) {
                    line.log = Some(log.clone());
                }
            }
            Event::Finished { .. } => {
                if let Some(line) = steps.remove(&step) {
                    line.bar.finish_and_clear();
                }
                self.whole.inc(1);
            }
            _ => {}
        }
    }

    /// Writes to the terminal while the lines are out of the way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.all.suspend(write)
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.ends.take();
        // A thread that has died has nothing more to show.
        self.looks.take().map(JoinHandle::join).and_then(Result::err);
        locked(&self.steps).values().for_each(|line| line.bar.finish_and_clear());
        self.whole.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are written here, and tested")
}

fn locked(steps: &Mutex<BTreeMap<usize, Line>>) -> MutexGuard<'_, BTreeMap<usize, Line>> {
    // Each change of it is whole.
    steps.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(steps: &Mutex<BTreeMap<usize, Line>>) {
    for line in locked(steps).values() {
        if let Some(text) = line.log.as_deref().and_then(last_line) {
            line.bar.set_message(text);
        }
    }
}

/// The last line of a log that isn't empty, without what a terminal would take for a command.
fn last_line(log: &Path) -> Option<String> {
    let mut file = fs::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END))).ok()?;
    let mut bytes = Vec::new();
    file.take(END).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !is_hidden(*c)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_and_go() {
        let mut bars = Bars::new(2);
        bars.tell(0, &Event::Started { what: "Building".to_owned() });
        bars.tell(0, &Event::Logging { log: "/nowhere".into() });
        look(&bars.steps);
        bars.tell(0, &Event::Finished { what: "build".to_owned(), seconds: 1.0, well: true });
        assert!(locked(&bars.steps).is_empty());
        assert_eq!(bars.whole.position(), 1);
    }

    #[test]
    fn the_last_line_is_shown_as_plain_text() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("make.log");
        let long = "x".repeat(5000);
        fs::write_whole(&log, format!("{long}\n  CC \x1b[31m[M]  foo.o\n\n").as_bytes(), 0o600).unwrap();
        let last = last_line(&log);
        assert_eq!(last.as_deref(), Some("CC [31m[M]  foo.o"));
    }
}
