//! What the SDK sends, call by call.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use local_stack::openai::Hidden;
use serde_json::json;

use super::{KEY, exact, sdk, standin};

/// Method, path, query, body.
type Sent<'a> = (&'a str, String, Vec<(String, String)>, Option<&'a str>);

// NAME: SDK: the SDK's calls are written down
/// What goes over the wire, as our own client's calls are compared with it.
#[tokio::test]
async fn the_sdks_calls_are_written_down() -> Result<()> {
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
    let expected: [Sent<'_>; 6] = [
        ("POST", "/v1/chatkit/sessions".to_owned(), vec![], Some(body)),
        ("POST", format!("/v1/chatkit/sessions/{session}/cancel"), vec![], None),
        ("GET", "/v1/chatkit/threads".to_owned(), user, None),
        ("GET", thread.clone(), vec![], None),
        ("GET", format!("{thread}/items"), query(&[("limit", "100")]), None),
        ("DELETE", thread, vec![], None),
    ];
    for (call, (method, path, query, body)) in standin.requests().iter().zip(expected) {
        let essence = call.essence();
        let got = (essence.method.as_str(), essence.path, essence.query, essence.body.as_deref());
        assert_eq!(got, (method, path, query, body));
        let key = essence.authorization.as_ref().map(Hidden::reveal);
        assert_eq!(key, Some(format!("Bearer {KEY}").as_str()));
        let mut headers = BTreeMap::from([
            ("accept", "application/json"),
            ("openai-beta", "chatkit_beta=v1"),
            ("openai-project", "proj_1"),
        ]);
        if body.is_some() {
            headers.insert("content-type", "application/json");
        }
        let got: BTreeMap<&str, &str> =
            essence.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(got, headers);
    }
    assert_eq!(standin.requests().len(), 6);
    Ok(())
}
