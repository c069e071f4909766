//! Faults, limits, determinism, and the service over TCP.

use std::time::Duration;

use runbook::simulator::{Fault, Simulator};
use serde_json::json;
use tonic::Code;

use super::scenes::*;

fn faults(value: serde_json::Value) -> Vec<Fault> {
    serde_json::from_value(value).expect("faults")
}

fn stuck() -> serde_json::Value {
    json!([{ "type": "Order", "id": "o", "version": "v2", "task": "failing" }])
}

#[tokio::test(start_paused = true)]
async fn before_and_after_the_effect() {
    let all = faults(json!([
        { "rpc": "ResetWorkflowExecution", "nth": 1, "kind": "unavailable" },
        { "rpc": "ResetWorkflowExecution", "nth": 2, "kind": "unavailable", "effect": "after" },
    ]));
    let scene = Scene::new(&world(stuck()), &all);
    for resets in [0, 1] {
        assert_eq!(
            refusal(scene.reset(reset_with_move("o", "", 4, "v3")).await).0,
            Code::Unavailable
        );
        assert_eq!(scene.facts().workflows["o"].done.resets, resets);
    }
    let run = scene.run_of("o").await;
    scene.reset(reset_to("o", &run, 4, "other")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn lost_requests_and_replies() {
    let all = faults(json!([
        { "rpc": "ResetWorkflowExecution", "nth": 1, "kind": "lost_request" },
        { "rpc": "ResetWorkflowExecution", "nth": 2, "kind": "lost_reply" },
    ]));
    let scene = Scene::new(&world(stuck()), &all);
    for resets in [0, 1] {
        let call = scene.reset(reset_with_move("o", "", 4, "v3"));
        assert!(
            tokio::time::timeout(Duration::from_secs(30), call)
                .await
                .is_err(),
            "no reply"
        );
        assert_eq!(scene.facts().workflows["o"].done.resets, resets);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_comes_after_the_effect() {
    let all =
        faults(json!([{ "rpc": "ResetWorkflowExecution", "kind": "latency", "duration": "20s" }]));
    let scene = Scene::new(&world(stuck()), &all);
    let before = scene.clock.now();
    let call = tokio::time::timeout(
        Duration::from_secs(10),
        scene.reset(reset_with_move("o", "", 4, "v3")),
    );
    assert!(call.await.is_err());
    assert_eq!(scene.facts().workflows["o"].done.resets, 1);
    scene.reset(reset_to("o", "", 4, "again")).await.unwrap();
    assert!(scene.clock.now().duration_since(before).as_secs() >= 30);
}

#[tokio::test(start_paused = true)]
async fn n_calls_a_second() {
    let mut world = world(stuck());
    world.limits.rate_limit = Some(100);
    let scene = Scene::new(&world, &[]);
    let (mut passed, begin) = (0, scene.clock.now());
    for _ in 0..400 {
        passed += u32::from(scene.try_describe("o", "").await.is_ok());
    }
    let allowed = 100.0 + 100.0 * scene.clock.now().duration_since(begin).as_secs_f64();
    let spare = allowed - f64::from(passed);
    assert!(
        spare.abs() < 3.0,
        "one second's worth at once, then 100 a second: {passed} of {allowed}"
    );
}

#[tokio::test(start_paused = true)]
async fn two_runs_are_the_same_run() {
    let mut facts = Vec::new();
    for _ in 0..2 {
        let all = faults(json!([{ "probability": 0.3, "kind": "unavailable" }]));
        let scene = Scene::new(
            &world(
                json!([{ "type": "Order", "id": "o", "count": 50, "version": "v2", "task": "failing" }]),
            ),
            &all,
        );
        for number in 0..50 {
            let _refused = scene
                .reset(reset_with_move(&format!("o-{number}"), "", 4, "v1"))
                .await;
        }
        scene.seconds(30).await;
        facts.push(serde_json::to_string(&(scene.facts(), scene.simulator.writes())).unwrap());
    }
    assert_eq!(facts[0], facts[1]);
}

#[test]
fn a_world_that_names_what_is_not_there() {
    let mut world =
        world(json!([{ "type": "Order", "version": "v77", "attributes": { "Nope": 1 } }]));
    world.deployments.get_mut("orders").unwrap().ramping = Some("v88".to_owned());
    let all = faults(json!([{ "rpc": "ResetWorkflow", "kind": "internal" }]));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let Err(error) = Simulator::new(&world, &all, 1, runbook::clock::Clock::real()) else {
        panic!("refused")
    };
    insta::assert_snapshot!(error.problems.join("\n"), @r"
    deployment `orders` routes to `v88`, which is not among its versions
    the group of `Order` names the version `v77`, which deployment `orders` does not have
    the group of `Order` sets `Nope`, which is not among the world's `attributes`
    a fault names the RPC `ResetWorkflow`, which the simulator does not serve
    ");
}

#[test]
fn unknown_keys_are_refused() {
    let error = serde_json::from_value::<runbook::simulator::World>(json!({ "deploymnets": {} }))
        .unwrap_err();
    assert!(
        error.to_string().contains("unknown field `deploymnets`"),
        "{error}"
    );
}

#[tokio::test]
async fn the_official_client_over_tcp_and_facts_for_another_process() {
    use temporalio_protos::temporal::api::workflowservice::v1::CountWorkflowExecutionsRequest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let clock = runbook::clock::Clock::real();
    let simulator = Simulator::new(&world(stuck()), &[], 7, clock).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let facts_listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let facts_address = facts_listener.local_addr().unwrap();
    let (serving, facts) = (simulator.clone(), simulator.clone());
    let server = tokio::spawn(async move { serving.serve(listener).await });
    let observer = tokio::spawn(async move { facts.serve_facts(facts_listener).await });

    let url = temporalio_client::Url::parse(&format!("http://{address}")).unwrap();
    let options = temporalio_client::ConnectionOptions::new(url)
        .identity("tester".to_owned())
        .build();
    let connection = temporalio_client::Connection::connect(options)
        .await
        .expect("it connects");
    let request = CountWorkflowExecutionsRequest {
        namespace: "default".to_owned(),
        query: String::new(),
    };
    let reply = connection
        .workflow_service()
        .count_workflow_executions(tonic::Request::new(request))
        .await
        .expect("it counts");
    assert_eq!(reply.into_inner().count, 1);
    let request =
        temporalio_protos::temporal::api::operatorservice::v1::ListSearchAttributesRequest {
            namespace: "default".to_owned(),
        };
    let reply = connection
        .operator_service()
        .list_search_attributes(tonic::Request::new(request))
        .await
        .expect("it lists");
    assert!(reply.into_inner().custom_attributes.contains_key("Tier"));

    let mut stream = tokio::net::TcpStream::connect(facts_address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let body: serde_json::Value =
        serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["facts"]["calls"]["CountWorkflowExecutions"], 1);
    server.abort();
    observer.abort();
}
