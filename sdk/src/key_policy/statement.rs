//! One statement of a key policy.

use super::action::{self, Meaning};
use super::condition::Condition;
use super::finding::{Finding, Rule};
use super::json::Json;
use super::principal::Principal;

/// What a statement says.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) place: usize,
    pub(super) sid: Option<String>,
    pub(super) allow: bool,
    /// Empty where the statement says whom it does not speak of.
    pub(super) principals: Vec<Principal>,
    pub(super) actions: Vec<(&'static str, Meaning)>,
    /// Whether it speaks of this key, whatever its ARN.
    pub(super) of_this_key: bool,
    pub(super) conditions: Vec<Condition>,
}

impl Statement {
    pub(super) fn finding(&self, rule: Rule, found: impl Into<String>) -> Finding {
        Finding { statement: self.place, sid: self.sid.clone(), rule, found: found.into() }
    }

    pub(super) fn covers_action(&self, name: &str) -> bool {
        self.actions.iter().any(|(known, _)| *known == name)
    }

    /// Whether it speaks of `principal`; as far as can be told, where it says whom it does not speak of.
    pub(super) fn covers(&self, principal: &Principal) -> bool {
        self.principals.is_empty() || self.principals.iter().any(|own| own.covers(principal))
    }

    /// Names of its actions of one meaning.
    pub(super) fn named(&self, meaning: Meaning) -> Vec<&'static str> {
        self.actions.iter().filter(|(_, known)| *known == meaning).map(|(name, _)| *name).collect()
    }
}

#[derive(Default)]
struct Fields {
    sid: Option<String>,
    effect: Option<bool>,
    principal: Option<Json>,
    not_principal: bool,
    action: Option<Json>,
    not_action: Option<Json>,
    resource: Option<Json>,
    not_resource: bool,
    condition: Vec<(String, Json)>,
}

/// Reads a statement; `None` where it has not the form of one.
pub(super) fn read(json: Json, place: usize, findings: &mut Vec<Finding>) -> Option<Statement> {
    let Json::Object(entries) = json else {
        let found = "a statement that is no object".to_owned();
        findings.push(Finding { statement: place, sid: None, rule: Rule::NotUnderstood, found });
        return None;
    };
    let mut fields = Fields::default();
    let mut unknown = Vec::new();
    for (name, value) in entries {
        match (name.as_str(), value) {
            ("Sid", Json::Text(text)) => fields.sid = Some(text),
            ("Effect", Json::Text(text)) if text == "Allow" || text == "Deny" => fields.effect = Some(text == "Allow"),
            ("Principal", value) => fields.principal = Some(value),
            ("NotPrincipal", _) => fields.not_principal = true,
            ("Action", value) => fields.action = Some(value),
            ("NotAction", value) => fields.not_action = Some(value),
            ("Resource", value) => fields.resource = Some(value),
            ("NotResource", _) => fields.not_resource = true,
            ("Condition", Json::Object(entries)) => fields.condition = entries,
            _ => unknown.push(format!("{name:?}")),
        }
    }
    let mut add =
        |rule, found: String| findings.push(Finding { statement: place, sid: fields.sid.clone(), rule, found });
    let mut lacks = |what: &str| add(Rule::NotUnderstood, what.to_owned());
    for name in &unknown {
        lacks(name);
    }
    if !unknown.is_empty() {
        return None;
    }
    let Some(allow) = fields.effect else {
        lacks("no Effect");
        return None;
    };
    if fields.principal.is_some() == fields.not_principal {
        lacks("not one of Principal and NotPrincipal");
        return None;
    }
    if fields.resource.is_some() == fields.not_resource {
        lacks("not one of Resource and NotResource");
        return None;
    }
    let Some(principals) = fields.principal.as_ref().map_or(Some(Vec::new()), Principal::list) else {
        lacks("Principal");
        return None;
    };
    let Some(conditions) = Condition::list(&fields.condition) else {
        lacks("Condition");
        return None;
    };
    let resources = fields.resource.as_ref().map_or(Some(Vec::new()), Json::texts);
    let Some(of_this_key) = resources.map(|texts| texts == ["*"]) else {
        lacks("Resource");
        return None;
    };
    let (patterns, negated) = match (fields.action.as_ref(), fields.not_action.as_ref()) {
        (Some(json), None) => (json.texts(), false),
        (None, Some(json)) => (json.texts(), true),
        _ => (None, false),
    };
    let Some(patterns) = patterns else {
        lacks("not one of Action and NotAction");
        return None;
    };
    let actions = actions(&patterns, negated, allow, &mut add);
    if fields.not_principal {
        add(Rule::NotPrincipal, String::new());
    }
    if fields.not_resource {
        add(Rule::NotResource, String::new());
    } else if !of_this_key {
        add(Rule::Resource, String::new());
    }
    Some(Statement { place, sid: fields.sid, allow, principals, actions, of_this_key, conditions })
}

/// The actions that the patterns match; where `negated`, the others.
fn actions(
    patterns: &[&str],
    negated: bool,
    allow: bool,
    add: &mut impl FnMut(Rule, String),
) -> Vec<(&'static str, Meaning)> {
    let mut found: Vec<(&'static str, Meaning)> = Vec::new();
    for pattern in patterns {
        let before = found.len();
        found.extend(action::matching(pattern));
        if found.len() == before {
            add(Rule::UnknownAction, format!("{pattern:?}"));
        }
        if allow && pattern.contains(['*', '?']) {
            add(Rule::WildcardAction, format!("{pattern:?}"));
        }
    }
    found.sort_unstable_by_key(|(name, _)| *name);
    found.dedup();
    if negated {
        add(Rule::NotAction, String::new());
        return action::others(&found.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
    found
}
