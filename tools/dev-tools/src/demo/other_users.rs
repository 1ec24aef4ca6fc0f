//! Other clients: the clerk's second device, a colleague, and a user of another organisation.

use anyhow::Result;
use http_client::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::printer::Printer;
use super::{Demo, chat};

pub async fn second_device(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The clerk continues on a phone, which calls the functions' URLs").await;
    let phone = demo.clerk.on_device("phone", demo.stack.function_url("get-session"));
    let response = phone.get(printer, &demo.session).await?;
    printer.fields(&response.body, &["/status", "/chatkit/threads/0/id", "/escalations/0/reason"]);
    printer.detail("etag", response.header("etag"));
    printer.check_eq(
        "the response is the same session",
        (200, demo.session_id.as_str()),
        (response.status, &response.text("/id")?),
    )?;
    printer.check_eq("it contains the thread", demo.thread_id(), response.text("/chatkit/threads/0/id")?)?;
    let kinds: Vec<_> = response.body["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| event["type"].as_str())
        .collect();
    printer.check_eq(
        "it contains each event once, in order",
        vec!["button_click", "hitl_escalation"],
        kinds,
    )?;
    printer.check_eq("it contains the open escalation", 1, response.count("/escalations"))?;

    let etag = response.header("etag").to_owned();
    let unchanged =
        phone.send(printer, Method::GET, &demo.session, &[("if-none-match", &etag)], Value::Null).await?;
    printer.check_eq(
        "a conditional request for the unchanged session is 304",
        (304, &Value::Null),
        (unchanged.status, &unchanged.body),
    )?;

    let phone = demo.clerk.on_device("phone", demo.stack.function_url("create-session"));
    let resume = json!({ "sessionId": demo.session_id, "purpose": "resume" });
    let response = phone.post(printer, "/chatkit/sessions", resume).await?;
    printer.fields(&response.body, &["/id", "/chatkit/clientSecret"]);
    printer.check_eq(
        "the phone gets a client secret for the same session",
        (200, demo.session_id.as_str()),
        (response.status, &response.text("/id")?),
    )?;
    demo.connect_chat(&response)?;
    let items = demo.chat.items(&demo.thread_id()).await?;
    printer.check_eq("the phone shows the same thread", demo.view.items(), &items[..])?;
    chat::ask(printer, demo, "And invoice 43?").await
}

pub async fn colleague(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("An approver of the same organisation reads the session").await;
    let response = demo.approver.get(printer, "/chatkit/sessions?scope=organisation").await?;
    printer.check_eq(
        "an approver lists the organisation's sessions",
        (200, 1),
        (response.status, response.count("/sessions")),
    )?;
    let response = demo.approver.get(printer, &demo.session).await?;
    printer.fields(&response.body, &["/escalations/0/reason", "/escalations/0/decisions"]);
    printer.check_eq(
        "and reads the open escalation",
        (200, 1),
        (response.status, response.count("/escalations")),
    )?;
    let response = demo.approver.post(printer, &format!("{}/cancel", demo.session), Value::Null).await?;
    printer.check_eq(
        "but only its user can cancel it",
        (404, "session_not_found"),
        (response.status, &response.text("/code")?),
    )
}

pub async fn other_tenant(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The owner of another organisation requests the session").await;
    let foreign = demo.stranger.get(printer, &demo.session).await?;
    printer.fields(&foreign.body, &["/code", "/title", "/detail"]);
    printer.check_eq("a session of another organisation is 404", 404, foreign.status)?;
    let unknown = demo.stranger.get(printer, &format!("/chatkit/sessions/{}", Uuid::now_v7())).await?;
    let without_occurrence = |mut problem: Value| {
        ["instance", "requestId"].iter().for_each(|name| problem[*name] = Value::Null);
        problem
    };
    let (foreign, unknown) = (without_occurrence(foreign.body), without_occurrence(unknown.body));
    printer.check_eq("the response equals that of an unknown session", unknown, foreign)?;
    let own =
        demo.stranger.post(printer, "/chatkit/sessions", json!({ "agentId": "accounts_payable" })).await?;
    printer.check_eq("the owner opens a session in their organisation", 201, own.status)?;
    let list = demo.stranger.get(printer, "/chatkit/sessions?scope=organisation").await?;
    let only = (list.count("/sessions"), list.text("/sessions/0/id")?);
    printer.check_eq("it is the only session that the owner lists", (1, own.text("/id")?), only)
}
