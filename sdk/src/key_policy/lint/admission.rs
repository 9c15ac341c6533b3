//! Statements that allow Decrypt or `GenerateDataKey`: whom they let in, and what they leave open.

use std::collections::BTreeMap;

use strongroom_attestation::Pcr;

use super::super::action::Meaning;
use super::super::condition::{Condition, Subject};
use super::super::finding::{Finding, Rule};
use super::super::principal::Principal;
use super::super::statement::Statement;
use super::super::{Expected, ImagePcrs};
use super::listed;
use crate::role::role_name;

/// Whom a statement lets in.
pub(super) struct Admission<'a> {
    statement: &'a Statement,
    /// What it allows of Decrypt and `GenerateDataKey`.
    pub(super) actions: Vec<&'static str>,
    /// Whether its conditions can hold for an enclave.
    pub(super) admits: bool,
    /// What it demands of each PCR, where that is well-formed.
    pcrs: BTreeMap<u8, Vec<Pcr>>,
}

impl<'a> Admission<'a> {
    /// Reads the statement's conditions. `denies` are those of the policy.
    pub(super) fn check(
        statement: &'a Statement,
        denies: &[&Statement],
        expected: &Expected,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let actions = statement.named(Meaning::Attested);
        let mut this = Self { statement, actions, admits: true, pcrs: BTreeMap::new() };
        let mut has_role = false;
        for condition in &statement.conditions {
            let found = format!("{:?} on {:?}", condition.operator, condition.key);
            let rule = match &condition.subject {
                Subject::NitroTpm => {
                    this.admits = false;
                    Rule::NitroTpm
                }
                Subject::Pcr(0 | 1 | 2 | 16) if !condition.demands() => Rule::WeakOperator,
                Subject::Pcr(index @ (0 | 1 | 2 | 16)) if !this.pcrs.contains_key(index) => {
                    this.demand(*index, condition, expected, findings);
                    continue;
                }
                Subject::Context(name) if name == "role" && !condition.demands() => Rule::WeakOperator,
                Subject::Context(name) if name == "role" && !has_role => {
                    has_role = true;
                    this.role(condition, expected, findings);
                    continue;
                }
                Subject::Pcr(0 | 1 | 2 | 16) => Rule::DuplicateCondition,
                Subject::Context(name) if name == "role" => Rule::DuplicateCondition,
                Subject::Pcr(_) | Subject::Context(_) | Subject::Other => Rule::UnknownCondition,
            };
            findings.push(statement.finding(rule, found));
        }
        this.images(expected, findings);
        if this.is_open() {
            this.open(denies, findings);
        } else {
            let demanded =
                [(this.pcrs.contains_key(&0), Rule::MissingPcr0), (this.pcrs.contains_key(&16), Rule::MissingPcr16)];
            let missing = demanded.into_iter().chain([(has_role, Rule::MissingRole)]).filter(|(is_there, _)| !is_there);
            findings.extend(missing.map(|(_, rule)| statement.finding(rule, listed(&this.actions))));
        }
        this
    }

    /// One PCR's values.
    fn demand(&mut self, index: u8, condition: &Condition, expected: &Expected, findings: &mut Vec<Finding>) {
        let mut values = Vec::new();
        let mut matches = false;
        for text in &condition.values {
            let mut add = |rule| findings.push(self.statement.finding(rule, format!("PCR{index} {text:?}")));
            let mut value: Pcr = [0; 48];
            if hex::decode_to_slice(text, &mut value).is_err() {
                add(Rule::MalformedPcr);
                continue;
            }
            if value == [0; 48] {
                add(Rule::ZeroPcr);
                continue;
            }
            let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
            if !is_lower {
                add(Rule::UpperCasePcr);
            }
            if !is_known(index, &value, expected) {
                add(Rule::UnknownPcr);
            }
            matches |= is_lower || condition.operator != "StringEquals";
            values.push(value);
        }
        self.admits &= matches;
        values.sort_unstable();
        values.dedup();
        self.pcrs.insert(index, values);
    }

    fn role(&mut self, condition: &Condition, expected: &Expected, findings: &mut Vec<Finding>) {
        let name = role_name(expected.role);
        let wrong: Vec<_> = condition.values.iter().filter(|value| *value != name).collect();
        self.admits &= wrong.len() < condition.values.len();
        findings.extend(wrong.into_iter().map(|value| self.statement.finding(Rule::WrongRole, format!("{value:?}"))));
    }

    /// Several values of one PCR beside another PCR are the images' mixtures too.
    fn images(&self, expected: &Expected, findings: &mut Vec<Finding>) {
        let lists: Vec<_> = self.pcrs.range(..=2).map(|(_, values)| values.len()).collect();
        let several = lists.len() > 1 && lists.iter().any(|length| *length > 1);
        let known = |index, values: &Vec<Pcr>| values.iter().all(|value| is_known(index, value, expected));
        let foreign = !expected.images.is_empty()
            && lists.len() > 1
            && self.pcrs.range(..=2).all(|(index, values)| known(*index, values))
            && !expected.images.iter().any(|image| self.fits(image));
        if several || foreign {
            findings.push(self.statement.finding(Rule::MixedImages, ""));
        }
    }

    /// Whether an image has a value of each of the lists.
    fn fits(&self, image: &ImagePcrs) -> bool {
        self.pcrs.range(..=2).all(|(index, values)| {
            let own = [Some(image.pcr0), image.pcr1, image.pcr2][usize::from(*index)];
            own.is_some_and(|own| values.contains(&own))
        })
    }

    /// Whether somebody without any attestation gets through, whatever a Deny says.
    fn is_open(&self) -> bool {
        let key = |condition: &Condition| match &condition.subject {
            Subject::Context(name) => Some(name.clone()),
            _ => None,
        };
        let names: Vec<_> = self.statement.conditions.iter().filter_map(key).collect();
        // Two conditions on one key of the context may exclude each other.
        let are_apart = names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
        let holds = |condition: &Condition| condition.holds_unattested() == Some(true);
        let somebody = self.statement.principals.iter().any(|it| !matches!(it, Principal::Unknown(_)));
        somebody && self.statement.of_this_key && are_apart && self.statement.conditions.iter().all(holds)
    }

    fn open(&self, denies: &[&Statement], findings: &mut Vec<Finding>) {
        let is_held = |action: &&str| denies.iter().any(|deny| deny.covers_action(action));
        let (held, open): (Vec<&str>, Vec<&str>) = self.actions.iter().partition(|action| is_held(action));
        for (actions, rule) in [(open, Rule::UnattestedCall), (held, Rule::ReliesOnDeny)] {
            if !actions.is_empty() {
                findings.push(self.statement.finding(rule, listed(&actions)));
            }
        }
    }

    pub(super) fn covers(&self, principal: &Principal) -> bool {
        self.statement.covers(principal)
    }

    pub(super) fn lets_in_image(&self, image: &ImagePcrs) -> bool {
        self.admits && self.fits(image)
    }

    pub(super) fn lets_in_manifest(&self, pcr16: &Pcr) -> bool {
        self.admits && self.pcrs.get(&16).is_none_or(|values| values.contains(pcr16))
    }
}

/// Whether somebody named this value of a PCR; where nobody named any, all are taken.
fn is_known(index: u8, value: &Pcr, expected: &Expected) -> bool {
    let mut images = expected.images.iter();
    match index {
        16 => expected.manifests.is_empty() || expected.manifests.contains(value),
        _ if expected.images.is_empty() => true,
        0 => images.any(|image| image.pcr0 == *value),
        1 => images.any(|image| image.pcr1.as_ref() == Some(value)),
        _ => images.any(|image| image.pcr2.as_ref() == Some(value)),
    }
}
