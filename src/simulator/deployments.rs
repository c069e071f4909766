//! Worker Deployments: routing with conflict tokens and manager identity, drainage, pollers and their
//! memory, deletion with its refusals. Wording as measured on server 1.32.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use temporalio_protos::temporal::api::common::v1::Payload;
use temporalio_protos::temporal::api::deployment::v1 as message;
use temporalio_protos::temporal::api::enums::v1::WorkerDeploymentVersionStatus as VersionStatus;
use temporalio_protos::temporal::api::workflowservice::v1 as service;
use tonic::Status as Reply;

use super::proto;
use super::state::{Due, State, VersionId};
use super::world::{Behaviour, StopsWhen};

/// The Workers of a Version; they outlive its deletion.
#[derive(Debug, Default)]
pub(super) struct Workers {
    pub(super) behaves: Behaviour,
    pub(super) polling: bool,
    /// Whether a fix was deployed, after which they behave alike for every Workflow.
    pub(super) fixed: bool,
    pub(super) stopped: Option<Timestamp>,
    pub(super) task_queues: BTreeSet<Arc<str>>,
    pub(super) stops_when: Option<StopsWhen>,
}

/// How far a Version has drained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Drainage {
    None,
    Draining {
        changed: Timestamp,
        checked: Timestamp,
    },
    Drained {
        changed: Timestamp,
        checked: Timestamp,
    },
}

/// A Version that the service knows.
#[derive(Debug)]
pub(super) struct VersionState {
    pub(super) id: VersionId,
    pub(super) created: Timestamp,
    pub(super) task_queues: BTreeSet<Arc<str>>,
    pub(super) drainage: Drainage,
    /// Drainage times that a Version keeps when it is routed to again, without a status.
    pub(super) stale: Option<(Timestamp, Timestamp)>,
    pub(super) generation: u32,
    pub(super) current_since: Option<Timestamp>,
    pub(super) ramping_since: Option<Timestamp>,
    pub(super) deactivated: Option<Timestamp>,
    /// What people noted on it.
    pub(super) metadata: BTreeMap<String, Payload>,
}

impl VersionState {
    pub(super) fn new(id: VersionId, created: Timestamp, task_queues: BTreeSet<Arc<str>>) -> Self {
        Self {
            id,
            created,
            task_queues,
            drainage: Drainage::None,
            stale: None,
            generation: 0,
            current_since: None,
            ramping_since: None,
            deactivated: None,
            metadata: BTreeMap::new(),
        }
    }

    /// As the service shows it: nothing at all where nothing was noted.
    pub(super) fn metadata(&self) -> Option<message::VersionMetadata> {
        (!self.metadata.is_empty()).then(|| message::VersionMetadata {
            entries: self.metadata.clone().into_iter().collect(),
        })
    }

    fn stop_draining(&mut self) {
        if let Drainage::Draining { changed, checked } | Drainage::Drained { changed, checked } =
            self.drainage
        {
            self.stale = Some((changed, checked));
        }
        self.drainage = Drainage::None;
        self.generation += 1;
    }
}

/// What ramps; no target means unversioned Workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ramp {
    pub(super) target: Option<VersionId>,
    pub(super) percentage: f32,
}

/// A Worker Deployment.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) name: Arc<str>,
    pub(super) created: Timestamp,
    pub(super) versions: BTreeMap<Arc<str>, VersionState>,
    pub(super) current: Option<VersionId>,
    pub(super) ramp: Option<Ramp>,
    pub(super) current_changed: Option<Timestamp>,
    pub(super) ramp_changed: Option<Timestamp>,
    pub(super) revision: u64,
    pub(super) manager: String,
    pub(super) modifier: String,
}

impl Deployment {
    pub(super) fn token(&self) -> Vec<u8> {
        self.revision.to_be_bytes().to_vec()
    }

    fn check(&self, token: &[u8], identity: &str) -> Result<(), Reply> {
        if !self.manager.is_empty() && self.manager != identity {
            return Err(Reply::failed_precondition(format!(
                "ManagerIdentity '{}' is set and does not match user identity '{identity}'; to proceed, set your own \
                 identity as the ManagerIdentity, remove the ManagerIdentity, or wait for the other client to do so",
                self.manager
            )));
        }
        if !token.is_empty() && token != self.token() {
            return Err(Reply::failed_precondition("conflict token mismatch"));
        }
        Ok(())
    }

    fn find(&self, build: &str) -> Result<VersionId, Reply> {
        self.versions
            .get(build)
            .map(|version| version.id)
            .ok_or_else(|| {
                Reply::not_found(format!(
                    "build ID '{build}' not found in Worker Deployment '{}'",
                    self.name
                ))
            })
    }

    pub(super) fn status(&self, version: &VersionState) -> VersionStatus {
        if self.current == Some(version.id) {
            return VersionStatus::Current;
        }
        if self
            .ramp
            .is_some_and(|ramp| ramp.target == Some(version.id))
        {
            return VersionStatus::Ramping;
        }
        match version.drainage {
            Drainage::None => VersionStatus::Inactive,
            Drainage::Draining { .. } => VersionStatus::Draining,
            Drainage::Drained { .. } => VersionStatus::Drained,
        }
    }
}

/// Build ID from the new field or the deprecated `DEPLOYMENT.BUILD`; none is unversioned.
fn build_of<'a>(build: &'a str, version: &'a str, deployment: &str) -> Option<&'a str> {
    if !build.is_empty() {
        return Some(build);
    }
    if version.is_empty() || version == "__unversioned__" {
        return None;
    }
    Some(
        version
            .strip_prefix(deployment)
            .and_then(|rest| rest.strip_prefix('.'))
            .unwrap_or(version),
    )
}

impl State {
    pub(super) fn deployment(&self, name: &str) -> Result<&Deployment, Reply> {
        self.deployments.get(name).ok_or_else(|| {
            Reply::not_found(format!(
                "no Worker Deployment found with name '{name}'; does your Worker Deployment have pollers?"
            ))
        })
    }

    fn deployment_mut(&mut self, name: &str) -> &mut Deployment {
        self.deployments
            .get_mut(name)
            .expect("checked by the caller")
    }

    pub(super) fn version_state(&self, version: VersionId) -> Option<&VersionState> {
        let name = self.version_name(version);
        self.deployments
            .get(&name.deployment)?
            .versions
            .get(&name.build)
    }

    fn version_state_mut(&mut self, version: VersionId) -> Option<&mut VersionState> {
        let name = self.versions[usize::from(version.0)].clone();
        self.deployments
            .get_mut(&name.deployment)?
            .versions
            .get_mut(&name.build)
    }

    /// Whether a Version is Current or Ramping.
    pub(super) fn is_routed(&self, version: VersionId) -> bool {
        self.deployments
            .get(&self.version_name(version).deployment)
            .is_some_and(|deployment| {
                deployment.current == Some(version)
                    || deployment
                        .ramp
                        .is_some_and(|ramp| ramp.target == Some(version))
            })
    }

    /// Refuses a Version that does not know a task queue.
    pub(super) fn check_target(
        &self,
        deployment: &str,
        build: &str,
        task_queue: &str,
    ) -> Result<VersionId, Reply> {
        self.find_version(deployment, build)
            .filter(|version| self.version_state(*version).is_some_and(|it| it.task_queues.contains(task_queue)))
            .ok_or_else(|| {
                Reply::failed_precondition(format!(
                    "Pinned version '{deployment}:{build}' is not present in task queue '{task_queue}' of type 'Workflow'"
                ))
            })
    }

    pub(super) fn begin_draining(&mut self, version: VersionId) {
        let (now, grace) = (self.now, self.world.drainage.grace.0);
        let Some(state) = self.version_state_mut(version) else {
            return;
        };
        state.drainage = Drainage::Draining {
            changed: now,
            checked: now,
        };
        state.generation += 1;
        state.deactivated = Some(now);
        state.current_since = None;
        state.ramping_since = None;
        let generation = state.generation;
        self.due_after(
            grace,
            Due::Drainage {
                version,
                generation,
            },
        );
    }

    pub(super) fn check_drainage(&mut self, version: VersionId, generation: u32) {
        let (now, refresh) = (self.now, self.world.drainage.refresh.0);
        let running = self.running_on.get(&version).copied().unwrap_or_default();
        let Some(state) = self.version_state_mut(version) else {
            return;
        };
        let Drainage::Draining { changed, .. } = state.drainage else {
            return;
        };
        if state.generation != generation {
            return;
        }
        if running > 0 {
            state.drainage = Drainage::Draining {
                changed,
                checked: now,
            };
            self.due_after(
                refresh.max(std::time::Duration::from_secs(1)),
                Due::Drainage {
                    version,
                    generation,
                },
            );
            return;
        }
        state.drainage = Drainage::Drained {
            changed: now,
            checked: now,
        };
        if self.workers[usize::from(version.0)].stops_when == Some(StopsWhen::Drained) {
            self.stop_workers(version);
        }
    }

    /// A live Worker registers its Version again after a deletion.
    pub(super) fn register(&mut self, version: VersionId) {
        let workers = &self.workers[usize::from(version.0)];
        if !workers.polling || self.version_state(version).is_some() {
            return;
        }
        let queues = workers.task_queues.clone();
        let (now, name) = (self.now, self.versions[usize::from(version.0)].clone());
        if let Some(deployment) = self.deployments.get_mut(&name.deployment) {
            deployment
                .versions
                .insert(name.build, VersionState::new(version, now, queues));
        }
    }

    pub(super) fn version_text(
        &self,
        version: Option<VersionId>,
    ) -> (String, Option<message::WorkerDeploymentVersion>) {
        match version {
            Some(version) => {
                let name = self.version_name(version);
                (proto::dotted(name), Some(proto::version(name)))
            }
            None => ("__unversioned__".to_owned(), None),
        }
    }

    fn check_queues(
        &self,
        deployment: &Deployment,
        proposed: VersionId,
        word: &str,
    ) -> Result<(), Reply> {
        let Some(current) = deployment
            .current
            .and_then(|version| self.version_state(version))
        else {
            return Ok(());
        };
        let knows = self
            .version_state(proposed)
            .is_some_and(|it| current.task_queues.is_subset(&it.task_queues));
        if knows {
            return Ok(());
        }
        Err(Reply::failed_precondition(format!(
            "proposed {word} version '{}' is missing active task queues from the current version; these would become \
             unversioned if it is set as the {word} version",
            self.version_name(proposed).text
        )))
    }

    pub(super) fn set_current(
        &mut self,
        request: &service::SetWorkerDeploymentCurrentVersionRequest,
    ) -> Result<service::SetWorkerDeploymentCurrentVersionResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let deployment = self.deployment(&request.deployment_name)?;
        deployment.check(&request.conflict_token, &request.identity)?;
        let build = build_of(
            &request.build_id,
            &request.version,
            &request.deployment_name,
        );
        let target = build.map(|build| deployment.find(build)).transpose()?;
        let previous = deployment.current;
        if target != previous
            && let Some(target) = target
            && !request.ignore_missing_task_queues
        {
            self.check_queues(deployment, target, "current")?;
        }
        let (previous_version, previous_deployment_version) = self.version_text(previous);
        if target != previous {
            self.make_current(&request.deployment_name, target, &request.identity);
        }
        Ok(service::SetWorkerDeploymentCurrentVersionResponse {
            conflict_token: self.deployment(&request.deployment_name)?.token(),
            previous_version,
            previous_deployment_version,
        })
    }

    /// What a controller does.
    pub(super) fn make_current_by_name(&mut self, name: &str, build: &str) -> Result<(), Reply> {
        let target = Some(self.deployment(name)?.find(build)?);
        if self.deployment(name)?.current != target {
            self.make_current(name, target, "controller");
        }
        Ok(())
    }

    fn make_current(&mut self, name: &str, target: Option<VersionId>, identity: &str) {
        let now = self.now;
        let deployment = self.deployment_mut(name);
        let previous = std::mem::replace(&mut deployment.current, target);
        if deployment.ramp.is_some_and(|ramp| ramp.target == target) {
            deployment.ramp = None;
            deployment.ramp_changed = Some(now);
        }
        deployment.current_changed = Some(now);
        deployment.revision += 1;
        identity.clone_into(&mut deployment.modifier);
        if let Some(state) = target.and_then(|target| self.version_state_mut(target)) {
            state.stop_draining();
            state.current_since = Some(now);
            state.ramping_since = None;
        }
        if let Some(previous) = previous {
            self.begin_draining(previous);
        }
        self.follow_current(name);
    }

    pub(super) fn set_ramping(
        &mut self,
        request: &service::SetWorkerDeploymentRampingVersionRequest,
    ) -> Result<service::SetWorkerDeploymentRampingVersionResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let deployment = self.deployment(&request.deployment_name)?;
        deployment.check(&request.conflict_token, &request.identity)?;
        if !(0.0..=100.0).contains(&request.percentage) {
            return Err(Reply::invalid_argument(
                "Percentage must be between 0 and 100 (inclusive)",
            ));
        }
        let build = build_of(
            &request.build_id,
            &request.version,
            &request.deployment_name,
        );
        if let Some(build) = build
            && !request.ignore_missing_task_queues
        {
            let target = deployment.find(build)?;
            if deployment.current != Some(target) {
                self.check_queues(deployment, target, "ramping")?;
            }
        }
        let previous = deployment.ramp;
        self.ramp(&request.deployment_name, build, request.percentage)?;
        let (previous_version, previous_deployment_version) = match previous {
            Some(ramp) => self.version_text(ramp.target),
            None => (String::new(), None),
        };
        let deployment = self.deployment_mut(&request.deployment_name);
        if previous != deployment.ramp {
            request.identity.clone_into(&mut deployment.modifier);
        }
        Ok(service::SetWorkerDeploymentRampingVersionResponse {
            conflict_token: deployment.token(),
            previous_version,
            previous_deployment_version,
            previous_percentage: previous.map_or(0.0, |ramp| ramp.percentage),
        })
    }

    /// Ramps a Version; no Build ID and 0 % unsets, no Build ID with a percentage ramps unversioned Workers.
    pub(super) fn ramp(
        &mut self,
        name: &str,
        build: Option<&str>,
        percentage: f32,
    ) -> Result<(), Reply> {
        let now = self.now;
        let deployment = self.deployment(name)?;
        let target = build.map(|build| deployment.find(build)).transpose()?;
        if let Some(target) = target
            && deployment.current == Some(target)
        {
            return Err(Reply::failed_precondition(format!(
                "requested ramping version {} is already current",
                proto::dotted(self.version_name(target))
            )));
        }
        let next = (target.is_some() || percentage > 0.0).then_some(Ramp { target, percentage });
        if next == deployment.ramp {
            return Ok(());
        }
        let deployment = self.deployment_mut(name);
        let previous = std::mem::replace(&mut deployment.ramp, next);
        deployment.ramp_changed = Some(now);
        deployment.revision += 1;
        let left = previous
            .and_then(|ramp| ramp.target)
            .filter(|old| Some(*old) != target);
        if let Some(state) = target.and_then(|target| self.version_state_mut(target)) {
            state.stop_draining();
            state.ramping_since.get_or_insert(now);
        }
        if let Some(left) = left {
            self.begin_draining(left);
        }
        Ok(())
    }

    pub(super) fn set_manager(
        &mut self,
        request: &service::SetWorkerDeploymentManagerRequest,
    ) -> Result<service::SetWorkerDeploymentManagerResponse, Reply> {
        use service::set_worker_deployment_manager_request::NewManagerIdentity;
        self.check_namespace(&request.namespace)?;
        let deployment = self.deployment(&request.deployment_name)?;
        if !request.conflict_token.is_empty() && request.conflict_token != deployment.token() {
            return Err(Reply::failed_precondition("conflict token mismatch"));
        }
        let manager = match &request.new_manager_identity {
            Some(NewManagerIdentity::ManagerIdentity(identity)) => identity.clone(),
            Some(NewManagerIdentity::Self_(true)) => request.identity.clone(),
            _ => return Err(Reply::invalid_argument("invalid NewManagerIdentity")),
        };
        let deployment = self.deployment_mut(&request.deployment_name);
        let previous = std::mem::replace(&mut deployment.manager, manager);
        deployment.revision += 1;
        Ok(service::SetWorkerDeploymentManagerResponse {
            conflict_token: deployment.token(),
            previous_manager_identity: previous,
        })
    }

    pub(super) fn delete_version(
        &mut self,
        request: &service::DeleteWorkerDeploymentVersionRequest,
    ) -> Result<service::DeleteWorkerDeploymentVersionResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let (name, build) = named(request.deployment_version.as_ref(), &request.version)?;
        let Some(deployment) = self.deployments.get(name.as_str()) else {
            return Err(Reply::not_found(format!(
                "workflow not found for ID: temporal-sys-worker-deployment:{name}"
            )));
        };
        if !deployment.manager.is_empty() {
            deployment.check(&[], &request.identity)?;
        }
        let Some(state) = deployment.versions.get(build.as_str()) else {
            return Ok(service::DeleteWorkerDeploymentVersionResponse {});
        };
        let version = state.id;
        let refused = match deployment.status(state) {
            VersionStatus::Current | VersionStatus::Ramping => Some("is current or ramping"),
            VersionStatus::Draining if !request.skip_drainage => Some("is draining"),
            _ => self.has_pollers(version).then_some("has active pollers"),
        };
        if let Some(why) = refused {
            return Err(Reply::failed_precondition(format!(
                "version '{name}:{build}' cannot be deleted since it {why}"
            )));
        }
        let deployment = self.deployment_mut(&name);
        deployment.versions.remove(build.as_str());
        request.identity.clone_into(&mut deployment.modifier);
        if self.workers[usize::from(version.0)].polling {
            self.due_after(std::time::Duration::from_secs(5), Due::Register { version });
        }
        Ok(service::DeleteWorkerDeploymentVersionResponse {})
    }

    /// Whether a poll began within the time that pollers are remembered; a parked long poll is renewed
    /// each minute only, so a shorter memory forgets a live Worker.
    fn has_pollers(&self, version: VersionId) -> bool {
        let workers = &self.workers[usize::from(version.0)];
        let ttl = SignedDuration::try_from(self.world.poller_history_ttl.0)
            .unwrap_or(SignedDuration::MAX);
        match workers.stopped {
            _ if workers.polling => ttl >= SignedDuration::from_secs(60),
            Some(stopped) => self.now.duration_since(stopped) < ttl,
            None => false,
        }
    }

    pub(super) fn update_metadata(
        &mut self,
        request: &service::UpdateWorkerDeploymentVersionMetadataRequest,
    ) -> Result<service::UpdateWorkerDeploymentVersionMetadataResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        let (name, build) = named(request.deployment_version.as_ref(), &request.version)?;
        let state = self
            .deployments
            .get_mut(name.as_str())
            .and_then(|deployment| deployment.versions.get_mut(build.as_str()))
            .ok_or_else(|| {
                Reply::not_found(format!(
                    "workflow not found for ID: temporal-sys-worker-deployment-version:{name}:{build}"
                ))
            })?;
        for (key, value) in &request.upsert_entries {
            state.metadata.insert(key.clone(), value.clone());
        }
        for key in &request.remove_entries {
            state.metadata.remove(key);
        }
        Ok(service::UpdateWorkerDeploymentVersionMetadataResponse {
            metadata: state.metadata(),
        })
    }

    pub(super) fn delete_deployment(
        &mut self,
        request: &service::DeleteWorkerDeploymentRequest,
    ) -> Result<service::DeleteWorkerDeploymentResponse, Reply> {
        self.check_namespace(&request.namespace)?;
        if self
            .deployments
            .get(request.deployment_name.as_str())
            .is_some_and(|it| !it.versions.is_empty())
        {
            return Err(Reply::failed_precondition(
                "deployment has versions, can't be deleted",
            ));
        }
        self.deployments.remove(request.deployment_name.as_str());
        Ok(service::DeleteWorkerDeploymentResponse {})
    }
}

/// Deployment and Build ID of a request, from the new field or the deprecated one.
pub(super) fn named(
    version: Option<&message::WorkerDeploymentVersion>,
    text: &str,
) -> Result<(String, String), Reply> {
    if let Some(version) = version {
        return Ok((version.deployment_name.clone(), version.build_id.clone()));
    }
    text.split_once('.')
        .map(|(name, build)| (name.to_owned(), build.to_owned()))
        .ok_or_else(|| Reply::invalid_argument("invalid version string"))
}
