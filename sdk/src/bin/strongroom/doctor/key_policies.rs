//! Key policies, judged by the lint against the images given and the manifests that the host's configuration names.

use strongroom_sdk::key_policy::{Expected, Finding, POLICY_BYTES_MAX, Severity, lint};
use strongroom_sdk::{files, role_name};

use super::Doctor;
use super::host::Booted;
use super::report::Report;

const TODO: &str = "have the key administrator put another; strongroom policy lint says more";

pub(super) fn check(options: &Doctor, manifests: &[Booted], report: &mut Report) {
    if options.key_policies.is_empty() {
        report.skip("key policies", "NOT LOOKED AT: no --key-policy is given");
    }
    for policy in &options.key_policies {
        let name = format!("key policy, {}", role_name(policy.role));
        let bytes = match files::read(&policy.path, POLICY_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) => {
                report.fail(name, error.to_string(), "fetch it: aws kms get-key-policy");
                continue;
            }
        };
        let administrators = options.administrators.iter().filter(|it| it.role == policy.role);
        let expected = Expected {
            role: policy.role,
            images: options.images.clone(),
            manifests: manifests.iter().filter(|it| it.role == policy.role).map(|it| it.pcr16).collect(),
            administrators: administrators.map(|it| it.arn.clone()).collect(),
        };
        judge(&name, &lint(&bytes, &expected), &expected, report);
    }
}

fn judge(name: &str, findings: &[Finding], expected: &Expected, report: &mut Report) {
    let first = |severity| findings.iter().find(|it| it.rule.severity() == severity);
    let counted = format!("{} findings", findings.len());
    if let Some(finding) = first(Severity::Error) {
        return report.fail(name, format!("{counted}, such as {} {finding}", finding.rule.name()), TODO);
    }
    if let Some(finding) = first(Severity::Warning) {
        return report.warn(name, format!("{counted}, such as {} {finding}", finding.rule.name()), TODO);
    }
    if expected.images.is_empty() || expected.manifests.is_empty() {
        let text = "no findings; images or manifests were compared with nothing";
        return report.warn(name, text, "give --image and --host-config too");
    }
    report.ok(name, "no findings in the file; that KMS has this policy, and the key no grants, was not looked at");
}
