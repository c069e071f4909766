//! Payloads: JSON values as the SDKs' default data converter writes them, and what a payload holds, for
//! a person and for expressions.
//!
//! Pure data. This module knows no service and no remote codec: what a codec encrypted is shown as what
//! it is, unless it was decoded before (`Temporal::decode`).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use temporalio_protos::temporal::api::common::v1::{Payload, Payloads};

/// The metadata key that names how `data` is to be read.
const ENCODING: &str = "encoding";
const NULL: &str = "binary/null";
const PLAIN: &str = "binary/plain";
const JSON: &str = "json/plain";
/// Protobuf messages in their JSON form; an SDK needs the message's type, a reader does not.
const JSON_PROTOBUF: &str = "json/protobuf";

/// Larger data is named by its size and not read: a server accepts 2 MB a payload by default
/// (`limit.blobSize.error`).
pub const LARGEST_DECODED: usize = 4 * 1024 * 1024;
/// So much of an encoding's name is shown.
const LONGEST_NAME: usize = 64;

/// A value as the SDKs' default data converter writes it: `null` has no data, everything else is
/// compact JSON.
pub fn encode(value: &Value) -> Payload {
    match value {
        Value::Null => payload(NULL, Vec::new()),
        other => payload(JSON, other.to_string().into_bytes()),
    }
}

/// The arguments of a Signal, a Query or a Workflow, in order.
pub fn encode_all(values: &[Value]) -> Payloads {
    Payloads {
        payloads: values.iter().map(encode).collect(),
    }
}

fn payload(encoding: &str, data: Vec<u8>) -> Payload {
    Payload {
        metadata: [(ENCODING.to_owned(), encoding.as_bytes().to_vec())].into(),
        data,
        ..Payload::default()
    }
}

/// What a payload holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// `binary/null`, `json/plain` and `json/protobuf`: the value.
    Value(Value),
    /// `binary/plain`: bytes without a meaning that this tool knows.
    Bytes(Vec<u8>),
    /// What this tool cannot read: encrypted, of an encoding that it does not know, broken or too large.
    Opaque {
        /// The encoding's name, cut and without control characters; empty where the payload names none.
        encoding: String,
        /// Bytes of data; of what is stored outside of the history, where the payload only refers to it.
        size: u64,
        /// Why it is not shown.
        why: Unread,
    },
}

/// Why a payload's data is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The encoding is none of the default data converter; a remote codec may know it.
    Encoding,
    /// The data is not what its encoding says.
    Broken,
    /// More than [`LARGEST_DECODED`].
    TooLarge,
    /// The data is stored outside of the history.
    External,
}

impl Decoded {
    /// The value, where the payload holds one; expressions read it.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Bytes(_) | Self::Opaque { .. } => None,
        }
    }

    /// As JSON: the value itself, bytes as `{"base64":…,"size":…}`, the rest as
    /// `{"encoding":…,"size":…,"unread":…}`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Bytes(bytes) => json!({ "base64": STANDARD.encode(bytes), "size": bytes.len() }),
            Self::Opaque {
                encoding,
                size,
                why,
            } => json!({ "encoding": encoding, "size": size, "unread": why.word() }),
        }
    }
}

/// One line: compact JSON, or what it is and how large.
impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Bytes(bytes) => write!(f, "{} of binary/plain", count(bytes.len() as u64)),
            Self::Opaque {
                encoding,
                size,
                why,
            } => {
                let name = if encoding.is_empty() {
                    "no named encoding"
                } else {
                    encoding
                };
                write!(f, "{} of {name}, {}", count(*size), why.sentence())
            }
        }
    }
}

impl Unread {
    fn word(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
            Self::External => "external",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Encoding => "not readable here (encrypted, or made by a converter of your own)",
            Self::Broken => "which its data is not",
            Self::TooLarge => "too large to show",
            Self::External => "stored outside of the history",
        }
    }
}

fn count(bytes: u64) -> String {
    format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" })
}

/// What a payload holds. Takes anything: no data makes it fail.
pub fn decode(payload: &Payload) -> Decoded {
    let encoding = payload.metadata.get(ENCODING);
    let encoding = encoding.map(Vec::as_slice).unwrap_or_default();
    let size = payload.data.len() as u64;
    let opaque = |size, why| Decoded::Opaque {
        encoding: shown(encoding),
        size,
        why,
    };
    if !payload.external_payloads.is_empty() {
        let sizes = payload.external_payloads.iter();
        let stored = sizes.map(|part| u64::try_from(part.size_bytes).unwrap_or(0));
        return opaque(stored.fold(0, u64::saturating_add), Unread::External);
    }
    if payload.data.len() > LARGEST_DECODED {
        return opaque(size, Unread::TooLarge);
    }
    match std::str::from_utf8(encoding) {
        Ok(NULL) => Decoded::Value(Value::Null),
        Ok(PLAIN) => Decoded::Bytes(payload.data.clone()),
        Ok(JSON | JSON_PROTOBUF) => serde_json::from_slice(&payload.data)
            .map_or_else(|_| opaque(size, Unread::Broken), Decoded::Value),
        _ => opaque(size, Unread::Encoding),
    }
}

/// A name that came from the service, made fit for a line.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let kept = text.chars().take(LONGEST_NAME);
    kept.map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use temporalio_protos::temporal::api::common::v1::payload::ExternalPayloadDetails;

    use super::*;

    fn of(encoding: &str, data: &[u8]) -> Payload {
        payload(encoding, data.to_vec())
    }

    fn encoding(payload: &Payload) -> &str {
        std::str::from_utf8(&payload.metadata["encoding"]).unwrap()
    }

    #[test]
    fn values_are_written_as_the_default_converter_writes_them() {
        let null = encode(&Value::Null);
        assert_eq!((encoding(&null), null.data.len()), ("binary/null", 0));
        for (value, data) in [
            (json!(true), "true"),
            (json!("a \"b\""), r#""a \"b\"""#),
            (
                json!([1, null, {"b": 1, "a": 2.5}]),
                r#"[1,null,{"b":1,"a":2.5}]"#,
            ),
        ] {
            let payload = encode(&value);
            assert_eq!(encoding(&payload), "json/plain");
            assert_eq!(String::from_utf8(payload.data).unwrap(), data);
        }
        let all = encode_all(&[json!(1), Value::Null]).payloads;
        assert_eq!(all, [encode(&json!(1)), encode(&Value::Null)]);
        assert!(encode_all(&[]).payloads.is_empty());
    }

    #[test]
    fn what_cannot_be_read_says_what_it_is() {
        let external = Payload {
            external_payloads: vec![
                ExternalPayloadDetails { size_bytes: 7 },
                ExternalPayloadDetails {
                    size_bytes: i64::MIN,
                },
            ],
            ..of("json/plain", b"{}")
        };
        let cases = [
            of("json/protobuf", br#"{"a": 1}"#),
            of("binary/plain", b"\x00\xff"),
            of("binary/encrypted", b"secret"),
            of("json/plain", b"{"),
            of("json/plain", b"\xff"),
            of("json/plain", &[b'['; 100_000]),
            of("a\u{1b}[2J\n\u{202e}b", b"x"),
            of("json/plain", &vec![b' '; LARGEST_DECODED + 1]),
            Payload::default(),
            external,
        ];
        let text: Vec<String> = cases
            .iter()
            .map(decode)
            .map(|found| format!("{found}\n    {}", found.to_json()))
            .collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec((".*", inner), 0..4).prop_map(|pairs| pairs.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(value in any_value()) {
            prop_assert_eq!(decode(&encode(&value)), Decoded::Value(value));
        }

        #[test]
        fn no_bytes_break_it(encoding in vec(any::<u8>(), 0..80), data in vec(any::<u8>(), 0..200)) {
            for encoding in [encoding.as_slice(), b"json/plain", b"json/protobuf", b"binary/plain"] {
                let hostile = Payload {
                    metadata: [(ENCODING.to_owned(), encoding.to_vec())].into(),
                    data: data.clone(),
                    ..Payload::default()
                };
                let decoded = decode(&hostile);
                prop_assert!(!decoded.to_string().is_empty());
                decoded.to_json();
            }
        }
    }
}
