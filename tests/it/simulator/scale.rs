//! 100,000 Workflows are one line.

use serde_json::json;

use super::scenes::*;

#[tokio::test(start_paused = true)]
async fn many_workflows_are_listed_and_recovered() {
    let count = 3_000;
    let mut world = world(
        json!([{ "type": "Order", "id": "o", "count": count, "version": "v2", "task": "failing" }]),
    );
    world.limits.visibility_rate_limit = 1_000;
    let scene = Scene::new(&world, &[]);
    let query = "TemporalWorkerDeploymentVersion = 'orders:v2' AND ExecutionStatus = 'Running'";
    let mut token = Vec::new();
    loop {
        let page = scene.list(query, 1000, token).await.unwrap();
        for one in page.executions {
            let execution = one.execution.unwrap();
            scene
                .describe(&execution.workflow_id, &execution.run_id)
                .await;
            scene
                .reset(reset_with_move(
                    &execution.workflow_id,
                    &execution.run_id,
                    4,
                    "v1",
                ))
                .await
                .unwrap();
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    scene.seconds(200).await;
    assert_eq!(scene.count(query).await.unwrap().count, 0);
    let facts = scene.facts();
    assert_eq!(facts.workflows.len(), count);
    assert!(
        facts
            .workflows
            .values()
            .all(|one| one.done.recoveries() == 1)
    );
    assert!(
        facts
            .workflows
            .values()
            .all(|one| one.status == runbook::survey::Status::Completed)
    );
}
