//! Worker Deployments and their Versions as the service describes them.

use std::collections::BTreeMap;

use temporalio_protos::temporal::api::deployment::v1 as message;
use temporalio_protos::temporal::api::enums::v1::{TaskQueueType, VersionDrainageStatus};
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use tonic::Status as Reply;

use super::deployments::{Deployment, Drainage, VersionState, named};
use super::proto::{self, stamp};
use super::state::{State, VersionId};

impl State {
    pub(super) fn describe_deployment(
        &mut self,
        request: &service::DescribeWorkerDeploymentRequest,
    ) -> Result<service::DescribeWorkerDeploymentResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let deployment = self.deployment(&request.deployment_name)?;
        Ok(service::DescribeWorkerDeploymentResponse {
            conflict_token: deployment.token(),
            worker_deployment_info: Some(message::WorkerDeploymentInfo {
                name: deployment.name.to_string(),
                version_summaries: deployment
                    .versions
                    .values()
                    .map(|it| self.summary(deployment, it))
                    .collect(),
                create_time: Some(stamp(deployment.created)),
                routing_config: Some(self.routing(deployment)),
                last_modifier_identity: deployment.modifier.clone(),
                manager_identity: deployment.manager.clone(),
                ..Default::default()
            }),
        })
    }

    fn routing(&self, deployment: &Deployment) -> message::RoutingConfig {
        let (current_version, current_deployment_version) = self.version_text(deployment.current);
        let (ramping_version, ramping_deployment_version) = match deployment.ramp {
            Some(ramp) => self.version_text(ramp.target),
            None => (String::new(), None),
        };
        message::RoutingConfig {
            current_deployment_version,
            current_version,
            ramping_deployment_version,
            ramping_version,
            ramping_version_percentage: deployment.ramp.map_or(0.0, |ramp| ramp.percentage),
            current_version_changed_time: deployment.current_changed.map(stamp),
            ramping_version_changed_time: deployment.ramp_changed.map(stamp),
            ramping_version_percentage_changed_time: deployment.ramp_changed.map(stamp),
            revision_number: i64::try_from(deployment.revision).unwrap_or(i64::MAX),
        }
    }

    fn summary(
        &self,
        deployment: &Deployment,
        state: &VersionState,
    ) -> message::worker_deployment_info::WorkerDeploymentVersionSummary {
        let name = self.version_name(state.id);
        let drainage_info = drainage(state);
        message::worker_deployment_info::WorkerDeploymentVersionSummary {
            version: proto::dotted(name),
            status: deployment.status(state) as i32,
            deployment_version: Some(proto::version(name)),
            create_time: Some(stamp(state.created)),
            drainage_status: drainage_info.as_ref().map_or(0, |info| info.status),
            drainage_info,
            current_since_time: state.current_since.map(stamp),
            ramping_since_time: state.ramping_since.map(stamp),
            last_deactivation_time: state.deactivated.map(stamp),
            ..Default::default()
        }
    }

    pub(super) fn describe_version(
        &mut self,
        request: &service::DescribeWorkerDeploymentVersionRequest,
    ) -> Result<service::DescribeWorkerDeploymentVersionResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let (name, build) = named(request.deployment_version.as_ref(), &request.version)?;
        let found = self
            .deployments
            .get(name.as_str())
            .and_then(|deployment| Some((deployment, deployment.versions.get(build.as_str())?)));
        let Some((deployment, state)) = found else {
            return Err(Reply::not_found("Worker Deployment Version not found"));
        };
        let queues = || {
            state.task_queues.iter().flat_map(|queue| {
                [TaskQueueType::Workflow, TaskQueueType::Activity]
                    .map(|kind| (queue.to_string(), kind as i32))
            })
        };
        let ramp = deployment.ramp.filter(|ramp| ramp.target == Some(state.id));
        Ok(service::DescribeWorkerDeploymentVersionResponse {
            worker_deployment_version_info: Some(message::WorkerDeploymentVersionInfo {
                version: format!("{name}.{build}"),
                status: deployment.status(state) as i32,
                deployment_version: Some(proto::version(self.version_name(state.id))),
                create_time: Some(stamp(state.created)),
                current_since_time: state.current_since.map(stamp),
                ramping_since_time: state.ramping_since.map(stamp),
                last_deactivation_time: state.deactivated.map(stamp),
                routing_changed_time: state
                    .current_since
                    .or(state.ramping_since)
                    .or(state.deactivated)
                    .map(stamp),
                metadata: state.metadata(),
                ramp_percentage: ramp.map_or(0.0, |ramp| ramp.percentage),
                task_queue_infos: queues()
                    .map(|(name, r#type)| {
                        message::worker_deployment_version_info::VersionTaskQueueInfo {
                            name,
                            r#type,
                        }
                    })
                    .collect(),
                // Here, unlike in a deployment's summaries, only with a status.
                drainage_info: drainage(state).filter(|it| it.status != 0),
                ..Default::default()
            }),
            version_task_queues: queues()
                .map(|(name, r#type)| {
                    service::describe_worker_deployment_version_response::VersionTaskQueue {
                        name,
                        r#type,
                        ..Default::default()
                    }
                })
                .collect(),
        })
    }

    pub(super) fn list_deployments(
        &mut self,
        request: &service::ListWorkerDeploymentsRequest,
    ) -> Result<service::ListWorkerDeploymentsResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let worker_deployments = self
            .deployments
            .values()
            .map(|deployment| {
                let summary = |version: Option<VersionId>| {
                    version
                        .and_then(|it| self.version_state(it))
                        .map(|state| self.summary(deployment, state))
                };
                service::list_worker_deployments_response::WorkerDeploymentSummary {
                    name: deployment.name.to_string(),
                    create_time: Some(stamp(deployment.created)),
                    routing_config: Some(self.routing(deployment)),
                    latest_version_summary: deployment
                        .versions
                        .values()
                        .max_by_key(|state| state.created)
                        .map(|state| self.summary(deployment, state)),
                    current_version_summary: summary(deployment.current),
                    ramping_version_summary: summary(deployment.ramp.and_then(|ramp| ramp.target)),
                }
            })
            .collect();
        Ok(service::ListWorkerDeploymentsResponse {
            next_page_token: Vec::new(),
            worker_deployments,
        })
    }

    /// The status of each Version, for an observer.
    pub(super) fn version_statuses(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for deployment in self.deployments.values() {
            for (build, state) in &deployment.versions {
                let status = format!("{:?}", deployment.status(state)).to_lowercase();
                all.insert(format!("{}:{build}", deployment.name), status);
            }
        }
        all
    }
}

fn drainage(state: &VersionState) -> Option<message::VersionDrainageInfo> {
    let (status, changed, checked) = match (state.drainage, state.stale) {
        (Drainage::Draining { changed, checked }, _) => {
            (VersionDrainageStatus::Draining, changed, checked)
        }
        (Drainage::Drained { changed, checked }, _) => {
            (VersionDrainageStatus::Drained, changed, checked)
        }
        (Drainage::None, Some((changed, checked))) => {
            (VersionDrainageStatus::Unspecified, changed, checked)
        }
        (Drainage::None, None) => return None,
    };
    Some(message::VersionDrainageInfo {
        status: status as i32,
        last_changed_time: Some(stamp(changed)),
        last_checked_time: Some(stamp(checked)),
    })
}
