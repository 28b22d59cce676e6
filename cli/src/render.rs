//! What the user sees: events and results as lines of text, or as one JSON object a line.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dkms_base::host::Environment;
use dkms_base::report::{Event, Reporter};
use dkms_base::visible::{visible, visible_json};
use dkms_core::plan::{Plan, Remark, Step};
use serde_json::json;

use crate::action::Action;
use crate::args::{Args, Color};
use crate::failure::Failure;
use crate::grid::Part;
use crate::progress::Bars;
use crate::proposed::Proposed;
use crate::table;

/// A step that took so many seconds gets a line of its own when it has ended.
const WORTH_A_LINE: f64 = 1.0;

/// Version of the JSON that we print; grows with every incompatible change.
pub const JSON_VERSION: u32 = 1;

/// Standard output and standard error, as the options want them.
#[derive(Debug)]
pub struct Terminal {
    quiet: bool,
    commands: bool,
    json: bool,
    /// With `--json`: all of standard output is one document, so all other text
    /// goes to standard error.
    document: bool,
    color: bool,
    proposed: Proposed,
    lost: AtomicBool,
    /// A person watches: what runs is shown while it does.
    live: bool,
    bars: Mutex<Option<Bars>>,
    // Lines of several threads must not mix.
    lock: Mutex<()>,
}

impl Terminal {
    /// As the options and `NO_COLOR` say.
    #[must_use]
    pub fn new(args: &Args, environment: &Environment) -> Self {
        let color = match args.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stderr().is_terminal() && environment.get_filled("NO_COLOR").is_none(),
        };
        Self {
            quiet: args.quiet,
            commands: args.verbose || args.debug,
            json: args.json,
            document: args.dry_run
                || args.words.iter().filter_map(|word| Action::from_word(word)).any(Action::only_tells),
            color,
            proposed: Proposed::of(args),
            live: !args.quiet
                && !args.json
                && !args.verbose
                && !args.debug
                && std::io::stdout().is_terminal()
                && std::io::stderr().is_terminal(),
            bars: Mutex::default(),
            lost: AtomicBool::new(false),
            lock: Mutex::new(()),
        }
    }

    /// A result on standard output. A reader that went away is nobody's error; that a full disk took it is
    /// [remembered](Self::lost).
    pub fn print(&self, text: &str) {
        match self.line(text) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                self.lost.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Whether standard output is a terminal, and text is printed to it.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        !self.quiet && !self.json && std::io::stdout().is_terminal()
    }

    /// A result whose parts are painted.
    pub fn print_painted(&self, parts: &[Part]) {
        if self.quiet {
            return;
        }
        let paint = |(text, sgr): &Part| match sgr {
            Some(sgr) => self.painted(&visible(text), sgr),
            None => visible(text).into_owned(),
        };
        let line: String = parts.iter().map(paint).collect();
        let _held = self.lock.lock();
        let mut stdout = std::io::stdout();
        let written = writeln!(stdout, "{}", line.trim_end()).and_then(|()| stdout.flush());
        if written.is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe) {
            self.lost.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a result could not be written.
    #[must_use]
    pub fn lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// How it goes: what can't be written of that changes nothing.
    fn progress(&self, text: &str) {
        drop(self.line(text));
    }

    fn line(&self, text: &str) -> std::io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let text = if self.json { visible_json(text) } else { visible(text) };
        let _held = self.lock.lock();
        let write = || {
            let mut stdout = std::io::stdout();
            writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        };
        match self.bars().as_ref() {
            Some(bars) => bars.aside(write),
            None => write(),
        }
    }

    /// Something on standard error, behind a label of our own.
    fn complain(&self, label: &str, text: &str) {
        if !self.quiet {
            let text = format!("{label}{}", visible(text));
            let _held = self.lock.lock();
            let write = || drop(writeln!(std::io::stderr(), "{text}"));
            match self.bars().as_ref() {
                Some(bars) => bars.aside(write),
                None => write(),
            }
        }
    }

    fn painted(&self, text: &str, sgr: &str) -> String {
        if self.color { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The error that ends the command.
    pub fn failure(&self, failure: &Failure) {
        if self.json && !self.document {
            let Failure { code, message, hints } = failure;
            let hints = self.hints(hints);
            let line = json!({"version": JSON_VERSION, "event": "error", "code": code.0, "text": message, "hints": hints});
            return self.progress(&line.to_string());
        }
        self.paragraph("Error! ", "1;31", &failure.message, &failure.hints);
    }

    fn paragraph(&self, label: &str, sgr: &str, text: &str, hints: &[String]) {
        let mut lines = vec![text.to_owned()];
        lines.extend(self.hints(hints).iter().map(|hint| format!("  {hint}")));
        self.complain(&self.painted(label, sgr), &lines.join("\n"));
    }

    /// Hints, their commands for the tree that the line names.
    fn hints(&self, hints: &[String]) -> Vec<String> {
        hints.iter().map(|hint| self.proposed.sentence(hint)).collect()
    }

    /// A sentence with commands that help, likewise.
    #[must_use]
    pub fn sentence(&self, text: &str) -> String {
        self.proposed.sentence(text)
    }

    /// A command that helps, for the tree that the line names.
    #[must_use]
    pub fn command(&self, line: &str) -> String {
        self.proposed.command(line)
    }

    /// What would be done.
    pub fn plan(&self, plan: &Plan) {
        if self.json {
            return self.print(&json_plan(plan).to_string());
        }
        self.remarks(plan);
        table::of_plan(plan).iter().for_each(|line| self.print(line));
        if plan.is_empty() {
            self.print("nothing to do");
        }
    }

    /// What would be done by a command that has no more to plan than this.
    pub fn only_step(&self, does: &str) {
        if self.json {
            let step = json!({"step": 0, "does": does, "why": "it was requested", "needs": [], "after": []});
            return self.print(&json!({"version": JSON_VERSION, "steps": [step], "remarks": []}).to_string());
        }
        self.print(does);
    }

    /// What has been decided, and why, before it is done.
    pub fn decisions(&self, plan: &Plan) {
        plan.steps.iter().for_each(|step| self.report(Event::note(format!("plan: {}", with_reason(step)))));
    }

    /// What is skipped, and why.
    pub fn remarks(&self, plan: &Plan) {
        plan.remarks.iter().for_each(|remark| self.report(remark.event()));
    }
}

/// Says a sentence.
pub fn say(terminal: &Terminal, text: impl Into<String>) {
    terminal.report(Event::note(text));
}

/// Warns of something, without hints.
pub fn warn(terminal: &Terminal, text: impl Into<String>) {
    terminal.report(Event::warning(text, []));
}

fn with_reason(step: &Step) -> String {
    let why = if step.why.is_empty() { String::new() } else { format!(": {}", step.why) };
    format!("{}{why}", step.action)
}

fn json_plan(plan: &Plan) -> serde_json::Value {
    let steps: Vec<_> = plan
        .steps
        .iter()
        .enumerate()
        .map(|(place, step)| {
            let ids = |list: &[dkms_core::plan::StepId]| list.iter().map(|id| id.0).collect::<Vec<_>>();
            json!({
                "step": place,
                "does": step.action.to_string(),
                "why": step.why,
                "module": step.action.module().map(ToString::to_string),
                "kernel": step.action.target().map(|target| target.kernel.as_str()),
                "arch": step.action.target().map(|target| target.arch.as_str()),
                "needs": ids(&step.needs),
                "after": ids(&step.after),
                "lands_after": ids(&step.lands),
            })
        })
        .collect();
    let remarks: Vec<_> = plan
        .remarks
        .iter()
        .map(|remark| match remark {
            Remark::Note(text) => json!({"kind": "note", "text": text}),
            Remark::Warning(text) => json!({"kind": "warning", "text": text}),
        })
        .collect();
    json!({"version": JSON_VERSION, "steps": steps, "remarks": remarks})
}

impl Reporter for Terminal {
    fn begin(&self, steps: usize) {
        if self.live && steps > 1 {
            *self.bars() = Some(Bars::new(steps));
        }
    }

    fn end(&self) {
        self.bars().take();
    }

    fn report_of(&self, step: usize, event: Event) {
        if let Some(bars) = self.bars().as_mut() {
            bars.tell(step, &event);
        }
        self.say(Some(step), event);
    }

    fn report(&self, event: Event) {
        self.say(None, event);
    }
}

impl Terminal {
    fn bars(&self) -> MutexGuard<'_, Option<Bars>> {
        // Each change of them is whole.
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, step: Option<usize>, event: Event) {
        if matches!(event, Event::Output { .. }) && !self.commands {
            return;
        }
        let events_on_stdout = self.json && !self.document;
        if events_on_stdout {
            let mut line = json_event(&event, |hints| self.hints(hints));
            if let Some(step) = step {
                line["step"] = json!(step);
            }
            return self.progress(&line.to_string());
        }
        match event {
            Event::Note { text } if self.json => self.complain("", &text),
            // A bar says it.
            Event::Started { .. } if step.is_some() && self.bars().is_some() => {}
            Event::Started { what } => self.progress(&what),
            Event::Finished { what, seconds, well } if seconds >= WORTH_A_LINE => {
                let how = if well { "Done in" } else { "Failed after" };
                self.progress(&format!("{how} {seconds:.1} s: {what}"));
            }
            Event::Finished { .. } | Event::Logging { .. } => {}
            Event::Note { text } | Event::Output { text } => self.progress(&text),
            Event::Warning { text, hints } => self.paragraph("Warning: ", "1;33", &text, &hints),
            Event::Failed { text, hints, .. } => self.paragraph("Error! ", "1;31", &text, &hints),
            Event::Command { line } => {
                if self.commands {
                    self.progress(&format!("+ {line}"));
                }
            }
        }
    }
}

fn json_event(event: &Event, as_typed: impl Fn(&[String]) -> Vec<String>) -> serde_json::Value {
    let mut value = match event {
        Event::Started { what } => json!({"event": "started", "what": what}),
        Event::Finished { what, seconds, well } => {
            json!({"event": "finished", "what": what, "seconds": seconds, "well": well})
        }
        Event::Logging { log } => json!({"event": "logging", "log": log}),
        Event::Note { text } => json!({"event": "note", "text": text}),
        Event::Warning { text, hints } => json!({"event": "warning", "text": text, "hints": as_typed(hints)}),
        Event::Failed { module, target, text, hints } => json!({
            "event": "failed",
            "module": module.as_ref().map(ToString::to_string),
            "kernel": target.as_ref().map(|target| target.kernel.as_str()),
            "arch": target.as_ref().map(|target| target.arch.as_str()),
            "text": text,
            "hints": as_typed(hints),
        }),
        Event::Command { line } => json!({"event": "command", "line": line}),
        Event::Output { text } => json!({"event": "output", "text": text}),
    };
    value["version"] = json!(JSON_VERSION);
    value
}
