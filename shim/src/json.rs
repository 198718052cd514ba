//! The `uri` of a secret that is a JSON object: found, and exchanged in place. Pure.
//!
//! Only the top level is looked at, and only as closely as it takes to find the member; what is
//! no JSON has no member and stays as it is.

use std::ops::Range;

/// The member that secrets keep connection strings in.
const MEMBER: &str = "uri";

/// A string member of an object.
pub(crate) struct Member {
    /// Decoded.
    pub(crate) value: String,
    /// Where it stands in the text, with its quotes.
    place: Range<usize>,
}

impl Member {
    /// `text` with another value for this member.
    pub(crate) fn replaced(&self, text: &str, value: &str) -> Option<String> {
        let before = text.get(..self.place.start)?;
        let after = text.get(self.place.end..)?;
        Some(format!("{before}{}{after}", quoted(value)))
    }
}

/// The member `uri` of the object that `text` is.
pub(crate) fn uri(text: &str) -> Option<Member> {
    let mut scan = Scan { text, at: 0 };
    scan.expect('{')?;
    loop {
        let (name, _) = scan.string()?;
        scan.expect(':')?;
        if name == MEMBER {
            let (value, place) = scan.string()?;
            return Some(Member { value, place });
        }
        scan.skip_value()?;
        scan.expect(',')?;
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
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

    fn expect(&mut self, wanted: char) -> Option<()> {
        self.skip_space();
        (self.next()? == wanted).then_some(())
    }

    /// A string, decoded, and where it stands.
    fn string(&mut self) -> Option<(String, Range<usize>)> {
        self.skip_space();
        let start = self.at;
        self.expect('"')?;
        let mut value = String::new();
        loop {
            match self.next()? {
                '"' => return Some((value, start..self.at)),
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
                // Half of a surrogate pair is no character; no connection string has one.
                char::from_u32(u32::from_str_radix(code, 16).ok()?)?
            }
            plain => plain,
        })
    }

    /// Goes to the comma or bracket that ends the value.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.skip_space();
            match self.peek()? {
                '"' => _ = self.string()?,
                ',' if depth == 0 => return Some(()),
                '}' | ']' if depth == 0 => return None,
                bracket => {
                    self.next();
                    match bracket {
                        '{' | '[' => depth += 1,
                        '}' | ']' => depth -= 1,
                        _ => {}
                    }
                }
            }
        }
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
    use super::*;

    fn swap(text: &str) -> Option<String> {
        let member = uri(text)?;
        member.replaced(text, &format!("{}!", member.value))
    }

    #[test]
    fn the_member_is_exchanged_and_nothing_else() {
        for (text, swapped) in [
            (r#"{"uri":"a"}"#, r#"{"uri":"a!"}"#),
            (
                r#" { "n" : 1.5e3 , "uri" : "a\/\u0062" , "x" : [ { "uri": "no" } ] } "#,
                r#" { "n" : 1.5e3 , "uri" : "a/b!" , "x" : [ { "uri": "no" } ] } "#,
            ),
            (
                r#"{"a":{"uri":"no","l":[1,"]}\""]},"b":null,"c":"","uri":"q\"é"}"#,
                r#"{"a":{"uri":"no","l":[1,"]}\""]},"b":null,"c":"","uri":"q\"é!"}"#,
            ),
        ] {
            assert_eq!(swap(text).as_deref(), Some(swapped));
        }
    }

    #[test]
    fn what_has_no_such_member_has_none() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "uri",
            r#"{"uri":5}"#,
            r#"{"uri":"a"#,
            r#"{"uri"}"#,
            r#"{"a":1}"#,
            r#"{"a":{"uri":"no"}}"#,
            r#"{"a":1]"#,
            r#"{"uri":"\ud800"}"#,
            r#"{"uri":"\u00é"}"#,
            r#"{"a":"\"#,
        ] {
            assert_eq!(swap(text), None, "{text}");
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(quoted("a\"\\\n"), r#""a\"\\\u000a""#);
    }
}
