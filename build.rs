//! Generates the server side of Temporal's WorkflowService and OperatorService for the simulator, over the client's own
//! message types: no `.proto` is copied, and what the simulator serves is what the client speaks. And this tool's own
//! API from `proto/`, both sides, with the descriptors that its reflection service hands out.

use std::{env, fs, path::PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

const SERVICE_PACKAGES: [&str; 2] = [
    "temporal.api.workflowservice.v1",
    "temporal.api.operatorservice.v1",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    temporal()?;
    own_api()
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
