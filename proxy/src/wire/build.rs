//! Builds a BSON document field by field.
//!
//! It serves replies that the proxy makes itself, and the few that it rewrites. Elements of the
//! original are copied byte for byte between the new ones.

use super::le;
use super::raw::{Element, kind};

/// A document under construction. Keys and strings are copied as they are. A key must not contain
/// NUL. Fields keep the order of the calls.
#[derive(Clone, Debug)]
pub struct DocumentBuilder {
    /// Length placeholder and the elements so far, without terminator.
    bytes: Vec<u8>,
}

impl Default for DocumentBuilder {
    fn default() -> Self {
        Self::with_capacity(64)
    }
}

impl DocumentBuilder {
    /// An empty document.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty document with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity.max(8));
        bytes.extend_from_slice(&[0; 4]);
        DocumentBuilder { bytes }
    }

    /// Adds a field from its type and the bytes of its value. Both must fit each other.
    pub fn raw(&mut self, kind: u8, key: &[u8], value: &[u8]) -> &mut Self {
        self.start(kind, key);
        self.bytes.extend_from_slice(value);
        self
    }

    /// Adds a copy of an element of another document.
    pub fn element(&mut self, element: &Element<'_>) -> &mut Self {
        self.raw(element.kind, element.key, element.value)
    }

    /// Adds a 32-bit integer.
    pub fn i32(&mut self, key: &str, value: i32) -> &mut Self {
        self.raw(kind::INT32, key.as_bytes(), &value.to_le_bytes())
    }

    /// Adds a 64-bit integer.
    pub fn i64(&mut self, key: &str, value: i64) -> &mut Self {
        self.raw(kind::INT64, key.as_bytes(), &value.to_le_bytes())
    }

    /// Adds a double.
    pub fn f64(&mut self, key: &str, value: f64) -> &mut Self {
        self.raw(kind::DOUBLE, key.as_bytes(), &value.to_le_bytes())
    }

    /// Adds a boolean.
    pub fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(kind::BOOL, key.as_bytes(), &[u8::from(value)])
    }

    /// Adds a string.
    pub fn str(&mut self, key: &str, value: &str) -> &mut Self {
        self.start(kind::STRING, key.as_bytes());
        self.bytes
            .extend_from_slice(&le::length(value.len() + 1).to_le_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self
    }

    /// Adds bytes with a subtype (0 for plain ones).
    #[cfg(any(test, feature = "internals"))]
    pub fn binary(&mut self, key: &str, subtype: u8, value: &[u8]) -> &mut Self {
        self.start(kind::BINARY, key.as_bytes());
        self.bytes
            .extend_from_slice(&le::length(value.len()).to_le_bytes());
        self.bytes.push(subtype);
        self.bytes.extend_from_slice(value);
        self
    }

    /// Adds a whole document.
    pub fn document(&mut self, key: &str, document: &[u8]) -> &mut Self {
        self.raw(kind::DOCUMENT, key.as_bytes(), document)
    }

    /// Adds an array, given as a document with the keys "0", "1", …
    pub fn array(&mut self, key: &str, document: &[u8]) -> &mut Self {
        self.raw(kind::ARRAY, key.as_bytes(), document)
    }

    /// Adds an array of strings.
    pub fn strings<'s>(
        &mut self,
        key: &str,
        values: impl IntoIterator<Item = &'s str>,
    ) -> &mut Self {
        let mut array = DocumentBuilder::new();
        for (index, value) in values.into_iter().enumerate() {
            array.str(&index.to_string(), value);
        }
        self.array(key, &array.finish())
    }

    /// The finished document. The builder is left empty.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut document = std::mem::take(&mut self.bytes);
        self.bytes.extend_from_slice(&[0; 4]);
        document.push(0);
        let length = le::length(document.len());
        le::put_i32(&mut document, 0, length);
        document
    }

    fn start(&mut self, kind: u8, key: &[u8]) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(key);
        self.bytes.push(0);
    }
}

#[cfg(test)]
mod tests {
    use bson::{Bson, Document, doc};

    use super::*;
    use crate::wire::elements;

    #[test]
    fn agrees_with_bson() {
        let built = DocumentBuilder::new()
            .i32("i", -1)
            .i64("l", i64::MAX)
            .f64("d", 1.5)
            .bool("b", true)
            .str("s", "näme")
            .binary("n", 4, &[1, 2, 3])
            .document("e", &DocumentBuilder::new().finish())
            .strings("a", ["x", ""])
            .finish();
        let expected = doc! {
            "i": -1, "l": i64::MAX, "d": 1.5, "b": true,
            "s": "näme",
            "n": Bson::Binary(bson::Binary {
                subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![1, 2, 3],
            }),
            "e": {}, "a": ["x", ""],
        };
        assert_eq!(Document::from_reader(built.as_slice()).unwrap(), expected);
    }

    #[test]
    fn copies_elements_untouched_and_starts_afresh() {
        let original = doc! { "a": { "b": [1, 2] }, "c": 3 }.to_vec().unwrap();
        let mut builder = DocumentBuilder::new();
        for element in elements(&original) {
            builder.element(&element.unwrap());
        }
        assert_eq!(builder.finish(), original);
        assert_eq!(builder.finish(), [5, 0, 0, 0, 0]);
    }
}
