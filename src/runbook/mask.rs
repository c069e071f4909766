//! Secrets taken out of what comes back from the world: each occurrence becomes `(secret NAME)`.
//!
//! Pure. Found are the secret itself, without the space around it, its longer lines, and how JSON, URLs
//! and base64 spell it. What a program makes of a secret otherwise (a digest, its reverse) is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Shorter lines of a secret of several lines are not searched for by themselves.
const LINE: usize = 8;
/// Shorter secrets are not searched for in their base64 spelling.
const ENCODED: usize = 6;

/// Knows secrets, and takes them out. Shows none of them itself.
#[derive(Clone, Default)]
pub struct Mask {
    /// What to look for, and what it becomes.
    patterns: BTreeMap<String, String>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask")
    }
}

impl Mask {
    /// Looks for these secrets, by name.
    pub fn of<'a>(secrets: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut mask = Self::default();
        for (name, secret) in secrets {
            mask.add(name, secret);
        }
        mask
    }

    fn add(&mut self, name: &str, secret: &str) {
        let shown = format!("(secret {name})");
        let lines = secret
            .lines()
            .map(str::trim)
            .filter(|line| line.len() >= LINE);
        for form in [secret, secret.trim()].into_iter().chain(lines) {
            let mut forms = vec![form.to_owned(), in_json(form), in_url(form)];
            if form.len() >= ENCODED {
                forms.push(STANDARD.encode(form));
                forms.push(STANDARD_NO_PAD.encode(form));
                forms.push(URL_SAFE_NO_PAD.encode(form));
            }
            for form in forms.into_iter().filter(|form| !form.is_empty()) {
                self.patterns.insert(form, shown.clone());
            }
        }
    }

    /// Bytes of the longest thing that is looked for.
    pub fn longest(&self) -> usize {
        self.patterns.keys().map(String::len).max().unwrap_or(0)
    }

    /// The text without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut found: Vec<(Range<usize>, &str)> = Vec::new();
        for (pattern, shown) in &self.patterns {
            let mut from = 0;
            while let Some(at) = text[from..].find(pattern.as_str()) {
                let start = from + at;
                found.push((start..start + pattern.len(), shown));
                // Occurrences may overlap.
                from = start + text[start..].chars().next().map_or(1, char::len_utf8);
            }
        }
        found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for (range, shown) in found {
            if range.start >= at {
                masked.push_str(&text[at..range.start]);
                masked.push_str(shown);
            }
            at = at.max(range.end);
        }
        masked.push_str(&text[at..]);
        masked
    }

    /// Cuts the beginning of a secret off the end of a text that was itself cut off.
    pub fn cut(&self, text: &mut String) {
        let part = |pattern: &String| {
            let lengths = (3..pattern.len()).rev();
            lengths
                .filter(|length| pattern.is_char_boundary(*length))
                .find(|length| text.ends_with(&pattern[..*length]))
        };
        if let Some(length) = self.patterns.keys().filter_map(part).max() {
            text.truncate(text.len() - length);
        }
    }

    /// The value without secrets: in its texts, keys and numbers.
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(entries) => entries
                .into_iter()
                .map(|(key, item)| (self.text(&key), self.value(item)))
                .collect::<Map<_, _>>()
                .into(),
            Value::Number(number) => {
                let text = number.to_string();
                let masked = self.text(&text);
                if masked == text {
                    Value::Number(number)
                } else {
                    Value::String(masked)
                }
            }
            other => other,
        }
    }
}

fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn in_url(text: &str) -> String {
    text.bytes().fold(String::new(), |mut coded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                coded.push(char::from(byte));
            }
            _ => coded.push_str(&format!("%{byte:02X}")),
        }
        coded
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mask(secret: &str) -> Mask {
        Mask::of([("token", secret)].into_iter())
    }

    #[test]
    fn a_secret_is_taken_out_however_it_is_spelt() {
        let secret = "p\"ss w/rd";
        let mask = mask(secret);
        for spelt in [
            secret.to_owned(),
            Value::from(secret).to_string(),
            in_url(secret),
            STANDARD.encode(secret),
        ] {
            let masked = mask.text(&format!("<{spelt}>"));
            assert!(masked.contains("(secret token)"), "{masked}");
            assert!(!masked.contains("ss"), "{masked}");
        }
    }

    #[test]
    fn overlapping_secrets_leave_no_rest() {
        let both = Mask::of([("a", "abcdef"), ("b", "defghi")].into_iter());
        assert_eq!(both.text("xabcdefghiy"), "x(secret a)y");
        assert_eq!(mask("aaa").text("aaaaa"), "(secret token)");
    }

    #[test]
    fn the_beginning_of_a_secret_is_cut_off_the_end() {
        let mut text = "it is s3cr".to_owned();
        mask("s3cret").cut(&mut text);
        assert_eq!(text, "it is ");
    }

    #[test]
    fn a_line_of_a_key_is_one_too() {
        let mask = mask("-----BEGIN-----\nMIIBOgIBAAJBAK\nx\n");
        assert_eq!(mask.text("MIIBOgIBAAJBAK x"), "(secret token) x");
    }

    #[test]
    fn values_are_searched_whole() {
        let masked = mask("12345").value(json!({ "12345": [12345, "a12345b", 6] }));
        assert_eq!(
            masked,
            json!({ "(secret token)": ["(secret token)", "a(secret token)b", 6] })
        );
    }

    proptest! {
        #[test]
        fn no_secret_survives(secret in "[a-zé\"\\\\ \n]{9,20}", around in "[a-z ]{0,8}") {
            let text = format!("{around}{secret}{around}{secret}");
            prop_assert!(!mask(&secret).text(&text).contains(secret.as_str()));
        }
    }
}
