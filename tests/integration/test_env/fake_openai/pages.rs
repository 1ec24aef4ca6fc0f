//! Threads and their items: who sees which, and in which order.

use anyhow::Result;
use http_client::Method;
use local_stack::openai::Item;
use serde_json::{Value, json};

use super::{Api, OTHER_KEY, all_refused, ok};

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_str()).collect()
}

// NAME: stand-in: a list that is not as documented is refused
/// Limits, orders, cursors and filters that are none; ids that are unknown or another project's.
#[tokio::test]
async fn a_list_that_is_not_as_documented_is_refused() -> Result<()> {
    let api = Api::start().await?;
    let foreign = api.standin.put_thread_in("proj_2", "u", None, vec![Item::user("hello")]);
    let own = api.standin.put_thread_in("proj_1", "u", None, vec![]);
    let threads = |name: &str, value: &str| api.get("/chatkit/threads").query(&[(name, value)]);
    let at = |code, param| (400, Some(code), Some(param));
    let (low, high) = ("integer_below_min_value", "integer_above_max_value");
    let gone = (404, None, None);
    let rows = vec![
        ("a negative limit", threads("limit", "-1"), at(low, "limit")),
        ("a limit above 100", threads("limit", "101"), at(high, "limit")),
        ("a limit that is no number", threads("limit", "all"), at("invalid_type", "limit")),
        ("a limit that is no integer", threads("limit", "1.5"), at("invalid_type", "limit")),
        ("an unknown order", threads("order", "newest"), at("invalid_value", "order")),
        ("nobody's threads", threads("user", ""), at("empty_string", "user")),
        ("a long user", threads("user", &"u".repeat(513)), at("string_above_max_length", "user")),
        ("an unknown parameter", threads("offset", "1"), at("unknown_parameter", "offset")),
        ("an unknown cursor", threads("after", "cthr_9"), at("invalid_value", "after")),
        ("a cursor of another project", threads("before", &foreign), at("invalid_value", "before")),
        (
            "a parameter twice",
            api.get("/chatkit/threads?limit=1&limit=2"),
            at("duplicate_parameter", "limit"),
        ),
        (
            "items by user",
            api.get(&format!("/chatkit/threads/{own}/items")).query(&[("user", "u")]),
            at("unknown_parameter", "user"),
        ),
        ("an unknown thread", api.get("/chatkit/threads/cthr_9"), gone),
        ("an unknown thread's items", api.get("/chatkit/threads/cthr_9/items"), gone),
        ("the end of an unknown thread", api.delete("/chatkit/threads/cthr_9"), gone),
        ("another project's thread", api.get(&format!("/chatkit/threads/{foreign}")), gone),
        ("another project's items", api.get(&format!("/chatkit/threads/{foreign}/items")), gone),
        ("the end of another project's thread", api.delete(&format!("/chatkit/threads/{foreign}")), gone),
    ];
    all_refused(rows).await?;
    let theirs = ok(api.with_key(OTHER_KEY, Method::GET, "/chatkit/threads")).await?;
    assert_eq!(ids(&theirs), [foreign]);
    Ok(())
}

// NAME: stand-in: pages follow each other without gap or overlap
/// Pages forwards and backwards in both orders, with all bounds.
#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() -> Result<()> {
    let api = Api::start().await?;
    let put = |user: &str| api.standin.put_thread_in("proj_1", user, None, vec![]);
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
    let nobody = list("user=", &"w".repeat(512)).await?;
    assert_eq!(nobody["has_more"], json!(false));
    let everybody = list("limit=1", "").await?;
    assert_eq!(ids(&everybody), [other]);
    Ok(())
}

// NAME: stand-in: a deleted thread is gone
/// A thread is listed, read and deleted once; nothing of it stays.
#[tokio::test]
async fn a_deleted_thread_is_gone() -> Result<()> {
    let api = Api::start().await?;
    let thread = api.standin.put_thread_in("proj_1", "u", Some("A title"), vec![Item::user("hello")]);
    let path = format!("/chatkit/threads/{thread}");
    assert_eq!(ok(api.get(&path)).await?["title"], "A title");
    let deleted = ok(api.delete(&path)).await?;
    assert_eq!(deleted, json!({"id": thread, "object": "chatkit.thread.deleted", "deleted": true}));
    let gone = (404, None, None);
    let rows = vec![
        ("the thread", api.get(&path), gone),
        ("its items", api.get(&format!("{path}/items")), gone),
        ("its end again", api.delete(&path), gone),
    ];
    all_refused(rows).await?;
    assert_eq!(ids(&ok(api.get("/chatkit/threads")).await?), Vec::<&str>::new());
    Ok(())
}
