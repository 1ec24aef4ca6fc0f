//! OpenAI's own SDK takes the stand-in for OpenAI; and what it sends is written down, for our client to equal.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use local_stack::chatkit::{ApiKey, Call, Fault, Item, On, Settings, StandIn, ThreadStatus, Workflow};
use local_stack::sdk::{Parsed, Raised, Sdk, SdkSettings};
use serde_json::{Value, json};

const KEY: &str = "sk-proj-of-the-sdk";

async fn standin() -> Result<StandIn> {
    let key = ApiKey { key: KEY.to_owned(), project: Some("proj_1".to_owned()) };
    let versions = vec!["1".to_owned()];
    let workflow = Workflow { id: "wf_1".to_owned(), project: "proj_1".to_owned(), versions };
    StandIn::start(Settings { api_keys: vec![key], workflows: vec![workflow] }).await
}

async fn sdk(standin: &StandIn, api_key: &str, max_retries: u32) -> Result<Sdk> {
    let settings = SdkSettings {
        base_url: standin.base_url(),
        api_key: api_key.to_owned(),
        project: Some("proj_1".to_owned()),
        max_retries,
        timeout: 10.0,
    };
    let sdk = Sdk::start(&settings).await?;
    assert_eq!(sdk.version, "3.54.0");
    Ok(sdk)
}

/// The answer's fields, once nothing in it is more, less or other than in the SDK's types.
fn exact(answer: Result<Parsed, Raised>, class: &str) -> Result<Value> {
    let parsed = answer.map_err(|raised| anyhow::anyhow!("{raised:?}"))?;
    let nothing: [String; 0] = [];
    assert_eq!(
        (&parsed.surplus[..], &parsed.lacking[..], &parsed.wrong[..]),
        (&nothing[..], &nothing[..], &nothing[..])
    );
    assert_eq!(parsed.class, class);
    Ok(parsed.ok)
}

/// The SDK's type of a page leaves out two fields of the documented list.
fn page(answer: Result<Parsed, Raised>) -> Result<Value> {
    let mut parsed = answer.map_err(|raised| anyhow::anyhow!("{raised:?}"))?;
    parsed.surplus.sort();
    assert_eq!(
        (&parsed.surplus[..], parsed.lacking.len(), parsed.wrong.len()),
        (&[".first_id".to_owned(), ".object".to_owned()][..], 0, 0),
        "{parsed:?}"
    );
    assert!(parsed.class.starts_with("SyncConversationCursorPage"), "{}", parsed.class);
    Ok(parsed.ok)
}

fn last(standin: &StandIn, on: On) -> Result<Call> {
    standin.calls(on).pop().with_context(|| format!("{on:?} did not arrive"))
}

/// Sessions are made and cancelled, and every value comes back as it was put in.
pub async fn the_sdk_makes_and_cancels_sessions() -> Result<()> {
    let standin = standin().await?;
    let mut sdk = sdk(&standin, KEY, 0).await?;
    let workflow = json!({
        "id": "wf_1",
        "version": "1",
        "state_variables": {"text": "ä", "whole": 7, "part": 0.5, "yes": true},
        "tracing": {"enabled": false},
    });
    let configuration = json!({
        "automatic_thread_titling": {"enabled": false},
        "file_upload": {"enabled": true, "max_file_size": 16, "max_files": 3},
        "history": {"enabled": true, "recent_threads": 4},
    });
    let wanted = json!({
        "user": "a user",
        "workflow": workflow,
        "expires_after": {"anchor": "created_at", "seconds": 300},
        "rate_limits": {"max_requests_per_1_minute": 6},
        "chatkit_configuration": configuration,
    });
    let full = exact(sdk.call("sessions.create", json!([]), wanted).await?, "ChatSession")?;
    let plain = json!({"user": "a user", "workflow": {"id": "wf_1"}});
    let plain = exact(sdk.call("sessions.create", json!([]), plain).await?, "ChatSession")?;

    let known = standin.sessions();
    let expected = json!({
        "id": known[0].id,
        "object": "chatkit.session",
        "client_secret": known[0].client_secret.reveal(),
        "expires_at": known[0].expires_at,
        "status": "active",
        "user": "a user",
        "workflow": workflow,
        "rate_limits": {"max_requests_per_1_minute": 6},
        "max_requests_per_1_minute": 6,
        "chatkit_configuration": configuration,
    });
    assert_eq!(full, expected);
    assert_eq!((&plain["id"], &plain["workflow"]["version"]), (&json!(known[1].id), &Value::Null));

    let mut cancelled = expected;
    cancelled["status"] = json!("cancelled");
    let answer = sdk.call("sessions.cancel", json!([known[0].id]), json!({})).await?;
    assert_eq!(exact(answer, "ChatSession")?, cancelled);
    let again = sdk.call("sessions.cancel", json!([known[0].id]), json!({})).await?;
    assert_eq!(again.err().map(|raised| raised.class).as_deref(), Some("NotFoundError"));
    Ok(())
}

/// Items of all six types, with everything that each can hold, and what the SDK makes of them.
fn every_item() -> Vec<Item> {
    let attachment = |preview: Value| json!({"id": "file_1", "type": "image", "name": "a.png", "mime_type": "image/png", "preview_url": preview});
    let content = vec![
        json!({"type": "input_text", "text": "Look"}),
        json!({"type": "quoted_text", "text": "a quote"}),
    ];
    let annotations = vec![
        json!({"type": "file", "source": {"type": "file", "filename": "a.pdf"}}),
        json!({"type": "url", "source": {"type": "url", "url": "https://example.com/a"}}),
    ];
    vec![
        Item::user("Hello"),
        Item::user_with(
            content,
            vec![attachment(json!("https://example.com/a.png")), attachment(Value::Null)],
            json!({"model": "a-model", "tool_choice": {"id": "a-tool"}}),
        ),
        Item::assistant_with("See there", annotations),
        Item::widget(&json!({"type": "Card", "children": []})),
        Item::client_tool_call("call_1", "open_invoice", &json!({"id": 42}), None),
        Item::client_tool_call("call_2", "open_invoice", &json!({"id": 43}), Some(&json!({"opened": true}))),
        Item::task("thought", Some("Thinking"), None),
        Item::task_group(&[("custom", None, Some("a summary")), ("thought", Some("a heading"), None)]),
    ]
}

/// Threads are listed page by page, read with their items, and deleted.
pub async fn the_sdk_reads_and_deletes_threads() -> Result<()> {
    let standin = standin().await?;
    let mut sdk = sdk(&standin, KEY, 0).await?;
    let items = every_item();
    let count = items.len();
    let ids = [
        standin.put_thread("a user", Some("Invoices"), items)?,
        standin.put_thread("a user", None, vec![])?,
        standin.put_thread("a user", None, vec![])?,
        standin.put_thread("another user", None, vec![])?,
    ];
    standin.set_thread_status(&ids[1], ThreadStatus::Locked(Some("a reason".to_owned())));
    standin.set_thread_status(&ids[2], ThreadStatus::Closed(None));

    let first = json!({"user": "a user", "limit": 2, "order": "asc"});
    let first = page(sdk.call("threads.list", json!([]), first).await?)?;
    let statuses: Vec<&Value> =
        first["data"].as_array().into_iter().flatten().map(|t| &t["status"]).collect();
    assert_eq!(json!(statuses), json!([{"type": "active"}, {"type": "locked", "reason": "a reason"}]));
    assert_eq!((&first["has_more"], &first["last_id"]), (&json!(true), &json!(ids[1])));
    let turned = sdk.pages("threads.list", json!([]), json!({"user": "a user", "limit": 1})).await?;
    assert_eq!(turned, [&ids[2], &ids[1], &ids[0]].map(String::as_str));
    assert_eq!(sdk.pages("threads.list", json!([]), json!({"limit": 100})).await?.len(), 4);

    let mut thread = exact(sdk.call("threads.retrieve", json!([ids[0]]), json!({})).await?, "ChatKitThread")?;
    assert!(thread["created_at"].take().is_u64());
    let expected = json!({"id": ids[0], "object": "chatkit.thread", "created_at": null, "title": "Invoices", "status": {"type": "active"}, "user": "a user"});
    assert_eq!(thread, expected);

    let listed = page(sdk.call("threads.list_items", json!([ids[0]]), json!({"order": "asc"})).await?)?;
    let sent: Vec<&Value> = listed["data"].as_array().into_iter().flatten().collect();
    assert_eq!((sent.len(), &sent[3]["widget"]), (count, &json!("{\"children\":[],\"type\":\"Card\"}")));
    let bare = |item: &Value| {
        let mut fields = item.as_object().cloned().unwrap_or_default();
        let common = ["id", "object", "created_at", "thread_id"].map(|name| fields.remove(name).is_some());
        assert_eq!(common, [true; 4]);
        Item::raw(fields)
    };
    assert_eq!(sent.iter().map(|item| bare(item)).collect::<Vec<_>>(), every_item());
    let turned = sdk.pages("threads.list_items", json!([ids[0]]), json!({"limit": 3})).await?;
    let newest: Vec<&str> = sent.iter().rev().filter_map(|item| item["id"].as_str()).collect();
    assert_eq!(turned, newest);

    let deleted = sdk.call("threads.delete", json!([ids[0]]), json!({})).await?;
    let deleted = exact(deleted, "ThreadDeleteResponse")?;
    assert_eq!(deleted, json!({"id": ids[0], "object": "chatkit.thread.deleted", "deleted": true}));
    assert_eq!(sdk.pages("threads.list", json!([]), json!({})).await?.len(), 3);
    Ok(())
}

/// Every refusal arrives as the exception that the SDK has for it, with code, parameter, type and request id.
pub async fn refusals_arrive_as_the_sdks_exceptions() -> Result<()> {
    let standin = standin().await?;
    let mut stranger = sdk(&standin, "sk-unknown-to-everybody", 0).await?;
    let mut sdk = sdk(&standin, KEY, 0).await?;
    let good = json!({"user": "a user", "workflow": {"id": "wf_1"}});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let invalid = "invalid_request_error";
    let long = with("expires_after", json!({"anchor": "created_at", "seconds": 601}));
    let unknown = with("extra_body", json!({"metadata": {}}));
    let other_beta = with("extra_headers", json!({"OpenAI-Beta": "chatkit_beta=v2"}));
    let rows = [
        (long, "BadRequestError", 400, Some("integer_above_max_value"), Some("expires_after.seconds")),
        (unknown, "BadRequestError", 400, Some("unknown_parameter"), Some("metadata")),
        (other_beta, "BadRequestError", 400, Some("invalid_beta"), None),
        (with("workflow", json!({"id": "wf_9"})), "NotFoundError", 404, None, None),
    ];
    for (body, class, status, code, param) in rows {
        let raised = sdk.call("sessions.create", json!([]), body).await?.err().context("no exception")?;
        let got = (raised.class.as_str(), raised.status, raised.code.as_deref(), raised.param.as_deref());
        assert_eq!(got, (class, Some(status), code, param), "{raised:?}");
        let request_id = last(&standin, On::CreateSession)?.request_id;
        assert_eq!((raised.r#type.as_deref(), raised.request_id), (Some(invalid), Some(request_id)));
    }
    let raised = stranger.call("threads.list", json!([]), json!({})).await?.err().context("no exception")?;
    assert_eq!(
        (raised.class.as_str(), raised.code.as_deref()),
        ("AuthenticationError", Some("invalid_api_key"))
    );

    let faults = [
        (Fault::new(On::ListThreads).status(403), "PermissionDeniedError"),
        (Fault::new(On::ListThreads).status(409), "ConflictError"),
        (Fault::new(On::ListThreads).status(429), "RateLimitError"),
        (Fault::new(On::ListThreads).status(500), "InternalServerError"),
        (Fault::new(On::ListThreads).status(503), "InternalServerError"),
        (Fault::new(On::ListThreads).reset_after(), "APIConnectionError"),
        (Fault::new(On::ListThreads).cut_body(), "APIConnectionError"),
    ];
    for (fault, class) in faults {
        standin.fault(fault.times(1));
        let raised = sdk.call("threads.list", json!([]), json!({})).await?.err().context("no exception")?;
        assert_eq!(raised.class, class, "{raised:?}");
    }
    Ok(())
}

/// What goes over the wire, as our own client's calls are compared with it.
pub async fn the_sdks_calls_are_written_down() -> Result<()> {
    let standin = standin().await?;
    let mut sdk = sdk(&standin, KEY, 0).await?;
    let thread = standin.put_thread("a user", None, vec![])?;
    let body = json!({"workflow": {"tracing": {"enabled": false}, "id": "wf_1"}, "user": "a user"});
    let session = exact(sdk.call("sessions.create", json!([]), body).await?, "ChatSession")?["id"].take();
    let named = json!({"user": "a user/@ü", "limit": 5, "order": "desc"});
    for (name, args, named) in [
        ("sessions.cancel", json!([session]), json!({})),
        ("threads.list", json!([]), named),
        ("threads.retrieve", json!([thread]), json!({})),
        ("threads.list_items", json!([thread]), json!({"limit": 100})),
        ("threads.delete", json!([thread]), json!({})),
    ] {
        assert!(sdk.call(name, args, named).await?.is_ok(), "{name}");
    }
    let (session, thread) = (session.as_str().context("no id")?, format!("/v1/chatkit/threads/{thread}"));
    let query =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let user = query(&[("limit", "5"), ("order", "desc"), ("user", "a user/@ü")]);
    let body = r#"{"user":"a user","workflow":{"id":"wf_1","tracing":{"enabled":false}}}"#;
    let expected: [(&str, String, Vec<(String, String)>, Option<&str>); 6] = [
        ("POST", "/v1/chatkit/sessions".to_owned(), vec![], Some(body)),
        ("POST", format!("/v1/chatkit/sessions/{session}/cancel"), vec![], None),
        ("GET", "/v1/chatkit/threads".to_owned(), user, None),
        ("GET", thread.clone(), vec![], None),
        ("GET", format!("{thread}/items"), query(&[("limit", "100")]), None),
        ("DELETE", thread, vec![], None),
    ];
    for (call, (method, path, query, body)) in standin.ledger().iter().zip(expected) {
        let essence = call.essence();
        let got = (essence.method.as_str(), essence.path, essence.query, essence.body.as_deref());
        assert_eq!(got, (method, path, query, body));
        let bearer = format!("Bearer {KEY}");
        let mut headers = BTreeMap::from([
            ("accept", "application/json"),
            ("authorization", bearer.as_str()),
            ("openai-beta", "chatkit_beta=v1"),
            ("openai-project", "proj_1"),
        ]);
        if body.is_some() {
            headers.insert("content-type", "application/json");
        }
        let got: BTreeMap<&str, &str> =
            essence.headers.iter().map(|(k, v)| (k.as_str(), v.reveal())).collect();
        assert_eq!(got, headers);
    }
    assert_eq!(standin.ledger().len(), 6);
    Ok(())
}

/// Which failures the SDK tries again: the rules that our own client follows where a repeat is safe.
pub async fn the_sdk_tries_again_by_its_rules() -> Result<()> {
    let standin = standin().await?;
    let mut sdk = sdk(&standin, KEY, 2).await?;
    let list = || Fault::new(On::ListThreads);
    let soon = |status| list().status(status).retry_after_ms("1");
    let rows = [
        ("408", soon(408), 3),
        ("409", soon(409), 3),
        ("429", soon(429), 3),
        ("500", soon(500), 3),
        ("503", soon(503), 3),
        ("400", soon(400), 1),
        ("401", soon(401), 1),
        ("404", soon(404), 1),
        ("x-should-retry: false above the status", soon(503).should_retry(false), 1),
        ("x-should-retry: true above the status", soon(404).should_retry(true), 3),
        ("a wait of more than two minutes", list().status(503).retry_after("121"), 1),
        ("a wait in milliseconds above one in seconds", soon(503).retry_after("100"), 3),
        ("a body that is no JSON", list().nonsense(), 1),
    ];
    for (why, fault, tries) in rows {
        let fault = standin.fault(fault);
        let _ = sdk.call("threads.list", json!([]), json!({})).await?;
        assert_eq!(standin.hits(fault), tries, "{why}");
        standin.clear(fault);
    }
    for fault in [list().reset_before(), list().cut_body()] {
        let fault = standin.fault(fault.times(1));
        assert!(sdk.call("threads.list", json!([]), json!({})).await?.is_ok());
        assert_eq!(standin.hits(fault), 1);
    }
    Ok(())
}
