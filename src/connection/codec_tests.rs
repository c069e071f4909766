//! Protobuf's JSON form of payloads, and which endpoints are taken.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;
use crate::connection::ConnectProblem;

fn payload(encoding: &str, data: &[u8]) -> Payload {
    Payload {
        metadata: [("encoding".to_owned(), encoding.into())].into(),
        data: data.to_vec(),
        ..Payload::default()
    }
}

#[test]
fn payloads_are_written_as_protobuf_writes_them() {
    let external = Payload {
        external_payloads: vec![ExternalPayloadDetails { size_bytes: 12 }],
        ..payload("json/plain", b"")
    };
    let written = to_json(&[payload("json/plain", b"{\"a\":1}"), external]);
    assert_eq!(
        written,
        json!({ "payloads": [
            { "metadata": { "encoding": "anNvbi9wbGFpbg==" }, "data": "eyJhIjoxfQ==" },
            { "metadata": { "encoding": "anNvbi9wbGFpbg==" }, "externalPayloads": [{ "sizeBytes": "12" }] },
        ] })
    );
}

#[test]
fn what_protobuf_allows_is_read() {
    let read = |text: &str| from_json(text.as_bytes());
    let expected = vec![payload("json/plain", b"\xfb\xff")];
    for text in [
        r#"{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"+/8="}]}"#,
        r#"{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg"},"data":"-_8","other":1}],"more":{}}"#,
    ] {
        assert_eq!(read(text), Ok(expected.clone()), "{text}");
    }
    assert_eq!(read(r#"{"payloads":[{}]}"#), Ok(vec![Payload::default()]));
    assert_eq!(
        read(r#"{"payloads":[{"metadata":null,"data":null}]}"#),
        Ok(vec![Payload::default()])
    );
    for nothing in ["{}", r#"{"payloads":null}"#, r#"{"payloads":[]}"#] {
        assert_eq!(read(nothing), Ok(Vec::new()));
    }
    for size in [r#""12""#, "12"] {
        let text = format!(r#"{{"payloads":[{{"external_payloads":[{{"size_bytes":{size}}}]}}]}}"#);
        let read = read(&text).expect("payloads");
        assert_eq!(read[0].external_payloads[0].size_bytes, 12);
    }
}

#[test]
fn what_are_no_payloads_is_said() {
    let why = |text: &str| from_json(text.as_bytes()).expect_err("no payloads");
    let said: Vec<String> = [
        "<html>",
        "[]",
        r#"{"payloads":1}"#,
        r#"{"payloads":[1]}"#,
        r#"{"payloads":[{"metadata":1}]}"#,
        r#"{"payloads":[{"metadata":{"encoding":"*"}}]}"#,
        r#"{"payloads":[{"data":1}]}"#,
        &"[".repeat(100_000),
    ]
    .iter()
    .map(|text| why(text))
    .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_quote_is_one_short_line() {
    assert_eq!(quote(b""), "");
    assert_eq!(quote(b" a\n\tb\x1b[2J"), ": a  b [2J");
    assert_eq!(quote(&[b'x'; 10_000]).len(), ": ".len() + LONGEST_QUOTE);
    assert_eq!(
        quote("\u{fc}".repeat(10_000).as_bytes()).chars().count(),
        2 + LONGEST_QUOTE
    );
}

#[test]
fn endpoints() {
    let taken = |text: &str, credential| endpoint(text, "team-a", credential).expect("an endpoint");
    assert_eq!(
        taken("https://codec.example.com", true),
        "https://codec.example.com"
    );
    assert_eq!(taken("https://codec/x/", true), "https://codec/x");
    assert_eq!(
        taken("https://codec/{namespace}", true),
        "https://codec/team-a"
    );
    assert_eq!(taken("http://codec:8888", false), "http://codec:8888");
    for local in ["http://localhost:1", "http://127.8.0.1:1", "http://[::1]:1"] {
        assert_eq!(taken(local, true), local);
    }
    let refused = |text: &str| {
        let error = endpoint(text, "team-a", true).expect_err("refused");
        (error.problem(), error.to_string())
    };
    for clear in [
        "http://codec:8888",
        "http://10.0.0.1",
        "http://localhost.example.com",
    ] {
        assert_eq!(refused(clear).0, ConnectProblem::KeyInClear, "{clear}");
    }
    let said: Vec<String> = [
        "",
        "codec:8888",
        "ftp://codec",
        "https://user:hunter2@codec",
        "https://codec/?a=b",
        "https://codec/#a",
    ]
    .iter()
    .map(|text| refused(text))
    .inspect(|(problem, _)| assert_eq!(*problem, ConnectProblem::Configuration))
    .map(|(_, said)| said)
    .collect();
    insta::assert_snapshot!(said.join("\n"));
}

proptest! {
    #[test]
    fn what_was_written_is_read(parts in vec((btree_map("[a-z]{1,8}", vec(any::<u8>(), 0..20), 0..3), vec(any::<u8>(), 0..60), any::<Option<i64>>()), 0..4)) {
        let payloads: Vec<Payload> = parts
            .into_iter()
            .map(|(metadata, data, external)| Payload {
                metadata: metadata.into_iter().collect(),
                data,
                external_payloads: external
                    .map(|size_bytes| ExternalPayloadDetails { size_bytes })
                    .into_iter()
                    .collect(),
            })
            .collect();
        let written = to_json(&payloads).to_string();
        prop_assert_eq!(from_json(written.as_bytes()), Ok(payloads));
    }
}
