//! `strongroom policy`: writes and judges the key policies of the enclaves' KMS keys. Offline: it asks nobody.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use strongroom_sdk::attestation::Pcr;
use strongroom_sdk::key_policy::{
    Draft, Expected, Finding, ImagePcrs, POLICY_BYTES_MAX, Rule, Severity, lint, shared_accounts,
};
use strongroom_sdk::proto::v1::{Role, Statement};
use strongroom_sdk::{Error, files, role_name};

use crate::options::{self, RoleName};
use crate::show::Show;

/// Commands about key policies.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Write the policy of one KMS key: attested enclaves of one role may use it, the key administrator may change who.
    #[command(after_help = GENERATE_HELP)]
    Generate(Generate),
    /// Judge a policy offline. What the lint does not understand is a finding.
    #[command(after_help = LINT_HELP)]
    Lint(Lint),
}

const GENERATE_HELP: &str = "\
Each role has a KMS key of its own, in an account of its own. The key administrator must not be the operator, and has another account:
whoever changes the policy can let another image in. During an upgrade both images are given, and afterwards the old one no more.

Example:
  strongroom policy generate --role client --enclave-role arn:aws:iam::111122223333:role/client-enclave \\
    --administrator arn:aws:iam::444455556666:role/key-administrator --image $PCR0:$PCR1:$PCR2 --pcr16 $PCR16 --out client.json";

const LINT_HELP: &str = "\
Prints a line for each finding: its severity, the rule's name, and the statement. Exits with 1 where there is any.

Example:
  aws kms get-key-policy --key-id $KEY --query Policy --output text > client.json
  strongroom policy lint client.json --role client --image $PCR0:$PCR1:$PCR2 --pcr16 $PCR16 --administrator $ARN";

#[derive(Args, Debug)]
pub(crate) struct Generate {
    /// The role whose enclaves use the key.
    #[arg(long)]
    role: RoleName,
    /// ARN of the IAM role with whose credentials the enclave calls; may be given several times.
    #[arg(long = "enclave-role", value_name = "ARN", required = true)]
    enclaves: Vec<String>,
    /// ARN of the key administrator's IAM role, which must not be the operator's; may be given several times.
    #[arg(long = "administrator", value_name = "ARN", required = true)]
    administrators: Vec<String>,
    /// An image of a release: PCR0, or all three; may be given several times. None for a key that no manifest names yet.
    #[arg(long = "image", value_name = "PCR0[:PCR1:PCR2]", value_parser = image_pcrs)]
    images: Vec<ImagePcrs>,
    /// PCR16 of a manifest; may be given several times.
    #[arg(long = "pcr16", value_name = "HEX", value_parser = options::pcr)]
    manifests: Vec<Pcr>,
    /// Write to this new file instead of the terminal.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Lint {
    /// The key policy, JSON.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The role whose enclaves use the key.
    #[arg(long)]
    role: RoleName,
    /// An image that may be let in; may be given several times. Without any, images are not checked.
    #[arg(long = "image", value_name = "PCR0[:PCR1:PCR2]", value_parser = image_pcrs)]
    images: Vec<ImagePcrs>,
    /// A PCR16 that may be let in; may be given several times. Without any, manifests are not checked.
    #[arg(long = "pcr16", value_name = "HEX", value_parser = options::pcr)]
    manifests: Vec<Pcr>,
    /// ARN of one who may change the policy; may be given several times.
    #[arg(long = "administrator", value_name = "ARN")]
    administrators: Vec<String>,
}

/// A role's key policy: `client=FILE`.
#[derive(Clone, Debug)]
pub(crate) struct PolicyFile {
    pub(crate) role: Role,
    pub(crate) path: PathBuf,
}

/// `ROLE=FILE`.
pub(crate) fn policy_file(text: &str) -> Result<PolicyFile, String> {
    let (role, path) = of_role(text, "FILE")?;
    Ok(PolicyFile { role, path: path.into() })
}

/// Who may change a role's key policy: `client=ARN`.
#[derive(Clone, Debug)]
pub(crate) struct Administrator {
    pub(crate) role: Role,
    pub(crate) arn: String,
}

/// `ROLE=ARN`.
pub(crate) fn administrator(text: &str) -> Result<Administrator, String> {
    let (role, arn) = of_role(text, "ARN")?;
    Ok(Administrator { role, arn: arn.to_owned() })
}

/// A role, and what is given for it.
fn of_role<'a>(text: &'a str, what: &str) -> Result<(Role, &'a str), String> {
    let wrong = || format!("not client={what} or custodian={what}");
    let (role, value) = text.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or_else(wrong)?;
    let known = [Role::Client, Role::Custodian].into_iter().find(|known| role_name(*known) == role);
    let role = known.ok_or_else(|| format!("role {role:?} is unknown; client and custodian are known"))?;
    Ok((role, value))
}

/// `PCR0` or `PCR0:PCR1:PCR2`.
pub(crate) fn image_pcrs(text: &str) -> Result<ImagePcrs, String> {
    if text.contains(':') {
        return options::image(text).map(|image| ImagePcrs::from(&image));
    }
    Ok(ImagePcrs { pcr0: options::pcr(text)?, pcr1: None, pcr2: None })
}

pub(crate) fn run(command: Policy, show: Show) -> Result<(), Error> {
    match command {
        Policy::Generate(options) => generate(options, show),
        Policy::Lint(options) => {
            let text = files::read(&options.file, POLICY_BYTES_MAX)?;
            let findings = lint(&text, &options.expected());
            caution_accounts(&text, show);
            for (values, text) in [
                (options.images.len(), "images: NOT CHECKED, for no --image is given"),
                (options.manifests.len(), "manifests: NOT CHECKED, for no --pcr16 is given"),
            ] {
                if values == 0 {
                    show.caution(text);
                }
            }
            report(&findings, Rule::severity, show);
            let Some(problem) = problem(&findings) else {
                show.check("policy", "no findings");
                return Ok(());
            };
            Err(Error::KeyPolicy { role: role_name(options.role.into()), problem })
        }
    }
}

impl Lint {
    fn expected(&self) -> Expected {
        Expected {
            role: self.role.into(),
            images: self.images.clone(),
            manifests: self.manifests.clone(),
            administrators: self.administrators.clone(),
        }
    }
}

fn generate(options: Generate, show: Show) -> Result<(), Error> {
    let Generate { role, enclaves, administrators, images, manifests, out } = options;
    let text = Draft { role: role.into(), enclaves, administrators, images, manifests }.build()?;
    if !shared_accounts(text.as_bytes()).is_empty() {
        show.warning(
            "an administrator is of the enclaves' account: for trying out alone, for tenants refuse such a policy",
        );
    }
    let Some(path) = out else {
        print!("{text}");
        return Ok(());
    };
    files::write_new(&path, text.as_bytes())?;
    show.value("policy", path.display());
    Ok(())
}

/// Who shares an account, for people: whether that matters, whoever signs a statement knows.
fn caution_accounts(policy: &[u8], show: Show) {
    for finding in shared_accounts(policy) {
        show.caution(&format!("{} {finding}", finding.rule.name()));
    }
}

fn report(findings: &[Finding], severity: impl Fn(Rule) -> Severity, show: Show) {
    for finding in findings {
        show.value(&severity(finding.rule).to_string(), format_args!("{} {finding}", finding.rule.name()));
    }
}

/// How many findings there are, in words; `None` where there are none.
fn problem(findings: &[Finding]) -> Option<String> {
    let number = |severity| findings.iter().filter(|it| it.rule.severity() == severity).count();
    let (errors, warnings) = (number(Severity::Error), number(Severity::Warning));
    (errors + warnings > 0).then(|| format!("{errors} errors, {warnings} warnings"))
}

/// For a statement it is an error too that the policy does not let in what the statement lists: an image or manifest that the key
/// administrator never heard of may have its KEK under somebody else's key.
fn for_statement(rule: Rule) -> Severity {
    if rule == Rule::ImageNotLetIn { Severity::Error } else { rule.severity() }
}

/// Holds the key policies that a tenant was given against what the statement is to say. The roles of `development` have enclaves whose
/// manifest is for development: for them one account will do.
///
/// # Errors
/// [`Error::KeyPolicy`] where a policy has a finding that is an error, [`Error::Input`] for a role twice or one that the statement does not
/// name.
pub(crate) fn check_statement(
    policies: &[PolicyFile],
    statement: &Statement,
    development: &[Role],
    show: Show,
) -> Result<(), Error> {
    for (at, policy) in policies.iter().enumerate() {
        let name = role_name(policy.role);
        let wrong = |problem: &str| Error::Input { field: format!("--key-policy {name}"), problem: problem.to_owned() };
        if policies[..at].iter().any(|before| before.role == policy.role) {
            return Err(wrong("is there twice"));
        }
        let role = strongroom_sdk::proto::statement::role(statement, policy.role);
        let role = role.ok_or_else(|| wrong("is of a role that the statement does not name"))?;
        let images = statement.images.iter().filter_map(|image| {
            let [pcr0, pcr1, pcr2] = [&image.pcr0, &image.pcr1, &image.pcr2].map(|pcr| Pcr::try_from(&pcr[..]).ok());
            Some(ImagePcrs { pcr0: pcr0?, pcr1, pcr2 })
        });
        let manifests = role.pcr16.iter().filter_map(|pcr| Pcr::try_from(&pcr[..]).ok());
        let expected = Expected {
            role: policy.role,
            images: images.collect(),
            manifests: manifests.collect(),
            administrators: Vec::new(),
        };
        show.heading(&format!("Checking the {name} role's key policy"));
        let text = files::read(&policy.path, POLICY_BYTES_MAX)?;
        let mut findings = lint(&text, &expected);
        if development.contains(&policy.role) {
            caution_accounts(&text, show);
        } else {
            findings.extend(shared_accounts(&text));
        }
        report(&findings, for_statement, show);
        let errors = findings.iter().filter(|it| for_statement(it.rule) == Severity::Error).count();
        if errors > 0 {
            return Err(Error::KeyPolicy { role: name, problem: format!("{errors} errors") });
        }
        show.check("key policy", "the key is kept for attested enclaves of the statement's images");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
