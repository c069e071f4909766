//! `workflows.query`: asks Workflows one by one, and tells for each what it answered or why not.
//!
//! A Query reads, but a Worker runs Workflow code to answer it; without a Worker nobody answers. Each
//! has a deadline, few are asked at once, and what they answer is bounded: it goes into the journal.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use super::selection::resolve;
use super::{World, fatal};
use crate::catalog::{Named, Query};
use crate::steps::{Observation, Problem};
use crate::survey::Listed;
use crate::temporal::{QueryCall, Reply};

/// Workflows that are asked at once.
const AT_ONCE: usize = 8;
/// Workflows that are asked at most, where the step does not say.
const LIMIT: usize = 100;
/// How long one may take, where the step does not say.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of one answer, and of all of them, as JSON.
const LARGEST: usize = 64 * 1024;
const LARGEST_IN_ALL: usize = 4 * 1024 * 1024;

/// One answer, or why there is none.
type Answer = Result<Value, String>;

pub(super) async fn observe(world: &World, with: &Query) -> Result<Observation, Problem> {
    let limit = with.limit.map_or(LIMIT, |limit| limit as usize);
    let timeout = match with.timeout.as_deref() {
        None => PATIENCE,
        Some(text) => crate::schema::interval(text)
            .ok_or_else(|| fatal(format!("`{text}` is not a duration")))?,
    };
    let resolved = resolve(world, &with.select, limit).await?;
    let asked = resolved
        .rows
        .into_iter()
        .map(|row| ask(world, with, row, timeout));
    let asked: Vec<(Listed, Answer)> = futures::stream::iter(asked)
        .buffered(AT_ONCE)
        .collect()
        .await;
    Ok(Observation {
        output: match output(asked, &resolved.missing, resolved.more) {
            Value::Object(output) => output,
            _ => serde_json::Map::new(),
        },
        ..Observation::default()
    })
}

async fn ask(world: &World, with: &Query, row: Listed, timeout: Duration) -> (Listed, Answer) {
    let call = QueryCall {
        key: row.key.clone(),
        name: with.name.clone(),
        input: with.values(),
        headers: with.headers.clone(),
        reject: with.reject,
        timeout,
    };
    let answer = match world.temporal.query(&call).await {
        Ok(Reply::Answer(value)) => {
            let bytes = value.to_string().len();
            match bytes <= LARGEST {
                true => Ok(value),
                false => Err(format!(
                    "its answer has {bytes} bytes, and {LARGEST} are kept at most"
                )),
            }
        }
        Ok(Reply::Rejected(status)) => Err(format!("rejected: it is {status}")),
        Ok(Reply::Unreadable(why)) => Err(why),
        Err(error) => Err(error.to_string()),
    };
    (row, answer)
}

fn output(asked: Vec<(Listed, Answer)>, missing: &[Named], more: bool) -> Value {
    let (mut answers, mut answered, mut bytes) = (Vec::new(), 0, 0);
    for (row, answer) in asked {
        let mut line = json!({
            "id": row.key.workflow_id,
            "run_id": row.key.run_id,
            "type": row.workflow_type,
        });
        let answer = answer.and_then(|value| {
            bytes += value.to_string().len();
            match bytes <= LARGEST_IN_ALL {
                true => Ok(value),
                false => Err(format!(
                    "left out: all answers together have more than {LARGEST_IN_ALL} bytes"
                )),
            }
        });
        match answer {
            Ok(value) => {
                answered += 1;
                line["answer"] = value;
            }
            Err(why) => line["error"] = Value::from(why),
        }
        answers.push(line);
    }
    for name in missing {
        answers.push(json!({
            "id": name.id,
            "run_id": name.run.clone().unwrap_or_default(),
            "type": "",
            "error": "not found",
        }));
    }
    let only = match answers.as_slice() {
        [one] => one.get("answer").cloned().unwrap_or(Value::Null),
        _ => Value::Null,
    };
    json!({
        "answer": only,
        "answered": answered,
        "failed": answers.len() - answered,
        "answers": answers,
        "more": more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::{Status, WorkflowKey};

    fn row(id: &str) -> Listed {
        Listed {
            key: WorkflowKey {
                workflow_id: id.to_owned(),
                run_id: format!("{id}-run"),
            },
            workflow_type: "Loyalty".to_owned(),
            status: Status::Running,
            task_queue: "q".to_owned(),
            start_time: None,
            close_time: None,
            parent: None,
            attributes: Default::default(),
        }
    }

    #[test]
    fn one_answer_is_the_answer_and_what_is_missing_has_failed() {
        let alone = output(vec![(row("a"), Ok(json!({ "points": 500 })))], &[], false);
        assert_eq!(alone["answer"]["points"], 500);
        let missing = [Named::new("b")];
        let two = output(vec![(row("a"), Ok(json!(1)))], &missing, true);
        assert_eq!(two["answer"], Value::Null, "which one would it be?");
        assert_eq!(
            (two["answered"].clone(), two["failed"].clone()),
            (1.into(), 1.into())
        );
        assert_eq!(two["answers"][1]["error"], "not found");
        assert_eq!(two["more"], true);
    }

    #[test]
    fn what_all_of_them_say_is_bounded() {
        let text = "x".repeat(LARGEST - 2);
        let asked = (0..80)
            .map(|n| (row(&n.to_string()), Ok(json!(text))))
            .collect();
        let output = output(asked, &[], false);
        assert_eq!(output["answered"], 64);
        assert_eq!(output["failed"], 16);
        assert!(output["answers"][79]["error"].as_str().is_some());
    }
}
