//! Who may decide by what their token says: whether a third-party OAuth client holds it, and whether a second factor was verified.

use anyhow::{Context, Result, ensure};
use local_stack::World;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{Caller, Reply};
use crate::support::escalations::{Office, body, door, nobodys};

const CLIENT: &str = "8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11";

// TODO /// What a token says, and who holds it.
// TODO const TOKENS: &[(&str, &str)] = &[
// TODO     ("a person", r#"{ "aal": "aal1" }"#),
// TODO     ("a person with a second factor", r#"{ "aal": "aal2" }"#),
// TODO     ("a person of whom no level is known", r#"{ "aal": null }"#),
// TODO     ("a person with a level that is no text", r#"{ "aal": 2 }"#),
// TODO     ("an allowed client", r#"{ "aal": "aal1", "client_id": "8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11" }"#),
// TODO     (
// TODO         "an allowed client, second factor",
// TODO         r#"{ "aal": "aal2", "client_id": "8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11" }"#,
// TODO     ),
// TODO     ("another client", r#"{ "aal": "aal2", "client_id": "0e9c0c0e-0000-4000-8000-000000000000" }"#),
// TODO     ("a client with an empty id", r#"{ "aal": "aal2", "client_id": "" }"#),
// TODO     ("a client whose id is no text", r#"{ "aal": "aal2", "client_id": 7 }"#),
// TODO     ("no client", r#"{ "aal": "aal2", "client_id": null }"#),
// TODO ];
// TODO
// TODO /// What the configuration says, and who may then decide, by their places above; the others, why not.
// TODO struct Rules {
// TODO     what: &'static str,
// TODO     clients: &'static str,
// TODO     aal2: &'static str,
// TODO     refusals: [&'static str; 10],
// TODO }
// TODO
// TODO const OK: &str = "";
// TODO const CLIENT_REFUSED: &str = "oauth_client_forbidden";
// TODO const STEP_UP: &str = "step_up_required";
// TODO
// TODO const RULES: &[Rules] = &[
// TODO     Rules {
// TODO         what: "by default",
// TODO         clients: "",
// TODO         aal2: "",
// TODO         refusals: [
// TODO             OK,
// TODO             OK,
// TODO             OK,
// TODO             OK,
// TODO             CLIENT_REFUSED,
// TODO             CLIENT_REFUSED,
// TODO             CLIENT_REFUSED,
// TODO             CLIENT_REFUSED,
// TODO             CLIENT_REFUSED,
// TODO             OK,
// TODO         ],
// TODO     },
// TODO     Rules {
// TODO         what: "where a client is allowed",
// TODO         clients: "another, 8f2a4c1e-6f0b-4c55-9f0e-2d7f1f6d1c11",
// TODO         aal2: "false",
// TODO         refusals: [OK, OK, OK, OK, OK, OK, CLIENT_REFUSED, CLIENT_REFUSED, CLIENT_REFUSED, OK],
// TODO     },
// TODO     Rules {
// TODO         what: "where a second factor is required",
// TODO         clients: CLIENT,
// TODO         aal2: "true",
// TODO         refusals: [
// TODO             STEP_UP,
// TODO             OK,
// TODO             STEP_UP,
// TODO             STEP_UP,
// TODO             STEP_UP,
// TODO             OK,
// TODO             CLIENT_REFUSED,
// TODO             CLIENT_REFUSED,
// TODO             CLIENT_REFUSED,
// TODO             OK,
// TODO         ],
// TODO     },
// TODO ];
// TODO
// TODO /// Every way to decide.
// TODO #[derive(Clone, Copy, Debug)]
// TODO enum Way {
// TODO     Approver,
// TODO     ApproverAnswers,
// TODO     Requester,
// TODO     RequesterWithdraws,
// TODO     Event,
// TODO     EventAmongOthers,
// TODO }
// TODO
// TODO const WAYS: &[Way] = &[
// TODO     Way::Approver,
// TODO     Way::ApproverAnswers,
// TODO     Way::Requester,
// TODO     Way::RequesterWithdraws,
// TODO     Way::Event,
// TODO     Way::EventAmongOthers,
// TODO ];
// TODO
// TODO pub fn trials() -> Vec<Trial> {
// TODO     RULES
// TODO         .iter()
// TODO         .map(|rules| {
// TODO             let world = World::builder()
// TODO                 .env("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", rules.clients)
// TODO                 .env("REQUIRE_AAL2_TO_DECIDE", rules.aal2);
// TODO             let name = format!("escalations: who decides by their token, {}", rules.what);
// TODO             trial_in(&name, world, async move |world: World| decided(&world, rules).await)
// TODO         })
// TODO         .collect()
// TODO }

/// The caller, with a token that says this too.
fn saying(world: &World, caller: &Caller, claims: &str) -> Result<Caller> {
    let claims: Value = serde_json::from_str(claims)?;
    let mut token = world.issuer().forge(&caller.user);
    for (name, value) in claims.as_object().context("no object")? {
        token = token.claim(name, value.clone());
    }
    Ok(caller.with(token.sign()))
}

async fn attempt(way: Way, office: &Office<'_>, claims: &str, asked: &Value) -> Result<Reply> {
    let member = saying(office.world, &office.member, claims)?;
    let approver = saying(office.world, &office.approver, claims)?;
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

async fn decided(world: &World, rules: &Rules) -> Result<()> {
    let office = Office::new(world, json!({})).await?;
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
        let member = saying(world, &office.member, claims)?;
        member.record(&office.session, "custom_x", json!({})).await?.expect(201)?;
        member.get(&office.session).await?.expect(200)?;
    }
    Ok(())
}
