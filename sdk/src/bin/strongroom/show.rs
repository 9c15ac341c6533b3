//! What the terminal shows: results and checks on standard output, what is going on and errors on standard error.
//!
//! Colours only on a terminal, and never where `NO_COLOR` is set.

use std::io::{IsTerminal, stderr, stdout};

use anstyle::{AnsiColor, Style};
use strongroom_sdk::attest::AttestedIdentity;

/// Longest text of the host's that is shown, in characters.
const PLAIN_CHARS_MAX: usize = 200;

/// The styles of clap's help, which clap drops where there is no terminal.
pub(crate) fn styles() -> clap::builder::Styles {
    let heading = AnsiColor::Green.on_default().bold();
    clap::builder::Styles::styled()
        .header(heading)
        .usage(heading)
        .literal(AnsiColor::Cyan.on_default())
        .error(AnsiColor::Red.on_default().bold())
}

/// How a check of a preflight ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Ok,
    /// Somebody should look at it.
    Warn,
    /// It does not work so, or must not.
    Fail,
    /// Nobody looked.
    Skip,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }
}

/// Where to print, and whether in colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Show {
    colour_out: bool,
    colour_err: bool,
}

impl Show {
    pub(crate) fn from_environment() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour_out: wanted && stdout().is_terminal(), colour_err: wanted && stderr().is_terminal() }
    }

    /// A check that holds, with its value.
    pub(crate) fn check(self, name: &str, value: impl std::fmt::Display) {
        println!("  {} {name}: {value}", paint(self.colour_out, AnsiColor::Green.on_default(), "ok"));
    }

    /// A check of a preflight, with what was found.
    pub(crate) fn verdict(self, verdict: Verdict, name: &str, found: &str) {
        let style = match verdict {
            Verdict::Ok => AnsiColor::Green.on_default(),
            Verdict::Warn => AnsiColor::Yellow.on_default(),
            Verdict::Fail => AnsiColor::Red.on_default().bold(),
            Verdict::Skip => Style::new().dimmed(),
        };
        println!("{} {name}: {found}", paint(self.colour_out, style, &format!("{:<4}", verdict.word())));
    }

    /// What the following lines are about.
    pub(crate) fn heading(self, text: &str) {
        println!("{}", paint(self.colour_out, Style::new().bold(), text));
    }

    /// A result.
    pub(crate) fn value(self, name: &str, value: impl std::fmt::Display) {
        let name = paint(self.colour_out, AnsiColor::Cyan.on_default(), name);
        println!("{name} {value}");
    }

    /// What must not be overlooked in a result.
    pub(crate) fn caution(self, text: &str) {
        println!("{}", paint(self.colour_out, AnsiColor::Yellow.on_default().bold(), text));
    }

    /// What is being waited for.
    pub(crate) fn waiting(self, text: &str) {
        eprintln!("{}", paint(self.colour_err, Style::new().dimmed(), &format!("... {text}")));
    }

    pub(crate) fn warning(self, text: &str) {
        eprintln!("{} {text}", paint(self.colour_err, AnsiColor::Yellow.on_default().bold(), "WARNING:"));
    }

    /// Why the command failed. The sdk's texts name their causes themselves.
    pub(crate) fn error(self, error: &anyhow::Error) {
        eprintln!("{} {error}", paint(self.colour_err, AnsiColor::Red.on_default().bold(), "error:"));
    }

    /// Every check of a role's document and identity.
    pub(crate) fn attested(self, attested: &AttestedIdentity) {
        for check in &attested.checks {
            self.check(check.name, &check.value);
        }
        let identity = &attested.identity;
        self.check("identity", format_args!("epoch {}, hash {}", identity.epoch, identity.hash));
        let manifest = &identity.manifest;
        self.check("manifest", format_args!("release {}, KMS key {}", manifest.release, manifest.kms_key_arn));
        if manifest.development.is_some() {
            self.caution("  !! the manifest is for DEVELOPMENT: whoever made it can read the shares");
        }
    }
}

/// What the host calls something, for a terminal: the host is not trusted with it.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(PLAIN_CHARS_MAX).collect()
}

fn paint(colour: bool, style: Style, text: &str) -> String {
    if colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
}
