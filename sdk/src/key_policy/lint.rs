//! The rules.

use super::Expected;
use super::action::Meaning;
use super::document;
use super::finding::{Finding, Rule};
use super::principal::Principal;
use super::statement::Statement;

mod admission;

use admission::Admission;

/// What an enclave calls: to know its key, to make a KEK, and to open one.
const NEEDED: [&str; 3] = ["DescribeKey", "GenerateDataKey", "Decrypt"];

/// Every finding about a key policy, in the order of its statements. None: an enclave of the role with one of the images and one of the
/// manifests may make and open data keys, the administrators may change the policy, and nobody else may do anything.
#[must_use]
pub fn lint(text: &[u8], expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    let statements = document::read(text, &mut findings);
    let is_whole = !findings.iter().any(|finding| is_about_form(finding.rule));
    let (allows, denies): (Vec<_>, Vec<_>) = statements.iter().partition(|statement| statement.allow);
    let is_used = |statement: &&&Statement| !statement.named(Meaning::Attested).is_empty();
    let users: Vec<&Principal> = allows.iter().filter(is_used).flat_map(|statement| &statement.principals).collect();
    let mut admissions = Vec::new();
    for statement in &allows {
        principals(statement, &mut findings);
        actions(statement, &users, expected, &mut findings);
        if is_used(&statement) {
            admissions.push(Admission::check(statement, &denies, expected, &mut findings));
        } else {
            conditions(statement, &mut findings);
        }
    }
    for statement in &denies {
        deny(statement, &users, &mut findings);
    }
    sids(&statements, &mut findings);
    if is_whole {
        let_in(&allows, &admissions, &users, &mut findings);
        not_let_in(&admissions, expected, &mut findings);
    }
    findings.sort();
    findings.dedup();
    findings
}

/// Every administrator in the account of an enclave's role: whoever runs that account, and that is the operator, takes any role of it.
/// Not among the findings of [`lint`], since who tries things out has one account.
#[must_use]
pub fn shared_accounts(text: &[u8]) -> Vec<Finding> {
    let statements = document::read(text, &mut Vec::new());
    let allowing = |meaning| statements.iter().filter(move |it| it.allow && !it.named(meaning).is_empty());
    let accounts: Vec<&str> =
        allowing(Meaning::Attested).flat_map(|it| &it.principals).filter_map(Principal::account).collect();
    let mut findings = Vec::new();
    for statement in allowing(Meaning::Changes) {
        let shared = |it: &&Principal| it.account().is_some_and(|account| accounts.contains(&account));
        let found = statement.principals.iter().filter(shared).map(Principal::name);
        findings.extend(found.map(|name| statement.finding(Rule::OneAccount, name)));
    }
    findings
}

fn is_about_form(rule: Rule) -> bool {
    matches!(rule, Rule::InvalidJson | Rule::DuplicateKey | Rule::NotUnderstood)
}

fn of_policy(rule: Rule, found: String) -> Finding {
    Finding { statement: 0, sid: None, rule, found }
}

fn listed(actions: &[&str]) -> String {
    actions.iter().map(|name| format!("kms:{name}")).collect::<Vec<_>>().join(", ")
}

/// Whom an Allow may not name.
fn principals(statement: &Statement, findings: &mut Vec<Finding>) {
    for principal in &statement.principals {
        let (rule, found) = match principal {
            Principal::Everybody => (Rule::WildcardPrincipal, "\"*\"".to_owned()),
            Principal::Account(account) => (Rule::AccountPrincipal, account.clone()),
            Principal::Unknown(text) => (Rule::UnknownPrincipal, format!("{text:?}")),
            Principal::One(_) => continue,
        };
        findings.push(statement.finding(rule, found));
    }
}

/// What an Allow may not allow.
fn actions(statement: &Statement, users: &[&Principal], expected: &Expected, findings: &mut Vec<Finding>) {
    for (meaning, rule) in [(Meaning::Defeats, Rule::ForbiddenAction), (Meaning::Unneeded, Rule::UnneededAction)] {
        let named = statement.named(meaning);
        if !named.is_empty() {
            findings.push(statement.finding(rule, listed(&named)));
        }
    }
    if statement.named(Meaning::Changes).is_empty() {
        return;
    }
    for principal in &statement.principals {
        let Principal::One(arn) = principal else {
            findings.push(statement.finding(Rule::PolicyChange, "everybody of an account, or nobody who is known"));
            continue;
        };
        let is_known = expected.administrators.iter().any(|administrator| administrator == arn);
        if users.contains(&principal) || (!is_known && !expected.administrators.is_empty()) {
            findings.push(statement.finding(Rule::PolicyChange, arn));
        } else if !is_known {
            findings.push(statement.finding(Rule::AdministratorNotChecked, arn));
        }
    }
}

fn conditions(statement: &Statement, findings: &mut Vec<Finding>) {
    for condition in &statement.conditions {
        let found = format!("{:?} on {:?}", condition.operator, condition.key);
        findings.push(statement.finding(Rule::ConditionNotChecked, found));
    }
}

/// A Deny takes nothing but what enclaves need.
fn deny(statement: &Statement, users: &[&Principal], findings: &mut Vec<Finding>) {
    let named: Vec<_> = NEEDED.into_iter().filter(|name| statement.covers_action(name)).collect();
    let meets =
        users.iter().any(|user| statement.covers(user) || statement.principals.iter().any(|it| user.covers(it)));
    let is_unknown = statement.principals.iter().any(|it| matches!(it, Principal::Unknown(_)));
    if named.is_empty() || !(meets || is_unknown) {
        conditions(statement, findings);
    } else if statement.conditions.is_empty() && meets {
        findings.push(statement.finding(Rule::DenyLocksOut, listed(&named)));
    } else {
        findings.push(statement.finding(Rule::DenyNotChecked, listed(&named)));
    }
}

fn sids(statements: &[Statement], findings: &mut Vec<Finding>) {
    for (at, statement) in statements.iter().enumerate() {
        if statement.sid.is_some() && statements[..at].iter().any(|before| before.sid == statement.sid) {
            findings.push(statement.finding(Rule::DuplicateSid, ""));
        }
    }
}

/// Whoever uses the key can do all that an enclave must.
fn let_in(allows: &[&Statement], admissions: &[Admission], users: &[&Principal], findings: &mut Vec<Finding>) {
    let is_let = |name: &str, user: Option<&Principal>| {
        let by_admission = admissions.iter().any(|admission| {
            admission.admits && admission.actions.contains(&name) && user.is_none_or(|user| admission.covers(user))
        });
        let describes = |statement: &&&Statement| {
            statement.conditions.is_empty()
                && statement.covers_action(name)
                && user.is_none_or(|user| statement.covers(user))
        };
        by_admission || (name == NEEDED[0] && allows.iter().any(|statement| describes(&statement)))
    };
    for name in NEEDED {
        if users.is_empty() && !is_let(name, None) {
            findings.push(of_policy(Rule::EnclaveLockedOut, format!("kms:{name}")));
        }
        for user in users.iter().filter(|user| !is_let(name, Some(user))) {
            findings.push(of_policy(Rule::EnclaveLockedOut, format!("kms:{name} to {}", user.name())));
        }
    }
}

/// Every image and every manifest that was named is let in somewhere.
fn not_let_in(admissions: &[Admission], expected: &Expected, findings: &mut Vec<Finding>) {
    if admissions.is_empty() {
        return;
    }
    for image in expected.images.iter().filter(|image| !admissions.iter().any(|it| it.lets_in_image(image))) {
        findings.push(of_policy(Rule::ImageNotLetIn, format!("PCR0 {}", hex::encode(image.pcr0))));
    }
    for pcr16 in expected.manifests.iter().filter(|pcr16| !admissions.iter().any(|it| it.lets_in_manifest(pcr16))) {
        findings.push(of_policy(Rule::ImageNotLetIn, format!("PCR16 {}", hex::encode(pcr16))));
    }
}
