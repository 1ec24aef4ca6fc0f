//! Codes of a deployment's faults: a stable code each, with the likely cause and the remedy.

use std::fmt;

/// Declares the codes, with the text, the likely cause and the remedy of each in one place.
macro_rules! codes {
    ($($variant:ident = $text:literal $cause:literal, $remedy:literal;)*) => {
        /// Stable code of a fault. docs/operations/doctor.md lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // the table below documents each code
        pub enum FaultCode { $($variant,)* }

        impl FaultCode {
            /// All codes, in the order of the checks.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub const fn cause(self) -> &'static str {
                match self { $(Self::$variant => $cause,)* }
            }

            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    VariableMissing = "variable_missing" "A variable that is needed is not set.", "Set it, as docs/reference/configuration.md says.";
    VariableInvalid = "variable_invalid" "A variable has a value that cannot be right: of the wrong kind, incomplete, or meant for another variable.", "Set it, as docs/reference/configuration.md says.";
    ChatkitApiUrlMissing = "chatkit_api_url_missing" "A self-hosted agent is enabled and CHATKIT_API_URL is not set: create-session opens no session with it.", "Set CHATKIT_API_URL and the variables of the chat (docs/guides/self-hosted-chat.md), or disable the agent.";

    SupabaseUnreachable = "supabase_unreachable" "No server responds at SUPABASE_URL: the host is wrong, or the project is paused or deleted.", "Compare SUPABASE_URL with the project's settings. Resume the project if it is paused.";
    SupabaseTimedOut = "supabase_timed_out" "Supabase does not respond in time: it is overloaded, or the network drops the connection.", "Check the project's health and Supabase's status page, then run the doctor again.";
    SupabaseUnavailable = "supabase_unavailable" "Supabase reports that it is unavailable or overloaded.", "Check the project's health and Supabase's status page, then run the doctor again.";
    SupabaseOverloaded = "supabase_overloaded" "Supabase is overloaded: no connection is free, or there are too many requests.", "Check the project's connections, CPU and slow queries. Raise its compute size if the load persists.";
    SupabasePaused = "supabase_paused" "The project is paused, or restricted for a bill or a quota.", "Resume it in Supabase's dashboard, or settle its billing.";
    SupabaseReadOnly = "supabase_read_only" "The database is read-only: its disk is full, or it was set read-only.", "Free disk space or enlarge the disk. Supabase's page on read-only mode explains how to leave it.";
    SupabaseRequestBlocked = "supabase_request_blocked" "A firewall in front of Supabase blocks the request. The key is not the cause.", "Check the rules of that firewall: Supabase's network restrictions, or a proxy at SUPABASE_URL.";
    NotSupabase = "not_supabase" "The server at SUPABASE_URL is not a Supabase project: the URL is another site's, or has a path.", "Set SUPABASE_URL to the project's own URL.";
    SupabaseBadAnswer = "supabase_bad_answer" "PostgREST returned an invalid response.", "Reload PostgREST's schema cache (notify pgrst, 'reload schema') and run the doctor again. If the error persists, check the project's API logs.";

    PublishableKeyRejected = "publishable_key_refused" "Supabase does not know the publishable key: it is another project's, or was deleted or disabled.", "Set SUPABASE_PUBLISHABLE_KEY to a key of the project that SUPABASE_URL names.";
    SecretKeyRejected = "secret_key_refused" "Supabase does not know the secret key: it is another project's, or was deleted or disabled.", "Set SUPABASE_SECRET_KEY to a key of the project that SUPABASE_URL names.";
    KeyOfOtherProject = "key_of_other_project" "The legacy key names another project than SUPABASE_URL.", "Take the URL and the keys from the same project.";
    JwksEmpty = "jwks_empty" "The project publishes no supported signing key (ES256, RS256): its users' tokens are still signed with the legacy secret.", "Use a signing key in the project, as docs/guides/deploy.md explains. Until then, set SUPABASE_JWT_SECRET.";
    IssuerDiffers = "issuer_differs" "Users' tokens have a different issuer than expected, so every token is rejected.", "Set SUPABASE_JWT_ISSUER to the project's issuer, or leave it out if that is SUPABASE_URL followed by /auth/v1.";
    ClockDiffers = "clock_differs" "The clocks of the database and of the doctor differ by more than 30 seconds: tokens appear expired or not yet valid.", "Set the clock of the machine that runs the doctor. On Lambda, report it.";

    DeploymentStateMissing = "deployment_state_missing" "PostgREST does not know the function deployment_state: migrations are missing, the latest or all, or it has not read the schema since.", "Apply the migrations (supabase db push). If they are applied, reload PostgREST's schema cache (notify pgrst, 'reload schema').";
    DeploymentStateForbidden = "deployment_state_forbidden" "The role behind the secret key may not execute deployment_state: grants were changed by hand.", "Grant execute on function public.deployment_state() to service_role.";
    MigrationMissing = "migration_missing" "A migration was not applied.", "Apply the migrations (supabase db push).";

    SchemaOpen = "schema_open" "A role of the API has usage on schema chatkit_private and must not have it.", "Revoke usage on schema chatkit_private from it.";
    SchemaClosed = "schema_closed" "service_role has no usage on schema chatkit_private: opening, events, cancelling and deciding fail.", "Grant usage on schema chatkit_private to service_role.";
    TableMissing = "table_missing" "A table is missing, though its migration was applied.", "Restore it from a backup, or in a new project apply the migrations again.";
    RlsOff = "rls_off" "Row level security is disabled: a caller who may read the table reads every organisation's rows.", "Enable it at once: alter table … enable row level security.";
    PolicyMissing = "policy_missing" "A policy is missing: callers cannot read their own rows.", "Run the migration that creates it again. Each migration may be repeated.";
    PolicyChanged = "policy_changed" "A policy differs from its migration: callers may read rows of others.", "Run the migration that creates it again. Each migration may be repeated.";
    PolicyAdded = "policy_added" "A permissive policy exists that no migration creates: callers may read or change rows of others.", "Drop it, or keep it deliberately: permissive policies add up. Restrictive policies only hide rows and are not reported.";
    GrantAdded = "grant_added" "A role has a privilege on a table that no migration grants.", "Revoke it.";
    GrantMissing = "grant_missing" "A role lacks a privilege on a table that its migration grants: reads fail.", "Run the migration that grants it again. Each migration may be repeated.";
    FunctionMissing = "function_missing" "A function is missing, though its migration was applied.", "Run the migration that creates it again. Each migration may be repeated.";
    FunctionChanged = "function_changed" "A function differs from its migration: its body, its settings, or whose rights it runs with.", "Run the migration that creates it again. Each migration may be repeated.";
    FunctionOpen = "function_open" "A role may execute a function and must not: the function trusts the organisation and the user in its arguments.", "Revoke execute on it at once, from public too.";
    FunctionClosed = "function_closed" "A role may not execute a function that it needs: requests that use it fail.", "Run the migration that grants it again. Each migration may be repeated.";
    TriggerMissing = "trigger_missing" "A trigger is missing: the invariant that it holds can break unnoticed.", "Run the migration that creates it again. Each migration may be repeated.";
    TriggerDisabled = "trigger_disabled" "A trigger is disabled: the invariant that it holds can break unnoticed.", "Enable it: alter table … enable trigger ….";
    WebhookExtensionMissing = "webhook_extension_missing" "The webhook is configured, but the extension pg_net, which sends its requests, is missing, for example after a restore or a pause: events wait for the schedule.", "Enable the extension pg_net (create extension pg_net).";
    WebhookSecretMissing = "webhook_secret_missing" "The webhook is configured, but Supabase Vault does not have its secret, for example after a restore into another project: events wait for the schedule.", "Run supabase/webhook.sql again.";

    ChatkitKeyRejected = "chatkit_key_refused" "OpenAI rejects the API key: it is wrong, revoked or truncated.", "Set OPENAI_CHATKIT_SECRET to a key of the workflows' project.";
    ChatkitProjectRefused = "chatkit_project_refused" "OpenAI does not allow the key in the project: OPENAI_CHATKIT_PROJECT is another project, or the key may not use ChatKit.", "Set OPENAI_CHATKIT_PROJECT to the key's project, or leave it out; give the key the right to use ChatKit.";
    ChatkitQuotaExhausted = "chatkit_quota_exhausted" "OpenAI accepts the key, but the project's credit or budget is used up.", "Add credit or raise the budget in OpenAI's billing settings.";
    ChatkitRequestBlocked = "chatkit_request_blocked" "A firewall, or a rule about addresses or regions, blocks the request. The key is not the cause.", "Check the network between the functions and OpenAI, their region, and the project's address rules.";
    ChatkitUnavailable = "chatkit_unavailable" "OpenAI is unreachable or unavailable, or OPENAI_CHATKIT_BASE_URL is wrong.", "Check OpenAI's status page and OPENAI_CHATKIT_BASE_URL, then run the doctor again.";
    ChatkitTimedOut = "chatkit_timed_out" "OpenAI does not respond in time.", "Check OpenAI's status page, then run the doctor again.";
    ChatkitBadAnswer = "chatkit_bad_answer" "The server at OPENAI_CHATKIT_BASE_URL does not implement OpenAI's API.", "Correct OPENAI_CHATKIT_BASE_URL, including its path (/v1), or leave it out.";
    WorkflowNotFound = "workflow_not_found" "OpenAI does not know the workflow in this project: its id is wrong, it is not published, or the key belongs to another project.", "Register the agent with the right workflow id (docs/guides/register-an-agent.md), or use a key of the workflow's project.";
    WorkflowRefused = "workflow_refused" "OpenAI does not open a session with the workflow: it rejects its id or version.", "Register the agent with an id and version as Agent Builder shows them (docs/guides/register-an-agent.md).";
    SessionNotCancelled = "session_not_cancelled" "A session can be opened with the workflow but not cancelled.", "Run the doctor again. The session ended by itself after a second. If the error persists, give the key write permission.";
    SealingKeyMissing = "sealing_key_missing" "A key that still seals live client secrets is no longer configured: they cannot be issued again.", "Put the key back behind the first in CHATKIT_SEALING_KEYS, for ten minutes.";

    AgentUrlRefused = "agent_url_refused" "The server's URL is not allowed: it is not https, contains credentials, or has an address that is not public.", "Register the server with a public https URL (docs/guides/write-an-agent.md).";
    AgentCredentialMissing = "agent_credential_missing" "The registration names a credential that AGENT_CREDENTIALS does not have.", "Add it to AGENT_CREDENTIALS, or register the server with another name.";
    AgentCredentialUnavailable = "agent_credential_unavailable" "The secret that AGENT_CREDENTIALS names for the server cannot be fetched, or is not a token.", "Read the reason in the log. Correct the reference or the secret, and permit the functions to read it.";
    AgentCredentialElsewhere = "agent_credential_elsewhere" "The credential that the registration names is for a different origin than the server's.", "Give the credential the server's origin, or register the server with its own.";
    AgentUnreachable = "agent_unreachable" "The server is unreachable: its name does not resolve, or nothing listens there.", "Start it, or register the right URL.";
    AgentTls = "agent_tls" "The server's TLS is invalid: its certificate has expired, is another host's or not of a public authority, or it does not use TLS.", "Renew the certificate, or register the right URL.";
    AgentTimedOut = "agent_timed_out" "The server does not respond in time.", "Check the server. Raise its timeout_seconds if it is always slow.";
    AgentUnauthorized = "agent_unauthorized" "The server rejects the request: it has no credential, or a wrong one.", "Set the bearer in AGENT_CREDENTIALS to what the server expects, and name it in the registration.";
    AgentNotMcp = "agent_not_mcp" "The server is not an MCP server: another path or another service.", "Register the URL of the MCP endpoint itself.";
    AgentIncompatible = "agent_incompatible" "The server supports no revision of MCP that this project supports.", "Update the server to 2025-06-18 or later.";
    AgentFailed = "agent_failed" "The server responds with an error.", "Check the server's log.";
    AgentToolMissing = "agent_tool_missing" "The registration lists a tool that the server does not offer: deliveries to it become dead letters.", "Register the tool by the name that the server has for it, or update the server.";
    AgentToolSchemaUnusable = "agent_tool_schema_unusable" "The input schema of a registered tool is not a usable JSON Schema: its inputs cannot be checked, so its calls fail.", "Register the tool with a schema of draft 2020-12 whose references stay inside it (docs/guides/write-an-agent.md).";
    AgentToolSchemaDiffers = "agent_tool_schema_differs" "The input schema of a registered tool with plain arguments does not fit the one that the server has for it: calls are rejected, or inputs are ignored.", "Register the tool with the input schema that the server lists, or a stricter one, or update the server.";
    AgentToolUndescribed = "agent_tool_undescribed" "A tool with plain arguments of a self-hosted agent has no description: its model is not offered it.", "Register the tool with a description and an input schema (docs/guides/write-an-agent.md), or ignore this if only events and follow-ups use it.";

    ApproversTooFew = "approvers_too_few" "Agents of an organisation may need the approval of another person, and fewer than two people may approve: edits are rejected, and requests of the only approver wait until they expire.", "Give another member of the organisation the org_role owner, admin or approver; docs/operations/doctor.md has the query that names them.";

    AwsCredentialsRejected = "aws_credentials_rejected" "AWS rejects the credentials: they have expired, or belong to another partition.", "Sign in again, or choose another profile with AWS_PROFILE.";
    AwsAccessDenied = "aws_access_denied" "The credentials do not permit a request that this check needs.", "Grant the actions of the policy in docs/operations/doctor.md.";
    AwsRequestFailed = "aws_request_failed" "A request to AWS fails.", "Run the doctor again. If the error persists, check the region and AWS's status page.";
    StackMissing = "stack_missing" "CloudFormation does not know the stack in this account and region.", "Compare the name and --region with `aws cloudformation list-stacks`.";
    StackFailed = "stack_failed" "The last deployment failed or was rolled back: the stack is as an earlier deployment left it, or in parts.", "Read the stack's events, remove the cause, and deploy again.";
    StackInProgress = "stack_in_progress" "The stack is being changed, so findings may be of the change itself.", "Wait for the end of the deployment, and run the doctor again.";
    StackVersionDiffers = "stack_version_differs" "The stack was deployed from another version than this doctor's.", "Run the doctor of the deployed version, or deploy this version.";

    DeployedDoctorFailed = "deployed_doctor_failed" "The stack's function doctor does not return a report: it does not start, or runs out of time.", "Read its log group: sam logs --name Doctor.";

    LambdaMissing = "lambda_missing" "A function of the stack was deleted outside CloudFormation.", "Delete the stack's record of it by deploying without the function, then deploy with it again.";
    LambdaNotActive = "lambda_not_active" "Lambda cannot run the function: its last update failed, or its KMS key or its role is unusable.", "Remove the cause that the state names, and deploy again.";
    LambdaVersionDiffers = "lambda_version_differs" "A function is of another version than the stack's template.", "Deploy again, so that all functions are of one version.";
    LambdaCodeReplaced = "lambda_code_replaced" "The function was updated after its last deployment, and its settings are the template's: its code was replaced.", "Deploy the stack again with a change of the function, for example another SecretsRevision.";
    LambdaArchitectureDiffers = "lambda_architecture_differs" "The function has another instruction set than the template: a program built for the other does not start.", "Deploy the stack again with the parameter Architecture.";
    LambdaMemoryDiffers = "lambda_memory_differs" "The function has another memory size than the template. Lambda assigns processor time by memory.", "Change it in the template and deploy, or set the function's memory to the template's.";
    LambdaTimeoutDiffers = "lambda_timeout_differs" "The function has another timeout than the template: it may be stopped before it has answered.", "Change it in the template and deploy, or set the function's timeout to the template's.";
    LambdaSettingDiffers = "lambda_setting_differs" "A setting of the function differs from the template.", "Set it to the template's value, or change it in the template and deploy.";
    LambdaPermissionAdded = "lambda_permission_added" "The function's policy has a permission that the template does not grant: others may invoke the function.", "Remove the statement from the function's policy (aws lambda remove-permission).";

    LambdaVariableDiffers = "lambda_variable_differs" "A variable of the function differs from the template.", "Change the parameter and deploy. Do not edit variables of functions.";
    LambdaEnvironmentUnreadable = "lambda_environment_unreadable" "AWS does not decrypt the function's variables for these credentials.", "Grant kms:Decrypt on the function's KMS key.";
    LambdaEnvironmentNearLimit = "lambda_environment_near_limit" "The variables of the function take more than 90 % of Lambda's 4 KB: a deployment with longer values fails.", "Shorten the values, for example AGENT_CREDENTIALS and CHATKIT_SEALING_KEYS.";

    FunctionUrlMissing = "function_url_missing" "The URL of the function was deleted.", "Deploy the stack again without the URL, then with it. The URL changes.";
    FunctionUrlAuthDiffers = "function_url_auth_differs" "The URL requires another authentication than the template: callers receive 403, or it is open.", "Set the URL's AuthType to the template's.";
    InvokeModeDiffers = "invoke_mode_differs" "The URL has another invoke mode than the template. Without RESPONSE_STREAM the chat arrives only at its end.", "Set the URL's InvokeMode to the template's.";
    UrlPermissionMissing = "url_permission_missing" "The function's policy does not permit lambda:InvokeFunctionUrl to everyone: the URL responds with 403.", "Deploy the stack again, or add the permission with FunctionUrlAuthType NONE.";
    UrlInvokePermissionMissing = "url_invoke_permission_missing" "The function's policy does not permit lambda:InvokeFunction to callers of the URL, which Lambda requires since October 2025: the URL responds with 403.", "Deploy the stack with a current SAM, or add the permission with the condition lambda:InvokedViaFunctionUrl.";

    HttpApiMissing = "http_api_missing" "The HTTP API was deleted: its URL does not resolve.", "Deploy the stack again without the API, then with it. The URL changes.";
    RouteMissing = "route_missing" "The HTTP API does not have a route of the template: its callers receive 404.", "Deploy the stack again with a change of the API.";
    RouteAdded = "route_added" "The HTTP API has a route that the template does not have.", "Delete the route, or add it to the template.";
    RouteTargetDiffers = "route_target_differs" "A route calls another function than in the template, or none.", "Set the route's integration to the template's function.";
    RoutePermissionMissing = "route_permission_missing" "The function's policy does not permit API Gateway to invoke it: the route responds with 500.", "Deploy the stack again, or add the permission with the route's source ARN.";

    ScheduleMissing = "schedule_missing" "A schedule was deleted: its function does not run by itself.", "Deploy the stack again without the schedule, then with it.";
    ScheduleDisabled = "schedule_disabled" "A schedule is disabled: its function does not run by itself.", "Enable it in EventBridge Scheduler.";
    ScheduleDiffers = "schedule_differs" "A schedule differs from the template.", "Change the parameter and deploy, or set the schedule to the template's value.";
    ScheduleNotRunning = "schedule_not_running" "A schedule is enabled, and its function was not invoked in time: the schedule's role lacks a permission, or the function is throttled.", "Read the queue of failed runs, and check the schedule's role (docs/operations/runbook.md).";

    QueueMissing = "queue_missing" "The queue of failed runs was deleted: failures are lost.", "Deploy the stack again without the queue, then with it.";
    DeadLettersWaiting = "dead_letters_waiting" "Scheduled runs failed for good. Each message in the queue is one of them.", "Find the cause as docs/operations/runbook.md#dead-letter-queues says, then purge the queue.";

    AlarmMissing = "alarm_missing" "An alarm was deleted: its fault goes unnoticed.", "Deploy the stack again without the alarm, then with it.";
    AlarmActive = "alarm_active" "An alarm is active.", "Read the section of docs/operations/runbook.md that its description names.";
    AlarmActionsDisabled = "alarm_actions_disabled" "The actions of an alarm are disabled: it notifies no person.", "Enable its actions (aws cloudwatch enable-alarm-actions).";
    AlarmDiffers = "alarm_differs" "An alarm differs from the template.", "Set it to the template's value, or change it in the template and deploy.";

    ReservedConcurrencyDiffers = "reserved_concurrency_differs" "The function reserves another concurrency than the template. With 0, Lambda rejects every invocation.", "Set the function's reserved concurrency to the template's.";
    AccountConcurrencyLow = "account_concurrency_low" "The account's functions share less than 100 concurrent executions: a flood of requests leaves none for others.", "Request a higher quota for concurrent executions in Service Quotas.";

    LogGroupMissing = "log_group_missing" "A log group was deleted: Lambda cannot write the function's log, because its role may not create groups.", "Create a log group of this name with the template's retention.";
    LogRetentionDiffers = "log_retention_differs" "A log group keeps its lines for another time than the template.", "Set the group's retention to the parameter LogRetentionDays.";

    SecretMissing = "secret_missing" "AWS Secrets Manager does not have a secret that a parameter names: the next deployment fails.", "Create it, or correct the parameter.";
    SecretDeleted = "secret_deleted" "A secret that a parameter names is scheduled for deletion: the next deployment fails.", "Restore it (aws secretsmanager restore-secret), or name another.";
    SecretInvalid = "secret_invalid" "A secret has a value that its variable does not accept: after the next deployment, functions do not start.", "Put a value in the form that docs/reference/configuration.md states.";
    SecretOutdated = "secret_outdated" "Functions have another value than the secret: it was changed after the deployment.", "Raise the parameter SecretsRevision and deploy.";
}

impl serde::Serialize for FaultCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for FaultCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let code = Self::ALL.iter().find(|code| code.as_str() == text);
        code.copied().ok_or_else(|| serde::de::Error::custom("is not a code of this version"))
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
