//! `strongroom operator fleet`: the enclaves of a host, and what they say of themselves.

use clap::Args;
use strongroom_sdk::attestation::Time;
use strongroom_sdk::client::admin;
use strongroom_sdk::proto::v1::FleetEnclave;
use strongroom_sdk::{Error, role_name};

use super::Socket;
use crate::show::{Show, plain};

/// Most lines of an enclave that a host keeps.
const EVENTS_SHOWN_MAX: u64 = 64;

#[derive(Args, Debug)]
pub(crate) struct Fleet {
    #[command(flatten)]
    socket: Socket,
    /// How many of each enclave's last lines to show, at most 64.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=EVENTS_SHOWN_MAX))]
    events: u64,
}

pub(super) async fn run(options: &Fleet, show: Show) -> Result<(), Error> {
    let shown = usize::try_from(options.events).unwrap_or_default();
    for enclave in admin::get_fleet(options.socket.connect().await?).await? {
        show.heading(&format!("{} enclave at {}", role_name(enclave.role()), plain(&enclave.address)));
        for (name, value) in facts(&enclave) {
            show.value(name, value);
        }
        if enclave.development {
            show.caution("!! its manifest is for DEVELOPMENT: whoever made it can read the shares");
        }
        for event in enclave.events.iter().skip(enclave.events.len().saturating_sub(shown)) {
            let said = Time::from_unix_ms(event.said_ms);
            show.value("said", format_args!("{said} #{} {}", event.seq, plain(&event.line)));
        }
    }
    Ok(())
}

/// The lines before those that it said, each with its name.
fn facts(enclave: &FleetEnclave) -> Vec<(&'static str, String)> {
    let mut facts = vec![("state", state(enclave))];
    if enclave.seen_ms == 0 {
        return facts;
    }
    facts.push(("seen", Time::from_unix_ms(enclave.seen_ms).to_string()));
    facts.push(("up", duration(enclave.uptime_ms)));
    if enclave.release > 0 {
        facts.push(("release", enclave.release.to_string()));
    }
    if enclave.time_ms > 0 {
        facts.push(("clock", Time::from_unix_ms(enclave.time_ms).to_string()));
    }
    facts
}

/// In one sentence, whether it serves, or why not.
fn state(enclave: &FleetEnclave) -> String {
    let missing: Vec<String> = enclave.missing.iter().map(|missing| plain(missing)).collect();
    let lacks = format!("lacks {}", missing.join(", "));
    let problem = if enclave.problem.is_empty() { "not tried yet".to_owned() } else { plain(&enclave.problem) };
    match (enclave.connected, missing.is_empty()) {
        (true, true) => "serving".to_owned(),
        (true, false) => format!("not ready: {lacks}"),
        // What it lacked when it was last seen is the better reason, where it said anything.
        (false, false) => format!("not connected: {problem} (when last seen: {lacks})"),
        (false, true) => format!("not connected: {problem}"),
    }
}

/// In its two largest units.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_says_why_an_enclave_does_not_serve() {
        for (connected, missing, problem, expect) in [
            (true, &[][..], "", "serving"),
            (true, &["credentials", "kms"], "", "not ready: lacks credentials, kms"),
            (true, &["kms: a\nb"], "", "not ready: lacks kms: ab"),
            (false, &[], "", "not connected: not tried yet"),
            (false, &[], "refused\u{1b}[2J", "not connected: refused[2J"),
            (false, &["manifest"], "no", "not connected: no (when last seen: lacks manifest)"),
        ] {
            let missing = missing.iter().map(|&missing| missing.to_owned()).collect();
            let enclave = FleetEnclave { connected, missing, problem: problem.to_owned(), ..FleetEnclave::default() };
            assert_eq!(state(&enclave), expect);
        }
    }

    #[test]
    fn of_an_enclave_that_was_never_seen_nothing_else_is_shown() {
        let never = FleetEnclave { release: 1, time_ms: 5, uptime_ms: 5, ..FleetEnclave::default() };
        assert_eq!(facts(&never).len(), 1);
        let new = FleetEnclave { seen_ms: 1_000, uptime_ms: 61_000, ..FleetEnclave::default() };
        let names: Vec<_> = facts(&new).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["state", "seen", "up"], "neither release nor clock before it has them");
        let served = FleetEnclave { time_ms: 86_400_000, release: 3, ..new };
        let facts = facts(&served);
        assert_eq!(
            facts[2..],
            [("up", "1 min 1 s".to_owned()), ("release", "3".to_owned()), ("clock", "1970-01-02T00:00:00Z".to_owned())]
        );
    }

    #[test]
    fn durations_have_two_units() {
        for (ms, expect) in [
            (0, "0 s"),
            (59_999, "59 s"),
            (60_000, "1 min 0 s"),
            (3_599_000, "59 min 59 s"),
            (3_600_000, "1 h 0 min"),
            (86_399_000, "23 h 59 min"),
            (86_400_000, "1 d 0 h"),
            (u64::MAX, "213503982334 d 14 h"),
        ] {
            assert_eq!(duration(ms), expect);
        }
    }
}
