//! From a policy's JSON to statements. What is unknown, twice or empty is refused by its name.

use super::condition::Condition;
use super::json::{Fields, Json};
use super::pattern::{ActionPattern, PrincipalPattern};
use super::{Scope, Statement, malformed};
use crate::devkms::error::KmsError;

/// The version of the policy language in which `${…}` stands for a variable.
const WITH_VARIABLES: &str = "2012-10-17";

pub(super) fn parse(text: &str) -> Result<Vec<Statement>, KmsError> {
    let mut policy = Fields::of("the policy", Json::parse(text)?)?;
    let version = policy.need("Version")?.text("Version")?;
    if ![WITH_VARIABLES, "2008-10-17"].contains(&version.as_str()) {
        return Err(malformed(format!("its Version is {version:?}")));
    }
    if let Some(id) = policy.take("Id") {
        id.text("Id")?;
    }
    let statements = policy.need("Statement")?.list("Statement")?;
    policy.end()?;
    statements.into_iter().map(|json| statement(json, version == WITH_VARIABLES)).collect()
}

fn statement(json: Json, has_variables: bool) -> Result<Statement, KmsError> {
    let mut fields = Fields::of("a statement", json)?;
    if let Some(sid) = fields.take("Sid") {
        sid.text("Sid")?;
    }
    let allow = match fields.need("Effect")?.text("Effect")?.as_str() {
        "Allow" => true,
        "Deny" => false,
        other => return Err(malformed(format!("{other:?} is no Effect"))),
    };
    let check = |texts: &[String]| match texts.iter().find(|text| has_variables && text.contains("${")) {
        Some(text) => Err(malformed(format!("{text:?} has a policy variable, and this service evaluates none"))),
        None => Ok(()),
    };
    let principals = principals(fields.need("Principal")?)?;
    let actions = scope(&mut fields, "Action", |text| ActionPattern::parse(&text))?;
    let resources = scope(&mut fields, "Resource", |text| resource(text, &check))?;
    let mut conditions = Vec::new();
    for (operator, entries) in fields.take("Condition").map_or(Ok(Vec::new()), |json| json.object("Condition"))? {
        for (key, values) in entries.object(&operator)? {
            let values = values.list(&key)?.into_iter().map(|value| scalar(value, &key));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            check(&values)?;
            conditions.push(Condition::parse(&operator, &key, &values)?);
        }
    }
    fields.end()?;
    Ok(Statement { allow, principals, actions, resources, conditions })
}

/// `Principal`, of which AWS's services, federations and canonical users never call here.
fn principals(json: Json) -> Result<Vec<PrincipalPattern>, KmsError> {
    let texts = match json {
        Json::Text(text) if text == "*" => vec![text],
        Json::Text(text) => return Err(malformed(format!("{text:?} is no Principal"))),
        json => {
            let mut fields = Fields::of("Principal", json)?;
            let texts = fields.need("AWS")?.texts("Principal")?;
            fields.end()?;
            texts
        }
    };
    texts.iter().map(|text| PrincipalPattern::parse(text)).collect()
}

/// Either the field `name` or its negation.
fn scope<T>(
    fields: &mut Fields,
    name: &str,
    parse: impl Fn(String) -> Result<T, KmsError>,
) -> Result<Scope<T>, KmsError> {
    let negation = format!("Not{name}");
    let (negated, json) = match (fields.take(name), fields.take(&negation)) {
        (Some(json), None) => (false, json),
        (None, Some(json)) => (true, json),
        _ => return Err(malformed(format!("a statement needs one of {name} and {negation}"))),
    };
    let patterns = json.texts(name)?.into_iter().map(parse).collect::<Result<_, _>>()?;
    Ok(Scope { negated, patterns })
}

fn resource(text: String, check: &impl Fn(&[String]) -> Result<(), KmsError>) -> Result<String, KmsError> {
    if text != "*" && !text.starts_with("arn:aws:kms:") {
        return Err(malformed(format!("{text:?} is no Resource of KMS")));
    }
    check(std::slice::from_ref(&text))?;
    Ok(text)
}

/// A condition's value: AWS takes `true` for `"true"` and `7` for `"7"`.
fn scalar(json: Json, key: &str) -> Result<String, KmsError> {
    match json {
        Json::Text(text) | Json::Number(text) => Ok(text),
        Json::Bool(value) => Ok(value.to_string()),
        Json::Null | Json::List(_) | Json::Object(_) => Err(malformed(format!("a value of {key:?} is no string"))),
    }
}
