//! A dead agent delays only the session that calls it, and held calls starve nothing. The same work is
//! timed without and with them, in one run. The ratios are for information; the other measurements
//! are invariants.

mod dead_agent;
mod held_calls;
mod page;
mod work;

use anyhow::{Context, Result, ensure};
use local_stack::agents::TOOL;
use local_stack::model::{MODEL, Script};
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::chats::question_of;
use super::env::{AGENT, OTHER_AGENT, Person, StressEnv};
use super::measurement::Measurement;

/// The self-hosted agent whose server answers.
const CHAT_AGENT: &str = "quick_chat";

/// The self-hosted agent whose server stops answering.
const DEAD_AGENT: &str = "dead_chat";

/// Needs a decision for each call.
const HELD_TOOL: &str = "pay";

/// The last message of every answer.
const ANSWER: &str = "It is done.";

/// Rounds of work, for each so many held calls.
const HELD_PER_ROUND: usize = 20;
const MIN_ROUNDS: usize = 2;

/// The longest time that a registration gives a tool.
const TIMEOUT_SECONDS: u32 = 60;

/// The people who work meanwhile.
struct People {
    /// A user of another organisation.
    foreigner: Person,
    approver: Person,
}

pub async fn run(env: &StressEnv, held: usize) -> Result<Vec<Measurement>> {
    let people = prepare(env).await?;
    let rounds = (held / HELD_PER_ROUND).max(MIN_ROUNDS);
    let mut measurements = dead_agent::measure(env, &people, rounds).await?;
    measurements.extend(held_calls::measure(env, &people, held, rounds).await?);
    Ok(measurements)
}

/// Registers the agents in two organisations, and sets the answers of the model.
async fn prepare(env: &StressEnv) -> Result<People> {
    let org_id = env.person(0).user.org_id;
    let other_org_id = Uuid::new_v4();
    env.stack.raise_limits(other_org_id).await?;
    for (org_id, agent_id, server) in [
        (org_id, CHAT_AGENT, OTHER_AGENT),
        (org_id, DEAD_AGENT, AGENT),
        (other_org_id, CHAT_AGENT, OTHER_AGENT),
    ] {
        let settings = json!({ "p_model": MODEL, "p_instructions": "You do what the user says." });
        env.stack.register_self_hosted_agent(org_id, agent_id, settings).await?;
        register_tools(env, org_id, agent_id, server).await?;
    }
    env.stack.agents().iter().for_each(|agent| agent.add_tool(HELD_TOOL));
    env.stack.model().set_default_answer(answer);
    Ok(People {
        foreigner: env.add_person_in(other_org_id, OrgRole::Member).await?,
        approver: env.add_person(OrgRole::Approver).await?,
    })
}

/// Registers a server with a tool that is called at once, and one whose calls are held. Clicks in the
/// agent's sessions go to the first.
async fn register_tools(env: &StressEnv, org_id: Uuid, agent_id: &str, server: &str) -> Result<()> {
    let agent = env.stack.agents().agent(server).context("the agent does not exist")?;
    let tool = |name: &str, policy: &str| {
        json!({
            "name": name, "policy": policy, "risk": "low", "approver": "other", "idempotent": false,
            "description": "Does what the user says.",
            "input_schema": {
                "type": "object", "required": ["invoice"],
                "properties": { "invoice": { "type": "string" } },
            },
        })
    };
    let arguments = json!({
        "p_org_id": org_id, "p_agent_id": agent_id, "p_url": agent.url(), "p_credential": server,
        "p_timeout_seconds": TIMEOUT_SECONDS, "p_tools": [tool(TOOL, "auto"), tool(HELD_TOOL, "ask")],
        "p_routes": [{ "tool": TOOL, "event_type": "button_click", "session_agent_id": agent_id }],
    });
    let (status, body) = env.stack.rpc("register_agent_server", arguments).await?;
    ensure!(status.is_success(), "the tools were not registered: {body}");
    Ok(())
}

/// Returns the model's response: one call for a question that begins with `Call` or `Hold`, and then
/// a message.
fn answer(body: &Value) -> Script {
    let (question, made) = question_of(body);
    let call = |tool: &str| Script::new().function_call(tool, &json!({ "invoice": question }));
    match (question.split(' ').next(), made) {
        (Some("Call"), 0) => call(TOOL),
        (Some("Hold"), 0) => call(HELD_TOOL),
        _ => Script::new().text(ANSWER),
    }
}
