//! Terraform's files as trees, and the few ways in which the checks look into them.

use hcl::{Block, Body, Expression};

/// One root module.
pub(super) struct Module {
    pub(super) name: &'static str,
    /// Its text without comments, for what is named in templates too.
    pub(super) text: String,
    pub(super) body: Body,
}

pub(super) const KEY: &str = "terraform/key";
pub(super) const PARENT: &str = "terraform/parent";

/// Reads every `.tf` file of a module.
pub(super) fn module(name: &'static str) -> Module {
    let mut text = String::new();
    let mut files: Vec<_> = std::fs::read_dir(super::path(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "tf")) {
        let whole = std::fs::read_to_string(file).unwrap();
        hcl::parse(&whole).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        text.extend(whole.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| [line, "\n"]));
    }
    let body = hcl::parse(&text).unwrap();
    Module { name, text, body }
}

impl Module {
    /// Every block of that kind and, where it is a resource, of that type.
    pub(super) fn blocks<'a>(&'a self, kind: &'a str, of: &'a str) -> Vec<&'a Block> {
        let blocks = self.body.blocks().filter(|block| block.identifier() == kind);
        blocks.filter(|block| of.is_empty() || label(block, 0) == of).collect()
    }

    /// The one resource of a type.
    pub(super) fn resource(&self, of: &str) -> &Block {
        let blocks: Vec<_> =
            self.body.blocks().filter(|it| it.identifier() == "resource" && label(it, 0) == of).collect();
        assert_eq!(blocks.len(), 1, "{}: {of}", self.name);
        blocks[0]
    }
}

pub(super) fn label(block: &Block, at: usize) -> &str {
    block.labels().get(at).map_or("", |label| label.as_str())
}

/// The value at a path of blocks that ends with an attribute, as Terraform writes it; empty where it is not there.
pub(super) fn value(block: &Block, path: &str) -> String {
    expression(block, path).map_or_else(String::new, |value| hcl::format::to_string(value).unwrap())
}

pub(super) fn expression<'a>(block: &'a Block, path: &str) -> Option<&'a Expression> {
    match path.split_once('.') {
        None => block.body().attributes().find(|it| it.key() == path).map(hcl::Attribute::expr),
        Some((first, rest)) => {
            let inner = block.body().blocks().find(|it| it.identifier() == first)?;
            expression(inner, rest)
        }
    }
}

/// The policy that a `jsonencode` call writes, its statements.
pub(super) fn statements<'a>(block: &'a Block, attribute: &str) -> Vec<&'a Expression> {
    let Some(Expression::FuncCall(call)) = expression(block, attribute) else { panic!("{attribute} is no call") };
    assert_eq!(call.name.name.as_str(), "jsonencode");
    let Some(Expression::Array(statements)) = field(&call.args[0], "Statement") else { panic!("{attribute}: no list") };
    statements.iter().collect()
}

/// A field of an object.
pub(super) fn field<'a>(object: &'a Expression, name: &str) -> Option<&'a Expression> {
    let Expression::Object(object) = object else { panic!("{object:?} is no object") };
    object.iter().find(|(key, _)| key.to_string().trim_matches('"') == name).map(|(_, value)| value)
}

/// The texts of a list, or of one text.
pub(super) fn texts(value: Option<&Expression>) -> Vec<&str> {
    match value {
        Some(Expression::String(text)) => vec![text],
        Some(Expression::Array(values)) => values.iter().flat_map(|value| texts(Some(value))).collect(),
        other => panic!("{other:?} is no text and no list of texts"),
    }
}
