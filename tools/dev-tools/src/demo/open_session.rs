//! A clerk lists the agents and opens a session.

use anyhow::Result;
use serde_json::json;

use super::Demo;
use super::printer::Printer;

pub async fn agents(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("A clerk lists the agents").await;
    let response = demo.clerk.get(printer, "/chatkit/agents").await?;
    for agent in response.body["agents"].as_array().into_iter().flatten() {
        printer.detail(
            agent["id"].as_str().unwrap_or_default(),
            agent["description"].as_str().unwrap_or_default(),
        );
    }
    printer.check_eq("the response is 200", 200, response.status)?;
    printer.check_eq(
        "it contains the organisation's two agents, and none of the other organisation",
        2,
        response.count("/agents"),
    )?;
    let fields =
        response.body["agents"][0].as_object().map(|agent| agent.keys().cloned().collect::<Vec<_>>());
    let expected = ["id", "displayName", "description"].map(str::to_owned).to_vec();
    printer.check_eq("it does not contain the ChatKit workflows", Some(expected), fields)
}

pub async fn session(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The clerk opens a session").await;
    let body = json!({ "agentId": "accounts_payable", "channel": "web", "metadata": { "locale": "en" } });
    let response = demo.clerk.post(printer, "/chatkit/sessions", body).await?;
    printer.fields(
        &response.body,
        &["/id", "/status", "/agentId", "/chatkit/provider", "/chatkit/apiUrl", "/chatkit/clientSecret"],
    );
    printer.check_eq("a new session is 201", 201, response.status)?;
    demo.session_id = response.text("/id")?;
    demo.session = format!("/chatkit/sessions/{}", demo.session_id);
    demo.connect_chat(&response)?;
    printer.check_eq(
        "caches must not store the client secret",
        "no-store",
        response.header("cache-control"),
    )?;
    printer.check_eq(
        "the metadata is returned unchanged",
        &json!({ "locale": "en" }),
        &response.body["metadata"],
    )?;

    printer.check_eq(
        "the agent is hosted here: pages chat with serve-chatkit",
        &json!("self_hosted"),
        &response.body["chatkit"]["provider"],
    )?;
    printer.check_eq("OpenAI received no request", 0, demo.stack.openai().requests().len())
}
