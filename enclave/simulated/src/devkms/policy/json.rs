//! JSON as a policy has it: an object's entries stay in order, and a name that is there twice is refused,
//! so that no statement can hide another.

use super::malformed;
use crate::devkms::error::KmsError;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// A value.
pub(super) enum Json {
    Null,
    Bool(bool),
    /// In decimal.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(super) fn parse(text: &str) -> Result<Self, KmsError> {
        serde_json::from_str(text).map_err(malformed)
    }

    /// One value or several, but not none.
    pub(super) fn list(self, what: &str) -> Result<Vec<Self>, KmsError> {
        match self {
            Self::List(many) if many.is_empty() => Err(malformed(format!("{what} is empty"))),
            Self::List(many) => Ok(many),
            one => Ok(vec![one]),
        }
    }

    pub(super) fn text(self, what: &str) -> Result<String, KmsError> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(malformed(format!("{what} is no string"))),
        }
    }

    pub(super) fn texts(self, what: &str) -> Result<Vec<String>, KmsError> {
        self.list(what)?.into_iter().map(|one| one.text(what)).collect()
    }

    pub(super) fn object(self, what: &str) -> Result<Vec<(String, Self)>, KmsError> {
        match self {
            Self::Object(entries) => Ok(entries),
            _ => Err(malformed(format!("{what} is no object"))),
        }
    }
}

/// The fields of an object, taken out one by one.
pub(super) struct Fields {
    what: &'static str,
    entries: Vec<(String, Json)>,
}

impl Fields {
    pub(super) fn of(what: &'static str, json: Json) -> Result<Self, KmsError> {
        Ok(Self { what, entries: json.object(what)? })
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.entries.iter().position(|(known, _)| known == name)?;
        Some(self.entries.remove(at).1)
    }

    pub(super) fn need(&mut self, name: &str) -> Result<Json, KmsError> {
        self.take(name).ok_or_else(|| malformed(format!("{} has no {name}", self.what)))
    }

    /// Refuses what nobody took.
    pub(super) fn end(self) -> Result<(), KmsError> {
        match self.entries.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(malformed(format!("{name:?} is no field of {} that this service evaluates", self.what)))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Value)
    }
}

struct Value;

impl<'de> Visitor<'de> for Value {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries: Vec<(String, Json)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if entries.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format!("{name:?} is there twice")));
            }
            entries.push((name, value));
        }
        Ok(Json::Object(entries))
    }
}
