//! The two back ends as a test sees them: a namespace, a Worker Deployment of the test's own, Workers
//! that follow a script, raw calls and the tool's own typed calls.
//!
//! By default the service is a simulator in this process with tokio's clock paused. With
//! `RUNBOOK_CONFORMANCE_ADDRESS` (a frontend) and `RUNBOOK_CONFORMANCE_WORKERS` (the process that runs
//! scripted Python Workers on request, tests/live/conformance_workers.py) it is the real one. What a
//! Worker does is named alike on both sides: the words of a rehearsal's world.

use std::collections::BTreeMap;
use std::env;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use prost::Message;
use runbook::clock::Clock;
use runbook::connection::{Access, Connection, Settings};
use runbook::simulator::{Simulator, World};
use runbook::survey::Version;
use runbook::temporal::Temporal;
use serde_json::{Value, json};
use temporalio_protos::temporal::api::common::v1::{
    Payload, Payloads, WorkflowExecution, WorkflowType,
};
use temporalio_protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
use temporalio_protos::temporal::api::enums::v1::{EventType, WorkerDeploymentVersionStatus};
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflow::v1::{VersioningOverride, versioning_override};
use temporalio_protos::temporal::api::workflowservice::v1::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Identity of every raw call.
pub const TESTER: &str = "tester";

/// Custom Search Attributes of every namespace, as a world names their types.
pub fn attributes() -> Value {
    json!({
        "Tier": "keyword", "Note": "text", "Labels": "keyword_list", "Amount": "int", "Price": "double",
        "Vip": "bool", "Due": "datetime",
    })
}

/// What a test needs before it begins.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Versions by Build ID: `behaves`, `workers`, `task_queue` (a suffix; not all poll the same one).
    pub versions: Value,
    /// Build ID of the Current Version.
    pub current: Option<&'static str>,
    /// Workflow Types: the fields of a world's group that say what Workers do.
    pub types: Value,
    /// A namespace that no other test uses (batch jobs, counts of everything).
    pub alone: bool,
    /// A Worker Deployment that no other test uses: routing changes, or Workers stop.
    pub own: bool,
}

impl Default for Plot {
    /// v1 completes, v2 is Current and waits, v3 waits, v4 has no Workers, v5 knows another queue.
    fn default() -> Self {
        Self {
            versions: json!({
                "v1": { "behaves": "complete" }, "v2": { "behaves": "idle" }, "v3": { "behaves": "idle" },
            }),
            current: Some("v2"),
            types: json!({ "Order": {} }),
            alone: false,
            own: false,
        }
    }
}

enum Service {
    Simulated {
        simulator: Simulator,
        clock: Clock,
    },
    Real {
        channel: Channel,
        workers: String,
        address: String,
    },
}

/// A namespace with a Worker Deployment for one test.
pub struct Stage {
    pub namespace: String,
    /// Worker Deployment.
    pub deployment: String,
    /// Task queue of its Versions, but those that say otherwise.
    pub queue: String,
    /// Of this test's Workflows.
    tag: String,
    /// Of the deployment, which tests with the same plot share on a real server.
    shared: String,
    service: Service,
}

fn real() -> Option<(String, String)> {
    let address = env::var("RUNBOOK_CONFORMANCE_ADDRESS").ok()?;
    let workers = env::var("RUNBOOK_CONFORMANCE_WORKERS")
        .expect("RUNBOOK_CONFORMANCE_WORKERS beside the address");
    Some((address, workers))
}

/// Whether the back end is a real server.
pub fn is_real() -> bool {
    env::var_os("RUNBOOK_CONFORMANCE_ADDRESS").is_some()
}

/// Runs a test body on its stage, in a runtime that fits the back end.
pub fn on_stage<B, F>(plot: Plot, body: B)
where
    B: FnOnce(Stage) -> F,
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(!is_real())
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stage = Stage::open(&plot).await;
        body(stage).await;
    });
}

impl Stage {
    /// A stage with everything that the plot asks for.
    pub async fn open(plot: &Plot) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let (service, namespace, tag) = match real() {
            None => {
                let clock =
                    Clock::simulated("2026-11-21T12:00:00Z".parse::<Timestamp>().expect("a time"));
                // The tag is as long as the other one: what sorts by length sorts alike.
                let (namespace, tag) = ("conformance".to_owned(), format!("{:06x}", 0xabc_def));
                let world = world(plot, &namespace, &tag);
                let simulator =
                    Simulator::new(&world, &[], 7, clock.clone()).expect("a sound world");
                (Service::Simulated { simulator, clock }, namespace, tag)
            }
            Some((address, workers)) => {
                let tag = format!("{:06x}", (std::process::id() << 12 | number) & 0xff_ffff);
                let asked =
                    json!({ "op": "namespace", "alone": plot.alone, "attributes": attributes() });
                let namespace = ask(&workers, &asked).await["namespace"]
                    .as_str()
                    .expect("a name")
                    .to_owned();
                let channel =
                    Endpoint::from_shared(format!("http://{address}")).expect("an address");
                let channel = channel.connect().await.expect("the frontend answers");
                (
                    Service::Real {
                        channel,
                        workers,
                        address,
                    },
                    namespace,
                    tag,
                )
            }
        };
        let mut stage = Self {
            deployment: String::new(),
            queue: String::new(),
            namespace,
            shared: tag.clone(),
            tag,
            service,
        };
        stage.name();
        if !stage.is_simulated() {
            stage.furnished(plot).await;
        }
        stage
    }

    fn name(&mut self) {
        self.deployment = format!("orders-{}", self.shared);
        self.queue = format!("orders-tq-{}", self.shared);
    }

    /// Takes the deployment of an earlier test with the same plot, or makes one.
    async fn furnished(&mut self, plot: &Plot) {
        type Made = Arc<tokio::sync::OnceCell<String>>;
        static MADE: Mutex<BTreeMap<String, Made>> = Mutex::new(BTreeMap::new());
        if plot.own || plot.alone {
            return self.furnish(plot).await;
        }
        let cell = MADE
            .lock()
            .expect("no test panics here")
            .entry(format!("{plot:?}"))
            .or_default()
            .clone();
        let tag = cell
            .get_or_init(async || {
                self.furnish(plot).await;
                self.tag.clone()
            })
            .await;
        self.shared.clone_from(tag);
        self.name();
    }

    /// Whether the service is the simulator.
    pub fn is_simulated(&self) -> bool {
        matches!(self.service, Service::Simulated { .. })
    }

    /// A name that no other test uses; [`Stage::plain`] takes it back.
    pub fn id(&self, name: &str) -> String {
        format!("{name}-{}", self.tag)
    }

    /// A text with the names of this stage as every stage would have them.
    pub fn plain(&self, text: &str) -> String {
        text.replace(&format!("-{}", self.tag), "")
            .replace(&format!("-{}", self.shared), "")
            .replace(&self.namespace, "NAMESPACE")
    }

    /// `DEPLOYMENT:BUILD`.
    pub fn version_text(&self, build: &str) -> String {
        format!("{}:{build}", self.deployment)
    }

    /// A Version of the stage's deployment.
    pub fn version(&self, build: &str) -> Option<WorkerDeploymentVersion> {
        Some(WorkerDeploymentVersion {
            deployment_name: self.deployment.clone(),
            build_id: build.to_owned(),
        })
    }

    /// The same, in the tool's words.
    pub fn typed_version(&self, build: &str) -> Version {
        Version {
            deployment: self.deployment.clone(),
            build_id: build.to_owned(),
        }
    }

    /// A pinned Versioning Override.
    pub fn pinned(&self, build: &str) -> VersioningOverride {
        let pinned = versioning_override::PinnedOverride {
            behavior: versioning_override::PinnedOverrideBehavior::Pinned as i32,
            version: self.version(build),
        };
        VersioningOverride {
            r#override: Some(versioning_override::Override::Pinned(pinned)),
            ..Default::default()
        }
    }

    /// One raw call of WorkflowService, e.g. `DescribeWorkflowExecution`.
    pub async fn call<Q, A>(&self, rpc: &str, request: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.call_on(
            "temporal.api.workflowservice.v1.WorkflowService",
            rpc,
            request,
        )
        .await
    }

    /// One raw call of any service of the frontend.
    pub async fn call_on<Q, A>(&self, service: &str, rpc: &str, request: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        match &self.service {
            Service::Simulated { simulator, .. } => {
                let bytes = request.encode_to_vec().into();
                let reply =
                    (simulator.channel())(rpc.to_owned(), http::HeaderMap::new(), bytes).await?;
                Ok(A::decode(&reply[..]).expect("a reply"))
            }
            Service::Real { channel, .. } => {
                let mut client = tonic::client::Grpc::new(channel.clone());
                client.ready().await.expect("the frontend answers");
                let path = format!("/{service}/{rpc}").parse().expect("a path");
                let codec = tonic_prost::ProstCodec::<Q, A>::default();
                let mut request = Request::new(request);
                request.set_timeout(Duration::from_secs(40));
                client
                    .unary(request, path, codec)
                    .await
                    .map(tonic::Response::into_inner)
            }
        }
    }

    /// The tool's own typed calls, reads and writes.
    pub async fn temporal(&self) -> Temporal {
        let settings = Settings {
            namespace: self.namespace.clone(),
            identity: TESTER.to_owned(),
            ..Settings::default()
        };
        match &self.service {
            Service::Simulated { simulator, clock } => {
                let connected =
                    Connection::in_memory(&settings, simulator.channel(), Access::ReadWrite).await;
                Temporal::new(connected.expect("connected")).with_clock(clock.clone())
            }
            Service::Real { address, .. } => {
                let settings = Settings {
                    address: address.clone(),
                    ..settings
                };
                Temporal::new(
                    Connection::open(&settings, Access::ReadWrite)
                        .await
                        .expect("connected"),
                )
            }
        }
    }

    /// Lets time pass.
    pub async fn pause(&self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    /// The first answer of `look`, asked again and again for up to two minutes.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let until = tokio::time::Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(answer) = look().await {
                return answer;
            }
            assert!(
                tokio::time::Instant::now() < until,
                "waited in vain for {what}"
            );
            self.pause(150).await;
        }
    }

    // --- Workers

    /// Stops the Workers of a Version; it stays registered.
    pub async fn stop_workers(&self, build: &str) {
        match &self.service {
            Service::Simulated { simulator, .. } => simulator.stop_workers(&self.deployment, build),
            Service::Real { workers, .. } => {
                ask(
                    workers,
                    &json!({ "op": "stop", "deployment": self.deployment, "build": build }),
                )
                .await;
            }
        }
    }

    async fn furnish(&self, plot: &Plot) {
        let Service::Real { workers, .. } = &self.service else {
            return;
        };
        let versions = plot.versions.as_object().expect("versions by Build ID");
        for (build, version) in versions {
            let queue = queue_of(version, &self.queue);
            let asked = json!({
                "op": "start", "namespace": self.namespace, "deployment": self.deployment, "build": build,
                "queue": queue, "behaves": version["behaves"].as_str().unwrap_or("idle"), "types": plot.types,
            });
            ask(workers, &asked).await;
        }
        for (build, version) in versions {
            let queue = queue_of(version, &self.queue);
            self.until("a Version with its task queue", async || {
                self.knows(build, &queue).await.then_some(())
            })
            .await;
            if version["workers"] == json!(false) {
                self.stop_workers(build).await;
            }
        }
        if let Some(build) = plot.current {
            self.make_current(build).await;
        }
    }

    async fn knows(&self, build: &str, queue: &str) -> bool {
        let request = DescribeWorkerDeploymentVersionRequest {
            namespace: self.namespace.clone(),
            deployment_version: self.version(build),
            ..Default::default()
        };
        let reply: Result<DescribeWorkerDeploymentVersionResponse, _> =
            self.call("DescribeWorkerDeploymentVersion", request).await;
        reply.is_ok_and(|it| {
            it.version_task_queues
                .iter()
                .filter(|one| one.name == queue)
                .count()
                == 2
        })
    }

    /// Makes a Version Current and waits until new Workflows go there.
    pub async fn make_current(&self, build: &str) {
        let request = SetWorkerDeploymentCurrentVersionRequest {
            namespace: self.namespace.clone(),
            deployment_name: self.deployment.clone(),
            build_id: build.to_owned(),
            identity: "deployer".to_owned(),
            ignore_missing_task_queues: true,
            ..Default::default()
        };
        let _: SetWorkerDeploymentCurrentVersionResponse = self
            .call("SetWorkerDeploymentCurrentVersion", request)
            .await
            .expect("made Current");
        let wanted = self.version(build);
        self.until("new Workflows to go to the Current Version", async || {
            let id = self.id("probe");
            self.start_request(StartWorkflowExecutionRequest {
                workflow_id_conflict_policy: 3, // TERMINATE_EXISTING
                ..self.start_of("Probe", &id)
            })
            .await
            .expect("a probe starts");
            let settled = tokio::time::timeout(Duration::from_secs(3), self.settled(&id))
                .await
                .ok()?;
            let info = settled.workflow_execution_info?.versioning_info?;
            self.terminate(&id, "the probe is done").await;
            (info.deployment_version == wanted).then_some(())
        })
        .await;
    }

    // --- Workflows

    /// The request that starts a Workflow of a type on the stage's queue.
    pub fn start_of(&self, kind: &str, id: &str) -> StartWorkflowExecutionRequest {
        StartWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            workflow_id: id.to_owned(),
            workflow_type: Some(WorkflowType {
                name: kind.to_owned(),
            }),
            task_queue: Some(TaskQueue {
                name: self.queue.clone(),
                ..Default::default()
            }),
            input: payloads(&json!({ "n": 7 })),
            identity: TESTER.to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        }
    }

    /// Starts; gives the Run ID.
    pub async fn start_request(
        &self,
        request: StartWorkflowExecutionRequest,
    ) -> Result<String, Status> {
        let reply: StartWorkflowExecutionResponse =
            self.call("StartWorkflowExecution", request).await?;
        Ok(reply.run_id)
    }

    /// Starts a Workflow of a type on the Current Version; gives the Run ID.
    pub async fn start(&self, kind: &str, id: &str) -> String {
        self.start_request(self.start_of(kind, id))
            .await
            .expect("it starts")
    }

    /// Starts a Workflow and waits until its first Workflow Task is done and nothing of it is pending.
    pub async fn started(&self, kind: &str, name: &str) -> (String, String) {
        let id = self.id(name);
        let run = self.start(kind, &id).await;
        self.settled(&id).await;
        (id, run)
    }

    /// The Workflow when no Workflow Task of it is pending, or closed.
    pub async fn settled(&self, id: &str) -> DescribeWorkflowExecutionResponse {
        self.until(&format!("{id} to settle"), async || {
            let it = self.describe(id, "").await.ok()?;
            let length = it.workflow_execution_info.as_ref()?.history_length;
            (it.pending_workflow_task.is_none() && length > 3).then_some(it)
        })
        .await
    }

    /// Describes a run; the current one where `run` is empty.
    pub async fn describe(
        &self,
        id: &str,
        run: &str,
    ) -> Result<DescribeWorkflowExecutionResponse, Status> {
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            execution: execution(id, run),
        };
        self.call("DescribeWorkflowExecution", request).await
    }

    /// The history of a run, as GetWorkflowExecutionHistory gives it.
    pub async fn history(&self, id: &str, run: &str) -> Vec<HistoryEvent> {
        let mut request = GetWorkflowExecutionHistoryRequest {
            namespace: self.namespace.clone(),
            execution: execution(id, run),
            ..Default::default()
        };
        let mut events = Vec::new();
        loop {
            let reply: GetWorkflowExecutionHistoryResponse = self
                .call("GetWorkflowExecutionHistory", request.clone())
                .await
                .expect("a history");
            events.extend(reply.history.unwrap_or_default().events);
            request.next_page_token = reply.next_page_token;
            if request.next_page_token.is_empty() {
                return events;
            }
        }
    }

    /// The types of a run's events.
    pub async fn types(&self, id: &str, run: &str) -> Vec<EventType> {
        self.history(id, run)
            .await
            .iter()
            .map(HistoryEvent::event_type)
            .collect()
    }

    /// Terminates the current run; a closed one is left alone.
    pub async fn terminate(&self, id: &str, reason: &str) {
        let request = TerminateWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            workflow_execution: execution(id, ""),
            reason: reason.to_owned(),
            identity: TESTER.to_owned(),
            ..Default::default()
        };
        let _closed: Result<TerminateWorkflowExecutionResponse, _> =
            self.call("TerminateWorkflowExecution", request).await;
    }

    /// Sends a Signal to the current run.
    pub async fn signal(&self, id: &str, name: &str) {
        self.send(id, "", name, &json!({ "n": 1 }), "")
            .await
            .expect("it arrives");
    }

    /// Sends a Signal.
    pub async fn send(
        &self,
        id: &str,
        run: &str,
        name: &str,
        input: &Value,
        request_id: &str,
    ) -> Result<SignalWorkflowExecutionResponse, Status> {
        let request = SignalWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            workflow_execution: execution(id, run),
            signal_name: name.to_owned(),
            input: payloads(input),
            identity: TESTER.to_owned(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        self.call("SignalWorkflowExecution", request).await
    }

    /// The run when it is closed.
    pub async fn closed(&self, id: &str, run: &str) -> DescribeWorkflowExecutionResponse {
        self.until(&format!("{id} to close"), async || {
            let it = self.describe(id, run).await.ok()?;
            it.workflow_execution_info
                .as_ref()?
                .close_time
                .is_some()
                .then_some(it)
        })
        .await
    }

    /// The run's history when it holds so many events of a type, and no Workflow Task is pending.
    pub async fn events_with(&self, id: &str, kind: EventType, count: usize) -> Vec<HistoryEvent> {
        self.until(&format!("{count} {kind:?} of {id}"), async || {
            self.settled(id).await;
            let events = self.history(id, "").await;
            (events.iter().filter(|it| it.event_type() == kind).count() >= count).then_some(events)
        })
        .await
    }

    /// One page of a listing.
    pub async fn list(&self, query: &str) -> Result<ListWorkflowExecutionsResponse, Status> {
        let request = ListWorkflowExecutionsRequest {
            namespace: self.namespace.clone(),
            query: query.to_owned(),
            page_size: 1_000,
            ..Default::default()
        };
        self.call("ListWorkflowExecutions", request).await
    }

    /// What a listing shows, when it shows so many.
    pub async fn listed(&self, query: &str, count: usize) -> Vec<(String, String)> {
        self.until(&format!("{count} of `{query}`"), async || {
            let rows = self.list(query).await.expect("a listing").executions;
            (rows.len() == count).then(|| {
                rows.into_iter()
                    .filter_map(|row| row.execution)
                    .map(|it| (it.workflow_id, it.run_id))
                    .collect()
            })
        })
        .await
    }

    /// The status of a Version of the stage's deployment; none where there is none.
    pub async fn version_status(&self, build: &str) -> Option<WorkerDeploymentVersionStatus> {
        let request = DescribeWorkerDeploymentVersionRequest {
            namespace: self.namespace.clone(),
            deployment_version: self.version(build),
            ..Default::default()
        };
        let reply: DescribeWorkerDeploymentVersionResponse = self
            .call("DescribeWorkerDeploymentVersion", request)
            .await
            .ok()?;
        Some(reply.worker_deployment_version_info?.status())
    }
}

/// One request to the process that runs Workers; it answers when what was asked for is so.
async fn ask(workers: &str, request: &Value) -> Value {
    let mut stream = BufReader::new(
        TcpStream::connect(workers)
            .await
            .expect("the Workers' host"),
    );
    let line = format!("{request}\n");
    stream
        .get_mut()
        .write_all(line.as_bytes())
        .await
        .expect("it reads");
    let mut answer = String::new();
    stream.read_line(&mut answer).await.expect("it answers");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert!(answer["error"].is_null(), "{request}: {answer}");
    answer
}

fn queue_of(version: &Value, queue: &str) -> String {
    match version["task_queue"].as_str() {
        Some(suffix) => format!("{queue}-{suffix}"),
        None => queue.to_owned(),
    }
}

/// The plot as the simulator's world.
fn world(plot: &Plot, namespace: &str, tag: &str) -> World {
    let queue = format!("orders-tq-{tag}");
    let mut versions = plot.versions.clone();
    for version in versions
        .as_object_mut()
        .expect("versions by Build ID")
        .values_mut()
    {
        version["task_queues"] = json!([queue_of(version, &queue)]);
        version
            .as_object_mut()
            .expect("a Version")
            .remove("task_queue");
    }
    let first = plot
        .versions
        .as_object()
        .and_then(|all| all.keys().next())
        .expect("a Version");
    let groups = plot
        .types
        .as_object()
        .expect("types by name")
        .iter()
        .map(|(kind, says)| {
            let mut group = says.clone();
            group["type"] = json!(kind);
            group["version"] = json!(first);
            group["count"] = json!(0);
            group
        });
    let world = json!({
        "namespace": namespace,
        "attributes": attributes(),
        "deployments": { (format!("orders-{tag}")): { "current": plot.current, "versions": versions } },
        "workflows": groups.collect::<Vec<_>>(),
        "limits": { "visibility_rate_limit": 100_000 },
        "drainage": { "grace": "1s", "refresh": "1s" },
        "poller_history_ttl": "75s",
    });
    serde_json::from_value(world).expect("a world")
}

/// A Workflow Execution as requests name it.
pub fn execution(id: &str, run: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution {
        workflow_id: id.to_owned(),
        run_id: run.to_owned(),
    })
}

/// One JSON argument.
pub fn payloads(value: &Value) -> Option<Payloads> {
    let payload = Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: value.to_string().into_bytes(),
        ..Default::default()
    };
    Some(Payloads {
        payloads: vec![payload],
    })
}
