//! The RPC `register_agent`: each provider has its own settings.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn provider_is_self_hosted_for_a_registration_with_a_model() -> Result<()> {
    let stack = LocalStack::start().await?;
    for (settings, provider) in [
        (json!({ "p_chatkit_workflow_id": "wf_1" }), "openai_hosted"),
        (json!({ "p_chatkit_workflow_id": "wf_1", "p_provider": "openai_hosted" }), "openai_hosted"),
        (json!({ "p_model": "model-1" }), "self_hosted"),
        (json!({ "p_model": "model-1", "p_provider": "self_hosted" }), "self_hosted"),
    ] {
        let agent = register(&stack, &settings).await??;
        ensure!(agent["provider"] == provider, "{settings}: expected {provider}, found {agent:#}");
    }
    Ok(())
}

#[tokio::test]
async fn omitted_model_settings_get_their_defaults() -> Result<()> {
    let stack = LocalStack::start().await?;
    let agent = register(&stack, &json!({ "p_model": "model-1" })).await??;
    let defaults = json!({
        "model": "model-1", "instructions": "", "reasoning_effort": null, "max_input_tokens": 100_000,
        "max_output_tokens": 4096, "max_turn_seconds": 300, "max_tool_calls": 16,
        "start_screen": {}, "built_in_tools": [], "client_tools": [],
        "chatkit_workflow_id": null, "chatkit_workflow_version": null, "tracing_enabled": false,
    });
    for (field, expected) in defaults.as_object().context("no defaults")? {
        ensure!(agent[field] == *expected, "{field}: expected {expected}, found {}", agent[field]);
    }
    Ok(())
}

#[tokio::test]
async fn values_at_the_limits_are_accepted() -> Result<()> {
    let stack = LocalStack::start().await?;
    let prompt = json!({ "label": "l".repeat(100), "prompt": "p".repeat(2000), "icon": "i".repeat(50) });
    let screen = json!({ "greeting": "g".repeat(200), "prompts": vec![prompt; 10] });
    for settings in [
        json!({ "p_model": "m".repeat(200), "p_instructions": "i".repeat(32_768) }),
        json!({ "p_model": "m", "p_max_input_tokens": 1000, "p_max_output_tokens": 16, "p_max_turn_seconds": 5 }),
        json!({ "p_model": "m", "p_max_input_tokens": 2_000_000, "p_max_output_tokens": 200_000 }),
        json!({ "p_model": "m", "p_max_turn_seconds": 840, "p_start_screen": screen }),
        json!({ "p_model": "m", "p_max_tool_calls": 1 }),
        json!({ "p_model": "m", "p_max_tool_calls": 128 }),
        json!({ "p_model": "m", "p_reasoning_effort": "minimal", "p_start_screen": { "prompts": [] } }),
    ] {
        register(&stack, &settings).await??;
    }
    Ok(())
}

#[tokio::test]
async fn invalid_settings_are_refused_with_the_violated_rule() -> Result<()> {
    let stack = LocalStack::start().await?;
    let model = |more: Value| -> Value {
        let mut settings = json!({ "p_model": "model-1" });
        settings
            .as_object_mut()
            .into_iter()
            .zip(more.as_object())
            .for_each(|(to, from)| to.extend(from.clone()));
        settings
    };
    let screen = |screen: Value| model(json!({ "p_start_screen": screen }));
    let provider = "agents_settings_of_provider";
    let form = "agents_start_screen_form";
    let mut failures = Vec::new();
    for (settings, rule) in [
        (json!({}), provider),
        (json!({ "p_provider": "self_hosted" }), provider),
        (json!({ "p_provider": "self_hosted", "p_chatkit_workflow_id": "wf_1" }), provider),
        (json!({ "p_provider": "openai_hosted", "p_model": "model-1" }), provider),
        (json!({ "p_chatkit_workflow_id": "wf_1", "p_max_turn_seconds": 60 }), provider),
        (json!({ "p_chatkit_workflow_id": "wf_1", "p_max_tool_calls": 16 }), provider),
        (json!({ "p_chatkit_workflow_id": "wf_1", "p_start_screen": {} }), provider),
        (json!({ "p_chatkit_workflow_id": "wf_1", "p_built_in_tools": [] }), provider),
        (json!({ "p_chatkit_workflow_id": "wf_1", "p_client_tools": [] }), provider),
        (model(json!({ "p_chatkit_workflow_id": "wf_1" })), provider),
        (model(json!({ "p_chatkit_workflow_version": "1" })), provider),
        (model(json!({ "p_tracing_enabled": true })), provider),
        (model(json!({ "p_provider": "another" })), "agents_provider_known"),
        (json!({ "p_model": "" }), "agents_model_length"),
        (json!({ "p_model": "m".repeat(201) }), "agents_model_length"),
        (model(json!({ "p_instructions": "é".repeat(16_385) })), "agents_instructions_size"),
        (model(json!({ "p_reasoning_effort": "much" })), "agents_reasoning_effort_known"),
        (model(json!({ "p_max_input_tokens": 999 })), "agents_max_input_tokens_range"),
        (model(json!({ "p_max_input_tokens": 2_000_001 })), "agents_max_input_tokens_range"),
        (model(json!({ "p_max_output_tokens": 15 })), "agents_max_output_tokens_range"),
        (model(json!({ "p_max_output_tokens": 200_001 })), "agents_max_output_tokens_range"),
        (model(json!({ "p_max_turn_seconds": 4 })), "agents_max_turn_seconds_range"),
        (model(json!({ "p_max_turn_seconds": 841 })), "agents_max_turn_seconds_range"),
        (model(json!({ "p_max_tool_calls": 0 })), "agents_max_tool_calls_range"),
        (model(json!({ "p_max_tool_calls": 129 })), "agents_max_tool_calls_range"),
        (screen(json!([])), form),
        (screen(json!({ "title": "Hello" })), form),
        (screen(json!({ "greeting": "" })), form),
        (screen(json!({ "greeting": 1 })), form),
        (screen(json!({ "greeting": "g".repeat(201) })), form),
        (screen(json!({ "prompts": {} })), form),
        (screen(json!({ "prompts": ["Pay"] })), form),
        (screen(json!({ "prompts": [{ "label": "Pay" }] })), form),
        (screen(json!({ "prompts": [{ "prompt": "Pay" }] })), form),
        (screen(json!({ "prompts": [{ "label": "Pay", "prompt": "Pay", "icon": null }] })), form),
        (screen(json!({ "prompts": [{ "label": "Pay", "prompt": "Pay", "url": "x" }] })), form),
        (screen(json!({ "prompts": vec![json!({ "label": "Pay", "prompt": "Pay" }); 11] })), form),
    ] {
        match register(&stack, &settings).await? {
            Err(Refusal(found)) if found == rule => {}
            other => failures.push(format!("expected {rule}, found {other:?}")),
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    let agents: i64 = sqlx::query_scalar("select count(*) from agents").fetch_one(stack.database()).await?;
    ensure!(agents == 0, "expected no agents, found {agents}");
    Ok(())
}

#[tokio::test]
async fn repeated_registration_changes_nothing() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    let settings = json!({ "p_start_screen": { "greeting": "Hello" } });
    let first = stack.register_self_hosted_agent(org_id, "own_agent", settings.clone()).await?;
    let again = stack.register_self_hosted_agent(org_id, "own_agent", settings).await?;
    ensure!(again == first, "expected {first:#}, found {again:#}");
    let changed = json!({ "p_start_screen": { "greeting": "Welcome" } });
    let changed = stack.register_self_hosted_agent(org_id, "own_agent", changed).await?;
    ensure!(changed["agent"]["updated_at"] != first["agent"]["updated_at"], "{changed:#}");
    Ok(())
}

/// The rule that a registration violates.
#[derive(Debug)]
struct Refusal(String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused by {}", self.0)
    }
}

impl std::error::Error for Refusal {}

/// Registers an agent, and returns it or the violated rule.
async fn register(stack: &LocalStack, settings: &Value) -> Result<Result<Value, Refusal>> {
    let mut arguments = json!({
        "p_org_id": Uuid::new_v4(), "p_agent_id": "own_agent", "p_display_name": "Own",
        "p_description": "",
    });
    let settings = settings.as_object().context("the settings are not an object")?.clone();
    arguments.as_object_mut().context("the arguments are not an object")?.extend(settings);
    let (status, response) = stack.rpc("register_agent", arguments).await?;
    if status.is_success() {
        return Ok(Ok(response["agent"].clone()));
    }
    ensure!(
        status == 422 && response["message"] == "invalid_agent",
        "expected 422 invalid_agent, found {status} {response}"
    );
    Ok(Err(Refusal(response["details"].as_str().unwrap_or_default().to_owned())))
}
