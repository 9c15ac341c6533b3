//! From a policy's JSON to statements. A field that is unknown, twice or empty is refused.

use super::condition::Condition;
use super::pattern::{ActionPattern, PrincipalPattern};
use super::{Statement, malformed};
use crate::devkms::error::KmsError;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::marker::PhantomData;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawPolicy {
    version: String,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: OneOrMany<RawStatement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawStatement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    principal: RawPrincipal,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
    #[serde(default)]
    condition: Entries<Entries<OneOrMany<Scalar>>>,
}

#[derive(Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawPrincipal {
    Text(String),
    Map(AwsPrincipals),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AwsPrincipals {
    #[serde(rename = "AWS")]
    aws: OneOrMany<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The list, which must have something.
    fn list(self, what: &str) -> Result<Vec<T>, KmsError> {
        match self {
            Self::One(one) => Ok(vec![one]),
            Self::Many(many) if many.is_empty() => Err(malformed(format!("{what} is empty"))),
            Self::Many(many) => Ok(many),
        }
    }
}

/// A condition's value: AWS takes `true` for `"true"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Bool(bool),
}

/// An object's entries, each key once.
struct Entries<T>(Vec<(String, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(String, T)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    if entries.iter().any(|(known, _)| *known == key) {
                        return Err(A::Error::custom(format!("{key:?} is there twice")));
                    }
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Object(PhantomData))
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Statement>, KmsError> {
    let policy: RawPolicy = serde_json::from_str(text).map_err(malformed)?;
    if !["2012-10-17", "2008-10-17"].contains(&policy.version.as_str()) {
        return Err(malformed(format!("its Version is {:?}", policy.version)));
    }
    policy.statement.list("Statement")?.into_iter().map(statement).collect()
}

fn statement(raw: RawStatement) -> Result<Statement, KmsError> {
    let principals = match raw.principal {
        RawPrincipal::Text(text) if text == "*" => vec![text],
        RawPrincipal::Text(text) => return Err(malformed(format!("{text:?} is no principal"))),
        RawPrincipal::Map(map) => map.aws.list("Principal")?,
    };
    let mut conditions = Vec::new();
    for (operator, entries) in raw.condition.0 {
        for (key, values) in entries.0 {
            let values = values.list("a condition")?.into_iter().map(|value| match value {
                Scalar::Text(text) => text,
                Scalar::Bool(value) => value.to_string(),
            });
            conditions.push(Condition::parse(&operator, &key, values.collect())?);
        }
    }
    Ok(Statement {
        allow: matches!(raw.effect, Effect::Allow),
        principals: principals.iter().map(|text| PrincipalPattern::parse(text)).collect::<Result<_, _>>()?,
        actions: raw.action.list("Action")?.iter().map(|text| ActionPattern::parse(text)).collect::<Result<_, _>>()?,
        resources: resources(raw.resource.list("Resource")?)?,
        conditions,
    })
}

fn resources(list: Vec<String>) -> Result<Vec<String>, KmsError> {
    match list.iter().find(|text| *text != "*" && !text.starts_with("arn:aws:kms:")) {
        Some(text) => Err(malformed(format!("{text:?} is no resource of KMS"))),
        None => Ok(list),
    }
}
