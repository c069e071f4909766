//! The API over real sockets: a socket and a port in temporary folders, certificates made for the test, runs that are
//! journals written here record by record.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use runbook::api::client::{Client, ClientFiles, Target, Watching, connect};
use runbook::api::v1::{self, watch_run_response::Event};
use runbook::api::{
    Address, Bound, Feed, Listen, Own, Runs, Server, ServerFiles, Service, announced,
};
use runbook::clock::Clock;
use runbook::desk::Desk;
use runbook::journal::Journal;
use runbook::record::{
    Answer, Body, FORMAT, Place, Question, Record, RunId, RunStatus, Through, Witness,
};
use runbook::run::{Asking, Display as _, Operator as _, Progress, Reply};
use tempfile::TempDir;
use tonic::{Code, Status};

/// No wait in these tests takes longer where all is well; a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);

const RUN: &str = "rb-20260101-000000-aaaa";

fn record(seq: u64, body: Body) -> Record {
    Record {
        seq,
        at: "2026-01-01T00:00:00Z".parse().expect("a timestamp"),
        body,
    }
}

pub(crate) fn opened(run: &str) -> Record {
    let body = Body::Opened {
        format: FORMAT,
        run: RunId(run.to_owned()),
        plan: Box::default(),
        tool: "test".to_owned(),
        dry: false,
        rehearsal: false,
        saved: None,
    };
    record(1, body)
}

fn polled(seq: u64) -> Record {
    let place = place();
    let status = format!("look {seq}");
    record(seq, Body::Polled { place, status })
}

fn ended(seq: u64) -> Record {
    let (status, message) = (RunStatus::Succeeded, String::new());
    record(seq, Body::Ended { status, message })
}

fn place() -> Place {
    Place {
        step: "clean_up".to_owned(),
        iteration: 0,
    }
}

fn journal_in(folder: &Path, run: &str) -> (Journal, PathBuf) {
    let path = folder.join(format!("{run}.jsonl"));
    (Journal::create(&path).expect("a journal"), path)
}

fn unix(folder: &Path) -> Listen {
    Listen {
        address: Address::Unix(folder.join("s.sock")),
        tls: None,
    }
}

fn serve(listen: &Listen, runs: Runs) -> Server {
    let bound = Bound::to(listen).expect("bound");
    bound.serve(runs).expect("served")
}

async fn reach(address: &Address) -> Client {
    let target = Target::plain(address.clone());
    connect(&target).await.expect("somebody answers")
}

fn watch(run: &str, from: u64) -> v1::WatchRunRequest {
    v1::WatchRunRequest {
        run_id: run.to_owned(),
        from_seq: from,
        records_only: true,
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it comes to an end")
}

/// The numbers of the records, and the state at the end.
async fn read_all(
    stream: impl futures::Stream<Item = Result<v1::WatchRunResponse, Status>>,
) -> Result<(Vec<u64>, v1::RunState), Status> {
    let mut stream = std::pin::pin!(stream);
    let mut numbers = Vec::new();
    while let Some(event) = in_time(stream.next()).await {
        match event?.event {
            Some(Event::Record(record)) => numbers.push(record.seq),
            Some(Event::End(end)) => return Ok((numbers, end.state())),
            _ => {}
        }
    }
    Err(Status::unknown("it ended without an end"))
}

/// A run that this process pretends to carry out: what is appended is told.
struct Pretended {
    journal: Journal,
    feed: Feed,
    desk: Desk,
    server: Server,
}

impl Pretended {
    fn new(folder: &Path) -> Self {
        Self::in_file(folder, RUN)
    }

    fn in_file(folder: &Path, name: &str) -> Self {
        let (mut journal, path) = journal_in(folder, name);
        journal.append(&[opened(RUN)]).expect("written");
        let (mut feed, desk) = (Feed::default(), Desk::new(Clock::real()));
        feed.record(&opened(RUN));
        let own = Own {
            run: RunId(RUN.to_owned()),
            path,
            feed: feed.clone(),
            desk: desk.clone(),
        };
        let server = serve(&unix(folder), Runs::Own(own));
        Self {
            journal,
            feed,
            desk,
            server,
        }
    }

    fn append(&mut self, record: &Record) {
        self.journal
            .append(std::slice::from_ref(record))
            .expect("written");
        self.desk.observe(record);
        self.feed.record(record);
    }

    fn end(self) {
        drop(self.journal);
        self.desk.close();
        self.feed.close();
        self.server.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_listed_and_a_run_is_watched_from_any_record_on_while_it_grows() {
    let folder = TempDir::new().expect("a folder");
    let (mut journal, _) = journal_in(folder.path(), RUN);
    journal.append(&[opened(RUN), polled(2)]).expect("written");
    let runs = Runs::Folder(folder.path().to_owned());
    let server = serve(&unix(folder.path()), runs);
    let mut client = reach(server.address()).await;

    let list = client.list_runs(v1::ListRunsRequest::default()).await;
    let list = list.expect("a list").into_inner().runs;
    assert_eq!(list.len(), 1);
    assert_eq!(
        (list[0].run_id.as_str(), list[0].state(), list[0].last_seq),
        (RUN, v1::RunState::Running, 2)
    );
    let run_id = RUN.to_owned();
    let got = client.get_run(v1::GetRunRequest { run_id }).await;
    let got = got.expect("a run").into_inner();
    assert_eq!(got.run.map(|run| run.state()), Some(v1::RunState::Running));

    let stream = client.watch_run(watch(RUN, 2)).await.expect("a stream");
    let reader = tokio::spawn(read_all(stream.into_inner()));
    for seq in 3..=5 {
        journal.append(&[polled(seq)]).expect("written");
        tokio::task::yield_now().await;
    }
    journal.append(&[ended(6)]).expect("written");
    drop(journal);
    let read = reader.await.expect("no panic").expect("to the end");
    assert_eq!(read, (vec![2, 3, 4, 5, 6], v1::RunState::Succeeded));
    server.stop();
    assert!(!folder.path().join("s.sock").exists(), "the socket is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_said_by_codes_that_a_client_can_act_on() {
    let folder = TempDir::new().expect("a folder");
    let (mut journal, path) = journal_in(folder.path(), RUN);
    journal.append(&[opened(RUN)]).expect("written");
    let server = serve(&unix(folder.path()), Runs::Folder(folder.path().to_owned()));
    let mut client = reach(server.address()).await;

    let code = |status: Result<_, Status>| status.map(|_: ()| ()).expect_err("refused").code();
    let get = |run_id: &str| v1::GetRunRequest {
        run_id: run_id.to_owned(),
    };
    let nowhere = client.get_run(get("rb-x")).await.map(drop);
    assert_eq!(code(nowhere), Code::NotFound);
    let outside = client.get_run(get("../secret")).await.map(drop);
    assert_eq!(code(outside), Code::InvalidArgument);
    // This process holds the journal, and leaves no address beside it.
    let answer = v1::AnswerQuestionRequest {
        run_id: RUN.to_owned(),
        question: 1,
        answer: v1::Answer::Yes.into(),
        ..Default::default()
    };
    let held = client.answer_question(answer).await.expect_err("refused");
    assert_eq!(held.code(), Code::FailedPrecondition);
    assert!(held.message().contains("does not listen"), "{held}");
    let stream = client.watch_run(watch(RUN, 0)).await.expect("a stream");
    let reader = tokio::spawn(read_all(stream.into_inner()));
    std::fs::rename(&path, folder.path().join("elsewhere")).expect("moved");
    let moved = reader.await.expect("no panic").expect_err("it was moved");
    assert_eq!(moved.code(), Code::Aborted, "{moved}");
    server.stop();
}

/// A hundred watchers, one that never reads, some that go away: the run goes on as if there were none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_watcher_slows_or_stops_a_run() {
    const RECORDS: u64 = 400;
    let alone = TempDir::new().expect("a folder");
    let (mut journal, path) = journal_in(alone.path(), RUN);
    journal.append(&[opened(RUN)]).expect("written");
    let records = || (2..RECORDS).map(polled).chain([ended(RECORDS)]);
    for record in records() {
        journal.append(&[record]).expect("written");
    }
    drop(journal);
    let unwatched = std::fs::read(path).expect("a journal");

    let folder = TempDir::new().expect("a folder");
    let mut run = Pretended::new(folder.path());
    let address = run.server.address().clone();
    let idle = reach(&address).await.watch_run(watch(RUN, 0)).await;
    let idle = idle.expect("a stream that nobody reads");
    let mut readers = Vec::new();
    for number in 0..100_u64 {
        let stream = reach(&address)
            .await
            .watch_run(watch(RUN, number % 7))
            .await;
        let stream = stream.expect("a stream").into_inner();
        readers.push(tokio::spawn(async move {
            match number % 10 {
                // Goes away after a few.
                9 => {
                    stream.take(5).collect::<Vec<_>>().await;
                    None
                }
                _ => Some(read_all(stream).await),
            }
        }));
    }
    for record in records() {
        run.append(&record);
    }
    let ended = std::thread::spawn(move || run.end());
    for (number, reader) in (0..).zip(readers) {
        let from = (number % 7).max(1);
        if let Some(read) = in_time(reader).await.expect("no panic") {
            let (numbers, state) = read.expect("to the end");
            let wanted: Vec<u64> = (from..=RECORDS).collect();
            assert!(numbers == wanted, "watcher {number} missed something");
            assert_eq!(state, v1::RunState::Succeeded);
        }
    }
    ended
        .join()
        .expect("the run's process ends, whoever does not read");
    drop(idle);
    let path = folder.path().join(format!("{RUN}.jsonl"));
    assert!(std::fs::read(path).expect("a journal") == unwatched);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_where_it_was_when_the_server_comes_back() {
    let folder = TempDir::new().expect("a folder");
    let (mut journal, _) = journal_in(folder.path(), RUN);
    journal.append(&[opened(RUN), polled(2)]).expect("written");
    let runs = || Runs::Folder(folder.path().to_owned());
    let server = serve(&unix(folder.path()), runs());
    let target = Target::plain(server.address().clone());
    let mut events = Watching::new(target, watch(RUN, 0)).events();
    let mut numbers = Vec::new();
    let mut server = Some(server);
    while let Some(event) = in_time(events.next()).await {
        match event.expect("it goes on").event {
            Some(Event::Record(record)) => numbers.push(record.seq),
            Some(Event::End(_)) => break,
            _ => {}
        }
        if numbers.len() == 2
            && let Some(first) = server.take()
        {
            first.stop();
            journal.append(&[polled(3), polled(4)]).expect("written");
            server = Some(serve(&unix(folder.path()), runs()));
            journal.append(&[ended(5)]).expect("written");
            // Not held any more: whoever watches comes to the end.
            let unheld = TempDir::new().expect("a folder");
            let (other, _) = journal_in(unheld.path(), RUN);
            drop(std::mem::replace(&mut journal, other));
            numbers.push(0);
        }
    }
    assert_eq!(numbers, [1, 2, 0, 3, 4, 5]);
}

/// Reads until progress says that this is waited for; the numbers of the records before it.
async fn until_waiting(
    stream: &mut tonic::Streaming<v1::WatchRunResponse>,
    waiting_for: &str,
) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let event = in_time(stream.next()).await.expect("it goes on");
        match event.expect("no error").event {
            Some(Event::Record(record)) => numbers.push(record.seq),
            Some(Event::Progress(progress)) if progress.waiting_for == waiting_for => {
                return numbers;
            }
            _ => {}
        }
    }
}

/// Progress is the process's to tell, records are in the file: where the one falls silent, the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_another_process_is_watched_with_its_progress_and_without_from_its_file() {
    let folder = TempDir::new().expect("a folder");
    let mut run = Pretended::new(folder.path());
    let listen = Listen {
        address: Address::Unix(folder.path().join("serve.sock")),
        tls: None,
    };
    let server = serve(&listen, Runs::Folder(folder.path().to_owned()));
    let mut client = reach(server.address()).await;
    let with_progress = |from| v1::WatchRunRequest {
        records_only: false,
        ..watch(RUN, from)
    };
    let streams = [
        client.watch_run(with_progress(1)).await,
        client.watch_run(with_progress(2)).await,
        client.watch_run(with_progress(u64::MAX)).await,
    ];
    let [mut whole, mut rest, mut none] = streams.map(|it| it.expect("a stream").into_inner());
    run.append(&polled(2));
    let progress = |waiting_for: &str| Progress {
        step: Some(place()),
        in_flight: 2,
        rate: 20.0,
        waiting_for: Some(waiting_for.to_owned()),
        until: None,
        now: "2026-01-01T00:00:00Z".parse().expect("a timestamp"),
        simulated: false,
    };
    run.feed.progress(&progress("Workers"));
    assert_eq!(until_waiting(&mut whole, "Workers").await, [1, 2]);
    assert_eq!(until_waiting(&mut rest, "Workers").await, [2]);
    assert_eq!(until_waiting(&mut none, "Workers").await, [0_u64; 0]);
    run.append(&polled(3));
    run.feed.progress(&progress("drainage"));
    assert_eq!(until_waiting(&mut whole, "drainage").await, [3]);

    // The process says nothing more, and then nobody is behind its socket; somebody has the journal still.
    let Pretended {
        mut journal,
        feed,
        desk,
        server: own,
    } = run;
    feed.close();
    own.stop();
    for seq in 4..=6 {
        journal.append(&[polled(seq)]).expect("written");
    }
    drop((journal, desk));
    let read = read_all(whole).await.expect("to the end, without an error");
    assert_eq!(read, (vec![4, 5, 6], v1::RunState::Stopped));
    let read = read_all(rest).await.expect("to the end, without an error");
    assert_eq!(read, (vec![3, 4, 5, 6], v1::RunState::Stopped));
    let read = read_all(none).await.expect("to the end, without an error");
    assert_eq!(read, (vec![], v1::RunState::Stopped));
    let run_id = RUN.to_owned();
    let stop = client.stop_run(v1::StopRunRequest { run_id }).await;
    let nothing = stop.expect_err("refused");
    assert_eq!(nothing.code(), Code::FailedPrecondition);
    assert!(nothing.message().contains("nothing to stop"), "{nothing}");
    server.stop();
}

fn asking(question: u32) -> Asking {
    Asking {
        question,
        place: place(),
        what: Question::Changes {
            changes: vec!["delete orders:bad".to_owned()],
            equivalents: Vec::new(),
        },
        title: "Delete the bad Version".to_owned(),
        word: Some("delete".to_owned()),
        address: "127.0.0.1:7233".to_owned(),
        namespace: "prod".to_owned(),
        terms: Default::default(),
        ballot: Default::default(),
    }
}

fn answer(answer: v1::Answer, word: &str) -> v1::AnswerQuestionRequest {
    v1::AnswerQuestionRequest {
        run_id: RUN.to_owned(),
        question: 1,
        answer: answer.into(),
        word: word.to_owned(),
        ..Default::default()
    }
}

/// Asks at the desk, and writes the answer down, as the loop does.
async fn ask(run: &mut Pretended) -> Witness {
    let asking = asking(1);
    let body = Body::Asked {
        question: 1,
        place: place(),
        what: Box::new(asking.what.clone()),
        terms: Default::default(),
        agreement: Default::default(),
    };
    run.append(&record(2, Body::StepStarted { place: place() }));
    run.append(&record(3, body));
    let reply = in_time(run.desk.ask(&asking)).await;
    let (answer, by) = match reply {
        Reply::Yes { by, .. } => (Answer::Yes, by),
        Reply::No { by } => (Answer::No, by),
        other => panic!("somebody answers, not {other:?}"),
    };
    run.append(&record(
        4,
        Body::Answered {
            question: 1,
            answer,
            by: by.name.clone(),
            from: by.from.clone(),
            means: by.through,
            grants: Default::default(),
            expires: "2026-01-01T04:00:00Z".parse().expect("a timestamp"),
            note: String::new(),
            form: Default::default(),
        },
    ));
    by
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_answers_one_stands_and_the_same_again_is_accepted() {
    let folder = TempDir::new().expect("a folder");
    let mut run = Pretended::new(folder.path());
    let address = run.server.address().clone();
    let desk = run.desk.clone();
    let answers = async {
        let (mut one, mut two) = (reach(&address).await, reach(&address).await);
        let mut changes = desk.changes();
        while desk.open().is_none() {
            changes.changed().await.expect("the desk is there");
        }
        let wrong = one.answer_question(answer(v1::Answer::Yes, "del")).await;
        assert_eq!(wrong.expect_err("refused").code(), Code::InvalidArgument);
        let run_id = RUN.to_owned();
        let got = one.get_run(v1::GetRunRequest { run_id }).await;
        let asked = got.expect("a run").into_inner().question.expect("asked");
        assert_eq!((asked.number, asked.word.as_str()), (1, "delete"));
        let (yes, no) = tokio::join!(
            one.answer_question(answer(v1::Answer::Yes, "delete")),
            two.answer_question(answer(v1::Answer::No, "")),
        );
        let (stood, late, again) = match (yes, no) {
            (Ok(stood), Err(late)) => (stood, late, answer(v1::Answer::Yes, "delete")),
            (Err(late), Ok(stood)) => (stood, late, answer(v1::Answer::No, "")),
            both => panic!("exactly one stands: {both:?}"),
        };
        assert_eq!(late.code(), Code::FailedPrecondition, "{late}");
        assert!(late.message().contains("answered already"), "{late}");
        let accepted = two.answer_question(again).await.expect("accepted");
        assert_eq!(accepted.into_inner(), stood.into_inner());
    };
    let (by, ()) = in_time(futures::future::join(ask(&mut run), answers)).await;
    assert_eq!(by.through, Through::Socket);
    let uid = rustix_uid(folder.path());
    assert!(
        by.from.starts_with(&format!("uid {uid} on ")),
        "{}",
        by.from
    );
    run.end();
}

fn rustix_uid(folder: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    folder.metadata().expect("a folder").uid()
}

/// Signs certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        Self { issuer }
    }

    /// Writes `ca.crt`, and for each name `NAME.crt` and `NAME.key`.
    pub(crate) fn write(&self, folder: &Path, names: &[&str]) {
        std::fs::write(folder.join("ca.crt"), self.issuer.pem()).expect("written");
        for name in names {
            self.certify(folder, name, |_| {});
        }
    }

    /// Writes `NAME.crt` and `NAME.key`.
    fn certify(&self, folder: &Path, name: &str, change: impl Fn(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        std::fs::write(folder.join(format!("{name}.crt")), signed.pem()).expect("written");
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("written");
    }
}

fn as_client(folder: &Path, address: &Address, name: &str) -> Target {
    Target {
        address: address.clone(),
        tls: Some(ClientFiles {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
            server_ca: Some(folder.join("ca.crt")),
            server_name: Some("localhost".to_owned()),
        }),
    }
}

/// TCP is mutual TLS and nothing else; whoever has no certificate of the authority learns nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp_only_a_certificate_of_the_authority_is_let_in() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let (ours, theirs) = (Authority::new(), Authority::new());
    ours.write(at, &["server", "bob"]);
    theirs.certify(at, "mallory", |_| {});
    ours.certify(at, "late", |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let mut run = Pretended::new(at);
    let own = Own {
        run: RunId(RUN.to_owned()),
        path: at.join(format!("{RUN}.jsonl")),
        feed: run.feed.clone(),
        desk: run.desk.clone(),
    };
    let listen = |tls| Listen {
        address: "127.0.0.1:0".parse().expect("an address"),
        tls,
    };
    let bare = Bound::to(&listen(None)).expect_err("TCP without TLS is refused");
    assert!(bare.contains("--listen-tls-client-ca"), "{bare}");
    let files = ServerFiles {
        certificate: at.join("server.crt"),
        key: at.join("server.key"),
        client_ca: at.join("ca.crt"),
    };
    let swapped = ServerFiles {
        key: files.certificate.clone(),
        ..files.clone()
    };
    let swapped = Bound::to(&listen(Some(swapped))).expect_err("that is no key");
    assert!(swapped.contains("--listen-tls-key"), "{swapped}");
    let server = serve(&listen(Some(files)), Runs::Own(own));
    let Address::Tcp(address) = server.address().clone() else {
        panic!("a port");
    };
    let port = address.rsplit(':').next().expect("a port");
    let address: Address = format!("localhost:{port}").parse().expect("an address");

    for name in ["mallory", "late"] {
        let tried = match connect(&as_client(at, &address, name)).await {
            // TLS 1.3 tells a client only after its side of the handshake.
            Ok(mut client) => client
                .list_runs(v1::ListRunsRequest::default())
                .await
                .map(drop),
            Err(why) => Err(Status::unavailable(why.to_string())),
        };
        let refused = tried.expect_err("refused");
        // Whichever of the connection's ends is noticed first.
        use Code::{Cancelled, Unavailable, Unknown};
        let broken = matches!(refused.code(), Unavailable | Unknown | Cancelled);
        assert!(broken, "{name}: {refused}");
    }
    // Neither plaintext nor TLS without a certificate comes to a call.
    for scheme in ["http", "https"] {
        let endpoint =
            tonic::transport::Endpoint::from_shared(format!("{scheme}://localhost:{port}"));
        let mut endpoint = endpoint.expect("an address");
        if scheme == "https" {
            let ca = tonic::transport::Certificate::from_pem(ours.issuer.pem());
            let tls = tonic::transport::ClientTlsConfig::new().ca_certificate(ca);
            endpoint = endpoint.tls_config(tls).expect("a configuration");
        }
        let called = async {
            let mut client = Client::new(endpoint.connect().await.map_err(|_| ())?);
            let list = client.list_runs(v1::ListRunsRequest::default()).await;
            list.map(drop).map_err(|_| ())
        };
        assert_eq!(in_time(called).await, Err(()), "{scheme}");
    }

    let mut bob = connect(&as_client(at, &address, "bob"))
        .await
        .expect("let in");
    let health = tonic_health::pb::HealthCheckRequest {
        service: "runbook.v1.RunService".to_owned(),
    };
    let channel = tonic::transport::Endpoint::from_shared(run.server.address().to_string());
    let channel = channel
        .expect("an address")
        .connect()
        .await
        .expect("it answers");
    let mut checked = tonic_health::pb::health_client::HealthClient::new(channel);
    let checked = checked
        .check(health)
        .await
        .expect("it is served")
        .into_inner();
    assert_eq!(
        checked.status(),
        tonic_health::pb::health_check_response::ServingStatus::Serving
    );

    let desk = run.desk.clone();
    let answers = async {
        let mut changes = desk.changes();
        while desk.open().is_none() {
            changes.changed().await.expect("the desk is there");
        }
        // Over TCP nobody answers for somebody else.
        let mut forged = tonic::Request::new(answer(v1::Answer::Yes, "delete"));
        let claim = tonic::metadata::MetadataValue::from_bytes(b"{}");
        forged
            .metadata_mut()
            .insert_bin("runbook-witness-bin", claim);
        let forged = bob.answer_question(forged).await.expect_err("refused");
        assert_eq!(forged.code(), Code::PermissionDenied);
        let said = bob.answer_question(answer(v1::Answer::Yes, "delete")).await;
        said.expect("bob may").into_inner()
    };
    let (by, said) = in_time(futures::future::join(ask(&mut run), answers)).await;
    assert_eq!((by.name.as_str(), by.through), ("bob", Through::Tls));
    assert!(by.from.starts_with("127.0.0.1:") || by.from.starts_with("[::1]:"));
    let witness = said.answered.and_then(|it| it.witness).expect("a witness");
    assert_eq!(
        (witness.name.as_str(), witness.through()),
        ("bob", v1::Through::Tls)
    );
    server.stop();
    run.end();
}

/// `serve` answers a run of another process through that process's socket, for whom it authenticated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_hands_answers_and_stops_on_to_the_runs_own_process() {
    let folder = TempDir::new().expect("a folder");
    let mut run = Pretended::new(folder.path());
    let listen = Listen {
        address: Address::Unix(folder.path().join("serve.sock")),
        tls: None,
    };
    let server = serve(&listen, Runs::Folder(folder.path().to_owned()));
    let mut client = reach(server.address()).await;
    let (signals, interrupts) = tokio::sync::mpsc::unbounded_channel();
    let mut interrupts = run.desk.joined(interrupts);
    let desk = run.desk.clone();
    let answers = async {
        let mut changes = desk.changes();
        while desk.open().is_none() {
            changes.changed().await.expect("the desk is there");
        }
        let answered = client.answer_question(answer(v1::Answer::No, "")).await;
        let answered = answered.expect("handed on").into_inner().answered;
        assert_eq!(answered.map(|it| it.answer()), Some(v1::Answer::No));
    };
    let (by, ()) = in_time(futures::future::join(ask(&mut run), answers)).await;
    assert_eq!(by.through, Through::Socket);
    let run_id = RUN.to_owned();
    let stopped = client.stop_run(v1::StopRunRequest { run_id }).await;
    stopped.expect("told");
    let stop = in_time(interrupts.recv()).await.expect("a wish to stop");
    assert!(stop.to_string().contains("through the socket"), "{stop}");
    drop(signals);
    server.stop();
    run.end();
}

/// A page names a run by its file, which `--state` may have called anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_found_by_its_files_name_is_handed_on_by_its_own() {
    let folder = TempDir::new().expect("a folder");
    let mut run = Pretended::in_file(folder.path(), "incident-7");
    let pages = Service::new(Runs::Folder(folder.path().to_owned()));
    let desk = run.desk.clone();
    let answers = async {
        let mut changes = desk.changes();
        while desk.open().is_none() {
            changes.changed().await.expect("the desk is there");
        }
        let no = v1::AnswerQuestionRequest {
            run_id: "incident-7".to_owned(),
            ..answer(v1::Answer::No, "")
        };
        let answered = pages.answer(no, Witness::rehearsed("carol")).await;
        answered.expect("handed on").answered.expect("it stands")
    };
    let (by, _) = in_time(futures::future::join(ask(&mut run), answers)).await;
    assert_eq!(by.name, "carol");
    run.end();
}

/// `--listen=unix:x.sock` is told to processes that stand in other folders.
#[test]
fn a_socket_is_told_of_by_its_whole_path() {
    let folder = TempDir::new().expect("a folder");
    let here = std::env::current_dir().expect("a folder");
    let up = "../".repeat(here.components().count() - 1);
    let below = folder.path().strip_prefix("/").expect("from the root");
    let relative = Path::new(&up).join(below).join("s.sock");
    let (mut journal, path) = journal_in(folder.path(), RUN);
    journal.append(&[opened(RUN)]).expect("written");
    let own = Own {
        run: RunId(RUN.to_owned()),
        path: path.clone(),
        feed: Feed::default(),
        desk: Desk::new(Clock::real()),
    };
    let listen = Listen {
        address: Address::Unix(relative.clone()),
        tls: None,
    };
    let server = serve(&listen, Runs::Own(own));
    let whole = Address::Unix(here.join(relative));
    assert_eq!(server.address(), &whole);
    assert_eq!(announced(&path), Some(whole));
    server.stop();
}

#[test]
fn reflection_has_every_message_with_its_words() {
    let text = String::from_utf8_lossy(v1::DESCRIPTORS);
    for name in [
        "RunService",
        "WatchRunResponse",
        "Answers the open question.",
    ] {
        assert!(text.contains(name), "{name}");
    }
}
