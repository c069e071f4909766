//! The pages of runs on a port: who is let in, what is shown, what is told when a run goes on, and where answers go.
//! Requests are written byte by byte: a client's own care would hide what the server lets through.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use runbook::journal::Journal;
use runbook::page::{Answering, Answers, Bound, Site, Tells};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::display::halted;

/// Takes every answer but a No, and keeps it.
#[derive(Default)]
struct Kept(Mutex<Vec<Answering>>);

impl Answers for Kept {
    fn who(&self) -> String {
        "alice <alice@example.com>".to_owned()
    }

    fn answer(&self, answering: Answering) -> BoxFuture<'_, Result<String, String>> {
        let said = match answering.yes {
            true => Ok("It stands.".to_owned()),
            false => Err("alice said Yes before.".to_owned()),
        };
        self.0.lock().expect("not poisoned").push(answering);
        Box::pin(async move { said })
    }
}

/// Says of each run what it waits for, and then that nothing is known any more.
struct Waits;

impl Tells for Waits {
    fn progress(&self, run: &str) -> BoxStream<'static, String> {
        stream::iter([format!("{run} waits for \"it\"\r\n"), String::new()]).boxed()
    }
}

/// Pages of a folder with one run, `rb-7f3a`, of which the first records are written.
struct Served {
    folder: TempDir,
    journal: Journal,
    host: String,
    token: String,
    kept: Arc<Kept>,
    _end: oneshot::Sender<()>,
}

const FIRST: usize = 200;

impl Served {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rb-7f3a.jsonl");
        let mut journal = Journal::create(&path).expect("a journal");
        journal.append(&halted().records[..FIRST]).expect("written");
        let bound = Bound::to("127.0.0.1:0").await.expect("a port");
        let address = bound.address();
        let rest = address.strip_prefix("http://").expect("an address");
        let (host, token) = rest.split_once("/?token=").expect("a token");
        let (host, token) = (host.to_owned(), token.to_owned());
        let kept = Arc::new(Kept::default());
        let site = Site {
            folder: folder.path().to_owned(),
            tells: Some(Arc::new(Waits)),
            answers: Some(Arc::clone(&kept) as Arc<dyn Answers>),
        };
        let (end, ended) = oneshot::channel::<()>();
        tokio::spawn(bound.serve(site, async {
            let _ = ended.await;
        }));
        Self {
            folder,
            journal,
            host,
            token,
            kept,
            _end: end,
        }
    }

    /// Sends a request as it is, and reads the answer to its end.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.host).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer));
        read.await.expect("in time").expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        let host = &self.host;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}connection: close\r\n\r\n");
        self.raw(&request).await
    }

    async fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let (host, length) = (&self.host, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        self.raw(&request).await
    }

    /// The cookie's header, for the token.
    async fn enter(&self) -> String {
        let answer = self.get(&format!("/?token={}", self.token), "").await;
        assert_eq!(status(&answer), 200, "{answer}");
        let set = header(&answer, "set-cookie").expect("a cookie");
        assert!(set.contains("; HttpOnly; SameSite=Strict"), "{set}");
        let (pair, _) = set.split_once(';').expect("attributes");
        format!("cookie: {pair}\r\n")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn status(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no status: {answer:?}"))
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let pairs = head.lines().filter_map(|line| line.split_once(": "));
    pairs
        .filter(|(given, _)| given.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .next()
}

#[tokio::test]
async fn nobody_is_let_in_without_the_token_and_only_once_with_it() {
    let served = Served::begin().await;
    for path in [
        "/",
        "/events",
        "/runs/rb-7f3a",
        "/runs/rb-7f3a/body",
        "/runs/rb-7f3a/ledger",
        "/none",
    ] {
        let answer = served.get(path, "").await;
        assert_eq!(status(&answer), 403, "{path}");
        assert!(!answer.contains("recover"), "{answer}");
    }
    let wrong = served.get("/?token=0000", "").await;
    assert_eq!((status(&wrong), header(&wrong, "set-cookie")), (403, None));
    let cookie = served.enter().await;
    let again = served.get(&format!("/?token={}", served.token), "").await;
    assert_eq!((status(&again), header(&again, "set-cookie")), (403, None));
    // The browser that was let in may follow the terminal's link again.
    let link = format!("/?token={}", served.token);
    let followed = served.get(&link, &cookie).await;
    assert_eq!(
        (status(&followed), header(&followed, "set-cookie")),
        (200, None)
    );
    assert_eq!(status(&served.get("/", &cookie).await), 200);
    assert_eq!(
        status(&served.get("/", "cookie: runbook-1=x\r\n").await),
        403
    );
    let post = served
        .post(
            "/runs/rb-7f3a/answer",
            &format!("origin: http://{}\r\n", served.host),
            "{}",
        )
        .await;
    assert_eq!(status(&post), 403);
}

#[tokio::test]
async fn other_hosts_and_other_sites_are_refused_with_a_good_cookie() {
    let served = Served::begin().await;
    let cookie = served.enter().await;
    let (_, port) = served.host.rsplit_once(':').expect("a port");
    let asks = async |host: &str, rest: &str| {
        let request =
            format!("GET / HTTP/1.1\r\nhost: {host}\r\n{cookie}{rest}connection: close\r\n\r\n");
        status(&served.raw(&request).await)
    };
    assert_eq!(asks(&served.host, "").await, 200);
    assert_eq!(asks(&format!("localhost:{port}"), "").await, 200);
    assert_eq!(asks(&format!("evil.example:{port}"), "").await, 421);
    assert_eq!(asks("127.0.0.1", "").await, 421);
    assert_eq!(
        asks(&served.host, "origin: http://evil.example\r\n").await,
        403
    );
    assert_eq!(
        asks(
            &served.host,
            "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\n"
        )
        .await,
        403
    );
    let yes = r#"{"question":1,"yes":true}"#;
    for origin in ["", "origin: null\r\n", "origin: http://evil.example\r\n"] {
        let answer = served
            .post("/runs/rb-7f3a/answer", &format!("{cookie}{origin}"), yes)
            .await;
        assert_eq!(status(&answer), 403, "{origin}");
    }
    assert!(served.kept.0.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "8080", "example.org:80"] {
        let refused = Bound::to(address).await.map(|_| ());
        assert!(refused.is_err(), "{address}");
    }
}

#[tokio::test]
async fn runs_and_their_pages_are_shown_and_nothing_else() {
    let served = Served::begin().await;
    std::fs::write(served.path().join("note.txt"), "not for you").expect("written");
    let cookie = served.enter().await;
    let list = served.get("/", &cookie).await;
    assert!(
        list.contains("<a href=\"/runs/rb-7f3a\">rb-7f3a</a>")
            || list.contains("&#x2f;runs&#x2f;rb-7f3a"),
        "{list}"
    );
    let page = served.get("/runs/rb-7f3a", &cookie).await;
    assert_eq!(status(&page), 200);
    let policy = header(&page, "content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none';") && policy.ends_with("frame-ancestors 'none'")
    );
    assert!(policy.contains("connect-src 'self';"));
    assert_eq!(header(&page, "cache-control"), Some("no-store"));
    assert!(page.contains("Recover pinned Workflows") && page.contains("data-live="));
    for path in [
        "/runs/..%2fnote",
        "/runs/note.txt",
        "/runs/%2e%2e",
        "/runs/rb-1",
        "/runs/",
        "/note.txt",
    ] {
        assert_eq!(status(&served.get(path, &cookie).await), 404, "{path}");
    }
}

#[tokio::test]
async fn what_is_written_later_is_told_and_only_that_is_sent() {
    let mut served = Served::begin().await;
    let cookie = served.enter().await;
    let ledger = served.get("/runs/rb-7f3a/ledger?since=0", &cookie).await;
    assert!(ledger.contains("\"total\":260"), "{ledger}");
    let seq = format!("\"seq\":{FIRST},");
    assert!(ledger.contains(&seq));
    let stream = TcpStream::connect(&served.host).await.expect("connected");
    let mut stream = BufReader::new(stream);
    let request = format!(
        "GET /runs/rb-7f3a/events HTTP/1.1\r\nhost: {}\r\n{cookie}\r\n",
        served.host
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).await.expect("read") > 0);
    }
    // The file as it is now was seen once the first look is over; what comes after that is news.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let rest = halted().records.split_off(FIRST);
    let told = async {
        let mut text = String::new();
        while !text.contains("event: records") {
            assert!(
                stream.read_line(&mut text).await.expect("read") > 0,
                "{text}"
            );
        }
        text
    };
    served.journal.append(&rest[..100]).expect("written");
    let again = async {
        // Where the first look came after that, the next write is the news.
        tokio::time::sleep(Duration::from_secs(2)).await;
        served.journal.append(&rest[100..]).expect("written");
        std::future::pending::<()>().await;
    };
    let text = tokio::select! {
        told = tokio::time::timeout(Duration::from_secs(60), told) => told.expect("it was told"),
        () = again => unreachable!("it never ends"),
    };
    let waits = r#"data: "rb-7f3a waits for \"it\"\r\n""#;
    assert!(
        text.contains(waits) && text.contains("data: \"\""),
        "{text}"
    );
    let news = served
        .get(&format!("/runs/rb-7f3a/ledger?since={FIRST}"), &cookie)
        .await;
    let (_, body) = news.split_once("\r\n\r\n").expect("a body");
    let news: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let rows = news["ordinal"].as_array().expect("rows").len();
    assert!((1..260).contains(&rows), "{rows}");
}

#[tokio::test]
async fn an_answer_goes_to_the_run_and_a_refusal_comes_back() {
    let served = Served::begin().await;
    let cookie = served.enter().await;
    let headers = format!("{cookie}origin: http://{}\r\n", served.host);
    let answer = |body: &'static str| served.post("/runs/rb-7f3a/answer", &headers, body);
    let stands = answer(r#"{"question":1,"yes":true,"word":"bad","form":{"a":"b"}}"#).await;
    assert_eq!(status(&stands), 200, "{stands}");
    assert!(stands.ends_with("It stands."), "{stands}");
    let refused = answer(r#"{"question":1,"yes":false}"#).await;
    assert_eq!(status(&refused), 409);
    assert!(refused.ends_with("alice said Yes before."), "{refused}");
    assert_eq!(status(&answer(r#"{"question":"one"}"#).await), 422);
    let kept = served.kept.0.lock().expect("not poisoned").clone();
    assert_eq!(kept.len(), 2);
    assert_eq!(
        (
            kept[0].run.as_str(),
            kept[0].question,
            kept[0].word.as_str()
        ),
        ("rb-7f3a", 1, "bad")
    );
    assert_eq!(kept[0].form.get("a").map(String::as_str), Some("b"));
    let large = format!(
        r#"{{"question":1,"yes":true,"note":"{}"}}"#,
        "x".repeat(100_000)
    );
    let large = served.post("/runs/rb-7f3a/answer", &headers, &large).await;
    assert_eq!(status(&large), 413);
    let elsewhere = served
        .post(
            "/runs/rb-none/answer",
            &headers,
            r#"{"question":1,"yes":true}"#,
        )
        .await;
    assert_eq!(status(&elsewhere), 404);
}
