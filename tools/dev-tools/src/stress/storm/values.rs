//! Random arguments: valid, invalid, outdated, and of other tenants.

use fastrand::Rng;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::pool::{AGENTS, Escalation, Pool, Session, routes, tools};
use crate::stress::rpc::Signature;

fn choose<T: Clone>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())].clone()
}

fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(..100) < percent
}

/// Relative frequency of a function.
pub fn weight(function: &str) -> u32 {
    match function {
        "record_events" => 60,
        "claim_deliveries" => 45,
        "finish_delivery" => 60,
        "decide_escalation" => 50,
        "open_session" => 40,
        "renew_chatkit_session" | "record_chatkit_session" => 14,
        "cancel_session" | "expire_session" => 2,
        "begin_erasure" | "set_retention" | "register_agent_server" => 1,
        "erase_batch" | "end_erased_sessions" | "finish_erasure" => 12,
        "register_agent" | "set_org_limits" | "remove_member" => 1,
        _ => 6,
    }
}

/// Returns the arguments of one call, which mostly belong together.
pub fn arguments(rng: &mut Rng, pool: &Pool, function: &str, signature: &Signature) -> Map<String, Value> {
    let mut session = pool.session(rng);
    if function == "open_session" || (function == "begin_erasure" && chance(rng, 25)) {
        (session.org_id, session.user_id) = pool.user(rng);
    } else if function == "begin_erasure" {
        session.user_id = Uuid::new_v4();
    }
    if function.contains("eras")
        && let Some((org_id, user_id)) = rng.choice(&pool.erasing)
        && function != "begin_erasure"
    {
        (session.org_id, session.user_id) = (*org_id, *user_id);
    }
    let escalation = rng.choice(&pool.escalations).cloned();
    if let Some(known) = escalation.as_ref().filter(|_| function.contains("escalation") && chance(rng, 95)) {
        session.org_id = known.org_id;
        // Any member of the organisation.
        let members: Vec<Uuid> =
            pool.users.iter().filter(|(org_id, _)| *org_id == session.org_id).map(|(_, id)| *id).collect();
        session.user_id = rng.choice(members).unwrap_or(session.user_id);
    }
    let request = rng.choice(&pool.requests).cloned();
    if let Some((_, of, _)) = request
        .as_ref()
        .filter(|_| function.contains("chatkit_session") && function != "renew_chatkit_session")
        && let Some(known) = pool.sessions.iter().find(|known| known.id == *of)
    {
        session = known.clone();
    }
    let delivery = rng.choice(&pool.deliveries).copied();
    let required = signature.arguments.len() - signature.optional;
    let mut params = Map::new();
    for (place, (name, kind)) in signature.arguments.iter().enumerate() {
        if place >= required && chance(rng, 40) {
            continue;
        }
        // Refers to another session.
        let foreign = chance(rng, 5);
        let session = if foreign { pool.session(rng) } else { session.clone() };
        let value = match name.as_str() {
            "p_escalation_id" => json!(escalation.as_ref().map_or_else(Uuid::new_v4, |known| known.id)),
            "p_subject_hash" => {
                let right = escalation.as_ref().filter(|_| !foreign).map(|known| known.hash.clone());
                json!(right.unwrap_or_else(|| "0".repeat(64)))
            }
            "p_delivery_id" => json!(delivery.filter(|_| !foreign).map_or_else(Uuid::new_v4, |(id, _)| id)),
            "p_fence" => json!(delivery.filter(|_| !foreign).map_or(1, |(_, fence)| fence)),
            "p_chatkit_request_id"
                if matches!(function, "record_chatkit_session" | "fail_chatkit_session") =>
            {
                json!(request.as_ref().map_or_else(Uuid::new_v4, |(id, _, _)| *id))
            }
            name => value(rng, pool, function, name, kind, &session),
        };
        params.insert(name.clone(), value);
    }
    // An idempotency key needs the hash of its request.
    if signature.arguments.iter().all(|(name, _)| name != "p_idempotency_key") {
        return params;
    }
    if params.get("p_idempotency_key").is_none_or(Value::is_null) {
        params.remove("p_idempotency_key");
        params.remove("p_request_hash");
    } else {
        params.insert(
            "p_request_hash".to_owned(),
            json!(choose(rng, &["a", "a", "a", "a", "a", "a", "a", "b"]).repeat(64)),
        );
    }
    params
}

fn value(rng: &mut Rng, pool: &Pool, function: &str, name: &str, kind: &str, session: &Session) -> Value {
    match name {
        "p_org_id" => json!(session.org_id),
        "p_user_id" => json!(session.user_id),
        "p_session_id" if function == "open_session" && chance(rng, 70) => json!(Uuid::now_v7()),
        "p_session_id" => json!(session.id),
        "p_agent_id" => json!(choose(rng, &["alpha", "alpha", "beta", "gamma"])),
        "p_channel" => json!("web"),
        "p_metadata" => choose(rng, &[json!({}), json!({}), json!({ "locale": "en" })]),
        "p_actor_type" => json!(choose(rng, &["user", "user", "user", "user", "agent", "system"])),
        "p_actor_id" => json!(session.user_id),
        "p_idempotency_key" => json!(chance(rng, 30).then(|| format!("key-{}", rng.u32(..400)))),
        "p_limit" => json!(rng.u32(1..30)),
        "p_lease_seconds" => json!(rng.u32(1..20)),
        "p_min_life_seconds" => json!(rng.u32(..120)),
        "p_decision" => json!(choose(rng, &["approve", "approve", "edit", "reject", "respond", "nothing"])),
        "p_answer" => choose(
            rng,
            &[
                json!(null),
                json!({ "amount": 40 }),
                json!({ "amount": 400, "payee": "ACME" }),
                json!("yes"),
                json!({ "amount": "1,000" }),
            ],
        ),
        "p_outcome" => outcome(rng),
        "p_events" => (0..rng.usize(1..4)).map(|_| event(rng, pool, session)).collect(),
        "p_messages" => {
            json!([{ "id": Uuid::new_v4(), "role": choose(rng, &["user", "agent"]), "content": "Hello" }])
        }
        "p_tasks" => {
            let task = |rng: &mut Rng| {
                let status = choose(rng, &["pending", "running", "completed", "nothing"]);
                json!({ "id": format!("task-{}", rng.u32(..6)), "title": "A task", "status": status })
            };
            (0..rng.usize(1..4)).map(|_| task(rng)).collect()
        }
        "p_thread_id" => json!(thread(rng, pool)),
        "p_thread_ids" => (0..rng.usize(..3)).map(|_| thread(rng, pool)).collect(),
        "p_items" => json!([{
            "id": format!("item-{}", rng.u32(..500)), "role": "user", "content": "Hello",
            "created_at": "2026-01-01T00:00:00Z", "attachments": [],
        }]),
        "p_chatkit_session_ids" => {
            let ids: Vec<&String> =
                pool.requests.iter().filter_map(|(_, _, id)| id.as_ref()).take(3).collect();
            json!(ids)
        }
        "p_chatkit_session_id" => json!(format!("cksess_{}", rng.u32(..1_000_000))),
        "p_expires_at" => {
            let life = jiff::SignedDuration::from_secs(choose(rng, &[3, 3, 3, 600]));
            json!((jiff::Timestamp::now() + life).to_string())
        }
        "p_sealed_secret" => json!("sealed"),
        "p_sealing_key_id" => json!("k1"),
        // All agents are hosted.
        "p_providers" => json!(["openai_hosted"]),
        "p_secret_hash"
        | "p_provider"
        | "p_model"
        | "p_instructions"
        | "p_reasoning_effort"
        | "p_max_input_tokens"
        | "p_max_output_tokens"
        | "p_max_turn_seconds"
        | "p_max_tool_calls"
        | "p_start_screen" => json!(null),
        "p_rejected" => json!(choose(rng, &[None, None, Some(false), Some(true)])),
        "p_purpose" => json!(choose(rng, &["resume", "refresh", "refresh", "nothing"])),
        "p_url" => json!("https://agents.example.com/mcp"),
        "p_tools" => tools(choose(rng, &["auto", "auto", "confirm", "ask", "nothing"])),
        "p_routes" => routes(),
        "p_display_name" | "p_chatkit_workflow_id" | "p_requested_by" | "p_reason" => json!("text"),
        "p_description" => json!(""),
        "p_enabled" => json!(chance(rng, 95)),
        "p_allowed_org_roles" => {
            let roles = choose(rng, &[json!(["owner", "approver"]), json!(["nobody"])]);
            if chance(rng, 85) { json!(null) } else { roles }
        }
        "p_idle_timeout_seconds" => json!(choose(rng, &[600, 86_400])),
        "p_max_attempts" => json!(rng.u32(1..4)),
        "p_timeout_seconds" => json!(rng.u32(1..5)),
        "p_credential" => json!(null),
        "p_role" => json!(choose(rng, &["owner", "approver", "member", "nothing"])),
        "p_reset" => json!([choose(rng, &["keys_per_day_user", "active_sessions_user"])]),
        "p_keep_days" => choose(rng, &[json!(null), json!(30), json!(0)]),
        "p_bucket" => json!(choose(rng, &["day", "hour"])),
        "p_group_by" => json!(choose(rng, &["none", "agent"])),
        "p_last_activity_at" | "p_at" | "p_from" | "p_to" => json!("2026-01-01T00:00:00Z"),
        "p_keep" => json!("24 hours"),
        "p_older_than_seconds" => json!(rng.u32(..60)),
        "p_claims" if chance(rng, 50) => {
            let app_metadata =
                json!({ "org_id": session.org_id, "org_role": choose(rng, &["owner", "member"]) });
            json!({ "sub": session.user_id, "role": "authenticated", "app_metadata": app_metadata })
        }
        "p_claims" => choose(rng, &[json!(null), json!(null), json!({}), json!("text")]),
        _ => match kind {
            "uuid" => json!(Uuid::new_v4()),
            "boolean" => json!(rng.bool()),
            "integer" | "bigint" | "numeric" => json!(rng.u32(1..1000)),
            "jsonb" => json!({}),
            "text[]" => json!(["text"]),
            "timestamp with time zone" => json!("2026-01-01T00:00:00Z"),
            _ => json!("text"),
        },
    }
}

fn thread(rng: &mut Rng, pool: &Pool) -> String {
    match rng.choice(&pool.threads) {
        Some(thread) if chance(rng, 70) => thread.clone(),
        _ => format!("cthr_{}", rng.u32(..1000)),
    }
}

fn event(rng: &mut Rng, pool: &Pool, session: &Session) -> Value {
    let amount = choose(
        rng,
        &[
            json!(40),
            json!(400),
            json!(-400),
            json!(900),
            json!(5000),
            json!(20_000),
            json!("1,000"),
            json!("70"),
        ],
    );
    let own: Vec<&Escalation> =
        pool.escalations.iter().filter(|escalation| escalation.session_id == session.id).collect();
    let known = |rng: &mut Rng| {
        let known = rng.choice(&own).copied().or_else(|| rng.choice(&pool.escalations));
        known.map_or_else(|| (Uuid::new_v4(), String::new()), |known| (known.id, known.hash.clone()))
    };
    let (kind, payload) = match rng.u32(..100) {
        0..55 => ("button_click", json!({ "action": "pay", "amount": amount })),
        55..65 => (
            "hitl_escalation",
            json!({ "reason": "help", "decisions": ["approve", "reject"], "expiresInSeconds": 1 }),
        ),
        65..75 => {
            let (id, hash) = known(rng);
            let decision = choose(rng, &["approve", "reject", "edit"]);
            (
                "hitl_resolved",
                json!({ "escalationId": id, "decision": decision, "subjectHash": hash, "answer": { "amount": 9 } }),
            )
        }
        75..85 => ("thread_changed", json!({ "threadId": thread(rng, pool) })),
        85..92 => ("handover", json!({ "agentId": choose(rng, &AGENTS) })),
        92..95 => ("agent_result", json!({})),
        95..97 => ("Wrong type", json!({})),
        97..98 => ("custom_x", json!([])),
        _ => ("custom_x", json!({})),
    };
    let id = match rng.choice(&pool.events) {
        Some(id) if chance(rng, 8) => *id,
        _ => Uuid::new_v4(),
    };
    let mut event = json!({ "id": id, "type": kind, "payload": payload });
    if kind == "hitl_escalation" {
        event["escalation_id"] = json!(if chance(rng, 95) { Uuid::new_v4() } else { known(rng).0 });
    }
    event
}

fn outcome(rng: &mut Rng) -> Value {
    match rng.u32(..100) {
        0..35 => json!({ "kind": "completed", "message": "Done", "output": { "n": 1 }, "tasks": [
            { "id": format!("task-{}", rng.u32(..6)), "title": "A task", "status": "running" },
        ] }),
        35..45 => json!({ "kind": "completed", "follow_ups": [
            { "agent_id": choose(rng, &["alpha", "beta", "gamma"]), "objective": "Check", "inputs": { "amount": 30 } },
        ] }),
        45..52 => json!({ "kind": "completed", "handover": { "agent_id": choose(rng, &AGENTS) } }),
        52..72 => json!({ "kind": "ask", "ask": {
            "reason": "May I?", "decisions": ["approve", "edit", "reject", "respond"], "expires_in_seconds": rng.u32(1..60),
            "risk": choose(rng, &["low", "high"]), "approver": choose(rng, &["self", "other"]),
        } }),
        72..85 => json!({ "kind": "retry", "error": "agent_error", "retry_after_seconds": 0 }),
        85..92 => json!({ "kind": "failed", "error": "agent_error" }),
        92..97 => json!({ "kind": "unknown", "error": "timed_out" }),
        _ => choose(
            rng,
            &[json!({ "kind": "nothing" }), json!({}), json!({ "kind": "failed", "error": "Not a code" })],
        ),
    }
}
