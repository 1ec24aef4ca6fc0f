//! Results of the doctor's checks, and the report that they make up.

use serde::{Deserialize, Serialize};

use super::code::FaultCode;
use crate::platform::string_enum::words;

words! {
    /// Part of a deployment that is checked.
    pub enum Check {
        /// Each of the environment's variables.
        Configuration = "configuration",
        /// Whether Supabase is reachable at `SUPABASE_URL`.
        Supabase = "supabase",
        /// Whether Supabase accepts the publishable key.
        PublishableKey = "publishable_key",
        /// Whether Supabase accepts the secret key.
        SecretKey = "secret_key",
        /// Keys that users' tokens are verified with.
        Jwks = "jwks",
        /// Whether users' tokens have the expected issuer.
        Issuer = "issuer",
        /// The database's clock compared with ours.
        Clock = "clock",
        /// Whether all migrations are applied, by the database's history.
        Migrations = "migrations",
        /// Whether the schema is as the migrations define it.
        Schema = "schema",
        /// Whether the database can call the webhook.
        Webhook = "webhook",
        /// Whether OpenAI accepts the key and the project.
        Chatkit = "chatkit",
        /// Whether a session can be created with each enabled agent's workflow, and cancelled.
        Workflow = "workflow",
        /// Whether unexpired client secrets can be opened.
        SealingKeys = "sealing_keys",
        /// Each registered agent's server, and the tools that it offers.
        AgentServer = "agent_server",
        /// Whether organisations have people who may approve what agents need approved.
        Approvers = "approvers",
        /// The stack, as CloudFormation knows it.
        Stack = "stack",
        /// The stack's function `doctor`, whose report is part of this one.
        DeployedDoctor = "deployed_doctor",
        /// Each Lambda function's code and settings.
        Lambda = "lambda",
        /// The variables of each Lambda function.
        LambdaEnvironment = "lambda_environment",
        /// Each function URL, and the permissions of its callers.
        FunctionUrl = "function_url",
        /// The routes of the HTTP API.
        HttpApi = "http_api",
        /// Each schedule, and whether it starts its function.
        Schedule = "schedule",
        /// The queues of failed runs.
        DeadLetterQueue = "dead_letter_queue",
        /// Each alarm.
        Alarm = "alarm",
        /// The reserved concurrency, and the account's.
        Concurrency = "concurrency",
        /// Each log group.
        LogGroup = "log_group",
        /// The secrets in AWS Secrets Manager.
        Secret = "secret",
    }
}

words! {
    pub enum CheckStatus {
        Ok = "ok",
        /// It works, but an operator should know about it.
        Warning = "warning",
        Fault = "fault",
        /// The check was not run.
        Skipped = "skipped",
    }
}

/// Result of one check of one subject. Never holds a secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CheckResult {
    pub check: Check,
    /// Name of the subject, if the check has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    pub status: CheckStatus,
    /// Code of the fault or the warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<FaultCode>,
    /// Likely cause of a fault or a warning, or why the check was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Follows from the code, so it is not read.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub remedy: Option<&'static str>,
}

impl CheckResult {
    pub fn ok(check: Check) -> Self {
        Self {
            check,
            about: None,
            status: CheckStatus::Ok,
            code: None,
            cause: None,
            detail: None,
            remedy: None,
        }
    }

    pub fn fault(check: Check, code: FaultCode) -> Self {
        let cause = Some(code.cause().to_owned());
        let remedy = Some(code.remedy());
        Self { status: CheckStatus::Fault, code: Some(code), cause, remedy, ..Self::ok(check) }
    }

    pub fn warning(check: Check, code: FaultCode) -> Self {
        Self { status: CheckStatus::Warning, ..Self::fault(check, code) }
    }

    /// Creates the result of a check that was not run, with the reason.
    pub fn skipped(check: Check, why: impl Into<String>) -> Self {
        Self { status: CheckStatus::Skipped, cause: Some(why.into()), ..Self::ok(check) }
    }

    /// Creates the result of a check that was not run because another check found a fault.
    pub fn blocked_by(check: Check, other: Check) -> Self {
        Self::skipped(check, format!("see {} first", other.as_str()))
    }

    /// Names the subject, if the check has several.
    #[must_use]
    pub fn subject(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn is_fault(&self) -> bool {
        self.status == CheckStatus::Fault
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DoctorReport {
    pub healthy: bool,
    pub faults: usize,
    pub warnings: usize,
    /// Results in the order of [`Check`].
    pub findings: Vec<CheckResult>,
}

impl DoctorReport {
    /// Creates a report, and counts its faults and warnings.
    pub fn from_results(findings: Vec<CheckResult>) -> Self {
        let count = |status| findings.iter().filter(|finding| finding.status == status).count();
        let faults = count(CheckStatus::Fault);
        let warnings = count(CheckStatus::Warning);
        Self { healthy: faults == 0, faults, warnings, findings }
    }

    /// Reads the report of a deployed doctor.
    ///
    /// # Errors
    /// Fails if the report has a check or a code that this version does not know.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut report: Self = serde_json::from_slice(json)?;
        for finding in &mut report.findings {
            finding.remedy = finding.code.map(FaultCode::remedy);
        }
        Ok(report)
    }
}
