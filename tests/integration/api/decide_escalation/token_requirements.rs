//! Who may decide by what their token says: whether a third-party OAuth client holds it, and whether a second factor was verified.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, TestResponse};
use crate::support::escalations::{Office, body, door, nobodys};

const CLIENT: &str = "8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11";

/// What a token says, and who holds it.
const TOKENS: &[(&str, &str)] = &[
    ("a person", r#"{ "aal": "aal1" }"#),
    ("a person with a second factor", r#"{ "aal": "aal2" }"#),
    ("a person of whom no level is known", r#"{ "aal": null }"#),
    ("a person with a level that is no text", r#"{ "aal": 2 }"#),
    ("an allowed client", r#"{ "aal": "aal1", "client_id": "8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11" }"#),
    (
        "an allowed client, second factor",
        r#"{ "aal": "aal2", "client_id": "8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11" }"#,
    ),
    ("another client", r#"{ "aal": "aal2", "client_id": "0e9c0c0e-0000-4000-8000-000000000000" }"#),
    ("a client with an empty id", r#"{ "aal": "aal2", "client_id": "" }"#),
    ("a client whose id is no text", r#"{ "aal": "aal2", "client_id": 7 }"#),
    ("no client", r#"{ "aal": "aal2", "client_id": null }"#),
];

/// What the configuration says, and who may then decide, by their places above; the others, why not.
struct Rules {
    what: &'static str,
    clients: &'static str,
    aal2: &'static str,
    refusals: [&'static str; 10],
}

const OK: &str = "";
const CLIENT_REFUSED: &str = "oauth_client_forbidden";
const STEP_UP: &str = "step_up_required";

const RULES: &[Rules] = &[
    Rules {
        what: "by default",
        clients: "",
        aal2: "",
        refusals: [
            OK,
            OK,
            OK,
            OK,
            CLIENT_REFUSED,
            CLIENT_REFUSED,
            CLIENT_REFUSED,
            CLIENT_REFUSED,
            CLIENT_REFUSED,
            OK,
        ],
    },
    Rules {
        what: "where a client is allowed",
        clients: "another, 8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11",
        aal2: "false",
        refusals: [OK, OK, OK, OK, OK, OK, CLIENT_REFUSED, CLIENT_REFUSED, CLIENT_REFUSED, OK],
    },
    Rules {
        what: "where a second factor is required",
        clients: CLIENT,
        aal2: "true",
        refusals: [
            STEP_UP,
            OK,
            STEP_UP,
            STEP_UP,
            STEP_UP,
            OK,
            CLIENT_REFUSED,
            CLIENT_REFUSED,
            CLIENT_REFUSED,
            OK,
        ],
    },
];

/// Every way to decide.
#[derive(Clone, Copy, Debug)]
enum Way {
    Approver,
    ApproverAnswers,
    Requester,
    RequesterWithdraws,
    Event,
    EventAmongOthers,
}

const WAYS: &[Way] = &[
    Way::Approver,
    Way::ApproverAnswers,
    Way::Requester,
    Way::RequesterWithdraws,
    Way::Event,
    Way::EventAmongOthers,
];

// NAME: escalations: who decides by their token, by default
#[tokio::test]
async fn default_rules() -> Result<()> {
    rules("by default").await
}

// NAME: escalations: who decides by their token, where a client is allowed
#[tokio::test]
async fn allowed_client() -> Result<()> {
    rules("where a client is allowed").await
}

// NAME: escalations: who decides by their token, where a second factor is required
#[tokio::test]
async fn second_factor() -> Result<()> {
    rules("where a second factor is required").await
}

async fn rules(what: &str) -> Result<()> {
    let rules = RULES.iter().find(|rules| rules.what == what).context("there are no such rules")?;
    let stack = LocalStack::builder()
        .env("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", rules.clients)
        .env("REQUIRE_AAL2_TO_DECIDE", rules.aal2);
    decided(&stack.start().await?, rules).await
}

/// The caller, with a token that says this too.
fn saying(stack: &LocalStack, caller: &TestClient, claims: &str) -> Result<TestClient> {
    let claims: Value = serde_json::from_str(claims)?;
    let mut token = stack.issuer().forge(&caller.user);
    for (name, value) in claims.as_object().context("no object")? {
        token = token.claim(name, value.clone());
    }
    Ok(caller.with(token.sign()))
}

async fn attempt(way: Way, office: &Office<'_>, claims: &str, asked: &Value) -> Result<TestResponse> {
    let member = saying(office.stack, &office.member, claims)?;
    let approver = saying(office.stack, &office.approver, claims)?;
    let event = |decision: &str| {
        json!({ "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": {
            "escalationId": asked["id"], "decision": decision, "subjectHash": asked["subjectHash"] } })
    };
    let events = format!("{}/events", office.session);
    match way {
        Way::Approver => approver.post(&door(asked), body(asked, "approve")).await,
        Way::ApproverAnswers => {
            let mut body = body(asked, "respond");
            body["answer"] = json!("the second");
            approver.post(&door(asked), body).await
        }
        Way::Requester => member.post(&door(asked), body(asked, "approve")).await,
        Way::RequesterWithdraws => member.post(&door(asked), body(asked, "reject")).await,
        Way::Event => member.post(&events, event("approve")).await,
        Way::EventAmongOthers => {
            let click = json!({ "id": Uuid::new_v4(), "type": "custom_beside", "payload": {} });
            member.post(&events, json!([click, event("reject")])).await
        }
    }
}

async fn decided(stack: &LocalStack, rules: &Rules) -> Result<()> {
    let office = Office::new(stack, json!({})).await?;
    let ask = || office.browser(json!({ "decisions": ["approve", "reject", "respond"] }));
    let mut asked = ask().await?;
    let state = async || {
        let open = "select count(*) from chat_escalations where status = 'open'";
        anyhow::Ok((office.count(open).await?, office.count("select count(*) from chat_events").await?))
    };
    for ((who, claims), refusal) in TOKENS.iter().zip(rules.refusals) {
        for way in WAYS {
            let before = state().await?;
            let reply = attempt(*way, &office, claims, &asked).await.with_context(|| format!("{way:?}"))?;
            if refusal == OK {
                ensure!(reply.status.is_success(), "{who} by {way:?}: {reply:?}");
                asked = ask().await?;
                continue;
            }
            reply.problem(403, refusal).with_context(|| format!("{who} by {way:?}"))?;
            // Nor are they told what there is to decide.
            let nobodys = attempt(*way, &office, claims, &nobodys(&asked)).await?;
            nobodys.problem(403, refusal).with_context(|| format!("{who} by {way:?}, nobody's"))?;
            ensure!(state().await? == before, "{who} by {way:?}: something was written");
        }
        // All else is as for anybody.
        let member = saying(stack, &office.member, claims)?;
        member.record(&office.session, "custom_x", json!({})).await?.expect(201)?;
        member.get(&office.session).await?.expect(200)?;
    }
    Ok(())
}
