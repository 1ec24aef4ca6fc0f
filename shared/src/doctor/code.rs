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

    SupabaseUnreachable = "supabase_unreachable" "Nothing answers at SUPABASE_URL: the host is wrong, or the project is paused or deleted.", "Compare SUPABASE_URL with the project's settings; wake the project if it is paused.";
    SupabaseTimedOut = "supabase_timed_out" "Supabase does not answer in time: it is overloaded, or the network swallows the connection.", "Look at the project's health and at Supabase's status page, then ask again.";
    SupabaseUnavailable = "supabase_unavailable" "Supabase says that it is out of order or overloaded.", "Look at the project's health and at Supabase's status page, then ask again.";
    SupabaseOverloaded = "supabase_overloaded" "Supabase has more to do than it gets done: no connection is free, or too many requests come.", "Look at the project's connections, CPU and slow queries; raise its compute size if that stays so.";
    SupabasePaused = "supabase_paused" "The project is paused, or restricted for a bill or a quota.", "Resume it in Supabase's dashboard, or see to its billing.";
    SupabaseReadOnly = "supabase_read_only" "The database takes no writes: its disk is full, or it was set read-only.", "Free disk space or enlarge the disk; Supabase's page on read-only mode says how to leave it.";
    SupabaseRequestBlocked = "supabase_request_blocked" "A firewall in front of Supabase refuses the request; it says nothing about keys.", "Look at the rules of that firewall: Supabase's network restrictions, or a proxy at SUPABASE_URL.";
    NotSupabase = "not_supabase" "What answers at SUPABASE_URL is no Supabase project: the URL is another site's, or has a path.", "Set SUPABASE_URL to the project's own URL.";
    SupabaseBadAnswer = "supabase_bad_answer" "PostgREST gave an answer that makes no sense.", "Have PostgREST read the schema again (notify pgrst, 'reload schema'), then ask again; look at the project's API logs if it stays so.";

    PublishableKeyRefused = "publishable_key_refused" "Supabase does not know the publishable key: it is another project's, or was deleted or disabled.", "Set SUPABASE_PUBLISHABLE_KEY to a key of the project that SUPABASE_URL names.";
    SecretKeyRefused = "secret_key_refused" "Supabase does not know the secret key: it is another project's, or was deleted or disabled.", "Set SUPABASE_SECRET_KEY to a key of the project that SUPABASE_URL names.";
    KeyOfOtherProject = "key_of_other_project" "The legacy key names another project than SUPABASE_URL.", "Take URL and keys from one and the same project.";
    JwksEmpty = "jwks_empty" "The project publishes no key that we verify with (ES256, RS256): its users' tokens are still signed with the legacy secret.", "Let the project sign with a signing key, as docs/guides/deploy.md says; until then set SUPABASE_JWT_SECRET.";
    IssuerDiffers = "issuer_differs" "Users' tokens name another issuer than the one that is expected, so every token is refused.", "Set SUPABASE_JWT_ISSUER to the issuer that the project names, or leave it out where that is SUPABASE_URL followed by /auth/v1.";
    ClockDiffers = "clock_differs" "The database's clock and ours are more than half a minute apart: tokens count as expired or as not valid yet.", "Set the clock of the machine that the doctor runs on; on Lambda, report it.";

    DeploymentStateMissing = "deployment_state_missing" "PostgREST does not know the function deployment_state: migrations are missing, the latest or all, or it has not read the schema since.", "Apply the migrations (supabase db push); if they are, have PostgREST read the schema again (notify pgrst, 'reload schema').";
    DeploymentStateForbidden = "deployment_state_forbidden" "The role behind the secret key may not execute deployment_state: grants were changed by hand.", "Grant execute on function public.deployment_state() to service_role.";
    MigrationMissing = "migration_missing" "A migration was not applied.", "Apply the migrations (supabase db push).";

    SchemaOpen = "schema_open" "A role of the API may use the schema chatkit_private that has no business there.", "Revoke usage on schema chatkit_private from it.";
    SchemaClosed = "schema_closed" "The functions that write for callers need the schema chatkit_private, and service_role may not use it: opening, events, cancelling and deciding are refused.", "Grant usage on schema chatkit_private to service_role.";
    TableMissing = "table_missing" "A table is gone, though its migration was applied.", "Restore it from a backup, or in a new project apply the migrations again.";
    RlsOff = "rls_off" "Row level security is switched off: whoever may read the table reads every organisation's rows.", "Switch it on at once: alter table … enable row level security.";
    PolicyMissing = "policy_missing" "A policy is gone: callers do not see what is theirs.", "Run the migration that makes it once more; each may be repeated.";
    PolicyChanged = "policy_changed" "A policy says something else than its migration: callers may see what is not theirs.", "Run the migration that makes it once more; each may be repeated.";
    PolicyAdded = "policy_added" "There is a permissive policy that no migration makes: callers may see or change what is not theirs.", "Drop it, or take it into account knowingly: permissive policies add up. Restrictive ones only hide, and are not reported.";
    GrantAdded = "grant_added" "Somebody may do with a table what no migration lets them.", "Revoke it.";
    GrantMissing = "grant_missing" "Somebody may not do with a table what its migration lets them: reading is refused.", "Run the migration that grants it once more; each may be repeated.";
    FunctionMissing = "function_missing" "A function is gone, though its migration was applied.", "Run the migration that makes it once more; each may be repeated.";
    FunctionChanged = "function_changed" "A function is another than its migration makes: its body, its settings, or with whose rights it runs.", "Run the latest migration that makes it once more; each may be repeated.";
    FunctionOpen = "function_open" "Somebody may execute a function who should not: it believes the organisation and the user that it is told.", "Revoke execute on it at once, from public too.";
    FunctionClosed = "function_closed" "Somebody may not execute a function who should: what needs it is refused.", "Run the migration that grants it once more; each may be repeated.";
    TriggerMissing = "trigger_missing" "A trigger is gone: what it looks after goes wrong unnoticed.", "Run the migration that makes it once more; each may be repeated.";
    TriggerDisabled = "trigger_disabled" "A trigger is disabled: what it looks after goes wrong unnoticed.", "Enable it: alter table … enable trigger ….";
    WebhookExtensionMissing = "webhook_extension_missing" "The webhook is configured, but the extension pg_net, which sends its requests, is missing, for example after a restore or a pause: events wait for the schedule.", "Enable the extension pg_net (create extension pg_net).";

    ChatkitKeyRefused = "chatkit_key_refused" "OpenAI does not take the API key: it is wrong, revoked or cut short.", "Set OPENAI_CHATKIT_SECRET to a key of the workflows' project.";
    ChatkitProjectRefused = "chatkit_project_refused" "OpenAI does not let the key into the project: OPENAI_CHATKIT_PROJECT is another one, or the key may not use ChatKit.", "Set OPENAI_CHATKIT_PROJECT to the key's project, or leave it out; give the key the right to use ChatKit.";
    ChatkitQuotaExhausted = "chatkit_quota_exhausted" "OpenAI takes the key, and the project's credit or budget is used up.", "Add credit or raise the budget in OpenAI's billing settings.";
    ChatkitRequestBlocked = "chatkit_request_blocked" "A firewall, or a rule about addresses or regions, refuses the request; it says nothing about the key.", "Look at the network between the functions and OpenAI, the region they run in, and the project's address rules.";
    ChatkitUnavailable = "chatkit_unavailable" "OpenAI is not to be reached, or out of order; or OPENAI_CHATKIT_BASE_URL leads nowhere.", "Look at OpenAI's status page and at OPENAI_CHATKIT_BASE_URL, then ask again.";
    ChatkitTimedOut = "chatkit_timed_out" "OpenAI does not answer in time.", "Look at OpenAI's status page, then ask again.";
    ChatkitBadAnswer = "chatkit_bad_answer" "What answers in OpenAI's place does not speak its API.", "Set OPENAI_CHATKIT_BASE_URL right, its path (/v1) included, or leave it out.";
    WorkflowNotFound = "workflow_not_found" "OpenAI does not know the workflow in this project: its id is wrong, it is not published, or the key belongs to another project.", "Register the agent with the right workflow id (docs/guides/register-an-agent.md), or use a key of the workflow's project.";
    WorkflowRefused = "workflow_refused" "OpenAI does not open a session with the workflow: it does not take its id or version.", "Register the agent with an id and version as Agent Builder shows them (docs/guides/register-an-agent.md).";
    SessionNotCancelled = "session_not_cancelled" "A session can be opened with the workflow but not cancelled.", "Ask again; it ended by itself after a second. If it stays so, give the key the right to write.";
    SealingKeyMissing = "sealing_key_missing" "A key that still seals living client secrets is no longer configured: they cannot be handed out again.", "Put the key back behind the first in CHATKIT_SEALING_KEYS, for ten minutes.";

    AgentUrlRefused = "agent_url_refused" "The server's URL leads where no agent may be: not https, with credentials in it, or to an address that is not public.", "Register the server with a public https URL (docs/guides/write-an-agent.md).";
    AgentCredentialMissing = "agent_credential_missing" "The registration names a credential that AGENT_CREDENTIALS does not have.", "Add it to AGENT_CREDENTIALS, or register the server with another name.";
    AgentCredentialElsewhere = "agent_credential_elsewhere" "The credential that the registration names is for another origin than the server's.", "Give the credential the server's origin, or register the server with its own.";
    AgentUnreachable = "agent_unreachable" "The server is not to be reached: its name is not known, or nothing listens there.", "Start it, or register the right URL.";
    AgentTls = "agent_tls" "The server's TLS is not sound: a certificate that has run out, is another host's or of no public authority, or no TLS at all.", "Renew the certificate, or register the right URL.";
    AgentTimedOut = "agent_timed_out" "The server does not answer in time.", "Look at the server; raise its timeout_seconds if it is slow by nature.";
    AgentUnauthorized = "agent_unauthorized" "The server refuses what it is shown: no credential, or one that is not its own.", "Set the bearer in AGENT_CREDENTIALS to what the server expects, and name it in the registration.";
    AgentNotMcp = "agent_not_mcp" "What answers there is no MCP server: another path or another service.", "Register the URL of the MCP endpoint itself.";
    AgentIncompatible = "agent_incompatible" "The server speaks no revision of MCP that we do.", "Update the server to 2025-06-18 or later.";
    AgentFailed = "agent_failed" "The server answers with an error of its own.", "Look at the server's log.";
    AgentToolMissing = "agent_tool_missing" "The registration lists a tool that the server does not offer: events for it would be given up.", "Register the tool by the name that the server has for it, or update the server.";

    ApproversTooFew = "approvers_too_few" "Agents of an organisation may need an approval by another person, and fewer than two people may approve: an edit of one's own is then refused, and requests of the only approver wait until they expire.", "Give another member of the organisation the org_role owner, admin or approver; docs/operations/doctor.md has the query that names them.";
}

impl serde::Serialize for FaultCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
