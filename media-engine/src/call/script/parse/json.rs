//! JSON as written: fields in their order, including duplicates.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::call::script::limits::DEPTH_MAX;

/// A JSON value. Only whole numbers that are not negative keep their value.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Flag(bool),
    Whole(u64),
    OtherNumber,
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Flag(_) => "true or false",
            Node::Whole(_) => "a number",
            Node::OtherNumber => "a negative or broken number",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Object(_) => "an object",
        }
    }
}

/// Reads all of the bytes as one value.
pub(super) fn read(bytes: &[u8]) -> Result<Node, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let node = Nested(DEPTH_MAX).deserialize(&mut from)?;
    from.end()?;
    Ok(node)
}

/// Reads a value with at most this many further levels of lists and objects.
#[derive(Clone, Copy)]
struct Nested(u8);

impl Nested {
    fn deeper<E: Error>(self) -> Result<Nested, E> {
        let too_deep = || E::custom(format_args!("nested deeper than {DEPTH_MAX} levels"));
        self.0.checked_sub(1).map(Nested).ok_or_else(too_deep)
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Node;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Whole(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::OtherNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::OtherNumber)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let deeper = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Vec::new();
        while let Some(name) = fields.next_key()? {
            object.push((name, fields.next_value_seed(deeper)?));
        }
        Ok(Node::Object(object))
    }
}
