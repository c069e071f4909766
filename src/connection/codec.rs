//! A remote codec: the HTTP server that turns payloads into what the namespace's Workers store
//! (encrypted, compressed) and back. `POST ENDPOINT/encode` and `ENDPOINT/decode`, each with a `Payloads`
//! message in protobuf's JSON form, as the SDKs and the Web UI call it.
//!
//! This module knows no data converter (`payload`) and no Workflow. It does not try again: an error is
//! the caller's, who has sent nothing yet.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde_json::{Map, Value, json};
use temporalio_protos::temporal::api::common::v1::Payload;
use temporalio_protos::temporal::api::common::v1::payload::ExternalPayloadDetails;

use super::settings::{CodecSettings, Settings};
use super::{ConnectError, Secret};
use crate::runbook::Mask;

/// Neither a request nor an answer is larger: eight payloads of the largest size that a server takes by
/// default, in base64.
const LARGEST_BODY: usize = 24 * 1024 * 1024;
/// So much of an answer that is an error is quoted.
const LONGEST_QUOTE: usize = 200;

/// Protobuf's JSON form is written with padding, and read with or without it, in both alphabets.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A codec server. Cheap to clone; clones share its connections.
#[derive(Clone)]
pub struct Codec {
    client: Client,
    endpoint: String,
    headers: HeaderMap,
    timeout: Duration,
    /// What it answers may quote a credential.
    mask: Mask,
}

/// Why a codec gave no payloads. `Display` is the sentence; [`Self::hint`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError {
    message: String,
    hint: &'static str,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CodecError {}

impl CodecError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

/// What is asked of the codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Encode,
    Decode,
}

impl Way {
    fn path(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Decode => "decode",
        }
    }
}

impl Codec {
    /// The codec of these settings, where they have one. Calls nothing.
    ///
    /// # Errors
    /// A header that HTTP does not allow, and a machine without certificate authorities.
    pub fn of(settings: &Settings) -> Result<Option<Self>, ConnectError> {
        let Some(codec) = &settings.codec else {
            return Ok(None);
        };
        // reqwest takes the process's provider of cryptography; a second installation is refused and the
        // first one stays, which is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.call_timeout);
        if codec.is_loopback() {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| {
            ConnectError::configuration(format!("the codec's client cannot be set up: {error}"))
        })?;
        Ok(Some(Self {
            client,
            endpoint: codec.endpoint.clone(),
            headers: headers(codec, &settings.namespace)?,
            timeout: settings.call_timeout,
            mask: settings.mask(),
        }))
    }

    /// Where it is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// As the namespace's Workers store it.
    ///
    /// # Errors
    /// The codec cannot be reached, refuses, or answers with something else than as many payloads.
    pub async fn encode(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        self.call(Way::Encode, payloads).await
    }

    /// As the data converter wrote it.
    ///
    /// # Errors
    /// As for [`Self::encode`].
    pub async fn decode(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        self.call(Way::Decode, payloads).await
    }

    async fn call(&self, way: Way, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        if payloads.is_empty() {
            return Ok(payloads);
        }
        let body = to_json(&payloads).to_string();
        if body.len() > LARGEST_BODY {
            return Err(self.error(way, too_large("the payloads are"), "send less at once"));
        }
        let sent = self
            .client
            .post(format!("{}/{}", self.endpoint, way.path()))
            .headers(self.headers.clone())
            .body(body)
            .send()
            .await;
        let response = sent.map_err(|error| self.unreachable(way, error))?;
        let status = response.status();
        let body = self.body(way, response).await?;
        if !status.is_success() {
            let hint = match status.as_u16() {
                401 | 403 => "check --codec-auth and --codec-header",
                404 | 405 => {
                    "check --codec-endpoint: the paths /encode and /decode are added to it"
                }
                300..=399 => "give the address that it redirects to as --codec-endpoint",
                _ => "see the codec server's log",
            };
            return Err(self.error(way, format!("answered {status}{}", self.quote(&body)), hint));
        }
        let answer = from_json(&body).map_err(|why| {
            let what = format!("did not answer with payloads: {why}{}", self.quote(&body));
            self.error(way, what, "check that --codec-endpoint is a codec server")
        })?;
        if answer.len() != payloads.len() {
            let what = format!("answered {} with {}", count(&payloads), count(&answer));
            return Err(self.error(way, what, "the codec server must keep their number"));
        }
        Ok(answer)
    }

    async fn body(&self, way: Way, mut response: Response) -> Result<Vec<u8>, CodecError> {
        let mut body = Vec::new();
        while let Some(part) = response
            .chunk()
            .await
            .map_err(|error| self.unreachable(way, error))?
        {
            if body.len() + part.len() > LARGEST_BODY {
                return Err(self.error(way, too_large("its answer is"), "ask for less at once"));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    /// The beginning of an answer, without secrets: what is cut off could be the rest of one.
    fn quote(&self, body: &[u8]) -> String {
        quote(self.mask.text(&String::from_utf8_lossy(body)).as_bytes())
    }

    fn unreachable(&self, way: Way, error: reqwest::Error) -> CodecError {
        let what = if error.is_timeout() {
            format!("did not answer within {} s", self.timeout.as_secs_f32())
        } else {
            let error = error.without_url();
            format!("cannot be reached: {}", super::error::chain(&error))
        };
        self.error(
            way,
            what,
            "check --codec-endpoint (TEMPORAL_CODEC_ENDPOINT) and that the codec server runs",
        )
    }

    fn error(&self, way: Way, what: impl fmt::Display, hint: &'static str) -> CodecError {
        CodecError {
            message: self.mask.text(&format!(
                "the codec {}/{} {what}",
                self.endpoint,
                way.path()
            )),
            hint,
        }
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

fn too_large(what: &str) -> String {
    format!(
        "was not asked to the end: {what} more than {} MiB",
        LARGEST_BODY / 1024 / 1024
    )
}

fn count(payloads: &[Payload]) -> String {
    let plural = if payloads.len() == 1 { "" } else { "s" };
    format!("{} payload{plural}", payloads.len())
}

/// The beginning of an answer, in one line.
fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * LONGEST_QUOTE)]);
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .collect();
    let line = words.join(" ");
    let line: String = line.trim().chars().take(LONGEST_QUOTE).collect();
    if line.is_empty() {
        line
    } else {
        format!(": {line}")
    }
}

/// The headers of each call: what was given wins over `X-Namespace`, which tells a codec that serves
/// several namespaces which keys to take.
fn headers(codec: &CodecSettings, namespace: &str) -> Result<HeaderMap, ConnectError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let name = HeaderName::from_static("x-namespace");
    headers.insert(name, header_value("the namespace", namespace)?);
    for (name, value) in &codec.headers {
        let parsed = name.parse::<HeaderName>().map_err(|_| {
            ConnectError::configuration(format!("`{name}` is no name of an HTTP header"))
        })?;
        headers.insert(parsed, secret_value(name, value)?);
    }
    if let Some(auth) = &codec.auth {
        headers.insert(AUTHORIZATION, secret_value("authorization", auth)?);
    }
    Ok(headers)
}

fn secret_value(name: &str, secret: &Secret) -> Result<HeaderValue, ConnectError> {
    let mut value = header_value(&format!("the codec's header `{name}`"), secret.expose())?;
    value.set_sensitive(true);
    Ok(value)
}

fn header_value(what: &str, value: &str) -> Result<HeaderValue, ConnectError> {
    HeaderValue::from_str(value).map_err(|_| {
        ConnectError::configuration(format!("{what} has characters that HTTP does not allow"))
    })
}

/// The codec's URL as it is used: `{namespace}` filled in, no slash at the end.
///
/// # Errors
/// What is no `http://` or `https://` URL, what has parts that an endpoint has not, and a credential
/// that would travel in clear.
pub(super) fn endpoint(
    text: &str,
    namespace: &str,
    has_credential: bool,
) -> Result<String, ConnectError> {
    let filled = text.replace("{namespace}", namespace);
    let invalid = |why: &str| {
        ConnectError::configuration(format!(
            "`{text}` is no codec endpoint: {why}; expected for example https://codec.example.com/temporal"
        ))
    };
    let url: Url = filled.parse().map_err(|_| invalid("it is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(invalid("it begins neither with https:// nor with http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ConnectError::configuration(
            "the codec endpoint holds a user or password: give them with --codec-auth",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("it has a query or a fragment"));
    }
    if has_credential && url.scheme() == "http" && !is_loopback(&url) {
        return Err(ConnectError::codec_in_clear(&filled));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether what is sent there stays on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host_str().unwrap_or_default().trim_matches(['[', ']']) {
        "localhost" => true,
        host => host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
    }
}

fn to_json(payloads: &[Payload]) -> Value {
    let payloads: Vec<Value> = payloads.iter().map(payload_to_json).collect();
    json!({ "payloads": payloads })
}

fn payload_to_json(payload: &Payload) -> Value {
    let mut metadata: Vec<_> = payload.metadata.iter().collect();
    metadata.sort();
    let metadata: Map<String, Value> = metadata
        .into_iter()
        .map(|(key, value)| (key.clone(), Value::from(BASE64.encode(value))))
        .collect();
    let mut object = Map::from_iter([("metadata".to_owned(), Value::from(metadata))]);
    if !payload.data.is_empty() {
        object.insert("data".to_owned(), BASE64.encode(&payload.data).into());
    }
    if !payload.external_payloads.is_empty() {
        let parts = payload.external_payloads.iter();
        let parts: Vec<Value> = parts
            .map(|part| json!({ "sizeBytes": part.size_bytes.to_string() }))
            .collect();
        object.insert("externalPayloads".to_owned(), parts.into());
    }
    object.into()
}

fn from_json(body: &[u8]) -> Result<Vec<Payload>, String> {
    let value: Value = serde_json::from_slice(body).map_err(|_| "it is no JSON")?;
    let object = value.as_object().ok_or("it is no object")?;
    match object.get("payloads") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(payloads)) => payloads.iter().map(payload_from_json).collect(),
        Some(_) => Err("`payloads` is no list".to_owned()),
    }
}

fn payload_from_json(value: &Value) -> Result<Payload, String> {
    let object = value.as_object().ok_or("a payload is no object")?;
    let metadata = match object.get("metadata") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(entries)) => entries
            .iter()
            .map(|(key, value)| Ok((key.clone(), bytes("metadata", value)?)))
            .collect::<Result<_, String>>()?,
        Some(_) => return Err("`metadata` is no object".to_owned()),
    };
    let external = object
        .get("externalPayloads")
        .or_else(|| object.get("external_payloads"));
    let external = external.and_then(Value::as_array).map(Vec::as_slice);
    Ok(Payload {
        metadata: metadata.into_iter().collect(),
        data: object
            .get("data")
            .map_or(Ok(Vec::new()), |data| bytes("data", data))?,
        external_payloads: external
            .unwrap_or_default()
            .iter()
            .map(external_size)
            .collect(),
    })
}

/// Protobuf's JSON form writes 64-bit numbers as texts, and reads both.
fn external_size(value: &Value) -> ExternalPayloadDetails {
    let size = value.get("sizeBytes").or_else(|| value.get("size_bytes"));
    let size_bytes = match size {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(other) => other.as_i64().unwrap_or(0),
        None => 0,
    };
    ExternalPayloadDetails { size_bytes }
}

fn bytes(what: &str, value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => BASE64
            .decode(text.replace('-', "+").replace('_', "/"))
            .map_err(|_| format!("`{what}` is no base64")),
        _ => Err(format!("`{what}` is no text")),
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
