//! The tools that a model may call, in the form in which they are offered: those of the agent's
//! server, the built-in tools, and the client tools.
//!
//! The schemas of the built-in tools are defined here. The database does their work
//! (`call_built_in_tool`) and checks everything that it depends on.

use serde_json::{Value, json};

use super::store::{ModelSetup, OfferedTool, OtherAgent};

/// Returns all tools that a model may call, in the order in which they are offered. A registered
/// tool takes precedence over a client tool of the same name, which a session may have copied
/// before the registration.
pub(super) fn offered_tools(setup: &ModelSetup) -> Vec<OfferedTool> {
    let mut tools = setup.tools.clone();
    let built_in = setup.settings.built_in_tools.iter();
    tools.extend(built_in.filter_map(|name| built_in_tool(name, &setup.agents)));
    tools.extend(client_tools(setup).cloned());
    tools
}

/// Returns the tools that run in the page.
pub(super) fn client_tools(setup: &ModelSetup) -> impl Iterator<Item = &OfferedTool> {
    let is_registered = |name: &str| setup.tools.iter().any(|tool| tool.name == name);
    setup.settings.client_tools.iter().filter(move |tool| !is_registered(&tool.name))
}

/// Returns a built-in tool. `None` if the user may open no other agent, or if a later version
/// defines the tool.
fn built_in_tool(name: &str, agents: &[OtherAgent]) -> Option<OfferedTool> {
    let (description, input_schema) = match name {
        "ask_person" => ask_person(),
        "hand_over_to_agent" if !agents.is_empty() => hand_over_to_agent(agents),
        "set_task" => set_task(),
        _ => return None,
    };
    Some(OfferedTool { name: name.to_owned(), description, input_schema })
}

fn ask_person() -> (String, Value) {
    let description = "Asks a person of the organisation a question that you cannot answer. The \
                       answer is not available in this turn: you receive it later, as a note. It \
                       does not approve the call of a tool.";
    let schema = json!({
        "type": "object",
        "properties": {
            "question": { "type": "string", "minLength": 1, "maxLength": 2000 },
            "decisions": {
                "type": "array",
                "description": "What the person may do. Omit it for a question with a free answer.",
                "items": { "enum": ["approve", "reject", "respond"] },
                "minItems": 1,
                "uniqueItems": true,
            },
        },
        "required": ["question"],
        "additionalProperties": false,
    });
    (description.to_owned(), schema)
}

fn hand_over_to_agent(agents: &[OtherAgent]) -> (String, Value) {
    let mut description = "Hands the conversation over to another agent, which answers the user \
                           from then on. Use it if the user needs one of these agents:"
        .to_owned();
    for OtherAgent { id, display_name, description: purpose } in agents {
        description.push_str(&format!("\n- {id}: {display_name}. {purpose}"));
    }
    let ids: Vec<_> = agents.iter().map(|agent| agent.id.as_str()).collect();
    let schema = json!({
        "type": "object",
        "properties": {
            "agent_id": { "enum": ids },
            "summary": {
                "type": "string",
                "description": "What the next agent has to know.",
                "minLength": 1,
                "maxLength": 8000,
            },
        },
        "required": ["agent_id", "summary"],
        "additionalProperties": false,
    });
    (description, schema)
}

fn set_task() -> (String, Value) {
    let description = "Creates a task that the user sees beside the conversation, or changes the \
                       task with the same id.";
    let schema = json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "description": "Your own id.", "minLength": 1, "maxLength": 200 },
            "title": { "type": "string", "minLength": 1, "maxLength": 500 },
            "status": { "enum": ["pending", "running", "completed", "blocked"] },
        },
        "required": ["id", "title", "status"],
        "additionalProperties": false,
    });
    (description.to_owned(), schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::json_schema::validate_inputs;

    fn setup(built_in_tools: &[&str], agents: &[&str]) -> ModelSetup {
        let tool = |name: &str| json!({ "name": name, "description": "Does it.", "input_schema": { "type": "object" } });
        let agent = |id: &&str| json!({ "id": id, "display_name": "Tax", "description": "Files." });
        let setup = json!({
            "settings": {
                "model": "m", "instructions": "", "reasoning_effort": null, "max_input_tokens": 1000,
                "max_output_tokens": 16, "max_turn_seconds": 5, "max_tool_calls": 16,
                "built_in_tools": built_in_tools, "client_tools": [tool("open_invoice"), tool("pay")],
            },
            "tools": [tool("pay")],
            "agents": agents.iter().map(agent).collect::<Vec<_>>(),
        });
        serde_json::from_value(setup).unwrap()
    }

    fn names(setup: &ModelSetup) -> Vec<String> {
        offered_tools(setup).into_iter().map(|tool| tool.name).collect()
    }

    #[test]
    fn enabled_tools_are_offered_each_name_once() {
        assert_eq!(names(&setup(&[], &[])), ["pay", "open_invoice"]);
        let all = ["ask_person", "hand_over_to_agent", "set_task", "later"];
        let expected = ["pay", "ask_person", "hand_over_to_agent", "set_task", "open_invoice"];
        assert_eq!(names(&setup(&all, &["tax"])), expected);
        assert_eq!(names(&setup(&["hand_over_to_agent"], &[])), ["pay", "open_invoice"]);
        let in_page = setup(&[], &[]);
        let in_page: Vec<_> = client_tools(&in_page).map(|tool| &tool.name).collect();
        assert_eq!(in_page, ["open_invoice"]);
    }

    #[test]
    fn schemas_accept_what_the_tools_take() {
        let agents =
            [OtherAgent { id: "tax".into(), display_name: "Tax".into(), description: "Files.".into() }];
        let check = |name: &str, inputs: Value| {
            validate_inputs(&built_in_tool(name, &agents).unwrap().input_schema, &inputs).is_ok()
        };
        for (name, inputs, is_valid) in [
            ("ask_person", json!({ "question": "Who?" }), true),
            ("ask_person", json!({ "question": "May I?", "decisions": ["approve", "reject"] }), true),
            ("ask_person", json!({ "question": "May I?", "decisions": ["edit"] }), false),
            ("ask_person", json!({ "question": "" }), false),
            ("hand_over_to_agent", json!({ "agent_id": "tax", "summary": "VAT" }), true),
            ("hand_over_to_agent", json!({ "agent_id": "cfo", "summary": "VAT" }), false),
            ("hand_over_to_agent", json!({ "agent_id": "tax" }), false),
            ("set_task", json!({ "id": "a", "title": "A", "status": "completed" }), true),
            ("set_task", json!({ "id": "a", "title": "A", "status": "done" }), false),
            ("set_task", json!({ "id": "a", "title": "A", "status": "running", "due": 1 }), false),
        ] {
            assert_eq!(check(name, inputs.clone()), is_valid, "{name} {inputs}");
        }
    }
}
