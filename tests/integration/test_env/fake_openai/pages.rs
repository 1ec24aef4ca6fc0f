//! Lists of threads and items: visibility, order and pages.

use anyhow::Result;
use http_client::Method;
use local_stack::openai::Item;
use serde_json::{Value, json};

use super::{Api, OTHER_KEY, check_rejections, ok};

#[tokio::test]
async fn invalid_list_requests_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    let foreign_thread = api.fake.put_thread_in("proj_2", "u", None, vec![Item::user("hello")]);
    let own = api.fake.put_thread_in("proj_1", "u", None, vec![]);
    let threads = |name: &str, value: &str| api.get("/chatkit/threads").query(&[(name, value)]);
    let invalid = |code, param| (400, Some(code), Some(param));
    let (low, high) = ("integer_below_min_value", "integer_above_max_value");
    let not_found = (404, None, None);
    let rows = vec![
        ("a negative limit", threads("limit", "-1"), invalid(low, "limit")),
        ("a limit above 100", threads("limit", "101"), invalid(high, "limit")),
        ("a limit that is not a number", threads("limit", "all"), invalid("invalid_type", "limit")),
        ("a limit that is not an integer", threads("limit", "1.5"), invalid("invalid_type", "limit")),
        ("an unknown order", threads("order", "newest"), invalid("invalid_value", "order")),
        ("an empty user", threads("user", ""), invalid("empty_string", "user")),
        ("a long user", threads("user", &"u".repeat(513)), invalid("string_above_max_length", "user")),
        ("an unknown parameter", threads("offset", "1"), invalid("unknown_parameter", "offset")),
        ("an unknown cursor", threads("after", "cthr_9"), invalid("invalid_value", "after")),
        (
            "a cursor of another project",
            threads("before", &foreign_thread),
            invalid("invalid_value", "before"),
        ),
        (
            "a parameter twice",
            api.get("/chatkit/threads?limit=1&limit=2"),
            invalid("duplicate_parameter", "limit"),
        ),
        (
            "items by user",
            api.get(&format!("/chatkit/threads/{own}/items")).query(&[("user", "u")]),
            invalid("unknown_parameter", "user"),
        ),
        ("an unknown thread", api.get("/chatkit/threads/cthr_9"), not_found),
        ("an unknown thread's items", api.get("/chatkit/threads/cthr_9/items"), not_found),
        ("deleting an unknown thread", api.delete("/chatkit/threads/cthr_9"), not_found),
        ("another project's thread", api.get(&format!("/chatkit/threads/{foreign_thread}")), not_found),
        ("another project's items", api.get(&format!("/chatkit/threads/{foreign_thread}/items")), not_found),
        (
            "deleting another project's thread",
            api.delete(&format!("/chatkit/threads/{foreign_thread}")),
            not_found,
        ),
    ];
    check_rejections(rows).await?;
    let foreign_list = ok(api.with_key(OTHER_KEY, Method::GET, "/chatkit/threads")).await?;
    assert_eq!(ids(&foreign_list), [foreign_thread]);
    Ok(())
}

#[tokio::test]
async fn pages_have_no_gap_and_no_overlap() -> Result<()> {
    let api = Api::start().await?;
    let put = |user: &str| api.fake.put_thread_in("proj_1", user, None, vec![]);
    let own: Vec<String> = (0..5).map(|_| put("u")).collect();
    let other = put("v");
    let list = |query: &str, cursor: &str| ok(api.get(&format!("/chatkit/threads?{query}{cursor}")));
    let newest: Vec<&str> = own.iter().rev().map(String::as_str).collect();

    let first = list("user=u&limit=2", "").await?;
    assert_eq!(ids(&first), newest[..2]);
    assert_eq!(
        (&first["has_more"], &first["first_id"], &first["last_id"]),
        (&json!(true), &json!(newest[0]), &json!(newest[1]))
    );
    let second = list("user=u&limit=2&after=", newest[1]).await?;
    assert_eq!((ids(&second), &second["has_more"]), (newest[2..4].to_vec(), &json!(true)));
    let third = list("user=u&limit=2&after=", newest[3]).await?;
    assert_eq!((ids(&third), &third["has_more"]), (newest[4..].to_vec(), &json!(false)));
    let back = list("user=u&limit=2&before=", newest[4]).await?;
    assert_eq!((ids(&back), &back["has_more"]), (newest[2..4].to_vec(), &json!(true)));
    let between = list(&format!("user=u&after={}&before=", newest[0]), newest[3]).await?;
    assert_eq!((ids(&between), &between["has_more"]), (newest[1..3].to_vec(), &json!(false)));

    let ascending = list("user=u&order=asc&limit=100", "").await?;
    assert_eq!(ids(&ascending), own);
    let nothing = list("user=u&limit=0", "").await?;
    assert_eq!(
        nothing,
        json!({"object": "list", "data": [], "first_id": null, "last_id": null, "has_more": true})
    );
    let no_threads = list("user=", &"w".repeat(512)).await?;
    assert_eq!(no_threads["has_more"], json!(false));
    let all_users = list("limit=1", "").await?;
    assert_eq!(ids(&all_users), [other]);
    Ok(())
}

#[tokio::test]
async fn deleted_thread_is_gone() -> Result<()> {
    let api = Api::start().await?;
    let thread = api.fake.put_thread_in("proj_1", "u", Some("A title"), vec![Item::user("hello")]);
    let path = format!("/chatkit/threads/{thread}");
    assert_eq!(ok(api.get(&path)).await?["title"], "A title");
    let deleted = ok(api.delete(&path)).await?;
    assert_eq!(deleted, json!({"id": thread, "object": "chatkit.thread.deleted", "deleted": true}));
    let not_found = (404, None, None);
    let rows = vec![
        ("the thread", api.get(&path), not_found),
        ("its items", api.get(&format!("{path}/items")), not_found),
        ("deleting it again", api.delete(&path), not_found),
    ];
    check_rejections(rows).await?;
    assert_eq!(ids(&ok(api.get("/chatkit/threads")).await?), Vec::<&str>::new());
    Ok(())
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_str()).collect()
}
