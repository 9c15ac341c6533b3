//! What was looked at, what was found, and what to do about it.

use serde_json::{Value, json};

use crate::show::{Show, Verdict};

/// Longest text of one check, in characters.
const TEXT_CHARS_MAX: usize = 400;

/// One check.
#[derive(Debug)]
struct Finding {
    verdict: Verdict,
    name: String,
    found: String,
    /// What to do; empty where all is well.
    todo: String,
}

/// Every check, in the order in which it was made.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn ok(&mut self, name: impl AsRef<str>, found: impl AsRef<str>) {
        self.add(Verdict::Ok, name.as_ref(), found.as_ref(), String::new());
    }

    pub(super) fn warn(&mut self, name: impl AsRef<str>, found: impl AsRef<str>, todo: impl Into<String>) {
        self.add(Verdict::Warn, name.as_ref(), found.as_ref(), todo.into());
    }

    pub(super) fn fail(&mut self, name: impl AsRef<str>, found: impl AsRef<str>, todo: impl Into<String>) {
        self.add(Verdict::Fail, name.as_ref(), found.as_ref(), todo.into());
    }

    /// What was not looked at, and why.
    pub(super) fn skip(&mut self, name: impl AsRef<str>, why: impl AsRef<str>) {
        self.add(Verdict::Skip, name.as_ref(), why.as_ref(), String::new());
    }

    fn add(&mut self, verdict: Verdict, name: &str, found: &str, todo: String) {
        // Files and programs have their words in it.
        let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect();
        self.0.push(Finding { verdict, name: plain(name), found: plain(found), todo });
    }

    /// How many checks fail.
    pub(super) fn failed(&self) -> usize {
        self.0.iter().filter(|it| it.verdict == Verdict::Fail).count()
    }

    /// How many were made.
    pub(super) fn looked(&self) -> usize {
        self.0.iter().filter(|it| it.verdict != Verdict::Skip).count()
    }

    pub(super) fn print(&self, as_json: bool, show: Show) {
        if as_json {
            let checks: Vec<Value> = self.0.iter().map(Finding::to_json).collect();
            println!("{:#}", json!({ "checks": checks, "failed": self.failed() }));
            return;
        }
        for finding in &self.0 {
            show.verdict(finding.verdict, &finding.name, &finding.found);
            if !finding.todo.is_empty() {
                println!("     -> {}", finding.todo);
            }
        }
    }
}

impl Finding {
    fn to_json(&self) -> Value {
        let Self { verdict, name, found, todo } = self;
        json!({ "check": name, "verdict": verdict.word().to_lowercase(), "found": found, "todo": todo })
    }
}
