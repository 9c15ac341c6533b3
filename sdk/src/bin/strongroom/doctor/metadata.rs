//! Instance metadata: version 2 answers, version 1 does not, and there is a role. Its credentials are never asked for.

use std::net::SocketAddr;

use super::http::{Answer, ask};
use super::report::Report;

const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
/// Longest token and longest name of a role, in bytes.
const VALUE_BYTES_MAX: usize = 1024;
/// What an operator runs to refuse version 1. How far answers travel (the hop limit) cannot be seen from here.
const REFUSE_VERSION_1: &str =
    "aws ec2 modify-instance-metadata-options --instance-id ID --http-tokens required --http-put-response-hop-limit 1";

/// What else is held against something.
#[derive(Default)]
pub(super) struct Seen {
    /// The `Date` that it answers with.
    pub(super) date: Option<String>,
    /// The name of the instance's role.
    pub(super) role: Option<String>,
}

pub(super) fn check(imds: SocketAddr, report: &mut Report) -> Seen {
    let token = ask(imds, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n");
    let token = match token {
        Ok(answer) if answer.status == 200 && is_value(&answer.body) => answer,
        Ok(Answer { status, .. }) => {
            report.fail(
                "IMDSv2",
                format!("asked for a token, it answers {status}"),
                "enable the metadata endpoint of the instance",
            );
            return Seen::default();
        }
        Err(error) => {
            let todo = "is this an EC2 instance, and its metadata endpoint enabled?";
            report.fail("IMDSv2", format!("{imds}: {error}"), todo);
            return Seen::default();
        }
    };
    report.ok("IMDSv2", "gives a token");
    match ask(imds, "GET", ROLE, "") {
        Ok(answer) if answer.status == 401 => report.ok("IMDSv1", "is refused"),
        Ok(answer) => {
            report.fail("IMDSv1", format!("asked without a token, it answers {}", answer.status), REFUSE_VERSION_1);
        }
        Err(error) => report.warn("IMDSv1", format!("unknown: {error}"), REFUSE_VERSION_1),
    }
    let with_token = format!("X-aws-ec2-metadata-token: {}\r\n", token.body);
    let role = match ask(imds, "GET", ROLE, &with_token) {
        Ok(answer) if answer.status == 200 && is_value(answer.body.trim()) => Some(answer.body.trim().to_owned()),
        Ok(answer) => {
            let todo = "give the instance its profile (deploy/terraform/parent)";
            report.fail("IAM role", format!("none: {}", answer.status), todo);
            None
        }
        Err(error) => {
            report.fail("IAM role", error.to_string(), "ask again");
            None
        }
    };
    if let Some(role) = &role {
        report.ok("IAM role", format!("{role}; what it may do was not looked at"));
    }
    Seen { date: token.date, role }
}

/// One line: a token becomes part of a header.
fn is_value(text: &str) -> bool {
    (1..=VALUE_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
