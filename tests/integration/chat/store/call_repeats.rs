//! Repeats of `begin_chat_call` and `finish_delivery` after the call has gone on. The process has lost
//! the first response, or was frozen.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};
use shared::domain::chat::BegunCall;
use uuid::Uuid;

use super::Chat;
use super::calls::{begin, call, register_tool};
use crate::support::chat_rpc::{self as rpc, CHAT_AGENT, ChatSession, OTHER_CHAT_AGENT, Question};

/// What happens between the first request and its repeat.
enum Step {
    /// The process loses its lease. No dispatcher has noticed.
    EndLease,
    /// A dispatcher claims what is due.
    Claim,
    /// A dispatcher claims the call, and records this outcome.
    Dispatch(Value),
    /// The turn records this outcome.
    Finish(Value),
    /// An approver decides the open escalation.
    Decide(&'static str),
    ExpireEscalation,
    Unregister,
    EndRun,
    EndSession,
}
use Step::*;

/// A running answer in an organisation of its own.
struct Turn<'a> {
    chat: &'a Chat,
    session: ChatSession,
    question: Question,
    approver: User,
}

impl<'a> Turn<'a> {
    async fn begin(chat: &'a Chat, fields: &Value) -> Result<Self> {
        let (stack, org_id) = (&chat.stack, Uuid::new_v4());
        rpc::register_agents(stack, org_id).await?;
        register_tool(stack, org_id, fields.clone()).await?;
        let user = stack.add_user(org_id, OrgRole::Member).await?;
        let approver = stack.add_user(org_id, OrgRole::Approver).await?;
        let session = rpc::open_session(stack, &user, CHAT_AGENT).await?;
        let question = Question::in_new_thread("pay");
        session.expect_begin(stack, &question, "begun").await?;
        Ok(Self { chat, session, question, approver })
    }

    fn stack(&self) -> &LocalStack {
        &self.chat.stack
    }

    /// The calls of the session that a dispatcher claims.
    async fn claim(&self) -> Result<Vec<Value>> {
        let claimed = self.stack().claim_deliveries().await?;
        Ok(claimed.into_iter().filter(|call| call["session_id"] == json!(self.session.id)).collect())
    }

    async fn run(&self, step: &Step, call: &Value) -> Result<()> {
        let id = self.session.id;
        match step {
            EndLease => {
                let end = "update deliveries set lease_until = now() where in_turn and session_id";
                self.chat.execute(&format!("{end} = '{id}'")).await?;
            }
            Claim => drop(self.claim().await?),
            Dispatch(outcome) => {
                let claimed = self.claim().await?;
                let call = claimed.first().context("the dispatcher has no call")?;
                self.stack().finish_delivery(call, outcome.clone()).await?;
            }
            Finish(outcome) => self.stack().finish_delivery(call, outcome.clone()).await?,
            Decide(decision) => {
                let query = "select id, subject_hash from chat_escalations
                             where session_id = $1 and status = 'open'";
                let (escalation_id, hash): (Uuid, String) =
                    sqlx::query_as(query).bind(id).fetch_one(self.stack().database()).await?;
                let decision = json!({
                    "p_org_id": self.approver.org_id, "p_user_id": self.approver.id,
                    "p_escalation_id": escalation_id, "p_decision": decision, "p_subject_hash": hash,
                });
                rpc::call(self.stack(), "decide_escalation", decision).await?;
            }
            ExpireEscalation => {
                let age = "update chat_escalations set expires_at = created_at + interval '1 microsecond'";
                self.chat.execute(&format!("{age} where session_id = '{id}'")).await?;
                rpc::call(self.stack(), "expire_escalations", json!({ "p_limit": 10 })).await?;
            }
            Unregister => {
                let remove = "delete from agent_tools where org_id";
                let routes = "delete from agent_routes where org_id";
                let org_id = self.session.user.org_id;
                self.chat.execute(&format!("{routes} = '{org_id}'; {remove} = '{org_id}'")).await?;
            }
            EndRun => {
                self.session.finish(self.stack(), self.question.run_id, "stopped", Vec::new()).await?;
            }
            EndSession => self.session.cancel(self.stack()).await?,
        }
        Ok(())
    }
}

/// The outcome of `begin_chat_call`, with the status and the error of the output.
fn describe(answer: &Value) -> Result<String> {
    let begun: BegunCall = serde_json::from_value(answer.clone()).with_context(|| format!("{answer:#}"))?;
    let of_output = |output: &Value| {
        let part = |name: &str| output[name].as_str().map(|text| format!(" {text}")).unwrap_or_default();
        part("status") + &part("error")
    };
    Ok(match begun {
        BegunCall::Begun { .. } => "begun".to_owned(),
        BegunCall::Held { output, items } => format!("held{} {} items", of_output(&output), items.len()),
        BegunCall::Refused { output, .. } => {
            format!("refused{}", output.as_ref().map(of_output).unwrap_or_default())
        }
        BegunCall::Ended { output, next_agent } => {
            let output = output.as_ref().map_or_else(|| " without output".to_owned(), of_output);
            let next = next_agent.map(|agent| format!(" to {}", agent.display_name)).unwrap_or_default();
            format!("ended{output}{next}")
        }
        BegunCall::Stopped => "stopped".to_owned(),
    })
}

fn failed() -> Value {
    json!({ "kind": "failed", "error": "agent_failed" })
}

fn unknown() -> Value {
    json!({ "kind": "unknown", "error": "connection_lost" })
}

fn done() -> Value {
    json!({ "kind": "completed", "message": "Paid.", "output": { "id": 7 } })
}

fn asks() -> Value {
    let ask = json!({ "reason": "Which account?", "decisions": ["approve", "reject"] });
    json!({ "kind": "ask", "ask": ask })
}

fn hands_over() -> Value {
    let handover = json!({ "agent_id": OTHER_CHAT_AGENT, "reason": "VAT", "summary": "About the VAT." });
    json!({ "kind": "completed", "handover": handover })
}

/// Whatever has become of the call, a repeat returns what the process may do now, and changes
/// nothing: make the call under its lease, or go on with the output that the thread holds.
#[tokio::test]
async fn late_repeat_of_a_call_returns_what_the_thread_holds() -> Result<()> {
    let chat = Chat::start().await?;
    let once = json!({ "idempotent": false });
    let repeatable = json!({ "idempotent": true });
    let held = json!({ "policy": "ask" });
    let refused = json!({ "refuse_above": 5 });
    for (fields, steps, expected) in [
        // In the turn.
        (&once, vec![], "begun"),
        (&once, vec![EndRun], "begun"),
        (&once, vec![Unregister], "ended without output"),
        (&once, vec![EndLease], "ended without output"),
        (&repeatable, vec![EndLease], "ended without output"),
        (&once, vec![Finish(done())], "ended completed"),
        (&once, vec![Finish(done()), EndRun], "ended completed"),
        (&once, vec![Finish(done()), EndSession], "ended completed"),
        (&once, vec![Finish(failed())], "ended failed agent_failed"),
        (&once, vec![Finish(unknown())], "ended unknown connection_lost"),
        (&once, vec![Finish(unknown()), Decide("reject")], "ended unknown connection_lost"),
        (&once, vec![Finish(unknown()), Decide("approve")], "ended unknown connection_lost"),
        (
            &once,
            vec![Finish(unknown()), Decide("approve"), Dispatch(done())],
            "ended unknown connection_lost",
        ),
        (&once, vec![Finish(hands_over())], "ended completed to tax_chat"),
        (&once, vec![Finish(hands_over()), EndRun], "ended completed"),
        // Taken over by a dispatcher.
        (&once, vec![EndLease, Claim], "ended without output"),
        (&once, vec![EndLease, Claim, Decide("approve"), Dispatch(done())], "ended without output"),
        (&repeatable, vec![EndLease, Claim], "ended without output"),
        (&repeatable, vec![EndLease, Dispatch(done())], "ended without output"),
        (&repeatable, vec![EndLease, Dispatch(failed())], "ended without output"),
        (&repeatable, vec![EndLease, EndSession], "ended without output"),
        // Held.
        (&held, vec![], "held held 2 items"),
        (&held, vec![Decide("approve")], "held held 2 items"),
        (&held, vec![Decide("approve"), Claim], "held held 2 items"),
        (&held, vec![Decide("approve"), Dispatch(done())], "held held 2 items"),
        (&held, vec![Decide("approve"), Dispatch(failed())], "held held 2 items"),
        (&held, vec![Decide("approve"), Dispatch(unknown())], "held held 2 items"),
        (&held, vec![Decide("approve"), Dispatch(asks())], "held held 2 items"),
        (&held, vec![Decide("approve"), EndSession], "held held 2 items"),
        (&held, vec![Decide("reject")], "held held 2 items"),
        (&held, vec![ExpireEscalation], "held held 2 items"),
        (&held, vec![EndRun, EndSession], "held held 2 items"),
        (&once, vec![Finish(asks())], "held held 2 items"),
        (&once, vec![Finish(asks()), Decide("approve"), Dispatch(done())], "held held 2 items"),
        // Refused.
        (&refused, vec![], "refused refused policy_never"),
        (&refused, vec![Unregister, EndRun, EndSession], "refused refused policy_never"),
    ] {
        let turn = Turn::begin(&chat, fields).await?;
        let request = call(turn.question.run_id, "call_1", json!({ "amount": 7 }));
        let first = begin(&chat, &turn.session, &request).await?;
        let mut place = describe(&first)?;
        for step in &steps {
            turn.run(step, &first["call"]).await.with_context(|| format!("{place}, before {expected}"))?;
            place = format!("{place}, a step");
        }
        let before = chat.digest().await?;
        let again = begin(&chat, &turn.session, &request).await?;
        let found = describe(&again)?;
        ensure!(found == expected, "{place}: expected {expected}, found {found}: {again:#}");
        ensure!(!steps.is_empty() || again == first, "{again:#}\n{first:#}");
        ensure!(chat.digest().await? == before, "{place}: the repeat has changed something");
    }
    Ok(())
}

/// The response to a repeated result is the first one, as long as the process was the last to record
/// a result of the call.
#[tokio::test]
async fn late_repeat_of_a_result_records_nothing() -> Result<()> {
    let chat = Chat::start().await?;
    let once = json!({ "idempotent": false });
    for (outcome, steps, is_finished) in [
        (done(), vec![], true),
        (done(), vec![EndRun, EndSession], true),
        (done(), vec![Unregister], true),
        (failed(), vec![EndRun], true),
        (asks(), vec![Decide("approve"), Dispatch(done())], true),
        (asks(), vec![Decide("reject")], true),
        (unknown(), vec![Decide("reject")], true),
        (unknown(), vec![Decide("approve")], true),
        (unknown(), vec![Decide("approve"), Dispatch(done())], false),
        (hands_over(), vec![EndRun], true),
    ] {
        let turn = Turn::begin(&chat, &once).await?;
        let request = call(turn.question.run_id, "call_1", json!({ "amount": 7 }));
        let begun = begin(&chat, &turn.session, &request).await?;
        let call = &begun["call"];
        let finish = json!({ "p_delivery_id": call["id"], "p_fence": call["fence"], "p_outcome": outcome });
        let first = rpc::call(&chat.stack, "finish_delivery", finish.clone()).await?;
        ensure!(first["finished"] == true && first["call_output"]["call_id"] == "call_1", "{first:#}");
        for step in &steps {
            turn.run(step, call).await?;
        }
        let before = chat.digest().await?;
        let again = rpc::call(&chat.stack, "finish_delivery", finish).await?;
        ensure!(again["finished"] == is_finished, "{outcome}: {again:#}");
        if is_finished {
            ensure!(again["status"] == first["status"], "{outcome}: {again:#}\n{first:#}");
            ensure!(again["call_output"] == first["call_output"], "{outcome}: {again:#}\n{first:#}");
        }
        ensure!(chat.digest().await? == before, "{outcome}: the repeat has changed something");
    }
    Ok(())
}
