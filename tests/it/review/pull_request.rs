//! The shipped examples for a pull request: every script of the workflow and every entry of the hooks, run as they
//! stand, in a git repository with good and bad runbooks.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use regex::Regex;
use serde_json::Value;

use super::Desk;

fn example(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(path).expect("an example");
    serde_saphyr::from_str(&text).expect("YAML")
}

/// A git repository, with the built `runbook` and a `gh` that writes down what it is told.
struct Repository {
    desk: Desk,
}

impl Repository {
    fn new() -> Self {
        let it = Self { desk: Desk::new() };
        it.desk
            .put("bin/gh", "#!/bin/sh\nprintf '%s\\n' \"$*\" > gh.txt\n");
        let bin = it.desk.path().join("bin");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_runbook"), bin.join("runbook"))
            .expect("linked");
        it.shell("chmod +x bin/gh; git init -q -b main .; printf 'bin\\ngh.txt\\nchanges.md\\nsummary.md\\n' > .gitignore");
        assert!(
            it.shell("runbook new runbooks/drain-queue")
                .status
                .success()
        );
        it.commit();
        it
    }

    /// As a job's step: `bash -e`.
    fn shell(&self, script: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command
            .args(["--noprofile", "--norc", "-e", "-c", script])
            .current_dir(self.desk.path())
            .env_clear()
            .env(
                "PATH",
                format!("{}:{path}", self.desk.path().join("bin").display()),
            )
            .env("HOME", self.desk.path())
            .env("NO_COLOR", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("SOURCE", "https://example.invalid/runbook")
            .env("GITHUB_STEP_SUMMARY", self.desk.path().join("summary.md"))
            .env("GH_TOKEN", "not-a-token")
            .env("NUMBER", "7")
            .env("BASE", "main")
            .stdin(Stdio::null());
        command.output().expect("bash runs")
    }

    fn commit(&self) {
        let done = self.shell(
            "git add -A; git -c user.name=it -c user.email=it@example.invalid commit -qm it",
        );
        assert!(done.status.success(), "{done:?}");
    }

    /// Each script of the workflow by name, with its exit code and output.
    fn review(&self) -> Vec<(String, i32, String)> {
        let workflow = example("examples/ci/runbooks.yml");
        let steps = workflow["jobs"]["review"]["steps"]
            .as_array()
            .expect("steps");
        let scripts = steps
            .iter()
            .filter_map(|step| Some((step["name"].as_str()?, step["run"].as_str()?)));
        scripts
            .map(|(name, script)| {
                assert!(
                    !script.contains("${{"),
                    "{name}: no value of an event is pasted into a script"
                );
                let output = self.shell(script);
                let text = format!(
                    "{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
                (name.to_owned(), output.status.code().unwrap_or(-1), text)
            })
            .collect()
    }

    fn edit(&self, from: &str, to: &str) {
        let text = self.desk.read("runbooks/drain-queue.yaml");
        assert!(text.contains(from));
        self.desk
            .put("runbooks/drain-queue.yaml", &text.replace(from, to));
    }
}

#[test]
fn a_good_change_passes_and_its_comment_says_what_is_dangerous() {
    let repository = Repository::new();
    repository.shell("git checkout -q -b change");
    repository.edit("max_failures: 1%", "max_failures: 5%");
    assert!(
        repository
            .shell("runbook new 'runbooks/another'")
            .status
            .success()
    );
    repository.commit();
    let steps = repository.review();
    assert_eq!(steps.len(), 5, "{steps:#?}");
    assert!(steps.iter().all(|(_, code, _)| *code == 0), "{steps:#?}");
    let comment = repository.desk.read("changes.md");
    assert!(
        comment.contains("the limit of failures is higher"),
        "{comment}"
    );
    assert!(comment.contains("### A new runbook"), "{comment}");
    assert_eq!(comment, repository.desk.read("summary.md"));
    assert_eq!(
        repository.desk.read("gh.txt"),
        "pr comment 7 --edit-last --create-if-none --body-file changes.md\n"
    );
}

#[test]
fn a_bad_change_fails_where_it_is_bad() {
    let repository = Repository::new();
    repository.shell("git checkout -q -b change");
    repository.edit("action: workflows.verify", "action: workflows.verfy");
    repository.commit();
    let steps = repository.review();
    let code = |name: &str| steps.iter().find(|step| step.0 == name).map(|step| step.1);
    assert_eq!(code("Validate"), Some(2), "{steps:#?}");
    assert_eq!(code("Rehearse"), Some(2), "{steps:#?}");
    assert!(steps.iter().any(|step| {
        step.2
            .contains("::error file=runbooks/drain-queue.yaml,line=")
    }));
    assert!(
        repository
            .desk
            .read("changes.md")
            .contains("cannot be compared")
    );
    // Valid, and it does not do what its rehearsal expects.
    repository.edit("action: workflows.verfy", "action: workflows.verify");
    repository.edit("task: failing, apply", "task: progressing, apply");
    repository.commit();
    let steps = repository.review();
    let code = |name: &str| steps.iter().find(|step| step.0 == name).map(|step| step.1);
    assert_eq!(
        (code("Validate"), code("Rehearse")),
        (Some(0), Some(1)),
        "{steps:#?}"
    );
}

#[test]
fn the_hooks_pass_good_files_and_stop_bad_ones() {
    let repository = Repository::new();
    let hooks = example(".pre-commit-hooks.yaml");
    let hooks = hooks.as_array().expect("hooks");
    let known: Vec<&str> = hooks
        .iter()
        .filter_map(|hook| hook["id"].as_str())
        .collect();
    let config = example("examples/ci/.pre-commit-config.yaml");
    let used = config["repos"][0]["hooks"].as_array().expect("hooks");
    assert!(
        used.iter()
            .all(|hook| known.contains(&hook["id"].as_str().expect("an id")))
    );
    let files = [
        "runbooks/drain-queue.yaml",
        "runbooks/drain-queue.rehearsal.yaml",
    ];
    let codes = || -> Vec<Option<i32>> {
        let run = |hook: &Value| {
            let pattern =
                Regex::new(hook["files"].as_str().expect("a pattern")).expect("it is one");
            assert!(
                files.iter().all(|file| pattern.is_match(file))
                    && !pattern.is_match("deploy/values.yaml")
            );
            let entry = hook["entry"].as_str().expect("an entry");
            repository
                .shell(&format!("{entry} {}", files.join(" ")))
                .status
                .code()
        };
        hooks.iter().map(run).collect()
    };
    assert_eq!(codes(), [Some(0), Some(0)]);
    repository.edit("task: failing, apply", "task: progressing, apply");
    assert_eq!(codes(), [Some(0), Some(1)]);
    repository.edit("unmatched: leave", "unmatched: leaf");
    assert_eq!(codes(), [Some(2), Some(2)]);
}
