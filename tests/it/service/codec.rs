//! A remote codec over HTTP that transforms payloads, and ones that do not work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use runbook::connection::{Access, CodecSettings, Connection, Secret, Settings};
use runbook::payload::{self, Decoded};
use runbook::temporal::{Rpc, Temporal, Verdict};
use serde_json::{Value, json};
use temporalio_protos::temporal::api::common::v1::Payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::in_memory;

/// How a codec server answers.
#[derive(Clone, Copy)]
enum Codec {
    /// Each byte of the data is turned round; the encoding says so.
    Turning,
    Status(&'static str, &'static str),
    /// With one payload less than it got.
    Fewer,
    /// Never.
    Silent,
    /// With more than anybody reads.
    Endless,
    /// To another path of the same server, which would answer.
    Redirect,
}

/// The requests that a server got: method and path, and headers.
type Seen = Arc<Mutex<Vec<(String, BTreeMap<String, String>)>>>;

async fn serve(codec: Codec) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let seen = Seen::default();
    let kept = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, codec, kept.clone()));
        }
    });
    (format!("http://127.0.0.1:{port}/codec"), seen)
}

async fn answer(mut stream: TcpStream, codec: Codec, seen: Seen) {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.lines();
    let request = lines.next().unwrap_or_default().to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().expect("a length");
    while bytes.len() < head + 4 + length {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    seen.lock().unwrap().push((request.clone(), headers));
    let body = &bytes[head + 4..];
    let (status, body) = match codec {
        Codec::Turning => ("200 OK", turned(body, request.contains("/encode"))),
        Codec::Status(status, body) => (status, body.to_owned()),
        Codec::Fewer => ("200 OK", r#"{"payloads":[]}"#.to_owned()),
        Codec::Silent => std::future::pending().await,
        Codec::Endless => ("200 OK", " ".repeat(32 * 1024 * 1024)),
        Codec::Redirect => (
            "307 Temporary Redirect\r\nlocation: /elsewhere",
            String::new(),
        ),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // The client may have gone.
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn turned(body: &[u8], encode: bool) -> String {
    let mut message: Value = serde_json::from_slice(body).expect("JSON");
    for payload in message["payloads"].as_array_mut().expect("payloads") {
        if encode {
            let inner = STANDARD.encode(payload.to_string().bytes().rev().collect::<Vec<_>>());
            *payload = json!({ "metadata": { "encoding": STANDARD.encode("binary/turned") }, "data": inner });
        } else {
            let data = STANDARD
                .decode(payload["data"].as_str().expect("data"))
                .expect("base64");
            let inner: Vec<u8> = data.into_iter().rev().collect();
            *payload = serde_json::from_slice(&inner).expect("JSON");
        }
    }
    message.to_string()
}

async fn temporal(endpoint: Option<String>) -> Temporal {
    let (service, _) = in_memory(|_, _| Ok(Vec::new()));
    let codec = endpoint.map(|endpoint| CodecSettings {
        endpoint,
        auth: Some(Secret::new("Bearer hunter2")),
        headers: BTreeMap::from([("x-team".to_owned(), Secret::new("orders"))]),
    });
    let settings = Settings {
        namespace: "shop".to_owned(),
        call_timeout: Duration::from_secs(1),
        codec,
        ..Settings::default()
    };
    let connection = Connection::in_memory(&settings, service, Access::ReadWrite).await;
    Temporal::new(connection.expect("it opens"))
}

fn points() -> Value {
    json!({ "points": -500 })
}

#[tokio::test]
async fn without_a_codec_payloads_stay_as_they_are() {
    let temporal = temporal(None).await;
    let sent = temporal
        .arguments(Rpc::ResetWorkflowExecution, &[points(), Value::Null])
        .await;
    let sent = sent.expect("payloads").expect("two of them").payloads;
    assert_eq!(sent, payload::encode_all(&[points(), Value::Null]).payloads);
    let shown = temporal.show(sent).await;
    assert_eq!(
        shown.values,
        [Decoded::Value(points()), Decoded::Value(Value::Null)]
    );
    assert_eq!(shown.problem, None);
}

#[tokio::test]
async fn what_is_sent_is_encoded_and_what_is_shown_is_decoded() {
    let (endpoint, seen) = serve(Codec::Turning).await;
    let temporal = temporal(Some(endpoint)).await;
    let sent = temporal
        .arguments(Rpc::ResetWorkflowExecution, &[points(), Value::Null])
        .await;
    let sent = sent.expect("payloads").expect("two of them").payloads;
    assert!(
        sent.iter()
            .all(|one| one.metadata["encoding"] == b"binary/turned")
    );
    let shown = temporal.show(sent).await;
    assert_eq!(
        shown.values,
        [Decoded::Value(points()), Decoded::Value(Value::Null)]
    );
    assert_eq!(shown.problem, None);

    let seen = seen.lock().unwrap();
    let lines: Vec<&str> = seen.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(
        lines,
        ["POST /codec/encode HTTP/1.1", "POST /codec/decode HTTP/1.1"]
    );
    for (_, headers) in seen.iter() {
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["x-namespace"], "shop");
        assert_eq!(headers["authorization"], "Bearer hunter2");
        assert_eq!(headers["x-team"], "orders");
    }
}

#[tokio::test]
async fn no_arguments_need_no_codec() {
    let (endpoint, seen) = serve(Codec::Status("500 Out Of Order", "")).await;
    let temporal = temporal(Some(endpoint)).await;
    let sent = temporal.arguments(Rpc::ResetWorkflowExecution, &[]).await;
    assert_eq!(sent, Ok(None));
    assert!(seen.lock().unwrap().is_empty());
}

/// A write is stopped and nothing is in doubt; what is shown is what is stored, and why.
#[tokio::test]
async fn a_codec_that_fails_stops_a_write_and_no_display() {
    let codecs = [
        Codec::Status("401 Unauthorized", "who are\n you?"),
        Codec::Status("404 Not Found", ""),
        Codec::Status("500 Out Of Order", "<html>hunter3</html>"),
        Codec::Status("200 OK", "<html>"),
        Codec::Fewer,
        Codec::Silent,
        Codec::Endless,
        Codec::Redirect,
    ];
    let mut said = Vec::new();
    for codec in codecs {
        let (endpoint, seen) = serve(codec).await;
        let temporal = temporal(Some(endpoint.clone())).await;
        let write = temporal
            .arguments(Rpc::ResetWorkflowExecution, &[points()])
            .await
            .expect_err("a failure");
        assert!(write.nothing_happened(), "{write}");
        assert_eq!(write.meaning.verdict, Verdict::Fail);
        assert_eq!(seen.lock().unwrap().len(), 1, "asked once: {write}");
        said.push(write.to_string().replace(&endpoint, "ENDPOINT"));

        let stored = Payload {
            metadata: [("encoding".to_owned(), b"binary/turned".to_vec())].into(),
            data: b"...".to_vec(),
            ..Payload::default()
        };
        let shown = temporal.show(vec![stored.clone()]).await;
        assert_eq!(shown.values, [payload::decode(&stored)]);
        assert!(shown.problem.is_some());
    }
    insta::assert_snapshot!(said.join("\n"));
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let temporal = temporal(Some(format!("http://127.0.0.1:{port}"))).await;
    let error = temporal
        .decode(payload::encode_all(&[points()]).payloads)
        .await;
    let error = error.expect_err("nobody is there");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(error.hint().contains("--codec-endpoint"));
}
