//! The recorded requests of the SDK.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use local_stack::openai::RedactedString;
use serde_json::json;

use super::{KEY, exact, sdk, start_fake};
use crate::support::skip;

#[tokio::test]
async fn sdk_requests_have_the_recorded_form() -> Result<()> {
    skip::with_tools(async {
        let fake = start_fake().await?;
        let mut sdk = sdk(&fake, KEY, 0).await?;
        let thread = fake.put_thread("a user", None, vec![])?;
        let body = json!({"workflow": {"tracing": {"enabled": false}, "id": "wf_1"}, "user": "a user"});
        let session = exact(sdk.call("sessions.create", json!([]), body).await?, "ChatSession")?["id"].take();
        let kwargs = json!({"user": "a user/@ü", "limit": 5, "order": "desc"});
        for (name, args, kwargs) in [
            ("sessions.cancel", json!([session]), json!({})),
            ("threads.list", json!([]), kwargs),
            ("threads.retrieve", json!([thread]), json!({})),
            ("threads.list_items", json!([thread]), json!({"limit": 100})),
            ("threads.delete", json!([thread]), json!({})),
        ] {
            assert!(sdk.call(name, args, kwargs).await?.is_ok(), "{name}");
        }
        let (session, thread) =
            (session.as_str().context("the session has no id")?, format!("/v1/chatkit/threads/{thread}"));
        let query =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let user = query(&[("limit", "5"), ("order", "desc"), ("user", "a user/@ü")]);
        let body = r#"{"user":"a user","workflow":{"id":"wf_1","tracing":{"enabled":false}}}"#;
        let expected: [ExpectedRequest<'_>; 6] = [
            ("POST", "/v1/chatkit/sessions".to_owned(), vec![], Some(body)),
            ("POST", format!("/v1/chatkit/sessions/{session}/cancel"), vec![], None),
            ("GET", "/v1/chatkit/threads".to_owned(), user, None),
            ("GET", thread.clone(), vec![], None),
            ("GET", format!("{thread}/items"), query(&[("limit", "100")]), None),
            ("DELETE", thread, vec![], None),
        ];
        for (call, (method, path, query, body)) in fake.requests().iter().zip(expected) {
            let essence = call.normalized();
            let found = (essence.method.as_str(), essence.path, essence.query, essence.body.as_deref());
            assert_eq!(found, (method, path, query, body));
            let key = essence.authorization.as_ref().map(RedactedString::reveal);
            assert_eq!(key, Some(format!("Bearer {KEY}").as_str()));
            let mut headers = BTreeMap::from([
                ("accept", "application/json"),
                ("openai-beta", "chatkit_beta=v1"),
                ("openai-project", "proj_1"),
            ]);
            if body.is_some() {
                headers.insert("content-type", "application/json");
            }
            let found: BTreeMap<&str, &str> =
                essence.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(found, headers);
        }
        assert_eq!(fake.requests().len(), 6);
        Ok(())
    })
    .await
}

/// Method, path, query and body.
type ExpectedRequest<'a> = (&'a str, String, Vec<(String, String)>, Option<&'a str>);
