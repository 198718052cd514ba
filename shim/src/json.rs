//! Strings inside a JSON object, as secrets and whole configurations are handed over: found, and
//! exchanged in place. Pure.
//!
//! A text is only looked at as closely as it takes to find its strings; every other byte of it
//! stays. What is no JSON object has none.

use std::ops::Range;

/// A string that is somebody's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Decoded.
    pub value: String,
    /// Where it stands, with its quotes.
    place: Range<usize>,
}

/// The strings among the values of the object that `text` is, at any depth.
pub fn strings(text: &str) -> Vec<Text> {
    let mut scan = Scan { text, at: 0 };
    let found = scan.object();
    found.unwrap_or_default()
}

/// `text` with other values for some of its strings, in their order.
pub fn replaced<'a>(
    text: &str,
    changes: impl DoubleEndedIterator<Item = (&'a Text, &'a str)>,
) -> String {
    let mut replaced = text.to_owned();
    // From behind, so that the places before stay right.
    for (old, new) in changes.rev() {
        replaced.replace_range(old.place.clone(), &quoted(new));
    }
    replaced
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    /// The values of one object that reaches to the end; `None` for anything else.
    fn object(&mut self) -> Option<Vec<Text>> {
        self.skip_space();
        if self.peek()? != '{' {
            return None;
        }
        let mut found = Vec::new();
        let mut open = Vec::new();
        loop {
            self.skip_space();
            match self.peek()? {
                '"' => {
                    let text = self.string()?;
                    self.skip_space();
                    if self.peek() != Some(':') {
                        found.push(text);
                    }
                }
                bracket => {
                    self.next();
                    match bracket {
                        '{' => open.push('}'),
                        '[' => open.push(']'),
                        '}' | ']' if open.pop() != Some(bracket) => return None,
                        _ => {}
                    }
                }
            }
            if open.is_empty() {
                self.skip_space();
                return self.peek().is_none().then_some(found);
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }

    /// A string, decoded, and where it stands.
    fn string(&mut self) -> Option<Text> {
        let start = self.at;
        self.next();
        let mut value = String::new();
        loop {
            match self.next()? {
                '"' => {
                    let place = start..self.at;
                    return Some(Text { value, place });
                }
                '\\' => value.push(self.escape()?),
                plain => value.push(plain),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let code = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                let code = u32::from_str_radix(code, 16).ok()?;
                // Half of a pair is no character. No connection string has one, and another
                // string's value does not matter.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            plain => plain,
        })
    }
}

fn quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn swap(text: &str) -> String {
        let found = strings(text);
        let new: Vec<_> = found
            .iter()
            .map(|text| format!("{}!", text.value))
            .collect();
        replaced(text, found.iter().zip(new.iter().map(String::as_str)))
    }

    #[test]
    fn values_are_exchanged_and_nothing_else() {
        for (text, swapped) in [
            (r#"{"uri":"a"}"#, r#"{"uri":"a!"}"#),
            (
                r#" { "n" : 1.5e3 , "uri" : "a\/\u0062" , "x" : [ { "uri": "yes" } ] } "#,
                r#" { "n" : 1.5e3 , "uri" : "a/b!" , "x" : [ { "uri": "yes!" } ] } "#,
            ),
            (
                r#"{"a":{"]}\"":""},"b":null,"uri":"q\"é"}"#,
                r#"{"a":{"]}\"":"!"},"b":null,"uri":"q\"é!"}"#,
            ),
            (r#"{"x":"\ud83d\ude00"}"#, "{\"x\":\"\u{fffd}\u{fffd}!\"}"),
        ] {
            assert_eq!(swap(text), swapped);
        }
    }

    #[test]
    fn what_is_no_object_has_no_strings() {
        for text in [
            "",
            "{",
            "[]",
            "uri",
            r#""uri""#,
            r#"["a"]"#,
            r#"{"uri":"a"#,
            r#"{"uri":"a"]"#,
            r#"{"a":["b"}"#,
            r#"{"uri":"a"} x"#,
            r#"{"uri":"\u00é"}"#,
            r#"{"a":"\"#,
        ] {
            assert_eq!(strings(text), [], "{text}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 6, |inner| {
            let name = any::<String>();
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..6)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    fn collect<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
        match value {
            Value::String(text) => into.push(text),
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            Value::Object(members) => members.values().for_each(|item| collect(item, into)),
            _ => {}
        }
    }

    fn exchange(value: &mut Value) {
        match value {
            Value::String(text) => text.push('!'),
            Value::Array(items) => items.iter_mut().for_each(exchange),
            Value::Object(members) => members.values_mut().for_each(exchange),
            _ => {}
        }
    }

    proptest! {
        /// Whatever another program writes is read as that program means it.
        #[test]
        fn objects_are_read_and_written_as_by_serde(inner in value(), pretty: bool) {
            let mut object = serde_json::json!({ "outer": inner });
            let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
            let text = write(&object).unwrap();
            let mut expected = Vec::new();
            collect(&object, &mut expected);
            let found = strings(&text);
            let found: Vec<_> = found.iter().map(|text| text.value.as_str()).collect();
            prop_assert_eq!(&found, &expected);
            let changed: Value = serde_json::from_str(&swap(&text)).unwrap();
            exchange(&mut object);
            prop_assert_eq!(changed, object);
        }

        #[test]
        fn any_text_is_survived(text: String) {
            swap(&text);
            swap(&format!("{{{text}}}"));
        }
    }
}
