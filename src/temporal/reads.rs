//! Reads: preflight, Visibility, looks, deployments.

use jiff::Timestamp;
use temporalio_protos::temporal::api::operatorservice::v1::ListSearchAttributesRequest;
use temporalio_protos::temporal::api::workflow::v1::WorkflowExecutionInfo;
use temporalio_protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsRequest, CountWorkflowExecutionsResponse, DescribeNamespaceRequest,
    DescribeWorkerDeploymentRequest, DescribeWorkerDeploymentVersionRequest,
    DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse, GetSystemInfoRequest,
    ListWorkflowExecutionsRequest,
};

use super::{CallError, Cause, Page, Rpc, Temporal, Verdict, convert};
use crate::survey::{
    Behavior, CurrentRun, Listed, Look, Preflight, Routing, Status, Version, VersionInfo,
    WorkflowKey,
};

impl Temporal {
    /// What the service is and can do. Search Attributes that cannot be read are named as unknown.
    ///
    /// # Errors
    /// The service does not answer, or the namespace is missing or closed to this credential.
    pub async fn preflight(&self) -> Result<Preflight, CallError> {
        let system = self.read(
            Rpc::GetSystemInfo,
            GetSystemInfoRequest::default(),
            |mut service, request| async move { service.get_system_info(request).await },
        );
        let message = DescribeNamespaceRequest {
            namespace: self.namespace(),
            ..Default::default()
        };
        let namespace = self.read(
            Rpc::DescribeNamespace,
            message,
            |mut service, request| async move { service.describe_namespace(request).await },
        );
        let (system, namespace, attributes) =
            tokio::join!(system, namespace, self.search_attributes());
        let namespace_id = namespace?
            .namespace_info
            .map(|info| info.id)
            .unwrap_or_default();
        let _ = self.namespace_id.set(namespace_id.clone());
        let (attributes, unknown) = match attributes {
            Ok(attributes) => (attributes, Vec::new()),
            Err(error) => (
                Default::default(),
                vec![format!("the Search Attributes: {error}")],
            ),
        };
        Ok(Preflight {
            address: self.connection.address().to_owned(),
            namespace: self.namespace(),
            namespace_id,
            identity: self.identity(),
            ui: self.connection.ui().map(str::to_owned),
            server_version: system?.server_version,
            attributes,
            unknown,
        })
    }

    /// One small call, tried once.
    ///
    /// # Errors
    /// The service does not answer.
    pub async fn ping(&self) -> Result<(), CallError> {
        let request = self.request(GetSystemInfoRequest::default());
        let mut service = self.connection.workflow_service();
        match service.get_system_info(request).await {
            Ok(_) => Ok(()),
            Err(status) => Err(CallError::of(Rpc::GetSystemInfo, &status)),
        }
    }

    /// Names and types, system attributes included.
    async fn search_attributes(
        &self,
    ) -> Result<std::collections::BTreeMap<String, String>, CallError> {
        let message = ListSearchAttributesRequest {
            namespace: self.namespace(),
        };
        let request = self.request(message);
        let mut service = self.connection.operator_service();
        let response = service
            .list_search_attributes(request)
            .await
            .map_err(|status| CallError::of(Rpc::ListSearchAttributes, &status))?
            .into_inner();
        let all = response
            .system_attributes
            .into_iter()
            .chain(response.custom_attributes);
        Ok(all
            .map(|(name, kind)| (name, convert::type_name(kind).to_owned()))
            .collect())
    }

    /// How many Workflows match, by Visibility.
    pub async fn count(&self, query: &str) -> Result<u64, CallError> {
        let response = self.count_call(query.to_owned()).await?;
        Ok(u64::try_from(response.count).unwrap_or(0))
    }

    /// How many Workflows match, by status: one call for all of them.
    pub async fn count_by_status(&self, query: &str) -> Result<Vec<(Status, u64)>, CallError> {
        let grouped = match query.trim() {
            "" => "GROUP BY ExecutionStatus".to_owned(),
            query => format!("{query} GROUP BY ExecutionStatus"),
        };
        let response = self.count_call(grouped).await?;
        let group = |values: &[_], count| {
            let status = convert::status_named(&convert::text(values.first()?)?)?;
            Some((status, u64::try_from(count).unwrap_or(0)))
        };
        let mut counts: Vec<_> = response
            .groups
            .iter()
            .filter_map(|one| group(&one.group_values, one.count))
            .collect();
        counts.sort_unstable();
        Ok(counts)
    }

    async fn count_call(
        &self,
        query: String,
    ) -> Result<CountWorkflowExecutionsResponse, CallError> {
        let message = CountWorkflowExecutionsRequest {
            namespace: self.namespace(),
            query,
        };
        self.read(
            Rpc::CountWorkflowExecutions,
            message,
            |mut service, request| async move { service.count_workflow_executions(request).await },
        )
        .await
    }

    /// A page of the Workflows that match, by Visibility. `page_size` is 1 to 1,000.
    pub async fn list(
        &self,
        query: &str,
        page_size: u32,
        token: Option<Vec<u8>>,
    ) -> Result<Page, CallError> {
        let message = ListWorkflowExecutionsRequest {
            namespace: self.namespace(),
            page_size: page_size.clamp(1, 1000).cast_signed(),
            next_page_token: token.unwrap_or_default(),
            query: query.to_owned(),
        };
        let response = self
            .read(Rpc::ListWorkflowExecutions, message, |mut service, request| async move {
                service.list_workflow_executions(request).await
            })
            .await?;
        let rows = response.executions.into_iter().map(|info| {
            convert::listed(info).ok_or_else(|| {
                CallError::unusable(
                    Rpc::ListWorkflowExecutions,
                    "a row without a known id or status",
                )
            })
        });
        Ok(Page {
            rows: rows.collect::<Result<_, _>>()?,
            next: Some(response.next_page_token).filter(|token| !token.is_empty()),
        })
    }

    /// What Describe says about a Workflow now; none where it is not found. An empty Run ID means the
    /// current run. The Workflow ID's current run and the parent are described too where they decide
    /// something: a closed run may be superseded, and a child's parent may run.
    pub async fn look(&self, key: &WorkflowKey) -> Result<Option<Look>, CallError> {
        let Some((response, asked)) = self.describe_at(key).await? else {
            return Ok(None);
        };
        let parent_namespace = response
            .workflow_execution_info
            .as_ref()
            .map(|info| info.parent_namespace_id.clone())
            .unwrap_or_default();
        let mut look = convert::look(response, asked).ok_or_else(|| {
            CallError::unusable(
                Rpc::DescribeWorkflowExecution,
                "a reply without the Workflow",
            )
        })?;
        let superseded = !key.run_id.is_empty() && !look.listed.status.is_open();
        let current = async {
            match superseded {
                true => self.current_run(&key.workflow_id).await,
                false => Ok(None),
            }
        };
        let parent = async {
            match &look.listed.parent {
                Some(parent) => self.parent_runs(parent, &parent_namespace).await.map(Some),
                None => Ok(None),
            }
        };
        let (current, parent) = tokio::join!(current, parent);
        if let Some(current) = current? {
            look.current = current;
        }
        look.parent_running = parent?;
        Ok(Some(look))
    }

    /// What Visibility says of a Workflow, in the shape of a look: what a planted bug decides on.
    pub(crate) async fn look_at_visibility(
        &self,
        key: &WorkflowKey,
    ) -> Result<Option<Look>, CallError> {
        let query = format!("WorkflowId = '{}'", key.workflow_id);
        let page = self.list(&query, 100, None).await?;
        let listed = page.rows.into_iter().find(|row| row.key == *key);
        Ok(listed.map(|listed| Look {
            at: self.clock.now(),
            first_run_id: listed.key.run_id.clone(),
            history_length: 100,
            reset_run_id: None,
            current: CurrentRun {
                run_id: listed.key.run_id.clone(),
                status: listed.status,
                first_run_id: listed.key.run_id.clone(),
            },
            behavior: Behavior::Unspecified,
            versioning_override: None,
            deployment_version: None,
            pending_task: None,
            pending_children: Vec::new(),
            parent_running: None,
            run_timeout_seconds: 0,
            execution_timeout_seconds: 0,
            cancel_requested: false,
            last_reset: None,
            listed,
        }))
    }

    /// What Describe says about a Workflow, in the shape of a listing: one call, for telling whether it is there and
    /// which run it has. An empty Run ID means the current run.
    pub async fn find(&self, key: &WorkflowKey) -> Result<Option<Listed>, CallError> {
        let Some(response) = self.describe(key).await? else {
            return Ok(None);
        };
        let look = convert::look(response, self.clock.now()).ok_or_else(|| {
            CallError::unusable(
                Rpc::DescribeWorkflowExecution,
                "a reply without the Workflow",
            )
        })?;
        Ok(Some(look.listed))
    }

    /// The run that a Workflow ID has now; none where it has none.
    pub async fn current_run(&self, workflow_id: &str) -> Result<Option<CurrentRun>, CallError> {
        let key = WorkflowKey {
            workflow_id: workflow_id.to_owned(),
            run_id: String::new(),
        };
        let info = self
            .describe(&key)
            .await?
            .and_then(|response| response.workflow_execution_info);
        Ok(info.as_ref().and_then(convert::current_run))
    }

    /// The request ids that a run remembers; that of its start is among them.
    pub async fn request_ids(&self, key: &WorkflowKey) -> Result<Vec<String>, CallError> {
        let extended = self
            .describe(key)
            .await?
            .and_then(|response| response.workflow_extended_info);
        let mut ids: Vec<_> = extended
            .unwrap_or_default()
            .request_id_infos
            .into_keys()
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// A parent that was reset runs on in its new run, and its children belong to that one. A parent in
    /// another namespace cannot be described, and is taken to run.
    async fn parent_runs(
        &self,
        parent: &WorkflowKey,
        namespace_id: &str,
    ) -> Result<bool, CallError> {
        let elsewhere = self
            .namespace_id
            .get()
            .is_some_and(|own| !namespace_id.is_empty() && own != namespace_id);
        if elsewhere {
            return Ok(true);
        }
        let Some(response) = self.describe(parent).await? else {
            return Ok(false);
        };
        if response
            .workflow_execution_info
            .as_ref()
            .is_some_and(is_open)
        {
            return Ok(true);
        }
        let was_reset = response
            .workflow_extended_info
            .is_some_and(|info| !info.reset_run_id.is_empty());
        if !was_reset {
            return Ok(false);
        }
        let current = self.current_run(&parent.workflow_id).await?;
        Ok(current.is_some_and(|run| run.status.is_open()))
    }

    pub(super) async fn describe(
        &self,
        key: &WorkflowKey,
    ) -> Result<Option<DescribeWorkflowExecutionResponse>, CallError> {
        let found = self.describe_at(key).await?;
        Ok(found.map(|(response, _)| response))
    }

    /// With when it was asked.
    async fn describe_at(
        &self,
        key: &WorkflowKey,
    ) -> Result<Option<(DescribeWorkflowExecutionResponse, Timestamp)>, CallError> {
        let message = DescribeWorkflowExecutionRequest {
            namespace: self.namespace(),
            execution: Some(convert::execution(key)),
        };
        let result = self
            .read_at(Rpc::DescribeWorkflowExecution, message, |mut service, request| async move {
                service.describe_workflow_execution(request).await
            })
            .await;
        absent(result, &[Cause::WorkflowNotFound])
    }

    /// A Worker Deployment's routing and Versions; none where there is no such deployment.
    pub async fn describe_deployment(&self, name: &str) -> Result<Option<Routing>, CallError> {
        let message = DescribeWorkerDeploymentRequest {
            namespace: self.namespace(),
            deployment_name: name.to_owned(),
        };
        let result = self
            .read(Rpc::DescribeWorkerDeployment, message, |mut service, request| async move {
                service.describe_worker_deployment(request).await
            })
            .await;
        let Some(response) = absent(result, &[Cause::DeploymentNotFound])? else {
            return Ok(None);
        };
        let routing = convert::routing(response);
        routing.map(Some).ok_or_else(|| {
            CallError::unusable(
                Rpc::DescribeWorkerDeployment,
                "a reply without the deployment",
            )
        })
    }

    /// A Version with its task queues; none where there is no such Version or deployment.
    pub async fn describe_version(
        &self,
        version: &Version,
    ) -> Result<Option<VersionInfo>, CallError> {
        let message = DescribeWorkerDeploymentVersionRequest {
            namespace: self.namespace(),
            deployment_version: Some(convert::to_version(version)),
            ..Default::default()
        };
        let result = self
            .read(
                Rpc::DescribeWorkerDeploymentVersion,
                message,
                |mut service, request| async move {
                    service.describe_worker_deployment_version(request).await
                },
            )
            .await;
        let response = absent(result, &[Cause::VersionNotFound, Cause::DeploymentNotFound])?;
        let Some(response) = response else {
            return Ok(None);
        };
        let info = convert::version_info(response);
        info.map(Some).ok_or_else(|| {
            CallError::unusable(
                Rpc::DescribeWorkerDeploymentVersion,
                "a reply without the Version",
            )
        })
    }
}

fn is_open(info: &WorkflowExecutionInfo) -> bool {
    convert::status(info.status).is_some_and(Status::is_open)
}

/// Not found is an answer, where it is this thing that was not found.
pub(super) fn absent<T>(
    result: Result<T, CallError>,
    causes: &[Cause],
) -> Result<Option<T>, CallError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error)
            if error.code == tonic::Code::NotFound && causes.contains(&error.meaning.cause) =>
        {
            debug_assert_eq!(error.meaning.verdict, Verdict::Fail);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
