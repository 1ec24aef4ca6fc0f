//! Requirements for the token of a decider: OAuth client and assurance level.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, TestResponse};
use crate::support::escalations::{EscalationFixture, decision_body, decision_path, with_unknown_id};

const CLIENT: &str = "8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11";

/// Holder and claims of each token.
const TOKENS: &[(&str, &str)] = &[
    ("a person", r#"{ "aal": "aal1" }"#),
    ("a person with a second factor", r#"{ "aal": "aal2" }"#),
    ("a person without a level", r#"{ "aal": null }"#),
    ("a person whose level is a number", r#"{ "aal": 2 }"#),
    ("an allowed client", r#"{ "aal": "aal1", "client_id": "8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11" }"#),
    (
        "an allowed client, second factor",
        r#"{ "aal": "aal2", "client_id": "8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11" }"#,
    ),
    ("another client", r#"{ "aal": "aal2", "client_id": "0e9c0c0e-0000-4000-8000-000000000000" }"#),
    ("a client with an empty id", r#"{ "aal": "aal2", "client_id": "" }"#),
    ("a client whose id is a number", r#"{ "aal": "aal2", "client_id": 7 }"#),
    ("no client", r#"{ "aal": "aal2", "client_id": null }"#),
];

/// A configuration, and the expected error code for each entry of [`TOKENS`].
struct Configuration {
    allowed_clients: &'static str,
    require_aal2: &'static str,
    codes: [&'static str; 10],
}

const OK: &str = "";
const CLIENT_FORBIDDEN: &str = "oauth_client_forbidden";
const STEP_UP: &str = "step_up_required";

const DEFAULT: Configuration = Configuration {
    allowed_clients: "",
    require_aal2: "",
    codes: [
        OK,
        OK,
        OK,
        OK,
        CLIENT_FORBIDDEN,
        CLIENT_FORBIDDEN,
        CLIENT_FORBIDDEN,
        CLIENT_FORBIDDEN,
        CLIENT_FORBIDDEN,
        OK,
    ],
};

const ALLOWED_CLIENT: Configuration = Configuration {
    allowed_clients: "another, 8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11",
    require_aal2: "false",
    codes: [OK, OK, OK, OK, OK, OK, CLIENT_FORBIDDEN, CLIENT_FORBIDDEN, CLIENT_FORBIDDEN, OK],
};

const REQUIRED_AAL2: Configuration = Configuration {
    allowed_clients: CLIENT,
    require_aal2: "true",
    codes: [
        STEP_UP,
        OK,
        STEP_UP,
        STEP_UP,
        STEP_UP,
        OK,
        CLIENT_FORBIDDEN,
        CLIENT_FORBIDDEN,
        CLIENT_FORBIDDEN,
        OK,
    ],
};

#[derive(Clone, Copy, Debug)]
enum DecisionMethod {
    Approver,
    ApproverAnswers,
    Requester,
    RequesterWithdraws,
    Event,
    EventAmongOthers,
}

const DECISION_METHODS: &[DecisionMethod] = &[
    DecisionMethod::Approver,
    DecisionMethod::ApproverAnswers,
    DecisionMethod::Requester,
    DecisionMethod::RequesterWithdraws,
    DecisionMethod::Event,
    DecisionMethod::EventAmongOthers,
];

#[tokio::test]
async fn default_configuration_rejects_oauth_clients() -> Result<()> {
    check_decisions_with(&DEFAULT).await
}

#[tokio::test]
async fn allowed_oauth_client_may_decide() -> Result<()> {
    check_decisions_with(&ALLOWED_CLIENT).await
}

#[tokio::test]
async fn required_aal2_rejects_lower_assurance_levels() -> Result<()> {
    check_decisions_with(&REQUIRED_AAL2).await
}

async fn check_decisions_with(configuration: &Configuration) -> Result<()> {
    let stack = LocalStack::builder()
        .env("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", configuration.allowed_clients)
        .env("REQUIRE_AAL2_TO_DECIDE", configuration.require_aal2);
    check_decisions(&stack.start().await?, configuration).await
}

/// The same user with these claims in the token.
fn with_claims(stack: &LocalStack, client: &TestClient, claims: &str) -> Result<TestClient> {
    let claims: Value = serde_json::from_str(claims)?;
    let mut token = stack.issuer().token_builder(&client.user);
    for (name, value) in claims.as_object().context("expected an object of claims")? {
        token = token.claim(name, value.clone());
    }
    Ok(client.with_token(token.sign()))
}

async fn attempt(
    method: DecisionMethod,
    fixture: &EscalationFixture<'_>,
    claims: &str,
    escalation: &Value,
) -> Result<TestResponse> {
    let member = with_claims(fixture.stack, &fixture.member, claims)?;
    let approver = with_claims(fixture.stack, &fixture.approver, claims)?;
    let event = |decision: &str| {
        json!({ "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": {
            "escalationId": escalation["id"], "decision": decision,
            "subjectHash": escalation["subjectHash"],
        } })
    };
    let events = format!("{}/events", fixture.session);
    match method {
        DecisionMethod::Approver => {
            approver.post(&decision_path(escalation), decision_body(escalation, "approve")).await
        }
        DecisionMethod::ApproverAnswers => {
            let mut body = decision_body(escalation, "respond");
            body["answer"] = json!("the second");
            approver.post(&decision_path(escalation), body).await
        }
        DecisionMethod::Requester => {
            member.post(&decision_path(escalation), decision_body(escalation, "approve")).await
        }
        DecisionMethod::RequesterWithdraws => {
            member.post(&decision_path(escalation), decision_body(escalation, "reject")).await
        }
        DecisionMethod::Event => member.post(&events, event("approve")).await,
        DecisionMethod::EventAmongOthers => {
            let click = json!({ "id": Uuid::new_v4(), "type": "custom_first", "payload": {} });
            member.post(&events, json!([click, event("reject")])).await
        }
    }
}

/// Tries every method with every token.
async fn check_decisions(stack: &LocalStack, configuration: &Configuration) -> Result<()> {
    let fixture = EscalationFixture::new(stack, json!({})).await?;
    let escalate = || fixture.escalate_from_page(json!({ "decisions": ["approve", "reject", "respond"] }));
    let mut escalation = escalate().await?;
    let state = async || {
        let open = "select count(*) from chat_escalations where status = 'open'";
        anyhow::Ok((fixture.count(open).await?, fixture.count("select count(*) from chat_events").await?))
    };
    for ((holder, claims), code) in TOKENS.iter().zip(configuration.codes) {
        for method in DECISION_METHODS {
            let before = state().await?;
            let response = attempt(*method, &fixture, claims, &escalation)
                .await
                .with_context(|| format!("{method:?}"))?;
            if code == OK {
                ensure!(response.status.is_success(), "{holder}, {method:?}: {response:?}");
                escalation = escalate().await?;
                continue;
            }
            response.problem(403, code).with_context(|| format!("{holder}, {method:?}"))?;
            // The response does not reveal whether the escalation exists.
            let unknown = attempt(*method, &fixture, claims, &with_unknown_id(&escalation)).await?;
            unknown.problem(403, code).with_context(|| format!("{holder}, {method:?}, unknown id"))?;
            ensure!(
                state().await? == before,
                "{holder}, {method:?}: a rejected decision changed the database"
            );
        }
        // The requirements apply to decisions only.
        let member = with_claims(stack, &fixture.member, claims)?;
        member.record_event(&fixture.session, "custom_x", json!({})).await?.expect(201)?;
        member.get(&fixture.session).await?.expect(200)?;
    }
    Ok(())
}
