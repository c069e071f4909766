//! Generates the server side of Temporal's WorkflowService and OperatorService for the simulator, over the client's own
//! message types: no `.proto` is copied, and what the simulator serves is what the client speaks. And this tool's own
//! API from `proto/`, both sides, with the descriptors that its reflection service hands out. Notes the commit that a
//! release is built from.

use std::{env, fs, path::PathBuf, process::Command};

use prost::Message;
use prost_types::FileDescriptorSet;

const SERVICE_PACKAGES: [&str; 2] = [
    "temporal.api.workflowservice.v1",
    "temporal.api.operatorservice.v1",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    temporal()?;
    own_api()?;
    commit();
    Ok(())
}

/// Where a release comes from, for `--version`: RUNBOOK_COMMIT, else what `cargo package` wrote down, else git. Other
/// builds do not say: they would have to be made again with each commit.
fn commit() {
    println!("cargo:rerun-if-env-changed=RUNBOOK_COMMIT");
    let given = env::var("RUNBOOK_COMMIT").ok();
    let commit = match env::var("PROFILE").as_deref() {
        Ok("release") => given.or_else(packaged).or_else(checked_out),
        _ => given,
    };
    println!(
        "cargo:rustc-env=RUNBOOK_COMMIT={}",
        commit.unwrap_or_default()
    );
}

/// `.cargo_vcs_info.json` lies in a package, not in a checkout.
fn packaged() -> Option<String> {
    let text = fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let after = text.split_once("\"sha1\"")?.1;
    let commit = after.split('"').nth(1)?.get(..12)?;
    Some(marked(commit, text.contains("\"dirty\": true")))
}

fn checked_out() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if fs::canonicalize(top).ok()? != fs::canonicalize(env::var("CARGO_MANIFEST_DIR").ok()?).ok()? {
        return None; // a checkout of something else around an unpacked archive
    }
    for name in ["HEAD", "logs/HEAD"] {
        println!(
            "cargo:rerun-if-changed={}",
            git(&["rev-parse", "--git-path", name])?
        );
    }
    for path in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(marked(&commit, !changed.is_empty()))
}

fn marked(commit: &str, changed: bool) -> String {
    let mark = if changed { ", with changes" } else { "" };
    format!("{commit}{mark}")
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn own_api() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(["runbook/v1/run_service.proto"])?;
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("runbook.v1.bin");
    fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

fn temporal() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors =
        PathBuf::from(env::var("DEP_TEMPORALIO_PROTOS_DESCRIPTOR_PATH").map_err(
            |_| "temporalio-protos did not publish DEP_TEMPORALIO_PROTOS_DESCRIPTOR_PATH",
        )?);
    println!("cargo:rerun-if-changed={}", descriptors.display());
    let set = FileDescriptorSet::decode(fs::read(descriptors)?.as_slice())?;
    let services = set
        .file
        .into_iter()
        .filter(|file| SERVICE_PACKAGES.contains(&file.package()) && !file.service.is_empty())
        .map(|mut file| {
            file.message_type.clear();
            file
        })
        .collect();
    tonic_prost_build::configure()
        .build_client(false)
        .generate_default_stubs(true)
        .extern_path(".temporal.api", "::temporalio_protos::temporal::api")
        .compile_fds(FileDescriptorSet { file: services })?;
    Ok(())
}
