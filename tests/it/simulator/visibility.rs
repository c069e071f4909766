//! Visibility: fact 10.

use serde_json::json;
use tonic::Code;

use super::scenes::*;

#[tokio::test(start_paused = true)]
async fn it_is_late() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "version": "v2" }]));
    scene.update("o", Some(pinned("v3"))).await.unwrap();
    assert_eq!(
        scene
            .ids("TemporalWorkerDeploymentVersion = 'orders:v2'")
            .await,
        ["o"]
    );
    scene.seconds(1).await;
    assert!(
        scene
            .ids("TemporalWorkerDeploymentVersion = 'orders:v2'")
            .await
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn order_and_pages() {
    let scene = scene(json!([
        { "type": "Closed", "count": 4, "version": "v2", "status": "failed" },
        { "type": "Open", "count": 5, "version": "v2" },
    ]));
    let mut seen = Vec::new();
    let mut token = Vec::new();
    loop {
        let page = scene.list("", 3, token).await.unwrap();
        for one in page.executions {
            seen.push(one.execution.unwrap().workflow_id);
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        if seen.len() == 3 {
            let gone = seen.last().unwrap().clone();
            scene.update(&gone, Some(pinned("v3"))).await.unwrap();
            scene.seconds(1).await;
        }
    }
    assert_eq!(
        seen,
        [
            "open-4", "open-3", "open-2", "open-1", "open-0", "closed-3", "closed-2", "closed-1",
            "closed-0"
        ]
    );
    assert_eq!(
        refusal(scene.list("", 3, b"rubbish".to_vec()).await).0,
        Code::Unknown
    );
}

#[tokio::test(start_paused = true)]
async fn rows_that_leave_while_somebody_pages_are_not_skipped() {
    let scene = scene(json!([{ "type": "Order", "id": "o", "count": 9, "version": "v2" }]));
    let query = "TemporalWorkerDeploymentVersion = 'orders:v2'";
    let (mut seen, mut token) = (0, Vec::new());
    loop {
        let page = scene.list(query, 3, token).await.unwrap();
        for one in &page.executions {
            seen += 1;
            scene
                .update(
                    &one.execution.as_ref().unwrap().workflow_id,
                    Some(pinned("v3")),
                )
                .await
                .unwrap();
        }
        scene.seconds(1).await;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, 9);
}

#[tokio::test(start_paused = true)]
async fn counts() {
    let scene = scene(json!([
        { "type": "A", "count": 4, "version": "v2", "status": "failed", "attributes": { "Tier": "gold" } },
        { "type": "B", "count": 5, "version": "v2" },
    ]));
    assert_eq!(
        scene
            .count("ExecutionStatus = 'Running'")
            .await
            .unwrap()
            .count,
        5
    );
    assert_eq!(scene.count("Tier = 'gold'").await.unwrap().count, 4);
    let grouped = scene
        .count("WorkflowType IN ('A', 'B') GROUP BY ExecutionStatus")
        .await
        .unwrap();
    let groups: Vec<_> = grouped
        .groups
        .iter()
        .map(|group| {
            (
                String::from_utf8(group.group_values[0].data.clone()).unwrap(),
                group.count,
            )
        })
        .collect();
    assert_eq!(
        (grouped.count, groups),
        (
            9,
            vec![("\"Running\"".to_owned(), 5), ("\"Failed\"".to_owned(), 4)]
        )
    );
    assert_eq!(
        refusal(
            scene
                .count("WorkflowType = 'A' GROUP BY WorkflowType")
                .await
        )
        .0,
        Code::InvalidArgument
    );
    assert_eq!(
        refusal(scene.count("workflowtype = 'A'").await),
        (
            Code::InvalidArgument,
            "invalid query: invalid search attribute: workflowtype".to_owned()
        )
    );
    assert_eq!(
        refusal(scene.count("NoSuch = 'A'").await).0,
        Code::InvalidArgument
    );
    assert_eq!(
        refusal(scene.count("WorkflowType = ").await).0,
        Code::InvalidArgument
    );
}

#[tokio::test(start_paused = true)]
async fn ten_calls_a_second() {
    let scene = scene(json!([]));
    let mut refused = 0;
    for _ in 0..40 {
        match scene.count("").await {
            Ok(_) => {}
            Err(status) => {
                assert_eq!(
                    (status.code(), status.message()),
                    (Code::ResourceExhausted, "namespace rate limit exceeded")
                );
                refused += 1;
            }
        }
    }
    assert!((26..=30).contains(&refused), "{refused}");
    scene.seconds(1).await;
    scene.count("").await.unwrap();
}
